"""Attacks over many rounds, drawn: who writes to whom, from who sends when and who gets what.

::

    rounds ──► sent (rounds, senders) and received (rounds, receivers), counts
    disclose        counts of the target's rounds − the background           Danezis 2003
    least_squares   (SᵀS)⁻¹ SᵀR: all senders at once                          PGT 2012
    intersect       who was there at every occasion                          Raymond 2000

``received_by`` draws only the sums over rounds, for networks too large for tables of rounds: of
independent messages they have the same distribution.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

Counts = NDArray[numpy.int64]
Estimates = NDArray[numpy.float64]


@dataclass(frozen=True, slots=True)
class Rounds:
    """What a watcher has of batches: counts, and who truly writes to whom apart from them."""

    sent: Counts
    received: Counts


def received_by(
    receivers: int,
    batch: int,
    partners: NDArray[numpy.int64],
    rounds: int,
    rng: numpy.random.Generator,
) -> Counts:
    """Return what each receiver got in all, in rounds in each of which the target sent once.

    Args:
        partners: whom the target writes to, evenly.
        batch: messages a round, the target's included; others write to anybody evenly.
    """
    counts = numpy.zeros(receivers, dtype=numpy.int64)
    left = rounds * (batch - 1)
    while left > 0:
        some = min(left, 1 << 20)
        counts += numpy.bincount(
            rng.integers(0, receivers, some, dtype=numpy.int32), minlength=receivers
        )
        left -= some
    counts += numpy.bincount(partners[rng.integers(0, len(partners), rounds)], minlength=receivers)
    return counts


def recall(
    receivers: int, batch: int, partners: int, rounds: int, rng: numpy.random.Generator
) -> float:
    """Return which part of the target's partners is among the ``partners`` counted most often."""
    friends = rng.permutation(receivers)[:partners]
    counts = received_by(receivers, batch, friends, rounds, rng)
    # Of equal counts chance decides, not the number of the receiver.
    order = numpy.lexsort((rng.random(receivers), -counts))[:partners]
    return float(numpy.isin(order, friends).mean())


def play(
    rates: NDArray[numpy.float64],
    profiles: NDArray[numpy.float64],
    rounds: int,
    rng: numpy.random.Generator,
) -> Rounds:
    """Return ``rounds`` batches of a small network.

    Args:
        rates: messages a round of each sender, Poisson.
        profiles: (senders, receivers), rows that sum to 1: to whom each writes.
    """
    senders, receivers = profiles.shape
    sent = rng.poisson(rates, (rounds, senders))
    received = numpy.zeros((rounds, receivers), dtype=numpy.int64)
    for sender in range(senders):
        received += rng.multinomial(sent[:, sender], profiles[sender])
    return Rounds(sent.astype(numpy.int64), received)


def disclose(rounds: Rounds, target: int, background: Estimates) -> Estimates:
    """Return to whom the target writes, as shares of its messages; some may be below 0.

    Args:
        background: where others' messages go, shares that sum to 1.

    Source: Danezis 2003, §2, for targets that send more than once a round as well.
    """
    mine = rounds.sent[:, target]
    active = mine > 0
    if not active.any():
        return numpy.zeros(rounds.received.shape[1])
    others = rounds.sent[active].sum() - mine[active].sum()
    got = rounds.received[active].sum(axis=0)
    estimate: Estimates = (got - others * background) / mine[active].sum()
    return estimate


def background(rounds: Rounds, target: int) -> Estimates:
    """Return where messages go in rounds in which the target sends nothing, or in all."""
    quiet = rounds.sent[:, target] == 0
    got = (rounds.received[quiet] if quiet.any() else rounds.received).sum(axis=0)
    share: Estimates = got / max(1, got.sum())
    return share


def least_squares(rounds: Rounds) -> Estimates:
    """Return (senders, receivers) shares by ordinary least squares; some may be below 0.

    Where rounds are fewer than senders, the shortest of the solutions.
    """
    solution, *_ = numpy.linalg.lstsq(
        rounds.sent.astype(numpy.float64), rounds.received.astype(numpy.float64), rcond=None
    )
    found: Estimates = solution
    return found


def online(
    people: int, occasions: int, share: float, rng: numpy.random.Generator, *, spread: float = 0.0
) -> NDArray[numpy.bool_]:
    """Return (occasions, people): who is there, each with a share of the time of its own.

    Args:
        spread: 0 if all are there alike; else the shares are Beta with this variance relative
            to the greatest possible, 1 meaning that everybody is always or never there.
    """
    return rng.random((occasions, people)) < shares_online(people, share, rng, spread=spread)


def shares_online(
    people: int, share: float, rng: numpy.random.Generator, *, spread: float = 0.0
) -> Estimates:
    """Return which share of the time each is there; ``share`` in the mean."""
    if not spread or not 0 < share < 1:
        return numpy.full(people, share)
    weight = (1 - spread) / spread
    return rng.beta(share * weight, (1 - share) * weight, people)


def intersect(present: NDArray[numpy.bool_], mistakes: int = 0) -> NDArray[numpy.int64]:
    """Return who was missing at most ``mistakes`` times in (occasions, people)."""
    return numpy.flatnonzero((~present).sum(axis=0) <= mistakes)


def suspects_by_occasion(present: NDArray[numpy.bool_]) -> NDArray[numpy.int64]:
    """Return how many are still suspect after each occasion."""
    counted: NDArray[numpy.int64] = numpy.logical_and.accumulate(present, axis=0).sum(axis=1)
    return counted
