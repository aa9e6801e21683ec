"""How long an answer may be under way: measured, doubled while nothing answers, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from client.meeting import incoming, personas, welcome, write
from shoal_protocol import clock
from shoal_protocol.client.patience import FIRST, LEAST, MOST, Patience
from shoal_sim.exact.links import Weather
from shoal_sim.exact.world import PARAMS, World
from support import START

LINKS = 2 * (PARAMS.path_mixes + 1)


def test_the_margin_settles_on_what_links_take_and_a_little() -> None:
    patience = Patience()
    assert patience.margin == FIRST
    for number in range(100):
        patience.answered(1600 * clock.MILLISECOND + number % 10 * 10 * clock.MILLISECOND)
    assert 1650 * clock.MILLISECOND < patience.margin < 1900 * clock.MILLISECOND
    for _ in range(100):
        patience.answered(5 * clock.MILLISECOND)
    assert patience.margin == LEAST


def test_the_margin_doubles_while_nothing_answers_once_in_its_own_time() -> None:
    patience = Patience()
    for _ in range(100):
        patience.answered(0)
    now, margins = START, list[int]()
    for _ in range(400):
        patience.overdue(now)
        margins.append(patience.margin)
        now += 100 * clock.MILLISECOND
    assert margins[:10] == [2 * LEAST] * 10
    assert sorted(set(margins)) == [2 * LEAST, 4 * LEAST, 8 * LEAST, MOST]
    patience.answered(0)
    assert patience.margin == LEAST


@given(st.lists(st.none() | st.integers(-(2**62), 2**62), max_size=60))
def test_whatever_relays_do_the_margin_keeps_its_bounds(beyond: list[int | None]) -> None:
    patience = Patience()
    for number, one in enumerate(beyond):
        if one is None:
            patience.overdue(START + number * clock.SECOND)
        else:
            patience.answered(one)
        assert LEAST <= patience.margin <= MOST


def test_links_slower_than_anything_foreseen_are_waited_for() -> None:
    """Eight links of half a second: a fixed allowance would take every answer for lost."""
    world = World(8, 2, seed="slow links")
    ada, bob = world.people
    a, b = personas(world)
    welcome(bob, b)
    write(ada, a, b, "first")
    assert world.run(30, lambda: len(incoming(b)) == 1)
    world.links.weather = Weather(500, 500)
    world.run(30)
    before = sum(person.machine.counters["overdue"] for person in world.people)
    write(ada, a, b, "slow")
    assert world.run(30, lambda: len(incoming(b)) == 2)
    write(bob, b, a, "and back")
    assert world.run(30, lambda: len(incoming(a)) == 1)
    world.run(30)
    overdue = sum(person.machine.counters["overdue"] for person in world.people) - before
    assert overdue < 20
