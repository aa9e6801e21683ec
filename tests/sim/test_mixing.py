"""Packets drawn in arrays: who sends, which relays, when; and the closed forms beside them."""

import math

import numpy
import pytest

from shoal_protocol.parameters import MAIN
from shoal_sim.seeds import numbers
from shoal_sim.theory import mixing as theory
from shoal_sim.validation import mixing as validation
from shoal_sim.validation.target import SEED, Effort, Target
from shoal_sim.vector import mixing
from shoal_sim.vector.latency import Fixed

LINK = Fixed(42_000_000)
SPAN = mixing.Span(500_000_000, 3 * mixing.SECOND)


def requests(seed: int, *, people: int = 300, relays: int = 20, loss: float = 0.0,
             active: list[int] | None = None) -> tuple[mixing.Nodes, mixing.Packets]:  # fmt: skip
    rng = numbers(seed, "test")
    there = mixing.nodes(
        people,
        relays,
        rng,
        active=None if active is None else (numpy.array(active, numpy.int32),) * 2,
    )
    sent = mixing.senders(people, 4.0, SPAN, rng)
    return there, mixing.forward(there, *sent, 50e6, LINK, rng, loss=loss)


def test_people_send_as_often_as_they_should_and_all_alike() -> None:
    people, begin = mixing.senders(100, 4.0, SPAN, numbers(1, "senders"))
    expected = 100 * 4.0 * 3.5
    assert abs(len(people) - expected) < 4 * math.sqrt(expected)
    assert begin.min() >= -SPAN.lead and begin.max() < SPAN.length
    each = numpy.bincount(people, minlength=100)
    assert 0.6 < each.var() / each.mean() < 1.6  # Poisson's are equal


def test_a_way_has_the_persons_guard_and_no_relay_twice() -> None:
    there, packets = requests(2)
    service = packets.other - there.people
    assert (packets.relay[0] == there.guard[packets.person]).all()
    stations = numpy.sort(numpy.vstack([packets.relay, service]), axis=0)
    assert (stations[1:] != stations[:-1]).all()
    replies = mixing.answers(there, packets, 50e6, LINK, numbers(2, "replies"))
    assert (replies.relay[2] == there.guard[replies.person]).all()
    assert (replies.relay[0] != replies.relay[1]).all()
    assert (replies.begin == packets.end).all() and (replies.other == packets.other).all()


def test_relays_are_drawn_evenly_from_the_active_set() -> None:
    active = [1, 4, 5, 9, 11, 12]
    _, packets = requests(3, active=active)
    for row in packets.relay[1:]:
        counts = numpy.bincount(row, minlength=20)
        assert set(numpy.flatnonzero(counts)) == set(active)
        expected = len(packets) / len(active)
        assert (abs(counts[active] - expected) < 6 * math.sqrt(expected)).all()


def test_too_few_relays_for_a_way_are_refused() -> None:
    with pytest.raises(ValueError, match="A way needs 4 different relays"):
        requests(4, relays=3)


def test_links_take_their_latency_and_mixes_exponential_delays() -> None:
    _, packets = requests(5)
    assert (packets.enter[0] - packets.begin == LINK.latency_ns).all()
    assert (packets.enter[1:] - packets.leave[:-1] == LINK.latency_ns).all()
    delays = (packets.leave - packets.enter).ravel() / 50e6
    error = 4 / math.sqrt(delays.size)
    assert (
        delays.min() >= 0 and abs(delays.mean() - 1) < error and abs(delays.std() - 1) < 3 * error
    )
    jittery = Fixed(10, 5).draw(packets.person, packets.other, numbers(5, "jitter"))
    assert isinstance(jittery, numpy.ndarray)
    assert set(jittery.tolist()) == {10, 11, 12, 13, 14, 15}


def test_what_links_lose_comes_no_further() -> None:
    there, packets = requests(6, loss=0.1)
    share = packets.arrived.mean()
    assert abs(share - 0.9**4) < 4 * math.sqrt(0.25 / len(packets))
    mixed = packets.way(there).mixed
    assert mixed is not None
    assert (mixed[1:] <= mixed[:-1]).all() and (mixed[-1] >= packets.arrived).all()
    replies = mixing.answers(there, packets, 50e6, LINK, numbers(6, "replies"))
    assert len(replies) == packets.arrived.sum()


def test_the_active_set_follows_traffic_by_the_protocols_rule() -> None:
    rng = numbers(9, "active")
    sizes = [
        sum(len(layer) for layer in mixing.drawn(1000, rate, MAIN, rng))
        for rate in (40.0, 30_000.0, 4e6)
    ]
    assert 16 <= sizes[0] < 60 and 400 < sizes[1] < 700 and sizes[2] == 1000
    assert [len(layer) for layer in mixing.drawn(15, 40.0, MAIN, rng)] == [15, 15]


@pytest.mark.parametrize(
    ("depth", "delay", "bits"), [(1, 0.9, 10.256), (3, 0.8 / 3, 13.046), (10, 0.045, 11.473)]
)
def test_closed_forms_give_the_figures_of_the_specification(
    depth: int, delay: float, bits: float
) -> None:
    assert theory.layers(5000, depth, 10, delay) == pytest.approx(bits, abs=1e-3)


def test_closed_forms_agree_with_each_other() -> None:
    assert theory.erlang_entropy(1, 0.5) == pytest.approx(math.log2(math.e * 0.5))
    n, k, later = 10, 6, 5
    assert n * theory.old_packet(n, k, later) + later * theory.new_packet(
        k, later
    ) == pytest.approx(1)
    for shape in (1.0, 3.0, 4.92):
        for share in (0.05, 0.5, 0.99):
            assert theory.gamma_cdf(theory.gamma_quantile(share, shape), shape) == pytest.approx(
                share
            )
    assert theory.gamma_quantile(0.5, 1) == pytest.approx(math.log(2))
    assert theory.latency_quantile(0.95, 3, 0.5) == pytest.approx(3.1479, abs=1e-4)
    assert theory.person_entropy(8, 4.0, 3, 0.5) == 3.0
    with pytest.raises(ValueError, match="share"):
        theory.gamma_quantile(1.0, 3)


@pytest.mark.parametrize("target", validation.TARGETS[2:], ids=lambda target: target.id)
def test_figures_of_other_simulators_and_of_loopix_are_met(target: Target) -> None:
    outcomes = target.measure(Effort.REDUCED, SEED)
    assert outcomes and all(outcome.passed for outcome in outcomes), outcomes
    assert all(outcome.id.startswith(target.id) and outcome.source for outcome in outcomes)


def test_layers_with_corrupt_mixes_lie_between_honest_ones_and_fewer_of_them() -> None:
    honest = theory.layers(5000.0, 3, 10, 0.2)
    assert theory.corrupt_layers(5000.0, 3, 10, 0, 0.2) == pytest.approx(honest, abs=1e-3)
    bits = [theory.corrupt_layers(5000.0, 3, 10, corrupt, 0.2) for corrupt in range(11)]
    assert bits == sorted(bits, reverse=True) and bits[10] == 0
    one = 0.9 * theory.one_mix(500.0, 0.2)
    assert theory.corrupt_layers(5000.0, 1, 10, 1, 0.2) == pytest.approx(one, abs=1e-3)
