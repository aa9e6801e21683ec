"""The active set: T20's layers; vectors of client §1.1, rules by drawn networks, ways by layers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.crowd import EPOCH, spread
from repo.repository import ROOT
from shoal_protocol.client import active
from shoal_protocol.client.paths import PathChooser, conflict
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.traffic import MAX_CLASS, class_of
from shoal_protocol.parameters import LAB, MAIN
from support import seeded

VECTORS = json.loads((ROOT / "tests/vectors/active.json").read_text())
LOTS = st.lists(st.integers(0, 2**active.LOT_BITS - 1), max_size=120)
WANTED = st.integers(1, 200)
BALANCED = 4.0  # packets a second of a person


def ids(relays: Sequence[Descriptor]) -> set[bytes]:
    return {relay.relay_id for relay in relays}


@pytest.mark.parametrize("case", VECTORS["lots"], ids=lambda case: case["relay_id"][:8])
def test_lots_are_those_of_the_vectors(case: dict[str, str]) -> None:
    network, relay_id = bytes.fromhex(case["network"]), bytes.fromhex(case["relay_id"])
    assert f"{active.lot(network, int(case['epoch']), relay_id):016x}" == case["lot"]


@pytest.mark.parametrize("case", VECTORS["sets"], ids=lambda case: f"wanted {case['wanted']}")
def test_sets_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    lots = [int(each, 16) for each in VECTORS["drawn"]]
    params = replace(MAIN, active_least=case["least"])
    assert active.pick(lots, case["wanted"], params) == case["layers"]


@pytest.mark.parametrize(
    ("people", "mixes"), [(0, 1), (2, 1), (40, 1), (80, 2), (1_000, 25), (10_000, 250)]
)
def test_as_many_mixes_of_a_layer_are_wanted_as_people_fill_pools_of_eight(
    people: int, mixes: int
) -> None:
    """⌊N·λ·d/8⌋ and at least one: N people at balanced, a twentieth of a second at each mix."""
    assert active.wanted(people * BALANCED, MAIN) == mixes


@given(st.lists(st.integers(0, MAX_CLASS), max_size=60))
def test_no_relay_counts_for_more_than_twice_the_median(classes: list[int]) -> None:
    found = active.requests(classes)
    assert found >= 0
    assert active.requests([*classes, *classes]) == pytest.approx(2 * found)
    if classes:
        assert active.requests([*classes[:-1], MAX_CLASS]) >= 0
        even = active.requests([classes[0]] * len(classes))
        assert active.requests(classes[:1]) * len(classes) == pytest.approx(even)


@given(LOTS, WANTED, st.integers(1, 8))
def test_layers_share_nobody_and_have_enough_or_all_serve_in_each(
    lots: list[int], wanted: int, least: int
) -> None:
    layers = active.pick(lots, wanted, replace(MAIN, active_least=least))
    sizes = [sum(active.layer_of(lot, 2) == layer for lot in lots) for layer in (0, 1)]
    assert (layers is None) == (min(sizes) < least)
    if layers is not None:
        first, second = layers
        assert not set(first) & set(second)
        assert min(len(first), len(second)) >= least


@given(LOTS, WANTED, WANTED)
def test_who_counts_more_traffic_uses_the_same_relays_and_some_besides(
    lots: list[int], a: int, b: int
) -> None:
    fewer, more = (active.pick(lots, wanted, MAIN) for wanted in sorted((a, b)))
    assert (fewer is None) == (more is None)
    for few, many in zip(fewer or [], more or [], strict=True):
        assert set(few) <= set(many)


@given(LOTS, st.integers(0, 2**active.LOT_BITS - 1), WANTED)
def test_membership_goes_by_ones_own_lot_and_never_by_rank(
    lots: list[int], newcomer: int, wanted: int
) -> None:
    """A newcomer may make a layer fit for one more halving: what is left is of those before."""
    before, after = (active.pick(each, wanted, MAIN) for each in (lots, [*lots, newcomer]))
    if before is None or after is None:
        return
    for layer in (0, 1):
        old = set(after[layer]) - {len(lots)}
        assert old <= set(before[layer]) or old >= set(before[layer])
        there = [p for p, lot in enumerate(lots) if active.layer_of(lot, 2) == layer]
        assert any(old == {p for p in there if active.member(lots[p], j)} for j in range(33))


@pytest.mark.parametrize(
    ("count", "wanted", "j"), [(0, 1, 0), (1, 1, 0), (7, 8, 0), (8, 8, 0), (15, 8, 0), (16, 8, 1)]
)
def test_halvings_leave_as_many_as_are_wanted_in_the_mean(count: int, wanted: int, j: int) -> None:
    assert active.halvings(count, wanted) == j
    assert j == 0 or count / 2**j >= wanted > count / 2 ** (j + 1)


def test_two_people_with_one_view_draw_one_set_and_each_epoch_another() -> None:
    relays = spread(seeded("active"), 200)
    classes = [class_of(500 * BALANCED * 60 / 200)] * 200
    mine = active.draw(relays, classes, EPOCH, MAIN)
    theirs = active.draw(relays[::-1], classes[::-1], EPOCH, MAIN)
    assert [ids(layer) for layer in mine.layers] == [ids(layer) for layer in theirs.layers]
    assert mine.apart and all(9 <= len(layer) <= 40 for layer in mine.layers)
    later = active.draw(relays, classes, EPOCH + 1, MAIN)
    assert not ids(mine.layers[0]) & ids(later.layers[0]) >= ids(mine.layers[0])
    assert active.draw(relays, classes, EPOCH, LAB) != mine


def test_without_a_word_of_traffic_the_set_is_the_smallest() -> None:
    relays = spread(seeded("quiet"), 200)
    quiet = active.draw(relays, [0] * 200, EPOCH, MAIN)
    busy = active.draw(relays, [12] * 200, EPOCH, MAIN)
    for few, many in zip(quiet.layers, busy.layers, strict=True):
        assert MAIN.active_least <= len(few) <= 24
        assert ids(few) <= ids(many)


def test_in_a_small_lab_all_relays_mix() -> None:
    relays = spread(seeded("lab"), 2 * LAB.active_least - 1)
    found = active.draw(relays, [9] * len(relays), EPOCH, LAB)
    assert not found.apart and all(list(layer) == relays for layer in found.layers)
    assert found.shares == (2 / 31, 2 / 31)


def test_ways_keep_to_layers_and_nobody_is_stuck_when_a_layer_has_nobody_left() -> None:
    rng = seeded("layers")
    relays = spread(rng, 120)
    layers = active.draw(relays, [3] * 120, EPOCH, MAIN).layers
    first, second = (ids(layer) for layer in layers)
    chooser = PathChooser(relays, relays[0], params=MAIN, rng=rng, layers=layers)
    for _ in range(2_000):
        trip = chooser.round_trip(rng.choice(chooser.services))
        assert trip is not None
        for a, b in (trip.forward[1:3], trip.reply[:2]):
            assert a.relay_id in first and b.relay_id in second
        for way in (trip.forward, trip.reply):
            assert not any(conflict(a, b, MAIN) for a in way for b in way if a is not b)
    chooser.layers = ([relays[0]], relays[1:4])
    trip = chooser.round_trip(relays[1])
    assert trip is not None and ids(trip.forward[1:3]) == ids(relays[2:4])
    chooser.layers = ([relays[0]], [relays[1]])
    trip = chooser.round_trip(relays[1])
    assert trip is not None and not ids(trip.forward[1:3]) & ids(relays[:2])


@settings(max_examples=20)
@given(st.lists(st.integers(0, MAX_CLASS), min_size=60, max_size=60))
def test_any_classes_give_a_set_of_which_ways_can_be_made(classes: list[int]) -> None:
    relays = spread(seeded("any"), 60)
    found = active.draw(relays, classes, EPOCH, MAIN)
    chooser = PathChooser(relays, relays[0], params=MAIN, rng=seeded("way"), layers=found.layers)
    assert chooser.round_trip(relays[1]) is not None
    assert sum(found.shares) > 0
