"""What messages say: comes back as it was, bounded, and never refused as a whole."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol.client import contents
from shoal_protocol.client.contents import (
    EXPIRES_LEAST_S,
    EXPIRES_MOST_S,
    MAX_NAME,
    MAX_PICTURE,
    NO_PROFILE,
    Content,
    Profile,
    Reply,
)
from shoal_protocol.client.parcel import MAX_TIME, Kind
from shoal_protocol.errors import UserError

replies = st.builds(
    Reply, st.booleans(), st.integers(0, 2**32 - 1), st.integers(0, MAX_TIME), st.none()
)
said = st.builds(
    Content,
    st.text(max_size=60),
    st.none() | st.binary(max_size=100),
    st.none() | replies,
    st.none() | st.integers(EXPIRES_LEAST_S, EXPIRES_MOST_S),
)
names = st.text(st.characters(categories=("L", "N", "So")), min_size=1, max_size=16)
avatars = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda drawn: b"\x01" + drawn),
    st.binary(min_size=1, max_size=200).map(lambda picture: b"\x02" + picture),
)
shown = st.one_of(
    st.builds(Profile, st.none() | names, st.none(), st.none() | avatars),
    st.builds(
        Profile,
        st.none(),
        st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
        st.none() | avatars,
    ),
)


@given(said)
@settings(max_examples=200)
def test_a_message_comes_back_as_it_was_and_a_plain_text_is_nothing_but_itself(
    content: Content,
) -> None:
    kind, data = contents.write(content)
    came = contents.read(kind, data)
    reply = content.reply
    if reply is not None:
        reply = dataclasses.replace(reply, outgoing=not reply.outgoing)
    assert came == dataclasses.replace(content, reply=reply)
    if content == Content(content.text):
        assert (kind, data) == (Kind.TEXT, content.text.encode())


@given(st.sampled_from((Kind.TEXT, Kind.RICH)), st.binary(max_size=200))
@settings(max_examples=300)
def test_whatever_comes_is_shown_as_something(kind: Kind, data: bytes) -> None:
    content = contents.read(kind, data)
    if content.expires_s is not None:
        assert EXPIRES_LEAST_S <= content.expires_s <= EXPIRES_MOST_S
    content.text.encode()


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [(0, EXPIRES_LEAST_S), (4, EXPIRES_LEAST_S), (60, 60), (2**32 - 1, EXPIRES_MOST_S)],
)
def test_a_time_outside_its_range_becomes_the_nearest_within(claimed: int, kept: int) -> None:
    kind, data = contents.write(Content("x", expires_s=claimed))
    assert contents.read(kind, data).expires_s == kept


@given(shown)
@settings(max_examples=200)
def test_a_profile_comes_back_as_it_was(profile: Profile) -> None:
    came = contents.read_profile(contents.write_profile(profile))
    assert came == (None if profile.empty else profile)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_whatever_comes_as_a_profile_or_a_receipt_is_one_within_bounds_or_none(data: bytes) -> None:
    for form in (data, b"\x93\x00\xc4" + bytes([len(data)]) + data + b"\xc0"):
        profile = contents.read_profile(form)
        if profile is not None:
            contents.write_profile(profile)  # so it can be kept, and told
    receipt = contents.read_receipt(data)
    if receipt is not None:
        assert contents.write_receipt(receipt.number, receipt.created) == data


def test_nothing_at_all_is_the_profile_of_who_has_none() -> None:
    assert contents.write_profile(None) == contents.write_profile(Profile()) == NO_PROFILE
    assert contents.read_profile(NO_PROFILE) is None
    assert len(NO_PROFILE) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        Profile(""),
        Profile("x" * (MAX_NAME + 1)),
        Profile("two\nlines"),
        Profile("turned \u202e round"),
        Profile("both", (1, 2)),
        Profile(None, None, b"\x02" + bytes(MAX_PICTURE + 1)),
        Profile(None, None, b"\x01\x00"),
        Profile(None, None, b"\x03unknown"),
    ],
)
def test_a_profile_that_nobody_can_have_is_refused_with_a_sentence(wrong: Profile) -> None:
    with pytest.raises(UserError):
        contents.write_profile(wrong)


def test_names_that_come_lose_what_would_turn_the_writing_round() -> None:
    data = b"\x93\x00\xc4\x09" + "ad\u202e\nami".encode() + b"\xc0"
    assert contents.read_profile(data) == Profile("adami")


@pytest.mark.parametrize("filler", "\u034f\u115f\u1160\u17b4\u2800\u3164\uffa0")
def test_a_name_that_is_drawn_as_nothing_is_none(filler: str) -> None:
    name = (filler * 3).encode()
    assert contents.read_profile(bytes((0x93, 0, 0xC4, len(name))) + name + b"\xc0") is None
    assert contents.plain(f"A{filler}da") == "Ada"
    with pytest.raises(UserError, match="all of them printable"):
        contents.write_profile(Profile(name=f"{filler}Ada"))
