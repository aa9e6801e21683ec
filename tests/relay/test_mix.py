"""The mix under virtual time: delays, limits, bounded memory, rotation of keys."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packet_support import CLIENT, EPOCH, NETWORK
from shoal_protocol import parameters
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.packets import build, geometry, keys, surb
from shoal_protocol.relay import mix
from shoal_protocol.relay.limits import Limits
from support import START, seeded

BODY = bytes(geometry.BODY_LENGTH)
OWN_ID = b"the relay itself"
OTHER_ID = b"some other relay"
PEER = b"the peer's id 16"
EPOCH_LENGTH = parameters.LAB.epoch_s * SECOND


class CountingKeyring(keys.MixKeyring):
    """A keyring that counts how often a packet came as far as asking for a key."""

    asked = 0

    def find(self, index: int) -> keys.MixKey | None:
        self.asked += 1
        return super().find(index)


class World:
    """One mix, and packets for it."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.rng = seeded("mix")
        self.keyring = CountingKeyring(NETWORK)
        self.mix = mix.MixMachine(
            self.keyring, OWN_ID, parameters.LAB, now=START, rng=self.rng, limits=limits
        )

    def hop(self, delay_ms: int, epoch: int = EPOCH) -> keys.Hop:
        return keys.Hop(OWN_ID, epoch, dict(self.mix.public_keys())[epoch], delay_ms)

    def exit(self, delay_ms: int = 0, body: bytes = BODY, epoch: int = EPOCH) -> bytes:
        return build.forward([self.hop(delay_ms, epoch)], body, network=NETWORK, rng=self.rng)

    def forward(self, delay_ms: int = 0, next_id: bytes = OTHER_ID) -> bytes:
        after = keys.Hop(next_id, EPOCH, self.hop(0).key, 0)
        return build.forward([self.hop(delay_ms), after], BODY, network=NETWORK, rng=self.rng)


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=12))
@settings(max_examples=25)
def test_every_packet_leaves_at_its_instant_and_in_that_order(delays: list[int]) -> None:
    world = World()
    due = []
    for number, delay in enumerate(delays):
        body = bytes((number,)) * geometry.BODY_LENGTH
        assert all(
            isinstance(event, mix.Request)
            for event in world.mix.receive(world.exit(delay, body), PEER, START)
        )
        if delay:
            due.append((START + delay * MILLISECOND, number))
    left = []
    while world.mix.pool_size:
        deadline = world.mix.next_deadline()
        assert world.mix.handle_timer(deadline - 1) == []
        for event in world.mix.handle_timer(deadline):
            assert isinstance(event, mix.Request)
            left.append((deadline, event.body[0]))
    assert left == sorted(due)


def test_events_say_where_a_packet_goes() -> None:
    world = World()
    (onward,) = world.mix.receive(world.forward(), PEER, START)
    assert isinstance(onward, mix.SendPacket)
    assert (onward.next_id, onward.to_client) == (OTHER_ID, False)
    assert world.mix.receive(world.exit(), PEER, START) == [mix.Request(BODY)]
    block, secret = surb.create([world.hop(0)], CLIENT, network=NETWORK, rng=world.rng)
    (reply,) = world.mix.receive(surb.use(block, BODY)[1], PEER, START)
    assert isinstance(reply, mix.SendPacket)
    assert (reply.next_id, reply.to_client) == (CLIENT, True)
    assert surb.open(secret, reply.packet) == BODY
    assert dict(world.mix.counters) == {"forwarded": 1, "requests": 1, "to client": 1}


def test_what_is_wrong_is_dropped_and_counted() -> None:
    world = World()
    cap = parameters.LAB.max_hop_delay_ms
    packet = world.forward()
    for wrong in (
        b"",
        packet[:-1],
        b"\x02" + packet[1:],
        packet[:-1] + bytes((packet[-1] ^ 1,)),  # only the exit of this one would notice
        packet,
        world.exit(cap + 1),
        world.forward(next_id=OWN_ID),
    ):
        world.mix.receive(wrong, PEER, START)
    assert dict(world.mix.counters) == {
        "packet length": 2,
        "packet version": 1,
        "forwarded": 1,
        "replay": 1,
        "delay over the cap": 1,
        "hop to oneself": 1,
    }
    assert world.mix.pool_size == 0
    world.mix.receive(world.exit(cap), PEER, START)
    assert world.mix.next_deadline() == START + cap * MILLISECOND


def test_a_flood_is_dropped_before_any_key_is_touched() -> None:
    world = World(Limits(peer_rate=100, peer_burst=50))
    packet = world.exit()
    for step in range(10_000):
        world.mix.receive(packet, PEER, START + step * SECOND // 10_000)
    assert world.keyring.asked <= 50 + 100
    assert world.mix.counters["rate limit"] >= 10_000 - 150
    assert len(world.mix.receive(world.exit(), b"an honest peer 1", START + SECOND)) == 1


def test_a_full_pool_drops_and_counts_and_its_senders_may_try_again() -> None:
    world = World(Limits(pool=10, peer_pool=100))
    packets = [world.exit(1000) for _ in range(11)]
    for packet in packets:
        world.mix.receive(packet, PEER, START)
    assert world.mix.pool_size == 10
    assert world.mix.counters["pool full"] == 1
    assert len(world.mix.handle_timer(START + SECOND)) == 10
    world.mix.receive(packets[10], PEER, START + SECOND)
    assert world.mix.pool_size == 1


def test_one_peer_cannot_fill_the_pool() -> None:
    world = World(Limits(pool=10, peer_pool=4))
    for _ in range(8):
        world.mix.receive(world.exit(60_000), PEER, START)
    assert world.mix.pool_size == 4
    assert world.mix.counters["peer's share of the pool full"] == 4
    world.mix.receive(world.exit(5), b"an honest peer 1", START)
    assert world.mix.pool_size == 5
    world.mix.handle_timer(START + 60 * SECOND)
    world.mix.receive(world.exit(5), PEER, START + 60 * SECOND)
    assert world.mix.pool_size == 1


def test_a_hundred_thousand_peers_are_met_in_bounded_memory() -> None:
    world = World(Limits(peers=1024, pool=256))
    packet = world.exit(1000)
    tracemalloc.start()
    for number in range(100_000):
        world.mix.receive(packet[:64], number.to_bytes(16, "big"), START)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert world.keyring.asked == 0
    assert world.mix.counters["rate limit"] == 100_000 - 1024


def test_keys_rotate_with_the_epochs_and_overlap() -> None:
    world = World()
    assert [epoch for epoch, _ in world.mix.public_keys()] == [EPOCH, EPOCH + 1]
    boundary = (EPOCH + 1) * EPOCH_LENGTH
    assert world.mix.next_deadline() == boundary
    packets = [world.exit(), world.exit(), world.exit(epoch=EPOCH + 1)]
    before = dict(world.mix.public_keys())
    world.mix.handle_timer(boundary - 1)
    assert dict(world.mix.public_keys()) == before
    world.mix.handle_timer(boundary)
    after = dict(world.mix.public_keys())
    assert sorted(after) == [EPOCH, EPOCH + 1, EPOCH + 2]
    assert before.items() <= after.items()
    assert world.mix.receive(packets[0], PEER, boundary) == [mix.Request(BODY)]
    world.mix.handle_timer(world.mix.next_deadline())
    assert sorted(dict(world.mix.public_keys())) == [EPOCH + 1, EPOCH + 2, EPOCH + 3]
    later = boundary + EPOCH_LENGTH
    assert world.mix.receive(packets[1], PEER, later) == []
    assert world.mix.counters["mix key index"] == 1
    assert world.mix.receive(packets[2], PEER, later) == [mix.Request(BODY)]


@pytest.mark.parametrize("hours", [-24, -2, 2, 24])
def test_a_clock_that_leaps_fails_closed_and_the_mix_goes_on(hours: int) -> None:
    world = World()
    packet = world.exit()
    leapt = START + hours * EPOCH_LENGTH
    world.mix.handle_timer(leapt)
    assert world.mix.receive(packet, PEER, leapt) == []
    epoch = leapt // EPOCH_LENGTH
    assert world.mix.receive(world.exit(epoch=epoch), PEER, leapt) == [mix.Request(BODY)]


def test_a_clock_set_back_by_an_epoch_keeps_every_key_and_every_tag() -> None:
    world = World()
    world.mix.handle_timer(START + EPOCH_LENGTH)
    before = world.mix.public_keys()
    packet = world.exit()
    now = START + EPOCH_LENGTH
    assert world.mix.receive(packet, PEER, now) == [mix.Request(BODY)]
    world.mix.handle_timer(START)
    assert world.mix.public_keys() == before
    assert world.mix.receive(packet, PEER, now) == []
    assert world.mix.counters["replay"] == 1
    world.mix.handle_timer(START + EPOCH_LENGTH)
    assert world.mix.public_keys() == before


def test_the_same_inputs_give_the_same_events() -> None:
    def run() -> list[mix.Event]:
        world = World()
        packets = [world.forward(delay) for delay in (30, 10, 20, 10)]
        events = [e for packet in packets for e in world.mix.receive(packet, PEER, START)]
        return events + world.mix.handle_timer(START + SECOND)

    assert run() == run()


def test_the_whole_relays_rate_holds_whoever_sends_and_a_flood_spends_only_its_own_share() -> None:
    world = World(Limits(rate=4.0, peer_rate=1.0, peer_burst=2))
    for _ in range(10):
        world.mix.receive(world.exit(), b"one who floods us", START)
    assert world.mix.counters["rate limit"] == 8
    for number in range(4):
        world.mix.receive(world.exit(), number.to_bytes(16, "big"), START)
    assert world.mix.counters["relay's rate limit"] == 2
    world.mix.receive(world.exit(), PEER, START + SECOND // 4)
    assert world.mix.counters["relay's rate limit"] == 2


def test_other_limits_hold_from_now_on_and_what_is_held_stays() -> None:
    world = World()
    for _ in range(20):
        world.mix.receive(world.exit(delay_ms=1000), PEER, START)
    world.mix.set_limits(Limits(pool=10))
    world.mix.receive(world.exit(delay_ms=1000), PEER, START)
    assert world.mix.counters["pool full"] == 1
    assert len(world.mix.handle_timer(START + SECOND)) == 20
