"""Packets through layers, for tests of adversaries."""

import numpy

from shoal_sim.seeds import numbers
from shoal_sim.vector import mixing

MILLISECOND = 1_000_000


def layered(seed: int, corrupt: int = 0, lost: float = 0.0) -> tuple[mixing.Nodes, mixing.Packets]:
    """Return 1,500 packets of 30 people in 0.6 s, through three layers of four mixes, 20 ms at
    each, of which the first ``corrupt`` of a layer are corrupt."""
    people, depth, width, size, link = 30, 3, 4, 1_500, 5 * MILLISECOND
    rng = numbers(seed, "layers")
    person = rng.integers(0, people, size, dtype=numpy.int32)
    begin = rng.integers(-300 * MILLISECOND, 300 * MILLISECOND, size)
    relay = rng.integers(0, width, (depth, size), dtype=numpy.int32)
    relay += width * numpy.arange(depth, dtype=numpy.int32)[:, None]
    enter = numpy.empty((depth, size), dtype=numpy.int64)
    leave = numpy.empty((depth, size), dtype=numpy.int64)
    now = begin
    for hop in range(depth):
        enter[hop] = now + link
        leave[hop] = enter[hop] + rng.exponential(20 * MILLISECOND, size).astype(numpy.int64)
        now = leave[hop]
    to = (person + rng.integers(1, people, size, dtype=numpy.int32)) % numpy.int32(people)
    held = numpy.arange(depth * width) % width < corrupt
    none = numpy.empty(0, dtype=numpy.int32)
    links = rng.geometric(lost, size) - 1 if lost else None
    there = mixing.Nodes(people, depth * width, none, (none, none), held)
    return there, mixing.Packets(person, to, relay, enter, leave, begin, now + link, links=links)
