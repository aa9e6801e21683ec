"""A person's whole machine: what it sends, what it survives, and clocks that are off."""

from dataclasses import replace

import pytest

from network import PARAMS, Network, Person
from shoal_protocol import clock
from shoal_protocol.client.people import Persona
from shoal_protocol.client.person import Event, PersonMachine, SendUp
from shoal_protocol.parameters import PRESETS
from shoal_protocol.rng import Rng
from support import seeded

QUICK = ("inbox_put", "dht_put", "dht_get", "echo")


def meet(network: Network) -> tuple[Persona, Persona]:
    a, b = (
        person.machine.people.create(person.rng.bytes(32), local(person, network))
        for person in network.people
    )
    return a, b


def local(person: Person, network: Network) -> int:
    """Return a person's own time."""
    machine = person.machine
    return network.now + (machine.offset if isinstance(machine, Skewed) else 0)


def write(network: Network, sender: Person, own: Persona, to: Persona, text: str) -> None:
    people = sender.machine.people
    now = local(sender, network)
    people.send_text(people.open_conversation(own, to.secrets.pseudonym, now), text, now)


def texts(persona: Persona) -> list[str]:
    found = [m for c in persona.conversations.values() for m in c.history if not m.outgoing]
    return [m.text for m in sorted(found, key=lambda m: m.received or 0)]


class Skewed(PersonMachine):
    """A machine whose clock is ``offset`` ns ahead of the network's."""

    def __init__(self, client: bytes, network: Network, rng: Rng, offset: int) -> None:
        self.offset = offset
        super().__init__(
            client,
            params=network.params,
            preset=PRESETS["fast"],
            rng=rng,
            now=network.now + offset,
        )

    def next_deadline(self, now: int) -> int:
        return super().next_deadline(now + self.offset) - self.offset

    def handle_timer(self, now: int) -> list[Event]:
        return super().handle_timer(now + self.offset)

    def packet(self, packet: bytes, now: int) -> list[Event]:
        return super().packet(packet, now + self.offset)


def minutes_as_epochs(seed: int) -> Network:
    """Return a network with epochs of a minute, whose relays have been there for more than one.

    A relay just begun has no key of the epoch before.
    """
    network = Network(8, 2, seed=seed, params=replace(PARAMS, epoch_s=60, name="short epochs"))
    for person in network.people:
        person.machine.guard_down(network.now)
    network.run(90)
    network.directory = {relay.id: relay.describe(network) for relay in network.relays}
    for person in network.people:
        person.machine.directory_changed(list(network.directory.values()), network.now)
        network.connect(person, network.relays[0])
    return network


def skew(network: Network, person: Person, seconds: int) -> None:
    """Set a person's clock off; the node begins anew."""
    offset = seconds * clock.SECOND
    machine = Skewed(person.id, network, person.rng, offset)
    person.machine = machine
    machine.directory_changed(list(network.directory.values()), network.now + offset)
    network.connect(person, network.relays[0])
    network._arm(person)


@pytest.mark.parametrize("seconds", [-60, -20, 20, 60])
def test_clocks_an_epoch_apart_from_the_relays_work(seconds: int) -> None:
    """T14: mix keys of the neighbouring epochs are published and accepted."""
    network = minutes_as_epochs(seconds)
    alice, bob = network.people
    skew(network, alice, seconds)
    a, b = meet(network)
    write(network, alice, a, b, "there")
    assert network.run(20, lambda: texts(b) == ["there"])
    write(network, bob, b, a, "and back")
    assert network.run(9, lambda: texts(a) == ["and back"])


@pytest.mark.parametrize("seconds", [-86_400, -150, 150, 86_400])
def test_a_clock_that_is_off_by_more_sends_nothing_and_gives_nothing_away(seconds: int) -> None:
    """T14: without a mix key of its own epoch a node has no relays and falls back to nothing."""
    network = minutes_as_epochs(seconds)
    alice, bob = network.people
    bob.machine.guard_down(network.now)
    skew(network, alice, seconds)
    a, b = meet(network)
    write(network, alice, a, b, "never")
    before = network.crossings["person", "relay"]
    network.run(20)
    assert network.crossings["person", "relay"] == before
    assert texts(b) == []
    assert alice.machine.relays == 0
    assert not alice.machine.ready


def test_every_packet_up_draws_one_reply_down_while_people_talk_and_strangers_meddle() -> None:
    network = Network(8, 2, seed="replies")
    alice, bob = network.people
    a, b = meet(network)
    rng = seeded("meddler")
    for number in range(15):
        write(network, alice, a, b, f"{number} " * 200)
        write(network, bob, b, a, str(number))
        alice.machine.packet(rng.bytes(3072), network.now)
        network.run(1)
    network.run(10)
    up, down = network.crossings["person", "relay"], network.crossings["relay", "person"]
    assert up == down + sum(person.machine.outstanding for person in network.people)
    assert len(texts(b)) == len(texts(a)) == 15
    assert alice.machine.counters["unknown surb"] == 15
    assert alice.machine.counters["overdue"] == bob.machine.counters["overdue"] == 0


def test_a_lost_guard_gives_up_what_was_outstanding_and_it_is_asked_anew() -> None:
    network = Network(8, 2, seed="guard")
    alice, bob = network.people
    a, b = meet(network)
    network.run(5)
    write(network, alice, a, b, "over the new guard")
    network.run(0.05)
    assert alice.machine.outstanding > 0
    alice.machine.guard_down(network.now)
    assert (alice.machine.outstanding, alice.machine.ready) == (0, False)
    before = network.crossings["person", "relay"]
    bob.machine.guard_down(network.now)
    network.run(5)
    assert network.crossings["person", "relay"] == before
    network.connect(alice, network.relays[3])
    network.connect(bob, network.relays[4])
    assert network.run(60, lambda: texts(b) == ["over the new guard"])
    assert alice.machine.ready


def test_garbage_from_the_guard_is_counted_and_changes_nothing() -> None:
    network = Network(8, 1, seed="garbage")
    (alice,) = network.people
    network.run(3)
    outstanding, rng = alice.machine.outstanding, seeded("garbage")
    for length in (0, 1, 3071, 3072, 3073, 70_000):
        assert alice.machine.packet(rng.bytes(length), network.now) == []
    assert alice.machine.counters["packet length"] == 5
    assert alice.machine.counters["unknown surb"] == 1
    assert alice.machine.outstanding == outstanding


@pytest.mark.parametrize(("relays", "quick", "waiting"), [(1, 0, 0), (2, 0, 0), (4, 1, 1)])
def test_with_too_few_relays_nothing_goes_over_a_shorter_way(
    relays: int, quick: int, waiting: int
) -> None:
    """Ledger: "on" with nothing configured falls back to direct (TROVE-2023-002)."""
    network = Network(relays, 2, seed="few")
    alice, _ = network.people
    a, b = meet(network)
    write(network, alice, a, b, "hello")
    network.run(10)
    counters = alice.machine.counters
    assert bool(sum(counters[name] for name in QUICK)) == bool(quick)
    assert bool(counters["inbox_get"]) == bool(waiting)
    assert (texts(b) == ["hello"]) == (relays == 4)


def test_a_new_epoch_goes_on_with_the_relays_new_keys() -> None:
    params = replace(PARAMS, epoch_s=40, name="short epochs")
    network = Network(8, 2, seed="epochs", params=params, preset="balanced")
    a, b = meet(network)
    alice, _ = network.people
    for number in range(5):
        write(network, alice, a, b, str(number))
        network.run(21)
        network.directory = {relay.id: relay.describe(network) for relay in network.relays}
        for person in network.people:
            person.machine.directory_changed(list(network.directory.values()), network.now)
    assert network.run(20, lambda: texts(b) == [str(number) for number in range(5)])


def test_stale_descriptors_of_the_epoch_before_last_are_used_no_more() -> None:
    params = replace(PARAMS, epoch_s=40, name="short epochs")
    network = Network(8, 1, seed="stale", params=params, preset="balanced")
    (alice,) = network.people
    network.run(30)
    assert alice.machine.relays == 8
    network.run(90)
    assert alice.machine.relays == 0
    before = network.crossings["person", "relay"]
    network.run(5)
    assert network.crossings["person", "relay"] == before


def test_the_same_seed_gives_the_same_packets() -> None:
    def packets() -> list[bytes]:
        network = Network(6, 1, seed="same")
        machine = network.people[0].machine
        machine.people.create(b"p" * 32, network.now)
        now, sent = network.now, []
        for _ in range(40):
            now = max(now, machine.next_deadline(now))
            sent += [e.packet for e in machine.handle_timer(now) if isinstance(e, SendUp)]
        return sent

    first = packets()
    assert len(first) > 30
    assert packets() == first
    assert len(set(first)) == len(first)
