"""The database file of a relay's store: opening it, its schema, what its errors mean.

::

    absent ──made, mode 0600──► version 0 ──step 1──► version 1 ──step 2──► …
                                            one transaction each, with the change of the number

A step is never edited once released: a change is a new step. Write-ahead logging with full
synchronisation: a transaction is on the disk when COMMIT returns (https://sqlite.org/wal.html).
The one connection locks the file against other processes, which also keeps the log's index in
memory. What is deleted is overwritten, so that a relay seized later tells nothing of boxes
that are over.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from shoal_node.home import CLOEXEC
from shoal_protocol.errors import StoreError, StoreFailed, StoreFull, UserError

PAGE_LENGTH: Final = 4096  # bytes; two records fill one, see _first
CACHE_LENGTH: Final = 16 * 2**20  # bytes of pages in memory at most
CHECKPOINT_PAGES: Final = 2000  # the log goes into the database when it has so many

_APPLICATION: Final = 0x53684C52  # "ShLR", PRAGMA application_id

_PRAGMAS: Final = (
    f"PRAGMA page_size = {PAGE_LENGTH}",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = ON",
    f"PRAGMA cache_size = -{CACHE_LENGTH // 1024}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS, where fsync alone doesn't reach the platter
    "PRAGMA checkpoint_fullfsync = ON",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
)

Connection = sqlite3.Connection
Step = Callable[[Connection], None]


def _first(connection: sqlite3.Connection) -> None:
    """Boxes and entries, each record apart from what finds it.

    Records lie in the order in which they came, without the address, which finds them: two
    to a page, where a table of whole rows has one. ``box_end`` finds what is over, in the
    order in which it came as well; an index on ``box`` would touch one more page at random
    for every box.
    """
    for statement in (
        "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value ANY NOT NULL) STRICT,"
        " WITHOUT ROWID",
        "CREATE TABLE box_record (number INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT",
        "CREATE TABLE box (address BLOB PRIMARY KEY NOT NULL, number INTEGER NOT NULL,"
        " day INTEGER NOT NULL, tombstone INTEGER NOT NULL, effort INTEGER NOT NULL,"
        " nonce BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE box_end (day INTEGER NOT NULL, number INTEGER NOT NULL,"
        " address BLOB NOT NULL, PRIMARY KEY (day, number)) STRICT, WITHOUT ROWID",
        "CREATE TABLE entry_record (number INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT",
        "CREATE TABLE inbox (address BLOB PRIMARY KEY NOT NULL, last INTEGER NOT NULL,"
        " entries INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE entry (address BLOB NOT NULL, number INTEGER NOT NULL,"
        " record INTEGER NOT NULL, name BLOB NOT NULL, effort INTEGER NOT NULL,"
        " nonce BLOB NOT NULL, expires INTEGER NOT NULL,"
        " PRIMARY KEY (address, number)) STRICT, WITHOUT ROWID",
        "CREATE UNIQUE INDEX entry_name ON entry (address, name)",
        "CREATE INDEX entry_effort ON entry (address, effort, number)",
        "CREATE INDEX entry_end ON entry (expires)",
    ):
        connection.execute(statement)


STEPS: Final[tuple[Step, ...]] = (_first,)

_FULL: Final = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # a quota or a limit: as good as a full disk
)


def meaning(error: sqlite3.Error) -> StoreError:
    """Return what an error of SQLite means to who uses the store."""
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreFull(name) if code in _FULL else StoreFailed(name)


def open_database(path: Path, steps: Sequence[Step] = STEPS) -> sqlite3.Connection:
    """Return a connection to the database, made and brought to the newest version.

    The connection is for one thread at a time and begins no transactions by itself.

    Raises:
        UserError: it is damaged, of a newer version, in use, or cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | CLOEXEC, 0o600))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"The relay's store {path} cannot be opened: {reason}.") from None
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(path)
        _migrate(connection, steps, path)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise unusable(error, path) from None
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection with our pragmas.

    Raises:
        UserError: it is the database of another program, which is left as it was.
        sqlite3.Error: it cannot be used.
    """
    connection = sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # before anything is read
        kind = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version and kind != _APPLICATION:
            raise UserError(f"{path} is the database of another program.")
        for statement in _PRAGMAS:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def unusable(error: sqlite3.Error, path: Path) -> UserError:
    """Return the sentence for a user whose relay can't open its store."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the rest tells particulars
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return UserError(f"The relay's store {path} is in use by another process.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return UserError(
                f"The relay's store {path} is damaged; remove it (and {path.name}-wal) and the "
                "relay begins an empty one."
            )
        case sqlite3.SQLITE_FULL:
            return UserError(f"There is no room on the disk for the relay's store {path}.")
        case _:
            return UserError(f"The relay's store {path} cannot be read or written.")


def _migrate(connection: sqlite3.Connection, steps: Sequence[Step], path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(steps):
        raise UserError(
            f"The relay's store {path} was written by a newer version of Shoal (schema "
            f"{version}, and this one knows {len(steps)}): use that version."
        )
    for number in range(version, len(steps)):
        connection.execute("BEGIN IMMEDIATE")
        steps[number](connection)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


class Reserve:
    """Disk space kept free beside the store, given up so that deletions work on a full disk.

    A deletion writes too: the pages that it changes go into the log first. While the space
    can't be held nothing new is kept, or the next deletion would find none.
    """

    LENGTH: Final = 8 * 2**20  # bytes: what one Expire of 1,000 rows may write, and a little

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-reserve")
        self._held = False

    def take(self) -> bool:
        """Hold the space if it isn't held; returns whether it is."""
        if self._held:
            return True
        try:
            with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, self.LENGTH)
                else:
                    file.write(bytes(self.LENGTH))
        except OSError:
            self._path.unlink(missing_ok=True)
        else:
            self._held = True
        return self._held

    def give_up(self) -> bool:
        """Free the space; returns whether there was any."""
        held, self._held = self._held, False
        self._path.unlink(missing_ok=True)
        return held
