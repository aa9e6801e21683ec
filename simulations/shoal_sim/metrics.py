"""What is told of posteriors, latencies and networks, and how sure it is.

::

    posterior (targets, candidates) ─► Guess: Shannon, min-entropy, right guesses, surprise
    a figure of each network ────────► interval: Student's t over networks

Shannon's entropy alone flatters: a few likely candidates hide behind many unlikely ones. So
the min-entropy and the probability of a right guess stand beside it, and the surprise, which
needs the truth: an adversary that is sure of the wrong person is no danger, and only the
surprise shows it. Entropies after Serjantov and Danezis, and Díaz et al., PET 2002;
min-entropy after G. Smith, "On the Foundations of Quantitative Information Flow", FoSSaCS 2009.

Networks are resampled and not only messages: where corrupt relays stand moves all messages of
a network alike, so messages of one network say little about the next.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float64]
CONFIDENCE: Final = 0.99
QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Guess:
    """What an adversary knows of its targets, the mean over them.

    Args:
        entropy_bits: Shannon's.
        min_entropy_bits: −log2 of the likeliest candidate's probability.
        guess_share: probability of its best guess, by its own account.
        hit_share: how often the best guess was right; ties are shared. NaN without the truth.
        surprise_bits: −log2 of what it gave the truth: above ``entropy_bits`` it deceives
            itself. NaN without the truth.
    """

    entropy_bits: float
    min_entropy_bits: float
    guess_share: float
    hit_share: float
    surprise_bits: float


def shannon(weights: Floats) -> Floats:
    """Return the entropy of each row, bits; rows sum to 1."""
    logs = numpy.log2(weights, out=numpy.zeros_like(weights), where=weights > 0)
    return numpy.asarray(-(weights * logs).sum(axis=1) + 0.0)


def min_entropy(weights: Floats) -> Floats:
    """Return −log2 of the greatest of each row, bits."""
    return numpy.asarray(-numpy.log2(weights.max(axis=1)) + 0.0)


def guess(weights: Floats, truth: NDArray[numpy.integer] | None = None) -> Guess:
    """Return what rows of (targets, candidates) amount to; rows of zeros are left out.

    Args:
        truth: (targets,) the candidate that it was.
    """
    known = weights.sum(axis=1) > 0
    rows = weights[known]
    if len(rows) == 0:
        return Guess(math.nan, math.nan, math.nan, math.nan, math.nan)
    best = rows.max(axis=1)
    hit = surprise = math.nan
    if truth is not None:
        of_truth = rows[numpy.arange(len(rows)), truth[known]]
        ties = (rows == best[:, None]).sum(axis=1)
        hit = float(numpy.where(of_truth == best, 1 / ties, 0.0).mean())
        with numpy.errstate(divide="ignore"):
            surprise = float(-numpy.log2(of_truth).mean())
    return Guess(
        float(shannon(rows).mean()),
        float(min_entropy(rows).mean()),
        float(best.mean()),
        hit,
        surprise,
    )


def calibration(
    weights: Floats, truth: NDArray[numpy.integer], bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return of candidates alike likely how many were the one.

    Returns:
        (mean probability that they were given, share that was right, how many) a bin of
        probabilities, each twice as wide as the one below; empty bins are left out.
    """
    right = numpy.zeros(weights.shape, dtype=numpy.bool_)
    right[numpy.arange(len(weights)), truth] = True
    edges = [0.0, *(2.0 ** -(bins - 1 - i) for i in range(bins - 1)), 1.0 + 1e-9]
    found: list[tuple[float, float, int]] = []
    for low, high in itertools.pairwise(edges):
        there = (weights > low) & (weights <= high)
        if there.any():
            found.append(
                (float(weights[there].mean()), float(right[there].mean()), int(there.sum()))
            )
    return found


def quantiles(values: NDArray[numpy.number], shares: Sequence[float] = QUANTILES) -> list[float]:
    """Return the values below which these shares lie; NaN of nothing."""
    if len(values) == 0:
        return [math.nan for _ in shares]
    return [float(x) for x in numpy.quantile(values, list(shares))]


def interval(
    values: Sequence[float] | Floats, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return where the mean over networks lies: Student's t over ``values``, one a network.

    Of one network nothing can be said: then it is (−∞, ∞).
    """
    figures = numpy.asarray(values, dtype=numpy.float64)
    if len(figures) < 2:
        return (-math.inf, math.inf)
    half = (
        student(confidence, len(figures) - 1) * float(figures.std(ddof=1)) / math.sqrt(len(figures))
    )
    return (float(figures.mean()) - half, float(figures.mean()) + half)


def bootstrap(
    values: Sequence[float] | Floats,
    rng: numpy.random.Generator,
    *,
    share: float = 0.5,
    confidence: float = CONFIDENCE,
    times: int = 2000,
) -> tuple[float, float]:
    """Return where a quantile over networks lies, by drawing networks again (percentiles)."""
    figures = numpy.asarray(values, dtype=numpy.float64)
    again = figures[rng.integers(0, len(figures), (times, len(figures)))]
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = numpy.quantile(numpy.quantile(again, share, axis=1), ends)
    return (float(low), float(high))


def student(confidence: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t: G. Hill, CACM algorithm 396, 1970."""
    p = 1 - confidence
    if freedom == 1:
        return math.cos(p * math.pi / 2) / math.sin(p * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (p * (2 - p)) - 2)
    n = float(freedom)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20_700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    x = d * p
    y = x ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(p / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = a * y * y
        y = math.expm1(y)
    else:
        y = (
            (1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1
        ) * (n + 1) / (n + 2) + 1 / y
    return math.sqrt(n * y)


def wilson(hits: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return where the probability of a hit lies, after independent trials (Wilson's score)."""
    share, z = hits / trials, NormalDist().inv_cdf((1 + confidence) / 2)
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (middle - half) / (1 + z * z / trials), (middle + half) / (1 + z * z / trials)
