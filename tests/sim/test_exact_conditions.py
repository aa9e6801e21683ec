"""Scenarios of the exact tier in which links, lines, relays and people are not at their best."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from shoal_protocol.clock import SECOND
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, PRESETS
from shoal_sim import scenario
from shoal_sim.exact.chance import FastRng
from shoal_sim.exact.churn import ComingHub, Stay, Visitor
from shoal_sim.exact.conditions import online
from shoal_sim.exact.distances import lay
from shoal_sim.exact.engine import Engine
from shoal_sim.exact.following import Following
from shoal_sim.exact.links import Links, Weather
from shoal_sim.exact.mixnet import Mixnet, Trip
from shoal_sim.exact.model import simulate
from shoal_sim.exact.null import NullFormat
from shoal_sim.exact.queues import Queues
from shoal_sim.traces import latencies
from shoal_sim.traces.sessions import Changes
from shoal_sim.vector.latency import Between
from shoal_sim.vector.model import latency_of

COVER = """
question = "What comes of it?"
tier = "exact"
[network]
relays = 20
people = 40
[traffic]
quick_share = 1.0
[time]
warm_up_s = 2.0
length_s = 4.0
"""


@pytest.mark.parametrize(
    ("more", "line", "key"),
    [
        ("[links]\nup_kbps = 100.0", 5, "links.up_kbps"),
        ("[network]\nunreachable = 0.1", 5, "network.unreachable"),
        ('[churn]\nwho = "people"', 5, "churn.who"),
        ('[sweep]\n"links.queue" = [1, 2]', 5, "sweep.links.queue"),
    ],
)
def test_keys_of_the_exact_tier_are_refused_by_the_others(more: str, line: int, key: str) -> None:
    text = f'question = "?"\ntier = "vector"\nseeds = 1\n{more}\n'
    with pytest.raises(UserError, match=f"line {line}: {key} is of the "):
        scenario.parse(text)
    assert scenario.parse(text.replace('"vector"', '"exact"'))


def test_a_measured_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "question.toml").write_text(
        'question = "?"\n[links]\nmodel = "file"\nfile = "king.txt"\n'
        '[sweep]\n"links.file" = ["king.txt", "other/king.txt"]\n'
    )
    asked = scenario.load(tmp_path / "question.toml")
    assert asked.links.file == str(tmp_path.resolve() / "king.txt")
    assert dict(asked.sweep)["links.file"][1] == str(tmp_path.resolve() / "other/king.txt")
    assert scenario.parse('question = "?"\n').links.file == ""


@pytest.mark.parametrize("model", ["coordinates", "file"])
def test_nodes_stand_where_the_vector_tier_puts_them(model: str, tmp_path: Path) -> None:
    drawn = numpy.random.Generator(numpy.random.PCG64DXSM(1)).integers(2_000, 300_000, (7, 7))
    (tmp_path / "king.txt").write_text(
        "\n".join(" ".join(map(str, row)) for row in drawn + drawn.T)
    )
    (tmp_path / "question.toml").write_text(
        f'{COVER}[links]\nmodel = "{model}"\nfile = "king.txt"\n'
    )
    asked = scenario.load(tmp_path / "question.toml")
    engine = Engine(0, traced=False)
    ids = {number.to_bytes(16, "big"): f"node {number}" for number in range(60)}
    links = Links(engine, "1", ids)
    links.weather = Weather(0, 0)
    lay(asked, 5, links, {name: at for at, name in enumerate(ids.values())})
    there = latency_of(asked, 60, 5)
    assert isinstance(there, Between)
    came: list[int] = []
    names = list(ids)
    for one in range(60):
        for other in (0, 17, 59):
            links.send(names[one], names[other], b"", lambda *_: came.append(engine.now))
            begun = engine.now
            engine.run(1.0)
            source, target = numpy.array([one]), numpy.array([other])
            assert came.pop() - begun == there.places.one_way_ns(source, target)[0]
            assert links.latency(ids[names[one]], ids[names[other]]) == between(there, one, other)


def between(there: Between, one: int, other: int) -> int:
    places = there.places
    assert isinstance(places, latencies.Coordinates | latencies.Matrix)
    return places.link_ns(one, other)


def test_round_trips_take_the_links_between_their_places() -> None:
    """Eight links of a mean way between two of all nodes, and six delays of 50 ms."""
    text = COVER + '[links]\nmodel = "coordinates"\njitter_ms = 10.0\n'
    asked = scenario.parse(text)
    there = latency_of(asked, 60, 3)
    assert isinstance(there, Between)
    relays = numpy.arange(40, 60)
    one, other = numpy.meshgrid(relays, relays)
    apart = there.places.one_way_ns(one[one != other], other[one != other]).mean() / 1e6
    metrics = simulate(asked, 3).metrics
    assert metrics["round_trip_mean_ms"] == pytest.approx(8 * (apart + 5) + 6 * 50, rel=0.12)


def test_those_who_are_away_send_nothing() -> None:
    asked = scenario.parse(COVER.replace("[traffic]", "[traffic]\nonline = 0.5"))
    results = simulate(asked, 1)
    assert results.metrics["packets_up_per_s"] == pytest.approx(20 * 4, rel=0.15)
    there = set(results.tables["round_trips"]["person"])
    assert len(there) == 20
    assert there == set(online(asked, 1)) != set(online(asked, 2))


def comings(people: int = 12, relays: int = 20) -> tuple[Mixnet, Stay, list[Trip]]:
    """A network of the lab's parameters, whose leases last 20 s."""
    trips: list[Trip] = []
    packets = Following(NullFormat(), keyed=True)
    stay = Stay(FastRng, packets)
    net = Mixnet(
        relays,
        people,
        replace(PRESETS["fast"], quick_share=1.0),
        params=LAB,
        chance=FastRng,
        answered=trips.append,
        hub=ComingHub,
        person=Visitor,
        through=stay.through,
        packets=packets,
    )
    return net, stay, trips


def turns(nodes: int, *rows: tuple[float, int, bool]) -> Changes:
    """Everybody is there, until a node (s, which, whether it comes)."""
    when, who, comes = zip(*rows, strict=True)
    return Changes(
        numpy.ones(nodes, dtype=numpy.bool_),
        numpy.array([round(s * SECOND) for s in when]),
        numpy.array(who, dtype=numpy.int32),
        numpy.array(comes),
    )


def test_a_relay_that_leaves_loses_what_it_held_and_after_its_lease_nobody_asks_it() -> None:
    net, stay, trips = comings()
    stay.begin(net, relays=turns(20, (3.0, 7, False), (32.0, 7, True)))
    hub = net.hubs[7]
    net.run(2.999)
    held = hub.pool_size
    assert held > 0
    assert net.counters["lost in relays"] == net.counters["nobody there"] == 0
    net.run(0.3)
    assert net.counters["lost in relays"] >= held
    net.run(LAB.lease_s)
    assert net.counters["nobody there"] > 100
    net.run(2.0)  # what was on its way when the lease ended
    asked = net.counters["nobody there"]
    trips.clear()
    net.run(4.0)
    assert net.counters["nobody there"] == asked
    assert {person.guard.relay_id for person in net.people}.isdisjoint({hub.id})
    assert len(trips) == pytest.approx(12 * 10 * 4, rel=0.2)
    crossed: set[bytes] = set()
    net.links.taps.append(lambda now, source, target, size: crossed.add(target))
    net.run(2.0)
    assert hub.id not in crossed
    net.run(5.0)
    assert hub.id in crossed  # it is back, listed, and answers
    assert hub.pool_size > 0


def test_a_relay_that_starts_anew_refuses_what_was_made_for_its_last_run() -> None:
    net, stay, _ = comings()
    stay.begin(net, relays=turns(20, (2.0, 3, False), (2.2, 3, True)))
    net.run(2.19)
    packets = stay.packets
    assert packets.refused == 0
    net.run(1.0)
    assert packets.refused > 0
    before = packets.refused
    net.run(LAB.lease_s / 12)  # a pull of a client: now its new keys are known
    settled = packets.refused
    assert settled > before
    net.run(5.0)
    assert packets.refused - settled < 0.2 * settled


def test_a_person_who_comes_back_has_another_session_and_the_same_guard() -> None:
    net, stay, trips = comings()
    stay.begin(net, people=turns(12, (2.0, 5, False), (6.0, 5, True)))
    person = net.people[5]
    session, guard = person.id, person.guard
    sent: list[tuple[int, bytes]] = []
    net.links.taps.append(lambda now, source, target, size: sent.append((now, source)))
    net.run(2.5)
    sent.clear()
    net.run(3.4)
    assert session not in {source for _, source in sent}
    assert net.counters["given up"] > 0
    assert net.counters["nobody there"] > 0  # replies to the session that is over
    trips.clear()
    net.run(4.0)
    assert person.id != session
    assert person.guard is guard
    assert sum(trip.person == 5 for trip in trips) > 20


def test_who_comes_and_goes_is_there_half_the_time() -> None:
    text = COVER.replace("length_s = 4.0", "length_s = 12.0").replace("people = 40", "people = 100")
    asked = scenario.parse(
        text + '[churn]\nmodel = "exponential"\nscale_min = 0.02\nwho = "people"'
    )
    metrics = simulate(asked, 1).metrics
    assert metrics["packets_up_per_s"] == pytest.approx(100 * 4 / 2, rel=0.1)
    assert metrics["given_up"] > 0
    assert metrics["lost_in_relays"] == 0


def test_relays_that_nobody_can_dial_answer_nobody() -> None:
    """A round trip asks S and draws A, B, A' and B' of 19 relays of whom four can't be dialled."""
    text = COVER.replace("length_s = 4.0", "length_s = 10.0")
    asked = scenario.parse(
        text.replace("[traffic]", 'unreachable = 0.2\nactive = "all"\n[traffic]')
    )
    metrics = simulate(asked, 1).metrics
    forward = 15 / 19 * 14 / 18 * 13 / 17
    assert metrics["delivered_share"] == pytest.approx(forward * 14 / 18 * 13 / 17, rel=0.1)


def served(rate: float, seconds: float, seed: str, queue: int = 256) -> tuple[Queues, int]:
    """A relay that takes 1,000 packets/s is sent ``rate`` at random times; how many came."""
    engine, came, rng = Engine(0, traced=False), 0, FastRng(seed)
    asked = scenario.parse(
        'question = "?"\ntier = "exact"\n[network]\nrelay_packets_per_s = 1000.0\n'
        f"[links]\nqueue = {queue}\n"
    )

    def deliver(source: bytes, target: bytes, packet: bytes) -> None:
        nonlocal came
        came += 1

    queues = Queues(asked, engine, lambda name: name == b"relay")
    carry = queues.through(lambda source, target, packet, to: to(source, target, packet))

    def next_one() -> None:
        carry(b"person", b"relay", b"", deliver)
        engine.after(round(rng.exponential(SECOND / rate)), "next", next_one)

    next_one()
    engine.run(seconds)
    return queues, came


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_relay_with_a_capacity_keeps_packets_waiting_as_a_queue_of_fixed_times(
    load: float,
) -> None:
    """M/D/1: the mean wait is load / (2 rate (1 - load)) (Pollaczek and Khinchine)."""
    queues, _ = served(1000 * load, 60.0, f"md1 {load}")
    assert queues.dropped == 0
    wait_ms = queues.waited_ns / queues.passed / 1e6
    assert wait_ms == pytest.approx(load / (2 * (1 - load)), rel=0.06)


def test_a_relay_that_is_asked_for_more_serves_what_it_can_and_drops_the_rest() -> None:
    queues, came = served(2000.0, 10.0, "overload", queue=50)
    assert came == pytest.approx(1000 * 10, rel=0.002)
    assert queues.dropped == pytest.approx(1000 * 10, rel=0.05)
    assert queues.waited_ns / queues.passed / 1e6 == pytest.approx(50, rel=0.05)


def test_a_line_that_is_too_narrow_carries_what_it_can() -> None:
    """Two packets a second of the four that each person has for it: 49.152 kbit/s."""
    text = COVER + "[links]\nup_kbps = 49.152\nqueue = 3\n"
    metrics = simulate(scenario.parse(text), 1).metrics
    assert metrics["answered_per_s"] == pytest.approx(40 * 2, rel=0.08)
    assert metrics["dropped"] == pytest.approx(40 * 2 * 4, rel=0.2)
    assert metrics["round_trip_mean_ms"] > 8 * 42 + 6 * 50 + 1000
    narrow = scenario.parse(COVER + "[links]\ndown_kbps = 49.152\nqueue = 3\n")
    assert simulate(narrow, 1).metrics["answered_per_s"] == pytest.approx(40 * 2, rel=0.08)


def test_lines_that_are_wide_take_their_time_and_drop_nothing() -> None:
    wide = scenario.parse(COVER + "[links]\nup_kbps = 4915.2\ndown_kbps = 4915.2\n")
    plain = simulate(scenario.parse(COVER), 1).metrics["round_trip_mean_ms"]
    metrics = simulate(wide, 1).metrics
    assert metrics["dropped"] == 0
    assert metrics["round_trip_mean_ms"] - plain == pytest.approx(2 * 5, abs=6)


WHOLE = """
question = "How long is a text on its way?"
tier = "exact"
[network]
relays = 8
people = 2
nodes = "whole"
parameters = "lab"
[traffic]
preset = "fast"
messages_per_hour = 900.0
[time]
warm_up_s = 8.0
length_s = 12.0
[links]
latency_ms = 1.0
"""


def test_texts_to_whole_nodes_that_come_and_go_wait_until_they_are_back() -> None:
    churn = '[churn]\nmodel = "exponential"\nscale_min = 0.1\nwho = "people"\n'
    results = simulate(scenario.parse(WHOLE + churn), 3)
    assert results.metrics["texts"] >= 2
    assert results.metrics["delivered_share"] == 1.0
    assert results.metrics["latency_max_ms"] > 2000  # half of a text's time nobody is there


def test_texts_to_whole_nodes_that_are_away_do_not_come() -> None:
    away = scenario.parse(WHOLE.replace("[traffic]", "[traffic]\nonline = 0.5"))
    results = simulate(away, 1)
    assert results.metrics["texts"] >= 2  # of the one who is there
    assert results.metrics["delivered_share"] == 0.0


def test_lines_of_whole_nodes_are_as_narrow_as_they_are() -> None:
    """A packet takes 88 ms at 280 kbit/s, and is asked for up and down."""
    asked = [WHOLE, WHOLE + "up_kbps = 280.0\ndown_kbps = 280.0\n"]
    plain, narrow = (
        [simulate(scenario.parse(text), seed).metrics for seed in range(1, 4)] for text in asked
    )
    assert all(one["delivered_share"] == 1.0 for one in (*plain, *narrow))
    slower = [
        one["latency_p50_ms"] - other["latency_p50_ms"]
        for one, other in zip(narrow, plain, strict=True)
    ]
    assert sum(slower) > 3 * 2 * 88


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("[network]\nunreachable = 0.5", "can't be dialled where"),
        ("[traffic]\nonline = 0.5", "come and go or are away"),
    ],
)
def test_what_whole_nodes_do_not_do_is_told(more: str, sentence: str) -> None:
    section, key = more.split("\n")
    text = WHOLE.replace(section, more) + '[churn]\nmodel = "weibull"\n'
    assert key in text
    with pytest.raises(UserError, match=sentence):
        simulate(scenario.parse(text), 1)
