"""Announcements: made, opened by those who know the pseudonym, checked by those who don't."""

import dataclasses
import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from pseudonyms.people import NETWORK, TODAY
from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms import announcement, work
from shoal_protocol.pseudonyms.announcement import Stored
from support import START

ADA = people.persona("ada")
RECORD = people.announced(ADA, effort=12)
FREE = dataclasses.replace(LAB, announce_work_bits=0)
HOUR = 3600 * SECOND
DAY = 24 * HOUR
FIELDS = {"version": 0, "blinded": 1, "period": 33, "revision": 37, "nonce": 41, "salt": 49}
BODY_AT, SIGNATURE_AT = 65, 1984


def opened(record: bytes, *, period: int = TODAY, network: bytes = NETWORK) -> object:
    return announcement.open_record(ADA.pseudonym, record, period=period, network=network)


def flip(record: bytes, place: int, bit: int = 1) -> bytes:
    return record[:place] + bytes([record[place] ^ bit]) + record[place + 1 :]


def test_who_knows_the_pseudonym_reads_all_that_is_announced() -> None:
    prekeys = people.prekeys(ADA)
    found = announcement.open_record(ADA.pseudonym, RECORD, period=TODAY, network=NETWORK)
    assert found == announcement.Announcement(
        pseudonym=ADA.pseudonym,
        day=TODAY,
        revision=1,
        kem_public=prekeys.kem_public,
        prekey=prekeys.public,
        identity=ADA.public.identity,
        inbox_root=ADA.public.inbox_root,
        protocol=1,
        effort=12,
    )


def test_storers_check_it_and_know_where_it_belongs() -> None:
    assert len(RECORD) == 2048
    stored = announcement.validate(RECORD, START, LAB)
    blinded = announcement.blinded_key(ADA.pseudonym, TODAY, NETWORK)
    key = announcement.lookup_key(ADA.pseudonym, TODAY, NETWORK)
    assert stored == Stored(key=key, blinded=blinded, period=TODAY, revision=1)
    Ed25519PublicKey.from_public_bytes(blinded).verify(RECORD[1984:], NETWORK + RECORD[:1984])


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert people.announced(people.persona("ada"), effort=12) == RECORD


@pytest.mark.parametrize("field", FIELDS)
def test_a_change_in_any_outer_field_is_refused_by_storers(field: str) -> None:
    with pytest.raises(RemoteProtocolError):
        announcement.validate(flip(RECORD, FIELDS[field]), START, LAB)
    with pytest.raises(RemoteProtocolError):
        opened(flip(RECORD, FIELDS[field]))


@given(st.integers(0, 2047), st.integers(0, 7))
@settings(max_examples=100)
def test_any_flipped_bit_is_refused_by_storers_and_readers(place: int, bit: int) -> None:
    changed = flip(RECORD, place, 1 << bit)
    with pytest.raises(RemoteProtocolError):
        announcement.validate(changed, START, LAB)
    with pytest.raises(RemoteProtocolError):
        opened(changed)


@pytest.mark.parametrize("wrong", [b"", RECORD[:-1], RECORD + b"\0", RECORD * 2])
def test_another_length_is_refused(wrong: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="announcement length"):
        announcement.validate(wrong, START, LAB)
    with pytest.raises(RemoteProtocolError, match="announcement length"):
        opened(wrong)


@given(st.binary(max_size=60), st.integers(0, 2))
@settings(max_examples=100)
def test_arbitrary_bytes_are_only_ever_refused(data: bytes, version: int) -> None:
    for record in (data, (bytes([version]) + data).ljust(2048, b"\x5a")):
        with pytest.raises(RemoteProtocolError):
            announcement.validate(record, START, FREE)
        with pytest.raises(RemoteProtocolError):
            opened(record)


def test_an_unsigned_record_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="signature"):
        announcement.validate(RECORD[:1984] + bytes(64), START, LAB)


def test_an_unpaid_record_is_refused_before_its_signature_is_looked_at() -> None:
    prekeys = people.prekeys(ADA)
    blinded = announcement.blinded_key(ADA.pseudonym, TODAY, NETWORK)
    challenge = announcement.work_challenge(blinded, TODAY, 2, NETWORK)
    unpaid = next(n for n in (bytes(7) + bytes([i]) for i in range(256)) if not worth(challenge, n))
    record = announcement.build(ADA, prekeys, revision=2, nonce=unpaid)
    with pytest.raises(RemoteProtocolError, match="work"):
        announcement.validate(record, START, LAB)
    with pytest.raises(RemoteProtocolError, match="work"):
        announcement.validate(record[:1984] + bytes(64), START, LAB)
    opened(record)


def worth(challenge: bytes, nonce: bytes) -> bool:
    try:
        work.check(challenge, nonce, LAB.announce_work_bits)
    except RemoteProtocolError:
        return False
    return True


def test_work_pays_for_one_revision_of_one_key_and_period() -> None:
    base = announcement.work_challenge(b"k" * 32, 5, 1, NETWORK)
    assert (
        len(
            {
                base,
                announcement.work_challenge(b"l" * 32, 5, 1, NETWORK),
                announcement.work_challenge(b"k" * 32, 6, 1, NETWORK),
                announcement.work_challenge(b"k" * 32, 5, 2, NETWORK),
                announcement.work_challenge(b"k" * 32, 5, 1, people.OTHER_NETWORK),
            }
        )
        == 5
    )


@pytest.mark.parametrize(
    ("ahead", "accepted"), [(-2, False), (-1, True), (0, True), (3, True), (4, False)]
)
def test_yesterday_to_three_days_ahead_is_accepted(ahead: int, accepted: bool) -> None:
    record = people.announced(ADA, TODAY + ahead)
    if accepted:
        assert announcement.validate(record, START, LAB).period == TODAY + ahead
    else:
        with pytest.raises(RemoteProtocolError, match="announcement period"):
            announcement.validate(record, START, LAB)


def test_another_networks_record_is_refused_by_storers_and_readers() -> None:
    other = dataclasses.replace(LAB, name="other", announce_work_bits=0)
    with pytest.raises(RemoteProtocolError, match="announcement key"):
        opened(RECORD, network=other.hash)
    with pytest.raises(RemoteProtocolError, match="signature"):
        announcement.validate(RECORD, START, other)
    foreign = people.announced(people.persona("ada", other.hash), params=other)
    assert announcement.validate(foreign, START, other).key != lookup()
    with pytest.raises(RemoteProtocolError, match="announcement key"):
        opened(foreign)


def lookup() -> bytes:
    return announcement.lookup_key(ADA.pseudonym, TODAY, NETWORK)


def test_only_the_pseudonyms_own_record_of_the_day_asked_for_is_opened() -> None:
    bobs = people.announced(people.persona("bob"))
    with pytest.raises(RemoteProtocolError, match="announcement key"):
        opened(bobs)
    with pytest.raises(RemoteProtocolError, match="announcement key"):
        opened(RECORD, period=TODAY + 1)
    with pytest.raises(RemoteProtocolError, match="announcement key"):
        opened(people.announced(ADA, TODAY + 1))


@pytest.mark.parametrize("point", [*people.LOW_ORDER_EDWARDS, *people.NOT_CANONICAL])
def test_bad_points_are_refused_as_pseudonym_and_as_blinded_key(point: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="point"):
        announcement.lookup_key(point, TODAY, NETWORK)
    with pytest.raises(RemoteProtocolError, match="point"):
        announcement.open_record(point, RECORD, period=TODAY, network=NETWORK)
    nonce = work.solve(announcement.work_challenge(point, TODAY, 1, NETWORK), 8, start=0)
    head = b"\1" + point + RECORD[33:41] + nonce
    with pytest.raises(RemoteProtocolError, match="point"):
        announcement.validate(head + RECORD[49:], START, LAB)


def test_records_of_one_persona_look_like_those_of_strangers() -> None:
    """But for version, day and zero bytes, two records share no run of four bytes."""
    bob = people.persona("bob")
    records = [
        people.announced(ADA, TODAY, revision=0x51627384),
        people.announced(ADA, TODAY + 1, revision=0x95A6B7C8),
        people.announced(bob, TODAY + 2, revision=0xD9EAFB0C),
    ]
    runs = [{r[i : i + 4] for i in range(41, 2045)} | {r[1:5], r[37:41]} for r in records]
    runs = [each - {bytes(4)} for each in runs]
    assert not runs[0] & runs[1]
    assert not runs[0] & runs[2]


def test_a_new_body_has_a_new_salt_even_at_the_same_revision() -> None:
    """Ledger: nonce and key reuse (Nym, Cure53 NYM-01-027)."""
    again = people.announced(people.persona("ada"), seed=1, effort=12)
    assert again[:49] == RECORD[:49]
    assert again[49:65] != RECORD[49:65]
    assert sum(a == b for a, b in zip(again[65:1984], RECORD[65:1984], strict=True)) < 30


def test_the_higher_revision_supersedes_and_a_tie_does_not() -> None:
    def stored(revision: int, key: bytes = b"k") -> Stored:
        return Stored(key=key, blinded=b"b", period=1, revision=revision)

    assert announcement.supersedes(stored(2), stored(1))
    assert not announcement.supersedes(stored(1), stored(1))
    assert not announcement.supersedes(stored(1), stored(2))
    assert not announcement.supersedes(stored(2, b"other"), stored(1))


def test_revisions_grow_with_time_and_hide_it() -> None:
    base = (TODAY - LAB.announce_days_ahead) * DAY
    last = (TODAY + LAB.announce_days_behind + 1) * DAY - SECOND
    times = [base, base + SECOND, base + HOUR, START, last]
    revisions = [announcement.revision_at(ADA, TODAY, now, LAB) for now in times]
    assert revisions == sorted(set(revisions))
    assert all(0 <= revision < 2**32 for revision in revisions)
    at_once = [announcement.revision_at(ADA, TODAY + ahead, START, LAB) for ahead in range(4)]
    gaps = {b - a for a, b in itertools.pairwise(at_once)}
    assert len(gaps) == 3


@pytest.mark.parametrize("ahead", [-2, 4])
def test_a_revision_outside_the_accepted_days_is_our_own_bug(ahead: int) -> None:
    with pytest.raises(LocalProtocolError):
        announcement.revision_at(ADA, TODAY + ahead, START, LAB)


def forged(**changes: bytes) -> bytes:
    """Return a record that Ada herself signed, with another body than hers."""
    secret = ADA.identity_key.blind(announcement.LABEL, TODAY, network=NETWORK)
    head = RECORD[:65]
    key = announcement._body_key(ADA.pseudonym, head, NETWORK)
    body = bytearray(crypto.aead_open(key, bytes(12), RECORD[65:1984], head))
    places = {"kem": 0, "inbox": 1248, "protocol": 1280, "flags": 1282, "zero": 1283, "pad": 1301}
    for name, value in changes.items():
        body[places[name] : places[name] + len(value)] = value
    signed = head + crypto.aead_seal(key, bytes(12), bytes(body), head)
    return signed + secret.sign(NETWORK + signed)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kem": b"\xff" * 1184}, "kem key"),
        ({"inbox": people.LOW_ORDER_EDWARDS[4]}, "point"),
        ({"protocol": b"\2"}, "announcement body"),
        ({"flags": b"\1"}, "announcement body"),
        ({"zero": bytes(17) + b"\1"}, "announcement body"),
        ({"pad": bytes(601) + b"\1"}, "announcement body"),
    ],
)
def test_a_signed_record_with_a_bad_body_is_refused(changes: dict[str, bytes], reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        opened(forged(**changes))
