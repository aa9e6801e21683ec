"""A watcher of all links believes what the links allow, and no more."""

import itertools

import numpy
import pytest

from shoal_sim import metrics
from shoal_sim.seeds import numbers
from shoal_sim.vector import mixing
from shoal_sim.vector.latency import Fixed
from shoal_sim.vector.tracing import NOBODY, Tracer, Way, follow, settle

LINK = Fixed(5_000_000)


def layered(
    seed: int, *, depth: int = 3, width: int = 3, people: int = 20, rate: float = 4.0,
    length_s: float = 2.0, corrupt: tuple[int, ...] = (), loss: float = 0.0,
) -> tuple[mixing.Nodes, mixing.Packets]:  # fmt: skip
    rng = numbers(seed, "test")
    there = mixing.layered(people, depth, width, corrupt=corrupt)
    sent = mixing.senders(people, rate, mixing.Span(0, round(length_s * 1e9)), rng)
    return there, mixing.layers(there, depth, *sent, 100e6, LINK, rng, loss=loss)


def everything(there: mixing.Nodes, packets: mixing.Packets, *, back: bool) -> numpy.ndarray:
    itself, way = numpy.arange(len(packets)), packets.way(there)
    return follow(way.backwards() if back else way, itself, itself, len(packets), compiled=False)


def test_one_mix_is_followed_as_counting_all_pairings_does() -> None:
    rng = numbers(1, "pairings")
    for _ in range(20):
        size = 6
        enter = rng.permutation(1000)[:size]
        leave = enter + 1 + rng.permutation(600)[:size]
        by_enter, by_leave = numpy.argsort(enter), numpy.argsort(leave)
        counts, pairings = numpy.zeros((size, size)), 0
        for order in itertools.permutations(range(size)):
            if all(enter[by_enter[i]] < leave[by_leave[j]] for i, j in enumerate(order)):
                pairings += 1
                for i, j in enumerate(order):
                    counts[by_enter[i], by_leave[j]] += 1
        way = Way(numpy.zeros((1, size), numpy.int32), enter[None], leave[None], 1)
        found = follow(way, numpy.arange(size), numpy.arange(size), size, compiled=False)
        assert numpy.allclose(found, counts / pairings)


@pytest.mark.parametrize("corrupt", [(), (0, 4)])
def test_every_target_is_somewhere_and_every_packet_is_somebody(corrupt: tuple[int, ...]) -> None:
    there, packets = layered(2, corrupt=corrupt)
    found = everything(there, packets, back=False)
    assert (found >= 0).all()
    assert numpy.allclose(found.sum(axis=1), 1) and numpy.allclose(found.sum(axis=0), 1)


def test_forwards_and_backwards_say_the_same() -> None:
    there, packets = layered(3, corrupt=(1,))
    onward = everything(there, packets, back=False)
    assert numpy.allclose(onward, everything(there, packets, back=True).T)


def test_who_tells_everything_hides_nobody() -> None:
    there, packets = layered(4, corrupt=tuple(range(9)))
    assert (everything(there, packets, back=False) == numpy.eye(len(packets))).all()


def test_each_corrupt_mix_costs_bits() -> None:
    bits = []
    for held in ((), (0,), (0, 1, 3, 6), tuple(range(8))):
        there, packets = layered(5, corrupt=held)
        bits.append(metrics.shannon(everything(there, packets, back=False)).mean())
    assert bits == sorted(bits, reverse=True) and bits[-1] < bits[0] / 2


def test_packets_that_are_lost_are_no_candidates() -> None:
    there, packets = layered(6, loss=0.05)
    there_after = packets.arrived
    owner = numpy.where(there_after, numpy.arange(len(packets)), NOBODY)
    targets = numpy.flatnonzero(there_after)
    found = follow(packets.way(there), targets, owner, len(packets), compiled=False)
    assert (found.sum(axis=1) < 1).any()
    assert (found[:, ~there_after] == 0).all()
    settled = settle(found)
    assert numpy.allclose(settled.sum(axis=1), 1)


def test_a_window_knows_what_pools_held_when_it_opened() -> None:
    there, packets = layered(7, length_s=4.0)
    itself = numpy.arange(len(packets))
    targets = numpy.flatnonzero((packets.begin > 1.5e9) & (packets.begin < 1.6e9))
    whole = follow(packets.way(there), targets, itself, len(packets), compiled=False)
    window = (round(1.45e9), 10**12)
    late = follow(packets.way(there), targets, itself, len(packets), window=window, compiled=False)
    assert len(targets) and numpy.allclose(whole, late, rtol=0, atol=1e-15)
    early = follow(
        packets.way(there), targets, itself, len(packets), window=(0, round(1.8e9)), compiled=False
    )
    assert (early.sum(axis=1) < 1).any() and (early <= whole + 1e-15).all()


def test_in_parts_or_at_once_is_the_same() -> None:
    there, packets = layered(8)
    size, cut = len(packets), 50
    at_once = everything(there, packets, back=False)[:10]
    way, itself = packets.way(there), numpy.arange(size)
    tracer = Tracer(3, way.pools, size, (-1, 10**12), compiled=False)
    for part in (slice(0, cut), slice(cut, size)):
        some = Way(way.pool[:, part], way.enter[:, part], way.leave[:, part], way.pools)
        tracer.add(some, itself[part], numpy.arange(10) if part.start == 0 else None)
    assert (tracer.follow(size) == at_once).all()


def test_times_that_fit_no_single_number_are_ordered_alike() -> None:
    there, packets = layered(9, length_s=0.5)
    way, itself = packets.way(there), numpy.arange(len(packets))
    found = follow(way, itself, itself, len(packets), window=(-1, 2**40), compiled=False)
    wide = follow(way, itself, itself, len(packets), window=(-(2**61), 2**61), compiled=False)
    assert (found == wide).all()


@pytest.mark.parametrize("layout", ["layers", "free"])
def test_who_is_given_a_probability_is_the_one_as_often_as_that(layout: str) -> None:
    weights, truths = [], []
    for seed in range(6):
        rng = numbers(seed, "calibration")
        span = mixing.Span(0, 2_000_000_000)
        sent = mixing.senders(30, 8.0, span, rng)
        if layout == "layers":
            there = mixing.layered(30, 3, 4, corrupt=(0, 5))
            packets = mixing.layers(there, 3, *sent, 60e6, LINK, rng)
        else:
            there = mixing.nodes(30, 20, rng, corrupt=(3, 7))
            packets = mixing.forward(there, *sent, 60e6, LINK, rng)
        targets = numpy.flatnonzero(packets.end > 5e8)[::3]
        way = packets.way(there).backwards()
        weights.append(settle(follow(way, targets, packets.person, 30, compiled=False)))
        truths.append(packets.person[targets])
    table, truth = numpy.concatenate(weights), numpy.concatenate(truths)
    bins = metrics.calibration(table, truth, 6)
    assert len(bins) >= 5
    for said, was, size in bins:
        assert abs(said - was) < 4 * (said * (1 - said) / size) ** 0.5 + 0.01
    known = metrics.guess(table, truth)
    assert known.surprise_bits == pytest.approx(known.entropy_bits, abs=0.15)
    assert known.hit_share == pytest.approx(known.guess_share, abs=0.05)


def test_knowing_how_far_packets_have_come_leaves_fewer_bits() -> None:
    rng = numbers(10, "places")
    there = mixing.nodes(40, 8, rng)
    sent = mixing.senders(40, 8.0, mixing.Span(0, 2_000_000_000), rng)
    packets = mixing.forward(there, *sent, 60e6, LINK, rng)
    targets = numpy.flatnonzero(packets.begin > 5e8)[:40]
    bits = [
        metrics.shannon(
            follow(packets.way(there, places=places), targets, numpy.arange(len(packets)),
                   len(packets), compiled=False)
        ).mean()
        for places in (True, False)
    ]  # fmt: skip
    assert bits[0] < bits[1]
