"""Two people over whole relays in virtual time: what is sent arrives, once, as it was."""

from client.meeting import accept, balanced, incoming, outgoing, personas, texts, welcome, write
from shoal_protocol import clock
from shoal_protocol.client import latency
from shoal_protocol.client.history import MessageState
from shoal_protocol.parameters import PRESETS
from shoal_sim.exact.links import Weather
from shoal_sim.exact.world import World
from support import seeded


def test_a_first_message_arrives_by_pseudonym_alone_and_is_read() -> None:
    world = World(8, 2)
    alice, bob = world.people
    a, b = personas(world)
    text = "你好 🦕 hello"
    write(alice, a, b, text)
    assert world.run(60, lambda: texts(b) == [text])
    assert incoming(b)[0].request
    assert not world.run(20, lambda: outgoing(a)[0].state is MessageState.FETCHED)
    accept(bob, b)
    assert world.run(60, lambda: outgoing(a)[0].state is MessageState.FETCHED)
    assert set(world.sizes) == {world.params.packet_bytes}


def test_messages_both_ways_arrive_once_exactly_and_near_the_floor() -> None:
    world = World(12, 2, seed=1)
    alice, bob = world.people
    a, b = personas(world)
    assert world.run(20, lambda: a.announcer.kept(world.now) and b.announcer.kept(world.now))
    write(alice, a, b, "hello")
    assert world.run(20, lambda: texts(b) == ["hello"])
    rng = seeded("texts")
    expected: dict[str, list[str]] = {a.id: [], b.id: ["hello"]}
    for number in range(12):
        for sender, own, other in ((alice, a, b), (bob, b, a)):
            letter = "龙🦕x"[rng.below(3)]
            text = f"{number} " + letter * (rng.below(1490) // len(letter.encode()))
            expected[other.id].append(text)
            write(sender, own, other, text)
        world.run(1.5)
    world.run(15)
    assert (texts(a), texts(b)) == (expected[a.id], expected[b.id])
    latencies = sorted(
        ((m.received or 0) - m.created) / clock.MILLISECOND
        for m in incoming(a) + incoming(b)
        if m.text != "hello"
    )
    floor, _ = latency.floor(PRESETS["fast"], world.params)
    assert latencies[len(latencies) // 2] < 1.6 * floor
    assert {m.state for m in outgoing(a) + outgoing(b)} == {MessageState.FETCHED}
    assert not any(o.needs_ack for p in world.people for o in p.machine.outbox.records())


def test_a_long_text_takes_many_packets_and_arrives_whole() -> None:
    world = World(8, 2, seed=2)
    alice, bob = world.people
    a, b = personas(world)
    welcome(bob, b)
    text = "".join(seeded("long").choice("abc 中文🦕") for _ in range(20_000))
    write(alice, a, b, text)
    assert world.run(240, lambda: bool(incoming(b)))
    assert texts(b) == [text]


def test_every_message_arrives_though_a_quarter_of_the_relays_vanish() -> None:
    world = World(12, 2, seed=3)
    alice, bob = world.people
    a, b = personas(world)
    welcome(bob, b)
    said = [f"message {number}" for number in range(30)]
    for number, text in enumerate(said):
        write(alice, a, b, text)
        world.run(1)
        if number == 15:
            for relay in world.rng.sample(world.relays, 3):
                world.vanish(relay)
    assert world.run(120, lambda: len(texts(b)) == len(said))
    assert texts(b) == said


def test_messages_arrive_through_lossy_paths() -> None:
    world = World(8, 2, seed=5)
    alice, bob = world.people
    a, b = personas(world)
    welcome(bob, b)
    world.links.weather = Weather(loss=0.01)
    for number in range(30):
        write(alice, a, b, str(number))
        world.run(1)
    assert world.run(120, lambda: texts(b) == [str(number) for number in range(30)])


def test_both_may_begin_at_once() -> None:
    world = World(8, 2, seed=6)
    alice, bob = world.people
    a, b = personas(world)
    world.run(10)
    for number in range(5):
        for sender, own, other in ((alice, a, b), (bob, b, a)):
            write(sender, own, other, f"{own.id} {number}")
    assert world.run(90, lambda: len(texts(b)) == len(texts(a)) == 5)
    assert texts(b) == [f"{a.id} {number}" for number in range(5)]
    assert len(a.conversations) == len(b.conversations) == 1


def test_every_packet_up_draws_one_reply_down() -> None:
    world = World(8, 2, seed=7)
    personas(world)
    world.run(21)
    assert world.crossings["person", "relay"] > 350
    assert world.run(1, lambda: balanced(world))
