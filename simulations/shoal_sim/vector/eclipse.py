"""Identities ground to be nearest to a key, drawn, and what they hide.

::

    key ── n honest positions, G ground ones ──► whose are the k nearest?
    a get finds a record while one of the k nearest is honest and was given it

A put goes to the k nearest that answer, and a get ends when three showed a record (spec: dht
§5); one honest keeper among the k nearest is enough, so all k must be the attacker's.
Sources: theory/eclipse.py.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Keepers:
    """Of each key: how many of its k nearest nodes are ground."""

    ground: NDArray[numpy.int64]
    k: int

    @property
    def eclipsed(self) -> float:
        """Return the share of keys whose k nearest are all ground."""
        return float((self.ground == self.k).mean())


def keepers(
    nodes: int,
    ground: int,
    k: int,
    keys: int,
    rng: numpy.random.Generator,
    most: int | None = None,
) -> Keepers:
    """Return whose the ``k`` nearest to ``keys`` keys are, a network of its own for each.

    Args:
        most: how many of the ground ones count near one key, the nearest: as many as join
            there, or as they have /16s where one of each counts; None for all.

    All positions are uniform, and so are XOR distances to any key; of n uniform numbers only
    the k least matter, and these come one after the other: each is the next of n−i left,
    x + (1−x)·(1−U^(1/(n−i))).
    """
    honest = _least(nodes, k, keys, rng)
    mine = _least(ground, k, keys, rng)
    if most is not None:
        mine[:, most:] = 2.0
    distances = numpy.concatenate([honest, mine], axis=1)
    nearest = numpy.argpartition(distances, k - 1, axis=1)[:, :k]
    return Keepers((nearest >= k).sum(axis=1), k)


def _least(count: int, k: int, rows: int, rng: numpy.random.Generator) -> NDArray[numpy.float64]:
    """Return the ``k`` least of ``count`` uniform numbers, sorted, in each of ``rows`` rows.

    Beyond ``count`` the numbers are 2: farther than anybody.
    """
    least = numpy.full((rows, k), 2.0)
    beyond = numpy.zeros(rows)
    for i in range(min(k, count)):
        step = -numpy.expm1(numpy.log(rng.random(rows)) / (count - i))
        beyond = beyond + (1 - beyond) * step
        least[:, i] = beyond
    return least


def hidden(
    nodes: int,
    ground: int,
    k: int,
    dead: float,
    keys: int,
    rng: numpy.random.Generator,
) -> float:
    """Return the share of records that nobody finds: all k keepers are ground or dead.

    Args:
        dead: share of honest keepers that are away when asked; ground ones never are, or they
            would hide less.
    """
    honest = k - keepers(nodes, ground, k, keys, rng).ground
    return float((rng.binomial(honest, 1 - dead) == 0).mean())


def directory_share(relays: int, added: int, admitted: float) -> float:
    """Return the part of a directory that added identities make.

    Args:
        admitted: part of them that passes what admission asks (subnets, tenure, work).
    """
    inside = added * admitted
    return inside / (relays + inside)
