"""The exact tier: one scenario and one seed, run on the protocol's machines.

::

    network.nodes = "cover" ─► Mixnet: the crowd's packets           10^5 nodes
                    "whole" ─► World:  directory, DHT, stores, talks   dozens of nodes
                    "dht" ───► DhtNet: the DHT of relays, with liars   hundreds
                                 └─► Results: metrics; a table of round trips, texts or lookups
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy
import polars

from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.errors import UserError
from shoal_sim.adversaries import planning
from shoal_sim.exact import distances, kem, light, lookups, watched
from shoal_sim.exact.board import Board
from shoal_sim.exact.churn import ComingRelay
from shoal_sim.exact.conditions import Conditions, of_whole
from shoal_sim.exact.following import Following
from shoal_sim.exact.gossip import Gossip
from shoal_sim.exact.links import Links, Weather
from shoal_sim.exact.mixnet import Trip
from shoal_sim.exact.null import NullFormat
from shoal_sim.exact.queues import Queues, limited
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.talk import Talks
from shoal_sim.exact.world import World
from shoal_sim.results import Results
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import seeded

SAMPLES: Final = 50  # of the pools
MEET_MOST_S: Final = 600.0  # virtual: until everybody who was asked has accepted
DRAIN: Final = 4.0  # times the measured length, for texts that are late


def simulate(scenario: Scenario, seed: int) -> Results:
    """Run one configuration.

    Raises:
        UserError: the scenario asks for what this tier does not do.
    """
    for asked, what in (
        (scenario.network.layout != "free", "layers: the protocol draws free routes"),
    ):
        if asked:
            raise UserError(f"The exact tier does not do {what}; ask the vector tier.")
    with uncollected():
        if scenario.network.nodes == "whole":
            return _whole(scenario, seed)
        if scenario.network.nodes == "dht":
            return _dht(scenario, seed)
        return _cover(scenario, seed)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector of cycles from walking 10^5 machines again and again.

    Nothing in a run makes cycles that have to go before its end.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _lay(
    scenario: Scenario, seed: int, links: Links, people: list[str], relay: str, relays: int
) -> None:
    """Give links what they take and lose; ``people`` by name, ``relay``: how numbers are named."""
    names = [*people, *(relay.format(number) for number in range(relays))]
    links.weather = Weather(0, 0, loss=scenario.links.loss)
    distances.lay(scenario, seed, links, {name: at for at, name in enumerate(names)})


def _cover(scenario: Scenario, seed: int) -> Results:
    if scenario.traffic.messages_per_hour:
        raise UserError('Who only sends cover says nothing; texts need network.nodes = "whole".')
    time = scenario.time
    adversary, plan = planning.cast(scenario, seed, watched.STAGE)
    relays = scenario.network.relays + plan.added
    lead, warm_up_s = 0, scenario.warm_up_s
    if adversary is not None:
        lead = watched.lead_ns(scenario, relays, seed)
        warm_up_s = max(warm_up_s, 3 * lead / SECOND)
    length_s = warm_up_s + time.length_s + 2 * lead / SECOND
    there = Conditions(scenario, seed, length_s, watched=adversary is not None)
    net = there.network(relays)
    trips: list[Trip] = []
    net.answered = trips.append
    people = [f"person {number}" for number in range(len(there.online))]
    _lay(scenario, seed, net.links, people, "relay {}", relays)
    there.begin(net)
    net.run(warm_up_s - 2 * lead / SECOND)
    if there.record is not None:
        there.record.on = True
        net.run(2 * lead / SECOND)
    trips.clear()
    begun, before = net.engine.now, there.counted(net)
    pools: list[int] = []
    for _ in range(SAMPLES):
        net.run(time.length_s / SAMPLES)
        pools.append(sum(hub.pool_size for hub in net.hubs))
    table = polars.DataFrame(
        {
            "person": [there.online[trip.person] for trip in trips],
            "sent_ns": [trip.sent for trip in trips],
            "answered_ns": [trip.answered for trip in trips],
            "drawn_ns": [trip.drawn for trip in trips],
            "wait_ns": [trip.wait for trip in trips],
        },
        schema=dict.fromkeys(
            ("person", "sent_ns", "answered_ns", "drawn_ns", "wait_ns"), polars.Int64
        ),
    )
    # Whenever they were sent: of those that were sent in the window the slow ones come later.
    prompt = numpy.array([t.answered - t.sent for t in trips if not t.wait], dtype=float)
    answered = len(trips)
    counted = there.counted(net) - before
    up, seconds = counted["sent"], time.length_s
    seen: dict[str, float] = {}
    if there.record is not None and adversary is not None:
        net.run(lead / SECOND)
        there.record.on = False
        net.run(lead / SECOND)
        seen = watched.told(there.record, net, begun, lead, scenario, seed, adversary, plan)
    return Results(
        {
            "round_trip_p50_ms": _quantile(prompt, 0.5),
            "round_trip_p95_ms": _quantile(prompt, 0.95),
            "round_trip_mean_ms": float(prompt.mean()) / MILLISECOND if len(prompt) else _NAN,
            "packets_up_per_s": up / seconds,
            "answered_per_s": answered / seconds,
            "delivered_share": answered / up if up else _NAN,
            "hops_per_s": counted["crossed"] / seconds,
            "pool_mean": float(numpy.mean(pools)) / len(net.hubs),
            "active_relays": float(net.active_relays),
            "lost": float(counted["lost"]),
            "overdue": float(counted["overdue"]),
            "nobody_there": float(counted["nobody there"]),
            "lost_in_relays": float(counted["lost in relays"]),
            "given_up": float(counted["given up"]),
            "dropped": float(counted["dropped"]),
            "queue_wait_mean_ms": counted["waited ns"] / max(1, counted["queued"]) / MILLISECOND,
            **seen,
        },
        {"round_trips": table},
    )


def _dht(scenario: Scenario, seed: int) -> Results:
    network, links = scenario.network, scenario.links
    for asked, what in (
        (network.unreachable, "can't be dialled"),
        (network.relay_packets_per_s, "have a capacity"),
        (scenario.churn.model != "none", "come and go"),
        (links.loss or links.up_kbps or links.down_kbps, "have bad lines"),
    ):
        if asked:
            raise UserError(f'Nodes {what} where network.nodes is not "dht".')
    _, plan = planning.cast(scenario, seed, lookups.STAGE)
    net = lookups.DhtNet(network.relays, plan, network.protocol, seed)
    distances.lay(scenario, seed, net.links, {name: at for at, name in enumerate(net.names)})
    return net.look(scenario.time.length_s)


def _whole(scenario: Scenario, seed: int) -> Results:
    network, time = scenario.network, scenario.time
    for asked, what in (
        (network.unreachable, "Nodes can't be dialled"),
        (scenario.adversary.name != "none", "Nodes are watched"),
        (network.active == "all", "All relays mix"),
    ):
        if asked:
            raise UserError(f'{what} where network.nodes = "cover".')
    if network.parameters == "main":
        raise UserError(
            "Whole nodes start together, and the main network trusts no relay that is younger "
            'than three days: set network.parameters = "lab".'
        )
    real, churn = network.cryptography == "real", scenario.churn.model != "none"
    if churn and scenario.traffic.online != 1.0:
        raise UserError("Whole nodes come and go or are away: leave churn.model or traffic.online.")
    null = Following(NullFormat(), keyed=True) if churn else NullFormat()
    with (
        kem.drawn_from(seeded(f"{seed} encapsulation").bytes),
        light.arithmetic(real=real),
    ):
        world = World(
            network.relays,
            network.people,
            seed=seed,
            preset=scenario.traffic.chosen,
            params=replace(network.protocol, announce_work_bits=1, put_work_bits=1),
            calm=not churn,
            board=Gossip if churn else Board,
            relay=ComingRelay if churn else Relay,
            null=None if real else null,
            traced=False,
        )
        people = [f"person{number}" for number in range(network.people)]
        _lay(scenario, seed, world.links, people, "relay{}", network.relays)
        if limited(scenario):
            queues = Queues(scenario, world.engine, world.by_id.__contains__)
            world.carry = queues.through(world.links.send)
        if churn:
            world.begin()
        world.run(scenario.warm_up_s)
        talks = Talks(world, scenario.traffic.messages_per_hour)
        if scenario.traffic.messages_per_hour:
            talks.begin()
            if not world.run(MEET_MOST_S, lambda: talks.met):
                raise UserError("Not everybody found their partner: give the network more relays.")
        begun = world.now
        of_whole(scenario, seed, world, (1 + DRAIN) * time.length_s)
        talks.end_after(time.length_s)
        world.run(time.length_s)
        world.run(DRAIN * time.length_s, lambda: not talks.open)
    measured = [text for text in talks.texts.values() if text.sent >= begun]
    took = numpy.array([t.come - t.sent for t in measured if t.come is not None], dtype=float)
    table = polars.DataFrame(
        {
            "sent_ns": [text.sent for text in measured],
            "come_ns": [text.come for text in measured],
            "fetched_ns": [text.fetched for text in measured],
            "copies": [text.copies for text in measured],
        },
        schema=dict.fromkeys(("sent_ns", "come_ns", "fetched_ns", "copies"), polars.Int64),
    )
    return Results(
        {
            "latency_p50_ms": _quantile(took, 0.5),
            "latency_p95_ms": _quantile(took, 0.95),
            "latency_max_ms": _quantile(took, 1.0),
            "texts": float(len(measured)),
            "delivered_share": len(took) / len(measured) if measured else _NAN,
            "active_relays": _active(world),
            "twice": float(sum(text.copies > 1 for text in measured)),
            "hops_per_s": world.links.sent / (world.engine.seconds() or _NAN),
        },
        {"texts": table},
    )


def _active(world: World) -> float:
    """Return how many relays a person draws ways from, in the mean of those who are there."""
    sets = [person.machine.mixing.layers for person in world.people if person.up]
    counts = [len({relay.relay_id for layer in layers for relay in layer}) for layers in sets]
    return float(numpy.mean(counts)) if counts else _NAN


_NAN: Final = float("nan")


def _quantile(took_ns: "numpy.typing.NDArray[numpy.float64]", share: float) -> float:
    return float(numpy.quantile(took_ns, share)) / MILLISECOND if len(took_ns) else _NAN
