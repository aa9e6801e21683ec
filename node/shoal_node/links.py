"""Packets between neighbours: one long-lived channel each, dialled on demand, used both ways.

::

    send(relay_id, packet) ─► channel.try_send ───────────────────► neighbour
          │ none yet: waiting (bounded) ─► dial ─ fails ─► drop, back off 0.5 … 30 s
          └ nobody in the directory, not connected: drop
    neighbour, client ─► channel ─► received: (account, packet), bounded, full: wait in turn

A *neighbour* is a relay whose addresses the directory knows: we may dial it, and the least
recently used gives way when there are too many. A *client* is anybody else who connects to us (a
person's node under its session's identity): answered over its own channel and never dialled.
Identities cost nothing, so clients have no *account* of their own for the relay's limits, but
share that of their network; a relay's, whose identity is known to all, is its id. When there are
too many clients, one of the most crowded network gives way (``transport.crowd``), whoever has been
silent before the newest: a person's node is never silent for long.
Nothing here waits for a peer: what can't be queued is dropped and counted by reason, since
whoever needs a packet to arrive sends again by another path (protocol.md, delivery). When the node
takes less than comes, each channel has its turn, and what goes beyond is dropped at the inbox of
the channel that it came over.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from shoal_node.transport.crowd import Crowd, network_of
from shoal_node.transport.framing import PACKET
from shoal_node.transport.interface import (
    Channel,
    ChannelClosed,
    DialError,
    TaskStatus,
    Transport,
)

Resolve = Callable[[bytes], Sequence[str]]
"""From a 16-byte relay id to the relay's full addresses, best first; empty for the unknown."""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of one node's packet links."""

    neighbours: int = 128  # relays that are dialled or that have dialled us
    clients: int = 256  # others who are connected
    clients_per_host: int = 64  # of them from one /24 (IPv4) or /48 (IPv6)
    silent_s: float = 60.0  # without a packet, until a client gives way before others
    waiting: int = 64  # packets for one neighbour while it is being dialled
    received: int = 1_024  # packets that the node hasn't taken yet
    first_pause_s: float = 0.5  # after a failed dial, doubled each time
    longest_pause_s: float = 30.0


@dataclass(slots=True, eq=False)
class _Neighbour:
    relay_id: bytes
    is_client: bool
    host: str = ""
    channels: list[Channel] = field(default_factory=list)
    waiting: deque[bytes] = field(default_factory=deque)
    dialling: bool = False
    retry_at: float = 0.0  # trio time before which nobody dials
    pause_s: float = 0.0  # the last pause; doubled by the next failure
    heard_at: float = 0.0  # trio time of the last packet; of a client


class PacketLinks:
    """All packet channels of one node.

    Args:
        resolve: asks the directory for a relay's addresses; called at each dial.
        limits: bounds.

    ``received`` yields (account of the sender, packet of 3,072 bytes). ``counters`` has:
    outbox full, queue full, unreachable, not connected, not running, evicted (packets not sent);
    client limit, silent (channels refused); client gave way (clients cut for others).
    """

    def __init__(self, resolve: Resolve, *, limits: LinkLimits | None = None) -> None:
        self._resolve = resolve
        self._limits = limits or LinkLimits()
        self._neighbours: OrderedDict[bytes, _Neighbour] = OrderedDict()
        self._clients: dict[bytes, _Neighbour] = {}
        self._crowd: Crowd[bytes] = Crowd()  # of clients' ids
        self._transport: Transport | None = None
        self._nursery: trio.Nursery | None = None
        self._silent = False
        self._push, self.received = trio.open_memory_channel[tuple[bytes, bytes]](
            self._limits.received
        )
        self.counters: Counter[str] = Counter()

    def set_limits(self, limits: LinkLimits) -> None:
        """Take clients by other bounds from now on; who is connected stays.

        ``received`` keeps the length that it was made with.
        """
        self._limits = limits

    def set_silent(self, *, silent: bool) -> None:
        """Close every channel, take and open none; or do so again."""
        self._silent = silent
        if silent and self._nursery is not None:
            for neighbour in (*self._neighbours.values(), *self._clients.values()):
                for channel in neighbour.channels:
                    self._nursery.start_soon(channel.aclose)

    async def run(
        self, transport: Transport, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Dial and read until cancelled; every channel is closed then.

        Args:
            transport: to dial with; its handler for ``/shoal/packet/1`` is ``accept``.
        """
        self._transport = transport
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started(None)
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._neighbours.clear()

    async def accept(self, channel: Channel) -> None:
        """Handle an incoming packet channel: read from it, and send over it."""
        relay_id = channel.peer.relay_id
        if self._silent:
            self.counters["silent"] += 1
            return
        neighbour = self._find(relay_id)
        if neighbour is None:
            neighbour = self._client(relay_id, channel.address)
        if neighbour is None:
            self.counters["client limit"] += 1
            return
        try:
            await self._serve(neighbour, channel)
        finally:
            if not neighbour.channels and self._clients.get(relay_id) is neighbour:
                self._forget(relay_id)

    def send(self, relay_id: bytes, packet: bytes, *, to_client: bool = False) -> None:
        """Send a packet to whoever has this relay id, or drop and count it; never waits.

        Args:
            relay_id: 16 bytes, of a relay in the directory or of a connected client.
            packet: 3,072 bytes.
            to_client: which of the two it is for; what is for one never goes to the other.

        Raises:
            LocalProtocolError: the packet has another length.
        """
        neighbour = self._clients.get(relay_id) if to_client else self._find(relay_id)
        if neighbour is None:
            self.counters["not connected"] += 1
        elif neighbour.channels:
            if not neighbour.channels[-1].try_send(packet):
                self.counters["outbox full"] += 1
        elif neighbour.is_client:
            self.counters["not connected"] += 1
        elif self._nursery is None or self._silent:
            self.counters["not running"] += 1
        elif len(neighbour.waiting) >= self._limits.waiting:
            self.counters["queue full"] += 1
        elif neighbour.dialling:
            neighbour.waiting.append(packet)
        elif trio.current_time() < neighbour.retry_at:
            self.counters["unreachable"] += 1
        else:
            neighbour.waiting.append(packet)
            neighbour.dialling = True
            self._nursery.start_soon(self._dial, neighbour)

    def is_connected(self, relay_id: bytes) -> bool:
        """Whether there is a channel to or from this peer now."""
        neighbour = self._clients.get(relay_id) or self._neighbours.get(relay_id)
        return neighbour is not None and bool(neighbour.channels)

    @property
    def connected(self) -> int:
        """How many relays there is a channel with."""
        return sum(bool(neighbour.channels) for neighbour in self._neighbours.values())

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def _find(self, relay_id: bytes) -> _Neighbour | None:
        """Return the relay as a neighbour, a new one if the directory knows it; mark it used."""
        neighbour = self._neighbours.get(relay_id)
        if neighbour is None:
            if not self._resolve(relay_id):
                return None
            neighbour = self._neighbours[relay_id] = _Neighbour(relay_id, is_client=False)
            while len(self._neighbours) > self._limits.neighbours:
                self._evict(self._neighbours.popitem(last=False)[1])
        self._neighbours.move_to_end(relay_id)
        return neighbour

    def _client(self, relay_id: bytes, address: str) -> _Neighbour | None:
        """Return the client, a new one if there is room or somebody gives way to it."""
        host = network_of(address)
        known = self._clients.get(relay_id)
        if known is not None and known.host == host:
            return known
        if known is not None:  # it has moved
            self._evict(self._forget(relay_id))
        if not self._make_room(address, host):
            return None
        self._crowd.add(relay_id, address)
        client = self._clients[relay_id] = _Neighbour(relay_id, is_client=True, host=host)
        client.heard_at = trio.current_time()
        return client

    def _make_room(self, address: str, host: str) -> bool:
        silent_since = trio.current_time() - self._limits.silent_s

        def silent(relay_id: bytes) -> bool:
            return self._clients[relay_id].heard_at <= silent_since

        near = [one for one, client in self._clients.items() if client.host == host]
        if len(near) >= self._limits.clients_per_host:
            victim = next(filter(silent, near), None)
        elif len(self._clients) >= self._limits.clients:
            victim = self._crowd.newest_of_more(address, silent)
        else:
            return True
        if victim is None:
            return False
        self.counters["client gave way"] += 1
        self._evict(self._forget(victim))
        return True

    def _forget(self, relay_id: bytes) -> _Neighbour:
        self._crowd.discard(relay_id)
        return self._clients.pop(relay_id)

    def _evict(self, neighbour: _Neighbour) -> None:
        self.counters["evicted"] += len(neighbour.waiting)
        neighbour.waiting.clear()
        if self._nursery is not None:
            for channel in neighbour.channels:
                self._nursery.start_soon(channel.aclose)

    async def _dial(self, neighbour: _Neighbour) -> None:
        began = trio.current_time()
        try:
            channel = await self._open(neighbour.relay_id)
        finally:
            neighbour.dialling = False
        if channel is not None and self._neighbours.get(neighbour.relay_id) is neighbour:
            began = trio.current_time()
            await self._serve(neighbour, channel)
        elif channel is not None:
            await channel.aclose()
        self.counters["unreachable"] += len(neighbour.waiting)
        neighbour.waiting.clear()
        longest = self._limits.longest_pause_s
        if channel is not None and trio.current_time() - began >= longest:
            neighbour.pause_s = 0.0  # the link was good for a while
        else:
            pause = max(2 * neighbour.pause_s, self._limits.first_pause_s)
            neighbour.pause_s = min(pause, longest)
        neighbour.retry_at = trio.current_time() + neighbour.pause_s

    async def _open(self, relay_id: bytes) -> Channel | None:
        assert self._transport is not None
        for address in self._resolve(relay_id):
            try:
                return await self._transport.open(address, PACKET)
            except DialError:
                continue
        return None

    async def _serve(self, neighbour: _Neighbour, channel: Channel) -> None:
        """Use a channel for sending, and read from it until it closes."""
        neighbour.channels.append(channel)
        try:
            while neighbour.waiting:
                if not channel.try_send(neighbour.waiting.popleft()):
                    self.counters["outbox full"] += 1
            while True:
                packets = await channel.receive_many()
                account = neighbour.relay_id
                if account in self._neighbours:
                    self._neighbours.move_to_end(account)
                elif neighbour.is_client:
                    account = neighbour.host.encode()
                    neighbour.heard_at = trio.current_time()
                for packet in packets:
                    try:
                        self._push.send_nowait((account, packet))
                    except trio.WouldBlock:  # in turn: who sends most loses in his own inbox
                        await self._push.send((account, packet))
        except ChannelClosed:
            pass
        finally:
            neighbour.channels.remove(channel)
            await channel.aclose()
