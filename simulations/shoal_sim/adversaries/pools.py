"""Follows targets through the pools of relays, by events and views alone.

::

    a ── event ──► relay ── event ──► b           watched: two events, and a pool in the relay
    a ── event ──► [corrupt] ── event ──► b       the view joins both: one column, no pool

A column is what the adversary knows to be one packet: an event, or events that corrupt relays
in a row join. It leaves the pool of the honest relay where it begins and enters that of the
relay where it ends; a target comes out of no pool, and brings all of its mass.
What leaves a pool is each of the packets in it alike likely, as delays are memoryless: it
takes mass/count of each target along. What the adversary sent itself it knows again and leaves
out. A relay is one pool: how far a packet has come is not known. vector/tracing.py does the
same for whole ways, a test has both agree. Sources: Serjantov and Danezis, PET 2002; Danezis,
PET 2004.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from shoal_sim.adversaries.base import NOBODY, Ints, Observation, Question
from shoal_sim.vector import tracing

Flags = NDArray[numpy.bool_]


@dataclass(frozen=True, slots=True)
class _Wires:
    """Events with both of their ends, in the direction in which is traced."""

    source: Ints
    target: Ints
    leaves: Ints
    arrives: Ints


def trace(
    observation: Observation,
    targets: Ints | None = None,
    *,
    backward: bool | None = None,
) -> NDArray[numpy.float64]:
    """Return how likely each target ended at each node, or began there.

    Args:
        targets: numbers of events; the observation's unless they are given.
        backward: to whom sent them; as the observation's question says unless it is given.

    Returns:
        (targets, people + relays): rows sum to 1, or are 0 where nothing came of a target: it
        was still on its way when watching ended. Relays are candidates only where they are
        corrupt and saw the end.
    """
    if targets is None:
        targets = observation.targets
    if backward is None:
        backward = observation.question is Question.SENDER
    wires = _wires(observation, backward)
    root, last, ended = _columns(observation, backward)
    firsts, which = numpy.unique(root[targets], return_inverse=True)
    found = numpy.zeros((observation.people + observation.relays, len(firsts)))
    _go(observation, wires, root, last, ended, firsts, found, backward)
    return tracing.settle(found.T)[which]


def _wires(observation: Observation, backward: bool) -> _Wires:
    source, target = (end.astype(numpy.int64) for end in observation.ends())
    if backward:
        return _Wires(target, source, -observation.arrivals(), -observation.events.time_ns)
    return _Wires(source, target, observation.events.time_ns, observation.arrivals())


def _columns(observation: Observation, backward: bool) -> tuple[Ints, Ints, Flags]:
    """Return each event's first event of its column, each first one's last, and whether that
    goes no further."""
    count = len(observation.events)
    after = numpy.full(count, NOBODY, dtype=numpy.int64)
    ended = numpy.zeros(count, dtype=numpy.bool_)
    for view in observation.views:
        went = (view.left != NOBODY) & (view.arrived != NOBODY)
        came, left = view.arrived[went], view.left[went]
        if backward:
            came, left = left, came
        after[came] = left
        lone = (view.left if backward else view.arrived)[~went]
        ended[lone[lone != NOBODY]] = True
    last = numpy.arange(count)
    while True:  # as many steps as corrupt relays stand in a row
        further = after[last]
        goes = further != NOBODY
        if not goes.any():
            break
        last = numpy.where(goes, further, last)
    root = numpy.arange(count)
    begins = numpy.ones(count, dtype=numpy.bool_)
    begins[after[after != NOBODY]] = False
    root[~begins] = NOBODY
    # Who stands within a column is found from its beginning.
    at = numpy.flatnonzero(begins)
    first = at.copy()
    while len(at):
        step = after[at]
        goes = step != NOBODY
        at, first = step[goes], first[goes]
        root[at] = first
    return root, last, ended


def _go(
    observation: Observation,
    wires: _Wires,
    root: Ints,
    last: Ints,
    ended: Flags,
    firsts: Ints,
    found: NDArray[numpy.float64],
    backward: bool,
) -> None:
    people, count = observation.people, len(root)
    own = numpy.zeros(count, dtype=numpy.bool_)
    own[observation.own] = True
    corrupt = numpy.zeros(people + observation.relays, dtype=numpy.bool_)
    corrupt[[view.relay for view in observation.views]] = True
    column = numpy.flatnonzero((root == numpy.arange(count)) & ~own)
    begin, end = wires.source[column], wires.target[last[column]]
    fresh = (begin < people) | corrupt[begin]  # it comes out of no pool
    held = numpy.isin(last[column], observation.held)  # got nowhere: in time, not backward
    leaves = column[~fresh & ~(held & backward)]
    enters = column[(end >= people) & ~corrupt[end] & (backward | ~held)]

    # To whom a column comes out: a person, or the corrupt relay that it ends at.
    owner = numpy.full(count, NOBODY, dtype=numpy.int64)
    out = ((end < people) | (corrupt[end] & ended[last[column]])) & (backward | ~held)
    owner[column[out]] = end[out]
    over = (end < people) | corrupt[end] | (held & (not backward))
    final = numpy.zeros(count, dtype=numpy.bool_)
    final[column[over]] = True
    # A target that no honest relay mixed is seen from end to end.
    bare = numpy.isin(firsts, column[fresh & over]) & (owner[firsts] != NOBODY)
    found[owner[firsts[bare]], numpy.flatnonzero(bare)] = 1.0

    target = numpy.full(count, NOBODY, dtype=numpy.int64)
    target[firsts] = numpy.arange(len(firsts))
    steps = _in_order(
        numpy.concatenate([enters, leaves]),
        numpy.concatenate([wires.target[last[enters]], wires.source[leaves]]) - people,
        numpy.concatenate([wires.arrives[last[enters]], wires.leaves[leaves]]),
        numpy.arange(len(enters) + len(leaves)) >= len(enters),
    )
    before = _held_before(steps, observation.relays)
    _follow(steps, before, final, target, owner, found)


@dataclass(frozen=True, slots=True)
class _Steps:
    """What goes into pools and out of them, in the order of time; entering first where alike."""

    column: Ints
    pool: Ints
    out: Flags


def _in_order(column: Ints, pool: Ints, time: Ints, out: Flags) -> _Steps:
    order = numpy.lexsort((column, out, time))
    return _Steps(column[order], pool[order], out[order])


def _held_before(steps: _Steps, pools: int) -> Ints:
    """Return what pools must have held before anybody watched.

    A relay out of which more came than had gone in had the rest in it, or made it: answers,
    cover.
    """
    by_pool = numpy.argsort(steps.pool, kind="stable")
    level = numpy.cumsum(numpy.where(steps.out[by_pool], -1, 1))
    begins = numpy.flatnonzero(numpy.diff(steps.pool[by_pool], prepend=-1))
    held = numpy.zeros(pools, dtype=numpy.int64)
    if len(begins):
        before = numpy.where(begins > 0, level[begins - 1], 0)
        lowest = numpy.minimum.reduceat(level, begins) - before
        held[steps.pool[by_pool[begins]]] = numpy.maximum(0, -lowest)
    return held


def _follow(
    steps: _Steps,
    held: Ints,
    final: Flags,
    target: Ints,
    owner: Ints,
    found: NDArray[numpy.float64],
) -> None:
    """Go through the steps, a row of all targets at a time."""
    mass = numpy.zeros((len(held), found.shape[1]))
    count = held.tolist()
    flying: dict[int, NDArray[numpy.float64]] = {}
    empty = [True] * len(count)  # of targets, as most pools are at first
    column, pool = steps.column, steps.pool
    rows = zip(
        column.tolist(),
        pool.tolist(),
        steps.out.tolist(),
        final[column].tolist(),
        target[column].tolist(),
        owner[column].tolist(),
        strict=True,
    )
    for packet, at, out, ends, asked, to in rows:
        if not out:
            count[at] += 1
            if asked >= 0:
                mass[at, asked] += 1.0
                empty[at] = False
            elif packet in flying:
                mass[at] += flying.pop(packet)
                empty[at] = False
            continue
        if empty[at]:
            count[at] -= 1
            continue
        row = mass[at]
        share = row / count[at]
        row -= share
        count[at] -= 1
        if not ends:
            flying[packet] = share
        elif to >= 0:
            found[to] += share
