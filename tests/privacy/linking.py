"""How well boxes of one stream can be told from boxes of different ones: statistic, its chance.

::

    boxes, half of them with their streams known ─► pairs ─► features ─► bins
       known half:  log likelihood ratio of each bin; features that stand out are kept, and
                    places at which bytes or bits of one stream are equal too often
       other half:  a pair's score is the sum over the kept features
                    AUC = P(score of a pair of one stream > score of a pair of two)
       chance:      AUC again with the streams of the other half dealt anew

A generous adversary: half of the truth is given. An AUC of 0.5 is nothing and 1 everything.
The deal may be within blocks of boxes that came one after another: then the chance is that of
streams that talk at the same times, and what is left is more than coarse time.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import log, sqrt
from operator import getitem
from sys import byteorder
from typing import Final, Generic, TypeVar

from shoal_protocol.rng import Rng

T = TypeVar("T")
BINS: Final = 8  # of a number
STANDS_OUT: Final = 3.5  # standard deviations of a feature's chi-square, about
PLACE_STANDS_OUT: Final = 36.0  # chi-square of one of 18,000 places, bytes and bits
DEALS: Final = 999  # of the streams, for the chance

_SPREAD: Final = [
    array("H", [value >> bit & 1 for bit in range(8)]).tobytes() for value in range(256)
]


@dataclass(frozen=True, slots=True)
class Feature(Generic[T]):
    """What two boxes have in common: a number, to be binned, of a pair."""

    name: str
    of: Callable[[T, T], float]


@dataclass(frozen=True, slots=True)
class Found:
    """How well the pairs of the other half are told apart.

    Args:
        auc: area under the curve.
        chance_low, chance_high: where it lies in 99 of 100 deals.
        p: how often a deal does as well, or better; at least 1 / (deals + 1).
        pairs, same: of the other half, and those of one stream.
        kept: names of the features that stood out.
    """

    auc: float
    chance_low: float
    chance_high: float
    p: float
    pairs: int
    same: int
    kept: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"AUC {self.auc:.3f} (chance {self.chance_low:.3f} to {self.chance_high:.3f}, "
            f"p {self.p:.3f}), {self.same} of {self.pairs} pairs, by {', '.join(self.kept) or '-'}"
        )


@dataclass(frozen=True, slots=True)
class _Learnt(Generic[T]):
    feature: Feature[T]
    cuts: list[float]
    weights: list[float]

    def score(self, a: T, b: T) -> float:
        return self.weights[bisect_left(self.cuts, self.feature.of(a, b))]


def link(
    boxes: Sequence[T],
    streams: Sequence[Hashable],
    features: Sequence[Feature[T]],
    rng: Rng,
    *,
    data: Callable[[T], bytes] | None = None,
    keep: bool = False,
    block: int = 0,
    deals: int = DEALS,
) -> Found:
    """Try to tell which pairs of ``boxes`` are of one stream.

    Args:
        boxes: in the order in which they came.
        streams: the truth, one for each box.
        data: bytes of a box, of one length, that are compared place by place.
        keep: use every feature, whether it stands out or not.
        block: streams are dealt anew within so many boxes of the other half; 0: within all.
    """
    places = list(range(len(boxes)))
    rng.shuffle(places)
    known = sorted(places[: len(places) // 2])
    other = sorted(places[len(places) // 2 :])
    given, theirs = [boxes[i] for i in known], [streams[i] for i in known]
    places_found = [] if data is None else _places(given, theirs, data)
    kept = _learn(given, theirs, [*features, *places_found], keep)
    scores = [sum(one.score(boxes[a], boxes[b]) for one in kept) for a, b in combinations(other, 2)]
    ranks = _Ranks(scores, len(other))
    truth = [streams[i] for i in other]
    found = ranks.auc(truth)
    dealt = sorted(ranks.auc(_deal(truth, block, rng)) for _ in range(deals))
    as_good = deals - bisect_left(dealt, found)
    return Found(
        found,
        dealt[deals // 200],
        dealt[-1 - deals // 200],
        (1 + as_good) / (1 + deals),
        len(scores),
        len(ranks.same(truth)),
        tuple(one.feature.name for one in kept),
    )


def _places(
    boxes: Sequence[T], streams: Sequence[Hashable], data: Callable[[T], bytes]
) -> list[Feature[T]]:
    """Return a feature for each byte and bit that is equal too often within streams."""
    sizes = Counter(streams)
    ones = sum(map(_pairs, sizes.values()))
    test = partial(_stands_out, ones, _pairs(len(boxes)))
    found: list[Feature[T]] = []
    for at, column in enumerate(zip(*(data(one) for one in boxes), strict=True)):
        equal = sum(map(_pairs, Counter(column).values()))
        if equal:
            both = sum(map(_pairs, Counter(zip(column, streams, strict=True)).values()))
            if test(equal, both):
                found.append(Feature(f"byte {at}", partial(_equal, data, at, 255)))
    by_stream = {
        stream: _ones([data(one) for one, its in zip(boxes, streams, strict=True) if its == stream])
        for stream in sizes
    }
    # Of each stream: pairs that are equal in a bit, by how many have it set.
    alike = [[_pairs(n) + _pairs(size - n) for n in range(size + 1)] for size in sizes.values()]
    whole = [_pairs(n) + _pairs(len(boxes) - n) for n in range(len(boxes) + 1)]
    for at, counts in enumerate(zip(*by_stream.values(), strict=True)):
        both = sum(map(getitem, alike, counts))
        if test(whole[sum(counts)], both):
            byte, bit = divmod(at, 8)
            found.append(Feature(f"byte {byte} bit {bit}", partial(_equal, data, byte, 1 << bit)))
    return found


def _ones(rows: Sequence[bytes]) -> "array[int]":
    """Return how many of ``rows`` have each bit set."""
    spread = (int.from_bytes(b"".join(map(_SPREAD.__getitem__, row)), byteorder) for row in rows)
    return array("H", sum(spread).to_bytes(16 * len(rows[0]), byteorder))


def _stands_out(ones: int, total: int, equal: int, both: int) -> bool:
    """Whether pairs of one stream are equal more often, or less, than others.

    Args:
        ones: pairs of one stream, of ``total``; equal: pairs that are; both: those of one stream.
    """
    share = equal / total
    if share in (0, 1):
        return False
    spread = ones * share * (1 - share) * (total - ones) / total
    return (both - ones * share) ** 2 / spread > PLACE_STANDS_OUT


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _equal(data: Callable[[T], bytes], at: int, mask: int, a: T, b: T) -> float:
    return float((data(a)[at] ^ data(b)[at]) & mask == 0)


def _learn(
    boxes: Sequence[T],
    streams: Sequence[Hashable],
    features: Sequence[Feature[T]],
    keep: bool,
) -> list[_Learnt[T]]:
    """Return the features that stand out among pairs whose streams are known, or all."""
    pairs = list(combinations(range(len(boxes)), 2))
    same = [streams[a] == streams[b] for a, b in pairs]
    learnt: list[_Learnt[T]] = []
    for feature in features:
        values = [feature.of(boxes[a], boxes[b]) for a, b in pairs]
        one = _weigh(feature, values, same, keep)
        if one is not None:
            learnt.append(one)
    return learnt


def _weigh(
    feature: Feature[T], values: Sequence[float], same: Sequence[bool], keep: bool
) -> _Learnt[T] | None:
    ordered = sorted(values)
    if ordered[0] == ordered[-1]:
        return None
    # A value that many pairs share gets a bin of its own: equality is the likeliest leak.
    cuts = sorted({ordered[0], *(ordered[len(ordered) * i // BINS] for i in range(1, BINS))})
    counts = [[0, 0] for _ in range(len(cuts) + 1)]
    for value, of_one in zip(values, same, strict=True):
        counts[bisect_left(cuts, value)][of_one] += 1
    ones = sum(same)
    twos = len(same) - ones
    chi, free, weights = 0.0, -1, []
    for two, one in counts:
        weights.append(log((one + 0.5) / (ones + 1)) - log((two + 0.5) / (twos + 1)))
        if one + two:
            expected = (one + two) * ones / len(same)
            chi += (one - expected) ** 2 / expected
            chi += (one - expected) ** 2 / (one + two - expected)
            free += 1
    if free < 1 or (not keep and (chi - free) / sqrt(2 * free) < STANDS_OUT):
        return None
    return _Learnt(feature, cuts, weights)


class _Ranks:
    """The ranks of the scores of all pairs, halves for equals."""

    def __init__(self, scores: Sequence[float], count: int) -> None:
        self._count = count
        order = sorted(range(len(scores)), key=scores.__getitem__)
        self._ranks = [0.0] * len(scores)
        at = 0
        while at < len(order):
            end = at
            while end < len(order) and scores[order[end]] == scores[order[at]]:
                end += 1
            for place in order[at:end]:
                self._ranks[place] = (at + 1 + end) / 2
            at = end

    def same(self, streams: Sequence[Hashable]) -> list[int]:
        """Return the places of the pairs of one stream."""
        members: dict[Hashable, list[int]] = {}
        for place, stream in enumerate(streams):
            members.setdefault(stream, []).append(place)
        n = self._count
        return [
            a * (2 * n - a - 1) // 2 + b - a - 1
            for places in members.values()
            for a, b in combinations(places, 2)
        ]

    def auc(self, streams: Sequence[Hashable]) -> float:
        """Return the area under the curve if these were the streams."""
        same = self.same(streams)
        ones, twos = len(same), len(self._ranks) - len(same)
        ranks = self._ranks
        total = sum(ranks[place] for place in same)
        return (total - ones * (ones + 1) / 2) / (ones * twos)


def _deal(streams: Sequence[Hashable], block: int, rng: Rng) -> list[Hashable]:
    dealt: list[Hashable] = []
    step = block or len(streams)
    for start in range(0, len(streams), step):
        part = list(streams[start : start + step])
        rng.shuffle(part)
        dealt += part
    return dealt
