"""The schema of a person's store, as numbered steps; the number stands in the database.

::

    0, an empty file ──step 1──► 1: rows, messages, meta ──step 2──► 2: replies, deadlines
                                 PRAGMA user_version = 1             PRAGMA user_version = 2
                             ──step 3──► 3: longer rows of records and parts
                                         PRAGMA user_version = 3

Each step runs in one transaction with the change of the number, so that a crash leaves the
database before or after it. A step is never edited once released: a change is a new step,
with a database of the version before as a fixture in ``tests/store/fixtures``.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from shoal_protocol.errors import UserError


class Cursor(Protocol):
    """What a statement gives."""

    def fetchone(self) -> tuple[object, ...] | None:
        """Return the next row."""


class Connection(Protocol):
    """What a step may use of a database's connection."""

    def execute(self, sql: str, parameters: Sequence[object] = ..., /) -> Cursor:
        """Run one statement."""


Step = Callable[[Connection], None]


def _first(connection: Connection) -> None:
    connection.execute(
        "CREATE TABLE rows (kind TEXT NOT NULL, id BLOB NOT NULL, data BLOB NOT NULL,"
        " PRIMARY KEY (kind, id)) STRICT"
    )
    connection.execute(
        "CREATE TABLE messages (id TEXT PRIMARY KEY NOT NULL, conversation TEXT NOT NULL,"
        " position INTEGER NOT NULL, outgoing INTEGER NOT NULL, number INTEGER NOT NULL,"
        " text TEXT NOT NULL, state INTEGER NOT NULL, created INTEGER NOT NULL,"
        " received INTEGER, request INTEGER NOT NULL, file BLOB) STRICT"
    )
    connection.execute("CREATE INDEX messages_in_order ON messages (conversation, position)")
    connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value TEXT) STRICT")


def _second(connection: Connection) -> None:
    """What a message answers, and when it disappears; *fetched* is what *read* was.

    State 2 was of a message of which a part had come, and is *stored* now.
    """
    connection.execute("ALTER TABLE messages ADD COLUMN reply BLOB")
    connection.execute("ALTER TABLE messages ADD COLUMN expires_s INTEGER")
    connection.execute("ALTER TABLE messages ADD COLUMN expires INTEGER")
    connection.execute("UPDATE messages SET state = state - 1 WHERE state IN (2, 3)")


def _third(connection: Connection) -> None:
    """Records and parts have a second, longer form, and there are marks and a clock.

    The tables stay. The number keeps an earlier version from what it could not read.
    """


STEPS: Final[tuple[Step, ...]] = (_first, _second, _third)


def version_of(connection: Connection) -> int:
    """Return the number of the schema that the database has; 0 for an empty one."""
    found = connection.execute("PRAGMA user_version").fetchone()
    return 0 if found is None else int(str(found[0]))


def migrate(connection: Connection, steps: Sequence[Step], name: str) -> None:
    """Bring the database to the newest version, a transaction a step.

    Args:
        steps: from the empty database on; ``steps[n]`` leads from version n to n + 1.
        name: the database's path, for the sentence.

    Raises:
        UserError: the database is of a newer version than ``steps`` lead to.
    """
    version = version_of(connection)
    if version > len(steps):
        raise UserError(
            f"The store {name} was written by a newer version of Shoal (schema {version}, and "
            f"this one knows {len(steps)}): use that version."
        )
    for number in range(version, len(steps)):
        connection.execute("BEGIN IMMEDIATE")
        steps[number](connection)
        connection.execute(
            "INSERT INTO meta VALUES ('written_by', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (importlib.metadata.version("shoal"),),
        )
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
