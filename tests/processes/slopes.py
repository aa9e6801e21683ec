"""How fast a quantity grows, by a fit that single jumps don't move, and how sure that is.

::

    samples (h, y) ──► slope: median of (yⱼ − yᵢ)/(tⱼ − tᵢ) over all i < j      Theil 1950, Sen 1968
                  └──► residuals, drawn anew in blocks ──► slopes ──► 95 % interval

Memory moves in steps, and neighbouring samples are alike, so Sen's own interval, which takes
samples for independent, would be far too narrow: residuals are drawn in blocks of neighbours
(moving blocks, Künsch 1989).
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from support import seeded

RESAMPLES: Final = 300
POINTS: Final = 120  # of a series at most: neighbours are joined by their mean
BLOCKS: Final = 9  # that one series is made of


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope per hour, with the ends of its 95 % interval."""

    per_hour: float
    low: float
    high: float


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median slope of all pairs; 0 with fewer than two samples.

    Args:
        times: ascending, in any unit.
        values: one for each time.
    """
    slopes = [
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(times))
        for j in range(i + 1, len(times))
        if times[j] > times[i]
    ]
    return statistics.median(slopes) if slopes else 0.0


def fit(
    hours: Sequence[float], values: Sequence[float], seed: str, resamples: int = RESAMPLES
) -> Slope:
    """Fit a series and say how sure the slope is.

    Args:
        hours: ascending times.
        values: one for each.
        seed: of the resampling.
        resamples: how often residuals are drawn anew.
    """
    size = max(1, -(-len(hours) // POINTS))
    times = [statistics.fmean(hours[at : at + size]) for at in range(0, len(hours), size)]
    means = [statistics.fmean(values[at : at + size]) for at in range(0, len(values), size)]
    slope = theil_sen(times, means)
    level = statistics.median(y - slope * t for t, y in zip(times, means, strict=True))
    rest = [y - level - slope * t for t, y in zip(times, means, strict=True)]
    block = max(1, len(rest) // BLOCKS)
    rng = seeded(seed)
    drawn = []
    for _ in range(resamples):
        noise: list[float] = []
        while len(noise) < len(rest):
            start = rng.below(len(rest) - block + 1)
            noise += rest[start : start + block]
        drawn.append(theil_sen(times, [slope * t + e for t, e in zip(times, noise, strict=False)]))
    drawn.sort()
    cut = round(0.025 * resamples)
    return Slope(slope, drawn[cut], drawn[-1 - cut])
