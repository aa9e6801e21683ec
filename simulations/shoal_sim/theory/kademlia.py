"""Kademlia in closed form: bits a hop, hops, lookups that fail.

::

    own position     0 1 1 0 …        target 0 1 0 …
    bucket of the target's side: k of those that share one bit more ─► the best of k shares
    max of k geometric numbers further: 1 + Σ_{j≥1} 1 − (1 − 2^−j)^k bits gained a hop

Sources: Stutzbach and Rejaie, "Improving Lookup Performance over a Widely-Deployed DHT",
INFOCOM 2006, §III (1.3327 + log2 k); Maymounkov and Mazières, IPTPS 2002, §4.2 (wider tables).
"""

import math
from typing import Final

EULER: Final = 0.5772156649015329
ASYMPTOTIC: Final = 0.5 + EULER / math.log(2)  # 1.3327 bits
_TERMS: Final = 80  # 2^-80 of what is left is nothing in a float


def bits_a_hop(k: int) -> float:
    """Return the bits gained by one hop through a full bucket of ``k``, as a series."""
    return 1 + sum(1 - (1 - 2.0**-j) ** k for j in range(1, _TERMS))


def bits_a_hop_about(k: int) -> float:
    """Return the same for large ``k``: 1/2 + γ/ln 2 + log2 k = 1.3327 + log2 k."""
    return ASYMPTOTIC + math.log2(k)


def hops_about(nodes: int, k: int) -> float:
    """Return log2 n over the bits of a hop: up to a fifth of a hop short: it forgets the end."""
    return math.log2(nodes) / bits_a_hop(k)


def lookup_fails(dead: float, k: int, hops: float) -> float:
    """Return the probability that some hop of a single way finds all ``k`` contacts dead.

    Args:
        dead: share of contacts in tables that do not answer.
    """
    return float(1 - (1 - dead**k) ** hops)


def stored_at_none(gone: float, k: int) -> float:
    """Return the probability that all ``k`` keepers of a record have gone."""
    return gone**k
