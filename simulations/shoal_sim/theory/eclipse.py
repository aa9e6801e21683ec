"""Eclipse of a key and of a directory: what identities made for a purpose reach, in closed form.

::

    key ── the k nearest of n honest and G ground positions ── all of them ground:
           Π_{i<k} (G−i)/(G+n−i)  ≈  [G/(G+n)]^k

Sources: order of uniform positions (all orders of G + n are alike likely); Singh, Ngan,
Druschel and Wallach, "Eclipse Attacks on Overlay Networks", INFOCOM 2006; Douceur, "The Sybil
Attack", IPTPS 2002.
"""

import math


def eclipsed(nodes: int, ground: int, k: int) -> float:
    """Return the probability that the ``k`` nearest to a key are all ground."""
    share = 1.0
    for i in range(k):
        share *= max(0, ground - i) / (ground + nodes - i)
    return share


def ground_needed(nodes: int, k: int, chance: float = 0.5) -> float:
    """Return how many ground identities eclipse a key with probability ``chance``."""
    root = math.exp(math.log(chance) / k)
    return nodes * root / (1 - root)


def hashes_needed(nodes: int, k: int, chance: float, work_bits: int) -> float:
    """Return the hashes that those identities cost where each pays 2^work_bits."""
    return ground_needed(nodes, k, chance) * 2.0**work_bits


def sybils_needed(relays: int, share: float) -> float:
    """Return how many identities make up ``share`` of a directory of ``relays`` honest ones."""
    return math.inf if share >= 1 else relays * share / (1 - share)


def first_of_keepers(relays: int, sybils: int, keepers: int) -> float:
    """Return the probability that all ``keepers`` of an address, by rendezvous, are Sybils."""
    return eclipsed(relays, sybils, keepers)
