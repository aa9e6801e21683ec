"""The in-memory twin of the libp2p host: a whole network in one process, in virtual time.

::

    MemoryNetwork
      ├── run(handlers, seed=…) ─► MemoryTransport at /memory/1/p2p/…
      └── run(handlers, seed=…) ─► MemoryTransport at /memory/2/p2p/…
                    link: outbox ─► in flight (latency, partition) ─► inbox, and back

The queues, bounds, identities and errors are those of the real host; what is missing is bytes
on sockets. A test can slow links, cut the network, kill a node as ``kill -9`` would, and read
everything that crossed a link. (after trio.testing's fake network)
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from shoal_node import supervisor
from shoal_node.transport import address as addresses
from shoal_node.transport.channel import QueuedChannel
from shoal_node.transport.framing import Framing, framing_of
from shoal_node.transport.interface import (
    DialError,
    Handlers,
    Peer,
    TaskStatus,
    TransportLimits,
)
from shoal_node.transport.metering import Meter
from shoal_protocol import crypto, identity
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError

IN_FLIGHT: Final = 1_048_576  # bytes a direction that latency may hold, as a TCP window does
BATCH: Final = 61_440  # bytes taken from an outbox at once

Latency = Callable[[bytes, bytes], float]
"""One-way delay in seconds from one peer id to another."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One frame entering a link: trio time in seconds, 38-byte peer ids, bytes on the stream."""

    time: float
    source: bytes
    target: bytes
    protocol: str
    size: int


class MemoryNetwork:
    """Nodes that can reach each other without sockets.

    Args:
        latency: one-way delay of every link in seconds, or a function of two peer ids.
    """

    def __init__(self, latency: float | Latency = 0.0) -> None:
        self._latency: Latency = latency if callable(latency) else lambda _a, _b: latency
        self._nodes: dict[int, MemoryTransport] = {}
        self._count = 0
        self._island: frozenset[bytes] = frozenset()
        self._changed = trio.Event()
        self.crossings: list[Crossing] | None = None

    async def run(
        self,
        handlers: Handlers,
        *,
        seed: bytes,
        listen: Sequence[str] = ("/memory/0",),
        limits: TransportLimits | None = None,
        task_status: TaskStatus["MemoryTransport"] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Put a node on the network until cancelled; ``started`` gets its MemoryTransport.

        Args:
            handlers: as for the libp2p host.
            seed: 32 bytes, the node's Ed25519 seed.
            listen: anything but empty makes the node reachable, under a number of its own.
            limits: bounds; defaults to those of the real host.
        """
        self._count += 1
        node = MemoryTransport(self, self._count, handlers, seed, limits or TransportLimits())
        if listen:
            node.addresses = (str(addresses.Address("memory", str(node.number), 0, node.peer_id)),)
        self._nodes[node.number] = node
        try:
            async with trio.open_nursery() as nursery:
                node.nursery = nursery
                task_status.started(node)
                await trio.sleep_forever()
        finally:
            node.vanish()
            del self._nodes[node.number]

    def record(self) -> list[Crossing]:
        """Begin to note every frame that enters a link; returns the list that grows."""
        self.crossings = []
        return self.crossings

    def kill(self, peer_id: bytes) -> None:
        """Make a node vanish as ``kill -9`` would: its links break, dials to it fail."""
        self.node(peer_id).vanish()

    def partition(self, island: Collection[bytes]) -> None:
        """Cut these peer ids off from all others: frames wait, dials fail, links die in time."""
        self._island = frozenset(island)
        self._wake()

    def heal(self) -> None:
        """End the partition; what waited goes on, in order."""
        self.partition(())

    def node(self, peer_id: bytes) -> "MemoryTransport":
        """Return the transport of a peer id.

        Raises:
            LocalProtocolError: nobody on this network has it.
        """
        for node in self._nodes.values():
            if node.peer_id == peer_id:
                return node
        raise LocalProtocolError("no such node")

    # What follows is for transports and links.

    def find(self, number: int) -> "MemoryTransport | None":
        node = self._nodes.get(number)
        return node if node is not None and node.alive and node.addresses else None

    def is_cut(self, one: bytes, other: bytes) -> bool:
        return (one in self._island) != (other in self._island)

    def delay(self, source: bytes, target: bytes) -> float:
        return self._latency(source, target)

    async def wait_until_cut(self, one: bytes, other: bytes, *, cut: bool) -> None:
        while self.is_cut(one, other) != cut:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class MemoryTransport:
    """One node's presence on a MemoryNetwork; implements ``interface.Transport``."""

    nursery: trio.Nursery

    def __init__(
        self,
        network: MemoryNetwork,
        number: int,
        handlers: Handlers,
        seed: bytes,
        limits: TransportLimits,
    ) -> None:
        self.network = network
        self.number = number
        self.handlers = handlers
        self.limits = limits
        self.public_key = crypto.ed25519_public(seed)
        self.peer_id = identity.peer_id(self.public_key)
        self.addresses: tuple[str, ...] = ()
        self.counters: Counter[str] = Counter()
        self.meter: Final = Meter()
        self.links: set[_Link] = set()
        self.alive = True

    async def open(self, address: str, protocol: str) -> QueuedChannel:
        """See ``interface.Transport``."""
        framing = framing_of(protocol)
        try:
            target = addresses.parse(address)
        except RemoteProtocolError:
            raise DialError("address") from None
        await trio.lowlevel.checkpoint()
        if target.kind != "memory" or target.peer_id is None:
            raise DialError("address")
        if not self.alive or target.peer_id == self.peer_id:
            raise DialError("unreachable")
        with trio.move_on_after(self.limits.dial_s):
            await self.network.wait_until_cut(self.peer_id, target.peer_id, cut=False)
            await trio.sleep(3 * self.network.delay(self.peer_id, target.peer_id))
            other = self.network.find(int(target.host))
            if other is None or not self.alive:
                raise DialError("unreachable")
            if other.peer_id != target.peer_id:
                raise DialError("another peer")
            if protocol not in other.handlers:
                raise DialError("protocol refused")
            if self.is_full(other.peer_id, protocol) or other.is_full(self.peer_id, protocol):
                other.counters["channel limit"] += 1
                raise DialError("channel limit")
            mine = self._channel(other, framing_of(protocol), incoming=False)
            theirs = other._channel(self, framing, incoming=True)
            link = _Link(self, other, mine, theirs)
            self.nursery.start_soon(link.run)
            other.nursery.start_soon(other.serve, theirs)
            return mine
        raise DialError("too slow")

    def is_full(self, peer_id: bytes, protocol: str) -> bool:
        held = sum(link.joins(peer_id, protocol) for link in self.links)
        return held >= self.limits.channels

    def _channel(
        self, other: "MemoryTransport", framing: Framing, *, incoming: bool
    ) -> QueuedChannel:
        host = f"memory-{other.number}"
        peer = Peer.of(other.peer_id)
        linger_s = self.limits.linger_s
        return QueuedChannel(peer, framing, host, self.counters, linger_s, incoming=incoming)

    async def serve(self, channel: QueuedChannel) -> None:
        """Run the handler of an incoming channel, contained, and close the channel after it."""
        try:
            await supervisor.contain(
                f"handler {channel.protocol}",
                self.handlers[channel.protocol],
                channel,
                counters=self.counters,
            )
        finally:
            await channel.aclose()

    def vanish(self) -> None:
        """Break every link and answer no more."""
        self.alive = False
        for link in list(self.links):
            link.cut("link lost")


class _Link:
    """One channel between two nodes: moves frames both ways until either side is done."""

    def __init__(
        self,
        dialler: MemoryTransport,
        listener: MemoryTransport,
        mine: QueuedChannel,
        theirs: QueuedChannel,
    ) -> None:
        self.ends = (dialler, listener)
        self.channels = (mine, theirs)
        self.scope = trio.CancelScope()
        for end in self.ends:
            end.links.add(self)

    def joins(self, peer_id: bytes, protocol: str) -> bool:
        return self.channels[0].protocol == protocol and any(
            end.peer_id == peer_id for end in self.ends
        )

    def cut(self, reason: str) -> None:
        for channel in self.channels:
            channel.shut(reason)
        self.scope.cancel()

    async def run(self) -> None:
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, nursery, 0)
                    nursery.start_soon(self._pump, nursery, 1)
                    nursery.start_soon(self._watch)
                    for channel in self.channels:
                        nursery.start_soon(self._abort, channel)
        finally:
            for channel in self.channels:
                channel.shut("link lost")
            for end in self.ends:
                end.links.discard(self)

    async def _pump(self, nursery: trio.Nursery, side: int) -> None:
        source, sink = self.channels[side], self.channels[1 - side]
        here, there = self.ends[side], self.ends[1 - side]
        network, framing = here.network, source.framing
        window = math.ceil(IN_FLIGHT / framing.limit)
        enter, leave = trio.open_memory_channel[tuple[float, bytes | None]](window)
        nursery.start_soon(self._arrive, leave, source, sink)
        more = True
        while more:
            frames = await source.next_frames(BATCH)
            more = bool(frames)
            batch: list[bytes | None] = [*frames] if more else [None]
            for frame in batch:
                await network.wait_until_cut(here.peer_id, there.peer_id, cut=False)
                due = trio.current_time() + network.delay(here.peer_id, there.peer_id)
                if frame is not None:
                    here.meter.wrote(framing.size_of(frame))
                    there.meter.read(framing.size_of(frame))
                if frame is not None and network.crossings is not None:
                    network.crossings.append(
                        Crossing(
                            trio.current_time(),
                            here.peer_id,
                            there.peer_id,
                            framing.protocol,
                            framing.size_of(frame),
                        )
                    )
                await enter.send((due, frame))

    async def _arrive(
        self,
        leave: trio.MemoryReceiveChannel[tuple[float, bytes | None]],
        source: QueuedChannel,
        sink: QueuedChannel,
    ) -> None:
        async for due, frame in leave:
            if due > trio.current_time():
                await trio.sleep_until(due)
            if frame is None or not await supervisor.contain("link", sink.deliver, frame):
                break
        source.shut("closed")
        sink.shut("closed by peer")
        self.scope.cancel()

    async def _watch(self) -> None:
        one, other = (end.peer_id for end in self.ends)
        network, limits = self.ends[0].network, self.ends[0].limits
        while True:
            await network.wait_until_cut(one, other, cut=True)
            with trio.move_on_after(limits.dead_s) as scope:
                await network.wait_until_cut(one, other, cut=False)
            if scope.cancelled_caught:
                self.cut("peer dead")

    async def _abort(self, channel: QueuedChannel) -> None:
        await channel.aborted.wait()
        self.cut("closed by peer")
