"""A store's passphrase set, changed and removed; a crash half-way leaves one way in."""

from pathlib import Path

import pytest

from shoal_node import keep
from shoal_node.store import keys
from shoal_protocol.client.state import StoreDamaged


def test_the_secret_stays_the_same_through_every_change(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, None)
    assert keys.decided(tmp_path) and not keys.locked(tmp_path)
    keys.change(tmp_path, None, "one")
    assert keys.locked(tmp_path) and keys.secret_of(tmp_path, "one") == secret
    keys.change(tmp_path, "one", "two")
    assert keys.secret_of(tmp_path, "two") == secret
    for wrong in ("one", None):
        with pytest.raises(keys.WrongPassphrase):
            keys.secret_of(tmp_path, wrong)
        with pytest.raises(keys.WrongPassphrase):
            keys.change(tmp_path, wrong, "three")
    keys.change(tmp_path, "two", None)
    assert not keys.locked(tmp_path) and keys.secret_of(tmp_path, None) == secret
    assert (tmp_path / keys.KEY_FILE).read_bytes() == secret
    keys.change(tmp_path, None, None)
    assert keys.secret_of(tmp_path, None) == secret


def test_a_store_of_the_first_version_can_be_changed(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, "one")
    before = (tmp_path / keys.SALT_FILE).read_bytes()
    keys.change(tmp_path, "one", "two")
    assert keys.secret_of(tmp_path, "two") == secret
    (tmp_path / keys.SALT_FILE).write_bytes(before)
    keys.change(tmp_path, "one", None)
    assert keys.secret_of(tmp_path, None) == secret


def test_after_a_crash_half_way_the_passphrase_holds_and_the_key_goes(tmp_path: Path) -> None:
    secret = keys.secret_of(tmp_path, None)
    keys.change(tmp_path, None, "one")
    (tmp_path / keys.KEY_FILE).write_bytes(secret)  # as if it had not been removed yet
    with pytest.raises(keys.WrongPassphrase):
        keys.secret_of(tmp_path, None)
    with pytest.raises(keys.WrongPassphrase):
        keys.secret_of(tmp_path, "two")
    assert (tmp_path / keys.KEY_FILE).exists()
    assert keys.secret_of(tmp_path, "one") == secret
    assert not (tmp_path / keys.KEY_FILE).exists()
    (tmp_path / keys.KEY_FILE).write_bytes(bytes(32))
    with pytest.raises(StoreDamaged, match="belong to two stores"):
        keys.secret_of(tmp_path, "one")


def test_what_is_destroyed_is_overwritten_before_it_is_unlinked(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"s" * 32)
    other = tmp_path / "the same file"
    other.hardlink_to(path)
    keep.destroy(path)
    assert not path.exists() and b"ssss" not in other.read_bytes()
    keep.destroy(path)  # nothing is there any more


def test_what_an_earlier_passphrase_opens_is_overwritten(tmp_path: Path) -> None:
    keys.secret_of(tmp_path, "one")
    for place, (old, new) in enumerate((("one", "two"), ("two", "three"), ("three", None))):
        earlier = tmp_path / f"the same file {place}"
        earlier.hardlink_to(tmp_path / keys.SALT_FILE)
        before = earlier.read_bytes()
        keys.change(tmp_path, old, new)
        assert before[:32] not in earlier.read_bytes()
