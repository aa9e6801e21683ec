"""Whole networks: nothing of a stranger's stream is asked for before the person accepts."""

from collections.abc import Callable

import pytest

from client.meeting import accept, create, incoming, outgoing, texts, write
from shoal_protocol.client.association import WINDOW, Association
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.personas import Persona
from shoal_protocol.service.storage import GetBox, Operation, PutBox
from shoal_protocol.streams import box
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.watch import Watcher
from shoal_sim.exact.world import World

LONG = "more than a first contact takes " * 100
Answer = Callable[[Person, Persona, Persona], None]


class Eyes(Watcher):
    """Every relay in one hand: addresses that are asked for, and those that are put."""

    def __init__(self) -> None:
        self.asked_for: set[bytes] = set()
        self.put: list[bytes] = []

    def asked(self, relay: Relay, operation: Operation) -> None:
        """Note an address."""
        if isinstance(operation, GetBox):
            self.asked_for.add(operation.address)
        elif isinstance(operation, PutBox):
            self.put.append(operation.record)


def talk_of(persona: Persona) -> Correspondence:
    (talk,) = persona.conversations.values()
    return talk


def addresses(association: Association) -> set[bytes]:
    """Return where a stranger's boxes may lie."""
    days = range(association.day - 1, association.day + 3)
    return {association.address(index, day) for index in range(2 * WINDOW) for day in days}


def begin(first: str) -> tuple[World, Eyes, Persona, Persona, set[bytes]]:
    """Let a stranger write much to somebody; returns where its boxes may lie."""
    eyes = Eyes()
    world = World(8, 2, seed=f"strangers {len(first)}", watcher=eyes)
    ada, bob = world.people
    a, b = create(ada), create(bob)
    write(ada, a, b, first)
    assert world.run(60, lambda: bool(b.owners))
    for number in range(6):
        write(ada, a, b, f"and {number} {LONG if number == 3 else ''}")
        world.run(10)
    (association,) = [association for _, association in b.owners.values()]
    return world, eyes, a, b, addresses(association)


def answer(bob: Person, b: Persona, a: Persona) -> None:
    write(bob, b, a, "welcome")


def send_file(bob: Person, b: Persona, a: Persona) -> None:
    people = bob.machine.people
    bob.do(
        lambda: people.send_file(talk_of(b), "", b"a file", "a", "text/plain", bob.now()),
        lambda _: None,
    )


@pytest.mark.parametrize("first", ["may I?", LONG])
@pytest.mark.parametrize("taken_up", [lambda bob, b, _: accept(bob, b), answer, send_file])
def test_no_relay_is_asked_for_a_box_of_a_stranger_before_the_person_accepts_and_then_all_comes(
    first: str, taken_up: Answer
) -> None:
    world, eyes, a, b, theirs = begin(first)
    _, bob = world.people
    assert any(record[: box.ADDRESS_LENGTH] in theirs for record in eyes.put)
    assert not eyes.asked_for & theirs
    assert texts(b) == ([first] if first != LONG else [])
    mine = {association.address for _, association in a.owners.values()}
    assert len(mine) == 1  # ada's own reading of an answer goes on
    bob.crash()
    world.run(5)
    bob.start()
    (b,) = bob.machine.people.personas()
    world.run(120)
    assert talk_of(b).state == "request"
    assert not eyes.asked_for & theirs
    assert len(bob.machine.outbox) == 0  # neither acknowledgement nor tombstone, nor a nudge
    assert all(m.state is not MessageState.FETCHED for m in outgoing(a))
    taken_up(bob, b, a)
    assert world.run(90, lambda: len(incoming(b)) == 7)
    assert texts(b)[0] == first
    assert eyes.asked_for & theirs
    assert world.run(90, lambda: {m.state for m in outgoing(a)} == {MessageState.FETCHED})


def test_a_request_that_is_ignored_or_blocked_is_never_read() -> None:
    for decide in ("ignore", "block"):
        world, eyes, _, b, theirs = begin("may I?")
        _, bob = world.people
        people = bob.machine.people
        getattr(people, decide)(talk_of(b), bob.now())
        world.run(60)
        assert not eyes.asked_for & theirs
