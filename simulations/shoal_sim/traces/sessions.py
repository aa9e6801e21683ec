"""How long nodes stay and stay away: Weibull times, drawn.

::

    ──── session ────┐          ┌──── session ──── …     lengths: scale · E^(1/shape), E exponential
                     └── away ──┘
    t = 0 lies within a session: long ones the likelier, at any place of them

Fits of sessions in BitTorrent (Stutzbach and Rejaie, "Understanding Churn in Peer-to-Peer
Networks", IMC 2006, §5): shapes 0.34 to 0.59, scales 21 to 42 minutes. Below 1 a shape means
many short sessions and few that hardly end.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

Ints = NDArray[numpy.int64]
MINUTE: Final = 60_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Weibull:
    """Times with ``shape`` and ``scale_ns``; shape 1 is exponential."""

    shape: float
    scale_ns: float

    def __post_init__(self) -> None:
        if not (self.shape > 0 and self.scale_ns > 0):
            raise ValueError("shape and scale must be above 0")

    @property
    def mean_ns(self) -> float:
        """Return the mean, ns."""
        return self.scale_ns * math.gamma(1 + 1 / self.shape)

    def draw(self, count: int, rng: numpy.random.Generator) -> Ints:
        """Return ``count`` whole times, ns, at least 1."""
        return _whole(self.scale_ns * rng.weibull(self.shape, count))

    def rest(self, count: int, rng: numpy.random.Generator) -> Ints:
        """Return what is left of the times that a moment falls into, ns.

        A moment falls into long ones the likelier: (x/scale)^shape is then Gamma(1 + 1/shape),
        and the moment is anywhere in it (renewal theory: Cox, 1962, §5).
        """
        met = self.scale_ns * rng.gamma(1 + 1 / self.shape, size=count) ** (1 / self.shape)
        return _whole(met * rng.random(count))


RED_HAT: Final = Weibull(0.34, 21.3 * MINUTE)
DEBIAN: Final = Weibull(0.38, 42.4 * MINUTE)
FLATOUT: Final = Weibull(0.59, 41.9 * MINUTE)


@dataclass(frozen=True, slots=True)
class Changes:
    """Who comes and goes when, in the order of times; equal times in the order of nodes.

    Args:
        at_start: (nodes,) who is there at 0.
        time_ns, node, comes: one row a change.
    """

    at_start: NDArray[numpy.bool_]
    time_ns: Ints
    node: NDArray[numpy.int32]
    comes: NDArray[numpy.bool_]

    def there(self, when_ns: int) -> NDArray[numpy.bool_]:
        """Return who is there at ``when_ns``, changes at that moment included."""
        state = self.at_start.copy()
        upto = int(numpy.searchsorted(self.time_ns, when_ns, side="right"))
        # The last change of a node wins: numpy assigns in order.
        state[self.node[:upto]] = self.comes[:upto]
        return state


def changes(
    nodes: int, until_ns: int, stay: Weibull, away: Weibull, rng: numpy.random.Generator
) -> Changes:
    """Return the comings and goings of ``nodes`` nodes up to ``until_ns``, in balance from 0 on."""
    share = stay.mean_ns / (stay.mean_ns + away.mean_ns)
    here = rng.random(nodes) < share
    now = numpy.where(here, stay.rest(nodes, rng), away.rest(nodes, rng))
    state, going = here.copy(), numpy.arange(nodes)
    times: list[Ints] = []
    who: list[Ints] = []
    comes: list[NDArray[numpy.bool_]] = []
    while True:
        kept = now <= until_ns
        going, now, state = going[kept], now[kept], ~state[kept]
        if len(going) == 0:
            break
        times.append(now)
        who.append(going)
        comes.append(state)
        next_ = numpy.where(state, stay.draw(len(going), rng), away.draw(len(going), rng))
        now = now + next_
    if not times:
        nothing = numpy.empty(0, dtype=numpy.int64)
        return Changes(here, nothing, nothing.astype(numpy.int32), nothing.astype(numpy.bool_))
    time_ns, node, which = (
        numpy.concatenate(times),
        numpy.concatenate(who),
        numpy.concatenate(comes),
    )
    order = numpy.lexsort((node, time_ns))
    return Changes(here, time_ns[order], node[order].astype(numpy.int32), which[order])


def _whole(lengths: NDArray[numpy.float64]) -> Ints:
    """Return whole ns, at least 1 and at most a century."""
    return numpy.clip(lengths, 1, 100 * 365 * 1440 * MINUTE).astype(numpy.int64)
