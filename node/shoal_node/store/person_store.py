"""A person's store: one SQLCipher database that holds what the person machine hands out.

::

    secret 32 ─kdf("person store")─► raw key ─► AES-256-CBC + HMAC-SHA-512, a page of 4,096

    rows      kind, id ─► data                     the machine's rows (client/state.py)
    messages  id, conversation, position, text, …  one conversation's history, in order
    meta      name ─► value

    commit(batches): BEGIN ─► deletions ─► puts ─► COMMIT (synced) ─┬─► durable
                                 └─ no room: ROLLBACK ─► StoreFull  └─ erased ─► log emptied

The only importer of sqlcipher3. A commit is one transaction in write-ahead logging with full
synchronisation: when it returns, a power cut loses nothing of it. Deletions go first, so that
a full store makes room for what comes with them. What is deleted is overwritten
(``secure_delete``), and the log, which still holds the pages of before, is emptied at once
after a deletion that somebody may rely on, and by :meth:`PersonStore.tidy` for the rest.
The database is locked against other processes, which also keeps its index out of a shared
file. One thread at a time works; others wait for it. Spec: person-store.
"""

import errno
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from sqlcipher3 import dbapi2

from shoal_node import keep
from shoal_node.store import ledger, person_schema
from shoal_protocol import crypto
from shoal_protocol.client import state
from shoal_protocol.client.state import Changes, Kept, Key, MessageRow, StoreDamaged
from shoal_protocol.errors import ShoalError, StoreError, StoreFailed, StoreFull, UserError

PAGE_LENGTH: Final = 4096  # bytes
CACHE_LENGTH: Final = 256 * 1024  # bytes of pages in memory at most: all is read at the start
LOG_LIMIT: Final = 4 * 2**20  # bytes; a longer write-ahead log is emptied after a commit
RESERVE_LENGTH: Final = 2**20  # bytes, given up so that a deletion works on a full disk
ERASED_AT_ONCE: Final = frozenset(
    {
        state.PERSONA,
        state.PREKEYS,
        state.EPHEMERAL,
        state.CONVERSATION,
        state.ASSOCIATION,
        state.UPLOAD,
        state.FILE,
        state.PROFILE,
        state.CONTACT,
        state.INVITE,
    }
)

# SQLite's result codes, https://sqlite.org/rescode.html
_BUSY: Final = 5
_READ_ONLY: Final = 8
_DISK: Final = 10
_CORRUPT: Final = 11
_FULL: Final = 13
_NO_DATABASE: Final = 26
_NO_ROOM: Final = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_PROBE_LENGTH: Final = 65_536  # bytes

_CIPHER: Final = (
    "PRAGMA cipher_memory_security = ON",
    f"PRAGMA cipher_page_size = {PAGE_LENGTH}",
    "PRAGMA cipher_use_hmac = ON",
    "PRAGMA cipher_hmac_algorithm = HMAC_SHA512",
    "PRAGMA cipher_kdf_algorithm = PBKDF2_HMAC_SHA512",  # runs for passphrases; ours is raw
    "PRAGMA cipher_plaintext_header_size = 0",
)
_HABITS: Final = (
    "PRAGMA temp_store = MEMORY",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA secure_delete = ON",
    f"PRAGMA cache_size = -{CACHE_LENGTH // 1024}",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS, where fsync alone does not reach the platter
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA wal_autocheckpoint = 0",  # done here, where a failure is seen
    "PRAGMA trusted_schema = OFF",
    "PRAGMA journal_mode = WAL",  # reads the first page: a wrong key shows here
)
_PUT_ROW: Final = (
    "INSERT INTO rows (kind, id, data) VALUES (?, ?, ?)"
    " ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data"
)
_COLUMNS: Final = (
    "id, conversation, position, outgoing, number, text, state, created, received, request, file,"
    " reply, expires_s, expires"
)
_PUT_MESSAGE: Final = f"INSERT OR REPLACE INTO messages ({_COLUMNS}) VALUES (?{', ?' * 13})"  # noqa: S608  names of columns


class PersonStore:
    """The open store; made by :meth:`open`."""

    def __init__(self, path: Path, connection: dbapi2.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._reserve = path.with_name(f"{path.name}-reserve")

    @classmethod
    def open(
        cls,
        path: Path,
        secret: bytes,
        *,
        steps: Sequence[person_schema.Step] = person_schema.STEPS,
        max_pages: int | None = None,
    ) -> Self:
        """Open the store in the file ``path``, made now if it is new, and migrate it.

        Args:
            secret: 32 bytes, of :func:`~shoal_node.store.keys.secret_of`.
            steps: the schema's versions.
            max_pages: how long the database may grow, in pages; None for as long as can be.

        Raises:
            UserError: the key is wrong, the file is damaged, of a newer version, in use by
                another process, or cannot be opened.
        """
        try:
            if not path.exists():
                keep.write(path, b"")  # mode 0600, which SQLite gives to the log as well
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "it is not possible"
            raise UserError(f"The store {path} cannot be made: {reason}.") from None
        try:
            connection = _connect(path, secret, max_pages)
            try:
                person_schema.migrate(connection, steps, str(path))
                store = cls(path, connection)
                store.tidy()
            except BaseException:
                connection.close()
                raise
        except dbapi2.Error as error:
            meaning = _meaning(error, path)
            if isinstance(meaning, StoreError):
                raise UserError(str(meaning)) from None
            raise meaning from None
        except StoreError as error:
            raise UserError(str(error)) from None
        return store

    def load(self) -> Kept:
        """Return everything that is kept; files are read when they are asked for.

        Raises:
            StoreDamaged: a page is not what was written.
            StoreFailed: the disk failed.
        """
        with self._lock:
            return self._load()

    def _load(self) -> Kept:
        try:
            rows: dict[Key, bytes] = {
                (kind, row_id): data
                for kind, row_id, data in self._connection.execute(
                    "SELECT kind, id, data FROM rows WHERE kind NOT IN (?, ?, ?) ORDER BY kind, id",
                    (state.FILE, ledger.BURNT, ledger.DELETED),
                )
            }
            messages = [
                MessageRow(
                    id=values[0],
                    conversation=values[1],
                    position=values[2],
                    outgoing=bool(values[3]),
                    number=values[4],
                    text=values[5],
                    state=values[6],
                    created=values[7],
                    received=values[8],
                    request=bool(values[9]),
                    file=values[10],
                    reply=values[11],
                    expires_s=values[12],
                    expires=values[13],
                )
                for values in self._connection.execute(
                    f"SELECT {_COLUMNS} FROM messages ORDER BY position, conversation, id"  # noqa: S608
                )
            ]
        except dbapi2.Error as error:
            raise _meaning(error, self._path) from None
        self._check_what_was_read()
        return Kept(rows, messages, self.file)

    def file(self, message: bytes) -> bytes:
        """Return the content of a message's file, b"" if there is none.

        Waits while a commit runs: for a thread that may wait for a disk.

        Args:
            message: its 12 bytes.

        Raises:
            StoreDamaged: a page is not what was written.
            StoreFailed: the disk failed.
        """
        with self._lock:
            try:
                pieces = self._connection.execute(
                    "SELECT data FROM rows WHERE kind = ? AND id > ? AND id <= ? ORDER BY id",
                    (state.FILE, message, message + b"\xff" * 4),
                ).fetchall()
            except dbapi2.Error as error:
                raise _meaning(error, self._path) from None
            self._check_what_was_read()
        return b"".join(piece[0] for piece in pieces)

    def forgotten(self) -> dict[Key, bytes]:
        """Return the rows that mark what was burnt and deleted; errors as of :meth:`load`."""
        with self._lock:
            try:
                found = self._connection.execute(
                    "SELECT kind, id, data FROM rows WHERE kind IN (?, ?) ORDER BY rowid",
                    (ledger.BURNT, ledger.DELETED),
                ).fetchall()
            except dbapi2.Error as error:
                raise _meaning(error, self._path) from None
            self._check_what_was_read()
        return {(kind, name): data for kind, name, data in found}

    def _check_what_was_read(self) -> None:
        """Raise StoreDamaged if a page that was read since the opening failed its MAC.

        SQLCipher gives zeros for such a page when it continues a long value, and no error,
        but from then on refuses to write.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("UPDATE meta SET value = value")
            self._connection.execute("ROLLBACK")
        except dbapi2.Error as error:
            self._roll_back()
            if _code(error) == _READ_ONLY:
                raise StoreDamaged(f"The store {self._path} is damaged.") from None
            raise _meaning(error, self._path) from None

    def commit(self, batches: Sequence[Changes]) -> None:
        """Make ``batches`` durable, in their order, in one transaction.

        Raises:
            StoreFull: there is no room; nothing has happened.
            StoreFailed: the disk failed; only a fresh start shows what has happened.
            StoreDamaged: a page is not what was written.
        """
        with self._lock:
            self._commit(batches)

    def _commit(self, batches: Sequence[Changes]) -> None:
        rows: dict[Key, bytes | None] = {}
        messages: dict[str, MessageRow | None] = {}
        for batch in batches:
            rows.update(batch.rows)
            messages.update(batch.messages)
        if not rows and not messages:
            return
        erases = any(
            data is None and key[0] in ERASED_AT_ONCE for key, data in rows.items()
        ) or any(message is None for message in messages.values())
        remedies = [self._empty_log, self._give_up_reserve] if erases else [self._empty_log]
        while True:
            try:
                self._write(rows, messages)
                break
            except StoreFull:
                if not remedies:
                    raise
                remedies.pop(0)()
        if erases or self._log_length() > LOG_LIMIT:
            self._tidy()

    def _write(
        self, rows: Mapping[Key, bytes | None], messages: Mapping[str, MessageRow | None]
    ) -> None:
        run = self._connection
        done = False
        try:
            run.execute("BEGIN IMMEDIATE")
            ledger.note(run, rows, messages)
            run.executemany(
                "DELETE FROM rows WHERE kind = ? AND id = ?",
                [key for key, data in rows.items() if data is None],
            )
            run.executemany(
                "DELETE FROM messages WHERE id = ?",
                [(name,) for name, row in messages.items() if row is None],
            )
            run.executemany(
                _PUT_ROW, [(*key, data) for key, data in rows.items() if data is not None]
            )
            run.executemany(
                _PUT_MESSAGE, [_values(row) for row in messages.values() if row is not None]
            )
            run.execute("COMMIT")
            done = True
        except dbapi2.Error as error:
            raise _meaning(error, self._path) from None
        finally:
            if not done:  # whatever it was: an open transaction would refuse every later one
                self._roll_back()

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except dbapi2.Error:
            return  # the transaction is gone already; what failed is reported by the caller

    def tidy(self) -> bool:
        """Empty the write-ahead log, so that nothing deleted or replaced is left in it.

        Returns:
            False when there is no room to do so; the log is kept then and nothing is lost.

        Raises:
            StoreFailed: the disk failed.
        """
        with self._lock:
            return self._tidy()

    def _tidy(self) -> bool:
        done = self._empty_log()
        if done:
            self._keep_reserve()
        return done

    def _empty_log(self) -> bool:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except dbapi2.Error as error:
            meaning = _meaning(error, self._path)
            if not isinstance(meaning, StoreFull):
                raise meaning from None
            return False
        return True

    def _log_length(self) -> int:
        try:
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _keep_reserve(self) -> None:
        if self._reserve.exists():
            return
        try:
            keep.write(self._reserve, os.urandom(RESERVE_LENGTH))
        except OSError:
            return  # no room for it now; the next tidying tries again

    def _give_up_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def integrity(self) -> list[str]:
        """Return what is wrong with the database, a sentence each; nothing when it is sound.

        Every page's MAC is checked, then the structure. Reads the whole file.
        """
        with self._lock:
            return self._integrity()

    def _integrity(self) -> list[str]:
        found: list[str] = []
        try:
            self._tidy()
            for check in ("cipher_integrity_check", "integrity_check"):
                found += [str(row[0]) for row in self._connection.execute(f"PRAGMA {check}")]
        except dbapi2.Error as error:
            found.append(f"The check stopped: {error.sqlite_errorname}.")
        except ShoalError as error:
            found.append(str(error))
        return [line for line in found if line != "ok"]

    def close(self) -> None:
        """Close; the write-ahead log is emptied and removed."""
        with self._lock:
            self._connection.close()


def _values(row: MessageRow) -> tuple[object, ...]:
    return (
        row.id,
        row.conversation,
        row.position,
        row.outgoing,
        row.number,
        row.text,
        row.state,
        row.created,
        row.received,
        row.request,
        row.file,
        row.reply,
        row.expires_s,
        row.expires,
    )


def _connect(path: Path, secret: bytes, max_pages: int | None) -> dbapi2.Connection:
    connection = dbapi2.connect(str(path), timeout=0, isolation_level=None, check_same_thread=False)
    try:
        # Without this SQLCipher writes lines to stderr when a key is wrong.
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.set_key(f"x'{crypto.kdf(b'person store', secret).hex()}'")
        for pragma in (*_CIPHER, *_HABITS):
            connection.execute(pragma)
        if max_pages is not None:
            connection.execute(f"PRAGMA max_page_count = {max_pages}")
    except BaseException:
        connection.close()
        raise
    return connection


def _meaning(error: dbapi2.Error, path: Path) -> ShoalError:
    """Return what an error of the database means; SQLite's own text is never passed on."""
    code = _code(error)
    if code == _FULL or (code == _DISK and not _has_room(path)):
        return StoreFull(f"There is no room on the disk for the store {path}.")
    if code == _BUSY:
        return StoreFailed(f"The store {path} is in use by another process.")
    if code == _NO_DATABASE:
        return StoreDamaged(
            f"The store {path} does not open: it belongs to another key, or it is damaged."
        )
    if code == _CORRUPT:
        return StoreDamaged(f"The store {path} is damaged.")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreFailed(f"The store {path} cannot be used: the disk or the system failed ({name}).")


def _code(error: dbapi2.Error) -> int:
    """Return the primary result code; 0 when sqlcipher3 itself raised the error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _has_room(path: Path) -> bool:
    """Whether more can be written beside the store.

    SQLite tells a full disk from a failing one, but holds a quota that is used up, or a limit
    on the length of files, for the latter.
    """
    probe = path.with_name(f"{path.name}-probe")
    log = path.with_name(f"{path.name}-wal")
    try:
        with probe.open("wb") as file:
            file.seek(max(one.stat().st_size for one in (path, log) if one.exists()))
            file.write(bytes(_PROBE_LENGTH))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno not in _NO_ROOM
    finally:
        probe.unlink(missing_ok=True)
    return True
