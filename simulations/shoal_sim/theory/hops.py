"""How many hops a lookup in Kademlia takes and how often it fails, by recursion and no draws.

::

    here ──► k of the m nodes that share one bit more with the target; nested in them
             those of two, three … bits more: M₀ = m, M₁ ~ Bin(m, ½), M₂ ~ Bin(M₁, ½) …
    next hop among M of j+1 bits: a live contact is in Mⱼ and none in Mⱼ₊₁
    ends: nobody answers: found if m ≤ k, as all are known there, else failed

With q(M) the probability that no contact that answers lies among M of the m nodes, the hop goes
on from Mⱼ₊₁ with q(Mⱼ₊₁) − q(Mⱼ), and what is expected of m follows from what is expected of
fewer. Exact up to ``_EXACT`` nodes; beyond, sizes are their means and what is between is smooth.
Contacts are stale for each node that knows them anew. Where nodes are dead for everybody, those
that were met once are met again in the next range, and lookups fail a tenth more often.

The buckets and the rule of the next hop are those of Maymounkov and Mazières, IPTPS 2002, §2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float64]
_EXACT: Final = 256
_STEPS: Final = 8  # of the grid beyond, to a doubling
_NESTED: Final = 64  # ranges, each about half of the one around it
_SIZES: Final = numpy.arange(_EXACT + 1)
_LOG_FACTORIAL: Final = numpy.array([math.lgamma(n + 1) for n in range(_EXACT + 1)])


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a lookup: hops of those that find the nearest live node, and how many
    don't."""

    hops: float
    fails: float


def expected(nodes: int, k: int, stale: float = 0.0, *, repeats: bool = False) -> Expected:
    """Return what a lookup by a random node for a random key takes.

    Args:
        stale: share of contacts that don't answer.
        repeats: whether a contact may come twice in a bucket.
    """
    missed = _repeating(k, stale) if repeats else _distinct(k, stale)
    halves = numpy.array([_binomial(size, 0.5) for size in range(_EXACT + 1)])
    found, hops = numpy.ones(_EXACT + 1), numpy.zeros(_EXACT + 1)
    for m in range(1, _EXACT + 1):
        ranges = [_binomial(m, 2.0**-j) for j in range(_NESTED)]
        found[m], hops[m] = 0.0, 0.0  # of itself nothing is expected: the terms cancel
        q = missed(m, _SIZES.astype(float))
        values = numpy.stack([found, found + hops])
        after = values @ halves.T
        ends = sum(values @ (q * nxt) - after @ (q * now) for now, nxt in pairwise(ranges))
        found[m], hops[m] = (1.0 if m <= k else ends[0]), ends[1]
    return _of_all(nodes, k, stale, missed, halves, found, hops)


def _of_all(
    nodes: int,
    k: int,
    stale: float,
    missed: Callable[[int, Floats], Floats],
    halves: Floats,
    found: Floats,
    hops: Floats,
) -> Expected:
    """Go on from the exact sizes to the range that the first hop asks in."""
    logs = [math.log(size) for size in _SIZES[1:]]
    both = numpy.stack([found[1:], hops[1:]])
    small = numpy.stack([found, found + hops])
    small_after = small @ halves.T

    def at(size: float) -> Floats:
        return numpy.array([numpy.interp(math.log(size), logs, one) for one in both])

    top = round(_STEPS * math.log2(max(1.0, nodes / _EXACT))) + 1
    for size in (round(_EXACT * 2 ** (step / _STEPS)) for step in range(1, top + 1)):
        total, ends, around = 0.0, numpy.zeros(2), float(size)
        near = missed(size, _SIZES.astype(float))
        sizes: Floats = size * 2.0 ** -numpy.arange(_NESTED, dtype=numpy.float64)
        halved = missed(size, sizes)
        level = 0
        while around > 1e-9:
            inner = around / 2
            if around > _EXACT / 2:
                weight = float(halved[level + 1] - halved[level])
                there = at(inner)
                ends += weight * numpy.array([there[0], there[0] + there[1]])
                total += weight
            else:
                now, nxt = _poisson(around), _poisson(inner)
                ends += small @ (near * nxt) - small_after @ (near * now)
                total += float(near @ (nxt - now))
            around, level = inner, level + 1
        ends *= (1 - stale**k) / total
        logs.append(math.log(size))
        both = numpy.column_stack([both, ends])
    begin = numpy.zeros(2)
    for shared in range(_NESTED):
        weight = 2.0 ** -(shared + 1)
        mean = nodes * weight
        if mean > _EXACT / 2:
            begin += weight * at(mean)
        else:
            begin += weight * numpy.array([found, hops]) @ _poisson(mean)
    return Expected(float(begin[1] / begin[0]), float(1 - begin[0]))


def _repeating(k: int, stale: float) -> Callable[[int, Floats], Floats]:
    """Return q for k independent draws; a range of no more than k is known whole."""

    def missed(m: int, inside: Floats) -> Floats:
        if m <= k:
            return numpy.array(stale**inside)
        return numpy.array((1 - (1 - stale) * numpy.minimum(inside / m, 1)) ** k)

    return missed


def _distinct(k: int, stale: float) -> Callable[[int, Floats], Floats]:
    """Return q for k different ones: E[stale^X], X hypergeometric."""

    def missed(m: int, inside: Floats) -> Floats:
        if m <= k:
            return numpy.array(stale**inside)
        total = numpy.zeros_like(inside)
        for x in range(k + 1 if stale else 1):  # of the k, x lie inside
            share = numpy.full_like(inside, math.comb(k, x) * stale**x)
            for i in range(k):
                free = inside - i if i < x else m - inside - (i - x)
                share *= numpy.maximum(free, 0) / (m - i)
            total += share
        return total

    return missed


def _binomial(size: int, share: float) -> Floats:
    """Return the probabilities of 0 … ``_EXACT`` for Bin(size, share)."""
    out = numpy.zeros(_EXACT + 1)
    if share == 1:
        out[size] = 1
        return out
    x = _SIZES[: size + 1]
    log = _LOG_FACTORIAL[size] - _LOG_FACTORIAL[x] - _LOG_FACTORIAL[size - x]
    out[: size + 1] = numpy.exp(log + x * math.log(share) + (size - x) * math.log1p(-share))
    return out


def _poisson(mean: float) -> Floats:
    out: Floats = numpy.exp(_SIZES * math.log(mean) - mean - _LOG_FACTORIAL)
    return out
