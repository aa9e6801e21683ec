"""T15: on a full disk nothing is half-written, deletion works, and with room it goes on."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal_node.store.person_store import RESERVE_LENGTH, PersonStore
from shoal_protocol.client import state
from shoal_protocol.client.state import Changes, Key
from shoal_protocol.errors import StoreFull
from store.fixtures.write_person_store import SECRET, same

PAGES = 60


def record(number: int) -> Key:
    return state.RECORD, number.to_bytes(16, "big")


def put(number: int, count: int = 3) -> Changes:
    """A batch of several rows, so that a half could be seen."""
    return Changes(number, {record(number * 10 + each): bytes(2048) for each in range(count)}, {})


def fill(store: PersonStore) -> int:
    """Commit batches until one is refused, and return its number."""
    for number in range(1000):
        before = store.load()
        try:
            store.commit([put(number)])
        except StoreFull:
            assert same(store.load(), before)
            return number
    raise AssertionError("never full")


@contextmanager
def no_file_longer_than(length: int) -> Iterator[None]:
    """Let the system refuse to write any file beyond ``length`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "person.db"


def test_a_full_database_refuses_a_whole_batch_and_stays_sound(path: Path) -> None:
    store = PersonStore.open(path, SECRET, max_pages=PAGES)
    refused = fill(store)
    assert refused > 3
    kept = store.load()
    assert len(kept.rows) == 3 * refused
    for _ in range(3):
        with pytest.raises(StoreFull):
            store.commit([put(refused), put(refused + 1)])
    assert same(store.load(), kept)
    assert store.integrity() == []
    store.close()
    store = PersonStore.open(path, SECRET, max_pages=PAGES)
    assert store.load().rows == kept.rows
    store.close()


def test_in_a_full_database_deletion_works_and_makes_room(path: Path) -> None:
    store = PersonStore.open(path, SECRET, max_pages=PAGES)
    refused = fill(store)
    store.commit([Changes(1000, {record(each): None for each in range(3)}, {})])
    assert len(store.load().rows) == 3 * (refused - 1)
    store.commit([put(refused)])
    assert len(store.load().rows) == 3 * refused
    assert store.integrity() == []
    store.close()


def test_a_deletion_makes_room_for_what_waited_before_it(path: Path) -> None:
    store = PersonStore.open(path, SECRET, max_pages=PAGES)
    refused = fill(store)
    with pytest.raises(StoreFull):
        store.commit([put(refused)])
    store.commit([put(refused), Changes(1000, {record(10 + each): None for each in range(3)}, {})])
    assert len(store.load().rows) == 3 * refused
    store.close()


def test_a_refused_write_is_a_full_disk_and_goes_on_when_there_is_room(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    with no_file_longer_than(300_000):
        refused = fill(store)
        assert refused > 3
        kept = store.load()
        with pytest.raises(StoreFull):
            store.commit([put(refused)])
        assert same(store.load(), kept)
    store.commit([put(refused)])
    assert len(store.load().rows) == 3 * refused + 3
    assert store.integrity() == []
    store.close()
    store = PersonStore.open(path, SECRET)
    assert len(store.load().rows) == 3 * refused + 3
    store.close()


def test_a_store_killed_while_the_disk_is_full_is_whole_at_the_next_start(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    with no_file_longer_than(300_000):
        refused = fill(store)
        copy = path.with_name("copy.db")
        for suffix in ("", "-wal"):
            data = path.with_name(f"person.db{suffix}").read_bytes()
            copy.with_name(f"copy.db{suffix}").write_bytes(data)
    again = PersonStore.open(copy, SECRET)
    assert len(again.load().rows) == 3 * refused
    assert again.integrity() == []
    again.close()
    store.close()


def test_a_reserve_is_kept_and_given_up_for_a_deletion_on_a_full_disk(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    assert store.tidy()
    reserve = path.with_name("person.db-reserve")
    assert reserve.stat().st_size == RESERVE_LENGTH
    store.commit([put(1)])
    with no_file_longer_than(path.stat().st_size - 1):
        with pytest.raises(StoreFull):
            store.commit([put(2, count=200)])
        assert reserve.exists()
        with pytest.raises(StoreFull):
            store.commit([put(2, count=200), Changes(3, {(state.PERSONA, b"12345678"): None}, {})])
        assert not reserve.exists()
    store.commit([put(2, count=200)])
    assert store.tidy() and reserve.stat().st_size == RESERVE_LENGTH
    store.close()
