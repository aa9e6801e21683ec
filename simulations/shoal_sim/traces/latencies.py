"""How long links take: between generated places, or as a matrix that was measured.

::

    Coordinates   one way = ‖x_i − x_j‖ + h_i + h_j        x in the plane, h the height: the way
                                                            from a house to the core of the net
    Matrix        one way = half of the round trip that a file tells of the two nodes' hosts

Heights: Dabek, Cox, Kaashoek and Morris, "Vivaldi: A Decentralized Network Coordinate System",
SIGCOMM 2004, §5.4. Places are drawn around a few centres, as hosts stand on continents; centres
and spreads are set so that round trips lie between those that the paper used (medians 76 ms of
PlanetLab, 159 ms of the King data), and are no measurement.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float64]
Ints = NDArray[numpy.int64]
MILLISECOND: Final = 1_000_000  # ns
LEAST_NS: Final = 100_000  # of any link: no two machines are nearer

# Centres (ms, ms) and weights: two coasts of North America, Europe, East Asia, South Asia, South
# America; distances between them are about half of common round trips.
CENTRES: Final = (
    (-28.0, 4.0),
    (-6.0, 0.0),
    (24.0, 3.0),
    (-50.0, 46.0),
    (33.0, 50.0),
    (-3.0, -44.0),
)
WEIGHTS: Final = (0.13, 0.22, 0.38, 0.14, 0.08, 0.05)
SPREAD_MS: Final = 5.0  # standard deviation around a centre, each way
HEIGHT_MS: Final = 5.0  # median height
HEIGHT_SIGMA: Final = 0.7  # of its logarithm


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Places of nodes.

    Args:
        x_ms: (nodes, 2).
        height_ms: (nodes,).
    """

    x_ms: Floats
    height_ms: Floats

    def __len__(self) -> int:
        return len(self.height_ms)

    def one_way_ns(self, source: NDArray[numpy.integer], target: NDArray[numpy.integer]) -> Ints:
        """Return what each link takes, ns; the same both ways."""
        gap = self.x_ms[source] - self.x_ms[target]
        # A sum of squares and a root are the same on every machine; hypot is the library's.
        flat = numpy.sqrt(gap[..., 0] ** 2 + gap[..., 1] ** 2)
        return _ns(flat + self.height_ms[source] + self.height_ms[target])

    def link_ns(self, source: int, target: int) -> int:
        """Return what one link takes, as :meth:`one_way_ns` does of many."""
        x, height = self.x_ms.item, self.height_ms.item
        across, along = x(source, 0) - x(target, 0), x(source, 1) - x(target, 1)
        flat = math.sqrt(across * across + along * along)
        return _one_ns(flat + height(source) + height(target))


@dataclass(frozen=True, slots=True)
class Matrix:
    """Round trips that were measured, and at which of its hosts each node stands.

    Args:
        rtt_ms: (hosts, hosts), symmetric, nowhere unknown.
        host: (nodes,).
    """

    rtt_ms: Floats
    host: NDArray[numpy.int32]

    def __len__(self) -> int:
        return len(self.host)

    def one_way_ns(self, source: NDArray[numpy.integer], target: NDArray[numpy.integer]) -> Ints:
        """Return what each link takes, ns; two nodes at one host are ``LEAST_NS`` apart."""
        return _ns(self.rtt_ms[self.host[source], self.host[target]] / 2)

    def link_ns(self, source: int, target: int) -> int:
        """Return what one link takes, as :meth:`one_way_ns` does of many."""
        return _one_ns(self.rtt_ms.item(self.host.item(source), self.host.item(target)) / 2)


def generated(nodes: int, rng: numpy.random.Generator) -> Coordinates:
    """Return places of ``nodes`` nodes."""
    where = rng.choice(len(CENTRES), nodes, p=WEIGHTS)
    x = numpy.array(CENTRES)[where] + SPREAD_MS * rng.standard_normal((nodes, 2))
    height = HEIGHT_MS * numpy.exp(HEIGHT_SIGMA * rng.standard_normal(nodes))
    return Coordinates(x, height)


def at_hosts(rtt_ms: Floats, nodes: int, rng: numpy.random.Generator) -> Matrix:
    """Return ``nodes`` nodes at hosts of a matrix: each at another while there are some left."""
    hosts = len(rtt_ms)
    rounds = -(-nodes // hosts)
    drawn = numpy.concatenate([rng.permutation(hosts) for _ in range(rounds)])[:nodes]
    return Matrix(rtt_ms, drawn.astype(numpy.int32))


def round_trips_ms(links: Coordinates | Matrix, pairs: int, rng: numpy.random.Generator) -> Floats:
    """Return round trips of random pairs of different nodes, ms."""
    source = rng.integers(0, len(links), pairs)
    target = (source + rng.integers(1, len(links), pairs)) % len(links)
    return links.one_way_ns(source, target).astype(numpy.float64) * (2 / MILLISECOND)


def _ns(one_way_ms: Floats) -> Ints:
    return numpy.maximum(LEAST_NS, numpy.rint(one_way_ms * MILLISECOND)).astype(numpy.int64)


def _one_ns(one_way_ms: float) -> int:
    return max(LEAST_NS, round(one_way_ms * MILLISECOND))
