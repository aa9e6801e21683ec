"""Read and write capabilities: what they derive, how they travel, what they refuse."""

import dataclasses

import nacl.bindings as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.streams import box, capability
from shoal_protocol.streams.capability import ReadCapability, WriteCapability
from streams import stream_support as s
from support import seeded

STREAM = s.stream()
PACKED = STREAM.read().pack()
indices = st.integers(0, 60)
days = st.integers(0, 2**32 - 1)
TOO_FAR = 2**48


def with_index(packed: bytes, index: int) -> bytes:
    """Return a packed capability that claims another index."""
    return packed[:32] + index.to_bytes(8, "big") + packed[40:]


def refusal(record: bytes, reader: ReadCapability, day: int = s.DAY) -> str:
    """Return why ``reader`` refuses a record."""
    with pytest.raises(RemoteProtocolError) as caught:
        reader.open(record, day)
    return caught.value.reason


@given(indices, indices, days, st.binary(min_size=32, max_size=32))
@settings(max_examples=40)
def test_a_reader_opens_every_box_from_its_index_on(
    first: int, further: int, day: int, seed: bytes
) -> None:
    writer = WriteCapability.create(seeded(seed.hex()), s.NETWORK)
    reader = ReadCapability.parse(writer.at(first).read().pack(), s.NETWORK)
    index = first + further
    record = writer.at(index).seal(day, s.filler(index))
    assert reader.index == first
    assert reader.at(index).address(day) == writer.at(index).address(day) == record[:32]
    assert reader.at(index).open(record, day) == s.filler(index)


@given(indices, indices)
@settings(max_examples=30)
def test_steps_of_any_size_lead_to_the_same_place(one: int, two: int) -> None:
    assert STREAM.at(one).at(one + two) == STREAM.at(one + two)
    assert STREAM.read().at(one).at(one + two) == STREAM.at(one + two).read()
    assert STREAM.at(one).read().at(one + two) == STREAM.read().at(one + two)


def test_advancing_leaves_the_older_value_as_it_was() -> None:
    writer, reader = s.stream(), s.stream().read()
    writer.at(9)
    reader.at(9)
    assert writer.index == reader.index == 0
    assert writer == STREAM
    assert reader.pack() == PACKED


@pytest.mark.parametrize(
    ("start", "index"),
    [(5, 4), (5, 0), (0, -1), (0, capability.MAX_AHEAD + 1), (7, 2**64)],
)
def test_an_index_behind_or_too_far_ahead_is_our_own_bug(start: int, index: int) -> None:
    for place in (STREAM.at(start), STREAM.at(start).read()):
        with pytest.raises(LocalProtocolError):
            place.at(index)


def test_the_furthest_step_is_allowed() -> None:
    assert STREAM.at(capability.MAX_AHEAD).index == capability.MAX_AHEAD


def test_no_index_lies_beyond_the_last() -> None:
    last = ReadCapability.parse(with_index(PACKED, TOO_FAR - 1), s.NETWORK)
    assert last.at(TOO_FAR - 1) == last
    with pytest.raises(LocalProtocolError):
        last.at(TOO_FAR)


@given(st.integers(0, TOO_FAR - 1), st.binary(min_size=32, max_size=32))
@settings(max_examples=50)
def test_capabilities_come_back_from_their_bytes(index: int, seed: bytes) -> None:
    kept = with_index(WriteCapability.create(seeded(seed.hex()), s.NETWORK).dump(), index)
    writer = WriteCapability.load(kept, s.NETWORK)
    assert writer.dump() == kept
    packed = writer.read().pack()
    assert ReadCapability.parse(packed, s.NETWORK) == writer.read()
    assert ReadCapability.parse(packed, s.NETWORK).pack() == packed
    assert len(kept) == len(packed) == capability.CAPABILITY_LENGTH == 72


def test_a_writer_from_its_bytes_seals_the_same_boxes() -> None:
    loaded = WriteCapability.load(STREAM.at(3).dump(), s.NETWORK)
    assert loaded.seal(s.DAY, s.filler()) == STREAM.at(3).seal(s.DAY, s.filler())


@pytest.mark.parametrize("data", [PACKED[:-1], PACKED + b"\0", b"", PACKED[:32]])
def test_capabilities_of_another_length_are_refused(data: bytes) -> None:
    for parse in (ReadCapability.parse, WriteCapability.load):
        with pytest.raises(RemoteProtocolError, match="capability"):
            parse(data, s.NETWORK)


@pytest.mark.parametrize("index", [TOO_FAR, 2**63, 2**64 - 1])
def test_an_index_that_no_stream_reaches_is_refused(index: int) -> None:
    for parse in (ReadCapability.parse, WriteCapability.load):
        with pytest.raises(RemoteProtocolError, match="capability"):
            parse(with_index(PACKED, index), s.NETWORK)


@given(st.binary(max_size=150) | st.binary(min_size=72, max_size=72))
@settings(max_examples=200)
def test_arbitrary_bytes_are_a_capability_or_an_error_by_name(data: bytes) -> None:
    try:
        assert ReadCapability.parse(data, s.NETWORK).pack() == data
    except RemoteProtocolError as error:
        assert error.reason in {"capability", "point"}
    try:
        assert WriteCapability.load(data, s.NETWORK).dump() == data
    except RemoteProtocolError as error:
        assert error.reason == "capability"


@pytest.mark.parametrize(
    "point",
    [
        *people.LOW_ORDER_EDWARDS,
        *people.NOT_CANONICAL,
        people.OFF_CURVE,
        *(
            sodium.crypto_core_ed25519_add(PACKED[:32], torsion)
            for torsion in people.LOW_ORDER_EDWARDS[1:]
        ),
    ],
)
def test_a_capability_over_no_key_of_the_group_is_refused(point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="point"):
        ReadCapability.parse(point + PACKED[32:], s.NETWORK)


def test_a_box_of_another_place_day_or_stream_does_not_open() -> None:
    record, reader = STREAM.at(4).seal(s.DAY, s.filler()), STREAM.read()
    assert refusal(record, reader.at(3)) == "box address"
    assert refusal(record, reader.at(5)) == "box address"
    assert refusal(record, reader.at(4), s.DAY + 1) == "box day"
    assert refusal(record, s.stream("other").read().at(4)) == "box address"
    other = ReadCapability.parse(PACKED, s.OTHER_NETWORK)
    assert refusal(record, other.at(4)) == "box address"


def test_a_tombstone_says_that_it_is_one_after_its_signature_held() -> None:
    record = STREAM.tombstone(s.DAY)
    assert refusal(record, STREAM.read()) == "tombstone"
    assert refusal(s.with_bit_flipped(record, 8 * 40), STREAM.read()) == "signature"


def test_a_tombstone_of_another_stream_does_not_take_a_box_back() -> None:
    assert refusal(s.stream("other").tombstone(s.DAY), STREAM.read()) == "box address"


def test_content_that_its_own_writer_sealed_wrongly_is_refused() -> None:
    """The signature holds, the seal doesn't: the one case in which the AEAD has to speak."""
    secret = STREAM._signer(s.DAY)
    assert refusal(s.signed(secret), STREAM.read()) == "aead"
    record = box.seal(secret, bytes(32), s.DAY, s.filler(), s.NETWORK)
    assert refusal(record, STREAM.read()) == "aead"


@given(st.integers(0, 8 * 2048 - 1))
@settings(max_examples=150)
def test_a_reader_refuses_a_box_with_any_bit_flipped(bit: int) -> None:
    record = STREAM.seal(s.DAY, s.filler())
    assert refusal(s.with_bit_flipped(record, bit), STREAM.read()) in s.REASONS


@given(st.binary(max_size=2100) | st.binary(min_size=2048, max_size=2048))
@settings(max_examples=100)
def test_a_reader_refuses_arbitrary_bytes(data: bytes) -> None:
    assert refusal(data, STREAM.read()) in s.REASONS


def test_both_sides_of_a_root_make_the_same_stream() -> None:
    writer = WriteCapability.from_root(b"r" * 32, s.NETWORK, b"messages")
    reader = WriteCapability.from_root(b"r" * 32, s.NETWORK, b"messages").read()
    assert writer.index == 0
    assert reader.open(writer.seal(s.DAY, s.filler()), s.DAY) == s.filler()


def test_another_root_label_or_network_makes_an_unrelated_stream() -> None:
    made = {
        part
        for root in (b"r" * 32, b"s" * 32)
        for network in (s.NETWORK, s.OTHER_NETWORK)
        for label in (b"messages", b"receipts")
        for part in (
            WriteCapability.from_root(root, network, label).dump()[:32],
            WriteCapability.from_root(root, network, label).dump()[40:],
        )
    }
    assert len(made) == 2 * 2 * 2 * 2


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_root_of_another_length_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        WriteCapability.from_root(bytes(length), s.NETWORK, b"messages")


def test_a_fresh_stream_is_drawn_from_the_given_source() -> None:
    assert s.stream(1) == s.stream(1)
    assert s.stream(1) != s.stream(2)
    assert s.stream(1).dump()[40:] != s.stream(1).dump()[:32]


def test_capabilities_are_equal_by_their_value() -> None:
    assert s.stream() == STREAM
    assert hash(STREAM) == hash(s.stream())
    assert STREAM.read() == s.stream().read()
    assert hash(STREAM.read()) == hash(s.stream().read())
    assert STREAM.at(1) != STREAM
    assert STREAM.read() != STREAM
    assert STREAM.read() != PACKED
    assert ReadCapability.parse(PACKED, s.OTHER_NETWORK) != STREAM.read()


def test_capabilities_cannot_be_changed() -> None:
    for value in (STREAM, STREAM.read()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.index = 7  # type: ignore[misc]


def test_representations_of_capabilities_hold_no_secret() -> None:
    assert repr(STREAM) == "WriteCapability(<redacted>)"
    assert repr(STREAM.read()) == "ReadCapability(<redacted>)"
    shown = repr(dataclasses.replace(STREAM.read()))
    assert PACKED[40:].hex() not in shown
    assert crypto.kdf(b"box label", PACKED[40:]).hex() not in shown
