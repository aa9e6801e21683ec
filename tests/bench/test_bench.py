"""The bench itself: it holds what is well, it finds what is planted, and a seed is a run."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from bench import planted, scenario
from bench.run import run
from shoal_protocol import crypto
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_sim.exact import kem
from shoal_sim.exact.engine import Broken, Engine
from shoal_sim.exact.gossip import Gossip
from shoal_sim.exact.links import Links, Weather
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay
from support import START, seeded

CHATS = [seed for seed in range(15, 300) if scenario.draw(seed).kind == "chat"]
MORTALS = [
    seed
    for seed in range(15, 1000)
    if scenario.draw(seed).gossip and scenario.draw(seed).copies and scenario.draw(seed).deaths
]
GOSSIPS = [seed for seed in range(15, 300) if scenario.draw(seed).gossip and seed in CHATS]
FILES = [seed for seed in CHATS if any(line.size for line in scenario.draw(seed).lines)]
WITHIN = 25  # seeds, in which a planted fault must show
SHORT = min(CHATS[:20], key=lambda seed: scenario.draw(seed).length_s)


@pytest.mark.parametrize("seed", CHATS[1:4])
def test_a_world_with_faults_brings_everything_said_once_and_in_order(seed: int) -> None:
    """T2, T4, T6, T14, T15: kills, losses, clocks and full disks, drawn from a seed."""
    result = run(seed)
    assert result.broken is None
    assert result.messages > 0


@pytest.mark.parametrize(
    "fault",
    [planted.SendsBeforeCommit, planted.TellsBeforeCommit, planted.ShowsTwice],
)
def test_a_fault_planted_in_people_is_found(fault: type[Person]) -> None:
    found = (run(seed, person=fault).broken for seed in CHATS)
    assert any(islice(found, WITHIN))


@pytest.mark.parametrize("seed", FILES[:2])
def test_files_come_whole_behind_what_was_said_later_or_before_it(seed: int) -> None:
    """Each is stored to its last fragment when its message says so, crashes or not."""
    result = run(seed)
    assert result.broken is None
    assert result.messages > 0


def test_a_file_that_goes_up_before_it_is_durable_is_found() -> None:
    found = (run(seed, person=planted.LosesUploads).broken for seed in FILES)
    assert any(islice(found, WITHIN))


@pytest.mark.parametrize("fault", [planted.AnswersBeforeCommit, planted.ForgetsAtCrash])
def test_a_fault_planted_in_relays_is_found(fault: type[Relay]) -> None:
    found = (run(seed, relay=fault).broken for seed in CHATS)
    assert any(islice(found, WITHIN))


@pytest.mark.parametrize("seed", GOSSIPS[:2])
def test_nodes_that_gossip_agree_on_who_is_there_after_all_faults(seed: int) -> None:
    result = run(seed)
    assert result.broken is None
    assert result.gossip
    assert result.messages > 0


@pytest.mark.parametrize(
    "fault",
    [planted.TakesOlder, planted.Believes, planted.ForgetsItsVersion],
)
def test_a_fault_planted_in_relays_directories_is_found(fault: type[Relay]) -> None:
    """An older descriptor, a wrong signature, one version signed twice."""
    found = (run(seed, relay=fault).broken for seed in GOSSIPS)
    assert any(islice(found, WITHIN))


def test_a_relay_that_forgets_that_leases_end_is_found_where_others_are_gone_for_good() -> None:
    found = (run(seed, relay=planted.KeepsForever).broken for seed in MORTALS)
    assert any(islice(found, WITHIN))


@pytest.mark.parametrize("fault", [planted.GivesUp, planted.NeverPulls, planted.NeverGreets])
def test_a_fault_planted_in_the_gossip_is_found(fault: type[Gossip]) -> None:
    found = (run(seed, gossip=fault).broken for seed in GOSSIPS)
    assert any(islice(found, WITHIN))


def test_a_seed_that_gossips_gives_the_same_run_twice() -> None:
    seed = min(GOSSIPS[:20], key=lambda seed: scenario.draw(seed).length_s)
    assert run(seed) == run(seed)


def test_a_quarter_of_all_seeds_gossips() -> None:
    drawn = [scenario.draw(seed) for seed in range(400)]
    assert 75 < sum(one.gossip for one in drawn) < 125
    assert {one.kind for one in drawn if one.gossip} == {"chat", "hours", "days"}


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    """Packets, times and all: the trace's hash, also where sets are ordered otherwise."""
    program = (
        f"import json; from bench.run import run; r = run({SHORT})\nprint(json.dumps(r.trace))"
    )
    tests = Path(__file__).parent.parent
    traces = {
        json.loads(
            subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(tests)},
                capture_output=True,
                check=True,
                timeout=60,
            ).stdout
        )
        for hash_seed in ("1", "2")
    }
    assert traces == {run(SHORT).trace}


def test_another_seed_is_another_run() -> None:
    drawn = {scenario.draw(seed) for seed in range(50)}
    assert len(drawn) == 50
    assert {one.kind for one in drawn} == {"chat", "hours", "days"}


def test_encapsulation_of_a_given_chance_is_what_the_library_opens() -> None:
    rng = seeded("kem")
    for _ in range(10):
        seed, chance = rng.bytes(crypto.MLKEM_SEED_LENGTH), rng.bytes(32)
        public = crypto.mlkem_public(seed)
        secret, ciphertext = kem.encapsulate(public, chance)
        assert crypto.mlkem_decapsulate(seed, ciphertext) == secret
        assert kem.encapsulate(public, chance) == (secret, ciphertext)


def test_events_of_one_moment_keep_the_order_in_which_they_were_made() -> None:
    engine = Engine(START)
    seen: list[int] = []
    for number in range(10):
        engine.after(SECOND, str(number), lambda number=number: seen.append(number))
    engine.run(2)
    assert seen == list(range(10))
    assert engine.now == START + 2 * SECOND


def test_time_that_stands_still_is_found() -> None:
    engine = Engine(START)

    def again() -> None:
        engine.after(0, "again", again)

    again()
    with pytest.raises(Broken, match="no end of events, the last is again"):
        engine.run(1)


def test_links_lose_copy_and_let_packets_overtake_as_the_weather_says() -> None:
    engine = Engine(START)
    links = Links(engine, "weather", {b"a": "a", b"b": "b"})
    links.weather = Weather(1, 50, loss=0.1, copies=0.1)
    came: list[int] = []
    for number in range(1000):
        engine.at(
            START + number * MILLISECOND,
            "send",
            lambda number=number: links.send(
                b"a",
                b"b",
                number.to_bytes(2, "big"),
                lambda _a, _b, p: came.append(p[0] << 8 | p[1]),
            ),
        )
    engine.run(2)
    assert 850 < len(set(came)) < 950
    assert 50 < len(came) - len(set(came)) < 150
    assert came != sorted(came)


def test_a_wall_lets_nothing_through_and_falls() -> None:
    engine = Engine(START)
    links = Links(engine, "wall", {b"a": "a", b"b": "b"})
    came: list[bytes] = []
    links.side = {"a": 1}
    links.send(b"a", b"b", b"lost", lambda _a, _b, packet: came.append(packet))
    links.side = {}
    links.send(b"a", b"b", b"whole", lambda _a, _b, packet: came.append(packet))
    engine.run(1)
    assert came == [b"whole"]


def test_what_is_due_after_a_delay_comes_in_the_order_of_what_is_due_at_a_time() -> None:
    draws = seeded("lane")
    delays = [draws.below(5) * SECOND for _ in range(200)]
    orders: list[list[int]] = []
    for laned in (False, True):
        engine, seen = Engine(START), list[int]()
        for number, delay in enumerate(delays):
            if laned and number % 3:
                engine.after(delay, str(number), seen.append, number)
            else:
                engine.at(START + delay, str(number), seen.append, number)
        assert len(engine) == len(delays)
        engine.run(2.0)
        engine.after(SECOND, "later", seen.append, len(delays))
        engine.run(3.0)
        orders.append(seen)
    assert orders[0] == orders[1] == sorted(orders[0], key=lambda n: [*delays, 3 * SECOND][n])
