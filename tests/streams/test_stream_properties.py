"""What streams promise: boxes that nobody can link, and reading that is no writing."""

import itertools
import math
from collections.abc import Iterator
from hashlib import sha512

import nacl.bindings as sodium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.pseudonyms.blinding import SigningSecret
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import ReadCapability, WriteCapability
from streams import stream_support as s
from support import seeded

WINDOW = 8  # bytes: two random boxes share one with a chance of 2^-43
SAMPLE = 2_000
SIGMAS = 5  # a fair bit is farther off with a chance of 6 in 10 million
seeds = st.binary(min_size=32, max_size=32)
indices = st.integers(0, 40)


def windows(data: bytes) -> set[bytes]:
    """Return every run of WINDOW bytes in ``data``."""
    return {data[i : i + WINDOW] for i in range(len(data) - WINDOW + 1)}


def telling(record: bytes) -> set[bytes]:
    """Return the runs outside day, flags and zeros, which are in clear and known."""
    return windows(record[: s.DAY_FIELD.start]) | windows(record[s.SEALED])


def fair(ones: int, draws: int) -> bool:
    """Whether ``ones`` of ``draws`` fair coins is no surprise."""
    return abs(ones - draws / 2) <= SIGMAS * math.sqrt(draws) / 2


def ones_by_place(values: list[bytes]) -> list[int]:
    """Return, for each bit's place, how many of ``values`` have it set."""
    numbers = [int.from_bytes(value, "little") for value in values]
    return [sum(number >> place & 1 for number in numbers) for place in range(8 * len(values[0]))]


def places(writer: WriteCapability, count: int) -> Iterator[WriteCapability]:
    """Yield the capability at each of the first ``count`` indices."""
    for index in range(count):
        yield writer
        writer = writer.at(index + 1)


@given(seeds, indices, indices, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_two_boxes_of_a_stream_share_no_linkable_value(
    seed: bytes, one: int, other: int, day: int, other_day: int
) -> None:
    if (one, day) == (other, other_day):
        other += 1
    writer = WriteCapability.create(seeded(seed.hex()), s.NETWORK)
    plaintext = s.filler()
    first = writer.at(one).seal(day, plaintext)
    second = writer.at(other).seal(other_day, plaintext)
    assert not telling(first) & telling(second)


@given(seeds, indices, indices)
@settings(max_examples=20)
def test_tombstones_of_a_stream_share_nothing_but_being_tombstones(
    seed: bytes, one: int, other: int
) -> None:
    writer = WriteCapability.create(seeded(seed.hex()), s.NETWORK)
    first = writer.at(one).tombstone(s.DAY)
    second = writer.at(other + 41).tombstone(s.DAY)
    assert first[96:] == second[96:]
    assert not windows(first[:96]) & windows(second[:96])


@given(seeds, indices)
@settings(max_examples=20)
def test_a_box_holds_no_piece_of_a_capability_or_of_its_plaintext(seed: bytes, index: int) -> None:
    root = seeded(seed.hex()).bytes(32)
    writer = WriteCapability.from_root(root, s.NETWORK, b"messages").at(index)
    secret = windows(root) | windows(s.filler())
    for data in (writer.dump(), writer.read().pack()):
        secret |= windows(data[:32]) | windows(data[40:])
    for record in (writer.seal(s.DAY, s.filler()), writer.tombstone(s.DAY)):
        assert not telling(record) & secret


def test_every_bit_of_an_address_is_a_fair_coin() -> None:
    addresses = [place.address(s.DAY) for place in places(s.stream(), SAMPLE)]
    assert len(set(addresses)) == SAMPLE
    assert all(fair(ones, SAMPLE) for ones in ones_by_place(addresses))


def test_neighbouring_addresses_differ_in_half_of_their_bits() -> None:
    """Whether by index or by day, and bit for bit, so that no place carries over."""
    by_index = [place.address(s.DAY) for place in places(s.stream(), SAMPLE)]
    by_day = [s.stream().address(s.DAY + day) for day in range(SAMPLE)]
    for addresses in (by_index, by_day):
        changes = [
            bytes(a ^ b for a, b in zip(one, other, strict=True))
            for one, other in itertools.pairwise(addresses)
        ]
        per_place = ones_by_place(changes)
        assert all(fair(ones, SAMPLE - 1) for ones in per_place)
        assert fair(sum(per_place), 256 * (SAMPLE - 1))


def test_random_addresses_pass_for_addresses_of_boxes() -> None:
    """A relay that is asked for one can't tell by the address that no box will come."""
    rng = seeded()
    decoys = [box.random_address(rng) for _ in range(SAMPLE)]
    assert all(fair(ones, SAMPLE) for ones in ones_by_place(decoys))
    for address in [*decoys[:100], *(place.address(s.DAY) for place in places(s.stream(), 100))]:
        crypto.ed25519_check_point(address)


def test_signatures_and_contents_are_fair_coins_too() -> None:
    """All but the top of a signature's second half, which is below ℓ for every Ed25519 key."""
    records = [place.seal(s.DAY, bytes(box.PLAINTEXT_LENGTH)) for place in places(s.stream(), 400)]
    commitments = [record[32:64] for record in records]
    answers = [record[64:95] for record in records]
    sealed = [record[s.SEALED] for record in records]
    for values in (commitments, answers, [content[:64] for content in sealed]):
        assert all(fair(ones, len(records)) for ones in ones_by_place(values))
    ones = sum(int.from_bytes(content, "little").bit_count() for content in sealed)
    assert fair(ones, 8 * box.SEALED_LENGTH * len(records))


def test_no_two_boxes_or_tombstones_have_one_nonce() -> None:
    """With one nonce twice, whoever may read knows both factors and solves for the secret."""
    commitments = set()
    for place in places(s.stream(), 50):
        for day in (s.DAY, s.DAY + 1):
            commitments.add(place.seal(day, s.filler())[32:64])
            commitments.add(place.seal(day, s.filler("other"))[32:64])
            commitments.add(place.tombstone(day)[32:64])
    assert len(commitments) == 50 * 2 * 3


def secrets_of(reader: ReadCapability) -> list[bytes]:
    """Return every 32 bytes that a reader holds or derives on the way to a box."""
    packed = reader.pack()
    public, chain = packed[:32], packed[40:]
    label = crypto.kdf(b"box label", chain)
    factor = blinding._factor(public, b"box" + label, s.DAY, s.NETWORK)
    key = crypto.kdf(b"box key", chain, public, s.DAY.to_bytes(4, "big"), s.NETWORK)
    following = crypto.kdf(b"box chain", chain)
    derived = [crypto.kdf(b"stream seed", part, b"messages", s.NETWORK) for part in (public, chain)]
    return [public, chain, label, factor, key, following, reader.address(s.DAY), *derived]


def test_nothing_in_a_read_capability_signs_a_box() -> None:
    writer = s.stream()
    reader = ReadCapability.parse(writer.read().pack(), s.NETWORK)
    address = reader.address(s.DAY)
    label = b"box" + crypto.kdf(b"box label", reader.pack()[40:])
    head = box.BoxHeader(address, s.DAY, tombstone=True)
    message = crypto.kdf(b"box", s.NETWORK, address, head.pack()[32:], crypto.digest(bytes(1944)))
    tail = head.pack()[32:] + bytes(3) + bytes(1944)
    assert writer.tombstone(s.DAY)[96:] == tail
    box.check(writer.tombstone(s.DAY), s.DAY, s.NETWORK)
    for seed in secrets_of(reader):
        secret = SigningSecret(seed)
        blinded = secret.blind(label, s.DAY, network=s.NETWORK)
        assert address not in (secret.public, blinded.public)
        scalar = crypto.ed25519_scalar(seed + bytes(32))
        for signature in (
            secret.sign(message),
            blinded.sign(message),
            crypto.ed25519_sign_expanded(scalar, seed, address, message),
        ):
            with pytest.raises(RemoteProtocolError, match="signature"):
                box.check(address + signature + tail, s.DAY, s.NETWORK)


def test_a_read_capability_passed_off_as_a_write_capability_writes_elsewhere() -> None:
    reader = s.stream().read()
    impostor = WriteCapability.load(reader.pack(), s.NETWORK)
    record = impostor.seal(s.DAY, s.filler())
    assert impostor.address(s.DAY) != reader.address(s.DAY)
    with pytest.raises(RemoteProtocolError, match="box address"):
        reader.open(record, s.DAY)
    moved = reader.address(s.DAY) + record[32:]
    with pytest.raises(RemoteProtocolError, match="signature"):
        reader.open(moved, s.DAY)


def test_a_reader_cannot_move_a_signature_to_another_box() -> None:
    """Readers know the factor between two boxes' keys; it does not carry a signature over.

    S = r + k·h·a, so that S·k'h'/(kh) answers for the commitment R·k'h'/(kh). But k' is a
    hash of the commitment: it can be had before the factor or after it, not both.
    """
    writer, order = s.stream(), s.ORDER
    reader, record = writer.read(), writer.seal(s.DAY, s.filler())

    def factor(at: ReadCapability) -> int:
        label = b"box" + crypto.kdf(b"box label", at.pack()[40:])
        return int.from_bytes(blinding._factor(at.public, label, s.DAY, s.NETWORK), "little")

    def challenge(commitment: bytes, content: bytes) -> int:
        digest = crypto.digest(content[s.SEALED])
        signed = crypto.kdf(b"box", s.NETWORK, content[:32], content[96:101], digest)
        wide = sha512(commitment + content[:32] + signed).digest()
        return int.from_bytes(wide, "little") % order

    commitment, answer = record[32:64], int.from_bytes(record[64:96], "little")
    target = reader.at(1).address(s.DAY) + record[32:]
    known = challenge(commitment, record) * factor(reader) % order
    for wanted in (challenge(commitment, target), challenge(commitment, record), 1):
        ratio = wanted * factor(reader.at(1)) * pow(known, -1, order) % order
        moved = crypto.ed25519_mul(ratio.to_bytes(32, "little"), commitment)
        shifted = (answer * ratio % order).to_bytes(32, "little")
        expected = crypto.ed25519_mul(wanted.to_bytes(32, "little"), target[:32])
        assert crypto.ed25519_base_mul(shifted) == sodium.crypto_core_ed25519_add(moved, expected)
        for signature in (commitment + shifted, moved + shifted, record[32:96]):
            with pytest.raises(RemoteProtocolError, match="signature"):
                box.check(target[:32] + signature + target[96:], s.DAY, s.NETWORK)


@given(seeds, st.integers(1, 40))
@settings(max_examples=20)
def test_a_later_capability_opens_no_earlier_box(seed: bytes, later: int) -> None:
    writer = WriteCapability.create(seeded(seed.hex()), s.NETWORK)
    earlier = writer.at(later - 1)
    record = earlier.seal(s.DAY, s.filler())
    late = writer.at(later)
    for held in (late, late.read()):
        with pytest.raises(LocalProtocolError):
            held.at(later - 1)
    rewritten = late.read().pack()[:32] + (later - 1).to_bytes(8, "big") + late.dump()[40:]
    for reader in (
        late.read(),
        late.read().at(later + 1),
        ReadCapability.parse(rewritten, s.NETWORK),
    ):
        assert reader.address(s.DAY) != record[:32]
        with pytest.raises(RemoteProtocolError):
            reader.open(record, s.DAY)


@given(seeds, st.integers(1, 40))
@settings(max_examples=20)
def test_a_later_capability_holds_no_earlier_chain_key(seed: bytes, later: int) -> None:
    root = seeded(seed.hex()).bytes(32)
    writer = WriteCapability.from_root(root, s.NETWORK, b"messages")
    gone = windows(root).union(*(windows(place.dump()[40:]) for place in places(writer, later)))
    late = writer.at(later)
    for held in (late.dump(), late.read().pack()):
        assert not (windows(held[:32]) | windows(held[40:])) & gone


def test_a_writer_makes_the_earlier_boxes_no_more_than_a_reader() -> None:
    """It has S's secret, but the earlier addresses hang on chain keys that are gone."""
    writer = s.stream()
    gone = {place.address(s.DAY) for place in places(writer, 20)}
    late = writer.at(20)
    chain = late.dump()[40:]
    for guess in (chain, crypto.digest(chain), crypto.kdf(b"box chain", chain), bytes(32)):
        data = late.dump()[:32] + bytes(8) + guess
        attempt = WriteCapability.load(data, s.NETWORK)
        assert not gone & {place.address(s.DAY) for place in places(attempt, 20)}
