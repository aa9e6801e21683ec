"""Adversaries that look at wires and relays: against the tracer, small cases, and plug-ins."""

import numpy
import pytest

from shoal_protocol.errors import UserError
from shoal_sim import metrics, scenario
from shoal_sim.adversaries import base, judging, pools, registry, watching
from shoal_sim.adversaries.base import NOBODY, Question
from shoal_sim.seeds import numbers
from shoal_sim.vector import model, tracing
from sim.adversary_support import MILLISECOND, layered

NOTHING = numpy.empty(0, dtype=numpy.int64)


def wires(
    ends: list[tuple[int, int]], times: list[int], latency: int = 0
) -> tuple[base.Links, base.Events]:
    """Return events, each on a link of its own."""
    first, second = (numpy.array(end, dtype=numpy.int32) for end in zip(*ends, strict=True))
    count = len(ends)
    return (
        base.Links(first, second, numpy.full(count, latency, dtype=numpy.int64)),
        base.Events(
            numpy.array(times, dtype=numpy.int64),
            numpy.arange(count, dtype=numpy.int32),
            numpy.full(count, 3072, dtype=numpy.int32),
            numpy.zeros(count, dtype=numpy.int8),
        ),
    )


@pytest.mark.parametrize("question", [Question.RECEIVER, Question.SENDER])
@pytest.mark.parametrize("corrupt", [0, 1, 3, 4])
def test_events_and_views_tell_what_the_tracer_finds_of_whole_ways(
    question: Question, corrupt: int
) -> None:
    there, packets = layered(1, corrupt)
    targets = numpy.flatnonzero((packets.begin > 0) & (packets.begin < 50 * MILLISECOND))[:12]
    watched = watching.watch([packets], there, question, targets)
    way, person = packets.way(there), packets.other
    if question is Question.SENDER:
        way, person = way.backwards(), packets.person
    said = tracing.settle(tracing.follow(way, targets, person, 30, compiled=False))
    found = pools.trace(watched.observation)
    assert numpy.allclose(found[:, :30], said, atol=1e-9)
    assert found[:, 30:].sum() == 0
    assert (found[numpy.arange(len(targets)), watched.answers] > 0).all()


def test_a_posterior_is_calibrated_and_corrupt_relays_take_bits_away() -> None:
    bits = []
    for corrupt in (0, 2, 4):
        there, packets = layered(2, corrupt)
        targets = numpy.flatnonzero((packets.begin > 0) & (packets.begin < 100 * MILLISECOND))[:40]
        watched = watching.watch([packets], there, Question.RECEIVER, targets)
        believed = registry.make("corrupt_relays").infer(watched.observation, numbers(2, "infer"))
        guess = metrics.guess(believed.dense(len(targets), 42), watched.answers)
        bits.append(guess.entropy_bits)
        assert guess.surprise_bits == pytest.approx(guess.entropy_bits, abs=0.6)
    assert bits[0] > 3.5
    assert bits[0] > bits[1] > bits[2] == 0.0


def test_ground_truth_is_nowhere_in_what_an_adversary_is_given() -> None:
    there, packets = layered(3)
    targets = numpy.arange(100, 110)
    one = watching.watch([packets], there, Question.RECEIVER, targets)
    assert not {"answers", "event_of"} & set(base.Observation.__slots__)
    assert one.observation.views == ()
    assert (one.observation.events.size == 3072).all()


def test_packets_that_are_lost_on_a_link_leave_no_event_behind_it() -> None:
    there, packets = layered(4, corrupt=1, lost=0.3)
    watched = watching.watch([packets], there, Question.RECEIVER, numpy.arange(5))
    assert packets.links is not None
    entered = (watched.event_of[0] != NOBODY).sum(axis=0)
    assert (entered == numpy.minimum(packets.links + 1, 4)).all()
    assert len(watched.observation.events) == entered.sum()
    pools.trace(watched.observation)


def test_two_packets_in_a_pool_are_alike_likely_and_a_third_that_came_later_is_not() -> None:
    # 0 and 1 send to relay 4; one leaves to 2; then 3 sends, and two more leave, to 3 and 2.
    links, events = wires([(0, 4), (1, 4), (4, 2), (3, 4), (4, 3), (4, 2)], [0, 1, 2, 3, 4, 5])
    seen = base.Observation(4, 1, links, events, Question.RECEIVER, numpy.array([0, 3]))
    found = pools.trace(seen)
    assert found[0].tolist() == [0, 0, 0.75, 0.25, 0]
    assert found[1].tolist() == [0, 0, 0.5, 0.5, 0]


def test_what_was_in_a_relay_before_anybody_watched_is_counted() -> None:
    links, events = wires([(0, 3), (3, 1), (3, 2)], [0, 1, 2])
    seen = base.Observation(3, 1, links, events, Question.RECEIVER, numpy.array([0]))
    assert pools.trace(seen)[0].tolist() == [0, 0.5, 0.5, 0]


def test_two_corrupt_relays_in_a_row_are_one_packet_and_the_last_may_see_its_end() -> None:
    # 0 ─ relay 2 ─ relay 3 (both corrupt) ─ relay 4 ─ 1; another packet ends at relay 3.
    links, events = wires([(0, 2), (2, 3), (3, 4), (1, 3), (4, 1)], [0, 1, 2, 3, 4])
    views = (
        base.View(2, numpy.array([0]), numpy.array([1]), numpy.array([NOBODY])),
        base.View(3, numpy.array([1, 3]), numpy.array([2, NOBODY]), numpy.array([NOBODY, 7])),
    )
    seen = base.Observation(
        2, 3, links, events, Question.RECEIVER, numpy.array([0, 3, 0]), views=views
    )
    assert pools.trace(seen).tolist() == [
        [0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0],
    ]


def test_n_minus_1_leaves_a_target_alone_with_packets_that_the_adversary_knows_again() -> None:
    adversary = registry.make("n_minus_1", relays=1, length_s=2.0)
    plan = adversary.prepare(base.Surface(4, 1, 10**10), numbers(1, "plan"))
    assert plan.blocked == ((0, 0, 2 * 10**9, 1.0),)
    # 3 is the adversary: its two packets go in and come out to it; 0's goes to 2.
    links, events = wires([(3, 4), (0, 4), (3, 4), (4, 3), (4, 2), (4, 3)], [0, 1, 2, 3, 4, 5])
    targets, own = numpy.array([1]), numpy.array([0, 2, 3, 5])
    alone = base.Observation(4, 1, links, events, Question.RECEIVER, targets, own=own)
    mixed = base.Observation(4, 1, links, events, Question.RECEIVER, targets)
    assert adversary.infer(alone, numbers(1, "infer")).of(0)[0].tolist() == [2]
    assert len(adversary.infer(mixed, numbers(1, "infer")).of(0)[0]) == 2


def test_relays_and_identities_are_chosen_as_told() -> None:
    surface = base.Surface(100, 50, 10**9, dht_k=20)
    rng = numbers(5, "plan")
    assert len(registry.make("corrupt_relays", share=0.2).prepare(surface, rng).corrupt) == 10
    assert len(registry.make("corrupt_relays", count=7).prepare(surface, rng).corrupt) == 7
    assert registry.make("sybil_directory", share=0.5).prepare(surface, rng).added == 50
    assert registry.make("sybil_directory", added=40, admitted=0.25).prepare(
        surface, rng
    ).added == 10  # fmt: skip
    assert registry.make("eclipse_dht").prepare(surface, rng).ground == 1_418
    assert registry.make("global_passive").prepare(surface, rng) == base.Plan()
    stopped = registry.make("churn", share=0.1, turn_s=0.5).prepare(surface, rng).stopped
    assert len(stopped) == 10
    assert {(begin, end) for _, begin, end in stopped} == {(0, 5 * 10**8), (5 * 10**8, 10**9)}


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("nobody", {}, "There is no adversary nobody; there are churn, "),
        ("corrupt_relays", {"part": 0.1}, "can't be made with these keys"),
        ("corrupt_relays", {"share": 1.5}, "a share from 0 to 1"),
        ("sybil_directory", {"share": 1.0}, "a share below 1"),
        ("n_minus_1", {"share": -1.0}, "a share from 0 to 1"),
        ("intersection", {"window_s": 0.0}, "a window above 0"),
        ("statistical_disclosure", {"round_s": 0.0}, "longer than nothing"),
        ("eclipse_dht", {"chance": 1.0}, "between 0 and 1"),
        ("churn", {"share": 1.0}, "a share below 1"),
    ],
)
def test_an_adversary_with_wrong_keys_is_refused_in_a_sentence(
    name: str, keys: dict[str, float], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        registry.make(name, **keys)


def test_every_adversary_that_is_shipped_can_be_made_and_asked_of_nothing() -> None:
    assert set(registry.SHIPPED) <= set(registry.names())
    links, events = wires([(0, 2), (2, 1)], [0, 10**11])
    for name in registry.SHIPPED:
        adversary = registry.make(name)
        assert isinstance(adversary, base.Adversary)
        seen = base.Observation(2, 1, links, events, Question.PARTNERS, NOTHING)
        assert len(adversary.infer(seen, numbers(6, "infer")).target) == 0


def test_a_posterior_that_is_none_is_refused() -> None:
    one = numpy.array([0], dtype=numpy.int64)
    with pytest.raises(ValueError, match="sum to 1"):
        base.Posterior(one, one, numpy.array([0.5]))
    with pytest.raises(ValueError, match="not negative"):
        base.Posterior(one, one, numpy.array([-1.0]))
    with pytest.raises(ValueError, match="one length"):
        base.Posterior(one, NOTHING, numpy.array([1.0]))
    with pytest.raises(ValueError, match="in the order"):
        wires([(0, 1), (0, 1)], [1, 0])


def test_a_posterior_adds_up_rows_and_knows_its_guesses() -> None:
    target = numpy.array([1, 1, 1, 0, 3], dtype=numpy.int64)
    candidate = numpy.array([5, 2, 5, 4, 0], dtype=numpy.int64)
    believed = base.posterior(target, candidate, numpy.array([1.0, 2.5, 2.0, 0.0, 1.0]))
    assert believed.of(1)[0].tolist() == [5, 2]
    assert believed.of(0)[0].tolist() == []
    assert believed.guesses(4).tolist() == [NOBODY, 5, NOBODY, 0]
    assert believed.dense(4, 6)[0].tolist() == [1 / 6] * 6
    assert base.posterior(NOTHING, NOTHING, numpy.empty(0)).guesses(2).tolist() == [NOBODY] * 2


@pytest.mark.parametrize("question", [Question.RECEIVER, Question.SENDER])
def test_blocking_what_comes_to_relays_takes_others_away_and_lets_targets_through(
    question: Question,
) -> None:
    there, packets = layered(9)
    targets = numpy.flatnonzero((packets.begin > 0) & (packets.begin < 20 * MILLISECOND))[:8]
    bits = []
    for share in (0.0, 0.5, 1.0):
        plan = [(relay, -(10**9), 10**10, share) for relay in range(12)]
        left, held = watching.held_back(packets, there, plan, targets, numbers(9, "block"))
        watched = watching.watch([left], there, question, targets, held=[held])
        assert len(watched.observation.held) == len(held)
        judged = judging.judge(registry.make("n_minus_1"), watched, numbers(9, "judge"))
        bits.append(judged.entropy_bits)
        assert judged.surprise_bits < bits[0] + 0.5
    assert bits[0] > bits[1] > bits[2]
    assert bits[2] <= 3.0  # eight targets are all that is left


def test_an_n_minus_1_attack_in_a_scenario_leaves_fewer_bits() -> None:
    text = 'question = "n-1?"\n[network]\npeople = 30\nrelays = 6\n[time]\nlength_s = 2.0\n'
    seed = 3  # a target that comes when pools are empty, some tenths of a second after the start
    watched, blocked = (
        model.simulate(scenario.parse(text + "[adversary]\n" + keys), seed).metrics
        for keys in ('name = "global_passive"\n', 'name = "n_minus_1"\nrelays = 0\n')
    )
    name = "adversary_sender_entropy_bits"
    assert blocked[name] == 0.0 < watched[name]
