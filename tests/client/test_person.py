"""A person's whole machine: what it sends, what it survives, and clocks that are off."""

from dataclasses import replace

import pytest

from client.meeting import balanced, create, outgoing, personas, texts, welcome, write
from shoal_protocol import clock
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.person import PersonMachine, SendUp
from shoal_protocol.client.personas import Persona
from shoal_protocol.parameters import PRESETS, Preset
from shoal_protocol.pseudonyms import work
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.service.desk import put_challenge
from shoal_protocol.service.messages import Reply, Status
from shoal_sim.exact.people import Person
from shoal_sim.exact.world import PARAMS, World
from support import START, seeded

QUICK = ("inbox_put", "box_put", "dht_put", "dht_get", "echo")


def world_of_minutes(seed: object) -> World:
    """Return a world with epochs of a minute, whose relays have been there for more than one.

    A relay just begun has no key of the epoch before.
    """
    params = replace(PARAMS, epoch_s=60, lease_s=600, name="short epochs")
    world = World(8, 2, seed=str(seed), params=params)
    for person in world.people:
        person.crash()
    world.run(90)
    return world


def begin(person: Person, seconds: int) -> None:
    """Start a node whose clock is off."""
    person.wall_offset = seconds * clock.SECOND
    person.start()


@pytest.mark.parametrize("seconds", [-60, -20, 20, 60])
def test_clocks_an_epoch_apart_from_the_relays_work(seconds: int) -> None:
    """T14: mix keys of the neighbouring epochs are published and accepted."""
    world = world_of_minutes(seconds)
    alice, bob = world.people
    begin(bob, 0)
    begin(alice, seconds)
    a, b = create(alice), create(bob)
    write(alice, a, b, "there")
    assert world.run(20, lambda: texts(b) == ["there"])
    write(bob, b, a, "and back")
    assert world.run(9, lambda: texts(a) == ["and back"])


def test_the_price_of_a_request_is_what_its_record_shows_and_not_what_a_relay_says() -> None:
    world = World(8, 2, seed="price")
    alice, bob = world.people
    a, b = personas(world)
    write(alice, a, b, "let me in")
    assert world.run(60, lambda: texts(b) == ["let me in"])
    (talk,) = b.conversations.values()
    assert talk.price_bits == PARAMS.put_work_bits
    record = world.rng.bytes(2048)
    challenge = put_challenge(record[:32], record, PARAMS.hash)
    nonce = work.solve(challenge, 9, start=0)
    said = Reply(Status.OK, record, effort=9, nonce=nonce)
    machine = bob.machine
    assert machine._paid(record, said) == 9
    assert machine._paid(record, replace(said, effort=40)) == 0
    assert machine._paid(record, replace(said, effort=255)) == 0
    assert machine._paid(bytes(2048), replace(said, effort=30)) == 0
    assert machine._paid(record, Reply(Status.OK, record)) == 0
    assert machine.counters["entry work"] == 3


@pytest.mark.parametrize("seconds", [-86_400, -150, 150, 86_400])
def test_a_clock_that_is_off_by_more_sends_nothing_and_gives_nothing_away(seconds: int) -> None:
    """T14: without a mix key of its own epoch a node has no relays and falls back to nothing."""
    world = world_of_minutes(seconds)
    alice, _ = world.people
    begin(alice, seconds)
    stranger = create(World(1, 1, seed="stranger").people[0])
    write(alice, create(alice), stranger, "never")
    before = world.crossings["person", "relay"]
    world.run(20)
    assert world.crossings["person", "relay"] == before
    assert alice.machine.relays == 0
    assert not alice.machine.ready


def test_every_packet_up_draws_one_reply_down_while_people_talk_and_strangers_meddle() -> None:
    world = World(8, 2, seed="replies")
    alice, bob = world.people
    a, b = personas(world)
    rng = seeded("meddler")
    for number in range(15):
        write(alice, a, b, f"{number} " * 200)
        write(bob, b, a, str(number))
        alice.machine.packet(rng.bytes(3072), world.now)
        world.run(1)
    world.run(10)
    assert world.run(1, lambda: balanced(world))
    assert len(texts(b)) == len(texts(a)) == 15
    assert alice.machine.counters["unknown surb"] == 15
    assert alice.machine.counters["overdue"] == bob.machine.counters["overdue"] == 0


def test_a_lost_guard_gives_up_what_was_outstanding_and_it_is_asked_anew() -> None:
    world = World(8, 2, seed="guard")
    alice, bob = world.people
    a, b = personas(world)
    world.run(5)
    write(alice, a, b, "over the new guard")
    world.run(0.05)
    assert alice.machine.outstanding > 0
    alice.machine.guard_down(world.now)
    assert (alice.machine.outstanding, alice.machine.ready) == (0, False)
    before = world.crossings["person", "relay"]
    bob.machine.guard_down(world.now)
    world.run(5)
    assert world.crossings["person", "relay"] == before
    world.connect(alice, world.relays[3])
    world.connect(bob, world.relays[4])
    assert world.run(60, lambda: texts(b) == ["over the new guard"])
    assert alice.machine.ready


def test_garbage_from_the_guard_is_counted_and_changes_nothing() -> None:
    world = World(8, 1, seed="garbage")
    (alice,) = world.people
    world.run(3)
    outstanding, rng = alice.machine.outstanding, seeded("garbage")
    for length in (0, 1, 3071, 3072, 3073, 70_000):
        assert alice.machine.packet(rng.bytes(length), world.now) == []
    assert alice.machine.counters["packet length"] == 5
    assert alice.machine.counters["unknown surb"] == 1
    assert alice.machine.outstanding == outstanding


@pytest.mark.parametrize(("relays", "works"), [(1, False), (2, False), (4, True)])
def test_with_too_few_relays_nothing_goes_over_a_shorter_way(relays: int, works: bool) -> None:
    """Ledger: "on" with nothing configured falls back to direct (TROVE-2023-002)."""
    world = World(relays, 2, seed="few")
    alice, _ = world.people
    a, b = personas(world)
    write(alice, a, b, "hello")
    world.run(15)
    counters = alice.machine.counters
    assert bool(sum(counters[name] for name in QUICK)) == works
    assert bool(counters["inbox_get"]) == works
    assert (texts(b) == ["hello"]) == works


def test_a_new_epoch_goes_on_with_the_relays_new_keys() -> None:
    params = replace(PARAMS, epoch_s=40, lease_s=30, name="short epochs")
    world = World(8, 2, seed="epochs", params=params, preset="balanced")
    alice, bob = world.people
    a, b = personas(world)
    welcome(bob, b)
    for number in range(5):
        write(alice, a, b, str(number))
        world.run(21)
    assert world.run(20, lambda: texts(b) == [str(number) for number in range(5)])


def test_nothing_goes_before_it_is_durable_and_slots_do_not_wait_for_the_disk() -> None:
    """A disk that never answers costs no slot: only what it would have made durable is missing."""
    runs: list[list[int]] = []
    for texts_to_send in (0, 5):
        world = World(8, 2, seed="disk", person=Forgetful)
        alice, _ = world.people
        assert isinstance(alice, Forgetful)
        a, b = personas(world)
        world.run(5)
        alice.forgets = True
        for number in range(texts_to_send):
            write(alice, a, b, str(number))
            world.run(1)
        world.run(15 - texts_to_send)
        assert texts(b) == []
        assert alice.machine.counters["inbox_put"] == 0
        runs.append(alice.times)
    assert len(runs[0]) > 100
    assert runs[0] == runs[1]


class Forgetful(Person):
    """A person whose disk answers no more, and whose packets are timed."""

    forgets = False

    def __init__(self, world: World, number: int, preset: Preset) -> None:
        self.times: list[int] = []
        super().__init__(world, number, preset)

    def _write(self) -> None:
        if not self.forgets:
            super()._write()

    def step(self, name: str) -> bool:
        if name == "packet goes":
            self.times.append(self.world.now)
        return super().step(name)


def test_a_machine_that_is_restored_goes_on_with_its_conversations() -> None:
    world = World(8, 2, seed="restart")
    alice, bob = world.people
    a, b = personas(world)
    write(alice, a, b, "before")
    assert world.run(30, lambda: texts(b) == ["before"])
    write(bob, b, a, "while you are off")
    world.run(1)
    alice.crash()
    world.run(5)
    alice.start()
    (a,) = alice.machine.people.personas()
    write(alice, a, b, "after")
    assert world.run(60, lambda: texts(b) == ["before", "after"])
    assert world.run(60, lambda: texts(a) == ["while you are off"])
    assert world.run(60, lambda: {m.state for m in outgoing(a)} == {MessageState.FETCHED})


def test_the_same_seed_gives_the_same_packets() -> None:
    def packets() -> list[bytes]:
        world = World(6, 1, seed="same")
        directory = list(world.directory.values())
        rng = seeded("same")
        machine = PersonMachine(
            b"c" * 16, params=PARAMS, preset=PRESETS["fast"], rng=rng, now=START
        )
        machine.directory_changed(directory, (), START)
        machine.guard_up(directory[0].relay_id, START)
        machine.people.create(b"p" * 32, START)
        now, sent = START, list[bytes]()
        for _ in range(40):
            now = max(now, machine.next_deadline(now))
            sent += [e.packet for e in machine.handle_timer(now) if isinstance(e, SendUp)]
        return sent

    first = packets()
    assert len(first) > 30
    assert packets() == first
    assert len(set(first)) == len(first)


def ask(sender: Person, own: Persona, pseudonym: bytes) -> None:
    """Write to somebody of whom nothing but a pseudonym is known."""
    people = sender.machine.people

    def say() -> None:
        people.send(people.open_conversation(own, pseudonym, sender.now()), "?", sender.now())

    sender.do(say, lambda _: None)


def test_lookups_of_people_who_are_away_leave_half_the_quick_slots_to_what_can_go() -> None:
    """5 standard deviations of a binomial: passed by chance once in 1.7 million draws."""
    world = World(8, 2, seed="away")
    alice, _ = world.people
    a, b = personas(world)
    world.run(20, lambda: a.announcer.kept(world.now) and b.announcer.kept(world.now))
    write(alice, a, b, "hello")
    assert world.run(60, lambda: texts(b) == ["hello"])
    world.run(5)
    for number in range(200):
        root = seeded(f"away {number}").bytes(32)
        away = PersonaSecrets(root, network=world.params.hash).pseudonym
        ask(alice, a, away)
    for number in range(60):
        write(alice, a, b, str(number))
    before = alice.machine.counters.copy()
    world.run(20)
    spent = alice.machine.counters - before
    slots = spent["dht_get"] + spent["box_put"]
    assert slots > 50
    assert abs(spent["box_put"] - slots / 2) < 5 * (slots / 4) ** 0.5
