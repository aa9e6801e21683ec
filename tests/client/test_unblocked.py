"""A stranger who was blocked, unblocked and accepted is heard and answered within seconds."""

from collections.abc import Callable

import pytest

from client.meeting import accept, personas, texts, write
from client.neighbours import met, pair, pass_on, settle
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.personas import Persona
from shoal_sim.exact.people import Person
from shoal_sim.exact.world import World
from support import START


def each(person: Person, persona: Persona, what: Callable[[Correspondence], object]) -> None:
    """Let a person do something with each contact."""

    def do() -> None:
        for talk in list(persona.conversations.values()):
            what(talk)

    person.do(do, lambda _: None)


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("between", [1, 40])
def test_whoever_was_blocked_and_is_accepted_after_all_is_heard_at_once(
    between: int, answers: bool
) -> None:
    world = World(8, 2, seed=f"unblocked {between}")
    alice, bob = world.people
    a, b = personas(world)
    write(alice, a, b, "hello")
    assert world.run(60, lambda: texts(b) == ["hello"])
    people = bob.machine.people
    each(bob, b, lambda talk: people.block(talk, bob.now()))
    world.run(between)
    write(alice, a, b, "are you there?")
    world.run(between)
    each(bob, b, lambda talk: people.unblock(talk, bob.now()))
    world.run(between)
    if answers:
        write(bob, b, a, "now I am")
    else:
        accept(bob, b)
    assert world.run(10, lambda: texts(b) == ["hello", "are you there?"])
    write(alice, a, b, "good")
    write(bob, b, a, "indeed")
    assert world.run(10, lambda: texts(b)[-1:] == ["good"] and texts(a)[-1:] == ["indeed"])
    assert texts(b) == ["hello", "are you there?", "good"]
    world.run(20)
    for persona in (a, b):
        (talk,) = persona.conversations.values()
        assert {m.state for m in talk.history if m.outgoing} == {MessageState.FETCHED}


def test_what_was_written_over_a_session_that_the_contact_left_goes_over_the_one_it_begins() -> (
    None
):
    ada, bob = pair()
    ada.write(bob, "hello", START)
    ada.write(bob, "and more", START)
    pass_on(ada, bob, START)
    talk = bob.talk(ada)
    bob.people.block(talk, START)
    bob.commit()
    bob.people.unblock(talk, START)
    bob.people.accept(talk, START)
    now = settle(ada, bob, START)
    assert bob.got() == ["hello", "and more"]
    assert set(ada.states()) == {MessageState.FETCHED}
    bob.write(ada, "at last", now)
    settle(ada, bob, now)
    assert ada.got() == ["at last"]


def test_accepting_a_request_whose_session_is_there_begins_no_other() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    bob.accept(START)
    assert bob.people.lookup_due(START) is None
    settle(ada, bob, START)
    assert len(bob.associations()) == len(ada.associations()) == 1


def test_two_who_begin_at_once_show_all_once_and_settle_on_one_session() -> None:
    ada, bob = pair()
    ada.write(bob, "from ada", START)
    bob.write(ada, "from bob", START)
    ada.write(bob, "more from ada", START)
    bob.write(ada, "more from bob", START)
    now = settle(ada, bob, START)
    assert bob.got() == ["from ada", "more from ada"]
    assert ada.got() == ["from bob", "more from bob"]
    assert set(ada.states() + bob.states()) == {MessageState.FETCHED}
    over = set()
    for one, other in ((ada, bob), (bob, ada)):
        one.write(other, "later", now)
        one.commit()
        over |= {fresh.session for fresh in one.outgoing() if fresh.message}
    assert len(over) == 1


def test_who_was_accepted_is_heard_again_after_a_block() -> None:
    ada, bob, now = met()
    talk = bob.talk(ada)
    bob.people.block(talk, now)
    bob.commit()
    ada.write(bob, "into the void", now)
    pass_on(ada, bob, now)
    bob.people.unblock(talk, now)
    settle(ada, bob, now)
    assert bob.got() == ["hello", "into the void"]


def test_what_disappears_is_taken_back_on_every_session_that_it_went_over() -> None:
    ada, bob = pair()
    for one, other in ((ada, bob), (bob, ada)):
        one.write(other, "hello", START)
    for one, other in ((ada, bob), (bob, ada)):
        one.people.send(one.talk(other), "not for long", START, expires_s=60)
    settle(ada, bob, START)
    for one in (ada, bob):
        erased = [box.record[:32] for box in one.outbox.records() if box.erases]
        assert len(set(erased)) == 2
