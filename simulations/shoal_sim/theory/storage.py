"""Storage under churn, in closed form.

::

    r copies ──Δ──► each gone with 1 − e^(−Δ/τ) ── all gone: lost; else repaired to r ──Δ──► …
    lost within T:  1 − (1 − (1 − e^(−Δ/τ))^r)^(T/Δ)

Sources: independent exponential lives and repair at intervals, as in Bhagwan et al., "Total
Recall", NSDI 2004, §3, and Dabek et al., "Designing a DHT for Low Latency and High Throughput",
NSDI 2004. Continuous repair: the birth–death chain of Ramabhadran and Pasquale, INFOCOM 2006.
"""

import math


def copy_gone(interval: float, life: float) -> float:
    """Return the probability that one copy is gone after ``interval``; the same unit for both."""
    return -math.expm1(-interval / life)


def lost(copies: int, life: float, interval: float, until: float) -> float:
    """Return the probability that a record is lost by ``until``.

    Args:
        copies: r, restored at each interval while one is left.
        life: τ, mean of a copy's exponential life.
        interval: Δ between repairs; ``until`` for none at all.
        until: T; all three in one unit.
    """
    survives = 1 - copy_gone(interval, life) ** copies
    return float(1 - survives ** (until / interval))


def lost_continuous(copies: int, life: float, repair: float, until: float) -> float:
    """Return the same where each lost copy is restored after an exponential time of its own.

    From the mean time to absorption of the birth–death chain with deaths j/τ and births
    (r−j)/``repair``; right while losses are rare (the chain forgets where it began).
    """
    mean = mean_time_to_loss(copies, life, repair)
    return -math.expm1(-until / mean)


def mean_time_to_loss(copies: int, life: float, repair: float) -> float:
    """Return the mean time until no copy is left, beginning with all."""
    death = [j / life for j in range(copies + 1)]
    birth = [(copies - j) / repair for j in range(copies + 1)]
    down = 0.0  # mean time from j to j − 1, for j = r, r−1, …, 1
    total = 0.0
    for j in range(copies, 0, -1):
        down = (1 + birth[j] * down) / death[j]
        total += down
    return total


def unreadable(offline: float, copies: int) -> float:
    """Return the probability that all ``copies`` are at relays that are away just now."""
    return float(offline**copies)


def fragments_lost(fragments: int, needed: int, gone: float) -> float:
    """Return the probability that fewer than ``needed`` of a file's fragments are left.

    Args:
        gone: probability that one fragment is gone; independent of the others.
    """
    return sum(
        math.comb(fragments, i) * (1 - gone) ** i * gone ** (fragments - i) for i in range(needed)
    )
