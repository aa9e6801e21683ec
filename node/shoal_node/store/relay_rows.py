"""What boxes and entries share in a relay's database: statements of many rows, cuts, room.

SQLite works without the interpreter's lock while a statement runs. So what can go together
does, :data:`CHUNK` rows to a statement: a relay checks the signatures of the next boxes while
these are written.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from shoal_node.store import relay_schema
from shoal_protocol.constants import RECORD_LENGTH

CHUNK: Final = 64  # rows a statement at most

_RECORDS, _PAGES = 5, 3  # so many new records take so many pages, with what finds them
_MARGIN: Final = 8  # pages that nodes inside the trees may take

_T = TypeVar("_T")
Row = tuple[Any, ...]


def chunks(values: Sequence[_T]) -> Iterator[list[_T]]:
    """Cut into lists of powers of two up to CHUNK, so that few statements are prepared."""
    start, size = 0, CHUNK
    while start < len(values):
        while size > len(values) - start:
            size //= 2
        yield list(values[start : start + size])
        start += size


def select_in(db: sqlite3.Connection, sql: str, keys: Sequence[bytes]) -> list[Row]:
    """Return the rows of ``sql``, which ends in IN, for all ``keys``."""
    rows: list[Row] = []
    for chunk in chunks(keys):
        rows += db.execute(f"{sql} ({', '.join('?' * len(chunk))})", chunk)
    return rows


def insert(db: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    """Insert whole ``rows``."""
    for chunk in chunks(rows):
        marks = f"({', '.join('?' * len(chunk[0]))})"
        db.execute(
            f"INSERT INTO {table} VALUES {', '.join([marks] * len(chunk))}",  # noqa: S608  ours
            [value for row in chunk for value in row],
        )


def cut(record: bytes, address: bytes) -> bytes:
    """Return what of a record isn't known from where it lies."""
    return record[len(address) :] if record.startswith(address) else record


def whole(kept: bytes, address: bytes) -> bytes:
    """Return the record (2,048 bytes) that was :func:`cut`."""
    return kept if len(kept) == RECORD_LENGTH else address + kept


class Room:
    """What our own limit on the database leaves for new records.

    Args:
        limit: bytes of database at most; may be changed from any thread.
    """

    def __init__(self, db: sqlite3.Connection, limit: int) -> None:
        self._db = db
        self.limit = limit
        self._left = 0
        self._known = False

    def changed(self) -> None:
        """Reckon anew before the next record: rows went, or a transaction was undone."""
        self._known = False

    def take(self) -> bool:
        """Take the room of one new record, if there is any."""
        if not self._known:
            self.measure()
        if not self._left:
            return False
        self._left -= 1
        return True

    @property
    def left(self) -> int:
        """Records that fit, as of the last reckoning."""
        return self._left

    def measure(self) -> int:
        """Return the bytes of database in use, what is free inside left out."""
        pages = int(self._db.execute("PRAGMA page_count").fetchone()[0])
        pages -= int(self._db.execute("PRAGMA freelist_count").fetchone()[0])
        free = self.limit // relay_schema.PAGE_LENGTH - pages - _MARGIN
        self._left, self._known = max(0, free * _RECORDS // _PAGES), True
        return pages * relay_schema.PAGE_LENGTH
