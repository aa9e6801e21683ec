"""What every store of a relay does: plain functions that take the stores of one kind.

A kind's test runs them all::

    @pytest.mark.parametrize("rule", store_contract.RULES, ids=lambda rule: rule.__name__)
    def test_a_store_on_disk_keeps_the_contract(rule: Rule, tmp_path: Path) -> None:
        rule(DiskStores(tmp_path))
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from shoal_protocol import clock
from shoal_protocol.parameters import LAB, NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.service import storage
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import (
    MAX_NUMBER,
    Entry,
    Expire,
    GetBox,
    GetEntry,
    Item,
    Kind,
    Missing,
    Operation,
    Outcome,
    PutBox,
    PutEntry,
    PutEntryOutcome,
    Release,
    Scan,
    Store,
    Stored,
)
from support import START, seeded

DAY: Final = clock.index_of(START, LAB.day_s)
ADDRESS: Final = b"a" * 32
LATER: Final = START + clock.seconds(LAB.entry_life_s)
SMALL: Final = replace(LAB, inbox_entries=4)
NONCE: Final = b"nonce678"


class Stores(Protocol):
    """Makes stores of one kind."""

    def fresh(self, params: NetworkParameters = LAB, room: int = 10_000) -> Store:
        """Return an empty store that has room for about ``room`` records."""
        ...

    def reopened(self, store: Store) -> Store:
        """Close ``store``, if it can be, and return what is there after a restart."""
        ...


Rule = Callable[[Stores], None]


def record(number: int, address: bytes = ADDRESS) -> bytes:
    """Return 2,048 bytes that differ by ``number``; a store looks at none of them."""
    return (address + number.to_bytes(8, "big")).ljust(2048, b"\6")


def box(
    number: int, address: bytes = ADDRESS, *, day: int = DAY, tombstone: bool = False
) -> PutBox:
    """Return the PUT of a box or tombstone."""
    return PutBox(address, day, tombstone, record(number, address), number % 7, NONCE)


def entry(
    number: int, address: bytes = ADDRESS, *, effort: int = 0, expires: int = LATER
) -> PutEntry:
    """Return the PUT of an entry."""
    content = record(number, address)
    return PutEntry(address, storage.name_of(content), content, effort, NONCE, expires)


def item(put: PutBox | PutEntry) -> Item:
    """Return what names a record that was put."""
    if isinstance(put, PutEntry):
        return Item(Kind.ENTRY, put.address, put.name)
    kind = Kind.TOMBSTONE if put.tombstone else Kind.BOX
    return Item(kind, put.address, storage.name_of(put.record))


def stored(put: PutBox | PutEntry) -> Stored:
    """Return how a scan shows a record that was put."""
    if isinstance(put, PutEntry):
        return Stored(item(put), put.record, put.effort, put.nonce, expires=put.expires)
    return Stored(item(put), put.record, put.effort, put.nonce, day=put.day)


def do(store: Store, operation: Operation, now: int = START) -> Outcome:
    """Have one operation done."""
    (outcome,) = store.execute([operation], now)
    return outcome


def put(store: Store, operation: PutEntry, now: int = START) -> int:
    """Put an entry that is new and fits; return its number."""
    outcome = do(store, operation, now)
    assert isinstance(outcome, PutEntryOutcome)
    assert outcome.status is Status.OK
    assert 0 < outcome.number <= MAX_NUMBER
    return outcome.number


def read(store: Store, address: bytes = ADDRESS) -> list[Entry]:
    """Get every entry of an inbox, one after the other."""
    found: list[Entry] = []
    while True:
        outcome = do(store, GetEntry(address, found[-1].number if found else 0))
        if outcome is None:
            return found
        assert isinstance(outcome, Entry)
        found.append(outcome)


def scan(store: Store, limit: int = 1000) -> list[Stored]:
    """Return everything that a store holds, page by page."""
    found: list[Stored] = []
    while True:
        page = do(store, Scan(found[-1].item.position() if found else b"", limit))
        assert isinstance(page, tuple)
        for one in page:
            assert isinstance(one, Stored)
            found.append(one)
        if len(page) < limit:
            return found


def a_box_that_was_put_is_got(stores: Stores) -> None:
    store = stores.fresh()
    assert do(store, GetBox(ADDRESS)) is None
    assert do(store, box(1)) is Status.OK
    assert do(store, GetBox(ADDRESS)) == record(1)
    assert do(store, GetBox(b"b" * 32)) is None


def the_first_write_of_a_box_wins_and_the_same_again_is_well(stores: Stores) -> None:
    store = stores.fresh()
    assert do(store, box(1)) is Status.OK
    assert do(store, box(1)) is Status.OK
    assert do(store, box(2)) is Status.TAKEN
    assert do(store, box(2, day=DAY + 1)) is Status.TAKEN
    assert do(store, GetBox(ADDRESS)) == record(1)
    assert scan(store) == [stored(box(1))]


def a_tombstone_replaces_a_box_and_stays(stores: Stores) -> None:
    store = stores.fresh()
    grave = box(2, tombstone=True)
    for before in (None, box(1), box(3), box(4, tombstone=True)):
        if before is not None:
            do(store, before)
        assert do(store, grave) is Status.OK
        assert do(store, GetBox(ADDRESS)) == grave.record
    assert do(store, box(1)) is Status.TAKEN
    other = b"b" * 32
    assert do(store, box(1, other)) is Status.OK
    assert do(store, box(2, other, tombstone=True)) is Status.OK
    assert do(store, GetBox(other)) == record(2, other)
    assert scan(store) == [stored(grave), stored(box(2, other, tombstone=True))]


def boxes_and_tombstones_are_dropped_after_their_days(stores: Stores) -> None:
    store = stores.fresh()
    for number, grave in ((1, False), (2, True), (3, False)):
        day = DAY + number // 3
        do(store, box(number, bytes([number]) * 32, day=day, tombstone=grave))
    last = DAY + LAB.box_days
    assert do(store, Expire(START, last)) == 0
    assert do(store, Expire(START, last + 1)) == 2
    assert [one.record for one in scan(store)] == [record(3, b"\3" * 32)]
    assert do(store, Expire(START, last + 2)) == 1
    assert scan(store) == []
    assert do(store, box(9, b"\2" * 32)) is Status.OK


def a_tombstone_of_a_later_day_lives_by_its_own(stores: Stores) -> None:
    store = stores.fresh()
    do(store, box(1))
    do(store, box(2, day=DAY + 1, tombstone=True))
    assert do(store, Expire(START, DAY + LAB.box_days + 1)) == 0
    assert do(store, Expire(START, DAY + LAB.box_days + 2)) == 1


def entries_come_in_the_order_of_their_numbers_which_have_no_gaps(stores: Stores) -> None:
    store = stores.fresh()
    numbers = [put(store, entry(number)) for number in range(10)]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert numbers[0] >> storage.NUMBER_BITS >= START // clock.MILLISECOND
    found = [Entry(n, record(place), numbers[-1], 0, NONCE) for place, n in enumerate(numbers)]
    assert read(store) == found
    assert do(store, GetEntry(ADDRESS, 0)) == found[0]
    assert do(store, GetEntry(ADDRESS, numbers[3])) == found[4]
    assert do(store, GetEntry(ADDRESS, MAX_NUMBER)) is None
    assert do(store, GetEntry(b"b" * 32, 0)) is None


def the_same_entry_again_changes_nothing(stores: Stores) -> None:
    store = stores.fresh()
    number = put(store, entry(1))
    again = replace(entry(1, effort=9), expires=LATER + 1)
    assert do(store, again) == PutEntryOutcome(Status.OK, 0)
    assert read(store) == [Entry(number, record(1), number, 0, NONCE)]
    assert scan(store) == [stored(entry(1))]
    assert put(store, replace(entry(1), address=b"b" * 32))
    assert len(scan(store)) == 2


def an_entry_comes_with_what_it_paid(stores: Stores) -> None:
    store = stores.fresh()
    put(store, replace(entry(1, effort=7), nonce=b"the work"))
    (found,) = read(store)
    assert (found.effort, found.nonce) == (7, b"the work")


def a_full_inbox_keeps_the_highest_effort(stores: Stores) -> None:
    store = stores.fresh(SMALL)
    first, *_ = [put(store, entry(n, effort=effort)) for n, effort in enumerate((3, 1, 2, 1))]
    full = PutEntryOutcome(Status.FULL, 0)
    assert do(store, entry(10)) == full
    assert do(store, entry(11, effort=1)) == full
    assert put(store, entry(12, effort=2)) == first + 4  # outbids the older of the two
    assert put(store, entry(13, effort=2)) == first + 5
    assert do(store, entry(14, effort=2)) == full
    assert [one.record for one in read(store)] == [record(n) for n in (0, 2, 12, 13)]
    assert [one.number - first for one in read(store)] == [0, 2, 4, 5]
    assert do(store, entry(0)) == PutEntryOutcome(Status.OK, 0)
    assert put(store, entry(10, b"b" * 32))


def entries_that_were_read_are_released_and_make_room(stores: Stores) -> None:
    store = stores.fresh(SMALL)
    numbers = [put(store, entry(number)) for number in range(4)]
    put(store, entry(9, b"b" * 32))
    assert do(store, Release(ADDRESS, 0)) is None
    assert do(store, Release(ADDRESS, numbers[1])) is None
    assert put(store, entry(4)) == numbers[3] + 1
    assert [one.record for one in read(store)] == [record(n) for n in (2, 3, 4)]
    do(store, Release(ADDRESS, MAX_NUMBER))
    do(store, Release(b"?" * 32, MAX_NUMBER))
    assert read(store) == []
    assert len(scan(store)) == 1


def an_entry_is_dropped_at_its_end(stores: Stores) -> None:
    store = stores.fresh()
    put(store, entry(0, expires=LATER + 2))
    put(store, entry(1, expires=LATER))
    put(store, entry(2, expires=LATER + 1))
    assert do(store, Expire(LATER - 1, DAY)) == 0
    assert do(store, Expire(LATER + 1, DAY)) == 2
    assert [one.record for one in read(store)] == [record(0)]
    assert do(store, Expire(LATER + 2, DAY)) == 1
    assert scan(store) == []


def numbers_of_an_inbox_never_come_again(stores: Stores) -> None:
    store = stores.fresh(replace(LAB, inbox_entries=1))
    last = 0
    for number in range(12):
        now = START - number * clock.SECOND  # a clock that goes back
        given = put(store, entry(number, effort=number), now)
        assert given > last
        last = given
        match number % 4:
            case 0:
                do(store, Release(ADDRESS, given), now)
            case 1:
                do(store, Expire(LATER, DAY), now)
            case 2:
                do(store, Release(ADDRESS, MAX_NUMBER), now)
                store = stores.reopened(store)
            case _:
                store = stores.reopened(store)


def one_look_for_what_is_over_is_bounded(stores: Stores) -> None:
    store = stores.fresh(replace(LAB, inbox_entries=2000))
    store.execute([entry(number) for number in range(storage.MAX_EXPIRED)], START)
    store.execute([box(number, number.to_bytes(32, "big")) for number in range(5)], START)
    over = Expire(LATER, DAY + LAB.box_days + 1)
    assert do(store, over) == storage.MAX_EXPIRED
    assert do(store, over) == 5
    assert do(store, over) == 0
    assert scan(store) == []


def each_operation_sees_what_those_before_it_did(stores: Stores) -> None:
    store = stores.fresh()
    outcomes = store.execute(
        [
            GetBox(ADDRESS),
            box(1),
            GetBox(ADDRESS),
            box(2),
            GetEntry(ADDRESS, 0),
            entry(1),
            entry(1),
            GetEntry(ADDRESS, 0),
            Scan(b"", 9),
            Release(ADDRESS, MAX_NUMBER),
            GetEntry(ADDRESS, 0),
            Missing((item(box(1)), item(entry(1)))),
        ],
        START,
    )
    first, again, got = outcomes[5], outcomes[6], outcomes[7]
    assert isinstance(first, PutEntryOutcome)
    assert isinstance(got, Entry)
    assert outcomes[:5] == [None, Status.OK, record(1), Status.TAKEN, None]
    assert again == PutEntryOutcome(Status.OK, 0)
    assert got == Entry(first.number, record(1), first.number, 0, NONCE)
    assert outcomes[8] == (stored(box(1)), stored(entry(1)))
    assert outcomes[9:] == [None, None, (item(entry(1)),)]
    assert store.execute([], START) == []


def a_scan_gives_everything_once_in_order_page_by_page(stores: Stores) -> None:
    store = stores.fresh()
    rng = seeded("scan")
    puts: list[PutBox | PutEntry] = []
    for number in range(20):
        address = rng.bytes(32)
        puts += [entry(n, address) for n in range(number % 4)]
        if number % 3:
            puts.append(box(number, address, tombstone=number % 3 == 2))
    store.execute(puts, START)
    everything = sorted((stored(one) for one in puts), key=lambda one: one.item.position())
    for limit in (1, 3, len(puts), 1000):
        assert scan(store, limit) == everything
    middle = everything[7].item
    assert do(store, Scan(middle.address, 1)) == (
        next(one for one in everything if one.item.address == middle.address),
    )
    assert do(store, Scan(b"\xff" * 49, 5)) == ()


def what_is_missing_is_told_in_order(stores: Stores) -> None:
    store = stores.fresh()
    alive, buried, nothing = b"a" * 32, b"b" * 32, b"c" * 32
    store.execute([box(1, alive), box(1, buried, tombstone=True), entry(1, alive)], START)
    here = [item(box(1, alive)), item(box(2, alive)), item(entry(1, alive))]
    here += [item(box(n, buried, tombstone=grave)) for n in (1, 2) for grave in (True, False)]
    gone = [item(box(3, alive, tombstone=True)), item(entry(2, alive)), item(entry(1, buried))]
    gone += [item(box(1, nothing)), item(box(1, nothing, tombstone=True)), item(entry(1, nothing))]
    mixed = tuple(one for pair in zip(here, gone, strict=False) for one in pair)
    expected = tuple(one for one in mixed if one in gone)
    assert do(store, Missing(mixed)) == expected
    assert do(store, Missing(tuple(here))) == ()
    assert do(store, Missing(())) == ()


def a_full_store_refuses_what_is_new_and_keeps_what_it_acknowledged(stores: Stores) -> None:
    store = stores.fresh(SMALL, room=30)
    own = b"o" * 32
    for number in range(2):
        put(store, entry(number, own))
    kept: list[PutBox] = []
    for number in range(5000):
        one = box(number, number.to_bytes(32, "big"))
        status = do(store, one)
        if status is not Status.OK:
            assert status is Status.FULL
            break
        kept.append(one)
    assert 5 <= len(kept) < 5000
    assert do(store, entry(0, b"n" * 32, effort=64)) == PutEntryOutcome(Status.FULL, 0)
    assert do(store, entry(5, own)) == PutEntryOutcome(Status.FULL, 0)
    assert put(store, entry(6, own, effort=1))  # outbids its own inbox's
    for one in kept:
        assert do(store, one) is Status.OK
        assert do(store, GetBox(one.address)) == one.record
    grave = box(9999, kept[0].address, tombstone=True)
    assert do(store, grave) is Status.OK
    assert do(store, GetBox(grave.address)) == grave.record
    dropped = do(store, Expire(START, DAY + LAB.box_days + 1))
    assert dropped == len(kept)
    assert do(store, box(1, b"z" * 32)) is Status.OK


def what_was_kept_is_there_after_a_restart(stores: Stores) -> None:
    store = stores.fresh()
    puts: list[PutBox | PutEntry] = [
        box(1, b"a" * 32),
        box(2, b"b" * 32, tombstone=True),
        entry(3),
        entry(4, effort=2),
    ]
    store.execute(puts, START)
    before = scan(store), read(store), store.instance
    store = stores.reopened(store)
    assert (scan(store), read(store), store.instance) == before
    assert len(store.instance) == 16
    assert put(store, entry(5)) == before[1][-1].number + 1


def a_box_and_an_inbox_at_one_address_do_not_meet(stores: Stores) -> None:
    store = stores.fresh()
    assert do(store, box(1)) is Status.OK
    put(store, entry(1))
    do(store, Release(ADDRESS, MAX_NUMBER))
    assert do(store, GetBox(ADDRESS)) == record(1)
    assert read(store) == []


def a_random_run_is_answered_as_by_the_twin_in_memory(stores: Stores) -> None:
    """Numbers may differ, their order may not: cursors are taken from what each store gave."""
    params = replace(LAB, inbox_entries=3, entry_life_s=40)
    twin, store = MemoryStore(params, b"t" * 16), stores.fresh(params)
    given: dict[bytes, list[tuple[int, int]]] = {}  # by inbox, an entry's numbers in each store
    rng, now = seeded("twin"), START
    for _ in range(60):
        now += rng.below(8 * clock.SECOND)
        drawn = [_draw(rng, now) for _ in range(rng.below(8))]
        placed = [[_placed(one, side, given) for one in drawn] for side in (0, 1)]
        sides = twin.execute(placed[0], now), store.execute(placed[1], now)
        for one, mine, yours in zip(drawn, *sides, strict=True):
            if isinstance(mine, PutEntryOutcome) and isinstance(yours, PutEntryOutcome):
                assert mine.status is yours.status
                assert (mine.number == 0) is (yours.number == 0)
                if mine.number:
                    assert isinstance(one, PutEntry)
                    given.setdefault(one.address, []).append((mine.number, yours.number))
            elif isinstance(mine, Entry) and isinstance(yours, Entry):
                assert isinstance(one, GetEntry)
                assert (mine.number, yours.number) in given[one.address]
                assert (mine.record, mine.last - mine.number) == (
                    yours.record,
                    yours.last - yours.number,
                )
            else:
                assert mine == yours
        assert scan(twin) == scan(store)


def _placed(
    operation: Operation, side: int, given: dict[bytes, list[tuple[int, int]]]
) -> Operation:
    """Return ``operation`` with the number of one store in place of its index among those."""
    if not isinstance(operation, Release | GetEntry):
        return operation
    numbers = [(0, 0), *given.get(operation.address, ())]
    if isinstance(operation, Release):
        return replace(operation, floor=numbers[-operation.floor % len(numbers)][side])
    return replace(operation, cursor=numbers[-operation.cursor % len(numbers)][side])


def _draw(rng: Rng, now: int) -> Operation:
    """Return a random operation at one of three addresses; cursors count from the last."""
    address = bytes([rng.below(3)]) * 32
    number = rng.below(6)
    day = clock.index_of(now, LAB.day_s)
    match rng.below(10):
        case 0 | 1:
            return box(number, address, day=day - rng.below(17), tombstone=rng.below(4) == 0)
        case 2:
            return GetBox(address)
        case 3 | 4 | 5:
            expires = now + clock.seconds(1 + rng.below(40))
            return entry(number, address, effort=rng.below(3), expires=expires)
        case 6:
            return GetEntry(address, rng.below(5))
        case 7:
            return Release(address, rng.below(5))
        case 8:
            return Expire(now, day)
        case _:
            return Missing(tuple(item(entry(n, address)) for n in range(3)))


RULES: Final[tuple[Rule, ...]] = (
    a_box_that_was_put_is_got,
    the_first_write_of_a_box_wins_and_the_same_again_is_well,
    a_tombstone_replaces_a_box_and_stays,
    boxes_and_tombstones_are_dropped_after_their_days,
    a_tombstone_of_a_later_day_lives_by_its_own,
    entries_come_in_the_order_of_their_numbers_which_have_no_gaps,
    the_same_entry_again_changes_nothing,
    a_full_inbox_keeps_the_highest_effort,
    entries_that_were_read_are_released_and_make_room,
    an_entry_is_dropped_at_its_end,
    numbers_of_an_inbox_never_come_again,
    one_look_for_what_is_over_is_bounded,
    each_operation_sees_what_those_before_it_did,
    a_scan_gives_everything_once_in_order_page_by_page,
    what_is_missing_is_told_in_order,
    a_full_store_refuses_what_is_new_and_keeps_what_it_acknowledged,
    what_was_kept_is_there_after_a_restart,
    a_box_and_an_inbox_at_one_address_do_not_meet,
    a_random_run_is_answered_as_by_the_twin_in_memory,
)
