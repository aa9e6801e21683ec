"""Attacks over many rounds, in closed form.

::

    round: the target sends 1 of b messages, to one of its m partners; the others to anybody of N
    the partners stand out after t > [m·l·(√a + √(a + (m−1)/m²))]² rounds,  a = (N−1)(b−1)/N²

Sources: Danezis, "Statistical Disclosure Attacks", SEC 2003, §3; Pérez-González and Troncoso,
"Understanding Statistical Disclosure: A Least Squares Approach", PETS 2012; intersection:
Raymond, "Traffic Analysis: Protocols, Attacks, Design Issues", 2000.
"""

import math


def rounds_needed(receivers: int, batch: int, partners: int, deviations: float) -> float:
    """Return the rounds after which partners stand out of the background.

    Args:
        receivers: N, to all of whom others write evenly.
        batch: b, messages of a round.
        partners: m, whom the target writes to evenly.
        deviations: l, by how many standard deviations of both sums they shall differ: 2 for
            95 %, 3 for 99 %.
    """
    a = (receivers - 1) * (batch - 1) / receivers**2
    return float(
        (partners * deviations * (math.sqrt(a) + math.sqrt(a + (partners - 1) / partners**2))) ** 2
    )


def recall_about(receivers: int, batch: int, partners: int, rounds: int) -> float:
    """Return the share of partners among the m that are counted most often.

    A threshold is put where as many strangers stand above it as partners below it; both counts
    are taken for normal. A partner is right when it is above.
    """
    noise = (batch - 1) / receivers
    stranger = math.sqrt(rounds * noise * (1 - 1 / receivers))
    share = 1 / partners
    partner = math.sqrt(rounds * (noise + share * (1 - share)))
    gap = rounds * share
    low, high = 0.0, gap
    for _ in range(60):
        middle = (low + high) / 2
        above = (receivers - partners) * _upper(middle / stranger)
        below = partners * _upper((gap - middle) / partner)
        low, high = (middle, high) if above > below else (low, middle)
    return 1 - _upper((gap - low) / partner)


def least_squares_variance(rounds: int, rate: float, incoming: float) -> float:
    """Return the variance of the least-squares estimate of one sender's share to one receiver.

    Where everybody sends Poisson numbers a round, the regressors' covariance is diagonal; the
    noise of a round is that of the messages which the receiver gets.

    Args:
        rate: messages a round of the sender.
        incoming: messages a round that the receiver gets in the mean, of all senders; each
            sender's share to it is small.

    Source: the leading order of Pérez-González and Troncoso 2012, §4.
    """
    return incoming / (rounds * rate)


def still_suspect(people: int, online: float, occasions: int) -> float:
    """Return how many others were there at all ``occasions``, if each is with ``online``."""
    return float((people - 1) * online**occasions)


def occasions_until_alone(people: int, online: float) -> float:
    """Return after how many occasions less than one other is suspect."""
    if people <= 1:
        return 0.0
    return math.inf if online >= 1 else math.log(people - 1) / -math.log(online)


def _upper(z: float) -> float:
    """Return the probability that a normal number is above ``z``."""
    return math.erfc(z / math.sqrt(2)) / 2
