"""How much a relay takes: a token bucket for each peer, and bounds on what it holds; spec: mix §3.

::

    packet from peer ── bucket empty ──> refused, before any scalar multiplication
                    └── peer unknown, table full of busy ones ──> refused
                    └── taken: the peer's next free instant moves on by one interval

A bucket is one integer, the instant at which it will be full again (the generic cell rate
algorithm, ITU-T I.371 §A). A full bucket says the same as no bucket, so those are what the
table forgets, and nobody gains by leaving and coming again.
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol.clock import SECOND


@dataclass(frozen=True, slots=True)
class Limits:
    """What one relay takes; its operator's choice, not the network's.

    Args:
        rate: packets a second from all peers together, lasting, and as many at once.
        peer_rate: packets a second from one peer, lasting.
        peer_burst: packets at once from one peer that was quiet.
        peers: buckets held; about 150 bytes each.
        pool: packets held for their delay; about 3.4 KiB each, 54 MiB in all.
        peer_pool: of these, from one peer: one who asks for long delays must not fill the
            pool by himself.
    """

    rate: float = 10_000.0
    peer_rate: float = 1000.0
    peer_burst: int = 1000
    peers: int = 16_384
    pool: int = 16_384
    peer_pool: int = 4096


class Bucket:
    """One token bucket, of all peers together.

    Args:
        rate: tokens a second.
        burst: tokens that it has when full, at least 1.
    """

    __slots__ = ("_full_at", "_interval", "_tolerance")

    def __init__(self, rate: float, burst: int) -> None:
        self._interval: Final = round(SECOND / rate)  # ns
        self._tolerance: Final = (burst - 1) * self._interval  # ns
        self._full_at = 0  # ns

    def take(self, now: int) -> bool:
        """Take a token at ``now`` (ns); False if there is none."""
        full_at = self._full_at if self._full_at > now else now
        if full_at - now > self._tolerance:
            return False
        self._full_at = full_at + self._interval
        return True


class PeerLimiter:
    """Token buckets by peer, in bounded memory.

    Args:
        rate: tokens a second.
        burst: tokens that a full bucket has, at least 1.
        peers: buckets that may be less than full at a time.
    """

    __slots__ = ("_full_at", "_interval", "_peers", "_tolerance")

    def __init__(self, rate: float, burst: int, peers: int) -> None:
        self._interval: Final = round(SECOND / rate)  # ns
        self._tolerance: Final = (burst - 1) * self._interval  # ns
        self._peers: Final = peers
        self._full_at: dict[bytes, int] = {}  # ns; by when a peer was last let through

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, peer: bytes, now: int) -> bool:
        """Take a token of ``peer`` (its 16-byte id) at ``now`` (ns); False if there is none."""
        full_at = self._full_at.get(peer)
        if full_at is None:
            if len(self._full_at) >= self._peers and not self._forget_one(now):
                return False
            full_at = now
        elif full_at - now > self._tolerance:
            return False
        else:
            del self._full_at[peer]  # comes back at the end: the dict stays in order of use
        self._full_at[peer] = (full_at if full_at > now else now) + self._interval
        return True

    def _forget_one(self, now: int) -> bool:
        # The one let through longest ago. If even its bucket is not full yet, the wait until it
        # is lasts at most as long as filling a bucket does.
        peer = next(iter(self._full_at))
        if self._full_at[peer] > now:
            return False
        del self._full_at[peer]
        return True
