"""Group commit: many at once, told in order and after the commit, whatever happens to one."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
import trio

from service.store_contract import box, entry
from shoal_node.store import group_commit
from shoal_node.store.group_commit import GroupCommit
from shoal_protocol.errors import LocalProtocolError, StoreError, StoreFailed, StoreFull
from shoal_protocol.parameters import LAB
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import (
    GetBox,
    Operation,
    Outcome,
    PutBox,
    PutEntryOutcome,
    Release,
)
from support import START


@dataclass
class HeldStore:
    """A store whose transactions wait in their thread until they are let go.

    Args:
        room: records that it has; beyond, a transaction that puts raises StoreFull.
    """

    room: int = 1000
    batches: list[list[Operation]] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1_000))
    closed: bool = False
    error: Exception | None = None
    instance: bytes = b"i" * 16

    def __post_init__(self) -> None:
        self.inner = MemoryStore(LAB, self.instance)

    def hold(self) -> None:
        """Let no transaction end until :meth:`let_go`."""
        self.go = threading.Semaphore(0)

    def let_go(self) -> None:
        self.go.release(1_000)

    def execute(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        assert not self.closed
        self.batches.append(list(operations))
        self.begun.release()
        self.go.acquire()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        new = sum(isinstance(one, PutBox) for one in operations)
        if new and len(self.inner) + new > self.room:
            raise StoreFull
        return self.inner.execute(operations, now)

    def close(self) -> None:
        self.closed = True


@dataclass
class Told:
    """What was told, in order."""

    outcomes: list[tuple[object, Outcome | StoreError]] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)

    def to(self, name: object) -> Callable[[Outcome | StoreError], None]:
        def done(outcome: Outcome | StoreError) -> None:
            self.outcomes.append((name, outcome))
            self.changed.set()

        return done

    async def until(self, count: int) -> list[Outcome | StoreError]:
        with trio.fail_after(10):
            while len(self.outcomes) < count:
                self.changed = trio.Event()
                await self.changed.wait()
        return [outcome for _, outcome in self.outcomes]


def address(number: int) -> bytes:
    return number.to_bytes(32, "big")


async def began(store: HeldStore) -> None:
    """Wait until a transaction is under way in its thread."""
    with trio.fail_after(10):
        await trio.to_thread.run_sync(store.begun.acquire)


async def test_what_comes_during_a_commit_shares_the_next_one(nursery: trio.Nursery) -> None:
    store, told = HeldStore(), Told()
    store.hold()
    commits = GroupCommit(store, lambda: START)
    await nursery.start(commits.run)
    commits.submit(box(0, address(0)), told.to(0))
    await began(store)
    for number in range(1, 6):
        commits.submit(box(number, address(number)), told.to(number))
    assert commits.queue == 6
    assert told.outcomes == []  # nothing is told before its commit
    store.let_go()
    assert await told.until(6) == [Status.OK] * 6
    assert [name for name, _ in told.outcomes] == list(range(6))
    assert [len(batch) for batch in store.batches] == [1, 5]
    assert commits.queue == 0


async def test_a_batch_is_bounded(nursery: trio.Nursery) -> None:
    store, told = HeldStore(), Told()
    commits = GroupCommit(store, lambda: START)
    count = group_commit.MAX_BATCH + 3
    for number in range(count):
        commits.submit(GetBox(address(number)), told.to(number))
    await nursery.start(commits.run)
    assert await told.until(count) == [None] * count
    assert [len(batch) for batch in store.batches] == [group_commit.MAX_BATCH, 3]


async def test_without_room_for_all_the_rest_is_done_and_puts_are_told_full(
    nursery: trio.Nursery,
) -> None:
    store, told = HeldStore(room=1), Told()
    commits = GroupCommit(store, lambda: START)
    operations: list[Operation] = [
        entry(7),
        box(1, address(1)),
        GetBox(address(9)),
        box(2, address(2)),
        Release(entry(7).address, 2**62),
        box(3, address(3)),
        GetBox(address(3)),
    ]
    for number, operation in enumerate(operations):
        commits.submit(operation, told.to(number))
    await nursery.start(commits.run)
    outcomes = await told.until(len(operations))
    assert commits.warning == group_commit.FULL
    assert isinstance(outcomes[0], PutEntryOutcome)
    assert isinstance(outcomes[1], StoreFull)
    assert outcomes[2] is None
    assert isinstance(outcomes[3], StoreFull)
    assert outcomes[4:6] == [None, Status.OK]  # what was released made room
    assert isinstance(outcomes[6], bytes)
    assert box(2, address(2)) not in [one for batch in store.batches[1:] for one in batch]
    store.room = 100
    commits.submit(box(4, address(4)), told.to("later"))
    assert (await told.until(len(operations) + 1))[-1] is Status.OK
    assert commits.warning is None


async def test_a_store_that_fails_fails_its_batch_and_goes_on(nursery: trio.Nursery) -> None:
    store, told = HeldStore(error=StoreFailed("io")), Told()
    commits = GroupCommit(store, lambda: START)
    for number in range(3):
        commits.submit(box(number, address(number)), told.to(number))
    await nursery.start(commits.run)
    assert all(isinstance(one, StoreFailed) for one in await told.until(3))
    assert commits.warning == group_commit.FAILED
    commits.submit(GetBox(address(0)), told.to("after"))
    assert (await told.until(4))[3] is None


async def test_an_operation_beyond_the_queue_is_told_in_its_turn_that_it_failed(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 2)
    store, told = HeldStore(), Told()
    commits = GroupCommit(store, lambda: START)
    for number in range(4):
        commits.submit(box(number, address(number)), told.to(number))
    assert told.outcomes == []
    await nursery.start(commits.run)
    outcomes = await told.until(4)
    assert outcomes[:2] == [Status.OK, Status.OK]
    assert all(isinstance(one, StoreFailed) for one in outcomes[2:])
    assert [name for name, _ in told.outcomes] == [0, 1, 2, 3]
    assert commits.counters["store queue full"] == 2


async def test_one_user_that_fails_costs_the_others_nothing(nursery: trio.Nursery) -> None:
    store, told = HeldStore(), Told()
    commits = GroupCommit(store, lambda: START)

    def fail(_: Outcome | StoreError) -> None:
        raise LocalProtocolError("a bug")

    commits.submit(GetBox(address(0)), told.to(0))
    commits.submit(GetBox(address(0)), fail)
    commits.submit(GetBox(address(0)), told.to(2))
    await nursery.start(commits.run)
    assert await told.until(2) == [None, None]
    assert commits.counters["LocalProtocolError"] == 1


async def test_a_bug_in_the_store_ends_the_task_and_the_next_run_answers(
    nursery: trio.Nursery,
) -> None:
    store, told = HeldStore(error=ValueError("a bug")), Told()
    commits = GroupCommit(store, lambda: START)
    commits.submit(box(1, address(1)), told.to(1))
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="a bug")):
        await commits.run()
    assert told.outcomes == []
    commits.submit(box(2, address(2)), told.to(2))
    await nursery.start(commits.run)
    first, second = await told.until(2)
    assert isinstance(first, StoreFailed)
    assert second is Status.OK


async def test_a_commit_under_way_ends_before_the_store_is_closed() -> None:
    store, told = HeldStore(), Told()
    store.hold()
    commits = GroupCommit(store, lambda: START)
    async with trio.open_nursery() as nursery:
        await nursery.start(commits.run)
        commits.submit(box(1, address(1)), told.to(1))
        await began(store)
        commits.submit(box(2, address(2)), told.to(2))  # comes too late
        nursery.cancel_scope.cancel()
        store.let_go()
    await commits.close()
    assert store.closed
    assert len(store.inner) == 1
    assert len(store.batches) == 1
    assert all(name == 1 for name, _ in told.outcomes)  # and nobody was told of what wasn't done
