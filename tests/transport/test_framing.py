"""Frames on a stream: any cutting gives the same frames, and lengths are refused, not trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_node.transport.framing import (
    DHT,
    DIRECTORY,
    FRAMINGS,
    MAX_FRAME,
    PACKET,
    PACKET_FRAME,
    Decoder,
    framing_of,
)
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 400))
def test_prefixed_frames_survive_any_cutting(frames: list[bytes], step: int) -> None:
    framing, decoder = FRAMINGS[DHT], Decoder(FRAMINGS[DHT])
    stream = b"".join(map(framing.encode, frames))
    assert len(stream) == sum(map(framing.size_of, frames))
    got = [f for at in range(0, len(stream), step) for f in decoder.feed(stream[at : at + step])]
    assert got == frames
    assert not decoder.unfinished


@given(st.integers(1, 3), st.integers(1, 5_000))
def test_packets_survive_any_cutting(count: int, step: int) -> None:
    framing, decoder = FRAMINGS[PACKET], Decoder(FRAMINGS[PACKET])
    frames = [bytes([n]) * PACKET_FRAME for n in range(count)]
    stream = b"".join(map(framing.encode, frames))
    assert len(stream) == count * PACKET_FRAME
    got = [f for at in range(0, len(stream), step) for f in decoder.feed(stream[at : at + step])]
    assert got == frames


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_frames_or_one_error(data: bytes) -> None:
    decoder = Decoder(FRAMINGS[DIRECTORY])
    try:
        frames = decoder.feed(data)
    except RemoteProtocolError as error:
        assert error.reason == "frame oversized"
    else:
        assert sum(map(len, frames)) <= len(data)


def test_the_longest_frame_is_taken_and_one_byte_more_is_refused_at_its_prefix() -> None:
    framing = FRAMINGS[DHT]
    assert Decoder(framing).feed(framing.encode(bytes(MAX_FRAME))) == [bytes(MAX_FRAME)]
    with pytest.raises(RemoteProtocolError, match="frame oversized"):
        Decoder(framing).feed((MAX_FRAME + 1).to_bytes(4, "big"))


def test_a_frame_cut_short_is_unfinished() -> None:
    decoder = Decoder(FRAMINGS[DHT])
    assert decoder.feed(FRAMINGS[DHT].encode(b"abc")[:-1]) == []
    assert decoder.unfinished
    assert decoder.feed(b"c") == [b"abc"]


@pytest.mark.parametrize("length", [0, PACKET_FRAME - 1, PACKET_FRAME + 1])
def test_a_packet_of_another_length_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        FRAMINGS[PACKET].check(bytes(length))


def test_only_defined_protocols_have_a_framing() -> None:
    assert framing_of(PACKET).fixed == PACKET_FRAME
    with pytest.raises(LocalProtocolError):
        framing_of("/shoal/packet/2")
