"""How much a relay may move in a month, and what it does when little is left.

::

    OPEN ── used ≥ cap − reserve ──► LEAVING ── used ≥ cap ──► SILENT
      ▲                                 │                        │
      └── the month turns, or the operator raises the cap ───────┘

**Leaving** is the directory's: nobody gives this relay anything new, it hands on what it keeps,
and packets that still cross it are mixed as ever; no new client is taken. **Silent**: packet
channels are closed and refused; gossip goes on, so that others know when it is back.

The reserve is what leaving costs, so that it never has to break off:

    1.2 × what the store holds        each record goes to one other relay, with headers and offers
    + pace × one lease                whoever has heard nothing yet goes on for a lease at most;
                                      a tenth of the cap at most, lest a short flood cost the month
    + 2 % of the cap                  gossip, leases and refused dials until the month turns
    at most half of the cap

What counts is durable before it is used: the file holds a number that the relay has *not yet*
reached, a grant ahead of it. A kill thus costs what is left of the grant, and never gives
anything back, unless the pace more than doubles from one look to the next within that second.
spec: contract, ``month_gb``; threat model, "a hostile peer"
"""

import enum
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.clock import SECOND

GB: Final = 10**9  # bytes
LOOK_S: Final = 1.0  # between two looks at what was moved
GRANT: Final = 10**6  # bytes; the least that is written ahead
GRANT_LOOKS: Final = 30  # looks at the present pace that a grant lasts for, within GRANT_PART
GRANT_PART: Final = 200  # of the cap that a grant is at most, unless the pace asks for more
_RECORDS: Final = 1.2
_TRICKLE: Final = 0.02
_PACE_MOST: Final = 0.1
_MOST: Final = 0.5
_WARN_LOOKS: Final = 2  # looks at the present pace that must be left of a grant; one more is given


class Stage(enum.Enum):
    """What a relay gives of its month."""

    OPEN = "open"
    LEAVING = "leaving"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is durable: of the month that ends at ``until`` (ns) at most ``used`` bytes.

    ``rested`` is the cap (bytes) near which the relay began to leave, 0 before that.
    """

    until: Annotated[int, wire.U64]
    used: Annotated[int, wire.U64]
    rested: Annotated[int, wire.U64]


CODEC: Final = wire.Codec(Kept, limit=64)


@dataclass(frozen=True, slots=True)
class Cap:
    """What the operator allows: ``bytes`` a month, 0 for no limit, from day ``begins`` on (UTC)."""

    bytes: int
    begins: int = 1


def month_end(now: int, begins: int) -> int:
    """Return when the month that holds ``now`` ends (ns); months begin on day ``begins``, UTC."""
    at = datetime.fromtimestamp(now // SECOND, UTC)
    turned = at.day >= begins
    year, month = (at.year + at.month // 12, at.month % 12 + 1) if turned else (at.year, at.month)
    return int(datetime(year, month, begins, tzinfo=UTC).timestamp()) * SECOND


class Volume:
    """One relay's account of the month.

    Args:
        cap: the operator's.
        kept: what was durable at the last run, or None.
        now: ns.
        lease_s: the network's; the pace is a mean over so long.
    """

    def __init__(self, cap: Cap, kept: Kept | None, *, now: int, lease_s: float) -> None:
        self._cap = cap
        self._lease = lease_s
        self._until = month_end(now, cap.begins)
        of_this_month = kept is not None and now < kept.until
        self._used = kept.used if kept is not None and of_this_month else 0
        self._rested = kept.rested if kept is not None and of_this_month else 0
        self._seen = 0  # bytes of the present run
        self._at = now
        self._last = 0  # bytes between the last two looks
        self._pace = 0.0  # bytes a second
        self._stored = 0
        self._kept = Kept(0, 0, 0)
        self._judge()

    @property
    def stage(self) -> Stage:
        """What the relay gives now."""
        if not self._rested:
            return Stage.OPEN
        return Stage.SILENT if self._used >= self._cap.bytes else Stage.LEAVING

    @property
    def used(self) -> int:
        """Bytes of this month, never too few."""
        return self._used

    @property
    def until(self) -> int:
        """When the month ends, ns."""
        return self._until

    @property
    def cap(self) -> Cap:
        """The operator's."""
        return self._cap

    @property
    def reserve(self) -> int:
        """Bytes that are kept back for leaving."""
        cap = self._cap.bytes
        crossing = min(self._pace * self._lease, _PACE_MOST * cap)
        needed = _RECORDS * self._stored + crossing + _TRICKLE * cap
        return int(min(needed, _MOST * cap))

    def set_cap(self, cap: Cap, now: int) -> None:
        """Go by another cap from now on; what was used stays used, also when months shift."""
        self._cap = cap
        self._turn(now)
        self._judge()

    def count(self, moved: int, stored: int, now: int) -> None:
        """Look at what the relay did.

        Args:
            moved: bytes of both directions since the present run began.
            stored: bytes that its store holds.
            now: ns.
        """
        self._turn(now)
        self._last, self._seen = moved - self._seen, moved
        self._used += self._last
        self._stored = stored
        passed = (now - self._at) / SECOND
        self._at = now
        if passed > 0 and not self._rested:  # a relay that leaves gets quieter, not cheaper
            weight = 1 - math.exp(-passed / self._lease)
            self._pace += (self._last / passed - self._pace) * weight
        self._judge()

    def due(self) -> Kept | None:
        """Return what has to become durable now, if anything."""
        kept = self._kept
        news = (kept.until, kept.rested) != (self._until, self._rested)
        if not news and kept.used - self._used >= _WARN_LOOKS * self._last:
            return None
        grant = GRANT_LOOKS * self._last
        if self._cap.bytes:
            grant = min(grant, self._cap.bytes // GRANT_PART)
        grant = max(grant, GRANT, (_WARN_LOOKS + 1) * self._last)
        return Kept(self._until, self._used + grant, self._rested)

    def made_durable(self, kept: Kept) -> None:
        """Learn that the disk holds ``kept``."""
        self._kept = kept

    def final(self) -> Kept:
        """Return what a relay that ends in good order leaves: exactly what it used."""
        return Kept(self._until, self._used, self._rested)

    def sentence(self) -> str | None:
        """Say what the relay does for its month's sake, if it does anything."""
        if self.stage is Stage.OPEN:
            return None
        end = datetime.fromtimestamp(self._until // SECOND, UTC)
        month = f"the month that ends on {end.day} {end:%B %Y} (UTC)"
        allowed = f"{self._cap.bytes / GB:,.10g} GB"
        if self.stage is Stage.SILENT:
            return (
                f"This relay has used up the {allowed} of {month}: no packets cross it until then."
            )
        return (
            f"This relay has used {self._used / GB:,.3f} GB of the {allowed} of {month}: until "
            "then it takes nothing new, and needs the rest to hand on what it keeps."
        )

    def _turn(self, now: int) -> None:
        """Begin a new month if it is time."""
        if now >= self._until:
            self._used = self._rested = 0
        self._until = month_end(now, self._cap.begins)

    def _judge(self) -> None:
        """Begin to rest, or take up work again under a cap that is higher than then."""
        cap = self._cap.bytes
        if cap and cap <= self._rested:
            self._rested = cap  # raised from here, it counts as raised
        elif cap and self._used >= cap - self.reserve:
            self._rested = cap
        else:
            self._rested = 0
