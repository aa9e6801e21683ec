"""What the database of a storage relay tells about who writes to whom: spec streams §3.

A relay over the real store keeps the boxes of 204 messages between six people in five
conversations. Whoever has its disk, and half of the truth, tries to say of two boxes whether
they are of one stream (``privacy.linking``). The power of the same statistic is shown by leaks
that are planted into the same rows.
"""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from privacy import features, linking
from privacy.town import FLAGS_AT, Row, Town, rows_of
from shoal_node.store import relay_store
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.parameters import LAB
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import PutBox
from support import seeded

BETTER_THAN_CHANCE = 0.002  # p up to it: of 999 deals at most one does as well
BOXES = 130  # at the relay that keeps the most


@dataclass(frozen=True)
class Disk:
    """The rows of one relay, in their order, and the streams that they are of."""

    rows: list[Row]
    streams: list[bytes]
    conversations: list[bytes]
    path: str


@pytest.fixture(scope="module")
def disk(town: Town) -> Disk:
    relay = max(town.relays, key=lambda one: len(town.rows(one)))
    rows = town.rows(relay)
    return Disk(
        rows,
        [town.stream(row.address) for row in rows],
        [town.conversation(row.address) for row in rows],
        str(relay.path),
    )


def content(rows: list[Row], streams: list[bytes]) -> linking.Found:
    compared = features.CONTENT
    return linking.link(rows, streams, compared, seeded(1), data=features.data_of)


def test_enough_boxes_of_enough_streams_lie_on_the_disk(disk: Disk) -> None:
    assert len(disk.rows) >= BOXES
    assert len(set(disk.streams)) == 10
    assert len(set(disk.conversations)) == 5


@pytest.mark.parametrize("of", ["streams", "conversations"])
def test_no_byte_bit_or_field_of_the_boxes_on_a_disk_tells_their_streams(
    disk: Disk, of: str
) -> None:
    found = content(disk.rows, getattr(disk, of))
    assert found.p > BETTER_THAN_CHANCE, found
    assert found.auc < 0.6, found


def test_the_order_on_a_disk_tells_nothing_of_streams_that_talk_at_the_same_times(
    disk: Disk,
) -> None:
    found = linking.link(disk.rows, disk.streams, features.ORDER, seeded(1), keep=True)
    assert found.p > BETTER_THAN_CHANCE, found


def test_the_order_on_a_disk_tells_little_of_who_answers_whom(disk: Disk) -> None:
    """Answers and acknowledgements follow soon, so this is no matter of chance alone."""
    found = linking.link(disk.rows, disk.conversations, features.ORDER, seeded(1), keep=True)
    assert found.auc < 0.6, found


def mark(stream: bytes) -> bytes:
    """Return 32 bytes that are the stream's."""
    return hashlib.blake2b(stream, digest_size=32).digest()


def written(row: Row, at: int, data: bytes) -> Row:
    return row._replace(record=row.record[:at] + data + row.record[at + len(data) :])


def address_prefix(row: Row, stream: bytes, _number: int) -> Row:
    return written(row, 0, mark(stream)[:1])


def zero_byte(row: Row, stream: bytes, _number: int) -> Row:
    return written(row, FLAGS_AT + 1, mark(stream)[:1])


def zero_bit(row: Row, stream: bytes, _number: int) -> Row:
    return written(row, FLAGS_AT + 1, bytes([mark(stream)[0] & 1]))


def sealed_bit(row: Row, stream: bytes, _number: int) -> Row:
    byte = row.record[1000] & 0xFE | mark(stream)[0] & 1
    return written(row, 1000, bytes([byte]))


def counting_nonce(row: Row, stream: bytes, number: int) -> Row:
    start = int.from_bytes(mark(stream)[:7])
    return row._replace(nonce=(start + 40 * number).to_bytes(8))


def signature_nonce(row: Row, stream: bytes, _number: int) -> Row:
    return written(row, 32, mark(stream)[:4])


def keystream_again(row: Row, stream: bytes, _number: int) -> Row:
    return written(row, FLAGS_AT + 4, mark(stream)[:4])


def effort(row: Row, stream: bytes, _number: int) -> Row:
    return row._replace(effort=1 + mark(stream)[0] % 4)


Leak = Callable[[Row, bytes, int], Row]
LEAKS: list[Leak] = [
    address_prefix,
    zero_byte,
    zero_bit,
    sealed_bit,
    counting_nonce,
    signature_nonce,
    keystream_again,
    effort,
]


def planted(disk: Disk, leak: Leak, share: float = 1.0) -> list[Row]:
    """Return the rows with a leak in a share of them, drawn at random."""
    rng = seeded(f"{leak.__name__} {share}")
    return [
        leak(row, stream, number) if rng.uniform() < share else row
        for number, (row, stream) in enumerate(zip(disk.rows, disk.streams, strict=True))
    ]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_planted_in_the_rows_is_caught(disk: Disk, leak: Leak) -> None:
    found = content(planted(disk, leak), disk.streams)
    assert found.p <= BETTER_THAN_CHANCE, found
    assert found.auc > 0.6, found


@pytest.mark.parametrize("leak", [address_prefix, zero_byte, signature_nonce])
def test_a_leak_in_three_of_four_boxes_is_caught(disk: Disk, leak: Leak) -> None:
    found = content(planted(disk, leak, 0.75), disk.streams)
    assert found.p <= BETTER_THAN_CHANCE, found


def test_streams_that_take_turns_are_told_by_the_order_alone(disk: Disk) -> None:
    """What the order would give away, and that the statistic would see it."""
    turns = sorted(disk.streams)
    found = linking.link(disk.rows, turns, features.ORDER, seeded(1), keep=True)
    assert found.p <= BETTER_THAN_CHANCE, found
    assert found.auc > 0.9, found


def test_boxes_of_one_transaction_lie_in_the_order_of_their_addresses(tmp_path: Path) -> None:
    rng, path = seeded("one transaction"), tmp_path / relay_store.FILE
    records = [rng.bytes(RECORD_LENGTH) for _ in range(100)]
    puts = [PutBox(record[:32], 1, False, record, 1, bytes(8)) for record in records]
    store = relay_store.RelayStore(path, LAB, rng)
    assert store.execute(puts, 0) == [Status.OK] * len(puts)
    store.close()
    assert [row.record for row in rows_of(path)] == sorted(records)


def test_a_box_has_no_time_on_the_disk_but_its_day(disk: Disk) -> None:
    database = sqlite3.connect(disk.path)
    (schema,) = database.execute(
        "SELECT group_concat(sql, ' ') FROM sqlite_schema WHERE name LIKE 'box%'"
    ).fetchone()
    largest = database.execute("SELECT max(number, day, tombstone, effort) FROM box").fetchall()
    database.close()
    columns = {"address", "number", "day", "tombstone", "effort", "nonce", "record"}
    named = {word.strip('"(') for word in schema.replace(",", " ").split()}
    assert columns <= named
    assert not {"time", "created", "expires", "received", "came", "hop", "peer"} & named
    assert max(value for (value,) in largest) < 100_000  # counts and days: no ns, no ms, no s
