"""The store in memory keeps the contract of stores, and fails as a whole or not at all."""

from dataclasses import replace

import pytest

from service import store_contract
from service.store_contract import Rule, box, do, entry, put, scan
from shoal_protocol import clock
from shoal_protocol.errors import StoreError, StoreFailed, StoreFull
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.service import storage
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import Expire, PutEntryOutcome, Store
from support import START, seeded

INSTANCE = b"i" * 16


class MemoryStores:
    """Stores that end with the process: one is never closed."""

    def fresh(self, params: NetworkParameters = LAB, room: int = 10_000) -> Store:
        return MemoryStore(params, INSTANCE, limit=room)

    def reopened(self, store: Store) -> Store:
        return store


@pytest.mark.parametrize("rule", store_contract.RULES, ids=lambda rule: str(rule.__name__))
def test_a_store_in_memory_keeps_the_contract(rule: Rule) -> None:
    rule(MemoryStores())


@pytest.mark.parametrize("failure", [StoreFull, StoreFailed])
def test_a_transaction_that_fails_changes_nothing(failure: type[StoreError]) -> None:
    store = MemoryStore(LAB, INSTANCE)
    do(store, box(1))
    store.failure = failure
    with pytest.raises(failure):
        store.execute([entry(1), box(2, b"b" * 32), Expire(START, 10**6)], START)
    store.failure = None
    assert len(scan(store)) == len(store) == 1


def test_room_that_comes_back_is_used_again() -> None:
    store = MemoryStore(LAB, INSTANCE)
    do(store, box(1))
    store.capacity = 1
    assert do(store, box(2, b"b" * 32)) is Status.FULL
    store.capacity = 2
    assert do(store, box(2, b"b" * 32)) is Status.OK


def test_entries_in_all_are_capped_and_boxes_find_room_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, "MAX_ENTRIES", 6)
    store = MemoryStore(LAB, INSTANCE)
    for number in range(12):
        do(store, entry(number, bytes([number % 3]) * 32))
    assert len(store) == 6
    assert do(store, entry(0, b"n" * 32, effort=64)) == PutEntryOutcome(Status.FULL, 0)
    assert put(store, entry(50, bytes(32), effort=1))  # outbids its own
    assert do(store, box(1, b"n" * 32)) is Status.OK
    assert len(store) == 7


def test_thirty_thousand_random_puts_stay_within_the_bounds() -> None:
    rng = seeded("flood")
    store = MemoryStore(replace(LAB, inbox_entries=64), INSTANCE, limit=8_000)
    addresses = [rng.bytes(32) for _ in range(200)]
    now = START
    for number in range(30_000):
        address = addresses[rng.below(200)] if number % 2 else rng.bytes(32)
        if number % 5 == 0:
            do(store, box(number, address), now)
        else:
            do(store, entry(number, address, effort=number % 5, expires=now + 10**9), now)
        now += 10 * clock.MILLISECOND
        assert len(store) <= 8_000
    while do(store, Expire(now + 10**9, 10**6)):
        pass
    assert len(store) == 0
    assert (store._inboxes, store._boxes, store._entries) == ({}, {}, 0)
    assert (store._order, store._box_ends, store._entry_ends) == ([], [], [])
