"""T14: clocks that are off by an epoch or a day, and clocks that went back while a node was off.

The keys' side of it, with replays, is in ``tests/packets``; a person's clock that is off from
the start in ``tests/client/test_person.py``.
"""

from dataclasses import replace

import pytest

import shoal_sim.exact.world
from client.meeting import create, incoming, outgoing, personas, write
from shoal_protocol import parameters
from shoal_protocol.client.personas import Persona
from shoal_protocol.clock import SECOND
from shoal_sim.exact.people import Person
from shoal_sim.exact.world import World
from support import START

EPOCH_S = 60
DAY_S = 86_400
# Leases outlast an epoch here, as they must for a clock that is one epoch off to see relays.
PARAMS = replace(shoal_sim.exact.world.PARAMS, name="short epochs", epoch_s=EPOCH_S, lease_s=600)


# The main network's times; what a laboratory has no use for is left out.
MAIN_TIMES = replace(
    shoal_sim.exact.world.PARAMS,
    name="main's times",
    epoch_s=parameters.MAIN.epoch_s,
    lease_s=parameters.MAIN.lease_s,
    clock_skew_s=parameters.MAIN.clock_skew_s,
)


def again(person: Person, seconds: int) -> Persona:
    """Start a node again whose clock is off by so much; returns its persona of before."""
    person.crash()
    person.wall_offset = seconds * SECOND
    person.start()
    return person.machine.people.personas()[0]


def met(world: World) -> tuple[Persona, Persona]:
    """Let both people know each other."""
    ada, bob = world.people
    a, b = personas(world)
    write(ada, a, b, "hello")
    assert world.run(60, lambda: len(incoming(b)) == 1)
    write(bob, b, a, "hello to you")
    assert world.run(60, lambda: len(incoming(a)) == 1)
    return a, b


@pytest.mark.parametrize("seconds", [-EPOCH_S, EPOCH_S])
def test_a_clock_that_jumped_by_an_epoch_between_two_runs_loses_nothing(seconds: int) -> None:
    """T14: backward or forward by an epoch, messages go both ways, once and in order."""
    world = World(6, 2, seed=f"jump {seconds}", params=PARAMS)
    world.run(90)  # relays just begun have no key of the epoch before
    a, b = met(world)
    ada, bob = world.people
    a = again(ada, seconds)
    for number in range(3):
        write(ada, a, b, f"ebb {number}")
        write(bob, b, a, f"tide {number}")
    assert world.run(90, lambda: len(incoming(a)) == len(incoming(b)) == 4)
    a = again(ada, 0)
    write(ada, a, b, "set right")
    assert world.run(90, lambda: len(incoming(b)) == 5)
    for mine, theirs in ((a, b), (b, a)):
        assert [m.text for m in incoming(theirs)] == [m.text for m in outgoing(mine)]


@pytest.mark.parametrize("hours", [-1, 1])
def test_with_the_main_networks_leases_a_clock_off_by_an_hour_works_too(hours: int) -> None:
    """T14: leases of a quarter of an hour are out of time by it, and tell the time together."""
    world = World(6, 2, seed=f"an hour {hours}", params=MAIN_TIMES)
    a, b = met(world)
    ada, bob = world.people
    for person in world.people:
        person.crash()
    # Relays just begun have no key of the epoch before, and say the next one's after an eighth.
    world.run(MAIN_TIMES.epoch_s * 7 // 6)
    bob.start()
    a = again(ada, hours * MAIN_TIMES.epoch_s)
    b = bob.machine.people.personas()[0]
    for number in range(3):
        write(ada, a, b, f"ebb {number}")
        write(bob, b, a, f"tide {number}")
    assert world.run(180, lambda: len(incoming(a)) == len(incoming(b)) == 4)
    off = ada.view.time.ahead + hours * MAIN_TIMES.epoch_s * SECOND
    assert abs(off) < MAIN_TIMES.clock_skew_s * SECOND
    assert bob.view.time.ahead == 0


@pytest.mark.parametrize("seconds", [-DAY_S, DAY_S])
def test_a_clock_that_jumped_by_a_day_fails_closed_and_all_goes_on_once_it_is_right(
    seconds: int,
) -> None:
    """T14: not one packet leaves by a wrong day's clock, and what others say waits."""
    world = World(6, 2, seed=f"day {seconds}")
    a, b = met(world)
    ada, bob = world.people
    a = again(ada, seconds)
    bob.crash()
    crossed = world.crossings["person", "relay"]
    world.run(60)
    assert world.crossings["person", "relay"] == crossed
    assert (ada.machine.ready, ada.machine.relays) == (False, 0)
    bob.start()
    b = bob.machine.people.personas()[0]
    write(bob, b, a, "are you there")
    world.run(10)
    assert len(incoming(a)) == 1
    a = again(ada, 0)
    write(ada, a, b, "here again")
    assert world.run(120, lambda: len(incoming(b)) == len(incoming(a)) == 2)
    for mine, theirs in ((a, b), (b, a)):
        assert [m.text for m in incoming(theirs)] == [m.text for m in outgoing(mine)]


def test_a_relay_whose_clock_went_back_by_a_day_is_left_out_until_it_is_right() -> None:
    """T14: it publishes nothing older than it has, people talk over the others, none lost."""
    world = World(7, 2, seed="a relay of yesterday")
    a, b = met(world)
    ada, bob = world.people
    wrong = world.relays[0]
    version = wrong.version
    wrong.crash()
    wrong.wall_offset = -DAY_S * SECOND
    wrong.start()
    world.run(world.params.lease_s + 5)
    assert wrong.id not in {relay.relay_id for relay in ada.view.relays(ada.now())}
    assert wrong.version == version
    for number in range(3):
        write(ada, a, b, f"ebb {number}")
        write(bob, b, a, f"tide {number}")
    assert world.run(90, lambda: len(incoming(a)) == len(incoming(b)) == 4)
    wrong.crash()
    wrong.wall_offset = 0
    wrong.start()
    world.run(10)
    assert wrong.id in {relay.relay_id for relay in ada.view.relays(ada.now())}


def test_a_persona_made_by_a_clock_ahead_of_midnight_is_found_on_the_day_before() -> None:
    """Its first day is tomorrow; set right, its node announces today, and reads today's inbox."""
    midnight = (START // (DAY_S * SECOND) + 1) * DAY_S * SECOND
    world = World(6, 2, seed="ahead of midnight", start=midnight - 240 * SECOND)
    ada, bob = world.people
    bob.crash()
    bob.wall_offset = 300 * SECOND
    bob.start()
    b = create(bob)
    world.run(20)
    b = again(bob, 0)
    a = create(ada)
    write(ada, a, b, "before midnight")
    assert world.run(120, lambda: len(incoming(b)) == 1)
    assert world.now < midnight
