"""GETs that wait: each is taken once, by what it waited for or by its time."""

import pytest

from shoal_protocol import clock
from shoal_protocol.service import waiting
from shoal_protocol.service.storage import Kind
from shoal_protocol.service.waiting import WaitingGet, WaitingGets
from support import START

ADDRESS = b"a" * 32
MINUTE = START + 60 * clock.SECOND


def get(
    name: int = 0,
    kind: Kind = Kind.ENTRY,
    cursor: int = 0,
    due: int = MINUTE,
    address: bytes = ADDRESS,
) -> WaitingGet:
    return WaitingGet(kind, address, name.to_bytes(4, "big") * 116, cursor, due)


def test_an_entry_goes_to_the_oldest_get_only() -> None:
    gets, waits = [get(n) for n in range(3)], WaitingGets()
    assert [waits.add(one) for one in gets] == [None] * 3
    assert [waits.oldest_below(ADDRESS, n) for n in (7, 8, 9)] == gets
    assert waits.oldest_below(ADDRESS, 10) is None
    assert len(waits) == 0


def test_a_get_is_not_woken_by_entries_below_its_cursor() -> None:
    waits, far, near = WaitingGets(), get(1, cursor=9), get(2, cursor=7)
    waits.add(far)
    waits.add(near)
    assert waits.oldest_below(ADDRESS, 7) is None
    assert waits.oldest_below(ADDRESS, 8) is near
    assert waits.oldest_below(ADDRESS, 9) is None
    assert waits.oldest_below(ADDRESS, 10) is far


def test_a_box_goes_to_all_who_wait_for_it_and_to_no_reader_of_an_inbox() -> None:
    waits = WaitingGets()
    gets = [get(n, Kind.BOX) for n in range(3)]
    for one in (*gets, get(3), get(4, Kind.BOX, address=b"b" * 32)):
        waits.add(one)
    assert waits.all_at(ADDRESS) == gets
    assert waits.all_at(ADDRESS) == []
    assert len(waits) == 2
    assert waits.oldest_below(b"b" * 32, 1) is None


def due(waits: WaitingGets) -> int | None:
    return waits.due


def test_a_wait_ends_at_its_time_and_not_before() -> None:
    waits, ends = WaitingGets(), [START + n * clock.SECOND for n in (3, 1, 2)]
    gets = [get(n, Kind(2 * (n % 2)), due=end) for n, end in enumerate(ends)]
    for one in gets:
        waits.add(one)
    assert due(waits) == ends[1]
    assert waits.handle_timer(ends[1] - 1) == []
    assert waits.handle_timer(ends[2]) == [gets[1], gets[2]]
    assert due(waits) == ends[0]
    assert waits.handle_timer(ends[0]) == [gets[0]]
    assert (len(waits), waits.handle_timer(MINUTE), due(waits)) == (0, [], None)


def test_a_get_that_was_answered_early_has_no_deadline() -> None:
    waits = WaitingGets()
    waits.add(get(0, due=START + 1))
    waits.add(get(1, Kind.BOX, due=START + 2))
    waits.add(get(2, due=START + 3, address=b"b" * 32))
    waits.oldest_below(ADDRESS, 1)
    waits.all_at(ADDRESS)
    assert due(waits) == START + 3


@pytest.mark.parametrize("kind", [Kind.BOX, Kind.ENTRY])
def test_beyond_the_waits_of_one_address_the_oldest_gives_way(kind: Kind) -> None:
    waits = WaitingGets()
    gets = [get(n, kind) for n in range(waiting.MAX_WAITING_HERE + 2)]
    gone = [waits.add(one) for one in gets]
    assert gone == [None] * waiting.MAX_WAITING_HERE + gets[:2]
    assert len(waits) == waiting.MAX_WAITING_HERE
    assert waits.add(get(0, kind, address=b"b" * 32)) is None


def test_beyond_the_waits_in_all_the_newcomer_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 3)
    waits = WaitingGets()
    for name in range(3):
        assert waits.add(get(name, address=bytes([name]) * 32)) is None
    late = get(3)
    assert waits.add(late) is late
    assert len(waits) == 3
    assert waits.oldest_below(ADDRESS, 1) is None


def test_a_flood_of_gets_at_one_address_leaves_only_what_waits() -> None:
    """A GET that is pushed out is remembered no longer, though its wait had long to go."""
    waits = WaitingGets()
    for name in range(10_000):
        waits.add(get(name))
    assert len(waits) == waiting.MAX_WAITING_HERE
    assert len(waits._heap) <= 2 * waiting.MAX_WAITING_HERE + 1024 + 1
    assert len(waits.handle_timer(MINUTE)) == waiting.MAX_WAITING_HERE
    assert (waits._heap, waits._places) == ([], {})
