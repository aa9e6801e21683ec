"""The crowd: what the model gives, what an estimate says of whole networks, what liars can do."""

import math
import random

import pytest

from client.crowd import EPOCH, spread
from repo.repository import ROOT, tables
from shoal_protocol.client import active, crowd
from shoal_protocol.client.crowd import bits, estimate
from shoal_protocol.directory.traffic import MAX_CLASS, class_of
from shoal_protocol.parameters import LAB, MAIN, PRESETS
from shoal_sim.exact.world import World
from support import seeded

BALANCED, FAST, SAVER = PRESETS["balanced"], PRESETS["fast"], PRESETS["saver"]
PACE = BALANCED.rate * BALANCED.mean_delay_ms / 1000  # packets of one person in a mean delay
EULER = 0.5772156649
ROWS = tables((ROOT / "docs/spec/parameters.md").read_text())[2]


def classes(people: float, relays: int) -> list[int]:
    """Return the classes of relays among which people at balanced's pace are spread evenly."""
    return [class_of(people * BALANCED.rate * 60 / relays)] * relays


def drawn(people: int, mixes: int, *, packets: bool) -> float:
    """Return the bits by playing the model: arrivals are drawn, and the watcher weighs them."""
    chance, total, trials = random.Random(people), 0.0, 3_000

    def weight(age: float) -> float:
        return age ** (mixes - 1) * math.exp(-age)

    for _ in range(trials):
        age = chance.gammavariate(mixes, 1)
        mine = everybody = weight(age)
        before = 0.0
        while (before := before + chance.expovariate(people * PACE)) < 20 + 10 * mixes:
            shot = weight(before)
            everybody += shot
            if not packets and chance.random() * people < 1:
                mine += shot
        total += math.log2(everybody / mine)
    return total / trials


@pytest.mark.parametrize("mixes", [1, 2, 3])
@pytest.mark.parametrize("people", [2, 20])
def test_the_formula_gives_what_playing_the_model_gives(people: int, mixes: int) -> None:
    exact = bits(PACE, (people - 1) * PACE, mixes)
    assert drawn(people, mixes, packets=False) == pytest.approx(exact, abs=0.1)
    assert drawn(people, mixes, packets=True) == pytest.approx(
        bits(0.0, people * PACE, mixes), abs=0.1
    )


def test_twenty_hundred_and_two_people_have_the_designs_bits() -> None:
    """4.3 and 6.6 are of packets behind two mixes, 0.4 of two people behind one."""
    assert bits(0.0, 20 * PACE, 2) == pytest.approx(4.3, abs=0.05)
    assert bits(0.0, 100 * PACE, 2) == pytest.approx(6.6, abs=0.05)
    assert bits(PACE, PACE, 1) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['people at balanced']} people")
def test_the_parameters_document_has_the_bits_of_each_crowd(row: dict[str, str]) -> None:
    title, pool, *figures = row.values()
    people = int(title.replace(",", ""))
    assert float(pool) == pytest.approx(people * PACE)
    expected = (
        bits(0.0, people * PACE, 2),
        bits(PACE, (people - 1) * PACE, 2),
        bits(PACE, (people - 1) * PACE, 1),
        math.log2(people),
    )
    assert [float(each) for each in figures] == pytest.approx(expected, abs=0.01)


def test_large_pools_have_the_bits_of_the_closed_forms() -> None:
    for pool in (50.0, 5_000.0, 1_000_000.0):
        assert bits(0.0, pool, 1) == pytest.approx(math.log2(math.e * pool), abs=0.02)
        two = math.log2(math.exp(1 + EULER) * pool)
        assert bits(0.0, pool, 2) == pytest.approx(two, abs=0.02)


def test_no_number_of_mixes_hides_one_among_more_than_there_are() -> None:
    assert bits(PACE, 0.0, 2) == 0
    for people in (2, 5, 40):
        shown = [bits(PACE, (people - 1) * PACE, mixes) for mixes in (1, 2, 3, 5)]
        assert shown == sorted(shown)
        assert shown[-1] < math.log2(people)


@pytest.mark.parametrize("relays", [8, 40, 300])
@pytest.mark.parametrize("people", [2, 30, 1_000])
def test_evenly_spread_people_are_counted_within_a_fifth_and_a_person(
    people: int, relays: int
) -> None:
    found = estimate(classes(people, relays), BALANCED, MAIN)
    assert found is not None
    assert found.people == pytest.approx(people, rel=0.2, abs=1)


def test_a_liar_counts_for_two_relays_at_most_and_a_few_liars_add_little() -> None:
    honest = classes(40, 20)
    truth = estimate(honest, BALANCED, MAIN)
    one = estimate([*honest[:-1], MAX_CLASS], BALANCED, MAIN)
    few = estimate([*honest[:-4], *[MAX_CLASS] * 4], BALANCED, MAIN)
    assert truth and one and few
    assert one.people <= truth.people * 21 / 20 + 1e-9
    assert few.people <= truth.people * 24 / 20 + 1e-9
    assert one.bits - truth.bits < 0.1


def test_nothing_is_said_before_a_relay_has_said_anything() -> None:
    assert estimate([], BALANCED, MAIN) is None
    assert estimate([0] * 8, BALANCED, MAIN) is None


def test_ones_own_traffic_is_always_counted() -> None:
    found = estimate([1, 0, 0, 0, 0], FAST, LAB)
    assert found is not None
    assert (found.people, found.bits) == (FAST.rate / BALANCED.rate, 0)
    assert found.warning is not None


def test_many_relays_that_hardly_meet_hide_less_than_a_few() -> None:
    shown = [estimate(classes(100, relays), BALANCED, MAIN) for relays in (50, 400, 3_000)]
    assert all(shown)
    figures = [each.bits for each in shown if each]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > crowd.FEW_BITS > figures[1]
    pools = [each.pool for each in shown if each]
    assert pools[0] == pytest.approx(100 * 4 * 6 * 0.05 / 50, rel=0.25)


def test_many_relays_hide_as_well_as_a_few_when_ways_cross_an_active_set() -> None:
    told, relays = classes(1_000, 1_000), spread(seeded("many"), 1_000)
    mixing = active.draw(relays, told, EPOCH, MAIN)
    everybody, drawn = (estimate(told, BALANCED, MAIN, each) for each in (None, mixing))
    assert everybody and drawn
    assert drawn.pool > 5 * everybody.pool and drawn.bits > everybody.bits + 2
    most = max(len(layer) for layer in mixing.layers)
    waiting = 2 * drawn.packets * BALANCED.mean_delay_ms / 1000
    assert drawn.pool == pytest.approx(waiting * (1 / most + 1 / 1_000))


def test_longer_delays_hide_better_among_the_same_people() -> None:
    found = [estimate(classes(20, 12), preset, MAIN) for preset in (FAST, BALANCED, SAVER)]
    figures = [each.bits for each in found if each]
    assert len(figures) == 3 and figures == sorted(figures)


def test_a_small_crowd_is_told_in_words_and_a_large_one_is_not() -> None:
    small = estimate(classes(2, 8), BALANCED, LAB)
    alone = estimate(classes(1, 8), BALANCED, LAB)
    thin = estimate(classes(100, 1_000), BALANCED, MAIN)
    large = estimate(classes(100, 40), BALANCED, MAIN)
    assert small and alone and thin and large
    assert small.warning is not None and "you are one of about 2, whatever" in small.warning
    assert alone.warning is not None and alone.warning.startswith("Nobody else")
    assert thin.warning is not None and "too few for so many relays" in thin.warning
    assert large.warning is None


def test_each_packet_of_a_person_ends_in_one_request_and_never_at_its_guard() -> None:
    world = World(8, 2, seed="crowd")
    world.connect(world.people[0], world.relays[0])
    world.connect(world.people[1], world.relays[0])
    world.run(25)
    mixes = [relay.machine.mix for relay in world.relays]
    requests = sum(mix.counters["requests"] for mix in mixes)
    taken = sum(mix.counters[name] for mix in mixes for name in ("requests", "forwarded"))
    taken += sum(mix.counters["to client"] for mix in mixes)
    up = world.crossings["person", "relay"]
    down = world.crossings["relay", "person"]
    assert requests == pytest.approx(up, rel=0.02)
    assert taken == pytest.approx(4 * up + 3 * down, rel=0.02)
    assert mixes[0].counters["requests"] <= requests / 100
    found = estimate([mix.traffic.level(world.now) for mix in mixes], FAST, world.params)
    assert found is not None
    assert found.people == pytest.approx(2 * FAST.rate / BALANCED.rate, rel=0.25)
