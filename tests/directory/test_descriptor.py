"""Descriptors and leases: what is taken and what is refused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.world import Author
from shoal_protocol import clock, crypto, wire
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import addresses, envelope
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory import lease as leases
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import LAB, MAIN, NetworkParameters
from support import START, seeded

OPEN = replace(MAIN, name="open", descriptor_work_bits=4)  # the main network's rules, less work
EPOCH = clock.index_of(START, LAB.epoch_s)
ALICE = Author("alice")
OUTSIDE = Author("outside", OPEN)


def refusal(data: bytes, params: NetworkParameters = LAB) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        descriptors.decode_descriptor(data, params)
    return caught.value.reason


def signed_body(author: Author, body: Sequence[object], serial: int = 0) -> bytes:
    """Sign any body at all, as a hostile relay may."""
    packed = wire.pack([0, *body])
    version = Version(EPOCH, serial)
    return envelope.seal(author.seed, b"relay descriptor", version, packed, author.params)


def fields(author: Author, **changes: object) -> list[object]:
    body: dict[str, object] = {
        "addresses": ["/ip4/9.9.9.9/tcp/4001"],
        "mix_keys": [[EPOCH, crypto.digest(b"")]],
        "instance": bytes(16),
        "capacity": 0,
        "family": b"",
        "software": "",
        "nonce": author.nonce,
    }
    return list({**body, **changes}.values())


def test_a_descriptor_says_what_was_signed() -> None:
    data = ALICE.descriptor(addresses=["/ip4/9.9.9.9/tcp/4001", "/memory/7"])
    found = descriptors.decode_descriptor(data, LAB)
    assert found.peer_id == ALICE.peer_id
    assert found.relay_id == ALICE.relay_id
    assert found.version == Version(EPOCH, 0)
    suffix = addresses.suffix(ALICE.peer_id)
    assert found.addresses == ("/ip4/9.9.9.9/tcp/4001" + suffix, "/memory/7" + suffix)
    assert found.instance == ALICE.instance
    assert found.mix_key(EPOCH + 1) == found.mix_keys[2][1]
    assert found.mix_key(EPOCH + 2) is None
    assert found.data == data
    assert found.signature == data[:64]


def test_full_addresses_of_the_signer_lose_their_peer_id_on_the_wire() -> None:
    full = "/ip4/9.9.9.9/tcp/4001" + addresses.suffix(ALICE.peer_id)
    assert ALICE.descriptor(addresses=[full]) == ALICE.descriptor()


def test_an_address_of_another_identity_cannot_be_signed() -> None:
    with pytest.raises(LocalProtocolError):
        ALICE.descriptor(addresses=["/memory/7" + addresses.suffix(OUTSIDE.peer_id)])


def test_an_ordinary_descriptor_is_about_three_hundred_bytes() -> None:
    assert 250 < len(ALICE.descriptor()) < 400


def test_the_fullest_descriptor_of_the_main_network_fits() -> None:
    long = "/ip6/2606:4700:1111:2222:3333:4444:5555:{}/tcp/65535"
    data = descriptors.sign(
        OUTSIDE.seed,
        version=Version(EPOCH, 3),
        addresses=[long.format(number) for number in range(6666, 6670)],
        mix_keys=[(epoch, crypto.digest(b"")) for epoch in (EPOCH - 1, EPOCH, EPOCH + 1)],
        instance=bytes(16),
        nonce=OUTSIDE.nonce,
        params=OPEN,
        capacity=255,
        family=bytes(16),
        software="x" * 24,
    )
    assert len(data) <= descriptors.MAX_DESCRIPTOR


@pytest.mark.parametrize(
    "bad",
    [
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/10.1.2.3/tcp/4001",
        "/ip4/192.168.1.1/tcp/4001",
        "/ip4/169.254.1.1/tcp/4001",
        "/ip4/100.64.0.1/tcp/4001",
        "/ip4/224.0.0.1/tcp/4001",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip6/::1/tcp/4001",
        "/ip6/fe80::1/tcp/4001",
        "/ip6/fc00::1/tcp/4001",
        "/ip6/::ffff:10.0.0.1/tcp/4001",
        "/ip6/2002:a00:1::/tcp/4001",
        "/ip6/64:ff9b::a00:1/tcp/4001",  # 10.0.0.1 by the host's NAT64
        "/ip6/64:ff9b:1::a00:1/tcp/4001",
        "/ip6/fec0::1/tcp/4001",
        "/ip6/::a00:1/tcp/4001",
        "/ip6/::ffff:0:a00:1/tcp/4001",
    ],
)
def test_hosts_that_are_not_routable_pass_in_labs_only(bad: str) -> None:
    assert refusal(signed_body(OUTSIDE, fields(OUTSIDE, addresses=[bad])), OPEN).startswith(
        "address"
    )
    with pytest.raises(RemoteProtocolError):
        addresses.check(bad, OPEN)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "/ip4/9.9.9.9",
        "/ip4/9.9.9.9/tcp/0",
        "/ip4/9.9.9.9/tcp/65536",
        "/ip4/9.9.9.9/tcp/04001",
        "/ip4/9.9.9.9/udp/4001",
        "/ip4/9.9.9.9/tcp/4001/ws",
        "/ip4/9.9.9.9/tcp/4001\n",
        "/ip4/9.9.9.09/tcp/4001",
        "/ip4/2606:4700::1/tcp/4001",
        "/ip6/9.9.9.9/tcp/4001",
        "/ip6/2606:4700:0::1/tcp/4001",
        "/ip6/2606:4700::A/tcp/4001",
        "/ip6/fe80::1%eth0/tcp/4001",
        "/dns/example.org/tcp/4001",
        "/memory/a b",
        "/memory/" + "a" * 89,
        "/ip4/9.9.9.9/tcp/４００１",
    ],
)
def test_an_address_has_one_text(bad: str) -> None:
    for params in (LAB, OPEN):
        with pytest.raises(RemoteProtocolError) as caught:
            addresses.check(bad, params)
        assert caught.value.reason == "address form"


def test_memory_addresses_are_for_labs() -> None:
    addresses.check("/memory/7", LAB)
    with pytest.raises(RemoteProtocolError):
        addresses.check("/memory/7", OPEN)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"addresses": []}, "wire"),
        ({"addresses": [f"/memory/{number}" for number in range(5)]}, "wire"),
        ({"addresses": ["/memory/1", "/memory/1"]}, "address repeated"),
        ({"mix_keys": []}, "wire"),
        ({"mix_keys": [[EPOCH - 2, bytes(32)]]}, "mix keys"),
        ({"mix_keys": [[EPOCH + 2, bytes(32)]]}, "mix keys"),
        ({"mix_keys": [[EPOCH, bytes(32)], [EPOCH, bytes(32)]]}, "mix keys"),
        ({"mix_keys": [[EPOCH + 1, bytes(32)], [EPOCH, bytes(32)]]}, "mix keys"),
        ({"mix_keys": [[EPOCH, bytes(31)]]}, "wire"),
        ({"mix_keys": [[EPOCH, bytes(32)]]}, "low-order point"),
        ({"mix_keys": [[EPOCH, b"\x01" + bytes(31)]]}, "low-order point"),
        ({"instance": bytes(15)}, "wire"),
        ({"capacity": 256}, "wire"),
        ({"capacity": True}, "wire"),
        ({"family": bytes(8)}, "family"),
        ({"software": "x" * 25}, "wire"),
        ({"software": "\x1b[2J"}, "software"),
        ({"nonce": bytes(7)}, "wire"),
        ({"more": 1}, "wire"),
    ],
)
def test_a_signed_body_of_another_form_is_refused(changes: dict[str, object], reason: str) -> None:
    assert refusal(signed_body(ALICE, fields(ALICE, **changes))) == reason


def test_a_serial_beyond_the_networks_is_refused() -> None:
    data = signed_body(OUTSIDE, fields(OUTSIDE), serial=OPEN.serials_per_epoch)
    assert refusal(data, OPEN) == "serial"


def test_an_identity_without_work_is_refused() -> None:
    nonces = (bytes([0] * 7 + [last]) for last in range(256))
    reasons = {
        refusal(data, OPEN)
        for data in (signed_body(OUTSIDE, fields(OUTSIDE, nonce=nonce)) for nonce in nonces)
        if not _taken(data)
    }
    assert reasons == {"work"}


def _taken(data: bytes) -> bool:
    try:
        descriptors.decode_descriptor(data, OPEN)
    except RemoteProtocolError:
        return False
    return True


def test_work_of_another_identity_or_network_is_worth_nothing() -> None:
    hard = replace(OPEN, descriptor_work_bits=12)
    one, other = Author("one", hard), Author("other", hard)
    data = signed_body(one, fields(one, nonce=other.nonce))
    assert refusal(data, hard) == "work"


def test_every_flipped_bit_is_refused() -> None:
    data = ALICE.descriptor()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(changed)) == "signature"


def test_one_byte_short_or_long_is_refused() -> None:
    data = ALICE.descriptor()
    assert refusal(data[:-1]) == "signature"
    assert refusal(data + b"\0") == "signature"
    assert refusal(bytes(descriptors.MAX_DESCRIPTOR + 1)) == "record size"
    assert refusal(data[: envelope.HEADER_LENGTH]) == "record size"


def test_records_of_another_network_are_refused() -> None:
    other = replace(LAB, gossip_interval_ms=999)
    assert refusal(ALICE.descriptor(), other) == "signature"
    with pytest.raises(RemoteProtocolError, match="signature"):
        leases.decode_lease(ALICE.lease(), other)


def test_a_lease_is_no_descriptor_and_a_descriptor_no_lease() -> None:
    assert refusal(ALICE.lease()) == "signature"
    with pytest.raises(RemoteProtocolError):
        leases.decode_lease(ALICE.descriptor()[: leases.LEASE_LENGTH], LAB)


def test_a_body_is_not_decoded_before_its_signature_holds() -> None:
    bomb = b"\xdd\xff\xff\xff\xff" + bytes(200)
    data = bytes(64) + ALICE.public + EPOCH.to_bytes(4, "big") + b"\0" + bomb
    assert refusal(data) == "signature"


@given(st.binary(max_size=descriptors.MAX_DESCRIPTOR + 8))
def test_arbitrary_bytes_give_the_one_error(data: bytes) -> None:
    for decode in (descriptors.decode_descriptor, leases.decode_lease):
        with pytest.raises(RemoteProtocolError):
            decode(data, LAB)


@given(st.binary(max_size=300))
def test_arbitrary_signed_bodies_give_the_one_error(body: bytes) -> None:
    data = envelope.seal(ALICE.seed, b"relay descriptor", Version(EPOCH, 0), body, LAB)
    with pytest.raises(RemoteProtocolError):
        descriptors.decode_descriptor(data, LAB)


@given(
    serial=st.integers(0, 255),
    capacity=st.integers(0, 255),
    family=st.sampled_from([b"", bytes(range(16))]),
    software=st.from_regex(r"[A-Za-z0-9._+/-]{0,24}", fullmatch=True),
    ports=st.sets(st.integers(1, 65_535), min_size=1, max_size=4),
    epochs=st.sets(st.integers(EPOCH - 1, EPOCH + 1), min_size=1),
    seed=st.integers(0, 100),
)
def test_whatever_can_be_signed_is_read_again_as_it_was(
    serial: int,
    capacity: int,
    family: bytes,
    software: str,
    ports: set[int],
    epochs: set[int],
    seed: int,
) -> None:
    keys = [(epoch, seeded(seed + epoch).bytes(32)) for epoch in sorted(epochs)]
    data = descriptors.sign(
        ALICE.seed,
        version=Version(EPOCH, serial),
        addresses=[f"/ip4/127.0.0.1/tcp/{port}" for port in sorted(ports)],
        mix_keys=keys,
        instance=seeded(seed).bytes(16),
        nonce=ALICE.nonce,
        params=LAB,
        capacity=capacity,
        family=family,
        software=software,
    )
    found = descriptors.decode_descriptor(data, LAB)
    assert found.version == (EPOCH, serial)
    assert (found.capacity, found.family, found.software) == (capacity, family, software)
    assert found.mix_keys == tuple(keys)
    assert len(found.addresses) == len(ports)


def test_a_lease_says_what_was_signed() -> None:
    data = ALICE.lease(serial=3)
    found = leases.decode_lease(data, LAB)
    assert len(data) == leases.LEASE_LENGTH == 110
    assert found.relay_id == ALICE.relay_id
    assert found.version == (EPOCH, 3)
    assert found.until == START // SECOND + LAB.lease_s


def test_a_lease_of_another_length_is_refused() -> None:
    data = ALICE.lease()
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(RemoteProtocolError, match="record size"):
            leases.decode_lease(wrong, LAB)


def test_a_lease_is_believed_from_now_to_one_lease_and_the_skew_ahead() -> None:
    now = START // SECOND
    most = now + LAB.lease_s + LAB.clock_skew_s
    assert leases.in_time(now + 1, START, LAB)
    assert leases.in_time(most, START, LAB)
    for wrong in (0, now - 1, now, most + 1, 2**64 - 1):
        assert not leases.in_time(wrong, START, LAB)
