"""Parcels on the wire, and how texts are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol.client import parcel
from shoal_protocol.client.parcel import ACK_WINDOW, HEAD_LENGTH, MAX_PARTS, Acks, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError

acks = st.builds(Acks, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
parts = st.integers(1, MAX_PARTS).flatmap(
    lambda count: st.builds(
        lambda part, beyond, created, text: Part(part + beyond, created, part, count, text),
        st.integers(0, count - 1),
        st.integers(0, 2**32 - MAX_PARTS),
        st.integers(0, 2**64 - 1),
        st.binary(max_size=50),
    )
)


@given(st.builds(Parcel, acks, st.none() | parts))
@settings(max_examples=200, deadline=None)
def test_every_parcel_comes_back_as_it_was(sent: Parcel) -> None:
    assert parcel.decode(parcel.encode(sent)) == sent


@given(st.binary(max_size=80), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused_or_have_exactly_their_own_form(data: bytes, kind: int) -> None:
    for parcel_bytes in (data, bytes([kind]) + data, bytes([kind]) + data.ljust(40, b"\0")):
        try:
            value = parcel.decode(parcel_bytes)
        except RemoteProtocolError as error:
            assert error.reason == "parcel"
        else:
            assert parcel.encode(value) == parcel_bytes


def test_a_parcel_cut_short_is_refused_and_an_acknowledgement_has_one_length() -> None:
    alone = parcel.encode(Parcel(Acks(3, 5), None))
    assert len(alone) == HEAD_LENGTH == 29
    for wrong in (alone[:-1], alone + b"\0", b""):
        with pytest.raises(RemoteProtocolError, match="parcel"):
            parcel.decode(wrong)


@pytest.mark.parametrize(("part", "count"), [(1, 1), (0, 0), (MAX_PARTS, MAX_PARTS + 1)])
def test_a_part_beyond_its_message_is_refused(part: int, count: int) -> None:
    sent = parcel.encode(Parcel(Acks(), Part(100, 0, part, count, b"")))
    with pytest.raises(RemoteProtocolError, match="parcel"):
        parcel.decode(sent)


def test_a_part_whose_message_would_begin_before_the_first_sequence_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="parcel"):
        parcel.decode(parcel.encode(Parcel(Acks(), Part(2, 0, 3, 5, b""))))


@given(st.binary(max_size=300), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_a_cut_text_joins_to_itself_and_every_part_fits(
    text: bytes, first: int, others: int
) -> None:
    pieces = parcel.split(text, first, others)
    assert b"".join(pieces) == text
    assert len(pieces[0]) <= first
    assert all(0 < len(piece) <= others for piece in pieces[1:])


def test_acknowledgements_cover_what_they_name_and_nothing_else() -> None:
    came = Acks(10, 0b101)
    assert [n for n in range(200) if came.covers(n)] == [*range(10), 11, 13]
    assert Acks(0, 2**64 - 1).covers(ACK_WINDOW)
    assert not Acks(0, 2**64 - 1).covers(ACK_WINDOW + 1)
    assert not Acks(0, 2**64 - 1).covers(0)
