"""People are found again within minutes after relays lost all announcements; spec: client §8."""

from client import meeting
from shoal_protocol import clock
from shoal_protocol.pseudonyms import announcement
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.world import World


def begin_anew(world: World, relay: Relay) -> None:
    """Let a relay crash and start."""
    relay.crash()
    world.run(0.5)
    relay.start()


def test_a_text_arrives_in_minutes_after_every_storer_of_an_announcement_began_anew() -> None:
    world = World(7, 2, seed="storers", preset="balanced")
    ada, bob = world.people
    world.run(30)
    own, other = meeting.personas(world)
    assert world.run(60, lambda: other.announcer.kept(bob.now()))
    meeting.welcome(bob, other)
    world.run(10)
    day = clock.index_of(bob.now(), world.params.day_s)
    key = announcement.lookup_key(other.secrets.pseudonym, day, world.params.hash)
    for relay in world.relays:
        begin_anew(world, relay)
    assert all(relay.dht.store.get(key, relay.now()) is None for relay in world.relays)
    meeting.write(ada, own, other, "found")
    assert world.run(600, lambda: meeting.texts(other) == ["found"])


def test_a_relay_that_just_began_does_not_call_a_record_kept_that_it_alone_holds() -> None:
    world = World(5, 1, seed="alone", preset="balanced")
    (one,) = meeting.personas(world)
    (person,) = world.people
    begun, *others = world.relays
    asked: list[str] = []
    world.run(30)
    for relay in others:
        relay.crash()
    begin_anew(world, begun)
    one.announcer.work(person.now())
    record = next(iter(one.announcer._days.values())).record
    assert record is not None
    begun.dht.operate(record, True, lambda reply: asked.append(reply.status.name))
    world.run(10)
    assert asked == ["UNAVAILABLE"]
