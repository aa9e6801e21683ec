"""Lookups in Kademlia, for a million nodes in little memory: no table is ever kept.

::

    positions, sorted ──► the nodes that share a prefix with the target are one range of them
    hop:  prefix shared so far + 1 (or up to the next step of the tree) ─► range
          k of the range, drawn ─► those alive ─► the nearest to the target
    ends: at the node nearest to the target (found), or where all k are dead (failed)

A full bucket holds k nodes of its range as chance brought them; which they are matters once,
when a lookup comes by, and so they are drawn then. A range of at most k nodes is known whole.
Positions are the first 64 bits of those of the DHT (spec: dht §1): two of a million are alike
once in 10^7 networks.

Sources: Maymounkov and Mazières, IPTPS 2002, §2 and §4.2; Stutzbach and Rejaie, INFOCOM 2006.
"""

from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

Positions = NDArray[numpy.uint64]
BITS: Final = 64
MOST_HOPS: Final = 64
CHUNK: Final = 1 << 13  # lookups at once: k = 20 takes 4 MB
_FARTHEST: Final = numpy.uint64(2**64 - 1)
_ONE: Final = numpy.uint64(1)


@dataclass(frozen=True, slots=True)
class Network:
    """Nodes by their positions.

    Args:
        positions: sorted, none twice.
        starts: for each prefix of ``prefix_bits`` bits where its nodes begin; one more at the end.
        alive: which nodes answer, or nothing if all do.
    """

    positions: Positions
    starts: NDArray[numpy.int32]
    prefix_bits: int
    alive: NDArray[numpy.bool_] | None

    def __len__(self) -> int:
        return len(self.positions)

    def ranges(
        self, target: Positions, depth: NDArray[numpy.int64]
    ) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
        """Return where the nodes begin and end that share ``depth`` bits with each target."""
        short = numpy.minimum(depth, self.prefix_bits)
        prefix = (target >> numpy.uint64(BITS - self.prefix_bits)).astype(numpy.int64)
        spare = self.prefix_bits - short
        cell = (prefix >> spare) << spare
        low = self.starts[cell].astype(numpy.int64)
        high = self.starts[cell + (1 << spare)].astype(numpy.int64)
        deep = numpy.flatnonzero((depth > self.prefix_bits) & (high > low))
        if len(deep):
            rest = (_ONE << (BITS - depth[deep]).astype(numpy.uint64)) - _ONE
            least = target[deep] & ~rest
            low[deep] = numpy.searchsorted(self.positions, least)
            high[deep] = numpy.searchsorted(self.positions, least | rest, side="right")
        return low, high


@dataclass(frozen=True, slots=True)
class Lookups:
    """What came of lookups, one entry each.

    Args:
        hops: contacts asked one after the other.
        found: whether the nearest live node was reached.
        first_gain: bits more that the first contact shares than the node that began.
    """

    hops: NDArray[numpy.int8]
    found: NDArray[numpy.bool_]
    first_gain: NDArray[numpy.int8]

    def __len__(self) -> int:
        return len(self.hops)


def network(nodes: int, rng: numpy.random.Generator, dead: float = 0.0) -> Network:
    """Return ``nodes`` nodes at random positions, a share ``dead`` of which does not answer."""
    positions = rng.integers(0, 2**64, nodes, dtype=numpy.uint64)
    positions.sort()
    while (positions[1:] == positions[:-1]).any():
        positions = numpy.unique(positions)
        more = rng.integers(0, 2**64, nodes - len(positions), dtype=numpy.uint64)
        positions = numpy.sort(numpy.concatenate([positions, more]))
    return at(positions, rng.random(nodes, dtype=numpy.float32) >= dead if dead else None)


def at(positions: Positions, alive: NDArray[numpy.bool_] | None = None) -> Network:
    """Return the network of nodes at these sorted positions."""
    bits = max(1, min(22, (len(positions) - 1).bit_length()))
    edges = numpy.arange(1 << bits, dtype=numpy.uint64) << numpy.uint64(BITS - bits)
    starts = numpy.append(numpy.searchsorted(positions, edges), len(positions))
    return Network(positions, starts.astype(numpy.int32), bits, alive)


def shared_bits(distance: Positions) -> NDArray[numpy.int64]:
    """Return how many first bits are alike, given XOR distances; 64 for none."""
    high = (distance >> numpy.uint64(32)).astype(numpy.float64)
    low = (distance & numpy.uint64(2**32 - 1)).astype(numpy.float64)
    # frexp gives the length in bits of a number that a float holds exactly.
    length = numpy.where(high > 0, numpy.frexp(high)[1] + 32, numpy.frexp(low)[1])
    return BITS - length.astype(numpy.int64)


def lookups(
    net: Network,
    count: int,
    k: int,
    rng: numpy.random.Generator,
    *,
    step: int = 1,
    repeats: bool = False,
    stale: float = 0.0,
) -> Lookups:
    """Return ``count`` lookups of random keys, each by a random live node, one contact a hop.

    Args:
        k: contacts of a bucket.
        step: 1 for one bucket a bit; 5 for a table that splits wherever the depth is no multiple
            of 5 (Kademlia §4.2; spec: dht §3).
        repeats: let a contact come twice in a bucket, as simpler models do.
        stale: share of contacts that don't answer, drawn anew at each hop, as simpler models do:
            dead nodes (``network``) are dead for whoever asks.
    """
    hops = numpy.zeros(count, dtype=numpy.int8)
    found = numpy.zeros(count, dtype=numpy.bool_)
    gain = numpy.zeros(count, dtype=numpy.int8)
    for begin in range(0, count, CHUNK):
        part = slice(begin, min(count, begin + CHUNK))
        ran = _some(net, part.stop - begin, k, rng, step, repeats, stale)
        hops[part], found[part], gain[part] = ran
    return Lookups(hops, found, gain)


def _some(
    net: Network,
    count: int,
    k: int,
    rng: numpy.random.Generator,
    step: int,
    repeats: bool,
    stale: float,
) -> tuple[NDArray[numpy.int64], NDArray[numpy.bool_], NDArray[numpy.int64]]:
    """Return hops, whether found, and the first hop's gain of a few lookups."""
    target = rng.integers(0, 2**64, count, dtype=numpy.uint64)
    here = net.positions[_starters(net, count, rng)]
    hops = numpy.zeros(count, dtype=numpy.int64)
    found = numpy.zeros(count, dtype=numpy.bool_)
    gain = numpy.zeros(count, dtype=numpy.int64)
    going = numpy.arange(count)
    for hop in range(MOST_HOPS):
        shared = shared_bits(here[going] ^ target[going])
        depth = (shared // step + 1) * step if step > 1 else shared + 1
        low, high = net.ranges(target[going], numpy.minimum(depth, BITS))
        if step > 1:
            low, high = _widened(net, target[going], shared, depth, low, high, k)
        near = _nearest(net, target[going], low, high - low, k, rng, repeats, stale)
        nearest, someone, whole = near
        if hop == 0:
            gain[going] = shared_bits(nearest ^ target[going]) - shared
        better = someone & ((nearest ^ target[going]) < (here[going] ^ target[going]))
        found[going[~better & whole]] = True
        going, nearest = going[better], nearest[better]
        here[going] = nearest
        hops[going] += 1
        if len(going) == 0:
            break
    return hops, found, gain


def _widened(
    net: Network,
    target: Positions,
    shared: NDArray[numpy.int64],
    depth: NDArray[numpy.int64],
    low: NDArray[numpy.int64],
    high: NDArray[numpy.int64],
    k: int,
) -> tuple[NDArray[numpy.int64], NDArray[numpy.int64]]:
    """Return ranges as far up as a bucket is not split any more, since it is not full.

    A range of less than k nodes lies in a bucket with its neighbours, up to the first depth
    beyond what the node shares with the target.
    """
    while True:
        few = numpy.flatnonzero((high - low < k) & (depth > shared + 1))
        if len(few) == 0:
            return low, high
        depth[few] -= 1
        low[few], high[few] = net.ranges(target[few], numpy.minimum(depth[few], BITS))


def _starters(net: Network, count: int, rng: numpy.random.Generator) -> NDArray[numpy.int64]:
    """Return live nodes, drawn evenly."""
    if net.alive is None:
        return rng.integers(0, len(net), count)
    living = numpy.flatnonzero(net.alive)
    return living[rng.integers(0, len(living), count)]


def _nearest(
    net: Network,
    target: Positions,
    low: NDArray[numpy.int64],
    size: NDArray[numpy.int64],
    k: int,
    rng: numpy.random.Generator,
    repeats: bool,
    stale: float,
) -> tuple[Positions, NDArray[numpy.bool_], NDArray[numpy.bool_]]:
    """Return the nearest live of up to k nodes of each range, whether any lives, and whether
    the range was known whole."""
    whole = size <= k
    column = numpy.arange(k)
    at_ = numpy.minimum(column[None, :], numpy.maximum(size, 1)[:, None] - 1)
    drawn = numpy.flatnonzero(~whole)
    if len(drawn):
        wide = size[drawn, None]
        picks = (rng.random((len(drawn), k), dtype=numpy.float32) * wide).astype(numpy.int64)
        if not repeats:
            tight = size[drawn] <= 8 * k
            picks[tight] = _without_repeats(size[drawn[tight]], k, rng)
            redraw(picks, wide, ~tight, rng)
        at_[drawn] = numpy.minimum(picks, wide - 1)
    number = numpy.minimum(low[:, None] + at_, len(net) - 1)
    distance = net.positions[number] ^ target[:, None]
    if net.alive is not None:
        distance[~net.alive[number]] = _FARTHEST
    if stale:
        distance[rng.random(distance.shape, dtype=numpy.float32) < stale] = _FARTHEST
    distance[column[None, :] >= size[:, None]] = _FARTHEST
    best = distance.min(axis=1)
    return best ^ target, best != _FARTHEST, whole


def _without_repeats(
    size: NDArray[numpy.int64], k: int, rng: numpy.random.Generator
) -> NDArray[numpy.int64]:
    """Return k different numbers below each size: the k least of as many draws as it has."""
    if len(size) == 0:
        return numpy.empty((0, k), dtype=numpy.int64)
    widest = int(size.max())
    keys = rng.random((len(size), widest), dtype=numpy.float32)
    keys[numpy.arange(widest)[None, :] >= size[:, None]] = 2.0
    return numpy.argpartition(keys, k - 1, axis=1)[:, :k]


def redraw(
    picks: NDArray[numpy.int64],
    size: NDArray[numpy.int64],
    among: NDArray[numpy.bool_],
    rng: numpy.random.Generator,
) -> None:
    """Draw anew what comes twice in a row, until nothing does.

    A contact that is drawn twice is one that may be alive less: with k = 8 and half of all dead
    lookups would fail by a fiftieth more often. Ranges so large that one row in a hundred has
    such are left alone.
    """
    k = picks.shape[1]
    rows = numpy.flatnonzero(among & (size[:, 0] < 64 * k * k))
    while len(rows):
        ordered = numpy.sort(picks[rows], axis=1)
        twice = ordered[:, 1:] == ordered[:, :-1]
        some = twice.any(axis=1)
        rows, ordered = rows[some], ordered[some]
        row, column = numpy.nonzero(twice[some])
        ordered[row, column + 1] = (rng.random(len(row)) * size[rows[row], 0]).astype(numpy.int64)
        picks[rows] = ordered
