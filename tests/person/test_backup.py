"""A backup brings back what a person's store held, and nothing that was forgotten since."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from client.neighbours import MINUTE, Disk, Neighbour, met, settle
from shoal_node import backup, backup_file, person_settings
from shoal_node.store import keys, ledger
from shoal_node.store.person_store import PersonStore
from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.state import Changes, MessageRow
from shoal_protocol.errors import UserError
from store.fixtures.write_person_store import SECRET
from support import START

PASSPHRASE: Final = "correct horse"
DAY: Final = 86_400 * clock.SECOND
NOT_CARRIED: Final = {
    state.PREKEYS,
    state.EPHEMERAL,
    state.ASSOCIATION,
    state.RECORD,
    state.PART,
    state.UPLOAD,
    state.FRAGMENT,
}


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch passphrases quickly."""
    monkeypatch.setattr(backup_file, "MEMORY", 2**16)


@contextmanager
def opened(path: Path) -> Iterator[PersonStore]:
    """The store in ``path``, open."""
    store = PersonStore.open(path, SECRET)
    try:
        yield store
    finally:
        store.close()


def stored(disk: Disk, path: Path) -> None:
    """Put what a disk has into a store."""
    with opened(path) as store:
        store.commit([Changes(1, disk.rows, disk.messages)])


def saved(source: Path, now: int = START) -> Path:
    """A backup of the store in ``source``; returns where it lies."""
    target = source.with_name(f"{source.name}-{now}.backup")
    with opened(source) as store:
        target.write_bytes(b"".join(backup.make(store, PASSPHRASE, now)))
    return target


def restored(target: Path, file: Path, now: int = START) -> backup.Restored:
    """Restore ``file`` into the store in ``target``."""
    with opened(target) as store:
        return backup.restore(file, PASSPHRASE, store, now)


def disk_of(path: Path) -> Disk:
    """What a store has, as a disk."""
    disk = Disk()
    with opened(path) as store:
        kept = store.load()
        disk.commit(Changes(1, kept.rows, {m.id: m for m in kept.messages}))
    return disk


def lose(one: Neighbour, folder: Path, now: int) -> Callable[[int], backup.Restored]:
    """Back one up now; what is returned later replaces its disk by the backup."""
    one.commit()
    stored(one.disk, folder / "before.db")
    file = saved(folder / "before.db", now)

    def replace_disk(later: int) -> backup.Restored:
        found = restored(folder / "after.db", file, later)
        disk = disk_of(folder / "after.db")
        one.disk.rows, one.disk.messages = disk.rows, disk.messages
        one.restart(later)
        one.commit()
        return found

    return replace_disk


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "person.db"


@pytest.fixture
def known(place: Path) -> tuple[Neighbour, Neighbour, int]:
    """Two people who know each other; ada's store is in ``place``."""
    ada, bob, now = met()
    ada.write(bob, "how are you", now)
    bob.write(ada, "well", now)
    now = settle(ada, bob, now)
    ada.write(bob, "on its way", now)
    ada.commit()
    stored(ada.disk, place)
    return ada, bob, now


def talk_of(one: Neighbour, other: Neighbour) -> bytes:
    """The id of a conversation, as rows have it."""
    return bytes.fromhex(one.talk(other).id)


def test_personas_contacts_and_histories_come_back_and_no_key_of_a_session(
    known: tuple[Neighbour, Neighbour, int], place: Path, tmp_path: Path
) -> None:
    ada, bob, now = known
    found = restored(tmp_path / "new.db", saved(place, now), now)
    assert (found.personas, found.conversations, found.messages) == (1, 1, 5)
    assert (found.created, found.files, found.forgotten, found.over) == (now, 0, 0, 0)
    before, after = ada.disk, disk_of(tmp_path / "new.db")
    assert after.messages == before.messages
    assert {key[0] for key in before.rows} & NOT_CARRIED
    assert not {key[0] for key in after.rows} & NOT_CARRIED
    for kind in (state.PERSONA, state.PROFILE):
        assert {k: v for k, v in after.rows.items() if k[0] == kind} == {
            k: v for k, v in before.rows.items() if k[0] == kind
        }
    name = (state.CONVERSATION, talk_of(ada, bob))
    old, new = (state.CONVERSATIONS.decode(disk.rows[name]) for disk in (before, after))
    assert new.line != old.line
    assert replace(new, line=old.line, next_number=old.next_number) == old


def test_after_a_restore_both_write_on_over_a_new_session(tmp_path: Path) -> None:
    ada, bob, now = met()
    ada.write(bob, "one", now)
    now = settle(ada, bob, now)
    ada.write(bob, "two", now)
    ada.commit()
    sessions = {association.id for association in ada.associations()}
    restore_ada = lose(ada, tmp_path, now)
    now = settle(ada, bob, now)
    ada.write(bob, "three", now)
    bob.write(ada, "lost with the node", now)
    now = settle(ada, bob, now)
    assert bob.got() == ["hello", "one", "two", "three"]
    indexes = {(o, i) for o, i in bob.shelf}

    restore_ada(now + MINUTE)
    now = settle(ada, bob, now + MINUTE, rounds=8)
    ada.write(bob, "four", now)
    bob.write(ada, "five", now)
    now = settle(ada, bob, now, rounds=8)
    assert bob.got() == ["hello", "one", "two", "three", "four"]
    assert ada.got() == ["hello", "five"]
    assert set(ada.states() + bob.states()) == {MessageState.FETCHED}
    assert {association.id for association in ada.associations()}.isdisjoint(sessions)
    assert all(session not in sessions for session, _ in set(bob.shelf) - indexes)


def test_a_contact_that_writes_first_after_a_restore_is_read(tmp_path: Path) -> None:
    ada, bob, now = met()
    restore_ada = lose(ada, tmp_path, now)
    bob.write(ada, "while ada had no node", now)
    bob.commit()
    now += DAY
    restore_ada(now)
    now = settle(ada, bob, now, rounds=8)
    assert "while ada had no node" in ada.got()
    assert set(bob.states()) == {MessageState.FETCHED}


def test_a_blocked_contact_stays_blocked_and_hears_nothing(tmp_path: Path) -> None:
    ada, bob, now = met()
    ada.people.block(ada.talk(bob), now)
    restore_ada = lose(ada, tmp_path, now)
    restore_ada(now)
    assert ada.talk(bob).state == "blocked"
    ada.look_up(bob, now)
    assert ada.outgoing() == []


def message(number: int, expires: int | None = None, conversation: str = "11" * 8) -> MessageRow:
    return MessageRow(
        f"{number:024x}", conversation, number, True, number, f"text {number}", 2, START, None,
        False, None, None, None if expires is None else 5, expires,
    )  # fmt: skip


def small(path: Path, messages: list[MessageRow], *, conversations: int = 1) -> None:
    """A store of one persona with conversations and messages of the first one."""
    rows: dict[state.Key, bytes | None] = {
        (state.PERSONA, b"\x22" * 8): state.PERSONAS.encode(state.PersonaRow(bytes(32), 7, None))
    }
    for number in range(conversations):
        name = bytes([0x11 + number]) * 8
        row = state.ConversationRow(
            b"\x22" * 8, bytes([number]) * 32, 7, False, True, None, bytes(8), 90, ()
        )
        rows[state.CONVERSATION, name] = state.CONVERSATIONS.encode(row)
    with opened(path) as store:
        store.commit([Changes(1, rows, {m.id: m for m in messages})])


def forget(path: Path, *keys: state.Key, messages: tuple[int, ...] = ()) -> None:
    """Delete rows and messages from a store."""
    with opened(path) as store:
        gone = {f"{number:024x}": None for number in messages}
        store.commit([Changes(2, dict.fromkeys(keys), gone)])


def test_a_message_whose_time_is_over_does_not_come_back(place: Path, tmp_path: Path) -> None:
    small(place, [message(1), message(2, START + 2 * DAY), message(3, START + 9 * DAY)])
    found = restored(tmp_path / "new.db", saved(place), START + 2 * DAY)
    assert (found.messages, found.over) == (2, 1)
    assert set(disk_of(tmp_path / "new.db").messages) == {f"{1:024x}", f"{3:024x}"}


def test_a_message_that_disappears_within_a_day_is_not_even_in_the_backup(
    place: Path, tmp_path: Path
) -> None:
    small(place, [message(1, START + DAY), message(2, START - 1), message(3, START + DAY + 1)])
    found = restored(tmp_path / "new.db", saved(place), START)
    assert (found.messages, found.over) == (1, 0)


def test_a_clock_that_is_behind_gives_nothing_that_comes_back_a_longer_life(
    tmp_path: Path,
) -> None:
    ada, bob, now = met()
    ada.people.send(ada.talk(bob), "three days", now, expires_s=3 * 86_400)
    come_back = lose(ada, tmp_path, now)
    later = now - 30 * DAY
    assert come_back(later).messages == 3
    for minute in range(0, 3 * 1440 - 5, 5):
        ada.people.work(later + minute * 60 * clock.SECOND)
    assert "three days" in {m.text for m in ada.talk(bob).history}
    ada.people.work(later + 3 * DAY + clock.SECOND)
    assert "three days" not in {m.text for m in ada.talk(bob).history}


def test_a_home_that_has_seen_a_later_time_takes_back_nothing_whose_time_was_over_then(
    place: Path,
) -> None:
    small(place, [message(1), message(2, START + 2 * DAY)])
    file = saved(place)
    seen = state.CLOCKS.encode(state.ClockRow(START + 2 * DAY))
    with opened(place) as store:
        store.commit([Changes(2, {(state.CLOCK, b""): seen}, {f"{1:024x}": None})])
    with opened(place) as store:
        store._connection.execute("DELETE FROM messages")  # lost, not forgotten
    found = restored(place, file, START - 30 * DAY)
    assert (found.messages, found.over, found.forgotten) == (0, 1, 1)


def test_what_was_burnt_or_deleted_since_never_comes_back_to_its_home(place: Path) -> None:
    said = [message(1), message(2), message(3, START + 20 * DAY), message(4, None, "12" * 8)]
    small(place, said, conversations=2)
    file = saved(place)
    forget(place, messages=(2, 3))
    assert restored(place, file).forgotten == 2
    assert set(disk_of(place).messages) == {f"{1:024x}", f"{4:024x}"}
    forget(place, (state.CONVERSATION, b"\x12" * 8), messages=(4,))
    assert restored(place, file).conversations == 0
    assert set(disk_of(place).messages) == {f"{1:024x}"}
    forget(place, (state.CONVERSATION, b"\x11" * 8), (state.PERSONA, b"\x22" * 8), messages=(1,))
    assert restored(place, file).personas == 0
    disk = disk_of(place)
    assert not disk.messages
    assert not disk.rows


def test_marks_of_what_was_forgotten_travel_with_a_backup(place: Path, tmp_path: Path) -> None:
    small(place, [message(1), message(2)], conversations=2)
    older = saved(place)
    forget(place, (state.CONVERSATION, b"\x12" * 8), messages=(1,))
    newer = saved(place, START + 1)
    restored(tmp_path / "new.db", newer)
    found = restored(tmp_path / "new.db", older)
    assert found.forgotten == 2
    assert set(disk_of(tmp_path / "new.db").messages) == {f"{2:024x}"}


def test_without_the_home_an_older_backup_cannot_know_what_was_burnt(
    place: Path, tmp_path: Path
) -> None:
    small(place, [message(1)])
    older = saved(place)
    forget(place, (state.PERSONA, b"\x22" * 8), (state.CONVERSATION, b"\x11" * 8), messages=(1,))
    assert restored(tmp_path / "elsewhere.db", older).personas == 1


def test_restoring_changes_nothing_that_is_there(
    known: tuple[Neighbour, Neighbour, int], place: Path
) -> None:
    _, _, now = known
    file = saved(place, now)
    before = disk_of(place)
    found = restored(place, file, now)
    assert (found.personas, found.conversations, found.messages) == (0, 0, 0)
    after = disk_of(place)
    assert (after.rows, after.messages) == (before.rows, before.messages)


def test_a_conversation_begun_anew_with_the_same_contact_is_not_doubled(place: Path) -> None:
    small(place, [message(1)])
    file = saved(place)
    row = disk_of(place).rows[state.CONVERSATION, b"\x11" * 8]
    other = place.with_name("other.db")
    small(other, [], conversations=0)
    with opened(other) as store:
        store.commit([Changes(1, {(state.CONVERSATION, b"\x99" * 8): row}, {})])
    found = restored(other, file)
    assert (found.conversations, found.messages) == (0, 0)


def with_file(number: int, size: int) -> tuple[MessageRow, dict[state.Key, bytes | None]]:
    content = bytes([number]) * size
    said = replace(message(number), file=b"a manifest")
    name = bytes.fromhex(said.id)
    pieces = range(-(-size // 32_768))
    return said, {
        (state.FILE, name + place.to_bytes(4, "big")): content[place * 32_768 :][:32_768]
        for place in pieces
    }


def test_files_come_back_whole_and_only_those_that_are_wanted(place: Path, tmp_path: Path) -> None:
    sizes = (1, 32_768, 32_769, 5_000_000)
    files = [with_file(number, size) for number, size in enumerate(sizes, 1)]
    small(place, [said for said, _ in files])
    with opened(place) as store:
        for _, rows in files:
            store.commit([Changes(1, rows, {})])
    file = saved(place)
    assert restored(tmp_path / "new.db", file).files == 4
    with opened(tmp_path / "new.db") as store:
        for number, size in enumerate(sizes, 1):
            assert store.file(number.to_bytes(12, "big")) == bytes([number]) * size
    small(tmp_path / "some.db", [files[0][0]])
    forget(tmp_path / "some.db", messages=(1,))
    assert restored(tmp_path / "some.db", file).files == 3
    with opened(tmp_path / "some.db") as store:
        assert store.file((1).to_bytes(12, "big")) == b""


def test_a_message_whose_file_never_left_has_failed(place: Path, tmp_path: Path) -> None:
    said, _ = with_file(1, 10)
    small(place, [replace(said, number=2**32 - 1, state=MessageState.QUEUED)])
    restored(tmp_path / "new.db", saved(place))
    assert disk_of(tmp_path / "new.db").messages[said.id].state == MessageState.FAILED


def test_a_crash_while_files_come_back_loses_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, rows = with_file(1, 9_000_000)
    small(place, [said])
    with opened(place) as store:
        store.commit([Changes(1, rows, {})])
    file = saved(place)
    commit, left = PersonStore.commit, [1]

    def crash(store: PersonStore, batches: list[Changes]) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        commit(store, batches)

    with monkeypatch.context() as patched:
        patched.setattr(PersonStore, "commit", crash)
        with pytest.raises(KeyboardInterrupt):
            restored(tmp_path / "new.db", file)
    assert not disk_of(tmp_path / "new.db").messages
    assert restored(tmp_path / "new.db", file).files == 1


@pytest.mark.parametrize("keep", [0, 10, 44, 45, 70_000, -65_552, -1])
def test_a_backup_that_is_cut_short_changes_nothing(keep: int, place: Path, tmp_path: Path) -> None:
    small(place, [message(1)])
    file = saved(place)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError):
        restored(tmp_path / "new.db", file)
    assert not disk_of(tmp_path / "new.db").rows


def test_a_wrong_passphrase_makes_no_store(place: Path, tmp_path: Path) -> None:
    small(place, [message(1)])
    file = saved(place)
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(UserError, match="The passphrase is wrong"):
        backup.restore_home(file, "battery staple", home, None, START)
    assert list(home.iterdir()) == []
    assert backup.restore_home(file, PASSPHRASE, home, "store", START).messages == 1
    assert (home / keys.SALT_FILE).exists()


HEAD, END = backup.Head(1), backup.End(1)
ROW = backup.Row(state.PERSONA, b"\x22" * 8, b"not a persona")
SETTING = backup.Row(person_settings.SETTING, b"", b"no settings")
SHORT = backup.Row(state.DOWNLOAD, b"\x22" * 11, b"")
SAID = backup.Said("0" * 24, "0" * 16, 0, True, 0, "", 1, 0, None, False, None, b"?", None, None)


@pytest.mark.parametrize(
    "frames",
    [
        [HEAD],
        [END],
        [ROW, END],
        [HEAD, backup.End(2)],
        [HEAD, END, END],
        [HEAD, HEAD, backup.End(2)],
        [HEAD, ROW, backup.End(2)],
        [HEAD, SETTING, backup.End(2)],
        [HEAD, SHORT, backup.End(2)],
        [HEAD, SAID, backup.End(2)],
        [HEAD, replace(SAID, id="X" * 24, reply=None), backup.End(2)],
        [b"\x90"],
        [b"\xc1" * 100],
    ],
    ids=range(13),
)
def test_contents_that_make_no_sense_are_refused(
    frames: list[backup.Head | backup.Row | backup.Said | backup.End | bytes], tmp_path: Path
) -> None:
    packed = [one if isinstance(one, bytes) else backup._CODEC.encode(one) for one in frames]
    (tmp_path / "file").write_bytes(b"".join(backup_file.seal(packed, PASSPHRASE)))
    with pytest.raises(UserError, match="damaged"):
        restored(tmp_path / "new.db", tmp_path / "file")
    assert not disk_of(tmp_path / "new.db").rows


def test_the_marks_of_deleted_messages_give_way_beyond_a_limit(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_DELETED", 3)
    small(place, [message(number) for number in range(6)], conversations=2)
    forget(place, (state.CONVERSATION, b"\x12" * 8))
    for number in range(6):
        forget(place, messages=(number,))
    with opened(place) as store:
        marks = store.forgotten()
    assert [kind for kind, _ in marks].count(ledger.BURNT) == 1
    assert {name for kind, name in marks if kind == ledger.DELETED} == {
        ledger.mark(ledger.MESSAGE, f"{number:024x}".encode()) for number in (3, 4, 5)
    }
