"""A person's store keeps what it was given, exactly, durably, for the holder of the key only."""

import contextlib
import dataclasses
import os
import signal
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_node.store import person_store
from shoal_node.store.person_store import PAGE_LENGTH, PersonStore
from shoal_protocol.client import state
from shoal_protocol.client.state import Changes, Journal, Kept, Key, MessageRow, StoreDamaged
from shoal_protocol.errors import StoreFailed, UserError
from store.fixtures.write_person_store import SECRET, changes, content, same


def message(number: int, text: str = "text", conversation: str = "c") -> MessageRow:
    return MessageRow(
        str(number), conversation, number, True, number, text, 0, 1, None, False, None
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "person.db"


def test_a_new_store_is_empty_and_only_its_owner_can_read_it(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    assert same(store.load(), Kept({}, []))
    assert store.integrity() == []
    store.commit([changes(content())])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    store.close()


def test_what_is_committed_comes_back_the_same_after_another_start(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    store.commit([changes(content())])
    assert same(store.load(), content())
    store.close()
    store = PersonStore.open(path, SECRET)
    assert same(store.load(), content())
    assert [type(one.outgoing) for one in store.load().messages] == [bool] * 5
    store.close()


def test_messages_come_in_the_order_of_their_positions(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    journal = Journal()
    for number in (5, 1, 4, 2, 3):
        journal.message(message(number, conversation="b" if number % 2 else "a"))
    batch = journal.take()
    assert batch is not None
    store.commit([batch])
    assert [one.position for one in store.load().messages] == [1, 2, 3, 4, 5]
    store.close()


def test_a_value_that_no_column_takes_undoes_its_commit_and_the_next_one_works(
    path: Path,
) -> None:
    store = PersonStore.open(path, SECRET)
    key: Key = (state.RECORD, bytes(16))
    store.commit([Changes(1, {key: b"before"}, {})])
    wrong = dataclasses.replace(message(1), created=2**63)
    with pytest.raises(OverflowError):
        store.commit([Changes(2, {key: b"wrong"}, {"1": wrong})])
    assert same(store.load(), Kept({key: b"before"}, []))
    store.commit([Changes(3, {key: b"after"}, {"1": message(1)})])
    assert same(store.load(), Kept({key: b"after"}, [message(1)]))
    store.close()


def test_batches_are_applied_in_their_order(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    key: Key = (state.RECORD, bytes(16))
    store.commit(
        [
            Changes(1, {key: b"1", (state.PART, b"x"): b"p"}, {"1": message(1), "2": message(2)}),
            Changes(2, {key: None}, {"1": None}),
            Changes(3, {key: b"3"}, {"2": message(2, "new")}),
            Changes(4, {(state.PART, b"x"): None, (state.PART, b"never there"): None}, {}),
        ]
    )
    assert same(store.load(), Kept({key: b"3"}, [message(2, "new")]))
    store.commit([Changes(5, {key: None}, {"2": None, "never there": None}), Changes(6, {}, {})])
    assert same(store.load(), Kept({}, []))
    store.close()


_KEYS = st.tuples(st.sampled_from(state.KINDS[:3]), st.binary(max_size=2))
_BATCH = st.tuples(
    st.dictionaries(_KEYS, st.none() | st.binary(max_size=9000), max_size=4),
    st.dictionaries(st.sampled_from("abc"), st.none() | st.text(max_size=20), max_size=3),
)


@settings(max_examples=30)
@given(st.lists(st.lists(_BATCH, max_size=3), max_size=6), st.integers(0, 5))
def test_any_changes_leave_what_the_last_of_them_said(
    commits: list[list[tuple[dict[Key, bytes | None], dict[str, str | None]]]], reopen: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "person.db"
        store = PersonStore.open(path, SECRET)
        rows: dict[Key, bytes] = {}
        messages: dict[str, MessageRow] = {}
        for turn, batches in enumerate(commits):
            taken: list[Changes] = []
            for number, (put, said) in enumerate(batches):
                made = {
                    name: None if text is None else _said(name, text) for name, text in said.items()
                }
                taken.append(Changes(number, put, made))
                for key, data in put.items():
                    rows.pop(key, None) if data is None else rows.update({key: data})
                for name, row in made.items():
                    messages.pop(name, None) if row is None else messages.update({name: row})
            store.commit(taken)
            if turn == reopen:
                store.close()
                store = PersonStore.open(path, SECRET)
            assert same(
                store.load(), Kept(rows, sorted(messages.values(), key=lambda m: m.position))
            )
        store.close()


def _said(name: str, text: str) -> MessageRow:
    return MessageRow(name, "c", ord(name), False, 0, text, 1, 2, 3, True, text.encode())


@pytest.mark.parametrize("secret", [bytes(32), SECRET[::-1], SECRET[:-1] + b"\0"])
def test_another_key_opens_nothing_and_changes_nothing(path: Path, secret: bytes) -> None:
    store = PersonStore.open(path, SECRET)
    store.commit([changes(content())])
    store.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="belongs to another key, or it is damaged"):
        PersonStore.open(path, secret)
    assert path.read_bytes() == before
    store = PersonStore.open(path, SECRET)
    assert same(store.load(), content())
    store.close()


def test_a_wrong_key_writes_nothing_to_the_terminal(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    PersonStore.open(path, SECRET).close()
    code = (
        "import sys; from pathlib import Path\n"
        "from shoal_node.store.person_store import PersonStore\n"
        "from shoal_protocol.errors import StoreFailed, UserError\n"
        "try: PersonStore.open(Path(sys.argv[1]), bytes(32))\n"
        "except UserError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")


def test_a_second_process_is_refused_with_one_sentence(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    with pytest.raises(UserError, match=r"^The store .* is in use by another process\.$"):
        PersonStore.open(path, SECRET)
    store.commit([changes(content())])
    assert same(store.load(), content())
    store.close()


def test_what_is_no_store_is_refused_with_one_sentence(path: Path) -> None:
    for data in (b"SQLite format 3\0" + bytes(4080), os.urandom(3 * PAGE_LENGTH)):
        path.write_bytes(data)
        with pytest.raises(StoreDamaged, match="belongs to another key, or it is damaged"):
            PersonStore.open(path, SECRET)
        assert path.read_bytes() == data
    with pytest.raises(UserError, match="cannot be made: No such file or directory"):
        PersonStore.open(path.parent / "nowhere" / "person.db", SECRET)
    with pytest.raises(UserError, match="cannot be used"):
        PersonStore.open(path.parent, SECRET)


def test_one_flipped_bit_in_any_page_is_found_and_never_read_as_something_else(
    path: Path,
) -> None:
    store = PersonStore.open(path, SECRET)
    store.commit([changes(content())])
    store.close()
    whole = path.read_bytes()
    for page in range(len(whole) // PAGE_LENGTH):
        for place in (0, 17, 2000, PAGE_LENGTH - 1):
            damaged = bytearray(whole)
            damaged[page * PAGE_LENGTH + place] ^= 1
            path.write_bytes(damaged)
            try:
                store = PersonStore.open(path, SECRET)
            except StoreDamaged:
                continue
            with contextlib.suppress(StoreDamaged):
                assert same(store.load(), content())  # a page that holds an index, or is free
            assert store.integrity() != []
            store.close()


def test_an_old_page_in_a_new_place_is_found(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    store.commit([changes(content())])
    store.close()
    whole = path.read_bytes()
    one, two = whole[PAGE_LENGTH : 2 * PAGE_LENGTH], whole[2 * PAGE_LENGTH : 3 * PAGE_LENGTH]
    path.write_bytes(whole[:PAGE_LENGTH] + two + one + whole[3 * PAGE_LENGTH :])
    store = PersonStore.open(path, SECRET)
    with pytest.raises(StoreDamaged, match="is damaged"):
        store.load()
    assert len(store.integrity()) >= 2
    store.close()


KILLED = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shoal_node.store.person_store import PersonStore
from store import test_person_store as here

store = PersonStore.open(Path(sys.argv[1]), here.SECRET)
for number in range(1, 1_000_000):
    store.commit([here.pair(number)])
    print(number, flush=True)
"""


def pair(number: int) -> Changes:
    """A batch that is there as a whole or not at all: a row and a message, and one deletion."""
    row = (state.RECORD, number.to_bytes(16, "big"))
    last = (state.PERSONA, (number - 1).to_bytes(8, "big"))
    this = (state.PERSONA, number.to_bytes(8, "big"))
    return Changes(
        number, {row: bytes(2048), this: b"this", last: None}, {str(number): message(number)}
    )


@pytest.mark.parametrize("acknowledged", [1, 20, 90])
def test_killed_at_any_moment_it_holds_all_that_was_acknowledged_and_no_half(
    path: Path, acknowledged: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(acknowledged):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    last = max([last, *map(int, rest)])
    store = PersonStore.open(path, SECRET)
    kept = store.load()
    count = len(kept.messages)
    assert count in (last, last + 1)
    assert [one.number for one in kept.messages] == list(range(1, count + 1))
    assert len(list(kept.of(state.RECORD))) == count
    assert list(kept.of(state.PERSONA)) == [(count.to_bytes(8, "big"), b"this")]
    assert store.integrity() == []
    store.close()


def test_the_log_stays_short_while_rows_are_replaced(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    log = path.with_name("person.db-wal")
    longest = 0
    for number in range(30):
        rows: dict[Key, bytes | None] = {
            (state.RECORD, bytes([each])): os.urandom(200_000) for each in range(2)
        }
        store.commit([Changes(number, rows, {})])
        longest = max(longest, log.stat().st_size)
    assert longest <= person_store.LOG_LIMIT + 500_000
    assert path.stat().st_size < 1_000_000
    store.close()
    assert not log.exists()


def test_the_file_of_a_message_is_read_when_asked_for_and_not_at_the_start(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    name, other = b"message one!", b"message two!"
    pieces = [os.urandom(70_000) for _ in range(300)]
    store.commit(
        [
            Changes(1, {(state.FILE, name + place.to_bytes(4, "big")): piece}, {})
            for place, piece in reversed(list(enumerate(pieces)))
        ]
    )
    kept = store.load()
    assert kept.rows == {}
    assert kept.file(name) == b"".join(pieces)
    assert kept.file(other) == b""
    store.commit(
        [
            Changes(
                2, {(state.FILE, name + place.to_bytes(4, "big")): None for place in range(300)}, {}
            )
        ]
    )
    assert kept.file(name) == b""
    store.close()
    with pytest.raises(StoreFailed):
        kept.file(name)


def test_a_file_is_read_while_another_thread_commits(path: Path) -> None:
    store = PersonStore.open(path, SECRET)
    key: Key = (state.FILE, bytes(16))
    store.commit([Changes(1, {key: b"0"}, {})])
    with ThreadPoolExecutor(1) as thread:
        commits = [
            thread.submit(store.commit, [Changes(n, {key: str(n).encode()}, {})])
            for n in range(200)
        ]
        seen = [int(store.file(bytes(12))) for _ in range(200)]
        for commit in commits:
            commit.result()
    assert seen == sorted(seen) and int(store.file(bytes(12))) == 199
    store.close()
