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

Times are integer nanoseconds; ties go by number of packet and then by hop. The loop over what
enters and leaves, the whole of the time that this takes, is vector/stepping.py's.
"""

from dataclasses import dataclass
from typing import Final, cast

import numpy

from shoal_sim.vector import stepping
from shoal_sim.vector.stepping import FAST, FIRST, LAST, Flags, Floats, Ints, Small

NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Way:
    """Packets on their way through mixes; a row is a hop, a column a packet.

    Args:
        pool: (hops, packets) which pool of packets that are mixed with each other.
        enter, leave: (hops, packets) ns; of a way backwards, counted down.
        pools: how many there are.
        mixed: (hops, packets) where a packet is hidden among others; not at a relay that tells
            what it does, and not where it never came. None: everywhere.
        ahead: False: time runs backwards.
    """

    pool: Small
    enter: Ints
    leave: Ints
    pools: int
    mixed: Flags | None = None
    ahead: bool = True

    @property
    def packets(self) -> int:
        """How many packets there are."""
        return int(self.pool.shape[1])

    def backwards(self) -> "Way":
        """Return the same packets with time reversed: what left last enters first."""
        mixed = None if self.mixed is None else self.mixed[::-1]
        return Way(
            self.pool[::-1], self.leave[::-1], self.enter[::-1], self.pools, mixed, not self.ahead
        )

    def at(self, hop: int, *, leaves: bool) -> Ints:
        """Return when each packet enters or leaves a hop, ns in the direction of time."""
        times: Ints = (self.leave if leaves else self.enter)[hop]
        return times if self.ahead else numpy.negative(times)


class Tracer:
    """Gathers packets, in parts where all at once would take too much memory; follows them once.

    Args:
        hops: of every way.
        pools: over all ways.
        packets: at most so many.
        window: ns in the direction of time, from before which pools hold what is in them, to
            the end of watching.
        compiled: by numba; only where it is installed.
    """

    def __init__(
        self,
        hops: int,
        pools: int,
        packets: int,
        window: tuple[int, int],
        *,
        compiled: bool = FAST,
    ) -> None:
        self._loop = (
            stepping.compiled() if compiled else stepping.by_rows
        )  # compiling takes memory: before ours
        self._hops, self._pools = hops, pools
        self._low, self._high = window
        self._bits = (2 * hops * packets).bit_length()
        # Times and visits in one number: such are sorted many times as fast as their order.
        self._narrow = (self._high - self._low).bit_length() + self._bits <= 63
        self._packets = 0
        self._events = 0
        self._targets: list[Ints] = []
        self._bare: list[tuple[int, int]] = []  # target, owner: seen from end to end
        # As large as they can get: what isn't written takes no memory.
        self._codes = numpy.empty(2 * hops * packets, dtype=numpy.int64)
        self._times = numpy.empty(0 if self._narrow else 2 * hops * packets, dtype=numpy.int64)
        self._pool = numpy.empty(hops * packets, dtype=numpy.int32)
        self._kind = numpy.empty(hops * packets, dtype=numpy.int8)
        self._owner = numpy.empty(packets, dtype=numpy.int32)

    def add(self, way: Way, owner: Small | Ints, targets: Ints | None = None) -> None:
        """Add packets.

        Args:
            owner: (packets,) to whom a packet that comes out belongs: a person, a relay, or
                the packet itself; ``NOBODY`` if it can't have been the target.
            targets: numbers of packets of this part, none twice.
        """
        chosen = numpy.empty(0, numpy.int64) if targets is None else targets
        there = (way.at(-1, leaves=True) > self._low) & (way.at(0, leaves=False) < self._high)
        there[chosen] = True
        columns = numpy.flatnonzero(there)
        size, first = len(columns), self._packets
        mixed = way.mixed
        for hop in range(self._hops):
            enter, leave = way.at(hop, leaves=False)[columns], way.at(hop, leaves=True)[columns]
            inside = (leave > self._low) & (enter < self._high)
            if mixed is not None:
                inside &= mixed[hop, columns]
            self._keep(hop, enter, numpy.flatnonzero(inside), leaves=False)
            self._keep(hop, leave, numpy.flatnonzero(inside & (leave < self._high)), leaves=True)
        kind = numpy.zeros((size, self._hops), dtype=numpy.int8)
        if mixed is None:
            kind[:, 0] |= FIRST
            kind[:, -1] |= LAST
        else:
            rows, through = numpy.arange(size), mixed[:, columns]
            kind[rows, through.argmax(axis=0)] |= FIRST
            kind[rows, self._hops - 1 - through[::-1].argmax(axis=0)] |= LAST
            known = len(self) + numpy.arange(len(chosen))
            for target, packet in zip(known.tolist(), chosen.tolist(), strict=True):
                if not mixed[:, packet].any() and owner[packet] != NOBODY:
                    self._bare.append((target, int(owner[packet])))
        visits = slice(first * self._hops, (first + size) * self._hops)
        self._kind[visits] = kind.ravel()
        self._pool[visits] = way.pool[:, columns].T.ravel()
        self._owner[first : first + size] = owner[columns]
        self._targets.append(first + numpy.searchsorted(columns, chosen))
        self._packets += size

    def __len__(self) -> int:
        return sum(len(part) for part in self._targets)

    def follow(self, owners: int) -> Floats:
        """Follow all targets at once; there are so many ``owners``.

        Returns:
            (targets, owners): a row sums to 1, but for what belongs to nobody or had not come
            out at the end of the window.
        """
        targets = numpy.concatenate(self._targets)
        target = numpy.full(self._packets, NOBODY, dtype=numpy.int32)
        target[targets] = numpy.arange(len(targets), dtype=numpy.int32)
        found = numpy.zeros((owners, len(targets)))
        for which, to in self._bare:
            found[to, which] = 1.0
        self._loop(
            self._in_order(),
            self._kind,
            self._pool,
            target,
            self._owner,
            self._hops,
            self._pools,
            found,
        )
        return found.T

    def _keep(self, hop: int, at: Ints, which: Ints, *, leaves: bool) -> None:
        code = which + self._packets
        code *= self._hops
        code += hop
        code *= 2
        code += leaves
        times = numpy.maximum(at[which] - self._low, 0)
        events = slice(self._events, self._events + len(which))
        if self._narrow:
            times <<= self._bits
            times |= code
            self._codes[events] = times
        else:
            self._codes[events] = code
            self._times[events] = times
        self._events += len(which)

    def _in_order(self) -> Ints:
        """Return 2·visit + (1 if it leaves) of all events in the order of their times."""
        codes = self._codes[: self._events]
        if not self._narrow:
            return codes[numpy.lexsort((codes, self._times[: self._events]))]
        codes.sort()
        codes &= (1 << self._bits) - 1
        return codes


def follow(
    way: Way,
    targets: Ints,
    owner: Small | Ints,
    owners: int,
    *,
    window: tuple[int, int] | None = None,
    compiled: bool = FAST,
) -> Floats:
    """Return how likely each target came out as a packet of each owner: one part is all.

    Without a ``window`` the packets are watched from the first to the last of them.
    """
    if window is None:
        low = int(way.at(0, leaves=False).min())
        window = (low - 1, int(way.at(-1, leaves=True).max()) + 1)
    tracer = Tracer(len(way.pool), way.pools, way.packets, window, compiled=compiled)
    tracer.add(way, owner, targets)
    return tracer.follow(owners)


def settle(found: Floats) -> Floats:
    """Return ``found`` with each row summing to 1: what can't be the target is ruled out."""
    sums = found.sum(axis=1, keepdims=True)
    return cast(Floats, numpy.divide(found, sums, out=numpy.zeros_like(found), where=sums > 0))
