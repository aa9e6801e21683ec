"""Inbox entries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from pseudonyms.people import NETWORK, TODAY
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import persona
from shoal_protocol.sessions import cloak
from support import seeded

ADA = people.persona("ada").public
BOB = people.persona("bob").public
PLAINTEXT = b"\1" + seeded("body").bytes(cloak.BODY_LENGTH)


def sealed(plaintext: bytes = PLAINTEXT, *, seed: int = 0, day: int = TODAY) -> bytes:
    return cloak.seal(ADA.pseudonym, ADA.inbox_root, day, plaintext, seeded(seed), NETWORK)


def opened(record: bytes, *, day: int = TODAY, network: bytes = NETWORK) -> bytes:
    return cloak.open(ADA.pseudonym, ADA.inbox_root, day, record, network)


def test_an_entry_fills_its_record_and_comes_back() -> None:
    assert PLAINTEXT[0] == cloak.FIRST_CONTACT
    record = sealed()
    assert len(record) == 2048
    assert record[:32] == persona.inbox_address(ADA.inbox_root, TODAY, NETWORK)
    assert opened(record) == PLAINTEXT


@pytest.mark.parametrize("length", [0, 1, cloak.CAPACITY - 1, cloak.CAPACITY + 1])
def test_a_plaintext_that_does_not_fill_its_entry_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        sealed(bytes(length))


@given(st.integers(0, 2047), st.integers(0, 7))
@settings(max_examples=100)
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    """Ledger: packets without integrity (NYM-01-013)."""
    record = bytearray(sealed())
    record[place] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        opened(bytes(record))


@given(st.binary(max_size=100))
@settings(max_examples=50)
def test_arbitrary_bytes_are_only_ever_refused(data: bytes) -> None:
    for record in (data, data.ljust(2048, b"\0"), sealed()[:32] + data.ljust(2016, b"\0")):
        with pytest.raises(RemoteProtocolError):
            opened(record)


def test_another_length_is_refused() -> None:
    for wrong in (b"", sealed()[:-1], sealed() + b"\0"):
        with pytest.raises(RemoteProtocolError, match="entry length"):
            opened(wrong)


def test_an_entry_is_for_one_day_one_inbox_and_one_network() -> None:
    with pytest.raises(RemoteProtocolError, match="entry address"):
        opened(sealed(), day=TODAY + 1)
    with pytest.raises(RemoteProtocolError, match="entry address"):
        opened(sealed(), network=people.OTHER_NETWORK)
    with pytest.raises(RemoteProtocolError, match="entry address"):
        cloak.open(ADA.pseudonym, BOB.inbox_root, TODAY, sealed(), NETWORK)


def test_who_lacks_the_pseudonym_opens_nothing_even_with_the_inbox_root() -> None:
    with pytest.raises(RemoteProtocolError, match="aead"):
        cloak.open(BOB.pseudonym, ADA.inbox_root, TODAY, sealed(), NETWORK)


def test_an_entry_moved_to_another_address_is_refused() -> None:
    moved = sealed(day=TODAY + 1)[:32] + sealed()[32:]
    with pytest.raises(RemoteProtocolError, match="aead"):
        opened(moved, day=TODAY + 1)


def test_an_unknown_kind_is_refused() -> None:
    for kind in (0, 2, 255):
        with pytest.raises(RemoteProtocolError, match="entry kind"):
            opened(sealed(bytes([kind]) + PLAINTEXT[1:]))


def test_two_entries_of_one_text_share_only_the_address() -> None:
    one, other = sealed(seed=1), sealed(seed=2)
    assert one[:32] == other[:32]
    assert not {one[i : i + 4] for i in range(32, 2045)} & {
        other[i : i + 4] for i in range(32, 2045)
    }


@pytest.mark.parametrize("point", [*people.LOW_ORDER_EDWARDS, *people.NOT_CANONICAL])
def test_an_inbox_root_that_is_no_key_is_refused(point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="point"):
        cloak.seal(ADA.pseudonym, point, TODAY, PLAINTEXT, seeded(), NETWORK)
