"""Two people over whole relays in virtual time: what is sent arrives, once, as it was."""

import pytest

from network import Network, Person
from shoal_protocol import clock
from shoal_protocol.client import latency
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.people import Persona
from shoal_protocol.parameters import PRESETS
from support import seeded


def meet(network: Network) -> tuple[Persona, Persona]:
    """Give each of two people a persona."""
    a, b = (
        person.machine.people.create(person.rng.bytes(32), network.now) for person in network.people
    )
    return a, b


def messages(person: Person, persona: Persona) -> list[Message]:
    """Return all incoming messages of a persona, in the order of arrival."""
    found = [m for c in persona.conversations.values() for m in c.history if not m.outgoing]
    return sorted(found, key=lambda message: message.received or 0)


def conversation(person: Person, persona: Persona, other: Persona, now: int) -> Correspondence:
    return person.machine.people.open_conversation(persona, other.secrets.pseudonym, now)


def test_a_first_message_arrives_by_pseudonym_alone_and_is_read() -> None:
    network = Network(8, 2)
    alice, bob = network.people
    a, b = meet(network)
    with_bob = conversation(alice, a, b, network.now)
    text = "你好 🦕 hello"
    sent = alice.machine.people.send_text(with_bob, text, network.now)
    assert network.run(60, lambda: bool(messages(bob, b)))
    (message,) = messages(bob, b)
    assert message.text == text
    assert message.request
    assert network.run(60, lambda: with_bob.history.get(sent.id).state is MessageState.READ)  # type: ignore[union-attr]
    assert set(network.sizes) == {network.params.packet_bytes}


def test_messages_both_ways_arrive_once_exactly_and_near_the_floor() -> None:
    network = Network(12, 2, seed=1)
    alice, bob = network.people
    a, b = meet(network)
    assert network.run(20, lambda: a.announcer.kept(network.now) and b.announcer.kept(network.now))
    ways = [(alice, a, b, bob), (bob, b, a, alice)]
    rng = seeded("texts")
    expected: dict[str, list[str]] = {a.id: [], b.id: []}
    for number in range(18):
        for sender, own, other, _ in ways:
            letter = "龙🦕x"[rng.below(3)]
            text = f"{number} " + letter * (rng.below(1490) // len(letter.encode()))
            expected[other.id].append(text)
            with_other = conversation(sender, own, other, network.now)
            sender.machine.people.send_text(with_other, text, network.now)
        network.run(1.5)
    network.run(15)
    latencies: list[float] = []
    for _, _, other, reader in ways:
        got = messages(reader, other)
        assert sorted(m.text for m in got) == sorted(expected[other.id])
        latencies += [((m.received or 0) - m.created) / clock.MILLISECOND for m in got]
    floor, _ = latency.floor(PRESETS["fast"], network.params)
    assert sorted(latencies)[len(latencies) // 2] < 1.5 * floor
    assert len(alice.machine.outbox) == len(bob.machine.outbox) == 0


def test_a_long_text_takes_several_packets_and_arrives_whole() -> None:
    network = Network(8, 2, seed=2)
    alice, bob = network.people
    a, b = meet(network)
    text = "".join(seeded("long").choice("abc 中文🦕") for _ in range(20_000))
    with_bob = conversation(alice, a, b, network.now)
    alice.machine.people.send_text(with_bob, text, network.now)
    assert network.run(240, lambda: bool(messages(bob, b)))
    assert [m.text for m in messages(bob, b)] == [text]


@pytest.mark.parametrize("seed", [3, 4])
def test_every_message_arrives_though_a_quarter_of_the_relays_vanish(seed: int) -> None:
    network = Network(12, 2, seed=seed)
    alice, bob = network.people
    a, b = meet(network)
    texts = [f"message {number}" for number in range(30)]
    with_bob = conversation(alice, a, b, network.now)
    for number, text in enumerate(texts):
        alice.machine.people.send_text(with_bob, text, network.now)
        network.run(1)
        if number == 15:
            for relay in network.rng.sample(network.relays, 3):
                network.vanish(relay)
    network.run(10)
    network.drop_from_directory()
    assert network.run(90, lambda: len(messages(bob, b)) == len(texts))
    assert sorted(m.text for m in messages(bob, b)) == sorted(texts)


def test_messages_arrive_through_lossy_paths() -> None:
    network = Network(8, 2, seed=5)
    alice, bob = network.people
    a, b = meet(network)
    loss = seeded("loss")
    network.lose = lambda source, target: loss.uniform() < 0.01
    with_bob = conversation(alice, a, b, network.now)
    for number in range(30):
        alice.machine.people.send_text(with_bob, str(number), network.now)
        network.run(1)
    assert network.run(120, lambda: len(messages(bob, b)) == 30)


def test_both_may_begin_at_once() -> None:
    network = Network(8, 2, seed=6)
    alice, bob = network.people
    a, b = meet(network)
    network.run(10)
    for number in range(5):
        for sender, own, other in ((alice, a, b), (bob, b, a)):
            with_other = conversation(sender, own, other, network.now)
            sender.machine.people.send_text(with_other, f"{own.id} {number}", network.now)
    assert network.run(90, lambda: len(messages(bob, b)) == len(messages(alice, a)) == 5)
    network.run(20)
    assert len(alice.machine.outbox) == len(bob.machine.outbox) == 0
    assert len(a.conversations) == len(b.conversations) == 1


def test_every_packet_up_draws_one_reply_down() -> None:
    network = Network(8, 2, seed=7)
    meet(network)
    network.run(51)
    up = network.crossings["person", "relay"]
    down = network.crossings["relay", "person"]
    on_the_way = sum(person.machine.outstanding for person in network.people)
    assert up > 1000
    assert up == down + on_the_way
