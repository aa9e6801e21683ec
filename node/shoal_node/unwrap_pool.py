"""Feeds unwrapping workers in batches, and gives back in order what they found.

::

    submit ─► pending ─┬► a worker that is idle: whatever is there, up to 32
                       ├► one that has one batch: 16 or more, one ahead
                       └► all have two and 32 wait: opened here, 8 at a time
    worker ─► replies ─► batches, in the order of submission ─► deliver
    worker late, by 10 ms ─► its batch is opened here as well
    worker ended, silent, or wrong ─► its batches are opened here; another one in 1, 2 … 60 s

Workers hold mix keys and nothing else. What a relay remembers (replay tags, the pool, limits) it
asks and changes in its own process alone, before ``submit`` and in ``deliver``; and since batches
are delivered in the order in which they were submitted, nothing that leaves tells which worker
opened it. spec: mix §5
"""

import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from shoal_node import supervisor
from shoal_node.transport.interface import TaskStatus
from shoal_node.unwrap_records import (
    READY,
    REPLY_LENGTH,
    forget_record,
    key_record,
    open_record,
    read_reply,
)
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.packets.keys import MixKey, MixKeyring, index_of
from shoal_protocol.packets.unwrap import Opened, open_checked
from shoal_protocol.relay.mix import Admitted

log = logging.getLogger(__name__)

BATCH: Final = 32  # packets; a worker needs 2 ms for them
SHARE: Final = 8  # packets opened here at a time when all workers have enough
AHEAD: Final = 16  # packets that wait before a worker that is at work gets a second batch
START_S: Final = 30.0  # for a worker's start
LATE_S: Final = 0.01  # after which a batch is opened here as well: its worker's core is busy
PULSE_S: Final = 0.1  # between two looks at what is late, when nothing comes
PATIENCE_S: Final = 5.0  # for a batch, until its worker is given up
FIRST_PAUSE_S: Final = 1.0  # after a worker's end, doubled each time
LONGEST_PAUSE_S: Final = 60.0

Found = Opened | RemoteProtocolError


class Link(Protocol):
    """The relay's end of what leads to a worker; see ``unwrap_process.SocketLink``."""

    def write(self, data: bytes | bytearray) -> None: ...

    async def read(self) -> bytes: ...

    async def flush(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Batch:
    admitted: list[Admitted]
    sent: float = 0.0  # trio time
    found: list[Found] | None = None

    def open_here(self) -> None:
        self.found = [_open_here(each) for each in self.admitted]


@dataclass(slots=True, eq=False)
class _Worker:
    link: Link
    keys: dict[int, MixKey] = field(default_factory=dict)
    batches: deque[_Batch] = field(default_factory=deque)


def _open_here(admitted: Admitted) -> Found:
    try:
        return open_checked(admitted.packet, admitted.key)
    except RemoteProtocolError as error:
        return error


class UnwrapPool:
    """Some unwrapping workers of one relay.

    Args:
        wanted: how many, at least 1.
        keyring: the relay's mix keys.
        deliver: gets each packet and what was found, in the order of ``submit``; what it raises
            is contained.
        done: called when some have been delivered.
        start: starts one worker; it has ended when the context is left.

    ``counters`` has "unwrapped by workers", "unwrapped for late workers", "unwrapped for lost
    workers" (packets) and "workers lost".
    """

    def __init__(
        self,
        wanted: int,
        keyring: MixKeyring,
        deliver: Callable[[Admitted, Found], None],
        done: Callable[[], None],
        start: Callable[[], AbstractAsyncContextManager[Link]],
    ) -> None:
        self.wanted: Final = wanted
        self.counters: Final[Counter[str]] = Counter()
        self._keyring = keyring
        self._deliver = deliver
        self._done = done
        self._start = start
        self._workers: list[_Worker] = []
        self._pending: deque[Admitted] = deque()
        self._order: deque[_Batch] = deque()

    @property
    def running(self) -> int:
        """Workers that take packets now."""
        return len(self._workers)

    @property
    def busy(self) -> bool:
        """Whether any packet waits or is being opened."""
        return bool(self._pending or self._order)

    async def submit(self, admitted: Sequence[Admitted]) -> None:
        """Have packets opened; those that no worker has time for are opened here, at once."""
        self._pending.extend(admitted)
        self._feed()
        while len(self._pending) >= BATCH:
            self._batch(SHARE).open_here()
        await self._help()

    def rekey(self) -> None:
        """Give all workers the keys of the ring that they lack, and take away what has gone."""
        for worker in self._workers:
            self._give_keys(worker)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the workers running until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.wanted):
                nursery.start_soon(self._keep_one)
            task_status.started(None)

    async def _keep_one(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = trio.current_time()
            await supervisor.contain("unwrapping worker", self._work, counters=self.counters)
            self.counters["workers lost"] += 1
            if trio.current_time() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            log.warning(
                "an unwrapping worker ended: what it had is unwrapped here, and another one "
                "starts in %.0f s",
                pause,
            )
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _work(self) -> None:
        """Start a worker and use it until it ends, is silent too long, or says what it must not."""
        async with self._start() as link, trio.open_nursery() as nursery:
            nursery.start_soon(link.flush)
            with trio.fail_after(START_S):
                if await link.read() != READY:
                    raise LocalProtocolError("a worker did not begin")
            worker = _Worker(link)
            self._give_keys(worker)
            self._workers.append(worker)
            try:
                await self._read(worker)
            finally:
                self._workers.remove(worker)
                for batch in worker.batches:
                    if batch.found is None:
                        batch.open_here()
                        self.counters["unwrapped for lost workers"] += len(batch.admitted)
                self._feed()
                await self._hand_over()
            nursery.cancel_scope.cancel()

    async def _read(self, worker: _Worker) -> None:
        buffer = bytearray()
        while True:
            with trio.move_on_after(PULSE_S):
                data = await worker.link.read()
                if not data:
                    return
                buffer += data
            start = 0
            while worker.batches:
                batch = worker.batches[0]
                end = start + len(batch.admitted) * REPLY_LENGTH
                if len(buffer) < end:
                    break
                if batch.found is None:
                    cuts = range(start, end, REPLY_LENGTH)
                    with memoryview(buffer) as view:
                        batch.found = [read_reply(view, at) for at in cuts]
                worker.batches.popleft()
                start = end
            del buffer[:start]
            if start:
                self._feed()
                await self._hand_over()
            elif worker.batches and trio.current_time() - worker.batches[0].sent >= PATIENCE_S:
                return
            else:
                await self._help()

    def _feed(self) -> None:
        """Hand out what waits."""
        while self._pending:
            if not self._workers:
                self._batch(BATCH).open_here()
                continue
            worker = min(self._workers, key=lambda each: len(each.batches))
            ahead = len(worker.batches)
            if ahead > 1 or (ahead and len(self._pending) < AHEAD):
                break
            self._send(worker, self._batch(BATCH))

    def _batch(self, most: int) -> _Batch:
        size = min(most, len(self._pending))
        batch = _Batch([self._pending.popleft() for _ in range(size)])
        self._order.append(batch)
        return batch

    def _send(self, worker: _Worker, batch: _Batch) -> None:
        if not _has_keys(worker, batch):
            self._give_keys(worker)
            if not _has_keys(worker, batch):  # an epoch has ended since they were let in
                batch.open_here()
                return
        batch.sent = trio.current_time()
        worker.batches.append(batch)
        with contextlib.suppress(OSError):  # it has ended, as its reader will see
            worker.link.write(open_record([each.packet for each in batch.admitted]))
        self.counters["unwrapped by workers"] += len(batch.admitted)

    def _give_keys(self, worker: _Worker) -> None:
        held = {index_of(key.epoch): key for key in self._keyring.held()}
        records: list[bytes | bytearray] = []
        records += [forget_record(index) for index in worker.keys.keys() - held.keys()]
        records += [
            key_record(key) for index, key in held.items() if worker.keys.get(index) is not key
        ]
        worker.keys = held
        with contextlib.suppress(OSError):
            for record in records:
                worker.link.write(record)

    async def _help(self) -> None:
        """Open here what a worker is late with, and what waits behind that alone."""
        now = trio.current_time()
        for batch in self._order:
            if batch.found is None:
                if now - batch.sent < LATE_S:
                    break
                batch.open_here()
                self.counters["unwrapped for late workers"] += len(batch.admitted)
        await self._hand_over()
        if self._pending and not self._order:
            self._batch(BATCH).open_here()
            await self._hand_over()

    async def _hand_over(self) -> None:
        while self._order and self._order[0].found is not None:
            batch = self._order.popleft()
            todo = deque(zip(batch.admitted, batch.found or (), strict=True))
            while todo:  # a bug costs one packet
                await supervisor.contain("packets", self._deliver_all, todo, counters=self.counters)
        self._done()

    async def _deliver_all(self, todo: deque[tuple[Admitted, Found]]) -> None:
        while todo:
            self._deliver(*todo.popleft())


def _has_keys(worker: _Worker, batch: _Batch) -> bool:
    return all(worker.keys.get(each.packet[1]) is each.key for each in batch.admitted)
