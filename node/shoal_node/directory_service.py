"""The relay directory in the node: trio drives its machines over channels.

::

    own entry ── Persist ──► persist() ── Publish ──┐
    Neighbours ── Dial ──► channel ── admit ────────┤
    others ──► /shoal/directory/1 ──► handler ──────┴─► DirectorySync ──► channels, changed

``Neighbours`` says whom to dial and which channels stay, ``DirectorySync`` what is said on
them. The handler can be given to a transport before the service runs; until then it closes
what comes. Who was there since when is kept in a file of the node's. spec: directory §6, §7.1, §9
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from shoal_node import keep, supervisor
from shoal_node.transport import address as multiaddr
from shoal_node.transport import framing
from shoal_node.transport.interface import (
    Channel,
    DialError,
    TaskStatus,
    Transport,
)
from shoal_protocol import identity
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import neighbours as choice
from shoal_protocol.directory import own, sync
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.neighbours import Admission, Dial, Neighbours
from shoal_protocol.directory.own import OwnEntry
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng

SAVE_S: Final = 600.0  # between two writes of who was there since when; spec: directory §7.1
FLOOD_S: Final = 1.0  # a peer that floods isn't read for so long
SHORTEST_S: Final = 0.001  # between two looks at a machine's time

Persister = Callable[[Version], Awaitable[None]]


@dataclass(slots=True)
class _Link:
    channel: Channel
    scope: trio.CancelScope


class DirectoryService:
    """One node's part in the relay directory.

    Args:
        machine: the gossip; its ``serve`` says whether this is a relay.
        now: the node's clock, ns since the Unix epoch.
        rng: for whom to dial.
        bootstrap: full addresses, ending in ``/p2p/<peer id>``; a person's guards.
        neighbours: channels that a relay keeps to others.
        entry: a relay's own entry, with ``persist``, which makes a version durable.
        tenure: the file in which the view's book of who was there since when is kept.

    Raises:
        RemoteProtocolError: a bootstrap address that can't be read.
    """

    def __init__(
        self,
        machine: DirectorySync,
        *,
        now: Callable[[], int],
        rng: Rng,
        bootstrap: Sequence[str] = (),
        neighbours: int = choice.NEIGHBOURS,
        entry: OwnEntry | None = None,
        persist: Persister | None = None,
        tenure: Path | None = None,
    ) -> None:
        self.machine: Final = machine
        self.counters: Final[Counter[str]] = Counter()
        self._now = now
        self._neighbours = Neighbours(machine.view, rng=rng, serve=machine.serve, count=neighbours)
        self._entry = entry
        self._persist = persist
        self._tenure = tenure if machine.view.judges else None
        self._entry_lock = trio.Lock()
        self._links: dict[bytes, _Link] = {}
        self._changed = trio.Event()
        self._poked = trio.Event()
        self._look = trio.Event()
        self.pin(bootstrap)

    @property
    def peers(self) -> tuple[bytes, ...]:
        """The relay ids of those connected, sorted."""
        return tuple(sorted(self._links))

    async def wait_changed(self) -> None:
        """Wait until the set of live descriptors changes after this call."""
        await self._changed.wait()

    def pin(self, addresses: Sequence[str]) -> None:
        """Replace the bootstrap addresses, or a person's guards; several may be of one relay.

        A person's node closes its channels to all others.

        Raises:
            RemoteProtocolError: an address that can't be read or names no peer.
        """
        pinned: dict[bytes, tuple[str, ...]] = {}
        for address in addresses:
            peer_id = multiaddr.parse(address).peer_id
            if peer_id is None:
                raise RemoteProtocolError("address")
            relay_id = identity.relay_id(peer_id)
            pinned[relay_id] = (*pinned.get(relay_id, ()), address)
        self.machine.view.dial_from(pinned)
        for relay_id in self._neighbours.pin(pinned):
            self._unlink(relay_id, self._links[relay_id].channel)
        self._look.set()

    async def refresh(
        self, addresses: Sequence[str], mix_keys: Sequence[tuple[int, bytes]]
    ) -> None:
        """Publish where this relay listens and its mix keys; as ``OwnEntry.refresh``."""
        if self._entry is not None:
            async with self._entry_lock:
                await self._mine(self._entry.refresh(addresses, mix_keys, self._now()))
            self._poke()

    async def leave(self, *, leaving: bool = True) -> None:
        """Ask everybody to give this relay nothing new, or to do so again; ``OwnEntry.leave``."""
        if self._entry is not None:
            async with self._entry_lock:
                await self._mine(self._entry.leave(self._now(), leaving=leaving))
            self._poke()

    async def run(
        self, transport: Transport, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Gossip until cancelled."""
        self._neighbours.begin(identity.relay_id(transport.peer_id))
        try:
            async with trio.open_nursery() as nursery:
                task_status.started(None)
                nursery.start_soon(self._keep_neighbours, transport, nursery)
                nursery.start_soon(self._keep_tenure)
                await self._keep_time()
        finally:
            if self.machine.serve:  # a person's home may be being erased
                self._save_tenure()
            for relay_id in self._neighbours.stop():
                self._unlink(relay_id, self._links[relay_id].channel)

    async def handler(self, channel: Channel) -> None:
        """Serve an incoming channel until it closes.

        Raises:
            ChannelClosed: the peer closed it.
            RemoteProtocolError: the peer sent what no peer may send: close the channel.
        """
        await self._serve(channel, outgoing=False)

    async def _serve(self, channel: Channel, *, outgoing: bool) -> None:
        peer, scope = channel.peer.relay_id, trio.CancelScope()
        match self._neighbours.admit(peer, outgoing=outgoing):
            case Admission.REFUSED:
                self.counters["channel refused"] += 1
                return
            case Admission.INSTEAD:
                self._close(peer)
            case Admission.TAKEN:
                pass
        self._links[peer] = _Link(channel, scope)
        try:
            self._do(self.machine.connected(peer, self._now()))
            self._poke()
            with scope:
                await self._read(peer, channel)
        finally:
            self._unlink(peer, channel)

    async def _read(self, peer: bytes, channel: Channel) -> None:
        while True:
            frame = await channel.receive()
            link = self._links.get(peer)
            if link is None or link.channel is not channel:
                return  # left while this frame was on its way to this task
            try:
                events = self.machine.receive(peer, frame, self._now())
            except RemoteProtocolError as error:
                self.counters[error.reason] += 1
                if error.reason != "flood":
                    raise
                await trio.sleep(FLOOD_S)
            else:
                self._do(events)
                self._poke()

    def _unlink(self, peer: bytes, channel: Channel) -> None:
        """Forget a channel if it is the one held."""
        link = self._links.get(peer)
        if link is not None and link.channel is channel:
            self._close(peer)
            self._neighbours.left(peer)
            self._look.set()

    def _close(self, peer: bytes) -> None:
        """Let go of the channel held; whoever reads it stops and closes it."""
        self._links.pop(peer).scope.cancel()
        if peer in self.machine.peers:
            self.machine.disconnected(peer)

    def _do(self, events: Sequence[sync.Event]) -> None:
        for event in events:
            match event:
                case sync.SendFrame(peer, frame):
                    link = self._links.get(peer)
                    if link is None or not link.channel.try_send(frame):
                        self.counters["frame dropped"] += 1
                case sync.Changed():
                    self._changed.set()
                    self._changed = trio.Event()
                    self._look.set()
                case sync.Drop(peer, reason):
                    self.counters[reason] += 1
                    if peer in self._links:
                        self._unlink(peer, self._links[peer].channel)

    async def _mine(self, events: Sequence[own.Event]) -> None:
        for event in events:
            match event:
                case own.Persist(version):
                    if self._persist is not None:
                        await self._persist(version)
                    if self._entry is not None:
                        await self._mine(self._entry.persisted(version, self._now()))
                case own.Publish(descriptor, lease):
                    self._do(self.machine.publish(descriptor, lease, self._now()))

    def _poke(self) -> None:
        self._poked.set()

    async def _keep_time(self) -> None:
        while True:
            self._poked = trio.Event()
            self._do(self.machine.handle_timer(self._now()))
            due = [self.machine.next_deadline()]
            if self._entry is not None:
                async with self._entry_lock:
                    await self._mine(self._entry.handle_timer(self._now()))
                due.append(self._entry.next_deadline())
            times = [time for time in due if time is not None]
            with trio.move_on_after(self._wait(min(times, default=None))):
                await self._poked.wait()

    async def _keep_neighbours(self, transport: Transport, nursery: trio.Nursery) -> None:
        while True:
            self._look = trio.Event()
            for dial in self._neighbours.handle_timer(self._now()):
                nursery.start_soon(
                    supervisor.contain, "directory dial", self._dial, transport, dial
                )
            with trio.move_on_after(self._wait(self._neighbours.next_deadline())):
                await self._look.wait()

    async def _keep_tenure(self) -> None:
        """Write now and then: what is lost by a crash is not counted, and that is all."""
        while self._tenure is not None:
            await trio.sleep(SAVE_S)
            self._save_tenure()

    def _save_tenure(self) -> None:
        if self._tenure is None:
            return
        try:
            keep.write(self._tenure, self.machine.view.tenure.dump())
        except OSError:
            self.counters["tenure not kept"] += 1

    def _wait(self, deadline: int | None) -> float:
        """Return the seconds until a machine's time."""
        if deadline is None:
            return float("inf")
        return max((deadline - self._now()) / SECOND, SHORTEST_S)

    async def _dial(self, transport: Transport, dial: Dial) -> None:
        """Open a channel to a relay and serve it till it closes."""
        try:
            channel = await self._open(transport, dial.addresses)
            if channel is not None:
                self._neighbours.opened(dial.number, self._now())
                self._look.set()
                try:
                    await self._serve(channel, outgoing=True)
                finally:
                    await channel.aclose()
        finally:
            self._neighbours.ended(dial.number, self._now())
            self._look.set()

    async def _open(self, transport: Transport, addresses: Sequence[str]) -> Channel | None:
        for address in addresses:
            try:
                return await transport.open(address, framing.DIRECTORY)
            except DialError as error:
                self.counters[f"dial: {error.reason}"] += 1
        return None
