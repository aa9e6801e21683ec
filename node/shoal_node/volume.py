"""How much a relay may move in a month and in a day of it, and what it does near the end.

::

    OPEN ── used ≥ cap − reserve ──► LEAVING ── used ≥ cap ──► SILENT
      ▲                                 │                        │
      └── the month turns, or the operator raises the cap ───────┘
      └── the day turns ◄── LEAVING ◄── today's part ≥ the day's share

**Leaving** is the directory's: nobody gives this relay anything new, it hands on what it keeps,
and packets that still cross it are mixed as ever; no new client is taken. **Silent**: packet
channels are closed and refused; gossip goes on, so that others know when it is back.

The reserve is what leaving costs, so that it never has to break off:

    1.2 × what the store holds        each record goes to one other relay, with headers and offers
    + pace × one lease                whoever has heard nothing yet goes on for a lease at most;
                                      a tenth of the cap at most, lest a short flood cost the month
    + 2 % of the cap                  gossip, leases and refused dials until the month turns
    at most half of the cap

**A day's share** keeps a flood from spending the month in hours: two to four times what is left
for each day that is left, drawn anew at each midnight (UTC), since who floods a relay until it
leaves would otherwise measure what all others sent that day; a gigabyte at least. A relay with
an even use never comes near it, nor does one with a busy day, and what was not used adds to all
later shares. Ten days of floods leave about a fifth of a month, not nothing. Beyond the share a
relay leaves as near the cap, and is silent once a quarter as much again has crossed. A raised cap
begins the share anew.

What counts is durable before it is used: the file holds a number that the relay has *not yet*
reached, a grant ahead of it. A kill thus costs what is left of the grant, and never gives
anything back, unless the pace more than doubles from one look to the next within that second.
spec: contract, ``month_gb``; threat model, "a hostile peer"
"""

import enum
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.rng import Rng

GB: Final = 10**9  # bytes
LOOK_S: Final = 1.0  # between two looks at what was moved
GRANT: Final = 10**6  # bytes; the least that is written ahead
GRANT_LOOKS: Final = 30  # looks at the present pace that a grant lasts for, within GRANT_PART
GRANT_PART: Final = 200  # of the cap that a grant is at most, unless the pace asks for more
_RECORDS: Final = 1.2
_TRICKLE: Final = 0.02
_PACE_MOST: Final = 0.1
_MOST: Final = 0.5
DAY: Final = 86_400 * SECOND
SHARE_LEAST: Final = GB  # of a day; what a flood may do to caps of a few gigabytes
_SHARE: Final = (2_000, 4_000)  # thousandths of what is left for each day left; drawn each day
_OVER: Final = 1.25  # shares; what leaving costs beyond one, then it is silent
_WARN_LOOKS: Final = 2  # looks at the present pace that must be left of a grant; one more is given


class Stage(enum.Enum):
    """What a relay gives of its month."""

    OPEN = "open"
    LEAVING = "leaving"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is durable: of the month that ends at ``until`` (ns) at most ``used`` bytes.

    ``rested`` is the cap (bytes) near which the relay began to leave, 0 before that. Of the day
    that ends at ``day`` (ns): ``before`` were used when its share began, ``drawn`` is its factor
    in thousandths, and ``paused`` the cap (bytes) under which the share was used up, 0 before.
    """

    until: Annotated[int, wire.U64]
    used: Annotated[int, wire.U64]
    rested: Annotated[int, wire.U64]
    day: Annotated[int, wire.U64] = 0
    before: Annotated[int, wire.U64] = 0
    drawn: Annotated[int, wire.U16] = 0
    paused: Annotated[int, wire.U64] = 0


@dataclass(frozen=True, slots=True)
class _WithoutDays:
    """What relays before shares of days kept."""

    until: Annotated[int, wire.U64]
    used: Annotated[int, wire.U64]
    rested: Annotated[int, wire.U64]


CODEC: Final = wire.Codec(Kept, limit=64)
_OLD: Final = wire.Codec(_WithoutDays, limit=64)


def decode(data: bytes) -> Kept:
    """Read what was kept, by this version or one that knew no shares of days.

    Raises:
        RemoteProtocolError: it is neither.
    """
    try:
        return CODEC.decode(data)
    except RemoteProtocolError:
        old = _OLD.decode(data)
        return Kept(old.until, old.used, old.rested)


@dataclass(frozen=True, slots=True)
class Cap:
    """What the operator allows: ``bytes`` a month, 0 for no limit, from day ``begins`` on (UTC)."""

    bytes: int
    begins: int = 1


def day_end(now: int) -> int:
    """Return when the day that holds ``now`` ends (ns), UTC."""
    return (now // DAY + 1) * DAY


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
        rng: for each day's share.
    """

    def __init__(self, cap: Cap, kept: Kept | None, *, now: int, lease_s: float, rng: Rng) -> None:
        self._cap = cap
        self._rng = rng
        self._lease = lease_s
        self._until = month_end(now, cap.begins)
        of_this_month = kept is not None and now < kept.until
        self._used = kept.used if kept is not None and of_this_month else 0
        self._rested = kept.rested if kept is not None and of_this_month else 0
        self._day = day_end(now)
        self._before, self._drawn, self._paused = self._used, self._draw(), 0
        if kept is not None and of_this_month and kept.day == self._day:
            self._before, self._drawn, self._paused = kept.before, kept.drawn, kept.paused
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
        if self._rested:
            return Stage.SILENT if self._used >= self._cap.bytes else Stage.LEAVING
        if self._paused:
            over = self._used - self._before >= _OVER * self.share
            return Stage.SILENT if over else Stage.LEAVING
        return Stage.OPEN

    @property
    def used(self) -> int:
        """Bytes of this month, never too few."""
        return self._used

    @property
    def until(self) -> int:
        """When the month ends, ns."""
        return self._until

    @property
    def resumes(self) -> int | None:
        """When a relay that takes nothing new does so again, ns; None while it does."""
        if self._rested:
            return self._until
        return self._day if self._paused else None

    @property
    def share(self) -> float:
        """Bytes that today may move."""
        left = max(self._cap.bytes - self._before, 0)
        days = (self._until - self._day) // DAY + 1
        return max(self._drawn / 1000 * left / days, SHARE_LEAST)

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
        if cap.bytes > self._cap.bytes:
            self._before, self._paused = self._used, 0
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
        if passed > 0 and self.resumes is None:  # a relay that leaves gets quieter, not cheaper
            weight = 1 - math.exp(-passed / self._lease)
            self._pace += (self._last / passed - self._pace) * weight
        self._judge()

    def due(self) -> Kept | None:
        """Return what has to become durable now, if anything."""
        kept = self._kept
        final = self.final()
        news = replace(kept, used=0) != replace(final, used=0)
        if not news and kept.used - self._used >= _WARN_LOOKS * self._last:
            return None
        grant = GRANT_LOOKS * self._last
        if self._cap.bytes:
            grant = min(grant, self._cap.bytes // GRANT_PART)
        grant = max(grant, GRANT, (_WARN_LOOKS + 1) * self._last)
        return replace(final, used=self._used + grant)

    def made_durable(self, kept: Kept) -> None:
        """Learn that the disk holds ``kept``."""
        self._kept = kept

    def final(self) -> Kept:
        """Return what a relay that ends in good order leaves: exactly what it used."""
        return Kept(
            self._until,
            self._used,
            self._rested,
            self._day,
            self._before,
            self._drawn,
            self._paused,
        )

    def sentence(self) -> str | None:
        """Say what the relay does for its month's sake, if it does anything."""
        if self.stage is Stage.OPEN:
            return None
        end = datetime.fromtimestamp(self._until // SECOND, UTC)
        month = f"the month that ends on {end.day} {end:%B %Y} (UTC)"
        allowed = f"{self._cap.bytes / GB:,.10g} GB"
        if not self._rested:
            today = f"{(self._used - self._before) / GB:,.3f} GB"
            what = "takes nothing new" if self.stage is Stage.LEAVING else "lets no packets cross"
            return (
                f"This relay has moved {today} today, more than one day's share of the {allowed} "
                f"of {month}: until midnight (UTC) it {what}, so that the rest lasts."
            )
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
        if self._day != day_end(now):
            self._day = day_end(now)
            self._before, self._drawn, self._paused = self._used, self._draw(), 0

    def _draw(self) -> int:
        least, most = _SHARE
        return least + self._rng.below(most - least + 1)

    def _judge(self) -> None:
        """Begin to rest, or take up work again under a cap that is higher than then."""
        cap = self._cap.bytes
        if cap and cap <= self._rested:
            self._rested = cap  # raised from here, it counts as raised
        elif cap and self._used >= cap - self.reserve:
            self._rested = cap
        else:
            self._rested = 0
        over = self._used - self._before >= self.share
        self._paused = cap if cap and (cap <= self._paused or over) else 0
