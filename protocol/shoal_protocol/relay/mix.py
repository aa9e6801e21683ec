"""The mix: takes packets off their outer layer, holds each for its delay, sends it on.

::

    receive ── limits ── unwrap ── checks ── pool: one heap by (due, sequence number)
                  │         │         │                  │ handle_timer(now ≥ due)
                  └─────────┴─────────┴─> counters       ├─> SendPacket(next_id, packet)
                                                         └─> Request(body)
    admit ─── limits ─► opened by another process ─► opened ── replay tag ── checks ── pool

The sender draws each delay from an exponential distribution, so the order in which packets
leave says nothing about the order in which they came (Loopix §4.1; Kesdogan et al. 1998,
"stop-and-go mixes"). The relay only obeys, up to the network's cap. No task per packet: a
driver sleeps until :meth:`MixMachine.next_deadline`. Spec: mix.
"""

import heapq
from collections import Counter
from typing import Final

from shoal_protocol.clock import MILLISECOND, SECOND, index_of
from shoal_protocol.directory.traffic import TrafficMeter
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets import keys, unwrap
from shoal_protocol.packets.format import SPHINX, PacketFormat
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.relay import limits as relay_limits
from shoal_protocol.rng import Rng
from shoal_protocol.values import value


@value
class SendPacket:
    """Send ``packet`` (3,072 bytes) to ``next_id`` (16 bytes).

    ``to_client`` tells a connected client from a relay: a driver never dials a client, and
    never sends to a client what was addressed to a relay.
    """

    next_id: bytes
    packet: bytes
    to_client: bool = False


@value
class Request:
    """Hand ``body`` (2,640 bytes) to this relay's services."""

    body: bytes


Event = SendPacket | Request


@value
class Admitted:
    """A packet that was let in at ``came`` (ns) from ``peer`` (16-byte id), not yet opened."""

    packet: bytes
    peer: bytes
    came: int
    key: keys.MixKey


class MixMachine:
    """One relay's mix, sans-I/O.

    Args:
        keyring: this relay's mix keys; the machine advances it at each change of epoch.
        own_id: this relay's 16-byte id.
        parameters: the network's.
        now: ns.
        rng: for new mix keys.
        limits: how much to take and hold.
        packets: their format.

    ``counters`` counts by fixed names: every reason of :func:`unwrap.unwrap`, "rate limit",
    "relay's rate limit", "delay over the cap", "hop to oneself", "pool full", "peer's share of
    the pool full" for what was dropped; "forwarded", "to client", "requests" for what left the
    pool.
    ``traffic`` measures the requests, for the relay's lease.
    """

    def __init__(
        self,
        keyring: keys.MixKeyring,
        own_id: bytes,
        parameters: NetworkParameters,
        *,
        now: int,
        rng: Rng,
        limits: relay_limits.Limits | None = None,
        packets: PacketFormat = SPHINX,
    ) -> None:
        self.keyring: Final = keyring
        self._unwrap: Final = packets.unwrap
        self._own_id: Final = own_id
        self._epoch_s: Final = parameters.epoch_s
        self._max_delay_ms: Final = parameters.max_hop_delay_ms
        self._rng: Final = rng
        self.set_limits(limits or relay_limits.Limits())
        self._pool: list[tuple[int, int, Event, bytes]] = []  # due ns, sequence number, …, peer
        self._away = 0  # packets let in that are being opened
        self._held: dict[bytes, int] = {}  # packets in the pool or being opened, by peer
        self._sequence = 0
        self.counters: Final[Counter[str]] = Counter()
        self.traffic: Final = TrafficMeter(parameters.lease_s, now)
        self._rotate(now)

    def set_limits(self, limits: relay_limits.Limits) -> None:
        """Take and hold as much as ``limits`` say from now on; what is held stays."""
        self._limits = limits
        self._limiter = relay_limits.PeerLimiter(limits.peer_rate, limits.peer_burst, limits.peers)
        self._total = relay_limits.Bucket(limits.rate, max(1, int(limits.rate)))

    def public_keys(self) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, public mix key 32) of each key held, for the relay's descriptor."""
        return self.keyring.public()

    @property
    def pool_size(self) -> int:
        """Packets held now, those being opened too: with the rate, what anonymity is made of."""
        return len(self._pool) + self._away

    def receive(self, packet: bytes, peer: bytes, now: int) -> list[Event]:
        """Take ``packet`` from ``peer`` (16-byte id); return what is due by ``now`` (ns).

        Nothing is raised and nothing answered: what is wrong is dropped and counted.
        """
        pool = self._pool
        try:
            held = self._room(peer, now)
            self._hold(self._unwrap(packet, self.keyring), peer, now)
            self._held[peer] = held + 1
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
        return self._release(now) if pool and pool[0][0] <= now else []

    def admit(self, packet: bytes, peer: bytes, now: int) -> Admitted | None:
        """Let ``packet`` in to be opened elsewhere; None when it was refused and counted.

        What is let in has its place in the pool, and comes back by :meth:`opened`.
        """
        try:
            held = self._room(peer, now)
            key = unwrap.check(packet, self.keyring)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return None
        self._held[peer] = held + 1
        self._away += 1
        return Admitted(packet, peer, now, key)

    def opened(
        self, admitted: Admitted, found: unwrap.Opened | RemoteProtocolError, now: int
    ) -> list[Event]:
        """Go on with a packet that was let in; in the order in which packets were.

        Args:
            admitted: from :meth:`admit`.
            found: what :func:`unwrap.open_checked` returned for it, or raised.
            now: ns; the packet's delay counts from when it was let in.
        """
        pool, peer = self._pool, admitted.peer
        self._away -= 1
        try:
            if isinstance(found, RemoteProtocolError):
                raise found
            if self.keyring.find(admitted.packet[1]) is not admitted.key:
                raise RemoteProtocolError("mix key index")  # its epoch ended meanwhile
            self._hold(unwrap.accept(found, admitted.key), peer, admitted.came)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            self._let_go(peer)
        return self._release(now) if pool and pool[0][0] <= now else []

    def next_deadline(self) -> int:
        """Return when :meth:`handle_timer` has work again (ns): a packet, or a new epoch."""
        pool, epoch = self._pool, self._next_epoch
        return pool[0][0] if pool and pool[0][0] < epoch else epoch

    def handle_timer(self, now: int) -> list[Event]:
        """Return what is due by ``now`` (ns), earliest first; rotate the mix keys if it is time."""
        if now >= self._next_epoch or now < self._next_epoch - self._epoch_s * SECOND:
            self._rotate(now)
        return self._release(now)

    def _room(self, peer: bytes, now: int) -> int:
        """Take the tokens for a packet; return how many of the peer's packets are held."""
        if not self._limiter.take(peer, now):
            raise RemoteProtocolError("rate limit")
        if not self._total.take(now):
            raise RemoteProtocolError("relay's rate limit")
        # Before the packet's replay tag is spent, so that its sender may try again.
        if len(self._pool) + self._away >= self._limits.pool:
            raise RemoteProtocolError("pool full")
        held = self._held.get(peer, 0)
        if held >= self._limits.peer_pool:
            raise RemoteProtocolError("peer's share of the pool full")
        return held

    def _hold(self, opened: unwrap.Unwrapped, peer: bytes, came: int) -> None:
        """Put what a packet asks of this relay into the pool."""
        event: Event
        if isinstance(opened, unwrap.Forward):  # most are; a match costs thrice as much
            if opened.next_id == self._own_id:
                raise RemoteProtocolError("hop to oneself")
            event = SendPacket(opened.next_id, opened.packet)
        elif isinstance(opened, unwrap.Exit):
            event = Request(opened.body)
        else:
            event = SendPacket(opened.client_id, opened.packet, to_client=True)
        if opened.delay_ms > self._max_delay_ms:
            raise RemoteProtocolError("delay over the cap")
        due = came + opened.delay_ms * MILLISECOND
        heapq.heappush(self._pool, (due, self._sequence, event, peer))
        self._sequence += 1

    def _let_go(self, peer: bytes) -> None:
        left = self._held[peer] - 1
        if left:
            self._held[peer] = left
        else:
            del self._held[peer]

    def _release(self, now: int) -> list[Event]:
        events: list[Event] = []
        pool = self._pool
        while pool and pool[0][0] <= now:
            _, _, event, peer = heapq.heappop(pool)
            self._let_go(peer)
            if isinstance(event, Request):
                self.counters["requests"] += 1
                self.traffic.count(now)
            else:
                self.counters["to client" if event.to_client else "forwarded"] += 1
            events.append(event)
        return events

    def _rotate(self, now: int) -> None:
        epoch = index_of(now, self._epoch_s)
        self.keyring.advance(epoch, self._rng)
        self._next_epoch = (epoch + 1) * self._epoch_s * SECOND
