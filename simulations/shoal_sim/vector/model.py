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
many packets: it ends when ``_ENOUGH`` packets are drawn, and is four mean delays at least.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy
import polars

from shoal_protocol.errors import UserError
from shoal_sim import metrics
from shoal_sim.adversaries import registry
from shoal_sim.adversaries.base import Plan, Surface
from shoal_sim.results import Results
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import numbers
from shoal_sim.theory import mixing as theory
from shoal_sim.vector import mixing
from shoal_sim.vector.tracing import NOBODY, Floats, Ints, Small, follow, settle

_TAIL: Final = 20  # mean delays
_SHORT_TAIL: Final = 12  # where a lead would be more packets than _MANY: e^−12
_ENOUGH: Final = 100_000  # packets
_MANY: Final = 3_000_000
_CELLS: Final = 1 << 22  # of a posterior, targets × people
_SAMPLE: Final = 100_000  # messages whose latency is put together
_MONTH_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class _Setting:
    """The scenario in the units of the model."""

    people: int  # online
    rate: float
    delay_ns: float
    latency: mixing.Latency
    loss: float
    span: mixing.Span  # lead, and the time that is measured
    targets: int

    @property
    def onward(self) -> mixing.Span:
        """Traffic in which targets can be followed to their ends."""
        return mixing.Span(self.span.lead, self.span.length + self.span.lead)


def simulate(scenario: Scenario, seed: int) -> Results:
    """Run one network of a scenario.

    Raises:
        UserError: what the scenario asks is not of this tier.
    """
    setting, plan = _setting(scenario), _plan(scenario, seed)
    if scenario.network.layout == "layers":
        there, up, down = _layered(scenario, setting, plan, seed)
    else:
        there, up, down = _free(scenario, setting, plan, seed)
    rng = numbers(seed, "targets")
    sender, sent = _senders(setting, there, up, rng)
    receiver, got = _receivers(setting, there, down, rng)
    found = {
        **_named("sender", metrics.guess(sender, sent)),
        **_named("receiver", metrics.guess(receiver, got)),
        **_latency(scenario, setting, up, down, numbers(seed, "latency")),
        **_load(scenario, setting, there, up, down),
    }
    frames = [_frame("sender", sender, sent), _frame("receiver", receiver, got)]
    return Results(found, {"targets": polars.concat(frames)})


def latency_of(scenario: Scenario) -> mixing.Latency:
    """Return the model of the links; ``uniform`` is ``latency_ms`` ± ``jitter_ms``."""
    links = scenario.links
    base, jitter = round(links.latency_ms * 1e6), round(links.jitter_ms * 1e6)
    if links.model == "fixed":
        return mixing.Fixed(base, jitter)
    if links.model == "uniform":
        return mixing.Fixed(max(0, base - jitter), base + jitter - max(0, base - jitter))
    raise UserError(
        f"The vector tier draws latencies that are fixed or uniform, not {links.model}; "
        'set links.model or tier = "exact".'
    )


def _setting(scenario: Scenario) -> _Setting:
    network, traffic = scenario.network, scenario.traffic
    if scenario.churn.model != "none":
        raise UserError(
            "In the vector tier of mixing nobody comes or goes; leave churn.model out, "
            'or set tier = "exact".'
        )
    people = round(network.people * traffic.online)
    preset = traffic.chosen
    if people < 2 or preset.rate <= 0:
        raise UserError("Among fewer than two people who send nobody can be hidden.")
    mixes = network.layers if network.layout == "layers" else mixing.MIXES
    delay, latency = preset.mean_delay_ms * 1e6, latency_of(scenario)
    each_ns = people * preset.rate / mixing.SECOND
    way = mixes * delay + (mixes + 1) * latency.most_ns
    lead = way + _TAIL * delay
    if lead * each_ns > _MANY:
        lead = way + _SHORT_TAIL * delay
    span = min(scenario.time.length_s * 1e9, max(_ENOUGH / each_ns - lead, 4 * delay, 8 / each_ns))
    return _Setting(
        people,
        preset.rate,
        delay,
        latency,
        scenario.links.loss,
        mixing.Span(math.ceil(lead), max(1, math.ceil(span))),
        min(64, max(4, _CELLS // people)),
    )


def _plan(scenario: Scenario, seed: int) -> Plan:
    """Return what the scenario's adversary does; it corrupts and adds relays, and no more."""
    adversary, network = scenario.adversary, scenario.network
    if adversary.name == "none":
        return Plan()
    made = registry.make(adversary.name, **dict(adversary.keys))
    surface = Surface(
        network.people,
        network.relays,
        round(scenario.time.length_s * 1e9),
        scenario.traffic.chosen.mean_delay_ms * 1e6,
        network.protocol.dht_k,
    )
    plan = made.prepare(surface, numbers(seed, "adversary"))
    if plan.blocked or plan.stopped or plan.ground:
        raise UserError(
            f'{adversary.name} stops relays or packets; the vector tier can\'t: set tier = "exact".'
        )
    return plan


def _free(
    scenario: Scenario, setting: _Setting, plan: Plan, seed: int
) -> tuple[mixing.Nodes, mixing.Packets, mixing.Packets]:
    relays = scenario.network.relays + plan.added
    if relays < mixing.LEAST_ACTIVE:
        raise UserError(f"A way needs {mixing.LEAST_ACTIVE} relays; network.relays is {relays}.")
    rng = numbers(seed, "nodes")
    active: Small | None = None
    if scenario.network.active == "drawn":
        delay_s = setting.delay_ns / mixing.SECOND
        active = mixing.drawn(relays, setting.people, setting.rate, delay_s, rng)
    corrupt = [*plan.corrupt, *range(scenario.network.relays, relays)]
    there = mixing.nodes(setting.people, relays, rng, active=active, corrupt=corrupt)
    common = (setting.latency, setting.loss)
    up = mixing.forward(
        there,
        setting.rate,
        setting.delay_ns,
        setting.span,
        common[0],
        numbers(seed, "forward"),
        loss=common[1],
    )
    down = mixing.replies(
        there,
        setting.rate,
        setting.delay_ns,
        setting.onward,
        common[0],
        numbers(seed, "replies"),
        loss=common[1],
    )
    return there, up, down


def _layered(
    scenario: Scenario, setting: _Setting, plan: Plan, seed: int
) -> tuple[mixing.Nodes, mixing.Packets, mixing.Packets]:
    network = scenario.network
    width = network.relays // network.layers
    if width < 1 or plan.added:
        raise UserError(f"{network.layers} layers need as many relays, and nobody adds to them.")
    there, packets = mixing.layers(
        setting.people,
        network.layers,
        width,
        setting.rate,
        setting.delay_ns,
        setting.onward,
        setting.latency,
        numbers(seed, "layers"),
        corrupt=[relay for relay in plan.corrupt if relay < width * network.layers],
        loss=setting.loss,
    )
    return there, packets, packets


def _senders(
    setting: _Setting, there: mixing.Nodes, up: mixing.Packets, rng: numpy.random.Generator
) -> tuple[Floats, Small]:
    """Return the posterior over people who sent what came to its end, and the truth."""
    lead, length = setting.span.lead, setting.span.length
    chosen = _choose(up.arrived & (up.end >= 0) & (up.end < length), setting.targets, rng)
    way = up.way(there).backwards()
    found = follow(way, chosen, up.person, setting.people, window=(-length, lead))
    return settle(found), up.person[chosen]


def _receivers(
    setting: _Setting, there: mixing.Nodes, down: mixing.Packets, rng: numpy.random.Generator
) -> tuple[Floats, Small]:
    """Return the posterior over people whom what was sent comes to, and the truth."""
    lead, length = setting.span.lead, setting.span.length
    who = down.other if down.forward else down.person
    if down.links is not None:
        who = numpy.where(down.arrived, who, numpy.int32(NOBODY))
    chosen = _choose(down.arrived & (down.begin >= 0) & (down.begin < length), setting.targets, rng)
    found = follow(down.way(there), chosen, who, setting.people, window=(-lead, length + lead))
    return settle(found), who[chosen]


def _choose(
    there: numpy.typing.NDArray[numpy.bool_], most: int, rng: numpy.random.Generator
) -> Ints:
    candidates = numpy.flatnonzero(there)
    return candidates[rng.permutation(len(candidates))[:most]]


def _latency(
    scenario: Scenario,
    setting: _Setting,
    up: mixing.Packets,
    down: mixing.Packets,
    rng: numpy.random.Generator,
) -> dict[str, float]:
    """Return what a message takes: for a slot, to S, and from there to one whose GET waits.

    Real messages go in quick slots, one for each replica, and wait for each other: M/M/1.
    """
    preset, layered = scenario.traffic.chosen, scenario.network.layout == "layers"
    replicas = 1 if layered else scenario.network.protocol.replicas
    free = preset.rate * (1.0 if layered else preset.quick_share)
    free -= scenario.traffic.messages_per_hour / 3600 * replicas
    arrived = up.arrived & (up.begin >= -setting.span.lead)
    there = (up.end - up.begin)[arrived] / 1e6
    found = {f"way_p{round(100 * share)}_ms": at for share, at in _quantiles(there)}
    size = _SAMPLE if len(there) else 0
    total = there[rng.integers(0, len(there), size)] if size else there
    if not layered and size:
        back = (down.end - down.begin)[down.arrived] / 1e6
        total = total + back[rng.integers(0, len(back), size)]
    if free > 0:
        total = total + rng.exponential(1000 / free, size)
    for share, at in _quantiles(total):
        found[f"latency_p{round(100 * share)}_ms"] = at if free > 0 else math.inf
    ways = [up] if layered else [up, down]
    found["delivered_share"] = math.prod(float(way.arrived.mean()) for way in ways)
    return found


def _load(
    scenario: Scenario,
    setting: _Setting,
    there: mixing.Nodes,
    up: mixing.Packets,
    down: mixing.Packets,
) -> dict[str, float]:
    """Return what it costs, what pools hold in the mean, and the bits in closed form."""
    size = scenario.network.protocol.packet_bytes
    layered = scenario.network.layout == "layers"
    hops = len(up.relay) if layered else 2 * len(up.relay) + 1  # packets into relays for a slot
    mixes = len(up.relay)
    pools = mixing.pool_sizes(up, there.relays, 0)
    if not layered:
        pools = pools + mixing.pool_sizes(down, there.relays, 0)
    delay_s = setting.delay_ns / mixing.SECOND
    up_down = 2 * setting.rate * size
    return {
        "people": float(setting.people),
        "relays": float(there.relays),
        "active_relays": float(there.relays if layered else len(there.active)),
        "pool_mean": float(pools.mean()),
        "person_kb_per_s": up_down / 1000,
        "person_gb_per_month": up_down * _MONTH_S / 1e9,
        "relay_kb_per_s": 2 * setting.people * setting.rate * hops * size / there.relays / 1000,
        "predicted_bits": theory.person_entropy(setting.people, setting.rate, mixes, delay_s)
        if delay_s
        else 0.0,
    }


def _quantiles(values: Floats) -> list[tuple[float, float]]:
    return list(zip(metrics.QUANTILES, metrics.quantiles(values), strict=True))


def _named(who: str, guess: metrics.Guess) -> dict[str, float]:
    return {
        f"{who}_entropy_bits": guess.entropy_bits,
        f"{who}_min_entropy_bits": guess.min_entropy_bits,
        f"{who}_guess_share": guess.guess_share,
        f"{who}_hit_share": guess.hit_share,
        f"{who}_surprise_bits": guess.surprise_bits,
    }


def _frame(question: str, weights: Floats, truth: Small) -> polars.DataFrame:
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
