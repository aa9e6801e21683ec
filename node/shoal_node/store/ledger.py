"""What was burnt and deleted, so that no backup brings it back: marks that tell nothing else.

::

    deleted: a persona, a conversation ─► row "burnt",   id: mark 16     kept for good
             a message                 ─► row "deleted", id: mark 16     the last 65,536

    mark = KDF("forgotten", kind, id; 16 bytes)

A mark is made in the transaction that deletes, so that no crash lies between them. Ids are
random and stand nowhere else once what they named is gone; a mark is of use only to somebody
who has the store's key and an earlier backup, and tells him that this was forgotten. That is
the price of not bringing it back. Messages of a conversation that is deleted with them have
no marks of their own. When the oldest marks of messages give way, a backup older than them
may bring such a message back, unless its time is over. Spec: backup.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Final, Protocol

from shoal_protocol import crypto
from shoal_protocol.client import state
from shoal_protocol.client.state import Key, MessageRow

BURNT: Final = "burnt"  # a row's kind; id: the mark of a persona or conversation
DELETED: Final = "deleted"  # a row's kind; id: the mark of a message
MESSAGE: Final = "message"  # what a message's mark says it is of
MOST_DELETED: Final = 65_536  # marks of messages that are kept
MARK_LENGTH: Final = 16  # bytes

_LASTING: Final = (state.PERSONA, state.CONVERSATION)
_PUT: Final = "INSERT OR IGNORE INTO rows (kind, id, data) VALUES (?, ?, x'')"
_OF_MESSAGE: Final = "SELECT conversation FROM messages WHERE id = ?"
_TRIM: Final = (
    "DELETE FROM rows WHERE kind = ? AND rowid NOT IN"
    " (SELECT rowid FROM rows WHERE kind = ? ORDER BY rowid DESC LIMIT ?)"
)


class Rows(Protocol):
    """What a statement gives."""

    def fetchone(self) -> tuple[object, ...] | None:
        """Return the next row."""


class Connection(Protocol):
    """What is used of a database's connection."""

    def execute(self, sql: str, parameters: Sequence[object] = ..., /) -> Rows:
        """Run one statement."""


def mark(kind: str, name: bytes) -> bytes:
    """Return the mark of a persona, a conversation (by their 8 bytes) or a message (its hex)."""
    return crypto.kdf(b"forgotten", kind.encode(), name, size=MARK_LENGTH)


def note(
    connection: Connection,
    rows: Mapping[Key, bytes | None],
    messages: Mapping[str, MessageRow | None],
) -> None:
    """Mark what the open transaction is about to delete; call it before it does."""
    gone = [key for key, data in rows.items() if data is None and key[0] in _LASTING]
    for kind, name in gone:
        connection.execute(_PUT, (BURNT, mark(kind, name)))
    whole = {name.hex() for kind, name in gone if kind == state.CONVERSATION}
    single = [
        message
        for message, row in messages.items()
        if row is None and not _goes_with(connection, message, whole)
    ]
    for message in single:
        connection.execute(_PUT, (DELETED, mark(MESSAGE, message.encode())))
    if single:
        trim(connection)


def trim(connection: Connection) -> None:
    """Let the oldest marks of messages give way beyond :data:`MOST_DELETED`."""
    found = connection.execute("SELECT count(*) FROM rows WHERE kind = ?", (DELETED,)).fetchone()
    if found is not None and int(str(found[0])) > MOST_DELETED:
        connection.execute(_TRIM, (DELETED, DELETED, MOST_DELETED))


def _goes_with(connection: Connection, message: str, conversations: Set[object]) -> bool:
    """Whether a message goes with its conversation, or never was in the store."""
    found = connection.execute(_OF_MESSAGE, (message,)).fetchone()
    return found is None or found[0] in conversations
