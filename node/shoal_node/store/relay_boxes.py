"""The boxes of a relay's database.

::

    box (address) ─► number, day, tombstone, price
      └─ box_record (number) ─► record without its address
      └─ box_end (day, number) ─► address
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shoal_node.store import relay_rows
from shoal_protocol.errors import StoreFailed
from shoal_protocol.service import storage
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import Item, Kind, PutBox, Scan, Stored


@dataclass(frozen=True, slots=True)
class Numbers:
    """What would be slow to ask: how many boxes there are, and the last number given."""

    count: int
    last: int


class Boxes:
    """Boxes by address; every method runs inside the caller's transaction.

    Args:
        room: asked before each new box.
    """

    def __init__(self, db: sqlite3.Connection, room: relay_rows.Room) -> None:
        self._db = db
        self._room = room
        (count,) = db.execute("SELECT count(*) FROM box_end").fetchone()
        (last,) = db.execute("SELECT coalesce(max(number), 0) FROM box_record").fetchone()
        self.numbers = Numbers(count, last)  # set back by the store when it rolls back

    def put(self, operations: Sequence[PutBox]) -> list[Status]:
        """Put boxes of different addresses."""
        addresses = [operation.address for operation in operations]
        rows = relay_rows.select_in(
            self._db, "SELECT address, number, day, tombstone FROM box WHERE address IN", addresses
        )
        found = {row[0]: row[1:] for row in rows}
        outcomes: list[Status] = []
        new: list[PutBox] = []
        for operation in operations:
            there = found.get(operation.address)
            if there is not None:
                outcomes.append(self._put_on(operation, *there))
            elif self._room.take():
                new.append(operation)
                outcomes.append(Status.OK)
            else:
                outcomes.append(Status.FULL)
        self._insert(new)
        return outcomes

    def get(self, addresses: Sequence[bytes]) -> list[bytes | None]:
        """Return the record at each of ``addresses``, or None."""
        rows = relay_rows.select_in(
            self._db,
            "SELECT address, record FROM box JOIN box_record USING (number) WHERE address IN",
            addresses,
        )
        found = {address: relay_rows.whole(kept, address) for address, kept in rows}
        return [found.get(address) for address in addresses]

    def holds(self, item: Item) -> bool:
        """Whether a box is here that makes the box or tombstone ``item`` needless."""
        sql = "SELECT tombstone FROM box WHERE address = ?"
        row = self._db.execute(sql, (item.address,)).fetchone()
        return row is not None and row[0] >= item.kind

    def expire(self, before: int, limit: int) -> int:
        """Drop at most ``limit`` of the boxes of days before ``before``; returns how many."""
        rows = self._db.execute(
            "SELECT day, number, address FROM box_end WHERE day < ? ORDER BY day, number LIMIT ?",
            (before, limit),
        ).fetchall()
        drop = self._db.executemany
        drop("DELETE FROM box_end WHERE day = ? AND number = ?", [row[:2] for row in rows])
        drop("DELETE FROM box_record WHERE number = ?", [row[1:2] for row in rows])
        drop("DELETE FROM box WHERE address = ?", [row[2:] for row in rows])
        self.numbers = replace(self.numbers, count=self.numbers.count - len(rows))
        self._room.changed()
        return len(rows)

    def scan(self, operation: Scan) -> Iterator[Stored]:
        """Yield boxes by address, from that of ``after`` itself on, at most limit + 1."""
        rows = self._db.execute(
            "SELECT address, record, day, tombstone, effort, nonce"
            " FROM box JOIN box_record USING (number) WHERE address >= ? ORDER BY address LIMIT ?",
            (operation.after[:32], operation.limit + 1),
        ).fetchall()
        for address, kept, day, tombstone, effort, nonce in rows:
            record = relay_rows.whole(kept, address)
            item = Item(Kind.TOMBSTONE if tombstone else Kind.BOX, address, storage.name_of(record))
            yield Stored(item, record, effort, nonce, day=day)

    def _insert(self, new: Sequence[PutBox]) -> None:
        first = self.numbers.last + 1
        # By address: who has the disk can't tell the order within a transaction.
        numbered = list(enumerate(sorted(new, key=lambda put: put.address), first))
        relay_rows.insert(
            self._db,
            "box_record",
            [(number, relay_rows.cut(put.record, put.address)) for number, put in numbered],
        )
        relay_rows.insert(
            self._db,
            "box",
            [
                (put.address, number, put.day, put.tombstone, put.effort, put.nonce)
                for number, put in numbered
            ],
        )
        relay_rows.insert(
            self._db, "box_end", [(put.day, number, put.address) for number, put in numbered]
        )
        self.numbers = Numbers(self.numbers.count + len(new), self.numbers.last + len(new))

    def _put_on(self, operation: PutBox, number: int, day: int, tombstone: int) -> Status:
        """Put a box where there is one."""
        if not operation.tombstone:
            same = self._record(number, operation.address) == operation.record
            return Status.OK if same else Status.TAKEN
        if tombstone:
            return Status.OK
        self._db.execute(
            "UPDATE box_record SET record = ? WHERE number = ?",
            (relay_rows.cut(operation.record, operation.address), number),
        )
        self._db.execute(
            "UPDATE box SET day = ?, tombstone = 1, effort = ?, nonce = ? WHERE address = ?",
            (operation.day, operation.effort, operation.nonce, operation.address),
        )
        self._db.execute(
            "UPDATE box_end SET day = ? WHERE day = ? AND number = ?", (operation.day, day, number)
        )
        return Status.OK

    def _record(self, number: int, address: bytes) -> bytes:
        sql = "SELECT record FROM box_record WHERE number = ?"
        row = self._db.execute(sql, (number,)).fetchone()
        if row is None:
            raise StoreFailed("a record is missing")
        return relay_rows.whole(row[0], address)
