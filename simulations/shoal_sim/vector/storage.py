"""Copies of records while relays come and go.

::

    simple    r copies, exponential lives, repair at intervals: what theory/storage.py says
    network   relays with sessions ─► leases ─► memberships ─► the top K of each address
              keeper leaves: after its lease and a pause the next of the ranking is given it,
              by a keeper that still has it (spec: replication §2); a relay that comes back has
              its disk, unless it forgot

Ranks are by rendezvous hashing: each (address, relay) has a weight, the K greatest of those in
the directory keep it (spec: service §6). Readers ask K + slack of them.
Sources: theory/storage.py; session times: Stutzbach and Rejaie, IMC 2006.
"""

import heapq
import math
from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

Mask = NDArray[numpy.bool_]
RENEWALS: Final = 3  # of a lease while it lasts: it has 2/3 to 3/3 left when a relay stops
_BACK, _GONE, _NOTICED = 0, 1, 2


def simple(
    records: int,
    copies: int,
    life: float,
    interval: float,
    until: float,
    rng: numpy.random.Generator,
) -> float:
    """Return the share of ``records`` that is lost by ``until``; all times in one unit.

    Each interval every copy goes with 1 − e^(−interval/life); what is left is copied again.
    """
    kept = records
    for step in range(math.ceil(until / interval - 1e-9)):
        length = min(interval, until - step * interval)
        gone = -math.expm1(-length / life)
        lost = int((rng.binomial(copies, gone, kept) == copies).sum())
        kept -= lost
    return 1 - kept / records


@dataclass(frozen=True, slots=True)
class Sessions:
    """How long relays stay and stay away, hours.

    Args:
        stay_h, away_h: Weibull scales.
        shape: of both; 1 is exponential, below it there are few long and many short ones.
        forgets: probability that a relay which leaves never comes back: another one, with
            nothing on its disk, joins in its place after its lease and the time away.
        wiped: probability that it comes back as itself, with nothing on its disk.
    """

    stay_h: float
    away_h: float
    shape: float = 1.0
    forgets: float = 0.0
    wiped: float = 0.0


@dataclass(frozen=True, slots=True)
class Repair:
    """What the network does about it; the defaults are the main network's (spec: parameters).

    Args:
        copies, slack: K, and how many ranks beyond are asked by readers.
        lease_s: until a silent relay leaves the directory, less what had passed of it.
        settle_s: how long a membership stays the same before relays hand on.
        works: whether they do.
    """

    copies: int = 3
    slack: int = 2
    lease_s: float = 900.0
    settle_s: float = 90.0
    works: bool = True


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the records of one network.

    Args:
        lost: share of which no relay, here or away, has a copy.
        unreadable: share of which no relay that is here and within reach has one.
        copies: mean number of copies, those away included.
        handed_on: copies made, a record.
    """

    lost: float
    unreadable: float
    copies: float
    handed_on: float


class _Network:
    """One network while it runs; times in hours."""

    def __init__(
        self,
        relays: int,
        records: int,
        sessions: Sessions,
        repair: Repair,
        rng: numpy.random.Generator,
    ) -> None:
        self.sessions, self.repair, self.rng = sessions, repair, rng
        self.weight = rng.random((records, relays), dtype=numpy.float32)
        self.here = rng.random(relays) < sessions.stay_h / (sessions.stay_h + sessions.away_h)
        if self.here.sum() < repair.copies:
            self.here[: repair.copies] = True
        self.member = self.here.copy()
        self.has: Mask = numpy.zeros((records, relays), dtype=numpy.bool_)
        self.keepers = self._top(numpy.arange(records), repair.copies)
        self.has[numpy.arange(records)[:, None], self.keepers] = True
        self.made = 0
        self.new = numpy.zeros(relays, dtype=numpy.bool_)
        self.turn = numpy.zeros(relays, dtype=numpy.int64)
        self.events: list[tuple[float, int, int, int]] = []
        for relay in range(relays):
            self._next(relay, 0.0, first=True)

    def run(self, until: float) -> Kept:
        """Let ``until`` hours pass."""
        while self.events and self.events[0][0] <= until:
            now, kind, relay, turn = heapq.heappop(self.events)
            if kind == _GONE:
                self._leave(relay, now)
            elif kind == _BACK:
                self._return(relay, now)
            elif turn == self.turn[relay]:
                self._notice(relay)
        return self._count()

    def _next(self, relay: int, now: float, first: bool = False) -> None:
        """Draw when a relay leaves or comes back; at the start it is within a session."""
        here = bool(self.here[relay])
        scale = self.sessions.stay_h if here else self.sessions.away_h
        shape = self.sessions.shape
        if first:  # length-biased: (x/scale)^shape is Gamma(1 + 1/shape); then a part of it
            length = scale * self.rng.gamma(1 + 1 / shape) ** (1 / shape) * self.rng.random()
        else:
            length = scale * self.rng.weibull(shape)
        heapq.heappush(self.events, (now + length, _GONE if here else _BACK, relay, 0))

    def _leave(self, relay: int, now: float) -> None:
        """A relay falls silent; its lease ends in 2/3 to 3/3 of a lease."""
        self.here[relay] = False
        self.turn[relay] += 1
        left = self.repair.lease_s * (1 - self.rng.random() / RENEWALS) + self.repair.settle_s
        self._later(relay, now, left)
        if self.rng.random() < self.sessions.forgets:
            self.has[:, relay] = False
            self.new[relay] = True
            # Another relay takes the number, once the directory is rid of this one.
            self._next(relay, now + left / 3600)
            return
        if self.rng.random() < self.sessions.wiped:
            self.has[:, relay] = False
        self._next(relay, now)

    def _return(self, relay: int, now: float) -> None:
        """A relay comes back, or another one under its number, at other ranks."""
        self.here[relay] = True
        self.turn[relay] += 1
        if self.new[relay]:
            self.new[relay] = False
            self.weight[:, relay] = self.rng.random(len(self.weight), dtype=numpy.float32)
        self._later(relay, now, self.repair.settle_s)
        self._next(relay, now)

    def _later(self, relay: int, now: float, seconds: float) -> None:
        heapq.heappush(self.events, (now + seconds / 3600, _NOTICED, relay, int(self.turn[relay])))

    def _notice(self, relay: int) -> None:
        """The directory has settled with a relay in it or out of it: records move."""
        here = bool(self.here[relay])
        if self.member[relay] == here:
            return
        self.member[relay] = here
        copies = self.repair.copies
        if here:
            least = numpy.take_along_axis(self.weight, self.keepers, axis=1).min(axis=1)
            rows = numpy.flatnonzero(self.weight[:, relay] > least)
        else:
            rows = numpy.flatnonzero((self.keepers == relay).any(axis=1))
        if len(rows) == 0:
            return
        old = self.keepers[rows]
        new = self._top(rows, copies)
        self.keepers[rows] = new
        if self.repair.works:
            self._hand_on(rows, old, new)

    def _top(self, rows: NDArray[numpy.int64], count: int) -> NDArray[numpy.int64]:
        """Return the ``count`` members of the greatest weight for each record."""
        members = numpy.flatnonzero(self.member)
        count = min(count, len(members))
        weight = self.weight[rows[:, None], members]
        best = numpy.argpartition(-weight, count - 1, axis=1)[:, :count]
        found = members[best]
        if count < self.repair.copies:  # fewer relays than copies: the last stands for more
            found = numpy.pad(found, ((0, 0), (0, self.repair.copies - count)), mode="edge")
        return found.astype(numpy.int64)

    def _hand_on(
        self, rows: NDArray[numpy.int64], old: NDArray[numpy.int64], new: NDArray[numpy.int64]
    ) -> None:
        """Give newcomers their copies, by rules 2 to 4 of replication §2."""
        column = rows[:, None]
        there = self.member[old] & self.here[old]
        holds = self.has[column, old] & there
        lacks = there & ~holds
        holders, lacking = holds.sum(axis=1), lacks.sum(axis=1)
        # One holder, and another of the old top K that lacks it: a single copy, which stays.
        gives = (holders > 0) & ~((holders == 1) & (lacking > 0))
        fresh = ~(new[:, :, None] == old[:, None, :]).any(axis=2)
        lacking_new = ~self.has[column, new] & self.here[new] & fresh
        give = lacking_new & gives[:, None]
        # Held by a relay out of reach only: the first of the new top K is given it.
        none = numpy.flatnonzero((holders == 0) & ~self.has[column, new].any(axis=1))
        for at in none:
            elsewhere = self.has[rows[at]] & self.member & self.here
            if elsewhere.any():
                first = new[at][numpy.argmax(self.weight[rows[at], new[at]])]
                give[at] |= (new[at] == first) & self.here[new[at]]
        where, which = numpy.nonzero(give)
        before = self.has[rows[where], new[where, which]]
        self.has[rows[where], new[where, which]] = True
        self.made += int((~before).sum())

    def _count(self) -> Kept:
        records = len(self.weight)
        rows = numpy.arange(records)
        reach = self._top(rows, self.repair.copies + self.repair.slack)
        readable = (self.has[rows[:, None], reach] & self.here[reach]).any(axis=1)
        held = self.has.sum(axis=1)
        return Kept(
            float((held == 0).mean()),
            float((~readable).mean()),
            float(held.mean()),
            self.made / records,
        )


def network(
    relays: int,
    records: int,
    hours: float,
    sessions: Sessions,
    repair: Repair,
    rng: numpy.random.Generator,
) -> Kept:
    """Return what became of ``records`` records, each put at its top K at the start.

    Takes relays · records · 5 bytes, and time by the number of sessions.
    """
    if relays < repair.copies:
        raise ValueError("there must be as many relays as copies")
    return _Network(relays, records, sessions, repair, rng).run(hours)
