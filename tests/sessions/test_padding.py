"""Padding. Ledger: padding wrong at extremes (SimpleX 2022)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.sessions import padding


@pytest.mark.parametrize("length", [0, 1, 255, 256, 1952, 1953])
def test_every_length_up_to_the_last_comes_back_in_the_same_size(length: int) -> None:
    text = b"\xff" * length
    padded = padding.pad(text, 1955)
    assert len(padded) == 1955
    assert padding.unpad(padded) == text


@pytest.mark.parametrize("length", [1954, 1955, 70_000])
def test_a_text_longer_than_its_place_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        padding.pad(bytes(length), 1955)


@pytest.mark.parametrize(
    "padded",
    [b"", b"\0", b"\0\1", b"\0\3ab", b"\xff\xff" + bytes(50), b"\0\0\0\1", b"\0\1a\0\0\1"],
)
def test_what_is_not_padded_so_is_refused(padded: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="padding"):
        padding.unpad(padded)


@given(st.binary(max_size=40))
def test_whatever_unpads_is_what_pad_gives(data: bytes) -> None:
    try:
        text = padding.unpad(data)
    except RemoteProtocolError:
        return
    assert padding.pad(text, len(data)) == data
