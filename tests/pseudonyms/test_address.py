"""The text form of a pseudonym."""

import nacl.bindings as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import address, bech32m

KEY = people.persona("ada").pseudonym
TEXT = address.encode(KEY)
EVERY_CHARACTER = [chr(c) for c in range(0x20, 0x7F)] + ["é", "١", "\u200b", "ſ", "K"]


def test_a_text_gives_its_key_back_and_has_one_length() -> None:
    for name in range(50):
        key = people.persona(str(name)).pseudonym
        text = address.encode(key)
        assert address.decode(text) == key
        assert len(text) == address.LENGTH == 65
        assert text.startswith("shoal1p")


def test_the_checksum_is_that_of_bip_350() -> None:
    for valid in (
        "a1lqfn3a",
        "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
        "split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
        "?1v759aa",
    ):
        prefix, data = valid.rsplit("1", 1)
        values = bech32m.values(data)
        assert values is not None
        assert bech32m.holds(prefix, values)


def test_every_wrong_character_is_found() -> None:
    for place, right in enumerate(TEXT):
        for wrong in EVERY_CHARACTER:
            if wrong != right:
                with pytest.raises(UserError):
                    address.decode(TEXT[:place] + wrong + TEXT[place + 1 :])


def test_every_swap_of_neighbours_is_found() -> None:
    for i in range(len(TEXT) - 1):
        swapped = TEXT[:i] + TEXT[i + 1] + TEXT[i] + TEXT[i + 2 :]
        if swapped != TEXT:
            with pytest.raises(UserError):
                address.decode(swapped)


def test_every_missing_or_added_character_is_found() -> None:
    for i in range(len(TEXT)):
        with pytest.raises(UserError):
            address.decode(TEXT[:i] + TEXT[i + 1 :])
        for extra in "q1p":
            with pytest.raises(UserError):
                address.decode(TEXT[:i] + extra + TEXT[i:])


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=100)
def test_a_key_has_exactly_one_text(key: bytes) -> None:
    """Whatever decodes is what encode gives back."""
    text = address.encode(key)
    try:
        decoded = address.decode(text)
    except UserError:
        return
    assert decoded == key
    assert address.encode(decoded) == text


def test_padding_bits_set_are_refused() -> None:
    values = [address.VERSION, *bech32m.symbols_of(KEY)]
    values[-1] |= 1
    with pytest.raises(UserError, match="one proper form"):
        address.decode(bech32m.encode(address.PREFIX, values))


def test_another_version_is_refused() -> None:
    values = [address.VERSION + 1, *bech32m.symbols_of(KEY)]
    with pytest.raises(UserError, match="version"):
        address.decode(bech32m.encode(address.PREFIX, values))


@pytest.mark.parametrize("torsion", people.LOW_ORDER_EDWARDS)
def test_a_key_with_torsion_is_refused(torsion: bytes) -> None:
    if torsion != people.LOW_ORDER_EDWARDS[0]:
        with pytest.raises(UserError, match="no usable key"):
            address.decode(address.encode(sodium.crypto_core_ed25519_add(KEY, torsion)))
    with pytest.raises(UserError, match="no usable key"):
        address.decode(address.encode(torsion))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", 'A pseudonym begins with "shoal1".'),
        ("tb1" + TEXT[6:], 'A pseudonym begins with "shoal1".'),
        (TEXT.upper(), "A pseudonym is written in small letters throughout."),
        (
            TEXT[:6] + TEXT[6].upper() + TEXT[7:],
            "A pseudonym is written in small letters throughout.",
        ),
        (TEXT + "q", "A pseudonym has 65 characters; this one has 66."),
        (TEXT[:-1], "A pseudonym has 65 characters; this one has 64."),
    ],
)
def test_a_refusal_says_in_one_sentence_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        address.decode(text)
    assert str(caught.value) == sentence


@given(st.text(max_size=80))
@settings(max_examples=300)
def test_any_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UserError) as caught:
        address.decode("shoal1" + text)
    assert str(caught.value).endswith((".", "?"))
    assert len(text) < 8 or text not in str(caught.value)
