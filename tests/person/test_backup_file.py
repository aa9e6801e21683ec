"""The file of a backup: opened whole by its passphrase, and by nothing else."""

import io
import random
from collections.abc import Iterable

import pytest

from shoal_node import backup_file
from shoal_node.backup_file import CHUNK
from shoal_protocol import crypto
from shoal_protocol.errors import UserError

SALT = bytes(range(16))
HEADER = 45  # bytes
SEALED = CHUNK + 16


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch passphrases quickly."""
    monkeypatch.setattr(backup_file, "MEMORY", 2**16)


def sealed(frames: Iterable[bytes], passphrase: str = "pass") -> bytes:
    return b"".join(backup_file.seal(frames, passphrase, salt=SALT))


def opened(data: bytes, passphrase: str = "pass") -> list[bytes]:
    return list(backup_file.frames_of(io.BytesIO(data), passphrase))


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"x"],
        [bytes(3), b"\0", b"end"],
        [bytes([n]) * 4097 for n in range(200)],
        [b"a" * backup_file.MAX_FRAME, b"b", b"c" * backup_file.MAX_FRAME],
        [b"d" * (CHUNK - 4)],
        [b"e" * (CHUNK - 8)],
        [b"f" * (16 * CHUNK - 8)],
        [b"g" * (16 * CHUNK - 7)],
        [b"h" * (8 * CHUNK - 4), b"i" * (8 * CHUNK - 4)],
    ],
    ids=range(10),
)
def test_what_went_in_comes_out(frames: list[bytes]) -> None:
    data = sealed(frames)
    assert opened(data) == frames
    assert (len(data) - HEADER) % SEALED == 0


def test_sizes_come_in_few_classes() -> None:
    sizes = {len(sealed([b"x" * 1000] * count)) for count in (0, 1, 10, 100, 1000)}
    assert sizes == {HEADER + 16 * SEALED}
    assert [backup_file.chunks_of(n) for n in (1, 16, 17, 24, 25, 32, 33, 49, 97, 1000)] == [
        16, 16, 24, 24, 32, 32, 48, 64, 128, 1024,
    ]  # fmt: skip


def test_a_wrong_passphrase_is_told_from_damage() -> None:
    data = sealed([b"x"])
    for wrong in ("", "Pass", "pass ", "p" * 2000):
        with pytest.raises(UserError, match="passphrase"):
            opened(data, wrong)


def test_one_passphrase_in_two_forms_of_unicode_is_one() -> None:
    assert opened(sealed([b"x"], "pa\u00df caf\u00e9"), "pa\u00df cafe\u0301") == [b"x"]


def test_a_file_cut_anywhere_is_refused() -> None:
    data = sealed([b"frame" * 1000] * 300)
    whole = len(data)
    rng = random.Random(5)
    cuts = [*range(HEADER + 20), *range(HEADER, whole, SEALED), *rng.sample(range(whole), 20)]
    for cut in cuts:
        with pytest.raises(UserError):
            opened(data[:cut])


def test_a_byte_changed_anywhere_is_found() -> None:
    data = sealed([b"frame" * 1000] * 250)
    rng = random.Random(6)
    for place in [*range(HEADER), *rng.sample(range(len(data)), 40), len(data) - 1]:
        changed = bytearray(data)
        changed[place] ^= 1 << rng.randrange(8)
        with pytest.raises(UserError):
            opened(bytes(changed))


def test_chunks_in_another_order_doubled_or_of_another_backup_do_not_open() -> None:
    data = sealed([b"frame" * 1000] * 250)
    other = b"".join(backup_file.seal([b"other" * 1000] * 250, "pass", salt=bytes(16)))
    chunks = [data[HEADER + n * SEALED :][:SEALED] for n in range(24)]
    mixed = [
        [chunks[1], chunks[0], *chunks[2:]],
        [chunks[0], *chunks],
        [*chunks, chunks[-1]],
        chunks[:-2] + chunks[-1:],
        [*chunks[:5], other[HEADER + 5 * SEALED :][:SEALED], *chunks[6:]],
    ]
    for attempt in mixed:
        with pytest.raises(UserError, match="damaged"):
            opened(data[:HEADER] + b"".join(attempt))


def test_something_behind_the_end_is_refused() -> None:
    with pytest.raises(UserError, match="damaged"):
        opened(sealed([b"x"]) + b"y")


@pytest.mark.parametrize("data", [b"", b"shoal-backup", b"PK\3\4" + bytes(100), bytes(70_000)])
def test_what_is_no_backup_is_refused_before_anything_is_stretched(data: bytes) -> None:
    with pytest.raises(UserError, match="no backup of Shoal"):
        opened(data)


def test_a_newer_version_is_refused_with_a_sentence() -> None:
    data = bytearray(sealed([b"x"]))
    data[12] += 1
    with pytest.raises(UserError, match="newer version"):
        opened(bytes(data))


def test_the_bytes_of_a_file_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all the memory that a passphrase is stretched over; spec: backup."""
    monkeypatch.setattr(backup_file, "MEMORY", 2**28)
    data = sealed([b"one", b"two" * 30_000], "pass phrase")
    assert data[:29] == b"shoal-backup\x01" + SALT
    assert (
        crypto.digest(data).hex()
        == "9bce1d4a081ac7d880ba666af253b5af8dce37c38b1da884aaf28627b478d200"
    )


def test_nothing_of_what_went_in_can_be_read_in_the_file() -> None:
    data = sealed([b"one plain sentence"] * 1000)
    assert b"sentence" not in data
    assert max(data[HEADER:].count(byte) for byte in range(256)) < len(data) / 200


def test_two_backups_of_the_same_have_nothing_in_common() -> None:
    one, other = (b"".join(backup_file.seal([b"same"], "pass")) for _ in range(2))
    assert len(one) == len(other)
    assert one[:13] == other[:13]
    assert sum(a == b for a, b in zip(one[13:5000], other[13:5000], strict=True)) < 60
