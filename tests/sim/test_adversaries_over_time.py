"""Adversaries that look at many rounds and occasions."""

import numpy
import pytest
from numpy.typing import NDArray

from shoal_protocol.errors import UserError
from shoal_sim.adversaries import base, registry
from shoal_sim.adversaries.base import Ints, Question
from shoal_sim.seeds import numbers

SECOND = 1_000_000_000
RELAY = 1  # how many: all events pass one


def watched(
    people: int,
    up: tuple[Ints, Ints],
    down: tuple[Ints, Ints],
    question: Question,
    targets: list[int],
    shown: tuple[Ints, Ints] | None = None,
) -> base.Observation:
    """Return the observation of packets up and down (times, people), each person on one link."""
    times = numpy.concatenate([up[0], down[0]])
    who = numpy.concatenate([up[1], down[1]])
    way = numpy.repeat([base.UP, base.DOWN], [len(up[0]), len(down[0])])
    order = numpy.argsort(times, kind="stable")
    links = base.Links(
        numpy.arange(people, dtype=numpy.int32),
        numpy.full(people, people, dtype=numpy.int32),
        numpy.zeros(people, dtype=numpy.int64),
    )
    events = base.Events(
        times[order],
        who[order].astype(numpy.int32),
        numpy.full(len(order), 3072, dtype=numpy.int32),
        way[order].astype(numpy.int8),
    )
    at, names = shown or (numpy.empty(0, numpy.int64), numpy.empty(0, numpy.int64))
    return base.Observation(
        people, RELAY, links, events, question, numpy.array(targets), shown_at=at, shown=names
    )


def chatter(
    people: int, length_s: int, seed: int, *, rate: float = 0.1
) -> tuple[tuple[Ints, Ints], tuple[Ints, Ints], NDArray[numpy.int64]]:
    """Return what people without cover send, and get half a second later, each from one other."""
    rng = numbers(seed, "chatter")
    size = rng.poisson(people * rate * length_s)
    times = numpy.sort(rng.integers(0, length_s * SECOND, size))
    sender = rng.integers(0, people, size)
    partner = (numpy.arange(people) + rng.integers(1, people, people)) % people
    often = rng.random(size) < 0.7
    receiver = numpy.where(often, partner[sender], rng.integers(0, people, size))
    return (times, sender), (times + SECOND // 2, receiver), partner


@pytest.mark.parametrize("name", ["statistical_disclosure", "least_squares"])
def test_partners_of_people_without_cover_stand_out_over_many_rounds(name: str) -> None:
    up, down, partner = chatter(40, 4_000, 1)
    seen = watched(40, up, down, Question.PARTNERS, list(range(20)))
    believed = registry.make(name, round_s=1.0, lag_s=0.5).infer(seen, numbers(1, "infer"))
    assert (believed.guesses(20) == partner[:20]).mean() > 0.9


def test_partners_of_people_who_send_without_regard_to_talk_stay_hidden() -> None:
    rng = numbers(2, "cover")
    people, length_s = 40, 4_000
    _, down, partner = chatter(people, length_s, 2)
    size = people * length_s // 10
    cover = numpy.sort(rng.integers(0, length_s * SECOND, size))
    seen = watched(
        people, (cover, rng.integers(0, people, size)), down, Question.PARTNERS, list(range(40))
    )
    adversary = registry.make("statistical_disclosure", round_s=1.0, lag_s=0.5)
    assert (adversary.infer(seen, rng).guesses(40) == partner).mean() < 0.15


def test_rounds_that_are_too_few_or_too_many_are_refused_in_a_sentence() -> None:
    up, down, _ = chatter(10, 100, 3)
    seen = watched(10, up, down, Question.PARTNERS, [0])
    with pytest.raises(UserError, match="a round at least"):
        registry.make("statistical_disclosure", round_s=1e6).infer(seen, numbers(3, "infer"))
    with pytest.raises(UserError, match="make rounds longer"):
        registry.make("statistical_disclosure", round_s=1e-6).infer(seen, numbers(3, "infer"))


def comings(people: int, seed: int) -> tuple[tuple[Ints, Ints], NDArray[numpy.bool_]]:
    """Return who is there in each of 60 minutes, each in half of them, a packet a second."""
    rng = numbers(seed, "comings")
    there = rng.random((60, people)) < 0.5
    minute, who = numpy.nonzero(there)
    times = (minute[:, None] * 60 + numpy.arange(60)).ravel() * SECOND
    who = numpy.repeat(who, 60)
    order = numpy.argsort(times, kind="stable")
    return (times[order], who[order]), there


NO_DOWN = (numpy.empty(0, numpy.int64), numpy.empty(0, numpy.int64))


def test_whoever_was_there_at_every_occasion_is_found_after_log2_people_of_them() -> None:
    up, there = comings(500, 4)
    owner = 123
    minutes = numpy.flatnonzero(there[:, owner])
    for occasions, suspects in ((3, 50), (20, 1)):
        at = (minutes[:occasions] * 60 + 59) * SECOND
        names = numpy.full(occasions, 9)
        seen = watched(500, up, NO_DOWN, Question.OWNER, [9], (at, names))
        who, weight = (
            registry.make("intersection", window_s=30.0).infer(seen, numbers(4, "infer")).of(0)
        )
        assert owner in who
        assert len(who) <= 2 * suspects
        assert weight.max() == pytest.approx(1 / len(who))


def test_an_occasion_that_misleads_costs_only_who_counts_no_mistakes() -> None:
    up, there = comings(200, 5)
    owner = 7
    minutes = numpy.append(
        numpy.flatnonzero(there[:, owner])[:20], numpy.flatnonzero(~there[:, owner])[:1]
    )
    at = numpy.sort(minutes * 60 + 59) * SECOND
    seen = watched(200, up, NO_DOWN, Question.OWNER, [1, 2], (at, numpy.full(21, 1)))
    strict = registry.make("intersection", window_s=30.0).infer(seen, numbers(5, "infer"))
    lenient = registry.make("intersection", window_s=30.0, mistakes=0.1).infer(
        seen, numbers(5, "infer")
    )
    assert owner not in strict.of(0)[0]
    assert lenient.guesses(2).tolist() == [owner, base.NOBODY]


def test_pauses_of_a_pseudonym_tell_whose_relay_was_stopped() -> None:
    people, relays, turns = 64, 16, 40
    rng = numbers(6, "churn")
    adversary = registry.make("churn", share=0.5, turn_s=60.0)
    plan = adversary.prepare(base.Surface(people, relays, turns * 60 * SECOND), rng)
    off = numpy.zeros((turns, relays), dtype=numpy.bool_)
    for relay, begin, _ in plan.stopped:
        off[begin // (60 * SECOND), relay] = True
    guard = numpy.arange(people) % relays
    turn, who = numpy.nonzero(~off[:, guard])
    times = ((turn * 60)[:, None] + numpy.arange(0, 60, 2)).ravel() * SECOND
    who = numpy.repeat(who, 30)
    owner = 37
    shown_at = times[(who == owner) & (rng.random(len(times)) < 0.2)]
    seen = watched(
        people, (times, who), NO_DOWN, Question.OWNER, [3],
        (numpy.sort(shown_at), numpy.full(len(shown_at), 3)),
    )  # fmt: skip
    suspects, weight = adversary.infer(seen, rng).of(0)
    # Those behind the same guard cannot be told apart.
    assert set(suspects[:4].tolist()) == set(numpy.flatnonzero(guard == guard[owner]).tolist())
    assert weight[:4].sum() > 0.99


def test_who_holds_all_that_is_nearest_to_a_key_follows_requests_back() -> None:
    # Person 0 asks through relay 3 at relay 4, the adversary's; person 1 is mixed at relay 3, too.
    links = base.Links(
        numpy.array([0, 1, 3, 3], dtype=numpy.int32),
        numpy.array([3, 3, 4, 2], dtype=numpy.int32),
        numpy.zeros(4, dtype=numpy.int64),
    )
    events = base.Events(
        numpy.arange(4), numpy.arange(4, dtype=numpy.int32),
        numpy.full(4, 3072, dtype=numpy.int32), numpy.zeros(4, dtype=numpy.int8),
    )  # fmt: skip
    nobody = numpy.array([base.NOBODY])
    view = base.View(4, numpy.array([2]), nobody, numpy.array([77]))
    seen = base.Observation(
        3, 2, links, events, Question.OWNER, numpy.array([77, 78]), views=(view,)
    )
    believed = registry.make("eclipse_dht").infer(seen, numbers(7, "infer"))
    assert believed.dense(2, 3).tolist() == [[0.5, 0.5, 0.0], [1 / 3] * 3]
