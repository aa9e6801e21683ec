"""The record store: revisions, periods, bounds."""

import pytest

from dht.network import PARAMETERS, TODAY, key_of, record_of, validate
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import contacts
from shoal_protocol.dht.messages import Status
from shoal_protocol.dht.storage import RecordStore, Verified
from shoal_protocol.errors import RemoteProtocolError
from support import START, seeded

OWN = bytes(32)
DAY = PARAMETERS.day_s * SECOND


def store_of(most: int = 100) -> RecordStore:
    return RecordStore(OWN, validate, PARAMETERS, seeded(), most)


def test_a_higher_revision_replaces_and_a_lower_one_is_stale() -> None:
    store, key = store_of(), key_of("a")
    assert store.put(record_of(key, 2), START) is Status.STORED
    assert store.put(record_of(key, 1), START) is Status.STALE
    assert store.put(record_of(key, 2), START) is Status.HELD
    assert store.put(record_of(key, 3), START) is Status.STORED
    assert store.get(key, START) == record_of(key, 3)
    assert len(store) == 1
    assert not store.holds(record_of(key, 2), START)


def test_of_two_records_with_one_revision_the_first_stays() -> None:
    store, key = store_of(), key_of("a")
    store.put(record_of(key, 2, TODAY), START)
    assert store.put(record_of(key, 2, TODAY + 1), START) is Status.STALE
    assert store.get(key, START) == record_of(key, 2, TODAY)


def test_known_bytes_are_not_verified_again() -> None:
    seen: list[bytes] = []

    def counting(record: bytes, now: int) -> Verified:
        seen.append(record)
        return validate(record, now)

    store = RecordStore(OWN, counting, PARAMETERS, seeded())
    for _ in range(5):
        store.put(record_of(key_of("a")), START)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "record",
    [b"", bytes(2048), record_of(bytes(32))[:-1], record_of(bytes(32)) + b"\0", bytes(100_000)],
)
def test_what_does_not_verify_changes_nothing(record: bytes) -> None:
    store = store_of()
    with pytest.raises(RemoteProtocolError):
        store.put(record, START)
    assert len(store) == 0


@pytest.mark.parametrize(("ahead", "accepted"), [(-2, 0), (-1, 1), (0, 1), (3, 1), (4, 0)])
def test_yesterday_to_three_days_ahead_are_accepted(ahead: int, accepted: int) -> None:
    store = store_of()
    try:
        store.put(record_of(key_of("a"), period=TODAY + ahead), START)
    except RemoteProtocolError as error:
        assert error.reason == "announcement period"
    assert len(store) == accepted


def test_records_leave_when_their_period_is_over() -> None:
    store = store_of()
    store.put(record_of(key_of("a"), period=TODAY), START)
    store.put(record_of(key_of("b"), period=TODAY + 1), START)
    end = (TODAY + 2) * DAY
    assert store.expire(end - 1) == 0
    assert store.get(key_of("a"), end - 1) is not None
    assert store.get(key_of("a"), end) is None
    assert not store.holds(record_of(key_of("a"), period=TODAY), end)
    assert store.expire(end) == 1
    assert len(store) == 1
    assert store.put(record_of(key_of("c"), period=TODAY + 2), end) is Status.STORED


def test_a_full_store_keeps_what_is_nearest_and_never_drops_the_oldest_for_its_age() -> None:
    store = store_of(most=50)
    near = [bytes([0, 0, i]) + key_of(i)[3:] for i in range(20)]
    for key in near:
        assert store.put(record_of(key), START) is Status.STORED
    flood = [key_of(f"flood {i}") for i in range(2000)]
    for key in flood:
        store.put(record_of(key), START)
    assert len(store) == 50
    assert store.record_bytes == 50 * 2048
    assert all(store.get(key, START) for key in near)
    nearest = sorted([*near, *flood], key=lambda key: contacts.distance(key, OWN))[:50]
    assert all(store.get(key, START) for key in nearest)


def test_a_full_store_answers_full_to_what_is_farther_than_all() -> None:
    store = store_of(most=2)
    for i in range(2):
        store.put(record_of(bytes([i]) + bytes(31)), START)
    assert store.put(record_of(b"\xff" + bytes(31)), START) is Status.FULL
    assert store.put(record_of(bytes([1]) + bytes(31), revision=2), START) is Status.STORED


def test_revisions_and_expiry_leave_no_growing_index_behind() -> None:
    store = store_of(most=64)
    for round_ in range(30):
        for i in range(64):
            store.put(record_of(key_of(i), revision=round_, period=TODAY), START)
        for i in range(64):
            store.put(record_of(key_of((round_, i)), period=TODAY), START)
    assert len(store) == 64
    assert len(store._farthest) <= 3 * 64
    assert len(store._digests) == 64
