"""Whole lookups in the DHT as nodes make them: several contacts at once, dead ones, liars.

::

    view: the 4k nearest known ── α nearest not asked ──► replies: k contacts each ──► view
                               └─ the k nearest stayed the same: all of them
    ends: 3 showed the record · the k nearest in view have answered · 24 rounds · 6k calls

    dead     silent                                    gone since the record was put, or before
    hostile  names the hostile nodes nearest to the key alone, keeps nothing that it was given
    apart    of hostile nodes in one /16 only the nearest counts; honest ones have one each
    places   at which a record is put and sought, one after the other

Whom a node knows is drawn when it is asked (kademlia.py): of the range of its bucket towards
the key, dead and hostile ones as many as there are. Rules: spec, dht §5 and §9.
"""

from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

from shoal_sim.vector import kademlia
from shoal_sim.vector.kademlia import BITS, Network, Positions

Numbers = NDArray[numpy.int64]
Mask = NDArray[numpy.bool_]
REMEMBERED: Final = 4  # times k
ROUNDS: Final = 24
CALLS: Final = 6  # times k
ENOUGH: Final = 3  # nodes that showed the record
PART: Final = 1_000  # walks at once: 20 MB at k = 20
_NEW, _OUT, _ANSWERED = 0, 1, 2
_FARTHEST: Final = numpy.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class Population:
    """Who is in the DHT.

    Args:
        net: all positions; ``net.alive`` is left out of account.
        alive: who answers when the record is asked for.
        hostile: who lies; hostile ones are always there.
        stored: who was there when it was put.
        wide: number of each node's /16.
    """

    net: Network
    alive: Mask
    hostile: Mask
    stored: Mask
    wide: Numbers


@dataclass(frozen=True, slots=True)
class Walks:
    """What came of walks, one entry each."""

    found: Mask
    calls: NDArray[numpy.int64]
    rounds: NDArray[numpy.int64]
    keepers: NDArray[numpy.int64]  # live honest nodes that have the record


def population(
    honest: int,
    rng: numpy.random.Generator,
    *,
    hostile: int = 0,
    dead: float = 0.0,
    left: float = 0.0,
    subnets: int = 0,
) -> Population:
    """Return a DHT at random positions.

    Args:
        hostile: identities beside the honest.
        dead: share of honest entries in tables that were gone before the record was put.
        left: share of the rest that left since.
        subnets: /16s that the hostile have among them, in turn; 0 for one each.
    """
    net = kademlia.network(honest + hostile, rng)
    bad = numpy.zeros(len(net), dtype=numpy.bool_)
    bad[rng.permutation(len(net))[:hostile]] = True
    stored = bad | (rng.random(len(net)) >= dead)
    alive = stored & (bad | (rng.random(len(net)) >= left))
    wide = numpy.arange(len(net))
    wide[bad] = len(net) + numpy.arange(hostile) % (subnets or max(1, hostile))
    return Population(net, alive, bad, stored, wide)


def gets(
    there: Population,
    count: int,
    rng: numpy.random.Generator,
    *,
    k: int = 20,
    alpha: int = 3,
    apart: bool = False,
    places: int = 1,
) -> Walks:
    """Return ``count`` lookups of records, each of a random key by a random live honest node."""
    able = numpy.flatnonzero(there.alive & ~there.hostile)
    parts: list[Walks] = []
    for begin in range(0, count, PART):
        size = min(PART, count - begin)
        me = able[rng.integers(0, len(able), size)]
        walks = [_some(there, me, k, alpha, rng, apart=apart) for _ in range(places)]
        parts.append(
            Walks(
                numpy.logical_or.reduce([walk.found for walk in walks]),
                numpy.sum([walk.calls for walk in walks], axis=0),
                numpy.sum([walk.rounds for walk in walks], axis=0),
                numpy.sum([walk.keepers for walk in walks], axis=0),
            )
        )
    return Walks(
        numpy.concatenate([part.found for part in parts]),
        numpy.concatenate([part.calls for part in parts]),
        numpy.concatenate([part.rounds for part in parts]),
        numpy.concatenate([part.keepers for part in parts]),
    )


def nearest(positions: Positions, target: Positions, among: Numbers, k: int) -> Numbers:
    """Return (targets, k) the nodes of ``among`` nearest to each target, in no order.

    ``among`` are sorted numbers of nodes. A block of one prefix holds the nearest; it is
    widened until it has k.
    """
    mine = positions[among]
    found = numpy.empty((len(target), min(k, len(among))), dtype=numpy.int64)
    net = kademlia.at(mine)
    depth = numpy.full(len(target), max(0, (len(among) // max(1, k)).bit_length()))
    low, high = net.ranges(target, depth)
    while len(few := numpy.flatnonzero((high - low < found.shape[1]) & (depth > 0))):
        depth[few] -= 1
        low[few], high[few] = net.ranges(target[few], depth[few])
    for i in range(len(target)):
        block = numpy.arange(low[i], high[i])
        distance = mine[block] ^ target[i]
        found[i] = among[block[numpy.argpartition(distance, found.shape[1] - 1)[: found.shape[1]]]]
    return found


def _near_liars(there: Population, target: Positions, k: int, *, apart: bool) -> Numbers | None:
    """Return (targets, k or fewer) the hostile nodes nearest to each target that count."""
    liars = numpy.flatnonzero(there.hostile)
    if len(liars) == 0:
        return None
    positions, wide = there.net.positions, there.wide[liars]
    count = len(numpy.unique(wide))
    if not apart or count == len(liars):
        return nearest(positions, target, liars, k)
    # A row for each /16, filled up with its first node.
    order = numpy.argsort(wide, kind="stable")
    first = numpy.searchsorted(wide[order], numpy.unique(wide))
    row = numpy.repeat(numpy.arange(count), numpy.diff(numpy.append(first, len(liars))))
    grid = numpy.repeat(liars[order[first]][:, None], numpy.bincount(row).max(), axis=1)
    grid[row, numpy.arange(len(liars)) - first[row]] = liars[order]
    best = numpy.empty((len(target), count), dtype=numpy.int64)
    for i in range(len(target)):
        best[i] = grid[numpy.arange(count), (positions[grid] ^ target[i]).argmin(axis=1)]
    by_distance = numpy.argsort(positions[best] ^ target[:, None], axis=1, kind="stable")
    return numpy.take_along_axis(best, by_distance[:, :k], axis=1)


def _keepers(
    there: Population, target: Positions, decoys: Numbers | None, k: int, *, apart: bool
) -> Numbers:
    """Return (targets, k) who was given the record of each target."""
    positions = there.net.positions
    if not apart or decoys is None:
        return nearest(positions, target, numpy.flatnonzero(there.stored), k)
    honest = nearest(positions, target, numpy.flatnonzero(there.stored & ~there.hostile), k)
    both = numpy.concatenate([honest, decoys], axis=1)
    order = numpy.argsort(positions[both] ^ target[:, None], axis=1, kind="stable")
    return numpy.take_along_axis(both, order[:, :k], axis=1)


def _some(
    there: Population,
    me: Numbers,
    k: int,
    alpha: int,
    rng: numpy.random.Generator,
    *,
    apart: bool,
) -> Walks:
    net, positions, count = there.net, there.net.positions, len(me)
    target = rng.integers(0, 2**64, count, dtype=numpy.uint64)
    decoys = _near_liars(there, target, k, apart=apart)
    keepers = _keepers(there, target, decoys, k, apart=apart)
    holds = there.alive[keepers] & ~there.hostile[keepers]
    has = numpy.where(holds, keepers, -1)
    view = _View(positions, target, REMEMBERED * k, there.wide if apart else None)
    view.learn(numpy.arange(count), _known(net, target, me, k, rng))
    calls, rounds = numpy.zeros(count, dtype=numpy.int64), numpy.zeros(count, dtype=numpy.int64)
    shown = (has == me[:, None]).sum(axis=1)
    going = numpy.arange(count)
    before = numpy.full((count, k), _FARTHEST)
    for _ in range(ROUNDS):
        head = view.distance[going, :k]
        same = (head == before[going]).all(axis=1)
        before[going] = head
        asked = view.next(going, k, numpy.where(same, k, alpha))
        open_ = asked.any(axis=1) & (shown[going] < ENOUGH) & (calls[going] < CALLS * k)
        going, asked = going[open_], asked[open_]
        if len(going) == 0:
            break
        row, column = numpy.nonzero(asked)
        walk = going[row]
        node = view.node[walk, column]
        calls += numpy.bincount(walk, minlength=count)
        rounds[going] += 1
        answers = there.alive[node]
        view.state[walk, column] = numpy.where(answers, _ANSWERED, _OUT)
        walk, node = walk[answers], node[answers]
        shown += numpy.bincount(walk[(has[walk] == node[:, None]).any(axis=1)], minlength=count)
        named = _known(net, target[walk], node, k, rng)
        lies = there.hostile[node]
        if decoys is not None and lies.any():
            named[lies] = decoys[walk[lies]][:, numpy.arange(k) % decoys.shape[1]]
        view.learn(walk, named)
    return Walks(shown > 0, calls, rounds, holds.sum(axis=1))


class _View:
    """What each walk knows: the nearest nodes so far, in the order of distance."""

    def __init__(
        self, positions: Positions, target: Positions, size: int, wide: Numbers | None
    ) -> None:
        self._positions, self._target, self._wide = positions, target, wide
        self.distance = numpy.full((len(target), size), _FARTHEST)
        self.node = numpy.full((len(target), size), -1, dtype=numpy.int64)
        self.state = numpy.full((len(target), size), _OUT, dtype=numpy.int8)

    def next(self, walks: Numbers, k: int, most: Numbers) -> Mask:
        """Return whom to ask: of the k nearest that are not out the nearest ``most`` unasked."""
        there = (self.state[walks] != _OUT) & (self.node[walks] >= 0)
        if self._wide is not None:
            there &= self._first_of_subnets(self.node[walks], there, self._wide)
        near = there & (numpy.cumsum(there, axis=1) <= k)
        fresh = near & (self.state[walks] == _NEW)
        chosen: Mask = fresh & (numpy.cumsum(fresh, axis=1) <= most[:, None])
        return chosen

    def _first_of_subnets(self, node: Numbers, there: Mask, wide: Numbers) -> Mask:
        """Return whether nobody nearer, of those who are there, is in the same /16."""
        column = numpy.arange(node.shape[1])
        mine = numpy.where(there, wide[node], -1 - column)
        order = numpy.argsort(mine, axis=1, kind="stable")
        ordered = numpy.take_along_axis(mine, order, axis=1)
        first = numpy.ones(node.shape, dtype=numpy.bool_)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        back = numpy.empty_like(first)
        numpy.put_along_axis(back, order, first, axis=1)
        return back

    def learn(self, walk: Numbers, named: Numbers) -> None:
        """Take in contacts (replies, k); a walk may have several replies."""
        order = numpy.argsort(walk, kind="stable")
        walk, named = walk[order], named[order]
        turn = numpy.arange(len(walk)) - numpy.searchsorted(walk, walk)
        for number in range(int(turn.max(initial=-1)) + 1):
            self._learn(walk[turn == number], named[turn == number])

    def _learn(self, walk: Numbers, named: Numbers) -> None:
        size = self.distance.shape[1]
        distance = self._positions[named] ^ self._target[walk][:, None]
        distance = numpy.concatenate([self.distance[walk], distance], axis=1)
        node = numpy.concatenate([self.node[walk], named], axis=1)
        fresh = numpy.full(named.shape, _NEW, dtype=numpy.int8)
        state = numpy.concatenate([self.state[walk], fresh], axis=1)
        # Who is known already stands before its double, as the sort is stable.
        order = numpy.argsort(distance, axis=1, kind="stable")
        node = numpy.take_along_axis(node, order, axis=1)
        double = numpy.zeros(node.shape, dtype=numpy.bool_)
        double[:, 1:] = (node[:, 1:] == node[:, :-1]) & (node[:, 1:] >= 0)
        distance = numpy.take_along_axis(distance, order, axis=1)
        state = numpy.take_along_axis(state, order, axis=1)
        distance[double] = _FARTHEST
        node[double] = -1
        state[double] = _OUT
        order = numpy.argsort(distance, axis=1, kind="stable")[:, :size]
        self.distance[walk] = numpy.take_along_axis(distance, order, axis=1)
        self.node[walk] = numpy.take_along_axis(node, order, axis=1)
        self.state[walk] = numpy.take_along_axis(state, order, axis=1)


def _known(
    net: Network, target: Positions, node: Numbers, k: int, rng: numpy.random.Generator
) -> Numbers:
    """Return (nodes, k) contacts nearest to the target that each node knows.

    All of its bucket towards the target, or k of it; where that holds fewer, some of the next
    wider range as well.
    """
    depth = numpy.minimum(kademlia.shared_bits(net.positions[node] ^ target) + 1, numpy.int64(BITS))
    low, high = net.ranges(target, depth)
    inner, inside = low.copy(), numpy.minimum(high - low, k)
    full = high - low >= k
    while len(few := numpy.flatnonzero((high - low < min(k, len(net))) & (depth > 0))):
        depth[few] -= 1
        low[few], high[few] = net.ranges(target[few], depth[few])
    size = (high - low)[:, None]
    picks = low[:, None] + (rng.random((len(node), k)) * size).astype(numpy.int64)
    column = numpy.arange(k)[None, :]
    own = ~full[:, None] & (column < inside[:, None])
    chosen: Numbers = numpy.where(own, inner[:, None] + column, picks)
    return chosen
