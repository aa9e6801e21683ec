"""Parcels on the wire, what acknowledgements say, and how messages are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol.client import parcel
from shoal_protocol.client.parcel import (
    ACK_WINDOW,
    HEAD_LENGTH,
    MAX_NUMBER,
    MAX_PARTS,
    MAX_TIME,
    Acks,
    Kind,
    Parcel,
    Part,
)
from shoal_protocol.errors import RemoteProtocolError

LINE = b"the line"

acks = st.builds(Acks, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
lines = st.binary(min_size=8, max_size=8)
parts = st.integers(1, MAX_PARTS).flatmap(
    lambda count: st.builds(
        Part,
        st.integers(Kind.TEXT, 255),
        st.integers(0, MAX_NUMBER),
        st.integers(0, MAX_TIME),
        st.integers(0, count - 1),
        st.just(count),
        st.binary(max_size=50),
    )
)
with_parts = st.builds(
    lambda acks, line, part, back: Parcel(acks, line, max(0, part.number - back), part),
    acks,
    lines,
    parts,
    st.integers(0, 2000),
)
alone = st.builds(Parcel, acks, lines, st.integers(0, 2**32 - 1), st.none(), st.booleans())


@given(with_parts | alone)
@settings(max_examples=200)
def test_every_parcel_comes_back_as_it_was(sent: Parcel) -> None:
    assert parcel.decode(parcel.encode(sent)) == sent


@given(st.binary(max_size=80), st.integers(0, 255))
@settings(max_examples=300)
def test_arbitrary_bytes_are_refused_or_have_exactly_their_own_form(data: bytes, kind: int) -> None:
    for form in (data, bytes([kind]) + data, bytes([kind]) + data.ljust(60, b"\0")):
        try:
            value = parcel.decode(form)
        except RemoteProtocolError as error:
            assert error.reason == "parcel"
        else:
            assert parcel.encode(value) == form


@pytest.mark.parametrize("nudge", [False, True])
def test_an_acknowledgement_alone_has_one_length_and_nothing_behind_it(nudge: bool) -> None:
    sent = parcel.encode(Parcel(Acks(3, 5), LINE, 7, None, nudge))
    assert len(sent) == HEAD_LENGTH == 41
    assert parcel.decode(sent).wants_ack == nudge
    for wrong in (sent[:-1], sent + b"\0", b""):
        with pytest.raises(RemoteProtocolError, match="parcel"):
            parcel.decode(wrong)


@pytest.mark.parametrize(("part", "count"), [(1, 1), (0, 0), (MAX_PARTS, MAX_PARTS + 1)])
def test_a_part_beyond_its_message_is_refused(part: int, count: int) -> None:
    sent = Parcel(Acks(), LINE, 0, Part(Kind.TEXT, 0, 0, part, count, b""))
    with pytest.raises(RemoteProtocolError, match="parcel"):
        parcel.decode(parcel.encode(sent))


@pytest.mark.parametrize(("number", "least"), [(2, 3), (MAX_NUMBER + 1, MAX_NUMBER)])
def test_a_number_that_no_message_can_have_is_refused(number: int, least: int) -> None:
    sent = Parcel(Acks(), LINE, least, Part(Kind.TEXT, number, 0, 0, 1, b""))
    with pytest.raises(RemoteProtocolError, match="parcel"):
        parcel.decode(parcel.encode(sent))


@given(st.binary(max_size=300), st.integers(1, 40))
@settings(max_examples=100)
def test_a_cut_message_joins_to_itself_and_every_part_fits(data: bytes, size: int) -> None:
    pieces = parcel.split(data, size)
    assert b"".join(pieces) == data
    assert all(len(piece) == size for piece in pieces[:-1])
    assert len(pieces[-1]) <= size
    assert len(pieces) == max(1, -(-len(data) // size))


def test_acknowledgements_cover_what_they_name_and_nothing_else() -> None:
    came = Acks(10, 0b101)
    assert [n for n in range(200) if came.covers(n)] == [*range(10), 11, 13]
    assert came.gaps() == [10, 12]
    assert Acks(0, 2**64 - 1).covers(ACK_WINDOW)
    assert not Acks(0, 2**64 - 1).covers(ACK_WINDOW + 1)
    assert not Acks(0, 2**64 - 1).covers(0)
    assert Acks(5, 0).gaps() == []


@given(st.permutations(range(ACK_WINDOW + 1)), st.integers(0, ACK_WINDOW + 1))
@settings(max_examples=60)
def test_acknowledgements_cover_exactly_what_came_in_any_order(order: list[int], upto: int) -> None:
    came = Acks()
    for index in order[:upto]:
        assert came.within(index)
        came = came.plus(index)
        came = came.plus(index)
    assert {n for n in range(100) if came.covers(n)} == set(order[:upto])
    assert came.gaps() == [n for n in range(max(order[:upto], default=0)) if n not in order[:upto]]


@pytest.mark.parametrize("created", [MAX_TIME + 1, 2**64 - 1])
def test_a_time_that_no_store_can_hold_is_refused(created: int) -> None:
    """A stranger's first contact would else stop the node's store at each start again."""
    for claimed in (MAX_TIME, created):
        data = parcel.encode(Parcel(Acks(), LINE, 0, Part(Kind.TEXT, 0, claimed, 0, 1, b"hi")))
        if claimed == MAX_TIME:
            parcel.decode(data)
        else:
            with pytest.raises(RemoteProtocolError, match="parcel"):
                parcel.decode(data)
