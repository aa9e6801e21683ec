"""What makes a person's changes durable: one task, one worker thread, one transaction at a time.

::

    submit(changes, then) ─► waiting ─┐
    submit(changes, then) ─► waiting ─┼─► all in one transaction ─► committed(number)
    submit(None, then) ────► waiting ─┘   in a worker thread     ├─► then(), in order
                                 ▲                               └─► durable(number) returns
                                 └──── no room: pause, a warning, and the same again
    close() ─► what waits, once more ─► what still waits is lost: durable(number) raises

Whatever comes while a transaction runs goes into the next one, so that the cost of a
synchronised commit is shared when there is much to do. A commit is never cancelled half-way.
While the disk is full nothing is dropped and nothing acknowledged; the queue is bounded by
nothing but its users, who look at :attr:`Commits.warning` before they take on more. Any other
failure of the store ends the node, as only a fresh start knows what is on the disk.
After magic-wormhole's journal: commit, then send.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import trio

from shoal_node.transport.interface import TaskStatus
from shoal_protocol.client.state import Changes
from shoal_protocol.errors import StoreFailed, StoreFull, UserError

log = logging.getLogger(__name__)

_T = TypeVar("_T")

FULL_PAUSE_S: Final = 2.0  # between two attempts while there is no room
TIDY_S: Final = 60.0  # what was deleted or replaced is gone from the log within this time
CLOSED: Final = "The store is closed."
FULL: Final = "The disk is full: nothing new can be kept or sent until there is room."


class Store(Protocol):
    """What is driven; :class:`~shoal_node.store.person_store.PersonStore`."""

    def commit(self, batches: Sequence[Changes]) -> None:
        """Make all of it durable or none; raises StoreFull, StoreFailed or UserError."""

    def tidy(self) -> bool:
        """Drop what is left of deleted data; False when there is no room to."""

    def close(self) -> None:
        """Close."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    number: int
    changes: Changes | None
    then: Callable[[], None] | None


class Commits:
    """Commits what the person's node submits, in order.

    Args:
        store: used by one thread at a time, and by nobody else once this exists.
        committed: called with a batch's number once every batch up to it is durable.
    """

    def __init__(self, store: Store, committed: Callable[[int], None]) -> None:
        self._store = store
        self._committed = committed
        self._limiter = trio.CapacityLimiter(1)
        self._waiting: deque[_Waiting] = deque()
        self._last = 0  # the highest number submitted
        self._durable = 0
        self._work = trio.Event()
        self._progress = trio.Event()
        self._tidy_at = math.inf  # when the next tidying is due
        self._full = False
        self._lost: str | None = None  # why what is not durable never will be

    @property
    def warning(self) -> str | None:
        """A sentence for the user while nothing can be committed."""
        return FULL if self._full else None

    def submit(self, changes: Changes | None, then: Callable[[], None] | None = None) -> int:
        """Queue ``changes``, and call ``then`` once they and all before them are durable.

        Args:
            changes: None when nothing changed: ``then`` still waits for what came before,
                and is called at once when that is durable.
            then: must not fail.

        Returns:
            The number to wait for with :meth:`durable`.
        """
        if changes is not None:
            self._last = max(self._last, changes.number)
        elif not self._waiting:
            if then is not None:
                then()
            return self._last
        if changes is not None or then is not None:
            self._waiting.append(_Waiting(self._last, changes, then))
            self._work.set()
        return self._last

    async def durable(self, number: int) -> None:
        """Return once every batch up to ``number`` is durable.

        Raises:
            UserError: it never will be: the store is closed, and was full, or had failed.
        """
        while self._durable < number:
            if self._lost is not None:
                raise UserError(self._lost)
            await self._progress.wait()
        await trio.lowlevel.checkpoint()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit what is submitted until cancelled; :meth:`close` commits the rest.

        Raises:
            UserError: the store failed in another way than by being full.
        """
        task_status.started(None)
        while True:
            await self._wait()
            if self._waiting and not await self._commit():
                await trio.sleep(FULL_PAUSE_S)
            if trio.current_time() >= self._tidy_at:
                await self._tidy()

    async def close(self) -> None:
        """Commit what waits, trying once, and close the store; call it shielded.

        Whoever waits for what could not be committed gets an error.

        Raises:
            UserError: the store failed in another way than by being full.
        """
        lost = CLOSED
        try:
            if self._waiting and not await self._commit():
                lost = FULL
                log.warning("store is full at the end: batches lost=%d", len(self._waiting))
        except UserError as error:
            lost = str(error)
            raise
        finally:
            self._lost = lost
            self._progress.set()
            await self._in_thread(self._store.close)

    async def _wait(self) -> None:
        """Wait for something to commit, or for the time to tidy."""
        with trio.CancelScope(deadline=self._tidy_at):
            if not self._waiting:
                self._work = trio.Event()
                await self._work.wait()
        await trio.lowlevel.checkpoint()

    async def _commit(self) -> bool:
        """Commit everything that waits now; False when there is no room."""
        count = len(self._waiting)
        batches = [one.changes for one in self._waiting if one.changes is not None]
        if batches:
            try:
                await self._in_thread(lambda: self._store.commit(batches))
            except StoreFull:
                if not self._full:
                    log.warning("store is full")
                self._full = True
                return False
            if self._full:
                log.info("store has room again")
            self._full = False
            self._tidy_at = min(self._tidy_at, trio.current_time() + TIDY_S)
        number = self._waiting[count - 1].number
        if number > self._durable:
            self._committed(number)
            self._durable = number
            self._progress.set()
            self._progress = trio.Event()
        for _ in range(count):
            then = self._waiting.popleft().then
            if then is not None:
                then()
        return True

    async def _tidy(self) -> None:
        tidied = await self._in_thread(self._store.tidy)
        self._tidy_at = math.inf if tidied else trio.current_time() + TIDY_S

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        with trio.CancelScope(shield=True):
            try:
                return await trio.to_thread.run_sync(work, limiter=self._limiter)
            except StoreFailed as error:
                raise UserError(str(error)) from None
