"""Paths through relays of which some are in one hand, in closed form.

::

    guard ── a ── b ── service        B of N relays are in one hand
      1      2    3       4           wholly:  Π (B−i)/(N−i)     both ends: B(B−1)/(N(N−1))

Sources: paths without repetition are draws without replacement (hypergeometric); first and
last hop about (c/n)²: Syverson, Tsudik, Reed and Landwehr, "Towards an Analysis of Onion
Routing Security", 2000; guards: Øverlier and Syverson, "Locating Hidden Servers", S&P 2006.
"""

import math


def wholly(relays: int, corrupt: int, length: int) -> float:
    """Return the probability that a path of ``length`` relays, none twice, is all corrupt."""
    share = 1.0
    for i in range(length):
        share *= max(0, corrupt - i) / (relays - i)
    return share


def both_ends(relays: int, corrupt: int) -> float:
    """Return the probability that the first and the last relay are corrupt."""
    return wholly(relays, corrupt, 2)


def at_least_one_honest(relays: int, corrupt: int, length: int) -> float:
    """Return the probability that somebody on the path mixes for the sender."""
    return 1 - wholly(relays, corrupt, length)


def layered(shares: tuple[float, ...]) -> float:
    """Return the probability that a path through layers is all corrupt, given their shares."""
    return math.prod(shares)


def paths_until_wholly(relays: int, corrupt: int, length: int) -> float:
    """Return the mean number of paths, each drawn anew, up to the first all corrupt one."""
    share = wholly(relays, corrupt, length)
    return math.inf if share == 0 else 1 / share


def guard_ever_corrupt(share: float, lives: float) -> float:
    """Return the probability that one of ``lives`` guards in turn was corrupt."""
    return float(1 - (1 - share) ** lives)


def service_then_wholly(relays: int, corrupt: int, mixes: int) -> float:
    """Return the probability that a path is all corrupt, given that its guard is.

    With a guard for months a person is safe or isn't; the others of the path change each time.

    Args:
        mixes: relays before the one that is asked, the guard among them.
    """
    share = 1.0
    for i in range(1, mixes + 1):
        share *= max(0, corrupt - i) / (relays - i)
    return share
