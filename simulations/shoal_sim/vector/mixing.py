"""Packets on their ways through mixes, in arrays: who sends, where to, when they come by.

::

    free     person ─► G ─► A ─► B ─► S        G the person's guard; A, B, A′, B′ of the active
             person ◄─ G ◄─ B′ ◄─ A′ ◄─ S      set; S the relay asked
    layers   person ─► 1 ─► 2 ─► … ─► L ─► person

Senders are Poisson; so are the replies as a whole, and what passes any link (displacement of
a Poisson process). A packet waits at each mix for an exponential time, at S for none, and
takes each link's latency. Nodes are numbered, people first, then relays. What passes on the
wires, as a watcher sees it, adversaries/watching.py makes of this.

Times are integer nanoseconds from the beginning of the window that is watched. Traffic begins
before it: who reads pools or delays cuts what comes before ``Span.lead`` is over.

Not modelled here: subnets and families (a path has no relay twice, that is all), the queue at
a relay's processor, people who come and go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy
from numpy.typing import NDArray

from shoal_protocol.client import active as protocol
from shoal_protocol.directory import traffic
from shoal_protocol.parameters import NetworkParameters
from shoal_sim.vector.latency import Latency
from shoal_sim.vector.stepping import Flags, Ints, Small
from shoal_sim.vector.tracing import Way

SECOND: Final = 1_000_000_000  # ns
MIXES: Final = 3  # on each way: G, A, B, or A′, B′, G
LEAST_ACTIVE: Final = 4  # relays: on a way stand four, none twice


@dataclass(frozen=True, slots=True)
class Nodes:
    """Who is there; relays are counted from 0.

    Args:
        guard: (people,) each person's relay.
        active: relays of which A and B are drawn, in order, of a layer each.
        corrupt: (relays,) which tell the adversary what they do.
    """

    people: int
    relays: int
    guard: Small
    active: tuple[Small, Small]
    corrupt: Flags


@dataclass(frozen=True, slots=True)
class Span:
    """What is drawn, ns: packets sent from ``-lead`` up to ``length``."""

    lead: int
    length: int


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets of one direction.

    Args:
        person: (packets,) who sent it (forward, layers) or gets it (reply).
        other: (packets,) node number of the other end: the relay asked, or in layers the
            person who gets it.
        relay: (hops, packets) the mixes in the order of travel, counted from 0.
        enter, leave: (hops, packets) ns.
        begin, end: (packets,) ns, when it is sent and when it comes to its end.
        links: (packets,) how many links it passed; less than hops + 1 means lost. None: all.
        forward: from the person, or to it.
    """

    person: Small
    other: Small
    relay: Small
    enter: Ints
    leave: Ints
    begin: Ints
    end: Ints
    forward: bool = True
    links: NDArray[numpy.int64] | None = None

    def __len__(self) -> int:
        return len(self.person)

    @property
    def arrived(self) -> Flags:
        """Which came to their end."""
        if self.links is None:
            return numpy.ones(len(self), dtype=numpy.bool_)
        return self.links > len(self.relay)

    def way(self, nodes: Nodes, *, places: bool = True) -> Way:
        """Return what a watcher of all links can follow.

        Args:
            places: whether it knows how far a packet has come, so that a relay is as many
                pools as there are places on a way.
        """
        hops = len(self.relay)
        pool = self.relay
        if places:
            pool = pool + numpy.arange(hops, dtype=numpy.int32)[:, None] * numpy.int32(nodes.relays)
        pools = nodes.relays * (hops if places else 1)
        mixed: Flags | None = None
        if nodes.corrupt.any():
            mixed = ~nodes.corrupt[self.relay]
        if self.links is not None:
            came = numpy.arange(hops)[:, None] < self.links
            mixed = came if mixed is None else mixed & came
        return Way(pool, self.enter, self.leave, pools, mixed)

    def path(self, nodes: Nodes) -> list[Small]:
        """Return the node numbers of the packet's stations from where it starts to its end."""
        mixes = [row + numpy.int32(nodes.people) for row in self.relay]
        ends = (self.person, self.other) if self.forward else (self.other, self.person)
        return [ends[0], *mixes, ends[1]]


def nodes(
    people: int,
    relays: int,
    rng: numpy.random.Generator,
    *,
    active: tuple[Small, Small] | None = None,
    corrupt: Sequence[int] = (),
) -> Nodes:
    """Draw each person's guard, evenly; ``corrupt`` are relays, counted from 0."""
    guard = rng.integers(0, relays, people, dtype=numpy.int32)
    held = numpy.zeros(relays, dtype=numpy.bool_)
    held[list(corrupt)] = True
    if active is None:
        active = (numpy.arange(relays, dtype=numpy.int32),) * 2
    return Nodes(people, relays, guard, active, held)


def drawn(
    relays: int, rate: float, params: NetworkParameters, rng: numpy.random.Generator
) -> tuple[Small, Small]:
    """Draw the active set by the protocol's rule from lots that are drawn in place of hashed.

    Args:
        rate: requests a second of all people, which relays tell each of its share, in classes.
    """
    classes = [traffic.class_of(rate * 60 / relays)] * relays
    lots = rng.integers(0, 2**protocol.LOT_BITS, relays, dtype=numpy.uint64).tolist()
    layers = protocol.pick(lots, protocol.wanted(protocol.requests(classes), params), params)
    if layers is None:
        everybody = numpy.arange(relays, dtype=numpy.int32)
        return everybody, everybody
    first, second = layers
    return numpy.array(first, dtype=numpy.int32), numpy.array(second, dtype=numpy.int32)


def senders(
    people: int, rate: float, span: Span, rng: numpy.random.Generator
) -> tuple[Small, Ints]:
    """Return who sends when, in no order: Poisson, ``rate`` packets/s of each person."""
    size = int(rng.poisson(people * rate * (span.lead + span.length) / SECOND))
    when = rng.integers(-span.lead, span.length, size)
    return rng.integers(0, people, size, dtype=numpy.int32), when


def forward(
    there: Nodes,
    person: Small,
    begin: Ints,
    delay_ns: float,
    latency: Latency,
    rng: numpy.random.Generator,
    *,
    loss: float = 0.0,
) -> Packets:
    """Draw packets from each ``person`` at ``begin`` through G, A, B to the relay S it asks."""
    service = apart(numpy.arange(there.relays, dtype=numpy.int32), [there.guard[person]], rng)
    return _free(there, person, service, begin, delay_ns, latency, rng, loss, onward=True)


def replies(
    there: Nodes,
    person: Small,
    begin: Ints,
    delay_ns: float,
    latency: Latency,
    rng: numpy.random.Generator,
    *,
    loss: float = 0.0,
) -> Packets:
    """Draw packets that leave relays S at ``begin`` through A′, B′, G to each ``person``.

    All replies together are Poisson as what went up, so ``senders`` draws who gets one when.
    """
    service = apart(numpy.arange(there.relays, dtype=numpy.int32), [there.guard[person]], rng)
    return _free(there, person, service, begin, delay_ns, latency, rng, loss, onward=False)


def answers(
    there: Nodes,
    asked: Packets,
    delay_ns: float,
    latency: Latency,
    rng: numpy.random.Generator,
    *,
    loss: float = 0.0,
) -> Packets:
    """Draw the replies to ``asked``, at once; those that never came to S are not answered."""
    came = numpy.flatnonzero(asked.arrived)
    service = asked.other[came] - numpy.int32(there.people)
    person, begin = asked.person[came], asked.end[came]
    return _free(there, person, service, begin, delay_ns, latency, rng, loss, onward=False)


def layered(people: int, depth: int, width: int, *, corrupt: Sequence[int] = ()) -> Nodes:
    """Return ``depth`` layers of ``width`` mixes: layer i is the relays from i·width on."""
    held = numpy.zeros(depth * width, dtype=numpy.bool_)
    held[list(corrupt)] = True
    nobody = numpy.empty(0, dtype=numpy.int32)
    return Nodes(people, depth * width, nobody, (nobody, nobody), held)


def layers(
    there: Nodes,
    depth: int,
    person: Small,
    begin: Ints,
    delay_ns: float,
    latency: Latency,
    rng: numpy.random.Generator,
    *,
    loss: float = 0.0,
) -> Packets:
    """Draw packets from each ``person`` at ``begin`` through ``depth`` layers to somebody else."""
    size, width = len(person), there.relays // depth
    relay = numpy.empty((depth, size), dtype=numpy.int32)
    for layer in range(depth):
        relay[layer] = rng.integers(layer * width, (layer + 1) * width, size, dtype=numpy.int32)
    receiver = rng.integers(0, there.people - 1, size, dtype=numpy.int32)
    receiver += receiver >= person
    return _travel(
        there, person, receiver, relay, begin, delay_ns, latency, rng, loss, to_person=True
    )


def apart(pool: Small, taken: Sequence[Small], rng: numpy.random.Generator) -> Small:
    """Draw for each packet one of ``pool``, evenly, that is none of what it has ``taken``.

    Raises:
        ValueError: of what all may have taken too little is left.
    """
    if len(pool) <= len(taken) and len(pool) <= sum(
        bool(numpy.isin(pool, earlier).any()) for earlier in taken
    ):
        raise ValueError(
            f"A way needs {LEAST_ACTIVE} different relays; of {len(pool)} that may be drawn "
            f"{len(taken)} may stand on it already."
        )
    size = len(taken[0])
    drawn: Small = pool[rng.integers(0, len(pool), size, dtype=numpy.int32)]
    again = numpy.flatnonzero(_clashes(drawn, taken))
    while len(again):
        fresh = pool[rng.integers(0, len(pool), len(again), dtype=numpy.int32)]
        drawn[again] = fresh
        again = again[_clashes(fresh, [earlier[again] for earlier in taken])]
    return drawn


def pool_sizes(packets: Packets, relays: int, at_ns: int) -> Ints:
    """Return how many packets each relay holds at one moment."""
    held = (packets.enter <= at_ns) & (packets.leave > at_ns)
    if packets.links is not None:
        held &= numpy.arange(len(packets.relay))[:, None] < packets.links
    return numpy.bincount(packets.relay[held], minlength=relays)


def _clashes(drawn: Small, taken: Sequence[Small]) -> Flags:
    clash = numpy.zeros(len(drawn), dtype=numpy.bool_)
    for earlier in taken:
        clash |= drawn == earlier
    return clash


def _free(
    there: Nodes,
    person: Small,
    service: Small,
    begin: Ints,
    delay_ns: float,
    latency: Latency,
    rng: numpy.random.Generator,
    loss: float,
    *,
    onward: bool,
) -> Packets:
    """Draw A and B, and the way over them between a person with its guard and a relay."""
    guard = there.guard[person]
    first, second = there.active
    a = apart(first, [guard, service], rng)
    b = apart(second, [guard, service, a], rng)
    relay = numpy.stack([guard, a, b] if onward else [a, b, guard])
    return _travel(
        there, person, service, relay, begin, delay_ns, latency, rng, loss, onward=onward
    )


def _travel(
    there: Nodes,
    person: Small,
    other: Small,
    relay: Small,
    begin: Ints,
    delay_ns: float,
    latency: Latency,
    rng: numpy.random.Generator,
    loss: float,
    *,
    onward: bool = True,
    to_person: bool = False,
) -> Packets:
    """Draw delays and latencies along ways that are drawn already."""
    hops, size = relay.shape
    other_node = other if to_person else other + numpy.int32(there.people)
    start, stop = (person, other_node) if onward else (other_node, person)
    enter = numpy.empty((hops, size), dtype=numpy.int64)
    leave = numpy.empty((hops, size), dtype=numpy.int64)
    now, here = begin, start
    base = numpy.int32(there.people)
    for hop in range(hops):
        station = relay[hop] + base
        numpy.add(now, latency.draw(here, station, rng), out=enter[hop])
        delay = numpy.asarray(rng.exponential(delay_ns, size))
        numpy.add(enter[hop], delay.astype(numpy.int64), out=leave[hop])
        now, here = leave[hop], station
    end = now + latency.draw(here, stop, rng)
    links: Ints | None = None
    if loss > 0:
        links = numpy.asarray(rng.geometric(loss, size) - 1, dtype=numpy.int64)
    return Packets(person, other_node, relay, enter, leave, begin, end, onward, links)
