"""Who was there when a pseudonym acted, and who writes whenever whom gets something.

::

    people ─ share of the time, hours of a day, guards ─► Presence ─┬─► suspects left, counted
                                                                    └─► Observation, for a plug-in
    OWNER      occasions of pseudonyms, and packets of whoever is there then
    PARTNERS   packets of people who write to one each: hidden in cover, or bare

Everybody comes at an hour of the day of their own, drawn evenly over the day, stays ``hours``,
and is missing from an occasion with a probability of their own. Beyond that nobody who is there
is seen to do anything: nodes send at one rate whatever their people do (spec: client §2). A
person whose guard is stopped falls silent for ``PATIENCE_S`` and goes on over the next one
(client §3); it is silent as long as all of them are stopped.

No packet is mixed: of all that a node sends, what is shown is its last packet before each
occasion or, where relays are stopped or partners asked for, packets at a few moments, as the
others would say the same. Sources: Raymond, 2000; Danezis and Serjantov, IH 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

from shoal_sim.adversaries.base import DOWN, NOBODY, UP, Events, Ints, Links, Observation, Question
from shoal_sim.adversaries.watching import PACKET_BYTES, Watched

Mask = NDArray[numpy.bool_]
Floats = NDArray[numpy.float64]
HOUR_NS: Final = 3_600_000_000_000
DAY_H: Final = 24.0
LATE_H: Final = 0.5  # standard deviation of when somebody comes
PATIENCE_S: Final = 30  # spec: client §3, rule 3
GAP_NS: Final = 1_000_000_000  # from a message that was sent to its coming, where nothing hides it
WATCHED: Final = 50  # people whose pseudonyms are watched
SHOWN: Final = 4_000_000  # packets to a plug-in
DRAWN: Final = 30_000_000  # people times pseudonyms, of suspects that are counted


@dataclass(frozen=True, slots=True)
class Stops:
    """Relays that are taken off the network.

    Args:
        edges: moments, ns, at which one is stopped or goes on, ascending.
        since: (edges + 1, relays) up to each edge, and after the last, since when each is
            stopped, ``NOBODY`` if it isn't.
    """

    edges: Ints
    since: Ints


def stops(plan: Sequence[tuple[int, int, int]], relays: int) -> Stops:
    """Return the stops of a plan: (relay, from ns, to ns); one that follows another goes on."""
    edges = numpy.unique(numpy.array([at for _, *both in plan for at in both], dtype=numpy.int64))
    since = numpy.full((len(edges) + 1, relays), NOBODY, dtype=numpy.int64)
    upto: dict[int, tuple[int, int]] = {}
    for relay, begin, end in sorted(plan, key=lambda stop: stop[1]):
        first, last = upto.get(relay, (begin, begin))
        first = first if begin <= last else begin
        upto[relay] = (first, end)
        low, high = numpy.searchsorted(edges, [begin, end]) + 1
        since[low:high, relay] = first
    return Stops(edges, since)


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is there when.

    Args:
        share: (people,) how likely each is there within their hours.
        comes_h: (people,) the hour of the day at which each comes.
        hours: how long they stay; 24 for always.
        guards: (people, guards) relays of each, in their order.
        stops: which of them are off the network, and when.
    """

    share: Floats
    comes_h: Floats
    hours: float
    guards: Ints
    stops: Stops

    def at(self, when: Ints, who: Ints, rng: numpy.random.Generator) -> Mask:
        """Return (moments, people of ``who``): who is there at each moment, ns."""
        shape = (len(when), len(who))
        there: Mask = rng.random(shape) < self.share[who]
        if self.hours < DAY_H:
            came = self.comes_h[who] + rng.normal(0, LATE_H, shape)
            there &= (when[:, None] / HOUR_NS - came) % DAY_H < self.hours
        if len(self.stops.edges):
            there &= ~self._silent(when, who)
        return there

    def moments(self, who: int, count: int, length: int, rng: numpy.random.Generator) -> Ints:
        """Return at which moments somebody acts: ``count``, less those at which it is silent."""
        when = rng.random(count) * length
        if self.hours < DAY_H:
            day = DAY_H * HOUR_NS
            began = numpy.floor(when / day) * day + self.comes_h[who] * HOUR_NS
            when = numpy.minimum(began + rng.random(count) * self.hours * HOUR_NS, length)
        found = numpy.sort(when.astype(numpy.int64))
        if len(self.stops.edges):
            found = found[~self._silent(found, numpy.array([who]))[:, 0]]
        return found

    def _silent(self, when: Ints, who: Ints) -> Mask:
        """Return (moments, people) who just lost their guard, or have none that works."""
        segment = numpy.searchsorted(self.stops.edges, when, side="right")
        since = self.stops.since[segment][:, self.guards[who]]  # (moments, people, guards)
        off = since != NOBODY
        before = numpy.cumsum(~off, axis=2) == 0  # of those that lie before the one that works
        lost = off & before & (since > when[:, None, None] - PATIENCE_S * 1_000_000_000)
        silent: Mask = before.all(axis=2) | lost.any(axis=2)
        return silent


def suspects(
    there: Presence, occasions: int, length: int, rng: numpy.random.Generator
) -> NDArray[numpy.int64]:
    """Return, of several pseudonyms, how many people were there at each of its occasions."""
    people = len(there.share)
    owners = rng.permutation(people)[: min(WATCHED, max(4, DRAWN // people))]
    found = numpy.empty(len(owners), dtype=numpy.int64)
    for at, owner in enumerate(owners.tolist()):
        left = numpy.delete(numpy.arange(people), owner)
        for moment in there.moments(owner, occasions, length, rng):
            left = left[there.at(numpy.array([moment]), left, rng)[0]]
        found[at] = 1 + len(left)
    return found


def owners(
    there: Presence,
    relays: int,
    occasions: int,
    length: int,
    rate: float,
    rng: numpy.random.Generator,
) -> Watched | None:
    """Return pseudonyms that act, and packets of whoever is there; nothing where it is too much.

    Args:
        occasions: of each pseudonym.
        length: ns.
        rate: packets a second of each node.
    """
    people = len(there.share)
    count = min(WATCHED, people, SHOWN // max(1, people * occasions))
    if count < 1:
        return None
    answers = rng.permutation(people)[:count]
    acts = [there.moments(owner, occasions, length, rng) for owner in answers.tolist()]
    shown_at, shown = _joined(acts)
    everybody = numpy.arange(people)
    if len(there.stops.edges):
        gap = numpy.diff(there.stops.edges).min(initial=length) / 6
        step = max(gap, length * people / SHOWN)
        when = (numpy.arange(0, length, step) + rng.random() * step).astype(numpy.int64)
        seen = there.at(when, everybody, rng)
    else:
        when = shown_at
        seen = there.at(when, everybody, rng)
        seen[numpy.arange(len(when)), answers[shown]] = True
    moment, who = numpy.nonzero(seen)
    before = rng.exponential(1e9 / rate, len(who)).astype(numpy.int64)
    events, links = _wires(when[moment] - before, who, numpy.full(len(who), UP), there)
    targets = numpy.arange(count)
    observation = Observation(
        people, relays, links, events, Question.OWNER, targets, shown_at=shown_at, shown=shown
    )
    return Watched(observation, answers, ())


def partners(
    there: Presence,
    relays: int,
    messages: int,
    length: int,
    rate: float,
    rng: numpy.random.Generator,
) -> Watched:
    """Return people of whom each writes to one other, and the packets of all.

    Args:
        messages: of each person.
        rate: packets a second of each node, in which messages are hidden; 0 for nodes that send
            nothing else.
    """
    people = len(there.share)
    to = (numpy.arange(people) + rng.integers(1, people, people)) % people
    per = min(messages if not rate else int(rate * length / 1e9), max(1, SHOWN // (2 * people)))
    who = numpy.repeat(numpy.arange(people), per)
    when = numpy.concatenate(
        [numpy.empty(0, numpy.int64)]
        + [there.moments(person, per, length, rng) for person in range(people)]
    )
    got, at = (who, when + rng.integers(0, GAP_NS, len(when))) if rate else (to[who], when + GAP_NS)
    events, links = _wires(
        numpy.concatenate([when, at]),
        numpy.concatenate([who, got]),
        numpy.repeat([UP, DOWN], [len(when), len(at)]),
        there,
    )
    targets = rng.permutation(people)[: min(WATCHED, people)]
    observation = Observation(people, relays, links, events, Question.PARTNERS, targets)
    return Watched(observation, to[targets], ())


def _joined(acts: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Return all occasions in order, and whose each is."""
    when = numpy.concatenate(acts)
    whose = numpy.repeat(numpy.arange(len(acts)), [len(each) for each in acts])
    order = numpy.argsort(when, kind="stable")
    return when[order], whose[order]


def _wires(
    when: Ints, who: Ints, way: NDArray[numpy.integer], there: Presence
) -> tuple[Events, Links]:
    """Return packets between people and their first guards, in order."""
    people = len(there.share)
    order = numpy.argsort(when, kind="stable")
    events = Events(
        when[order],
        who[order].astype(numpy.int32),
        numpy.full(len(order), PACKET_BYTES, dtype=numpy.int32),
        way[order].astype(numpy.int8),
    )
    links = Links(
        numpy.arange(people, dtype=numpy.int32),
        (people + there.guards[:, 0]).astype(numpy.int32),
        numpy.zeros(people, dtype=numpy.int64),
    )
    return events, links
