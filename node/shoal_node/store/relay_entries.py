"""The inboxes of a relay's database.

::

    inbox (address) ─► last number given, how many entries
    entry (address, number) ─► name, price, end, number of its record
      └─ found by name, by effort, by end as well
      └─ entry_record (number) ─► record without its address
    meta: base ─► where the numbers of an inbox that begins anew begin, in ms
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shoal_node.store import relay_rows
from shoal_protocol import clock
from shoal_protocol.service import storage
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import (
    Entry,
    GetEntry,
    Item,
    Kind,
    PutEntry,
    PutEntryOutcome,
    Release,
    Scan,
    Stored,
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What would be slow to ask.

    Args:
        count: entries in all inboxes.
        last: the last number of a record.
        base: ms; above the numbers of all inboxes that were forgotten.
    """

    count: int
    last: int
    base: int


class Entries:
    """Entries by inbox; every method runs inside the caller's transaction.

    Args:
        inbox_entries: how many an inbox holds.
        room: asked before each new entry.
    """

    def __init__(
        self, db: sqlite3.Connection, room: relay_rows.Room, *, inbox_entries: int
    ) -> None:
        self._db = db
        self._room = room
        self._inbox_entries = inbox_entries
        (count,) = db.execute("SELECT count(*) FROM entry").fetchone()
        (last,) = db.execute("SELECT coalesce(max(number), 0) FROM entry_record").fetchone()
        (base,) = db.execute("SELECT value FROM meta WHERE name = 'base'").fetchone()
        self.numbers = Numbers(count, last, base)  # set back by the store when it rolls back

    def put(self, operation: PutEntry, now: int) -> PutEntryOutcome:
        """Put one entry."""
        if self.holds(Item(Kind.ENTRY, operation.address, operation.name)):
            return PutEntryOutcome(Status.OK, 0)
        inbox = self._db.execute(
            "SELECT last, entries FROM inbox WHERE address = ?", (operation.address,)
        ).fetchone()
        if inbox is None:
            base = max(now // clock.MILLISECOND, self.numbers.base)
            inbox = (base << storage.NUMBER_BITS, 0)
        last, entries = inbox
        if not self._has_room(entries):
            if not self._outbid(operation):
                return PutEntryOutcome(Status.FULL, 0)
            entries -= 1
        self._insert(operation, last + 1)
        self._db.execute(
            "INSERT INTO inbox VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE"
            " SET last = excluded.last, entries = excluded.entries",
            (operation.address, last + 1, entries + 1),
        )
        return PutEntryOutcome(Status.OK, last + 1)

    def get(self, operation: GetEntry) -> Entry | None:
        """Return the inbox's first entry beyond the cursor."""
        row = self._db.execute(
            "SELECT entry.number, entry_record.record, inbox.last, entry.effort, entry.nonce"
            " FROM entry"
            " JOIN entry_record ON entry_record.number = entry.record"
            " JOIN inbox ON inbox.address = entry.address"
            " WHERE entry.address = ? AND entry.number > ? ORDER BY entry.number LIMIT 1",
            (operation.address, operation.cursor),
        ).fetchone()
        if row is None:
            return None
        return Entry(row[0], relay_rows.whole(row[1], operation.address), *row[2:])

    def holds(self, item: Item) -> bool:
        """Whether the entry named ``item`` is here."""
        sql = "SELECT 1 FROM entry WHERE address = ? AND name = ?"
        return self._db.execute(sql, (item.address, item.name)).fetchone() is not None

    def release(self, operation: Release) -> None:
        """Drop the inbox's entries up to the floor."""
        rows = self._db.execute(
            "SELECT address, number, record FROM entry WHERE address = ? AND number <= ?",
            (operation.address, operation.floor),
        ).fetchall()
        self._drop(rows)

    def expire(self, now: int, limit: int) -> int:
        """Drop at most ``limit`` of the entries whose life is over; returns how many."""
        rows = self._db.execute(
            "SELECT address, number, record FROM entry WHERE expires <= ? ORDER BY expires LIMIT ?",
            (now, limit),
        ).fetchall()
        self._drop(rows)
        return len(rows)

    def scan(self, operation: Scan) -> Iterator[Stored]:
        """Yield entries behind ``after`` by address and name, at most limit."""
        after = operation.after
        name = after[33:] if after[32:33] == bytes((Kind.ENTRY,)) else b""
        rows = self._db.execute(
            "SELECT entry.address, entry.name, entry_record.record, effort, nonce, expires"
            " FROM entry JOIN entry_record ON entry_record.number = entry.record"
            " WHERE (entry.address, entry.name) > (?, ?)"
            " ORDER BY entry.address, entry.name LIMIT ?",
            (after[:32], name, operation.limit),
        ).fetchall()
        for address, name, kept, effort, nonce, expires in rows:
            item = Item(Kind.ENTRY, address, name)
            yield Stored(item, relay_rows.whole(kept, address), effort, nonce, expires=expires)

    def _has_room(self, entries: int) -> bool:
        return (
            entries < self._inbox_entries
            and self.numbers.count < storage.MAX_ENTRIES
            and self._room.take()
        )

    def _insert(self, operation: PutEntry, number: int) -> None:
        record = self.numbers.last + 1
        kept = relay_rows.cut(operation.record, operation.address)
        relay_rows.insert(self._db, "entry_record", [(record, kept)])
        row = (
            operation.address,
            number,
            record,
            operation.name,
            operation.effort,
            operation.nonce,
            operation.expires,
        )
        relay_rows.insert(self._db, "entry", [row])
        self.numbers = replace(self.numbers, count=self.numbers.count + 1, last=record)

    def _outbid(self, operation: PutEntry) -> bool:
        """Drop the inbox's entry of least effort for one of higher effort, if there is one."""
        least = self._db.execute(
            "SELECT address, number, record FROM entry WHERE address = ? AND effort < ?"
            " ORDER BY effort, number LIMIT 1",
            (operation.address, operation.effort),
        ).fetchone()
        if least is None:
            return False
        self._delete([least])
        return True

    def _drop(self, rows: Sequence[relay_rows.Row]) -> None:
        """Drop entries, given as (address, number, record's number), and inboxes left empty."""
        if not rows:
            return
        self._delete(rows)
        counts = Counter(address for address, _, _ in rows)
        self._db.executemany(
            "UPDATE inbox SET entries = entries - ? WHERE address = ?",
            [(count, address) for address, count in counts.items()],
        )
        for address in counts:
            idle = self._db.execute(
                "DELETE FROM inbox WHERE address = ? AND entries = 0 RETURNING last", (address,)
            ).fetchone()
            if idle is not None:
                self._begin_beyond(idle[0])

    def _begin_beyond(self, last: int) -> None:
        base = max(self.numbers.base, (last >> storage.NUMBER_BITS) + 1)
        if base != self.numbers.base:
            self._db.execute("UPDATE meta SET value = ? WHERE name = 'base'", (base,))
            self.numbers = replace(self.numbers, base=base)

    def _delete(self, rows: Sequence[relay_rows.Row]) -> None:
        drop = self._db.executemany
        drop("DELETE FROM entry WHERE address = ? AND number = ?", [row[:2] for row in rows])
        drop("DELETE FROM entry_record WHERE number = ?", [row[2:] for row in rows])
        self.numbers = replace(self.numbers, count=self.numbers.count - len(rows))
        self._room.changed()
