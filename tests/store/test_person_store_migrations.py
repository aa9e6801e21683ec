"""T18: databases of every earlier version open with all rows; kills in steps; no way back."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shoal_node.store import person_schema
from shoal_node.store.person_schema import STEPS, Connection
from shoal_node.store.person_store import PersonStore
from shoal_protocol.client.state import Kept
from shoal_protocol.errors import UserError
from store.fixtures import write_person_store
from store.fixtures.write_person_store import SECRET, content, place, same

VERSIONS = range(1, len(STEPS) + 1)


def widen(connection: Connection) -> None:
    """A step such as a later version may have: a column with a value for what is there."""
    connection.execute("ALTER TABLE messages ADD COLUMN starred INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE messages SET starred = 1 WHERE outgoing = 1")
    connection.execute("CREATE INDEX starred_messages ON messages (starred)")


def rebuild(connection: Connection) -> None:
    """A step that copies a table and drops the old one."""
    connection.execute(
        "CREATE TABLE made (kind TEXT NOT NULL, id BLOB NOT NULL, data BLOB NOT NULL,"
        " length INTEGER NOT NULL, PRIMARY KEY (kind, id)) STRICT"
    )
    connection.execute("INSERT INTO made SELECT kind, id, data, length(data) FROM rows")
    connection.execute("DROP TABLE rows")
    connection.execute("ALTER TABLE made RENAME TO rows")


LATER = (*STEPS, widen, rebuild)


@dataclass(frozen=True)
class Old:
    """A copy of the database of an earlier version, and what it is to hold."""

    path: Path
    content: Kept


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    """Return a copy of the database of each earlier version."""
    path = tmp_path / "person.db"
    shutil.copy(place(request.param), path)
    return Old(path, content(request.param))


def test_every_version_of_the_schema_has_a_database_in_the_fixtures() -> None:
    assert [place(version).exists() for version in VERSIONS] == [True] * len(STEPS)
    assert sorted(write_person_store.FOLDER.glob("*.db")) == [place(v) for v in VERSIONS]


def test_a_database_of_every_version_opens_with_all_rows_kept(old: Old) -> None:
    store = PersonStore.open(old.path, SECRET)
    assert same(store.load(), old.content)
    assert store.integrity() == []
    store.close()


def test_later_steps_run_once_and_keep_all_rows(old: Old) -> None:
    ran: list[int] = []

    def counted(number: int, step: person_schema.Step) -> person_schema.Step:
        def run(connection: Connection) -> None:
            ran.append(number)
            step(connection)

        return run

    steps = [counted(number, step) for number, step in enumerate(LATER, start=1)]
    for _ in range(2):
        store = PersonStore.open(old.path, SECRET, steps=steps)
        assert same(store.load(), old.content)
        assert store.integrity() == []
        store.close()
    assert ran[-2:] == [len(LATER) - 1, len(LATER)] and len(ran) == len(set(ran))


def test_a_step_that_fails_leaves_the_version_before(old: Old) -> None:
    def fail(connection: Connection) -> None:
        connection.execute("DELETE FROM messages")
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        PersonStore.open(old.path, SECRET, steps=(*STEPS, widen, fail))
    store = PersonStore.open(old.path, SECRET, steps=(*STEPS, widen))
    assert same(store.load(), old.content)
    store.close()


KILLED = """
import sys
from pathlib import Path
from store import test_person_store_migrations as here

path, fatal = Path(sys.argv[1]), int(sys.argv[2])
here.PersonStore.open(path, here.SECRET, steps=here.fatal(here.LATER, fatal))
print("all steps done")
"""


def fatal(steps: Sequence[person_schema.Step], statement: int) -> list[person_schema.Step]:
    """Return ``steps`` that kill the process before their statement of this number."""
    ran = 0

    class Counting:
        def __init__(self, inner: Connection) -> None:
            self.inner = inner

        def execute(self, sql: str, parameters: Sequence[object] = ()) -> Any:
            nonlocal ran
            if ran == statement:
                os.kill(os.getpid(), signal.SIGKILL)
            ran += 1
            return self.inner.execute(sql, parameters)

    def counted(step: person_schema.Step) -> Callable[[Connection], None]:
        def run(connection: Connection) -> None:
            step(Counting(connection))
            Counting(connection).execute("SELECT 1")  # one more place to die: before the commit

        return run

    return [counted(step) for step in steps]


@pytest.mark.parametrize("version", VERSIONS)
def test_killed_in_any_step_the_database_is_before_or_after_it(
    version: int, tmp_path: Path
) -> None:
    tests = Path(__file__).parents[1]
    deaths = 0
    for statement in range(100):
        path = tmp_path / f"{statement}.db"
        shutil.copy(place(version), path)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(statement)],
            cwd=tests,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode == 0:
            assert done.stdout == "all steps done\n"
            break
        assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")
        deaths += 1
        store = PersonStore.open(path, SECRET, steps=LATER)
        assert same(store.load(), content(version))
        assert store.integrity() == []
        store.close()
    statements = [4, 0, 3, 4][version - 1 :]  # of the second and third step, and two later ones
    assert deaths == sum(count + 1 for count in statements)  # and before each commit


def test_killed_while_it_is_made_the_store_is_made_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "person.db"
    for length in (0, 1):
        path.write_bytes(b"")
        if length:
            store = PersonStore.open(path, SECRET, steps=())  # a file without a schema
            store.close()
        store = PersonStore.open(path, SECRET)
        store.commit([write_person_store.changes(content())])
        store.close()
        store = PersonStore.open(path, SECRET)
        assert same(store.load(), content())
        store.close()


def test_a_newer_version_is_refused_with_one_sentence_and_stays_as_it_is(old: Old) -> None:
    PersonStore.open(old.path, SECRET, steps=LATER).close()
    before = old.path.read_bytes()
    with pytest.raises(UserError) as error:
        PersonStore.open(old.path, SECRET)
    assert str(error.value) == (
        f"The store {old.path} was written by a newer version of Shoal (schema {len(LATER)}, and "
        f"this one knows {len(STEPS)}): use that version."
    )
    assert old.path.read_bytes() == before
    PersonStore.open(old.path, SECRET, steps=LATER).close()


def test_the_store_says_which_version_of_the_program_wrote_its_schema(tmp_path: Path) -> None:
    found: list[object] = []

    def look(connection: Connection) -> None:
        found.append(connection.execute("SELECT value FROM meta").fetchone())

    PersonStore.open(tmp_path / "person.db", SECRET, steps=(*STEPS, look)).close()
    assert found == [(importlib.metadata.version("shoal"),)]
