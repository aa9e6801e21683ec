"""What a watcher of all links has of a run, and what an adversary makes of it.

::

    carry ─► Recording: packet, link, when it enters and arrives ─► Packets of requests, of replies
                ├─ the pools of relays, by place: the exact posterior     sender_entropy_bits …
                └─ watching.watch ─► Observation ─► infer ─► judge        adversary_sender_…

The arrays are those of the vector tier (``mixing.Packets``), so that what is told of them is
told by the same code; only that packets went where machines sent them, when they sent them.
Recorded is a lead on both sides of what is measured, in which pools fill to all but e^-20 and
nothing of a target is left behind. What a plan blocks is blocked in the records: packets of
others move nothing at a target but what a watcher makes of them.

A packet that a relay loses is for the arrays one that never came there: no watcher can tell.
"""

import math
from array import array
from typing import Final

import numpy

from shoal_protocol.clock import SECOND
from shoal_protocol.errors import UserError
from shoal_sim import metrics
from shoal_sim.adversaries.base import PACKETS, Adversary, Floats, Ints, Plan, Question
from shoal_sim.adversaries.judging import judge, named
from shoal_sim.adversaries.planning import Stage
from shoal_sim.adversaries.watching import blocked, held_back, watch
from shoal_sim.exact.following import Following, Trail
from shoal_sim.exact.links import Deliver, Send
from shoal_sim.exact.mixnet import Mixnet
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import numbers
from shoal_sim.vector import mixing
from shoal_sim.vector.model import latency_of
from shoal_sim.vector.tracing import NOBODY, Tracer, settle

STAGE: Final = Stage("exact", ("corrupt", "added", "blocked"), PACKETS)
MOST: Final = 200_000  # requests in one record
TARGETS: Final = 64
_TAIL: Final = 20  # mean delays
_FAR: Final = 1 << 60  # ns: never


def lead_ns(scenario: Scenario, relays: int, seed: int) -> int:
    """Return how long before and after what is measured packets are recorded, ns.

    Raises:
        UserError: that would be more than ``MOST`` requests.
    """
    preset, time = scenario.traffic.chosen, scenario.time
    delay = preset.mean_delay_ms * 1e6
    people = round(scenario.network.people * scenario.traffic.online)
    mixes, latency = (
        scenario.network.protocol.path_mixes,
        latency_of(scenario, people + relays, seed),
    )
    lead = math.ceil((mixes + _TAIL) * delay + (mixes + 1) * latency.most_ns)
    if people < 2:
        raise UserError("Among fewer than two people who send nobody can be hidden.")
    asked = people * preset.rate * (time.length_s + 3 * lead / SECOND)
    if asked > MOST:
        raise UserError(
            f"A watcher would have {asked:.0f} requests to remember, and the exact tier keeps "
            f"{MOST}: shorten time.length_s, take fewer people, or ask the vector tier."
        )
    return lead


class Recording:
    """The packets of one run on their links.

    Args:
        packets: the format that follows them.
        mixes: on each way; a packet crosses one link more.
    """

    def __init__(self, packets: Following, mixes: int) -> None:
        self._packets: Final = packets
        self._links: Final = mixes + 1
        self._nodes: dict[str, int] = {}  # by name; people first
        self._rows: dict[int, int] = {}  # number of a packet: its row
        self._people: Final = array("q")  # of each row
        self._others: Final = array("q")
        self._answers: Final = array("q")  # row of the request, of a reply; NOBODY of requests
        self._mixes: Final = array("q")
        self._entered: Final = array("q")
        self._arrived: Final = array("q")
        self.on = False

    def through(self, net: Mixnet, send: Send) -> Send:
        """Return what sends and takes down what it sends."""
        engine, names, rows = net.engine, net.links.names, self._rows
        entered, arrived, links = self._entered, self._arrived, self._links

        def carry(source: bytes, target: bytes, packet: bytes, deliver: Deliver) -> None:
            trail = self._packets.trail(packet)
            if trail is None:
                send(source, target, packet, deliver)
                return
            if self.on and not trail.place:
                self._begins(trail, source, names)
            row = rows.get(trail.number)
            if row is None:
                send(source, target, packet, deliver)
                return
            at = row * links + trail.place
            entered[at] = engine.now

            def arrives(source: bytes, target: bytes, packet: bytes) -> None:
                arrived[at] = engine.now
                deliver(source, target, packet)

            send(source, target, packet, arrives)

        return carry

    def name(self, people: int, relays: int) -> None:
        """Number the nodes: people first."""
        names = [f"person {number}" for number in range(people)]
        names += [f"relay {number}" for number in range(relays)]
        self._nodes = {name: at for at, name in enumerate(names)}

    def _begins(self, trail: Trail, source: bytes, names: dict[bytes, str]) -> None:
        """Give a packet that enters its first link a row."""
        nodes, links = self._nodes, self._links
        self._rows[trail.number] = len(self._people)
        way = [nodes[names[hop.id]] for hop in trail.way]
        if trail.client:
            self._people.append(nodes[names[trail.client]])
            self._others.append(nodes[names[source]])
            self._answers.append(self._rows.get(trail.answers, len(self._people) - 1))
        else:
            self._people.append(nodes[names[source]])
            self._others.append(way[-1])
            self._answers.append(NOBODY)
        self._mixes.extend(way[: links - 1])
        self._entered.extend([NOBODY] * links)
        self._arrived.extend([NOBODY] * links)

    def parts(self, begun: int, there: mixing.Nodes) -> tuple[mixing.Packets, ...]:
        """Return requests, the replies to those that came, and replies to earlier ones.

        Times are ns from ``begun``. Of a request that came and has no reply the reply passed
        no link at all.
        """
        links = self._links
        answers = numpy.array(self._answers, dtype=numpy.int64)
        rows = numpy.arange(len(answers))
        requests = rows[answers == NOBODY]
        early = rows[answers == rows]
        asked = self._packets_of(requests, begun, there, forward=True)
        reply = numpy.full(len(rows) + 1, NOBODY, dtype=numpy.int64)
        late = rows[(answers != NOBODY) & (answers != rows)]
        reply[answers[late]] = late
        came = requests[asked.arrived]
        found = self._packets_of(reply[came], begun, there, forward=False)
        missing = reply[came] == NOBODY
        found.person[missing] = asked.person[asked.arrived][missing]
        found.other[missing] = asked.other[asked.arrived][missing]
        assert links == len(found.relay) + 1
        return asked, found, self._packets_of(early, begun, there, forward=False)

    def _packets_of(
        self, rows: Ints, begun: int, there: mixing.Nodes, *, forward: bool
    ) -> mixing.Packets:
        """Return packets by their rows; ``NOBODY`` is one that was never sent."""
        links, none = self._links, rows == NOBODY
        size = len(self._people)
        picked = numpy.where(none, size, rows)  # a row of its own for those who never were
        blank = numpy.full((1, links), NOBODY, dtype=numpy.int64)
        entered = numpy.array(self._entered, dtype=numpy.int64).reshape(size, links)
        arrived = numpy.array(self._arrived, dtype=numpy.int64).reshape(size, links)
        entered = numpy.concatenate([entered, blank])[picked].T
        arrived = numpy.concatenate([arrived, blank])[picked].T
        passed = (arrived != NOBODY).cumprod(axis=0).sum(axis=0)
        last = numpy.minimum(passed, links - 1)
        lost_inside = (passed < links) & (entered[last, numpy.arange(len(rows))] == NOBODY)
        passed -= lost_inside  # for the arrays it is lost on the link before
        crossed = (entered != NOBODY) & (arrived != NOBODY)
        mean = int((arrived - entered)[crossed].mean()) if crossed.any() else 0
        guessed = numpy.where(entered != NOBODY, entered + mean - begun, _FAR)
        arrived = numpy.where(arrived != NOBODY, arrived - begun, guessed)
        entered = numpy.where(entered != NOBODY, entered - begun, _FAR)
        mixes = numpy.array(self._mixes, dtype=numpy.int64).reshape(size, links - 1)
        mixes = numpy.concatenate([mixes, numpy.full((1, links - 1), there.people)])[picked].T
        ends = [
            numpy.append(numpy.array(column, dtype=numpy.int32), numpy.int32(0))[picked]
            for column in (self._people, self._others)
        ]
        return mixing.Packets(
            ends[0],
            ends[1],
            (mixes - there.people).astype(numpy.int32),
            arrived[:-1],
            entered[1:],
            entered[0],
            arrived[-1],
            forward,
            passed,
        )


def told(
    record: Recording,
    net: Mixnet,
    begun: int,
    lead: int,
    scenario: Scenario,
    seed: int,
    adversary: Adversary,
    plan: Plan,
) -> dict[str, float]:
    """Return what the exact posterior and the adversary tell of both questions."""
    relays, length = len(net.hubs), round(scenario.time.length_s * SECOND)
    there = _nodes(net, plan, scenario.network.relays)
    requests, replies, early = record.parts(begun, there)
    delay = scenario.traffic.chosen.mean_delay_ms * 1e6
    found: dict[str, float] = {}
    for who, question in (("sender", Question.SENDER), ("receiver", Question.RECEIVER)):
        rng, back = numbers(seed, "watched", who), question is Question.SENDER
        packets = requests if back else replies
        at = packets.end if back else packets.begin
        candidates = numpy.flatnonzero(packets.arrived & (at >= 0) & (at < length))
        targets = candidates[rng.permutation(len(candidates))[:TARGETS]]
        window = (-length, lead) if back else (-1, length + lead)
        weights = _posterior(packets, there, targets, window, relays, back=back)
        found |= named(who, metrics.guess(weights, packets.person[targets]))
        if len(targets) == 0:
            found |= named(f"adversary_{who}", metrics.guess(weights))
            continue
        parts, held = [requests, replies] if back else [replies, requests], list[Ints]()
        others = early
        if plan.blocked:
            # Whoever blocks lets one through: several would hide each other.
            parts, targets, held = blocked(parts, there, plan.blocked, question, targets[:1], rng)
            others, gone = held_back(early, there, plan.blocked, targets[:0], rng)
            held.append(gone)
        watched = watch([*parts, others], there, question, targets, delay_ns=delay, held=held)
        found |= named(f"adversary_{who}", judge(adversary, watched, rng))
    return found


def _posterior(
    packets: mixing.Packets,
    there: mixing.Nodes,
    targets: Ints,
    window: tuple[int, int],
    relays: int,
    *,
    back: bool,
) -> Floats:
    """Return (targets, people): what follows from all links and from how far packets had come."""
    if len(targets) == 0:
        return numpy.zeros((0, there.people))
    hops = len(packets.relay)
    way = packets.way(there)
    tracer = Tracer(hops, relays * hops, len(packets), window)
    owner = packets.person if back else numpy.where(packets.arrived, packets.person, NOBODY)
    tracer.add(way.backwards() if back else way, owner, targets)
    return settle(tracer.follow(there.people))


def _nodes(net: Mixnet, plan: Plan, relays: int) -> mixing.Nodes:
    """Return people, their guards and which relays are corrupt; those added are the last."""
    everybody = len(net.hubs)
    held = numpy.zeros(everybody, dtype=numpy.bool_)
    held[[*plan.corrupt, *range(relays, everybody)]] = True
    number_of = {hub.id: hub.number for hub in net.hubs}
    guard = [number_of[person.guard.relay_id] for person in net.people]
    active = numpy.arange(everybody, dtype=numpy.int32)
    return mixing.Nodes(
        len(net.people), everybody, numpy.array(guard, dtype=numpy.int32), (active, active), held
    )
