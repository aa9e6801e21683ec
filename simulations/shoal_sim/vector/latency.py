"""How long links take: all alike, or by where nodes are.

::

    packets, from and to ─► Latency.draw ─┬─ Fixed: one number, and jitter
                                          └─ Between: places of traces/latencies.py, and jitter

Nodes are numbered as in vector/mixing.py, people first. Times are nanoseconds.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy

from shoal_sim.vector.stepping import Ints, Small


class Latency(Protocol):
    """How long links take."""

    @property
    def most_ns(self) -> int:
        """About the longest."""
        ...

    def draw(self, source: Small, target: Small, rng: numpy.random.Generator) -> Ints | int:
        """Return what each packet takes from one node to another, ns; a number if all alike."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every link alike; ``jitter_ns`` is the most that a packet takes more, drawn evenly."""

    latency_ns: int
    jitter_ns: int = 0

    @property
    def most_ns(self) -> int:
        """The longest."""
        return self.latency_ns + self.jitter_ns

    def draw(self, source: Small, target: Small, rng: numpy.random.Generator) -> Ints | int:
        """Return what each packet takes."""
        if not self.jitter_ns:
            return self.latency_ns
        return self.latency_ns + rng.integers(0, self.jitter_ns + 1, len(source))


class Placed(Protocol):
    """Where nodes are, as traces/latencies.py has it."""

    def one_way_ns(self, source: Small, target: Small) -> Ints:
        """Return what each link takes."""
        ...


@dataclass(frozen=True, slots=True)
class Between:
    """Links take what lies between their nodes, and up to ``jitter_ns`` more.

    ``most_ns`` is what nearly all of them take at most.
    """

    places: Placed
    most_ns: int
    jitter_ns: int = 0

    def draw(self, source: Small, target: Small, rng: numpy.random.Generator) -> Ints | int:
        """Return what each packet takes."""
        took = self.places.one_way_ns(source, target)
        return took + rng.integers(0, self.jitter_ns + 1, len(source)) if self.jitter_ns else took
