"""Many relays gossip under virtual time: they agree, forget, and serve people's nodes."""

from directory.world import Author, Node, World
from shoal_protocol import clock, crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import frames
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.parameters import LAB
from support import START


def grown(count: int, seed: int = 0) -> World:
    """Return a world of relays that joined one after the other through the first."""
    world = World(seed=seed)
    first = world.join("0")
    for number in range(1, count):
        world.join(str(number), to=[first])
        world.run(0.02)
    return world


def test_fifty_relays_agree_within_ten_seconds_and_drop_ten_that_vanish() -> None:
    world = grown(50)
    assert world.run(10, until=world.agreed) < 10
    for node in world.alive()[5:15]:
        world.kill(node)
    assert world.run(LAB.lease_s + 2, until=world.agreed) < LAB.lease_s + 2
    assert not any(node.faults for node in world.nodes.values())
    assert not any(node.sync.counters for node in world.nodes.values())


def test_the_same_seed_gives_the_same_gossip() -> None:
    def figures() -> list[tuple[bytes, int, int]]:
        world = grown(6)
        world.run(8)
        return [(node.view.tree.root(), node.sent_bytes, node.changes) for node in world.alive()]

    assert figures() == figures()


def test_relays_agree_by_pulls_alone_when_all_rumours_are_lost() -> None:
    world = World()
    world.loses = lambda frame: isinstance(frames.CODEC.decode(frame), frames.News)
    first = world.join("0")
    for number in range(1, 12):
        world.join(str(number), to=[first])
    assert world.run(10, until=world.agreed) < 10
    world.run(LAB.lease_s)
    assert world.agreed()


def islands() -> tuple[World, list[Node], list[Node]]:
    """Return a world whose two halves know nothing of each other."""
    world = World()
    west, east = world.join("west"), world.join("east")
    wests = [west, *(world.join(f"w{n}", to=[west]) for n in range(4))]
    easts = [east, *(world.join(f"e{n}", to=[east]) for n in range(4))]
    world.run(3)
    return world, wests, easts


def test_a_persons_node_takes_the_union_of_its_guards_views_and_tells_them_nothing() -> None:
    world, wests, easts = islands()
    ids = [{node.id for node in half} for half in (wests, easts)]
    person = world.join("person", to=[wests[0], wests[1]], serve=False)
    world.run(4)
    assert person.known() == ids[0]
    assert person.sync.overlap() == 1.0
    world.link(person.id, easts[2].id)
    world.run(4)
    assert person.known() == ids[0] | ids[1]
    assert person.sync.overlap() == 0.0
    assert wests[0].known() == ids[0]
    assert easts[2].known() == ids[1]
    assert not any(node.faults for node in world.nodes.values())


def test_a_persons_node_keeps_its_view_while_one_guard_is_left() -> None:
    world, wests, _ = islands()
    person = world.join("person", to=wests[:3], serve=False)
    world.run(3)
    world.kill(wests[0])
    world.kill(wests[1])
    world.run(LAB.lease_s + 2)
    assert person.known() == {node.id for node in wests[2:]}


class Censor(DirectoryView):
    """A hostile relay's view: all but one relay, whose existence it hides."""

    def __init__(self, hidden: bytes) -> None:
        super().__init__(LAB)
        self.hidden = hidden

    def check_descriptor(self, data: bytes, now: int, source: bytes = b"") -> Descriptor | None:
        found = super().check_descriptor(data, now, source)
        return None if found and found.relay_id == self.hidden else found


def test_one_honest_neighbour_suffices_to_learn_of_a_relay_that_all_others_hide() -> None:
    world = World()
    honest = world.join("honest", seek=False)
    hidden = world.join("hidden", to=[honest], seek=False)
    censors = [
        world.join(f"censor-{n}", to=[honest], seek=False, view=Censor(hidden.id)) for n in range(5)
    ]
    victim = world.join("victim", to=[honest, *censors], seek=False)
    person = world.join("person", to=[honest, *censors[:2]], serve=False)
    for _ in range(2 * LAB.lease_s // 5):
        world.run(5)
        assert victim.known() == person.known() == {node.id for node in world.alive()}
    assert all(hidden.id not in censor.known() for censor in censors)
    assert person.sync.overlap() == 7 / 8, "and the person is warned"


def test_an_equivocating_relay_is_barred_everywhere_till_its_next_epoch() -> None:
    world, wests, easts = islands()
    liar = Author("liar")
    lease = liar.lease(world.now)
    wests[0].do(wests[0].sync.publish(liar.descriptor(software="a"), lease, world.now))
    easts[0].do(easts[0].sync.publish(liar.descriptor(software="b"), lease, world.now))
    world.run(3)
    assert all(liar.relay_id in node.known() for node in world.alive())
    world.link(wests[3].id, easts[3].id)
    assert world.run(10, until=world.agreed) < 10
    assert len({node.view.tree.get(liar.relay_id) for node in world.alive()}) == 1
    for node in world.alive():
        assert node.view.proof_of(liar.relay_id) is not None
        assert not node.view.add_descriptor(liar.descriptor(serial=5), world.now)
    again = clock.index_of(START, LAB.epoch_s) + 1
    fresh, lease = liar.descriptor(epoch=again), liar.lease(world.now, epoch=again)
    wests[1].do(wests[1].sync.publish(fresh, lease, world.now))
    world.run(3)
    assert all(liar.relay_id in node.known() for node in world.alive())


def test_relays_with_clocks_apart_by_the_allowed_skew_see_each_other_across_an_epochs_edge() -> (
    None
):
    edge = (clock.index_of(START, LAB.epoch_s) + 1) * LAB.epoch_s * SECOND
    world = World()
    world.now = edge - SECOND
    behind = world.join("behind")
    world.now = edge + SECOND
    ahead = world.join("ahead", to=[behind])
    world.now = edge - SECOND
    world.run(5)
    assert behind.known() == ahead.known() == {behind.id, ahead.id}
    descriptor = ahead.view.get(behind.id)
    assert descriptor is not None
    assert descriptor.mix_key(descriptor.epoch + 1) == crypto.digest(behind.author.seed)
