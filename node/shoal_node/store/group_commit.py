"""What makes a relay's accesses durable: one task, one worker thread, one transaction at a time.

::

    submit(operation, done) ─► waiting ─┐
    submit(operation, done) ─► waiting ─┼─► one transaction ─► done(outcome), in order
    submit(operation, done) ─► waiting ─┘   in a worker thread
                                              └─ no room: each alone ─► done(StoreFull)

What comes while a transaction runs goes into the next one, so that many share the cost of a
synchronised commit; the relay mixes, checks signatures and tells the outcomes of the one
before meanwhile. An outcome is told after the commit and in the order of submission, whatever
became of it. The queue is bounded:
an operation beyond it isn't done, and its ``done`` gets StoreFailed when its turn comes, so
users keep a bound on what they have under way (``service.desk`` and ``service.replica_events``
do). A commit is never cancelled half-way; at the end, what waits is not done, and nobody was
told that it was.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import trio

from shoal_node import supervisor
from shoal_node.transport.interface import TaskStatus
from shoal_protocol.errors import StoreError, StoreFailed, StoreFull
from shoal_protocol.service import storage
from shoal_protocol.service.storage import Operation, Outcome, PutBox, PutEntry

log = logging.getLogger(__name__)

MAX_WAITING: Final = 16_384  # operations; 32 MiB of records
MAX_BATCH: Final = 512  # operations in one transaction
TURN: Final = 32  # outcomes told before other tasks have their turn
FULL: Final = "The disk is full: this relay keeps nothing new until there is room."
FAILED: Final = "This relay's store cannot be read or written."

Done = Callable[[Outcome | StoreError], None]
_T = TypeVar("_T")


class ClosableStore(storage.Store, Protocol):
    """A store that is closed at the end."""

    def close(self) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    operation: Operation | None  # None: there was no place for it
    done: Done


class GroupCommit:
    """Executes what is submitted, in order, many at a time.

    Args:
        store: used by one thread at a time, and by nobody else once this exists.
        now: tells the time, ns.
    """

    def __init__(self, store: ClosableStore, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._limiter = trio.CapacityLimiter(1)
        self._waiting: deque[_Waiting] = deque()
        self._executing: list[_Waiting] = []
        self._outcomes: deque[tuple[Done, Outcome | StoreError]] = deque()
        self._work = trio.Event()
        self._news = trio.Event()
        self._warning: str | None = None
        self.counters: Counter[str] = Counter()

    @property
    def warning(self) -> str | None:
        """A sentence for the operator while the store doesn't do what it is asked."""
        return self._warning

    @property
    def queue(self) -> int:
        """Operations that wait or are being executed."""
        return len(self._waiting) + len(self._executing)

    def submit(self, operation: Operation, done: Done) -> None:
        """Have the store execute ``operation``; ``done`` is called in its turn, exactly once.

        ``done`` gets the outcome once it is durable, or a StoreError when it has not happened.
        """
        if self.queue >= MAX_WAITING:
            self.counters["store queue full"] += 1
            self._waiting.append(_Waiting(None, done))
        else:
            self._waiting.append(_Waiting(operation, done))
        self._work.set()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Execute until cancelled."""
        self._finish([StoreFailed("bug")] * len(self._executing))  # an earlier run was ended by one
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            task_status.started(None)
            while True:
                if not self._waiting:
                    self._work = trio.Event()
                    await self._work.wait()
                await trio.lowlevel.checkpoint_if_cancelled()
                await self._commit()

    async def close(self) -> None:
        """Close the store once its transaction is over; nothing runs after."""
        await self._in_thread(self._store.close)

    async def _commit(self) -> None:
        """Execute a batch; outcomes of the one before are told meanwhile."""
        count = min(len(self._waiting), MAX_BATCH)
        self._executing = [self._waiting.popleft() for _ in range(count)]
        operations = [one.operation for one in self._executing if one.operation is not None]
        outcomes = await self._in_thread(partial(_execute, self._store, operations, self._now()))
        self._judge(operations, outcomes)
        self._finish(outcomes)

    def _judge(
        self, operations: Sequence[Operation], outcomes: Sequence[Outcome | StoreError]
    ) -> None:
        """Warn when the store can't, and take that back once it has written again."""
        before = self._warning
        if any(isinstance(outcome, StoreFailed) for outcome in outcomes):
            self._warning = FAILED
        elif any(isinstance(outcome, StoreFull) for outcome in outcomes):
            self._warning = FULL
        elif any(isinstance(operation, PutBox | PutEntry) for operation in operations):
            self._warning = None
        if self._warning not in (None, before):
            log.warning("relay store: %s", "full" if self._warning == FULL else "failed")

    def _finish(self, outcomes: Sequence[Outcome | StoreError]) -> None:
        """Note the outcomes of what was executed, to be told."""
        one = iter(outcomes)
        self._outcomes.extend(
            (waiting.done, StoreFailed("queue") if waiting.operation is None else next(one))
            for waiting in self._executing
        )
        self._executing = []
        self._news.set()

    async def _tell(self) -> None:
        """Tell the outcomes, contained: a bug of one user costs no other its answer."""
        while True:
            while self._outcomes:
                await supervisor.contain("stored", self._tell_some, counters=self.counters)
                await trio.lowlevel.checkpoint()
            self._news = trio.Event()
            await self._news.wait()

    async def _tell_some(self) -> None:
        for _ in range(min(TURN, len(self._outcomes))):
            done, outcome = self._outcomes.popleft()
            done(outcome)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        with trio.CancelScope(shield=True):
            return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _execute(
    store: storage.Store, operations: Sequence[Operation], now: int
) -> Sequence[Outcome | StoreError]:
    """Execute all in one transaction; without room for it, each alone, as far as there is room.

    Once one PUT alone had no room, others aren't tried until something was dropped.
    """
    try:
        return store.execute(operations, now)
    except StoreFailed as error:
        return [error] * len(operations)
    except StoreFull:
        pass
    outcomes: list[Outcome | StoreError] = []
    full: StoreFull | None = None
    for operation in operations:
        if full is not None and isinstance(operation, PutBox | PutEntry):
            outcomes.append(full)
            continue
        try:
            outcomes += store.execute([operation], now)
        except StoreFull as error:
            full = error if isinstance(operation, PutBox | PutEntry) else full
            outcomes.append(error)
        except StoreFailed as error:
            outcomes.append(error)
        else:
            full = None if isinstance(operation, storage.WRITES) else full
    return outcomes
