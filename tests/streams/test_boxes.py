"""The record of a box: what is in it, and that nothing else is taken for one."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from shoal_protocol import constants, crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.streams import box
from streams import stream_support as s
from support import seeded

BOX = s.stream().seal(s.DAY, s.filler())
TOMBSTONE = s.stream().tombstone(s.DAY)


def refusal(record: bytes, today: int = s.DAY, network: bytes = s.NETWORK) -> str:
    """Return why a record is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        box.check(record, today, network)
    return caught.value.reason


def test_a_sealed_box_passes_the_check_with_its_address_and_day() -> None:
    header = box.check(BOX, s.DAY, s.NETWORK)
    assert header == box.BoxHeader(s.stream().address(s.DAY), s.DAY, tombstone=False)


def test_a_tombstone_passes_the_check_at_the_address_of_its_box() -> None:
    header = box.check(TOMBSTONE, s.DAY, s.NETWORK)
    assert header == box.BoxHeader(BOX[:32], s.DAY, tombstone=True)


def test_the_fields_of_a_box_lie_where_the_table_says() -> None:
    assert len(BOX) == len(TOMBSTONE) == constants.RECORD_LENGTH == 2048
    assert BOX[s.DAY_FIELD] == TOMBSTONE[s.DAY_FIELD] == s.DAY.to_bytes(4, "big")
    assert (BOX[s.FLAGS], TOMBSTONE[s.FLAGS]) == (0, box.TOMBSTONE)
    assert BOX[s.ZERO_FIELD] == TOMBSTONE[s.ZERO_FIELD] == bytes(3)
    assert len(BOX[s.SEALED]) == box.SEALED_LENGTH == box.PLAINTEXT_LENGTH + 16
    assert TOMBSTONE[s.SEALED] == bytes(box.SEALED_LENGTH)


@pytest.mark.parametrize("record", [BOX, TOMBSTONE])
def test_the_address_is_a_stock_ed25519_key_that_signed_the_box(record: bytes) -> None:
    sealed = crypto.digest(record[s.SEALED])
    message = crypto.kdf(b"box", s.NETWORK, record[:32], record[96:101], sealed)
    Ed25519PublicKey.from_public_bytes(record[:32]).verify(record[32:96], message)


def test_the_same_input_gives_the_same_box() -> None:
    assert s.stream().seal(s.DAY, s.filler()) == BOX
    assert s.stream().tombstone(s.DAY) == TOMBSTONE


@pytest.mark.parametrize("record", [BOX, TOMBSTONE])
def test_a_bit_flipped_in_any_byte_is_refused(record: bytes) -> None:
    for place in range(len(record)):
        changed = s.with_bit_flipped(record, 8 * place + place % 8)
        assert refusal(changed) in s.REASONS, place


@pytest.mark.parametrize("record", [BOX, TOMBSTONE])
def test_every_bit_of_header_and_signature_counts(record: bytes) -> None:
    for bit in range(8 * s.SEALED.start):
        assert refusal(s.with_bit_flipped(record, bit)) in s.REASONS, bit


@given(st.integers(0, 8 * constants.RECORD_LENGTH - 1), st.booleans())
@settings(max_examples=200)
def test_a_bit_flipped_anywhere_is_refused(bit: int, tombstone: bool) -> None:
    record = TOMBSTONE if tombstone else BOX
    assert refusal(s.with_bit_flipped(record, bit)) in s.REASONS


@pytest.mark.parametrize("record", [BOX[:-1], BOX + b"\0", TOMBSTONE[:-1], TOMBSTONE + b"\0", b""])
def test_another_length_is_refused(record: bytes) -> None:
    assert refusal(record) == "box"


@given(st.binary(max_size=3000))
@settings(max_examples=100)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert refusal(data) == "box"


@given(st.binary(min_size=2048, max_size=2048), st.booleans(), st.booleans())
@settings(max_examples=100)
def test_arbitrary_bytes_of_a_boxs_length_are_refused(data: bytes, day: bool, form: bool) -> None:
    if form:
        data = data[: s.FLAGS] + bytes(4) + data[s.SEALED]
    if day:
        data = data[:96] + s.DAY.to_bytes(4, "big") + data[s.FLAGS :]
    assert refusal(data) in {"box", "box day", "signature"}


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [(-15, "box day"), (-14, None), (0, None), (1, None), (2, "box day")],
)
def test_a_box_is_taken_from_a_day_ahead_to_fourteen_days_behind(
    ahead: int, reason: str | None
) -> None:
    for record in (s.stream().seal(s.DAY + ahead, s.filler()), s.stream().tombstone(s.DAY + ahead)):
        if reason is None:
            assert box.check(record, s.DAY, s.NETWORK).day == s.DAY + ahead
        else:
            assert refusal(record) == reason


@pytest.mark.parametrize("day", [0, 2**32 - 1])
def test_the_first_and_last_day_that_the_field_holds_are_days(day: int) -> None:
    record = s.stream().seal(day, s.filler())
    assert box.check(record, day, s.NETWORK).day == day
    assert s.stream().read().open(record, day) == s.filler()


def test_a_box_of_another_network_is_refused() -> None:
    assert refusal(BOX, network=s.OTHER_NETWORK) == "signature"
    other = s.stream(network=s.OTHER_NETWORK)
    assert refusal(other.seal(s.DAY, s.filler())) == "signature"


def test_a_form_that_is_not_the_one_is_refused_though_its_owner_signed_it() -> None:
    owner = s.signer()
    assert box.check(s.signed(owner), s.DAY, s.NETWORK).address == owner.public
    for flags in range(2, 256):
        assert refusal(s.signed(owner, flags=flags)) == "box"
    for place in range(3):
        assert refusal(s.signed(owner, zero=s.with_bit_flipped(bytes(3), 8 * place))) == "box"


def test_a_tombstone_with_content_is_refused_though_its_owner_signed_it() -> None:
    owner, content = s.signer(), s.with_bit_flipped(bytes(box.SEALED_LENGTH), 9_999)
    assert refusal(s.signed(owner, flags=1, sealed=content)) == "box"
    assert box.check(s.signed(owner, flags=1), s.DAY, s.NETWORK).tombstone


def test_a_box_and_its_tombstone_cannot_lend_each_other_their_signature() -> None:
    for content, signature in ((BOX, TOMBSTONE), (TOMBSTONE, BOX)):
        assert refusal(content[:32] + signature[32:96] + content[96:]) == "signature"


def test_a_signature_has_one_form() -> None:
    """S and S + ℓ solve the same equation: a storer could turn one box into two."""
    twin = int.from_bytes(BOX[64:96], "little") + s.ORDER
    assert refusal(BOX[:64] + twin.to_bytes(32, "little") + BOX[96:]) == "signature"


@pytest.mark.parametrize(
    "address", [*people.LOW_ORDER_EDWARDS, *people.NOT_CANONICAL, people.OFF_CURVE]
)
def test_an_address_that_is_no_key_is_refused(address: bytes) -> None:
    """Under a key of low order the signature (identity, 0) would hold for many messages."""
    for signature in (people.LOW_ORDER_EDWARDS[0] + bytes(32), address + bytes(32), BOX[32:96]):
        assert refusal(address + signature + BOX[96:]) == "signature"


@pytest.mark.parametrize("length", [0, box.PLAINTEXT_LENGTH - 1, box.PLAINTEXT_LENGTH + 1])
def test_a_plaintext_of_another_length_is_our_own_bug(length: int) -> None:
    with pytest.raises(LocalProtocolError):
        s.stream().seal(s.DAY, bytes(length))


@pytest.mark.parametrize("day", [-1, 2**32])
def test_a_day_that_no_box_can_have_is_our_own_bug(day: int) -> None:
    builds: list[Callable[[], bytes]] = [
        lambda: s.stream().seal(day, s.filler()),
        lambda: s.stream().tombstone(day),
        lambda: s.stream().address(day),
        lambda: s.stream().read().address(day),
        lambda: box.seal(s.signer(), bytes(32), day, s.filler(), s.NETWORK),
        lambda: box.tombstone(s.signer(), day, s.NETWORK),
    ]
    for build in builds:
        with pytest.raises(LocalProtocolError):
            build()


def test_a_random_address_is_a_key_as_those_of_boxes_are() -> None:
    rng = seeded()
    for address in [box.random_address(rng) for _ in range(50)]:
        crypto.ed25519_check_point(address)
    assert box.random_address(seeded(1)) == box.random_address(seeded(1))
    assert box.random_address(seeded(1)) != box.random_address(seeded(2))
