"""The store's secret: from a passphrase or a file, decided by the first run; T16's one sentence."""

import os
import stat
import traceback
import unicodedata
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from shoal_node.store import keys
from shoal_node.store.person_store import PersonStore
from shoal_protocol import crypto
from shoal_protocol.client.state import StoreDamaged
from shoal_protocol.errors import UserError

PASSPHRASE = "correct horse Batterie Stäpel 电池"


def test_argon2id_of_libsodium_and_of_openssl_agree() -> None:
    salt = bytes(range(16))
    other = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=64 * 1024)
    assert crypto.argon2id(b"password", salt) == other.derive(b"password")


def test_the_same_passphrase_gives_the_same_secret_and_another_is_refused(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, PASSPHRASE)
    assert len(secret) == 32
    assert keys.secret_of(tmp_path, PASSPHRASE) == secret
    assert keys.secret_of(tmp_path, unicodedata.normalize("NFD", PASSPHRASE)) == secret
    for wrong in (PASSPHRASE + " ", PASSPHRASE.upper(), ""):
        with pytest.raises(UserError) as error:
            keys.secret_of(tmp_path, wrong)
        assert str(error.value) == keys.WRONG_PASSPHRASE


def test_two_homes_with_one_passphrase_have_two_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (keys.secret_of(tmp_path / name, PASSPHRASE) for name in ("a", "b"))
    assert one != two


def test_without_a_passphrase_the_secret_lies_in_a_file_of_the_owner(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, None)
    assert keys.secret_of(tmp_path, None) == secret == (tmp_path / keys.KEY_FILE).read_bytes()
    assert stat.S_IMODE((tmp_path / keys.KEY_FILE).stat().st_mode) == 0o600


def test_the_first_run_decides_whether_there_is_a_passphrase(tmp_path: Path) -> None:
    locked, open_ = tmp_path / "locked", tmp_path / "open"
    locked.mkdir()
    open_.mkdir()
    keys.secret_of(locked, PASSPHRASE)
    keys.secret_of(open_, None)
    with pytest.raises(UserError, match="is locked with a passphrase: give --passphrase-file"):
        keys.secret_of(locked, None)
    with pytest.raises(UserError, match="was made without a passphrase: leave"):
        keys.secret_of(open_, PASSPHRASE)
    assert sorted(os.listdir(locked)) == [keys.SALT_FILE]
    assert sorted(os.listdir(open_)) == [keys.KEY_FILE]
    assert stat.S_IMODE((locked / keys.SALT_FILE).stat().st_mode) == 0o600


def test_a_lost_or_damaged_file_is_said_and_nothing_is_made_in_its_place(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, PASSPHRASE)
    PersonStore.open(tmp_path / keys.DATABASE, secret).close()
    salt = (tmp_path / keys.SALT_FILE).read_bytes()
    for damaged in (b"", salt[:-1], salt + b"\0", b"\x09" + salt[1:]):
        (tmp_path / keys.SALT_FILE).write_bytes(damaged)
        with pytest.raises(StoreDamaged, match="is damaged"):
            keys.secret_of(tmp_path, PASSPHRASE)
    (tmp_path / keys.SALT_FILE).unlink()
    for passphrase in (PASSPHRASE, None):
        with pytest.raises(StoreDamaged, match="put it back"):
            keys.secret_of(tmp_path, passphrase)
    (tmp_path / keys.KEY_FILE).write_bytes(bytes(31))
    with pytest.raises(StoreDamaged, match="is damaged"):
        keys.secret_of(tmp_path, None)
    (tmp_path / keys.SALT_FILE).write_bytes(salt)
    with pytest.raises(StoreDamaged, match="where one belongs"):
        keys.secret_of(tmp_path, PASSPHRASE)
    (tmp_path / keys.KEY_FILE).unlink()
    assert keys.secret_of(tmp_path, PASSPHRASE) == secret


def test_no_error_holds_the_passphrase_or_the_secret(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, PASSPHRASE)
    PersonStore.open(tmp_path / keys.DATABASE, secret).close()
    texts = []
    for failing in (
        lambda: keys.secret_of(tmp_path, "wrong " + PASSPHRASE),
        lambda: keys.secret_of(tmp_path, None),
        lambda: PersonStore.open(tmp_path / keys.DATABASE, secret[::-1]),
    ):
        with pytest.raises(UserError) as error:
            failing()
        texts += traceback.format_exception(error.value)
        assert "\n" not in str(error.value) and str(error.value).endswith(".")
    for shown in (PASSPHRASE, secret.hex(), secret[::-1].hex(), repr(secret)[2:-1]):
        assert shown not in "".join(texts)


@pytest.mark.parametrize(
    ("data", "passphrase"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\nmore\n", "abc"),
        (b" a b \nmore", " a b "),
        (b"\xef\xbb\xbfabc\r\n", "abc"),
        ("电池\n".encode(), "电池"),
        (b"x" * 1024 + b"\r\n", "x" * 1024),
        (b"abc\n\xff", "abc"),
    ],
)
def test_a_passphrase_is_the_first_line_of_its_file(
    tmp_path: Path, data: bytes, passphrase: str
) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(data)
    assert keys.passphrase_of(path) == passphrase


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"", "is empty: its first line is the passphrase."),
        (b"\nabc\n", "is empty: its first line is the passphrase."),
        (b"\r\n", "is empty: its first line is the passphrase."),
        (b"\xef\xbb\xbf\n", "is empty: its first line is the passphrase."),
        (b"\xffabc\n", "is not UTF-8 text."),
        (b"x" * 1025, "is longer than 1024 bytes."),
        (b"x" * 100_000, "is longer than 1024 bytes."),
    ],
)
def test_a_bad_passphrase_file_is_said_in_one_sentence(
    tmp_path: Path, data: bytes | None, sentence: str
) -> None:
    path = tmp_path / "passphrase"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError) as error:
        keys.passphrase_of(path)
    assert str(error.value).endswith(sentence) and str(path) in str(error.value)
    assert error.value.__cause__ is None and "abc" not in repr(error.value.__context__)
