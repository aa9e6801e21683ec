"""One run of a scenario in the vector tier: bits against a watcher of all links, and the price.

::

    scenario, seed ─► nodes ─┬─ packets to S, followed back ──────► which person asked
                             └─ packets from S, followed onward ──► which person it goes to
                                        └─► latency, load

The two ways are drawn apart, each from traffic that has been there forever: replies are
Poisson as requests are. What is measured lies in [0, span); traffic begins a lead before and,
where targets are followed onward, ends a lead after: the mean delays of a way and ``_TAIL``
more, in which pools fill to all but e^−20 and nothing of a target is left behind. So warm-up
is cut by the network's own delays, and ``time.warm_up_s`` is for the exact tier.

``span`` is ``time.length_s`` at most; of large networks less is enough, as each moment has
many packets: it ends when ``_ENOUGH`` packets are drawn, and is two mean delays at least.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy
import polars

from shoal_protocol.errors import UserError
from shoal_sim import metrics
from shoal_sim.adversaries import planning
from shoal_sim.adversaries.base import PACKETS, Adversary, Plan, Question
from shoal_sim.adversaries.judging import judge, named
from shoal_sim.adversaries.watching import blocked, watch
from shoal_sim.results import Results
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import numbers
from shoal_sim.theory import mixing as theory
from shoal_sim.traces import importers, latencies
from shoal_sim.vector import mixing
from shoal_sim.vector.latency import Between, Fixed, Latency
from shoal_sim.vector.stepping import Floats, Ints, Small
from shoal_sim.vector.tracing import NOBODY, Tracer, settle

STAGE: Final = planning.Stage("vector", ("corrupt", "added", "blocked"), PACKETS)
_TAIL: Final = 20  # mean delays
_SHORT_TAIL: Final = 8  # where a lead would be more packets than _MANY: 0.1 % stay behind
_ENOUGH: Final = 100_000  # packets
_MANY: Final = 3_000_000
_SHOWN: Final = 100_000  # packets to a plug-in
_PART: Final = 1 << 17  # packets drawn at once
_CELLS: Final = 1 << 22  # of a posterior, targets × people
_SAMPLE: Final = 100_000  # messages whose latency is put together
_MONTH_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class _Setting:
    """The scenario in the units of the model."""

    people: int  # online
    rate: float
    mixes: int  # on one way
    layers: bool
    delay_ns: float
    latency: Latency
    loss: float
    span: mixing.Span  # lead, and the time that is measured
    targets: int

    def draw(
        self,
        there: mixing.Nodes,
        people: Small,
        begin: Ints,
        rng: numpy.random.Generator,
        *,
        back: bool,
    ) -> mixing.Packets:
        """Draw packets of people: to relays, for what is asked back, or from them."""
        if self.layers:
            return mixing.layers(
                there, self.mixes, people, begin, self.delay_ns, self.latency, rng, loss=self.loss
            )
        drawn = mixing.forward if back else mixing.replies
        return drawn(there, people, begin, self.delay_ns, self.latency, rng, loss=self.loss)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a watcher of all links makes of one question, and the traffic it was asked of."""

    weights: Floats  # (targets, people)
    truth: Small
    took_ms: Floats  # from end to end
    arrived: float  # share of packets
    pools: Ints  # packets in each relay at one moment


def simulate(scenario: Scenario, seed: int) -> Results:
    """Run one network of a scenario.

    Raises:
        UserError: what the scenario asks is not of this tier.
    """
    adversary, plan = planning.cast(scenario, seed, STAGE)
    setting = _setting(scenario, plan, seed)
    if scenario.network.layout == "layers":
        there = _layers_of(scenario, setting, plan)
    else:
        there = _relays_of(scenario, setting, plan, seed)
    sender = _ask(setting, there, numbers(seed, "sender"), back=True)
    receiver = _ask(setting, there, numbers(seed, "receiver"), back=False)
    found = {
        **named("sender", metrics.guess(sender.weights, sender.truth)),
        **named("receiver", metrics.guess(receiver.weights, receiver.truth)),
        **_latency(scenario, setting, sender, receiver, numbers(seed, "latency")),
        **_load(scenario, setting, there, sender, receiver),
    }
    if adversary is not None and planning.asked(adversary, STAGE):
        found |= _judged(setting, there, adversary, plan, seed)
    frames = [_frame("sender", sender), _frame("receiver", receiver)]
    return Results(found, {"targets": polars.concat(frames)})


def latency_of(scenario: Scenario, nodes: int, seed: int) -> Latency:
    """Return the model of the links among ``nodes``; ``uniform`` is ± ``jitter_ms``.

    Raises:
        UserError: ``links.file`` can't be read.
    """
    links = scenario.links
    base, jitter = round(links.latency_ms * 1e6), round(links.jitter_ms * 1e6)
    if links.model == "fixed":
        return Fixed(base, jitter)
    if links.model == "uniform":
        least = max(0, base - jitter)
        return Fixed(least, base + jitter - least)
    rng = numbers(seed, "places")
    if links.model == "coordinates":
        places: latencies.Coordinates | latencies.Matrix = latencies.generated(nodes, rng)
    else:
        places = latencies.at_hosts(importers.round_trips(links.file), nodes, rng)
    drawn = latencies.round_trips_ms(places, 10_000, rng) / 2
    return Between(places, round(float(numpy.quantile(drawn, 0.999)) * 1e6) + jitter, jitter)


def _setting(scenario: Scenario, plan: Plan, seed: int) -> _Setting:
    network, traffic = scenario.network, scenario.traffic
    people = round(network.people * traffic.online)
    preset = traffic.chosen
    if people < 2 or preset.rate <= 0:
        raise UserError("Among fewer than two people who send nobody can be hidden.")
    mixes = network.layers if network.layout == "layers" else mixing.MIXES
    delay, latency = (
        preset.mean_delay_ms * 1e6,
        latency_of(scenario, people + network.relays + plan.added, seed),
    )
    each_ns = people * preset.rate / mixing.SECOND
    way = mixes * delay + (mixes + 1) * latency.most_ns
    lead = way + _TAIL * delay
    if lead * each_ns > _MANY:
        lead = way + _SHORT_TAIL * delay
    span = min(scenario.time.length_s * 1e9, max(_ENOUGH / each_ns - lead, 2 * delay, 8 / each_ns))
    return _Setting(
        people,
        preset.rate,
        mixes,
        network.layout == "layers",
        delay,
        latency,
        scenario.links.loss,
        mixing.Span(math.ceil(lead), max(1, math.ceil(span))),
        min(64, max(4, _CELLS // people)),
    )


def _relays_of(scenario: Scenario, setting: _Setting, plan: Plan, seed: int) -> mixing.Nodes:
    relays = scenario.network.relays + plan.added
    if relays < mixing.LEAST_ACTIVE:
        raise UserError(f"A way needs {mixing.LEAST_ACTIVE} relays; network.relays is {relays}.")
    rng = numbers(seed, "nodes")
    active: tuple[Small, Small] | None = None
    if scenario.network.active == "drawn":
        rate = setting.people * setting.rate
        active = mixing.drawn(relays, rate, scenario.network.protocol, rng)
    corrupt = [*plan.corrupt, *range(scenario.network.relays, relays)]
    return mixing.nodes(setting.people, relays, rng, active=active, corrupt=corrupt)


def _layers_of(scenario: Scenario, setting: _Setting, plan: Plan) -> mixing.Nodes:
    network = scenario.network
    width = network.relays // network.layers
    if width < 1 or plan.added:
        raise UserError(f"{network.layers} layers need as many relays, and nobody adds to them.")
    corrupt = [relay for relay in plan.corrupt if relay < width * network.layers]
    return mixing.layered(setting.people, network.layers, width, corrupt=corrupt)


def _ask(
    setting: _Setting, there: mixing.Nodes, rng: numpy.random.Generator, *, back: bool
) -> _Asked:
    """Ask who sent what came to its end (``back``), or who gets what was sent.

    Packets are drawn and read in parts, as a million people send more than memory holds. They
    are in no order of time, so targets of the first part are targets of all.
    """
    lead, length = setting.span.lead, setting.span.length
    # What is asked back needs nothing after it; time runs from the other end. In both
    # directions pools are full when the window opens, and who had left by then is nobody.
    span, window = setting.span, (-length, lead)
    if not back:
        span, window = mixing.Span(lead, length + lead), (-1, length + lead)
    people, begins = mixing.senders(there.people, setting.rate, span, rng)
    tracer = Tracer(setting.mixes, there.relays * setting.mixes, len(people), window)
    pools = numpy.zeros(there.relays, dtype=numpy.int64)
    truth, took = numpy.empty(0, dtype=numpy.int32), numpy.empty(0)
    arrived = 0
    for first in range(0, len(people), _PART):
        part = slice(first, first + _PART)
        packets = setting.draw(there, people[part], begins[part], rng, back=back)
        way = packets.way(there)
        pools += mixing.pool_sizes(packets, there.relays, 0)
        came = packets.arrived
        arrived += int(came.sum())
        # In layers it is the other end that gets what a person sent.
        who = packets.other if setting.layers and not back else packets.person
        owner = who if back else numpy.where(came, who, numpy.int32(NOBODY))
        targets: Ints | None = None
        if first == 0:
            at = packets.end if back else packets.begin
            candidates = numpy.flatnonzero(came & (at >= 0) & (at < length))
            targets = candidates[rng.permutation(len(candidates))[: setting.targets]]
            truth = who[targets]
            took = (packets.end - packets.begin)[came] / 1e6
        tracer.add(way.backwards() if back else way, owner, targets)
    weights = settle(tracer.follow(there.people))
    share = arrived / len(people) if len(people) else math.nan
    return _Asked(weights, truth, took, share, pools)


def _judged(
    setting: _Setting, there: mixing.Nodes, adversary: Adversary, plan: Plan, seed: int
) -> dict[str, float]:
    """Return how well the plug-in does at both questions, by wires and its views alone.

    It is shown a lead of traffic on both sides of its targets, requests and replies, all of
    them answered at once; NaN where that is more than ``_SHOWN`` packets, as its code may go
    through them one by one. What its plan blocks is blocked here, with targets let through, and
    nowhere else: it is the one who sees it.
    """
    found: dict[str, float] = {}
    lead, delay = setting.span.lead, setting.delay_ns
    length = max(1, min(setting.span.length, lead))
    for who, question in (("sender", Question.SENDER), ("receiver", Question.RECEIVER)):
        nothing = metrics.guess(numpy.zeros((1, 1)))
        found |= named(f"adversary_{who}", nothing)
        rng, back = numbers(seed, "judged", who), question is Question.SENDER
        span = mixing.Span(2 * lead, length + lead)
        if there.people * setting.rate * (span.lead + span.length) / mixing.SECOND > _SHOWN:
            continue
        sent = mixing.senders(there.people, setting.rate, span, rng)
        parts = [setting.draw(there, *sent, rng, back=True)]
        if not setting.layers:
            common = (there, parts[0], delay, setting.latency, rng)
            parts.insert(1 if back else 0, mixing.answers(*common, loss=setting.loss))
        packets = parts[0]
        at = packets.end if back else packets.begin
        candidates = numpy.flatnonzero(packets.arrived & (at >= 0) & (at < length))
        if len(candidates) == 0:
            continue
        # Whoever blocks lets one through: several would hide each other.
        most = 1 if plan.blocked else setting.targets
        targets = candidates[rng.permutation(len(candidates))[:most]]
        held: list[Ints] = []
        if plan.blocked:
            parts, targets, held = blocked(parts, there, plan.blocked, question, targets, rng)
        watched = watch(parts, there, question, targets, delay_ns=delay, held=held)
        found |= named(f"adversary_{who}", judge(adversary, watched, rng))
    return found


def _latency(
    scenario: Scenario,
    setting: _Setting,
    sender: _Asked,
    receiver: _Asked,
    rng: numpy.random.Generator,
) -> dict[str, float]:
    """Return what a message takes: for a slot, to S, and from there to one whose GET waits.

    Real messages go in quick slots, one for each replica, and wait for each other: M/M/1.
    """
    preset, layered = scenario.traffic.chosen, scenario.network.layout == "layers"
    replicas = 1 if layered else scenario.network.protocol.replicas
    free = preset.rate * (1.0 if layered else preset.quick_share)
    free -= scenario.traffic.messages_per_hour / 3600 * replicas
    there, back = sender.took_ms, receiver.took_ms
    found = {f"way_p{round(100 * share)}_ms": at for share, at in _quantiles(there)}
    size = _SAMPLE if len(there) and len(back) else 0
    total = there[rng.integers(0, len(there), size)] if size else numpy.empty(0)
    if not layered and size:
        total = total + back[rng.integers(0, len(back), size)]
        trips = _quantiles(total)
        found |= {f"round_trip_p{round(100 * share)}_ms": at for share, at in trips}
    if free > 0:
        total = total + rng.exponential(1000 / free, size)
    for share, at in _quantiles(total):
        found[f"latency_p{round(100 * share)}_ms"] = at if free > 0 else math.inf
    found["delivered_share"] = sender.arrived * (1.0 if layered else receiver.arrived)
    return found


def _load(
    scenario: Scenario,
    setting: _Setting,
    there: mixing.Nodes,
    sender: _Asked,
    receiver: _Asked,
) -> dict[str, float]:
    """Return what it costs, what pools hold in the mean, and the bits in closed form."""
    size = scenario.network.protocol.packet_bytes
    layered = scenario.network.layout == "layers"
    mixes = setting.mixes
    hops = mixes if layered else 2 * mixes + 1  # packets into relays for each that is sent
    pools = sender.pools if layered else sender.pools + receiver.pools
    delay_s = setting.delay_ns / mixing.SECOND
    up_down = 2 * setting.rate * size
    gigabytes = up_down * _MONTH_S / 1e9
    bits = metrics.guess(sender.weights).entropy_bits
    return {
        "people": float(setting.people),
        "relays": float(there.relays),
        "active_relays": float(
            there.relays if layered else len(numpy.unique(numpy.concatenate(there.active)))
        ),
        "pool_mean": float(pools.mean()),
        "person_kb_per_s": up_down / 1000,
        "person_gb_per_month": gigabytes,
        "each_bit_gb_per_month": gigabytes / bits if bits else math.inf,
        "relay_kb_per_s": 2 * setting.people * setting.rate * hops * size / there.relays / 1000,
        "predicted_bits": theory.person_entropy(setting.people, setting.rate, mixes, delay_s)
        if delay_s
        else 0.0,
    }


def _quantiles(values: Floats) -> list[tuple[float, float]]:
    return list(zip(metrics.QUANTILES, metrics.quantiles(values), strict=True))


def _frame(question: str, asked: _Asked) -> polars.DataFrame:
    weights, truth = asked.weights, asked.truth
    rows = numpy.arange(len(truth))
    return polars.DataFrame(
        {
            "question": [question] * len(truth),
            "entropy_bits": metrics.shannon(weights),
            "likeliest": weights.argmax(axis=1).astype(numpy.int32) if len(truth) else truth,
            "likeliest_share": weights.max(axis=1) if len(truth) else numpy.zeros(0),
            "truth": truth,
            "truth_share": weights[rows, truth],
        }
    )
