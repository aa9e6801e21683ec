"""A relay's store on disk: boxes and entries in one SQLite database.

::

    execute([…], now): BEGIN IMMEDIATE ─► operations in order ─► COMMIT, synced ─► outcomes
                                │            relay_boxes, relay_entries
                                └─ any error: ROLLBACK ─► StoreFull, StoreFailed

Two bounds on the disk. Our own, ``limit`` bytes of database: what doesn't fit gets the status
FULL, and nothing fails. The disk's: StoreFull, and a reserve of space lets deletions work
nevertheless. The log beside the database grows to about 8 MB, and to 64 MiB at most.

Memory is flat: 16 MiB of pages, and a few rows at a time.
Contract: :class:`shoal_protocol.service.storage.Store`. Not for several threads at a time.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar, assert_never

from shoal_node.store import relay_schema
from shoal_node.store.relay_boxes import Boxes
from shoal_node.store.relay_entries import Entries
from shoal_node.store.relay_rows import Room
from shoal_protocol.errors import StoreFull
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng
from shoal_protocol.service import storage
from shoal_protocol.service.messages import INSTANCE_LENGTH
from shoal_protocol.service.storage import (
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
    Release,
    Scan,
    Stored,
)

FILE: Final = "relay.db"
LIMIT: Final = 4 * 2**30  # bytes of database: nearly two million boxes
LOG_LIMIT: Final = 64 * 2**20  # bytes; a log that can't be emptied takes no more new records

_Addressed = TypeVar("_Addressed", PutBox, GetBox)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store keeps.

    Args:
        boxes: tombstones included.
        bytes: of the database, what is free inside left out.
        limit: bytes of database at most.
        full: nothing new fits below the limit.
    """

    boxes: int
    entries: int
    bytes: int
    limit: int
    full: bool


class RelayStore:
    """Boxes and entries of one relay, durable; implements ``storage.Store``.

    Args:
        path: the database's file, made with mode 0600 when it isn't there.
        params: how many entries an inbox holds, how many days a box is kept.
        rng: draws the instance of a new store.
        limit: bytes of database at most.

    Raises:
        UserError: it is damaged, of a newer version, in use, or cannot be made.
    """

    def __init__(
        self, path: Path, params: NetworkParameters, rng: Rng, *, limit: int = LIMIT
    ) -> None:
        self._log: Final = path.with_name(f"{path.name}-wal")
        self._box_days: Final = params.box_days
        self._db: Final = relay_schema.open_database(path)
        self._room: Final = Room(self._db, limit)
        self._reserve: Final = relay_schema.Reserve(path)
        try:
            self._instance: Final = self._name(rng)
            self._boxes: Final = Boxes(self._db, self._room)
            self._entries: Final = Entries(self._db, self._room, inbox_entries=params.inbox_entries)
            self._usage = self._count()
        except sqlite3.Error as error:
            self._db.close()
            raise relay_schema.unusable(error, path) from None
        self._reserve.take()

    @property
    def instance(self) -> bytes:
        """16 random bytes that name this store, drawn when its file was made."""
        return self._instance

    @property
    def usage(self) -> Usage:
        """What was kept after the last transaction; may be asked from any thread."""
        return self._usage

    def set_limit(self, limit: int) -> None:
        """Keep at most ``limit`` bytes from the next transaction on; nothing kept goes for it."""
        self._room.limit = limit
        self._room.changed()
        self._usage = replace(self._usage, limit=limit)

    def execute(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        """Perform ``operations`` in order as one transaction that is durable on return.

        Raises:
            StoreFull: the disk has no room; what only reads or drops may use the reserve's, and
                then nothing new is kept until there is room for the reserve again.
            StoreFailed: the database cannot be read or written.
        """
        puts = any(isinstance(operation, PutBox | PutEntry) for operation in operations)
        if puts and (self._log_is_stuck() or not self._hold_reserve()):
            raise StoreFull("log or reserve")
        try:
            return self._transact(operations, now)
        except StoreFull:
            if not self._find_room(puts=puts):
                raise
        return self._transact(operations, now)

    def close(self) -> None:
        """Close the database; its log goes into it. The store is of no use after."""
        self._db.close()
        self._reserve.give_up()

    def integrity(self) -> list[str]:
        """Return what is wrong with the database, in SQLite's words; nothing if it is whole."""
        found = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check")]
        return [] if found == ["ok"] else found

    def _transact(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        before = self._boxes.numbers, self._entries.numbers
        writes = any(isinstance(operation, storage.WRITES) for operation in operations)
        done = False
        try:
            self._db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            outcomes = self._perform(operations, now)
            self._db.execute("COMMIT")
            done = True
        except sqlite3.Error as error:
            raise relay_schema.meaning(error) from None
        finally:
            if not done:
                self._boxes.numbers, self._entries.numbers = before
                self._room.changed()
                self._roll_back()
        if writes:
            self._usage = self._count()
        if any(isinstance(operation, Expire) for operation in operations):
            self._reserve.take()
        return outcomes

    def _roll_back(self) -> None:
        if not self._db.in_transaction:
            return  # SQLite did by itself
        try:
            self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise relay_schema.meaning(error) from None

    def _perform(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        while len(outcomes) < len(operations):
            operation = operations[len(outcomes)]
            match operation:
                case PutBox():
                    outcomes += self._boxes.put(_run(operations, len(outcomes), PutBox))
                case GetBox():
                    gets = _run(operations, len(outcomes), GetBox)
                    outcomes += self._boxes.get([get.address for get in gets])
                case PutEntry():
                    outcomes.append(self._entries.put(operation, now))
                case GetEntry():
                    outcomes.append(self._entries.get(operation))
                case Release():
                    self._entries.release(operation)
                    outcomes.append(None)
                case Expire():
                    outcomes.append(self._expire(operation))
                case Scan():
                    outcomes.append(self._scan(operation))
                case Missing():
                    missing = (item for item in operation.items if not self._holds(item))
                    outcomes.append(tuple(missing))
                case _:
                    assert_never(operation)
        return outcomes

    def _expire(self, operation: Expire) -> int:
        entries = self._entries.expire(operation.now, storage.MAX_EXPIRED)
        first = operation.today - self._box_days  # the first day that is kept
        return entries + self._boxes.expire(first, storage.MAX_EXPIRED - entries)

    def _scan(self, operation: Scan) -> tuple[Stored, ...]:
        found = merge(
            self._boxes.scan(operation),
            self._entries.scan(operation),
            key=lambda stored: stored.item.position(),
        )
        behind = (stored for stored in found if stored.item.position() > operation.after)
        return tuple(islice(behind, operation.limit))

    def _holds(self, item: Item) -> bool:
        return self._entries.holds(item) if item.kind is Kind.ENTRY else self._boxes.holds(item)

    def _hold_reserve(self) -> bool:
        """Hold the reserve, if need be in the place of a log that is in the database already."""
        if not self._reserve.take():
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self._reserve.take()

    def _find_room(self, *, puts: bool) -> bool:
        """Whether a full disk has more room than it had: the reserve's, the log's own."""
        found = not puts and self._reserve.give_up()
        try:
            _, frames, written = self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error:
            return found
        return found or 0 < frames == written

    def _log_is_stuck(self) -> bool:
        """Whether the log is too long and can't be written into the database."""
        try:
            if self._log.stat().st_size <= LOG_LIMIT:
                return False
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except FileNotFoundError:
            return False
        except sqlite3.Error:
            return True
        return False

    def _count(self) -> Usage:
        boxes, entries = self._boxes.numbers.count, self._entries.numbers.count
        used = self._room.measure()
        return Usage(boxes, entries, used, self._room.limit, self._room.left == 0)

    def _name(self, rng: Rng) -> bytes:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(
            "INSERT OR IGNORE INTO meta VALUES ('instance', ?), ('base', 0)",
            (rng.bytes(INSTANCE_LENGTH),),
        )
        self._db.execute("COMMIT")
        (instance,) = self._db.execute("SELECT value FROM meta WHERE name = 'instance'").fetchone()
        return bytes(instance)


def _run(operations: Sequence[Operation], start: int, kind: type[_Addressed]) -> list[_Addressed]:
    """Return the operations of ``kind`` from ``start`` on, up to an address that comes again."""
    run: list[_Addressed] = []
    addresses: set[bytes] = set()
    for operation in islice(operations, start, None):
        if not isinstance(operation, kind) or operation.address in addresses:
            break
        addresses.add(operation.address)
        run.append(operation)
    return run
