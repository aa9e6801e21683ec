"""How often a live relay guesses, for a box asked for, which box its reader was given before.

::

    box x handed out ──(lag)──► box y asked for first      x and y of one stream?

A reader that got a box asks for later ones soon after. The relay learns from the first half of
what it saw, streams known, how long that takes; in the second half it names for each box the
one handed out before whose lag fits best. Chance: the same guesses, streams dealt anew.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log, log2
from typing import Final

from privacy.features import Seen
from privacy.town import Sight
from shoal_protocol.clock import SECOND
from shoal_protocol.rng import Rng

LONGEST: Final = 60 * SECOND  # no later question is put down to a box
PER_OCTAVE: Final = 3  # bins of lags
DEALS: Final = 999


@dataclass(frozen=True, slots=True)
class Chained:
    """How often the guess was of the right stream.

    Args:
        hits: share of the guesses; chance_low, chance_high: in 99 of 100 deals.
        p: how often a deal does as well, or better.
        guesses: how many there were; boxes: how many boxes the relays keep in that time.
    """

    hits: float
    chance_low: float
    chance_high: float
    p: float
    guesses: int
    boxes: int

    def __str__(self) -> str:
        return (
            f"{self.hits:.2f} of {self.guesses} guesses for {self.boxes} boxes "
            f"(chance {self.chance_low:.2f} to {self.chance_high:.2f}, p {self.p:.3f})"
        )


def together(sights: Iterable[Sight]) -> Sight:
    """Return what relays that share their notes saw of one address."""
    found = Sight()
    for one in sights:
        found.asked += one.asked
        found.put += one.put
        found.given += one.given
    found.asked.sort()
    found.put.sort()
    found.given.sort()
    return found


def chain(relays: Sequence[Sequence[Seen]], truth: Callable[[Seen], Hashable], rng: Rng) -> Chained:
    """Guess for each box which one its reader had before.

    Args:
        relays: what each of them saw; each guesses by itself, by lags that all have learnt.
        truth: the stream of a box.
    """
    views = [_View(boxes, truth) for boxes in relays]
    weights = _weights([lag for view in views for lag in view.lags()])
    for view in views:
        view.guess(weights)
    hits = _hits(views, [view.streams for view in views])
    dealt: list[float] = []
    shuffled = [list(view.streams) for view in views]
    for _ in range(DEALS):
        for streams in shuffled:
            rng.shuffle(streams)
        dealt.append(_hits(views, shuffled))
    dealt.sort()
    as_good = DEALS - bisect_left(dealt, hits)
    return Chained(
        hits,
        dealt[DEALS // 200],
        dealt[-1 - DEALS // 200],
        (1 + as_good) / (1 + DEALS),
        sum(len(view.guesses) for view in views),
        sum(view.later for view in views),
    )


class _View:
    """What one relay, or several that share their notes, saw."""

    def __init__(self, boxes: Sequence[Seen], truth: Callable[[Seen], Hashable]) -> None:
        self.streams: Final = [truth(one) for one in boxes]
        self.guesses: list[tuple[int, int]] = []
        self._asked = sorted(
            (one.sight.asked[0][0], place) for place, one in enumerate(boxes) if one.sight.asked
        )
        self._given = sorted(
            (one.sight.given[0], place) for place, one in enumerate(boxes) if one.sight.given
        )
        self._middle = self._asked[len(self._asked) // 2][0] if self._asked else 0
        puts = [one.sight.put[0][0] for one in boxes if one.sight.put]
        self.later: Final = sum(put >= self._middle for put in puts)

    def lags(self) -> Iterator[tuple[int, bool]]:
        """Yield lags of the first half, and whether they are of one stream."""
        for time, place in self._asked:
            if time < self._middle:
                for lag, other in self._before(time):
                    if other != place:
                        yield lag, self.streams[place] == self.streams[other]

    def guess(self, weights: Sequence[float]) -> None:
        """Name for each box of the second half the one before it."""
        for time, place in self._asked:
            found = [(weights[_bin(lag)], -lag, x) for lag, x in self._before(time) if x != place]
            if time >= self._middle and found:
                self.guesses.append((place, max(found)[2]))

    def _before(self, time: int) -> list[tuple[int, int]]:
        start, end = (bisect_left(self._given, (at, -1)) for at in (time - LONGEST, time))
        return [(time - at, place) for at, place in self._given[start:end]]


def _bin(lag: int) -> int:
    return round(PER_OCTAVE * log2(max(lag, 1)))


def _weights(lags: Sequence[tuple[int, bool]]) -> list[float]:
    counts = [[0.2, 0.2] for _ in range(_bin(LONGEST) + 1)]
    for lag, one in lags:
        counts[_bin(lag)][one] += 1
    ones, twos = (sum(count[i] for count in counts) for i in (1, 0))
    return [log(one / ones) - log(two / twos) for two, one in counts]


def _hits(views: Sequence[_View], streams: Sequence[Sequence[Hashable]]) -> float:
    right = [
        names[a] == names[b]
        for view, names in zip(views, streams, strict=True)
        for a, b in view.guesses
    ]
    return sum(right) / len(right) if right else 0.0
