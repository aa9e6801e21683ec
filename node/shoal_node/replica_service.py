"""Replication in the node: trio drives the Replicator over channels to other relays.

::

    directory ── directory_changed ──┐             ┌─ Access ─► GroupCommit ─► stored
    others ─► /shoal/replica/1 ──────┼► Replicator ┼─ Keep ───► DIR/replicas, in one step
    own channels ─► answers ─────────┘             └─ SendFrame ─┬─ answer: the peer's channel
                                                                 └─ request: one of our own,
                                                         dialled on demand, closed when idle

A channel is the business of who opened it: he asks, the other answers. A request that can't be
sent fails at once; an answer that can't is dropped, and the asker asks again. The handler can
be given to a transport before the service runs; until then it closes what comes.
spec: replication §5
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node import keep, supervisor
from shoal_node.store.group_commit import Done
from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, DialError, TaskStatus, Transport
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError, StoreError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.service.desk import Access
from shoal_protocol.service.replica_events import LIMITS, Event, Keep, Limits, SendFrame, Spare
from shoal_protocol.service.replication import Replicator
from shoal_protocol.service.storage import Operation, Outcome, PutBox, PutEntry

FILE: Final = "replicas"  # in the node's home: the memberships of the last walks
LINKS_MOST: Final = 256  # own channels; the least recently used idle one gives way
INCOMING_MOST: Final = 512  # channels that others opened; spec: replication §5
IDLE_S: Final = 30.0  # an own channel without a frame is closed
FLOOD_S: Final = 1.0  # a peer that floods isn't read for so long
FAILURE_PAUSE_S: Final = 0.1  # after a failed tick, so that a bug can't spin

Submit = Callable[[Operation, Done], None]
"""Has the relay's store execute an operation; as ``GroupCommit.submit``."""

Arrived = Callable[[PutBox | PutEntry, Outcome], None]
"""Hears what became of each record that was handed on, in the order of the store."""

Resolve = Callable[[bytes], Sequence[str]]
"""From a 16-byte relay id to the relay's full addresses, best first; empty for the unknown."""


@dataclass(slots=True, eq=False)
class _Link:
    """A channel of our own to a peer; ``channel`` is None while it is being dialled."""

    channel: Channel | None = None
    waiting: list[bytes] = field(default_factory=list[bytes])
    busy: bool = True  # dialling, or an answer is awaited
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class ReplicaService:
    """One relay's part in replication.

    Args:
        own_id: the relay's id, 16 bytes.
        params: the network's.
        rng: draws.
        now: the node's clock, ns since the Unix epoch.
        home: the node's directory, in which FILE is kept.
        relays: gives the ids of the relays in the directory now, own included.
        leaving: gives the ids of those that are leaving.
        resolve: asks the directory for a relay's addresses.
        submit: has the relay's store execute operations.
        arrived: is told what came, so that those who wait for it get it.
        limits: this relay's bounds.
    """

    def __init__(
        self,
        own_id: bytes,
        params: NetworkParameters,
        rng: Rng,
        now: Callable[[], int],
        *,
        home: Path,
        relays: Callable[[], Iterable[bytes]],
        leaving: Callable[[], Iterable[bytes]] = tuple,
        resolve: Resolve,
        submit: Submit,
        arrived: Arrived = lambda put, outcome: None,
        limits: Limits = LIMITS,
    ) -> None:
        self._path = home / FILE
        self._now = now
        self._relays = relays
        self._leaving = leaving
        self._resolve = resolve
        self._submit = submit
        self._arrived = arrived
        kept = keep.read(self._path) or b""
        self.machine: Final = Replicator(own_id, params=params, rng=rng, kept=kept, limits=limits)
        self._failures: Counter[str] = Counter()
        self._links: OrderedDict[bytes, _Link] = OrderedDict()
        self._incoming: dict[bytes, Channel] = {}
        self._to_keep: bytes | None = None
        self._poked = trio.Event()
        self._news = trio.Event()
        self._transport: Transport | None = None
        self._nursery: trio.Nursery | None = None

    @property
    def counters(self) -> Counter[str]:
        """Events by fixed label."""
        return self.machine.counters + self._failures

    async def run(
        self, transport: Transport, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Replicate until cancelled."""
        self._transport = transport
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started(None)
                nursery.start_soon(self._keep_memberships)
                self.directory_changed()
                await self._keep_time()
        finally:
            self._nursery = self._transport = None
            self._links.clear()
            self._incoming.clear()

    def directory_changed(self) -> None:
        """Look at the directory again: its relays may be others."""
        if self._nursery is not None:
            relays, leaving = self._relays(), self._leaving()
            self._do(self.machine.directory_changed(relays, self._now(), leaving=leaving))

    async def handler(self, channel: Channel) -> None:
        """Answer the peer that opened ``channel`` until it closes.

        Raises:
            ChannelClosed: the peer closed it.
            RemoteProtocolError: the peer has left the directory, or sent what no relay of it
                sends: close the channel.
        """
        peer = channel.peer.relay_id
        full = len(self._incoming) >= INCOMING_MOST and peer not in self._incoming
        if self._nursery is None or full or not self.machine.knows(peer):
            self._failures["replica channel refused"] += 1
            return
        self._incoming[peer] = channel
        try:
            while True:
                await self._receive(peer, await channel.receive())
        finally:
            if self._incoming.get(peer) is channel:
                del self._incoming[peer]

    async def _receive(self, peer: bytes, frame: bytes) -> None:
        try:
            events = self.machine.receive(peer, frame, self._now())
        except RemoteProtocolError as error:
            if error.reason != "flood":
                raise
            await trio.sleep(FLOOD_S)
        else:
            self._do(events)

    def _do(self, events: Sequence[Event]) -> None:
        """Carry out what the machine asks for; what fails at once is told it at once."""
        todo = deque(events)
        while todo:
            match todo.popleft():
                case Access(ticket, operation):
                    self._submit(operation, partial(self._stored, ticket, operation))
                case Keep(data):
                    self._to_keep = data
                    self._news.set()
                case SendFrame(peer, frame, answer=True):
                    channel = self._incoming.get(peer)
                    if channel is None or not channel.try_send(frame):
                        self._failures["answer dropped"] += 1
                case SendFrame(peer, frame):
                    if not self._request(peer, frame):
                        todo.extend(self.machine.failed(peer, self._now()))
                case Spare():
                    pass  # the store is not short of room, or would refuse what comes
        self._poked.set()

    def _request(self, peer: bytes, frame: bytes) -> bool:
        """Send a request over an own channel, dialling if need be; False when it can't be."""
        link = self._links.get(peer)
        if link is not None:
            self._links.move_to_end(peer)
            link.busy = True
            if link.channel is not None:
                return link.channel.try_send(frame)
            link.waiting = [frame]  # one request a peer: an earlier one has been given up
            return True
        if self._nursery is None or not self._has_room():
            self._failures["links full"] += 1
            return False
        link = self._links[peer] = _Link(waiting=[frame])
        self._nursery.start_soon(self._serve, peer, link)
        return True

    def _has_room(self) -> bool:
        if len(self._links) < LINKS_MOST:
            return True
        for peer, link in self._links.items():
            if not link.busy:
                del self._links[peer]
                link.scope.cancel()
                return True
        return False

    async def _serve(self, peer: bytes, link: _Link) -> None:
        """Open a link's channel and read it until it closes or is idle."""
        try:
            await supervisor.contain("replica link", self._run, peer, link, counters=self._failures)
        finally:
            if self._links.get(peer) is link:
                del self._links[peer]
                await supervisor.contain("replica link", self._fail, peer, counters=self._failures)

    async def _fail(self, peer: bytes) -> None:
        self._do(self.machine.failed(peer, self._now()))

    async def _run(self, peer: bytes, link: _Link) -> None:
        channel = await self._open(peer)
        try:
            if channel.peer.relay_id != peer:
                raise DialError("another peer")
            link.channel = channel
            for frame in link.waiting:
                channel.try_send(frame)
            link.waiting = []
            with link.scope:
                while True:
                    with trio.move_on_after(IDLE_S) as idle:
                        frame = await channel.receive()
                    if idle.cancelled_caught:
                        return
                    link.busy = False
                    await self._receive(peer, frame)
        finally:
            link.channel = None
            await channel.aclose()

    async def _open(self, peer: bytes) -> Channel:
        assert self._transport is not None
        failure = DialError("no address")
        for address in self._resolve(peer):
            try:
                return await self._transport.open(address, framing.REPLICA)
            except DialError as error:
                failure = error
        raise failure

    def _stored(self, ticket: int, operation: Operation, outcome: Outcome | StoreError) -> None:
        now = self._now()
        if isinstance(outcome, StoreError):
            self._do(self.machine.store_failed(ticket, now))
            return
        if isinstance(operation, PutBox | PutEntry):
            self._arrived(operation, outcome)
        self._do(self.machine.stored(ticket, outcome, now))

    async def _keep_memberships(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            data, self._to_keep = self._to_keep, None
            if data is not None:
                await supervisor.contain(
                    "replica file",
                    trio.to_thread.run_sync,
                    keep.write,
                    self._path,
                    data,
                    counters=self._failures,
                )

    async def _keep_time(self) -> None:
        while True:
            if not await supervisor.contain("replica timer", self._tick, counters=self._failures):
                await trio.sleep(FAILURE_PAUSE_S)
            self._poked = trio.Event()  # after the tick, which pokes; nothing runs in between
            due = self.machine.next_deadline()
            wait = float("inf") if due is None else max(0.0, (due - self._now()) / SECOND)
            with trio.move_on_after(wait):
                await self._poked.wait()

    async def _tick(self) -> None:
        self._do(self.machine.handle_timer(self._now()))
