"""A disk without room: nothing is acknowledged that isn't kept, deletions work, all recovers."""

import contextlib
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from service.store_contract import DAY, box, do, entry, put, read, scan
from shoal_node.store import relay_schema, relay_store
from shoal_node.store.group_commit import GroupCommit
from shoal_node.store.relay_store import RelayStore
from shoal_protocol.errors import StoreError, StoreFull
from shoal_protocol.parameters import LAB
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import (
    Expire,
    GetBox,
    Operation,
    Outcome,
    PutBox,
    Release,
    Store,
)
from support import START, seeded

OVER = Expire(START, DAY + LAB.box_days + 1)
MEBIBYTE = 2**20


def address(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RelayStore]:
    made = RelayStore(tmp_path / "relay.db", LAB, seeded("store"))
    yield made
    made.close()


@contextlib.contextmanager
def room_for_pages(store: RelayStore, more: int) -> Iterator[None]:
    """Let the database grow by ``more`` pages only: SQLite then says that the disk is full."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + more}")
    try:
        yield
    finally:
        store._db.execute(f"PRAGMA max_page_count = {2**31}")


@contextlib.contextmanager
def files_no_longer_than(length: int) -> Iterator[None]:
    """Have the kernel refuse to let any file of this process grow beyond ``length`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(store: Store, batch: int = 7) -> list[PutBox]:
    """Put boxes until there is no room; return those that were acknowledged."""
    kept: list[PutBox] = []
    for start in range(0, 100_000, batch):
        puts = [box(number, address(number)) for number in range(start, start + batch)]
        try:
            outcomes = store.execute(puts, START)
        except StoreFull:
            return kept
        assert outcomes == [Status.OK] * batch
        kept += puts
    raise AssertionError("there was room for everything")


def assert_kept(store: Store, boxes: list[PutBox]) -> None:
    assert [one.record for one in scan(store)] == [one.record for one in boxes]
    assert all(do(store, GetBox(one.address)) == one.record for one in boxes)


def test_a_database_that_cannot_grow_acknowledges_nothing_and_forgets_nothing(
    store: RelayStore,
) -> None:
    with room_for_pages(store, 40):
        kept = fill(store)
        assert 20 < len(kept) < 200
        for _ in range(3):
            with pytest.raises(StoreFull):
                store.execute([box(1, address(2**40 + n)) for n in range(40)], START)
        assert_kept(store, kept)
        assert store.usage.boxes == len(kept)
        grave = box(2, kept[0].address, tombstone=True)
        assert do(store, grave) is Status.OK
        assert do(store, OVER) == len(kept)
        again = fill(store)
        assert len(again) > len(kept) // 2
    assert do(store, box(1, address(2**40))) is Status.OK
    assert store.integrity() == []


def test_a_log_that_cannot_grow_acknowledges_nothing_and_forgets_nothing(
    store: RelayStore, tmp_path: Path
) -> None:
    with files_no_longer_than(MEBIBYTE):
        kept = fill(store)
        assert 200 < len(kept) < 1000
        assert_kept(store, kept)
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in ("relay.db", "relay.db-wal"):
            shutil.copy(tmp_path / name, copy / name)  # as a crash would leave them
    crashed = RelayStore(copy / "relay.db", LAB, seeded("crashed"))
    assert_kept(crashed, kept)
    assert crashed.integrity() == []
    crashed.close()
    assert do(store, box(1, address(2**40))) is Status.OK
    assert store.integrity() == []


class Disk(relay_schema.Reserve):
    """A reserve that has its length in common with the files, as on a full disk."""

    def take(self) -> bool:
        limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit == resource.RLIM_INFINITY or self._held:
            return super().take()
        if limit <= self.LENGTH:
            return False
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit - self.LENGTH, most))
        self._path.touch()
        self._held = True
        return True

    def give_up(self) -> bool:
        given = super().give_up()
        limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        if given and limit != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit + self.LENGTH, most))
        return given


def test_what_is_over_is_dropped_from_a_full_disk_by_means_of_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_schema, "Reserve", Disk)
    store, reserve = RelayStore(tmp_path / "a.db", LAB, seeded("a")), tmp_path / "a.db-reserve"
    assert reserve.stat().st_size == Disk.LENGTH
    with files_no_longer_than(MEBIBYTE):
        kept = fill(store)
        assert len(kept) > 200
        assert reserve.exists()
        assert do(store, OVER) == len(kept)
        assert scan(store) == []
    assert store.integrity() == []
    store.close()


def test_nothing_new_is_kept_while_there_is_no_room_for_the_reserve(
    store: RelayStore, tmp_path: Path
) -> None:
    kept = [box(number, address(number)) for number in range(300)]
    store.execute(kept, START)
    store._reserve.give_up()
    with files_no_longer_than(MEBIBYTE):
        for new in (box(1, address(2**40)), entry(1)):
            with pytest.raises(StoreFull):
                do(store, new)
        assert_kept(store, kept)
        assert do(store, OVER) == len(kept)
    assert do(store, box(1, address(2**40))) is Status.OK
    assert (tmp_path / "relay.db-reserve").stat().st_size == relay_schema.Reserve.LENGTH


def test_entries_are_released_while_the_log_cannot_grow(store: RelayStore) -> None:
    number = put(store, entry(1))
    with files_no_longer_than(MEBIBYTE):
        fill(store)
        assert [one.number for one in read(store)] == [number]
        assert do(store, Release(entry(1).address, number)) is None
        assert read(store) == []


def test_a_log_that_cannot_be_written_into_the_database_is_bounded(
    store: RelayStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_store, "LOG_LIMIT", MEBIBYTE // 2)
    store._db.execute("PRAGMA wal_autocheckpoint = 0")
    for number in range(0, 2_000, 50):
        puts = [box(n, address(n)) for n in range(number, number + 50)]
        store.execute(puts, START)
    assert (tmp_path / "relay.db-wal").stat().st_size < 2 * MEBIBYTE
    assert store.usage.boxes == 2_000


def test_our_own_limit_is_kept_to_the_byte(tmp_path: Path) -> None:
    limit = 2 * MEBIBYTE
    store, rng = RelayStore(tmp_path / "relay.db", LAB, seeded("store"), limit=limit), seeded("x")
    kept = 0
    for _ in range(40):
        puts = [box(1, rng.bytes(32)) for _ in range(1 + rng.below(80))]
        outcomes = store.execute(puts, START)
        kept += outcomes.count(Status.OK)
        assert set(outcomes) <= {Status.OK, Status.FULL}
        assert store.usage.bytes <= limit
    assert outcomes.count(Status.OK) == 0
    assert store.usage.full
    assert limit * 0.85 < kept * 2048 < limit
    store.close()
    assert (tmp_path / "relay.db").stat().st_size <= limit


async def test_one_greedy_batch_on_a_full_disk_costs_the_others_nothing(
    store: RelayStore, nursery: trio.Nursery
) -> None:
    kept = 300
    store.execute([box(number, address(number)) for number in range(kept)], START)
    outcomes: list[Outcome | StoreError] = []
    done = trio.Event()

    def told(outcome: Outcome | StoreError) -> None:
        outcomes.append(outcome)
        if len(outcomes) == len(operations):
            done.set()

    operations: list[Operation] = [
        GetBox(address(1)),
        *(box(n, address(2**40 + n)) for n in range(100)),
        GetBox(address(2)),
        box(1, address(1)),
        OVER,
        *(box(n, address(2**41 + n)) for n in range(20)),
    ]
    commits = GroupCommit(store, lambda: START)
    for operation in operations:
        commits.submit(operation, told)
    with room_for_pages(store, 8):
        await nursery.start(commits.run)
        with trio.fail_after(10):
            await done.wait()
        nursery.cancel_scope.cancel()
    assert outcomes[0] == box(1, address(1)).record
    some = [isinstance(outcome, StoreFull) for outcome in outcomes[1:101]]
    assert some == sorted(some)  # once there is no room, there is none
    assert 0 < sum(some) < 100
    assert outcomes[101] == box(2, address(2)).record
    assert outcomes[103] == kept + 100 - sum(some)
    assert outcomes[104:] == [Status.OK] * 20
    assert len(scan(store)) == 20
