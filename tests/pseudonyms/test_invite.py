"""The text form of an invite."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import address, bech32m, invite
from shoal_protocol.pseudonyms.invite import Invite

KEY = people.persona("ada").pseudonym
ONE = Invite(b"netw", KEY, bytes(range(16)), 20_800)
TEXT = invite.encode(ONE)
EVERY_CHARACTER = [chr(c) for c in range(0x20, 0x7F)] + ["é", "١", "\u200b", "ſ", "K"]


def test_a_text_gives_its_invite_back_and_has_one_length() -> None:
    for number in range(50):
        pseudonym = people.persona(str(number)).pseudonym
        one = Invite(bytes([number]) * 4, pseudonym, bytes([255 - number]) * 16, 1300 * number)
        text = invite.encode(one)
        assert invite.decode(text) == one
        assert len(text) == invite.LENGTH
        assert text.startswith("shoal-invite1p")


def test_every_wrong_character_of_an_invite_is_found() -> None:
    for place, right in enumerate(TEXT):
        for wrong in EVERY_CHARACTER:
            if wrong != right:
                with pytest.raises(UserError):
                    invite.decode(TEXT[:place] + wrong + TEXT[place + 1 :])


def test_every_wrong_character_of_an_invite_in_capitals_is_found() -> None:
    text = TEXT.upper()
    for place, right in enumerate(text):
        for wrong in "QP2AZ1-o ":
            if wrong != right:
                with pytest.raises(UserError):
                    invite.decode(text[:place] + wrong + text[place + 1 :])


def test_every_swap_of_an_invites_neighbours_is_found() -> None:
    for i in range(len(TEXT) - 1):
        swapped = TEXT[:i] + TEXT[i + 1] + TEXT[i] + TEXT[i + 2 :]
        if swapped != TEXT:
            with pytest.raises(UserError):
                invite.decode(swapped)


def test_every_missing_or_added_character_of_an_invite_is_found() -> None:
    for i in range(len(TEXT)):
        with pytest.raises(UserError):
            invite.decode(TEXT[:i] + TEXT[i + 1 :])
        for extra in "q1p":
            with pytest.raises(UserError):
                invite.decode(TEXT[:i] + extra + TEXT[i:])


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
@settings(max_examples=100)
def test_an_invite_has_exactly_one_text(key: bytes, secret: bytes) -> None:
    """Whatever decodes is what encode gives back."""
    one = Invite(bytes(4), key, secret, 65_535)
    try:
        decoded = invite.decode(invite.encode(one))
    except UserError:
        return
    assert decoded == one


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_any_text_is_an_invite_or_refused_with_one_sentence(text: str) -> None:
    for given_text in (text, TEXT[:14] + text, "shoal:" + text):
        with pytest.raises(UserError):
            invite.decode(given_text)


@pytest.mark.parametrize(
    "text",
    [
        f" \n\t{TEXT}\r\n",
        TEXT.upper(),
        f"shoal:{TEXT}",
        f"  SHOAL:{TEXT.upper()} ",
        f"shoal:{TEXT.upper()}",
        ONE.link,
    ],
)
def test_a_link_capitals_and_white_space_around_make_no_difference(text: str) -> None:
    assert invite.decode(text) == ONE


def test_padding_bits_of_an_invite_that_are_set_are_refused() -> None:
    data = bech32m.values(TEXT[len("shoal-invite1") : -6])
    assert data is not None
    data[-1] |= 1
    with pytest.raises(UserError, match="one proper form"):
        invite.decode(bech32m.encode(invite.PREFIX, data))


def test_an_invite_of_another_version_is_refused() -> None:
    data = bech32m.values(TEXT[len("shoal-invite1") : -6])
    assert data is not None
    data[0] += 1
    with pytest.raises(UserError, match="version"):
        invite.decode(bech32m.encode(invite.PREFIX, data))


def test_an_invite_to_a_key_that_is_no_point_is_refused() -> None:
    for point in people.LOW_ORDER_EDWARDS:
        with pytest.raises(UserError, match="no usable key"):
            invite.decode(invite.encode(Invite(bytes(4), point, bytes(16), 1)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", 'This is no invite: one begins with "shoal-invite1".'),
        (address.encode(KEY), 'This is no invite: one begins with "shoal-invite1".'),
        (TEXT + "q", "An invite has 107 characters; this one has 108."),
        (TEXT[:-1], "An invite has 107 characters; this one has 106."),
        (TEXT[:-1] + "Q", "This invite's checksum is wrong; was it mistyped or cut?"),
        ("Shoal" + TEXT[5:], "This invite's checksum is wrong; was it mistyped or cut?"),
    ],
)
def test_a_refusal_of_an_invite_says_in_one_sentence_what_is_wrong(
    text: str, sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        invite.decode(text)
    assert str(caught.value) == sentence


def test_an_invite_of_another_network_or_of_the_past_is_refused() -> None:
    ONE.check(b"network of 32 bytes, or so".ljust(32), 20_799)
    with pytest.raises(UserError, match="another network"):
        ONE.check(bytes(32), 20_799)
    with pytest.raises(UserError, match="expired"):
        ONE.check(b"network of 32 bytes, or so".ljust(32), 20_800)


def test_an_invites_secret_is_not_shown_by_repr() -> None:
    assert repr(ONE) == "Invite(…)"
