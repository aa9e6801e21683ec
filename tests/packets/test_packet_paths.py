"""Packets over paths of every length: forward, replies, loops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packet_support import CLIENT, EPOCH, NETWORK, flipped, relays, walk
from shoal_protocol import crypto, parameters
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.packets import build, geometry, keys, lioness, surb, unwrap
from support import seeded

RELAYS = relays(geometry.MAX_HOPS, seeded("paths"))
BODY = seeded("body").bytes(geometry.BODY_LENGTH)


@given(
    seed=st.integers(0, 2**32),
    delays=st.lists(st.integers(0, geometry.MAX_DELAY_MS), min_size=1, max_size=5),
)
@settings(max_examples=40)
def test_a_forward_packet_brings_its_body_over_every_length_of_path(
    seed: int, delays: list[int]
) -> None:
    along = relays(len(delays), seeded("along"))
    path = [relay.hop(delay) for relay, delay in zip(along, delays, strict=True)]
    packet = build.forward(path, BODY, network=NETWORK, rng=seeded(seed))
    *between, last = walk(packet, along)
    assert last == unwrap.Exit(BODY, delays[-1])
    for place, step in enumerate(between):
        assert isinstance(step, unwrap.Forward)
        assert (step.next_id, step.delay_ms) == (path[place + 1].id, delays[place])
        assert len(step.packet) == geometry.PACKET_LENGTH


@given(
    seed=st.integers(0, 2**32),
    delays=st.lists(st.integers(0, geometry.MAX_DELAY_MS), min_size=1, max_size=5),
)
@settings(max_examples=40)
def test_a_reply_comes_back_over_every_length_of_path(seed: int, delays: list[int]) -> None:
    along = relays(len(delays), seeded("along"))
    path = [relay.hop(delay) for relay, delay in zip(along, delays, strict=True)]
    block, secret = surb.create(path, CLIENT, network=NETWORK, rng=seeded(seed))
    assert len(block) == geometry.SURB_LENGTH
    first, packet = surb.use(block, BODY)
    assert first == path[0].id
    *between, last = walk(packet, along)
    assert all(isinstance(step, unwrap.Forward) for step in between)
    assert isinstance(last, unwrap.ToClient)
    assert (last.client_id, last.delay_ms) == (CLIENT, delays[-1])
    assert surb.id_of(last.packet) == secret.id
    assert surb.open(secret, last.packet) == BODY


def test_a_loop_through_the_same_guard_twice_comes_back() -> None:
    guard, a, b = RELAYS[:3]
    path = [relay.hop(5) for relay in (guard, a, b, guard)]
    packet, secret = surb.loop(path, CLIENT, network=NETWORK, rng=seeded("loop"))
    last = walk(packet, (guard, a, b, guard))[-1]
    assert isinstance(last, unwrap.ToClient)
    assert len(surb.open(secret, last.packet)) == geometry.BODY_LENGTH


@pytest.mark.parametrize("epoch", [EPOCH, EPOCH + 1])
def test_a_packet_may_use_a_key_of_a_neighbouring_epoch(epoch: int) -> None:
    along = relays(3, seeded("epochs"))
    path = [relay.hop(epoch=epoch) for relay in along]
    packet = build.forward(path, BODY, network=NETWORK, rng=seeded(1))
    for relay in along:
        relay.keyring.advance(EPOCH + 1, seeded("next"))
    assert walk(packet, along)[-1] == unwrap.Exit(BODY, 0)


def test_the_same_draws_give_the_same_bytes() -> None:
    path = [relay.hop(7) for relay in RELAYS[:3]]

    def everything(seed: int) -> list[bytes]:
        rng = seeded(seed)
        block, secret = surb.create(path, CLIENT, network=NETWORK, rng=rng)
        loop = surb.loop(path, CLIENT, network=NETWORK, rng=rng)
        return [build.forward(path, BODY, network=NETWORK, rng=rng), block, secret.id, loop[0]]

    assert everything(1) == everything(1)
    assert all(a != b for a, b in zip(everything(1), everything(2), strict=True))


def test_another_network_or_epoch_or_relay_cannot_read_a_packet() -> None:
    relay, other = RELAYS[:2]
    elsewhere = build.forward([relay.hop()], BODY, network=parameters.MAIN.hash, rng=seeded(1))
    hop = relay.hop()
    later = keys.Hop(hop.id, EPOCH + 1, hop.key, 0)
    wrong_epoch = build.forward([later], BODY, network=NETWORK, rng=seeded(1))
    wrong_relay = build.forward([other.hop()], BODY, network=NETWORK, rng=seeded(1))
    for packet in (elsewhere, wrong_epoch, wrong_relay):
        with pytest.raises(RemoteProtocolError, match="packet mac"):
            unwrap.unwrap(packet, relay.keyring)


def test_a_changed_reply_is_not_opened() -> None:
    path = [relay.hop() for relay in RELAYS[:3]]
    block, secret = surb.create(path, CLIENT, network=NETWORK, rng=seeded(2))
    last = walk(surb.use(block, BODY)[1], RELAYS[:3])[-1]
    assert isinstance(last, unwrap.ToClient)
    with pytest.raises(RemoteProtocolError, match="payload tag"):
        surb.open(secret, flipped(last.packet, 8 * geometry.PACKET_LENGTH - 1))
    with pytest.raises(RemoteProtocolError, match="surb id"):
        surb.open(secret, flipped(last.packet, 8 * 8))
    with pytest.raises(RemoteProtocolError, match="packet length"):
        surb.open(secret, last.packet[:-1])
    assert surb.open(secret, last.packet) == BODY


@given(st.binary(max_size=600))
@settings(max_examples=100)
def test_a_surb_of_any_bytes_is_used_or_refused_with_one_label(block: bytes) -> None:
    for given_block in (block, (block + bytes(464))[:464]):
        try:
            first, packet = surb.use(given_block, BODY)
        except RemoteProtocolError as error:
            assert error.reason == "surb"
        else:
            assert (len(first), len(packet)) == (16, geometry.PACKET_LENGTH)


def test_misuse_on_our_side_is_a_bug_of_ours() -> None:
    hop = RELAYS[0].hop()
    rng = seeded(3)
    with pytest.raises(LocalProtocolError):
        build.forward([], BODY, network=NETWORK, rng=rng)
    with pytest.raises(LocalProtocolError):
        build.forward([hop] * 6, BODY, network=NETWORK, rng=rng)
    for length in (0, geometry.BODY_LENGTH - 1, geometry.BODY_LENGTH + 1):
        with pytest.raises(LocalProtocolError):
            build.forward([hop], bytes(length), network=NETWORK, rng=rng)
        with pytest.raises(LocalProtocolError):
            surb.use(bytes(geometry.SURB_LENGTH), bytes(length))
    for client in (b"", bytes(15), bytes(17)):
        with pytest.raises(LocalProtocolError):
            surb.create([hop], client, network=NETWORK, rng=rng)
    for wrong in ((bytes(15), 1, bytes(32), 0), (bytes(16), 1, bytes(31), 0)):
        with pytest.raises(LocalProtocolError):
            keys.Hop(*wrong)
    for wrong_number in ((1, -1), (1, 2**16), (-1, 0)):
        with pytest.raises(LocalProtocolError):
            keys.Hop(bytes(16), wrong_number[0], bytes(32), wrong_number[1])


def test_secrets_do_not_show_in_a_repr() -> None:
    path = [RELAYS[0].hop()]
    _, secret = surb.create(path, CLIENT, network=NETWORK, rng=seeded(4))
    head = build.header(path, bytes(geometry.GEOMETRY.slot), network=NETWORK, rng=seeded(4))
    shown = repr((secret, RELAYS[0].keyring, RELAYS[0].key(), head))
    for hidden in (secret.payload_key, *secret.hop_keys, RELAYS[0].key().public):
        assert repr(hidden)[2:-1] not in shown and hidden.hex() not in shown


def test_the_parts_fill_the_packet_and_the_networks_size_agrees() -> None:
    whole = geometry.GEOMETRY
    assert (whole.slot, whole.slots, whole.header) == (72, 360, 416)
    assert (whole.payload, whole.body, whole.surb, whole.surb_id) == (2656, 2640, 464, 48)
    assert all(n.packet_bytes == whole.packet for n in parameters.NETWORKS.values())
    with pytest.raises(LocalProtocolError):
        geometry.Geometry(packet=400)
    with pytest.raises(LocalProtocolError):
        geometry.Geometry(hops=4)


@given(key=st.binary(min_size=128, max_size=128), block=st.binary(min_size=33, max_size=300))
@settings(max_examples=50)
def test_the_wide_cipher_undoes_itself_and_spreads_every_bit(key: bytes, block: bytes) -> None:
    sealed = lioness.encrypt(key, block)
    assert len(sealed) == len(block) and lioness.decrypt(key, sealed) == block
    assert lioness.encrypt(key, lioness.decrypt(key, block)) == block
    for bit in (0, 8 * len(block) - 1):
        other = lioness.decrypt(key, flipped(sealed, bit))
        assert other[:32] != block[:32] and other[32:] != block[32:]


def test_the_stream_is_rfc_8439s_from_block_one_and_takes_no_other_key_length() -> None:
    block = crypto.keystream(bytes(32), 64)  # RFC 8439, A.1, test vector 2
    assert block[:32].hex() == "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    assert block[32:].hex() == "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    assert crypto.stream_xor(bytes(32), block) == bytes(64)
    assert crypto.stream_xor(bytes(32), b"") == b""
    for length in (0, 31, 33):
        with pytest.raises(ValueError):
            crypto.stream_xor(bytes(length), b"data")
