"""What a hostile neighbour can do to packets: tamper, replay, low-order points, garbage."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packet_support import CLIENT, EPOCH, NETWORK, Relay, flipped, relays, walk
from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets import build, geometry, keys, replay, surb, unwrap
from support import seeded

BODY = bytes(geometry.BODY_LENGTH)
P = 2**255 - 19
LOW_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
)  # every u of order 1, 2, 4 or 8 on the curve or its twist, and their other forms below 2^255


def seen(relay: Relay) -> int:
    """Return how many replay tags the relay holds."""
    return sum(len(relay.key(epoch).replay_filter) for epoch, _ in relay.keyring.public())


def reason(packet: bytes, relay: Relay) -> str:
    """Return why ``relay`` refuses ``packet``."""
    with pytest.raises(RemoteProtocolError) as caught:
        unwrap.unwrap(packet, relay.keyring)
    return caught.value.reason


def test_every_header_bit_flipped_is_refused_at_the_next_hop() -> None:
    along = relays(3, seeded("bits"))
    path = [relay.hop() for relay in along]
    packet = build.forward(path, BODY, network=NETWORK, rng=seeded(1))
    first = unwrap.unwrap(packet, along[0].keyring)
    assert isinstance(first, unwrap.Forward)
    refused = {
        reason(flipped(first.packet, bit), along[1]) for bit in range(8 * geometry.HEADER_LENGTH)
    }
    assert refused <= {
        "packet version",
        "reserved bytes",
        "mix key index",
        "kem ciphertext",
        "packet mac",
    }
    assert seen(along[1]) == 0
    assert walk(first.packet, along[1:])[-1] == unwrap.Exit(BODY, 0)


def test_a_thousand_payload_bits_flipped_never_deliver() -> None:
    along = relays(3, seeded("payload"))
    path = [relay.hop() for relay in along]
    rng = seeded("flips")
    for number in range(1000):
        packet = build.forward(path, BODY, network=NETWORK, rng=rng)
        bit = 8 * geometry.HEADER_LENGTH + rng.below(8 * geometry.GEOMETRY.payload)
        hop = number % 3  # on which link the bit is flipped
        for relay in along[:hop]:
            step = unwrap.unwrap(packet, relay.keyring)
            assert isinstance(step, unwrap.Forward)
            packet = step.packet
        packet = flipped(packet, bit)
        for relay in along[hop:-1]:
            step = unwrap.unwrap(packet, relay.keyring)
            assert isinstance(step, unwrap.Forward)
            packet = step.packet
        assert reason(packet, along[-1]) == "payload tag"
        assert reason(packet, along[-1]) == "replay"


def test_a_flipped_reply_reaches_the_client_like_any_other_and_is_known_there() -> None:
    along = relays(2, seeded("reply"))
    path = [relay.hop() for relay in along]
    rng = seeded("reply flips")
    for _ in range(50):
        block, secret = surb.create(path, CLIENT, network=NETWORK, rng=rng)
        packet = surb.use(block, BODY)[1]
        bit = 8 * geometry.HEADER_LENGTH + rng.below(8 * geometry.GEOMETRY.payload)
        last = walk(flipped(packet, bit), along)[-1]
        assert isinstance(last, unwrap.ToClient)
        with pytest.raises(RemoteProtocolError, match="payload tag"):
            surb.open(secret, last.packet)


def test_no_packet_of_ten_thousand_is_taken_twice() -> None:
    (relay,) = relays(1, seeded("replay"))
    rng = seeded("replayed")
    packets = [build.forward([relay.hop()], BODY, network=NETWORK, rng=rng) for _ in range(10_000)]
    for packet in packets:
        assert unwrap.unwrap(packet, relay.keyring) == unwrap.Exit(BODY, 0)
    assert {reason(packet, relay) for packet in packets} == {"replay"}

    relay.keyring.advance(EPOCH + 1, rng)  # the key's last epoch
    assert {reason(packet, relay) for packet in packets[::2]} == {"replay"}
    relay.keyring.advance(EPOCH, rng)  # a clock set back by an epoch
    assert {reason(packet, relay) for packet in packets[::10]} == {"replay"}

    restarted = Relay(relay.id, keys.MixKeyring(NETWORK))
    restarted.keyring.advance(EPOCH, rng)
    assert {reason(packet, restarted) for packet in packets[::10]} == {"packet mac"}

    relay.keyring.advance(EPOCH + 2, rng)  # the key is gone
    assert {reason(packet, relay) for packet in packets} == {"mix key index"}
    relay.keyring.advance(EPOCH + 256, rng)  # its index is another key's now
    assert {reason(packet, relay) for packet in packets[::10]} == {"packet mac"}
    assert seen(relay) == 0


def test_a_clock_set_back_by_a_day_fails_closed() -> None:
    (relay,) = relays(1, seeded("clock"))
    packet = build.forward([relay.hop()], BODY, network=NETWORK, rng=seeded(1))
    unwrap.unwrap(packet, relay.keyring)
    relay.keyring.advance(EPOCH - 24, seeded("back"))
    assert reason(packet, relay) == "mix key index"
    relay.keyring.advance(EPOCH, seeded("forth"))
    assert reason(packet, relay) == "packet mac"


def test_a_full_replay_filter_refuses_and_forgets_nothing() -> None:
    keyring = keys.MixKeyring(NETWORK, replay_capacity=100)
    keyring.advance(EPOCH, seeded("full"))
    relay = Relay(bytes(16), keyring)
    rng = seeded("filling")
    packets = [build.forward([relay.hop()], BODY, network=NETWORK, rng=rng) for _ in range(101)]
    for packet in packets[:100]:
        unwrap.unwrap(packet, keyring)
    assert reason(packets[100], relay) == "replay filter full"
    assert {reason(packet, relay) for packet in packets[:100]} == {"replay"}
    assert seen(relay) == 100


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=60))
@settings(max_examples=60)
def test_the_replay_filter_is_a_set(tags: list[bytes]) -> None:
    held = replay.ReplayFilter()
    model: set[bytes] = set()
    for tag in tags + tags[::2]:
        assert (tag in held) == (tag in model)
        if tag in model:
            with pytest.raises(RemoteProtocolError, match="replay"):
                held.add(tag)
        else:
            held.add(tag)
        model.add(tag)
        assert len(held) == len(model)


@pytest.mark.parametrize("top_bit", [0, 1])
@pytest.mark.parametrize("u", LOW_ORDER)
def test_low_order_points_and_their_twins_are_refused(u: int, top_bit: int) -> None:
    (relay,) = relays(1, seeded("low order"))
    packet = build.forward([relay.hop()], BODY, network=NETWORK, rng=seeded(1))
    point = (u | top_bit << 255).to_bytes(32, "little")
    refused = reason(packet[:8] + point + packet[40:], relay)
    assert refused == ("kem ciphertext" if top_bit else "low-order point")
    with pytest.raises(RemoteProtocolError, match="low-order point"):
        build.forward([keys.Hop(bytes(16), EPOCH, point, 0)], BODY, network=NETWORK, rng=seeded(1))


def test_a_sender_who_knows_every_key_gets_no_malformed_slot_through() -> None:
    """An honest MAC over a slot that no honest sender makes: refused, no tag stored."""
    (relay,) = relays(1, seeded("slots"))
    rest = bytes(64)
    refused = []
    for slot in (
        bytes(8),  # no command
        bytes((4, 0, 0, 0, 0, 0, 0, 0)),  # an unknown one
        bytes((255, 0, 0, 0, 0, 0, 0, 0)),
        bytes((1, 0, 0, 0, 0, 0, 0, 1)),  # reserved bytes
        bytes((3, 0, 0, 0, 128, 0, 0, 0)),
        bytes((2, 7, 0, 0, 0, 0, 0, 0)),  # a next key index where nothing is next
    ):
        head = build.header([relay.hop()], slot + rest, network=NETWORK, rng=seeded(1)).head
        refused.append(reason(head + bytes(geometry.GEOMETRY.payload), relay))
    assert refused == ["packet command"] * 3 + ["reserved bytes"] * 2 + ["packet command"]
    assert seen(relay) == 0


def test_twenty_thousand_packets_of_garbage_are_refused_and_leave_nothing() -> None:
    (relay,) = relays(1, seeded("garbage"))
    rng = seeded("noise")
    start = build.clear(EPOCH)
    noise = rng.bytes(20_000 + geometry.PACKET_LENGTH)
    labels = set()
    tracemalloc.start()
    for place in range(20_000):
        labels.add(
            reason(start + noise[place : place + geometry.PACKET_LENGTH - len(start)], relay)
        )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20
    assert labels == {"packet mac", "kem ciphertext"}
    assert seen(relay) == 0


GIVEN = build.forward(
    [relays(1, seeded("given"))[0].hop()], BODY, network=NETWORK, rng=seeded("given")
)


@given(
    st.one_of(
        st.binary(max_size=64),
        st.integers(0, geometry.PACKET_LENGTH - 1).map(lambda size: GIVEN[:size]),
        st.binary(min_size=1, max_size=64).map(lambda more: GIVEN + more),
        st.binary(min_size=1, max_size=3072).map(lambda start: start + GIVEN[len(start) :]),
    ).filter(lambda packet: packet != GIVEN)
)
@settings(max_examples=150)
def test_any_bytes_raise_the_one_error_and_change_nothing(packet: bytes) -> None:
    (relay,) = relays(1, seeded("given"))
    if packet[: geometry.HEADER_LENGTH] == GIVEN[: geometry.HEADER_LENGTH]:
        assert reason(packet, relay) in ("packet length", "payload tag")
    else:
        reason(packet, relay)
        assert seen(relay) == 0
    if packet[:8] != GIVEN[:8]:
        assert unwrap.unwrap(GIVEN, relay.keyring) == unwrap.Exit(BODY, 0)


def test_an_all_zero_shared_secret_is_never_used() -> None:
    key = crypto.X25519Key(seeded(1).bytes(32))
    for u in LOW_ORDER:
        with pytest.raises(RemoteProtocolError, match="low-order point"):
            key.agree(u.to_bytes(32, "little"))
