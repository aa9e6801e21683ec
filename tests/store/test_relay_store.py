"""The relay's store on disk: it keeps the contract, opens what it may, and forgets for good."""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service import store_contract
from service.store_contract import DAY, Rule, box, do, entry, scan
from shoal_node.store import relay_schema
from shoal_node.store.relay_store import RelayStore
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.service import storage
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import Expire, GetBox, Operation, Release, Store
from support import START, seeded

PAGES_OF_AN_EMPTY_STORE = 24


class DiskStores:
    """Stores in one directory, closed at the end."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._open: dict[int, tuple[RelayStore, Path, NetworkParameters]] = {}

    def fresh(self, params: NetworkParameters = LAB, room: int = 10_000) -> Store:
        limit = (PAGES_OF_AN_EMPTY_STORE + room) * relay_schema.PAGE_LENGTH
        path = self._home / f"{len(self._open)}.db"
        return self._kept(RelayStore(path, params, seeded(path.name), limit=limit), path, params)

    def reopened(self, store: Store) -> Store:
        old, path, params = self._open[id(store)]
        old.close()
        return self._kept(RelayStore(path, params, seeded("again")), path, params)

    def close(self) -> None:
        for store, _, _ in self._open.values():
            assert store.integrity() == []
            store.close()

    def _kept(self, store: RelayStore, path: Path, params: NetworkParameters) -> RelayStore:
        self._open = {key: value for key, value in self._open.items() if value[1] != path} | {
            id(store): (store, path, params)
        }
        return store


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[DiskStores]:
    made = DiskStores(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("rule", store_contract.RULES, ids=lambda rule: str(rule.__name__))
def test_a_store_on_disk_keeps_the_contract(rule: Rule, stores: DiskStores) -> None:
    rule(stores)


def opened(path: Path) -> RelayStore:
    return RelayStore(path, LAB, seeded("store"))


def address(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_many_boxes_in_one_transaction_are_each_answered_as_in_memory(tmp_path: Path) -> None:
    store, twin, rng = opened(tmp_path / "relay.db"), MemoryStore(LAB, b"t" * 16), seeded("many")
    for _ in range(12):
        operations: list[Operation] = []
        for _ in range(rng.below(300)):
            at = address(rng.below(400))
            number = rng.below(3)
            put = box(number, at, tombstone=number == 2)
            operations.append(GetBox(at) if rng.below(8) == 0 else put)
        assert store.execute(operations, START) == twin.execute(operations, START)
    assert scan(store) == scan(twin)
    assert store.usage.boxes == len(twin)
    assert store.integrity() == []
    store.close()


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = opened(tmp_path / "relay.db")
        do(store, box(1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(("relay.db", "relay.db-wal", "relay.db-reserve"), 0o600)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["relay.db"]


def test_a_store_in_use_is_refused_with_a_sentence(tmp_path: Path) -> None:
    store = opened(tmp_path / "relay.db")
    with pytest.raises(UserError, match="in use"):
        opened(tmp_path / "relay.db")
    assert do(store, box(1)) is Status.OK
    store.close()


def test_a_damaged_file_and_an_impossible_place_are_refused_with_a_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "relay.db").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="damaged; remove it"):
        opened(tmp_path / "relay.db")
    with pytest.raises(UserError, match="cannot be opened: No such file"):
        opened(tmp_path / "nowhere" / "relay.db")


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE box (mine)")
        other.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(UserError, match="another program"):
        opened(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    opened(path).close()
    newer = (*relay_schema.STEPS, lambda _: None)
    relay_schema.open_database(path, newer).close()
    with pytest.raises(UserError, match="newer version of Shoal"):
        opened(path)
    relay_schema.open_database(path, newer).close()


def test_a_step_that_fails_leaves_the_version_before_with_all_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    store = opened(path)
    do(store, box(1))
    store.close()

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM box")
        connection.execute("CREATE TABLE box (twice)")

    with pytest.raises(UserError, match="cannot be read or written"):
        relay_schema.open_database(path, (*relay_schema.STEPS, half))
    store = opened(path)
    assert len(scan(store)) == 1
    assert store.integrity() == []
    store.close()


def test_a_bug_in_the_middle_of_a_batch_undoes_all_of_it(tmp_path: Path) -> None:
    store = opened(tmp_path / "relay.db")
    do(store, box(1))
    before = scan(store), store.usage
    batch: list[Operation] = [box(2, address(2)), entry(3), box(4, address(4), day=2**70)]
    with pytest.raises(OverflowError):
        store.execute(batch, START)
    assert (scan(store), store.usage) == before
    assert store.execute(batch[:2], START)[0] is Status.OK
    assert store.usage == replace(before[1], boxes=2, entries=1, bytes=store.usage.bytes)
    assert store.integrity() == []
    store.close()


def test_what_is_over_is_gone_from_the_files(tmp_path: Path) -> None:
    store = opened(tmp_path / "relay.db")
    content = b"sealed words " * 150
    planted = replace(box(1), record=(store_contract.ADDRESS + content)[:2048].ljust(2048))
    store.execute([planted, box(2, address(2), day=DAY + 1)], START)
    released = replace(entry(1, address(3)), record=(address(3) + content)[:2048].ljust(2048))
    do(store, released)
    assert do(store, Expire(START, DAY + LAB.box_days + 1)) == 1
    do(store, Release(address(3), storage.MAX_NUMBER))
    store.close()
    assert b"sealed words" not in (tmp_path / "relay.db").read_bytes()
    store = opened(tmp_path / "relay.db")
    assert len(scan(store)) == 1
    store.close()


def test_usage_tells_what_is_kept_also_after_a_restart(tmp_path: Path) -> None:
    store = opened(tmp_path / "relay.db")
    puts: list[Operation] = [box(number, address(number)) for number in range(100)]
    store.execute([*puts, entry(1), entry(2)], START)
    kept = store.usage
    assert (kept.boxes, kept.entries) == (100, 2)
    assert 100 * 2048 < kept.bytes < 100 * 2048 * 1.5 + 2**16
    store.close()
    store = opened(tmp_path / "relay.db")
    assert store.usage == kept
    store.close()


def test_a_box_takes_little_more_room_than_its_record(tmp_path: Path) -> None:
    store, rng = opened(tmp_path / "relay.db"), seeded("room")
    before = store.usage.bytes
    store.execute([box(1, rng.bytes(32)) for _ in range(2_000)], START)
    assert store.usage.bytes - before < 2_000 * 2048 * 1.1
    store.close()
