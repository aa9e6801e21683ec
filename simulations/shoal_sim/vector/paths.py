"""Paths through relays, drawn: which are corrupt from end to end, and when a person's first is.

::

    draw ─► (paths, length) numbers of relays, none twice in a row of the table
    shares ─► one network: wholly corrupt, both ends, no honest mix before the relay that is asked
    first_bad_day ─► people with guards that live 60 to 120 days, a path drawn for each request

Of networks, not of paths, are the figures resampled: where corrupt relays stand moves them
more than which paths are drawn, as soon as relays are not equal.
"""

from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

Numbers = NDArray[numpy.int32]
CHUNK: Final = 1 << 18  # paths drawn at once: 4 MB of numbers at length 4


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the paths of one network: parts of 1."""

    wholly: float
    both_ends: float
    mixes: float  # all before the last: nobody honest mixed it before it was asked
    guard: float


def draw(relays: int, length: int, paths: int, rng: numpy.random.Generator) -> Numbers:
    """Return ``paths`` rows of ``length`` different relays, each set and order alike likely.

    The i-th is a number below relays − i among those that are left: it steps over the earlier
    ones, taken in their order.
    """
    if not 0 < length <= relays:
        raise ValueError("a path has at least one relay and none twice")
    found = numpy.empty((paths, length), dtype=numpy.int32)
    for i in range(length):
        pick = rng.integers(0, relays - i, paths, dtype=numpy.int32)
        for earlier in numpy.sort(found[:, :i], axis=1).T:
            pick += pick >= earlier
        found[:, i] = pick
    return found


def shares(
    corrupt: NDArray[numpy.bool_], length: int, paths: int, rng: numpy.random.Generator
) -> Shares:
    """Return how ``paths`` paths through one network fare; ``corrupt`` tells of each relay."""
    wholly = ends = mixes = guard = 0
    for begin in range(0, paths, CHUNK):
        bad = corrupt[draw(len(corrupt), length, min(CHUNK, paths - begin), rng)]
        wholly += int(bad.all(axis=1).sum())
        ends += int((bad[:, 0] & bad[:, -1]).sum())
        mixes += int(bad[:, :-1].all(axis=1).sum())
        guard += int(bad[:, 0].sum())
    return Shares(wholly / paths, ends / paths, mixes / paths, guard / paths)


def some_corrupt(relays: int, corrupt: int, rng: numpy.random.Generator) -> NDArray[numpy.bool_]:
    """Return which relays of one network are in one hand: ``corrupt`` of them, drawn evenly."""
    held = numpy.zeros(relays, dtype=numpy.bool_)
    held[rng.permutation(relays)[:corrupt]] = True
    return held


def first_bad_day(
    corrupt: NDArray[numpy.bool_],
    people: int,
    days: float,
    requests_a_day: float,
    rng: numpy.random.Generator,
    *,
    mixes: int = 3,
    guard_days: tuple[float, float] = (60.0, 120.0),
) -> NDArray[numpy.float64]:
    """Return for each person the day of the first path that is corrupt throughout.

    A person keeps a guard for a time drawn evenly from ``guard_days`` and draws the other
    relays of each request anew; behind an honest guard no path is corrupt throughout. So the
    requests behind a corrupt one fail at a rate, and the day is exponential from there.

    Returns:
        days, ``inf`` for those to whom nothing happens within ``days``.
    """
    relays, held = len(corrupt), int(corrupt.sum())
    share = 1.0
    for i in range(1, mixes + 1):
        share *= max(0, held - i) / (relays - i)
    rate = requests_a_day * share
    first = numpy.full(people, numpy.inf)
    begin = numpy.zeros(people)
    # At the start a guard is somewhere within its life, longer lives the likelier.
    low, high = guard_days
    life = numpy.sqrt(rng.uniform(low**2, high**2, people))
    end = life * rng.random(people)
    while True:
        open_ = numpy.flatnonzero((begin < days) & numpy.isinf(first))
        if len(open_) == 0 or rate == 0:
            return first
        bad = corrupt[rng.integers(0, relays, len(open_))]
        at = begin[open_] + rng.exponential(1 / rate, len(open_))
        hit = bad & (at < numpy.minimum(end[open_], days))
        first[open_[hit]] = at[hit]
        begin[open_] = end[open_]
        end[open_] += rng.uniform(low, high, len(open_))
