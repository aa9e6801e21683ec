"""A store in memory: the twin of the one on disk, for simulations and tests.

It does what :mod:`shoal_protocol.service.storage` says, atomically, and forgets all when the
process ends; so each has an instance of its own. ``capacity`` and ``failure`` may be set at
any time, to see what others make of a store that is full or broken.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from shoal_protocol import clock
from shoal_protocol.errors import StoreError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.service import storage
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import (
    NUMBER_BITS,
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
    Stored,
)


@dataclass(slots=True)
class _Inbox:
    last: int  # number of the newest entry ever, or where the numbers begin
    entries: dict[bytes, tuple[int, Stored]] = field(
        default_factory=dict[bytes, tuple[int, Stored]]
    )  # by name, in the order of their numbers


class MemoryStore:
    """Boxes and entries in dictionaries.

    Args:
        params: how many entries an inbox holds, how many days a box is kept.
        instance: 16 random bytes that name this store.
        limit: records in all, of 2 KiB; changeable as :attr:`capacity`.
    """

    def __init__(
        self,
        params: NetworkParameters,
        instance: bytes,
        *,
        limit: int = 2 * storage.MAX_ENTRIES,
    ) -> None:
        self._params = params
        self._instance: Final = instance
        self.capacity = limit
        self.failure: type[StoreError] | None = None  # what the next transactions end in
        self._boxes: dict[bytes, Stored] = {}
        self._inboxes: dict[bytes, _Inbox] = {}
        self._entries = 0
        self._next_base = 0  # ms; above the bases of all inboxes that were forgotten
        self._order: list[bytes] = []  # positions of all records, sorted
        self._box_ends: list[tuple[int, bytes]] = []  # (day, position), sorted
        self._entry_ends: list[tuple[int, bytes]] = []  # (ns, position), sorted

    def __len__(self) -> int:
        """Records kept now."""
        return len(self._order)

    @property
    def instance(self) -> bytes:
        """16 random bytes that name this store."""
        return self._instance

    def execute(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        """Perform ``operations`` in order, or none of them; see :class:`storage.Store`."""
        if self.failure is not None:
            raise self.failure
        return [self._perform(operation, now) for operation in operations]

    def _perform(self, operation: Operation, now: int) -> Outcome:
        match operation:
            case PutBox():
                return self._put_box(operation)
            case GetBox(address):
                box = self._boxes.get(address)
                return None if box is None else box.record
            case PutEntry():
                return self._put_entry(operation, now)
            case GetEntry(address, cursor):
                return self._get_entry(address, cursor)
            case Release(address, floor):
                self._release(address, floor)
                return None
            case Expire(until, today):
                return self._expire(until, today)
            case Scan(after, limit):
                start = bisect_right(self._order, after)
                return tuple(self._at(place) for place in self._order[start : start + limit])
            case Missing(items):
                return tuple(item for item in items if self._misses(item))
            case _:
                assert_never(operation)

    def _put_box(self, put: PutBox) -> Status:
        there = self._boxes.get(put.address)
        if there is not None:
            buried = there.item.kind is Kind.TOMBSTONE
            if there.record == put.record or (buried and put.tombstone):
                return Status.OK
            if not put.tombstone:
                return Status.TAKEN
            self._drop(there)
        elif len(self) >= self.capacity:
            return Status.FULL
        kind = Kind.TOMBSTONE if put.tombstone else Kind.BOX
        item = Item(kind, put.address, storage.name_of(put.record))
        box = Stored(item, put.record, put.effort, put.nonce, day=put.day)
        self._boxes[put.address] = box
        insort(self._order, item.position())
        insort(self._box_ends, (put.day, item.position()))
        return Status.OK

    def _put_entry(self, put: PutEntry, now: int) -> PutEntryOutcome:
        inbox = self._inboxes.get(put.address)
        if inbox is None:
            base = max(now // clock.MILLISECOND, self._next_base) << NUMBER_BITS
            inbox = _Inbox(last=base)
        elif put.name in inbox.entries:
            return PutEntryOutcome(Status.OK, 0)
        if not self._has_room(inbox):
            least = min(
                (entry for _, entry in inbox.entries.values()),
                key=lambda entry: entry.effort,
                default=None,
            )
            if least is None or least.effort >= put.effort:
                return PutEntryOutcome(Status.FULL, 0)
            self._drop(least)
        self._inboxes[put.address] = inbox
        inbox.last += 1
        item = Item(Kind.ENTRY, put.address, put.name)
        entry = Stored(item, put.record, put.effort, put.nonce, expires=put.expires)
        inbox.entries[put.name] = inbox.last, entry
        self._entries += 1
        insort(self._order, item.position())
        insort(self._entry_ends, (put.expires, item.position()))
        return PutEntryOutcome(Status.OK, inbox.last)

    def _has_room(self, inbox: _Inbox) -> bool:
        return (
            len(inbox.entries) < self._params.inbox_entries
            and self._entries < storage.MAX_ENTRIES
            and len(self) < self.capacity
        )

    def _get_entry(self, address: bytes, cursor: int) -> Entry | None:
        inbox = self._inboxes.get(address)
        if inbox is None:
            return None
        found = ((n, entry) for n, entry in inbox.entries.values() if n > cursor)
        for number, entry in found:
            return Entry(number, entry.record, inbox.last, entry.effort, entry.nonce)
        return None

    def _release(self, address: bytes, floor: int) -> None:
        inbox = self._inboxes.get(address)
        if inbox is not None:
            read = [entry for number, entry in inbox.entries.values() if number <= floor]
            for entry in read:
                self._drop(entry)
            self._forget_if_idle(address)

    def _expire(self, now: int, today: int) -> int:
        day = today - self._params.box_days  # the first that is kept
        boxes = self._box_ends[: bisect_left(self._box_ends, (day, b""))]
        entries = self._entry_ends[: bisect_left(self._entry_ends, (now + 1, b""))]
        over = [place for _, place in boxes + entries][: storage.MAX_EXPIRED]
        for place in over:
            stored = self._at(place)
            self._drop(stored)
            self._forget_if_idle(stored.item.address)
        return len(over)

    def _misses(self, item: Item) -> bool:
        if item.kind is Kind.ENTRY:
            inbox = self._inboxes.get(item.address)
            return inbox is None or item.name not in inbox.entries
        box = self._boxes.get(item.address)
        return box is None or box.item.kind < item.kind

    def _at(self, position: bytes) -> Stored:
        address, kind, name = position[:32], position[32], position[33:]
        if kind == Kind.ENTRY:
            return self._inboxes[address].entries[name][1]
        return self._boxes[address]

    def _drop(self, stored: Stored) -> None:
        item, place = stored.item, stored.item.position()
        del self._order[bisect_left(self._order, place)]
        if item.kind is Kind.ENTRY:
            del self._inboxes[item.address].entries[item.name]
            del self._entry_ends[bisect_left(self._entry_ends, (stored.expires, place))]
            self._entries -= 1
        else:
            del self._boxes[item.address]
            del self._box_ends[bisect_left(self._box_ends, (stored.day, place))]

    def _forget_if_idle(self, address: bytes) -> None:
        inbox = self._inboxes.get(address)
        if inbox is not None and not inbox.entries:
            del self._inboxes[address]
            self._next_base = max(self._next_base, (inbox.last >> NUMBER_BITS) + 1)
