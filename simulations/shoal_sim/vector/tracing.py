"""How a watcher of all links follows packets through Poisson mixes: its exact posterior.

::

                 enters: mass += p, count += 1              leaves: p = mass / count
    packet ── p ─────────────────────────► pool ─────────────────────────────────── p ──► packet
                                       mass (a target)      mass -= p, count -= 1

Delays are memoryless, so all packets in a mix are alike likely to be the next to leave: given
the times on all links each pairing of what entered with what left is as probable as any
other, and a pool that holds a mass per target is all that there is to know (Serjantov and
Danezis, PET 2002; Danezis, PET 2004). This is exact in layers. Read backwards in time the same
holds of what entered, so one function follows a target to its receivers and, over
:meth:`Way.backwards`, to its senders.

In free routes it is exact for a watcher who knows how far each packet has come: a pool is then
a relay and a place on the way. That is more than links tell, so what it gives is the least
anonymity; pools that are relays alone give a watcher who only counts.

Times are integer nanoseconds; ties go by hop and then by number of packet. With numba (the
extra ``sim-fast``) the loop is compiled, without it each step is numpy's; both give the same
bits, as each does the same additions and divisions in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any, Final, TypeAlias, cast

import numpy
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[numpy.int64]
Small: TypeAlias = NDArray[numpy.int32]
Flags: TypeAlias = NDArray[numpy.bool_]
Floats: TypeAlias = NDArray[numpy.float64]

FAST: Final = util.find_spec("numba") is not None  # is the loop compiled?
NOBODY: Final = -1
FIRST: Final = 1  # bits of a visit's kind
LAST: Final = 2


@dataclass(frozen=True, slots=True)
class Way:
    """Packets on their way through mixes; a row is a hop, a column a packet.

    Args:
        pool: (hops, packets) which pool of packets that are mixed with each other.
        enter, leave: (hops, packets) ns.
        pools: how many there are.
        mixed: (hops, packets) where a packet is hidden among others; not at a relay that tells
            what it does, and not where it never came. None: everywhere.
    """

    pool: Small
    enter: Ints
    leave: Ints
    pools: int
    mixed: Flags | None = None

    @property
    def packets(self) -> int:
        """How many packets there are."""
        return int(self.pool.shape[1])

    def backwards(self) -> "Way":
        """Return the same packets with time reversed."""
        mixed = None if self.mixed is None else self.mixed[::-1]
        return Way(self.pool[::-1], -self.leave[::-1], -self.enter[::-1], self.pools, mixed)


def follow(
    way: Way,
    targets: Ints,
    owner: Small | Ints,
    owners: int,
    *,
    window: tuple[int, int] | None = None,
    compiled: bool = FAST,
) -> Floats:
    """Return how likely each target came out as a packet of each owner.

    Args:
        targets: numbers of packets, none twice.
        owner: (packets,) to whom a packet that comes out belongs: a person, a relay, or the
            packet itself; ``NOBODY`` if it can't have been the target.
        window: ns, from before which pools hold what is in them, to the end of watching.
        compiled: by numba; only where it is installed.

    Returns:
        (targets, owners): a row sums to 1, but for what belongs to nobody or had not come out
        at the end of the window.
    """
    codes = _in_order(way, window)
    kind = _kinds(way)
    target = numpy.full(way.packets, NOBODY, dtype=numpy.int32)
    target[targets] = numpy.arange(len(targets), dtype=numpy.int32)
    found = numpy.zeros((owners, len(targets)))
    if way.mixed is not None:  # all of its mixes tell: it is seen from end to end
        bare = targets[~way.mixed[:, targets].any(axis=0)]
        bare = bare[owner[bare] != NOBODY]
        found[owner[bare], target[bare]] = 1.0
    pool = numpy.ascontiguousarray(way.pool).ravel()
    names = numpy.ascontiguousarray(owner, dtype=numpy.int64)
    go_through(codes, kind, pool, target, names, way.pools, found, compiled=compiled)
    return found.T


def go_through(
    codes: Ints,
    kind: NDArray[numpy.int8],
    pool: Small,
    target: Small,
    owner: Ints,
    pools: int,
    found: Floats,
    *,
    compiled: bool = FAST,
) -> None:
    """Go through events that are in order already, for those who have events and no ways.

    Args:
        codes: 2·visit + (1 if it leaves); a visit modulo the packets is its packet.
        kind: (visits,) ``FIRST``, ``LAST``, both or none.
        pool: (visits,).
        target, owner: (packets,) its number among the targets, and to whom it comes out.
        found: (owners, targets), to which is added.
    """
    loop = _compiled() if compiled else _steps
    loop(codes, kind, pool, target, owner, pools, found)


def settle(found: Floats) -> Floats:
    """Return ``found`` with each row summing to 1: what can't be the target is ruled out."""
    sums = found.sum(axis=1, keepdims=True)
    return cast(Floats, numpy.divide(found, sums, out=numpy.zeros_like(found), where=sums > 0))


def _in_order(way: Way, window: tuple[int, int] | None) -> Ints:
    """Return 2·visit + (1 if it leaves) of all events in the order of their times."""
    hops, packets = way.pool.shape
    low = int(way.enter.min()) if window is None else window[0]
    high = int(way.leave.max()) if window is None else window[1]
    bits = (2 * hops * packets).bit_length()
    narrow = (high - low).bit_length() + bits <= 63
    parts: list[Ints] = []
    times: list[Ints] = []
    for hop in range(hops):
        enter, leave = way.enter[hop], way.leave[hop]
        there = (leave > low) & (enter < high) if window is not None else None
        if way.mixed is not None:
            there = way.mixed[hop] if there is None else there & way.mixed[hop]
        base = 2 * hop * packets
        for leaves in (0, 1):
            at, keep = (leave, there) if leaves else (enter, there)
            if leaves and window is not None:
                assert there is not None
                keep = there & (leave < high)
            if keep is None:
                code = numpy.arange(base + leaves, base + 2 * packets + leaves, 2)
                at = at - low
            else:
                which = numpy.flatnonzero(keep)
                code = base + 2 * which + leaves
                at = numpy.maximum(at[which] - low, 0)
            if narrow:  # the sort of plain numbers is many times that of their order
                at <<= bits
                at |= code
                parts.append(at)
            else:
                parts.append(code)
                times.append(at)
    codes = numpy.concatenate(parts)
    if not narrow:
        return codes[numpy.lexsort((codes, numpy.concatenate(times)))]
    parts.clear()
    codes.sort()
    codes &= (1 << bits) - 1
    return codes


def _kinds(way: Way) -> NDArray[numpy.int8]:
    """Return for each visit whether it is the packet's first or last."""
    hops, packets = way.pool.shape
    kind = numpy.zeros((hops, packets), dtype=numpy.int8)
    if way.mixed is None:
        kind[0] |= FIRST
        kind[-1] |= LAST
        return kind.ravel()
    column = numpy.arange(packets)
    kind[way.mixed.argmax(axis=0), column] |= FIRST
    kind[hops - 1 - way.mixed[::-1].argmax(axis=0), column] |= LAST
    return kind.ravel()


def _steps(
    codes: Ints,
    kind: NDArray[numpy.int8],
    pool: Small,
    target: Small,
    owner: Ints,
    pools: int,
    found: Floats,
) -> None:
    """Go through the events, a row of all targets at a time."""
    packets, width = len(target), found.shape[1]
    mass = numpy.zeros((pools, width))
    count = [0] * pools
    flying: dict[int, Floats] = {}
    visits = codes >> 1
    what = kind[visits].tolist()
    for code, which, visit, at in zip(
        codes.tolist(), what, visits.tolist(), pool[visits].tolist(), strict=True
    ):
        packet = visit % packets
        if code & 1:
            row = mass[at]
            p = row / count[at]
            row -= p
            count[at] -= 1
            if not which & LAST:
                flying[packet] = p
            elif owner[packet] >= 0:
                found[owner[packet]] += p
        else:
            count[at] += 1
            if which & FIRST:
                if target[packet] >= 0:
                    mass[at, target[packet]] += 1.0
            elif packet in flying:
                mass[at] += flying.pop(packet)


def _loop(
    codes: Ints,
    kind: NDArray[numpy.int8],
    pool: Small,
    target: Small,
    owner: Ints,
    pools: int,
    found: Floats,
) -> None:
    """Do what ``_steps`` does, number by number, for numba to compile."""
    packets, width = len(target), found.shape[1]
    mass = numpy.zeros((pools, width))
    count = numpy.zeros(pools, dtype=numpy.int64)
    slot = numpy.full(packets, -1, dtype=numpy.int32)
    room = 1024
    flying = numpy.empty((room, width))
    free = numpy.arange(room, dtype=numpy.int32)
    left = room
    for code in codes:
        visit = code >> 1
        packet = visit % packets
        at = pool[visit]
        which = kind[visit]
        if code & 1:
            n = count[at]
            count[at] = n - 1
            if which & 2:
                to = owner[packet]
                for k in range(width):
                    p = mass[at, k] / n
                    mass[at, k] -= p
                    if to >= 0:
                        found[to, k] += p
                continue
            if left == 0:
                wider = numpy.empty((2 * room, width))
                wider[:room] = flying
                flying = wider
                free = numpy.arange(room, 2 * room).astype(numpy.int32)
                left = room
                room *= 2
                more = numpy.empty(room, dtype=numpy.int32)
                more[:left] = free
                free = more
            left -= 1
            s = free[left]
            slot[packet] = s
            for k in range(width):
                p = mass[at, k] / n
                mass[at, k] -= p
                flying[s, k] = p
        else:
            count[at] += 1
            if which & 1:
                if target[packet] >= 0:
                    mass[at, target[packet]] += 1.0
            elif slot[packet] >= 0:
                s = slot[packet]
                slot[packet] = -1
                free[left] = s
                left += 1
                for k in range(width):
                    mass[at, k] += flying[s, k]


_made: list[Callable[..., None]] = []


def _compiled() -> Callable[..., None]:
    """Return ``_loop`` compiled, once a process; numba keeps it on disk for the next."""
    if not _made:
        numba = cast(Any, import_module("numba"))
        options = {"parallel": False, "fastmath": False, "error_model": "numpy"}
        _made.append(numba.njit(_loop, cache=True, **options))
    return _made[0]
