"""The relay directory in the node: trio drives the gossip's machines over channels.

::

    own entry ── Persist ──► persist() ── Publish ──┐
    bootstrap, guards, relays of the view ── dial ──┤
    others ──► /shoal/directory/1 ──► handler ──────┴─► DirectorySync ──► channels, changed

A relay keeps about ``neighbours`` channels to relays of its view, chosen at random, and dials a
bootstrap address only while that relay is missing from the view, so that islands find each
other again and no bootstrap relay carries everybody. A person's node keeps a channel to each
address that it was given, its guards, and to nobody else. The handler can be given to a
transport before the service runs; until then it closes what comes. spec: directory §6, §9
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from shoal_node import supervisor
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
from shoal_protocol.directory import own, sync
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.own import OwnEntry
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng

NEIGHBOURS: Final = 6  # channels to other relays; spec: directory §9
CHANNELS_MOST: Final = 512  # beyond which no incoming one is taken; spec: directory §9
DIALS_MOST: Final = 8  # under way at once
REST_FIRST_S: Final = 1.0  # after a failed dial, doubling; spec: directory §9
REST_MOST_S: Final = 60.0
LIVED_S: Final = 10.0  # a channel that lived shorter counts as a failed dial
LOOK_S: Final = 1.0  # between two looks at whom to dial
FLOOD_S: Final = 1.0  # a peer that floods isn't read for so long

Persister = Callable[[Version], Awaitable[None]]


@dataclass(slots=True)
class _Link:
    channel: Channel
    outgoing: bool
    scope: trio.CancelScope


@dataclass(slots=True)
class _Rest:
    """When a relay may be dialled again, trio seconds."""

    failures: int = 0
    until: float = 0.0


class DirectoryService:
    """One node's part in the relay directory.

    Args:
        machine: the gossip; its ``serve`` says whether this is a relay.
        now: the node's clock, ns since the Unix epoch.
        rng: for whom to dial.
        bootstrap: full addresses, ending in ``/p2p/<peer id>``; a person's guards.
        neighbours: channels that a relay keeps to others.
        entry: a relay's own entry, with ``persist``, which makes a version durable.

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
        neighbours: int = NEIGHBOURS,
        entry: OwnEntry | None = None,
        persist: Persister | None = None,
    ) -> None:
        self.machine: Final = machine
        self.counters: Final[Counter[str]] = Counter()
        self._now = now
        self._rng = rng
        self._neighbours = neighbours
        self._entry = entry
        self._persist = persist
        self._entry_lock = trio.Lock()
        self._pinned: dict[bytes, tuple[str, ...]] = {}
        self._links: dict[bytes, _Link] = {}
        self._rests: dict[bytes, _Rest] = {}
        self._dialling: set[bytes] = set()
        self._changed = trio.Event()
        self._poked = trio.Event()
        self._look = trio.Event()
        self._running = False
        self._own_id = b""
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
        self._pinned = pinned
        self._look.set()
        if not self.machine.serve:
            for relay_id in set(self._links) - set(pinned):
                self._unlink(relay_id, self._links[relay_id].channel)

    async def refresh(
        self, addresses: Sequence[str], mix_keys: Sequence[tuple[int, bytes]]
    ) -> None:
        """Publish where this relay listens and its mix keys; as ``OwnEntry.refresh``."""
        if self._entry is not None:
            async with self._entry_lock:
                await self._mine(self._entry.refresh(addresses, mix_keys, self._now()))
            self._poke()

    async def run(
        self, transport: Transport, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Gossip until cancelled."""
        self._own_id = identity.relay_id(transport.peer_id)
        try:
            async with trio.open_nursery() as nursery:
                self._running = True
                task_status.started(None)
                nursery.start_soon(self._keep_neighbours, transport, nursery)
                await self._keep_time()
        finally:
            self._running = False
            for relay_id, link in list(self._links.items()):
                self._unlink(relay_id, link.channel)

    async def handler(self, channel: Channel) -> None:
        """Serve an incoming channel until it closes.

        Raises:
            ChannelClosed: the peer closed it.
            RemoteProtocolError: the peer sent what no peer may send: close the channel.
        """
        if self.machine.serve:
            await self._serve(channel, outgoing=False)

    async def _serve(self, channel: Channel, *, outgoing: bool) -> None:
        peer, scope = channel.peer.relay_id, trio.CancelScope()
        if not self._admit(peer, _Link(channel, outgoing, scope)):
            return
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

    def _admit(self, peer: bytes, link: _Link) -> bool:
        """Take a channel as the one to its peer, unless a better one is there.

        Two nodes that dial each other at once keep the one that the lower id dialled.
        """
        held = self._links.get(peer)
        full = held is None and not link.outgoing and len(self._links) >= CHANNELS_MOST
        if not self._running or full:
            self.counters["channel refused"] += 1
            return False
        preferred = self._own_id < peer
        if held is not None:
            if held.outgoing == preferred and link.outgoing != preferred:
                return False
            self._unlink(peer, held.channel)
        self._links[peer] = link
        return True

    def _unlink(self, peer: bytes, channel: Channel) -> None:
        """Forget a channel if it is the one held; whoever reads it stops and closes it."""
        link = self._links.get(peer)
        if link is not None and link.channel is channel:
            del self._links[peer]
            link.scope.cancel()
            if peer in self.machine.peers:
                self.machine.disconnected(peer)
            self._look.set()

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
            wait = (min(times) - self._now()) / SECOND if times else float("inf")
            with trio.move_on_after(max(wait, 0.001)):
                await self._poked.wait()

    async def _keep_neighbours(self, transport: Transport, nursery: trio.Nursery) -> None:
        while True:
            self._look = trio.Event()
            for relay_id, addresses in self._targets():
                self._dialling.add(relay_id)
                nursery.start_soon(
                    supervisor.contain, "directory dial", self._dial, transport, relay_id, addresses
                )
            with trio.move_on_after(LOOK_S):
                await self._look.wait()

    def _targets(self) -> list[tuple[bytes, tuple[str, ...]]]:
        """Choose whom to dial now."""
        view, now = self.machine.view, trio.current_time()

        def free(relay_id: bytes) -> bool:
            rest = self._rests.get(relay_id)
            busy = relay_id in self._links or relay_id in self._dialling
            return not busy and relay_id != self._own_id and (rest is None or rest.until <= now)

        found = [
            (relay_id, addresses)
            for relay_id, addresses in sorted(self._pinned.items())
            if free(relay_id) and (not self.machine.serve or view.get(relay_id) is None)
        ]
        relays = view.relays(self._now())
        known = {relay.relay_id for relay in relays}
        self._rests = {i: r for i, r in self._rests.items() if i in known or i in self._pinned}
        if self.machine.serve:
            missing = self._neighbours - len(known & {*self._links, *self._dialling})
            if missing > 0:
                others = [relay for relay in relays if free(relay.relay_id)]
                chosen = self._rng.sample(others, missing)
                found += [(relay.relay_id, relay.addresses) for relay in chosen]
        return found[: max(0, DIALS_MOST - len(self._dialling))]

    async def _dial(self, transport: Transport, relay_id: bytes, addresses: Sequence[str]) -> None:
        """Open a channel to a relay and serve it till it closes; then let the relay rest."""
        lived = 0.0
        try:
            channel = await self._open(transport, addresses)
            began = trio.current_time()
            self._dialling.discard(relay_id)
            try:
                if channel is not None:
                    await self._serve(channel, outgoing=True)
            finally:
                lived = trio.current_time() - began
                if channel is not None:
                    await channel.aclose()
        finally:
            self._dialling.discard(relay_id)
            rest = self._rests.setdefault(relay_id, _Rest())
            rest.failures = 0 if lived >= LIVED_S else rest.failures + 1
            pause = min(REST_MOST_S, REST_FIRST_S * 2 ** min(rest.failures, 10) / 2)
            rest.until = trio.current_time() + pause * (0.5 + self._rng.uniform())

    async def _open(self, transport: Transport, addresses: Sequence[str]) -> Channel | None:
        for address in addresses:
            try:
                return await transport.open(address, framing.DIRECTORY)
            except DialError as error:
                self.counters[f"dial: {error.reason}"] += 1
        return None
