"""T16: nothing that was kept can be read from the disk, and nothing deleted even with the key."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from client.neighbours import Neighbour, pass_on, settle
from shoal_node.store.person_store import PAGE_LENGTH, PersonStore
from shoal_protocol import crypto
from shoal_protocol.client import state
from shoal_protocol.client.contents import Profile
from shoal_protocol.client.state import Changes, Key, MessageRow
from store.fixtures.write_person_store import SECRET
from support import START

PLANTED = [f"planted string number {number:02d}, not to be found" for number in range(20)]
RESERVED = 16 + 64  # bytes at a page's end: initialisation vector, MAC
LOG_HEADER, FRAME_HEADER = 32, 24  # bytes; https://sqlite.org/fileformat2.html#walformat


def message(number: int, text: str) -> MessageRow:
    return MessageRow(f"m{number}", "c", number, True, number, text, 0, 1, None, False, None)


def row(number: int) -> Key:
    return state.PERSONA, number.to_bytes(8, "big")


def plant(store: PersonStore, texts: list[str]) -> None:
    """Half of the texts as messages (one with a manifest), half in rows, some over pages."""
    for number, text in enumerate(texts):
        long = text * (1 if number % 3 else 300)
        if number % 2:
            store.commit([Changes(number, {}, {f"m{number}": message(number, long)})])
        else:
            store.commit([Changes(number, {row(number): long.encode()}, {})])


def fill(store: PersonStore) -> None:
    """Much else around it, so that pages split, move and hold several things."""
    for number in range(100, 300):
        store.commit(
            [
                Changes(
                    number,
                    {row(number): os.urandom(300)},
                    {f"m{number}": message(number, "other text " * (number % 40))},
                )
            ]
        )


def found(folder: Path, texts: list[str] = PLANTED) -> list[str]:
    """Return which of the texts stand in any file of the folder, whole or in part."""
    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return [text for text in texts if text[10:30].encode() in everything]


def decrypted(path: Path) -> Iterator[bytes]:
    """Yield every page of the database and of its log, opened with the key."""
    key = crypto.kdf(b"person store", SECRET)
    pages = []
    whole = path.read_bytes()
    for start in range(0, len(whole), PAGE_LENGTH):
        page = whole[start : start + PAGE_LENGTH]
        pages.append(page[16:] if start == 0 else page)
    log = path.with_name(f"{path.name}-wal")
    frames = log.read_bytes()[LOG_HEADER:] if log.exists() else b""
    for start in range(0, len(frames), FRAME_HEADER + PAGE_LENGTH):
        page = frames[start + FRAME_HEADER : start + FRAME_HEADER + PAGE_LENGTH]
        first = int.from_bytes(frames[start : start + 4], "big") == 1
        pages.append(page[16:] if first else page)
    for page in pages:
        vector = page[-RESERVED:][:16]
        opened = Cipher(algorithms.AES256(key), modes.CBC(vector)).decryptor()
        yield opened.update(page[:-RESERVED])


def found_with_the_key(path: Path) -> list[str]:
    """Return which of the texts a thief finds who has the key and looks at every page."""
    everything = b"\0".join(decrypted(path))
    return [text for text in PLANTED if text[10:30].encode() in everything]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "temporary").mkdir()
    for variable in ("SQLITE_TMPDIR", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path / "temporary"))
    return tmp_path


def test_no_text_ever_stands_on_the_disk_in_clear(folder: Path) -> None:
    store = PersonStore.open(folder / "person.db", SECRET)
    assert found(folder) == []
    for number, text in enumerate(PLANTED):
        plant(store, [text])
        assert found(folder, [text]) == [], number
    fill(store)
    assert found(folder) == [] and list((folder / "temporary").iterdir()) == []
    assert store.tidy()
    assert found(folder) == []
    store.close()
    assert found(folder) == []
    (folder / "control").write_text(PLANTED[3])
    assert found(folder) == [PLANTED[3]]


def test_of_deleted_rows_and_messages_nothing_is_left_even_for_the_holder_of_the_key(
    folder: Path,
) -> None:
    path = folder / "person.db"
    store = PersonStore.open(path, SECRET)
    plant(store, PLANTED)
    fill(store)
    assert found_with_the_key(path) == PLANTED  # so the search finds what is there
    store.commit(
        [
            Changes(
                1000,
                {row(number): None for number in range(0, 20, 2)},
                {f"m{number}": None for number in range(1, 20, 2)},
            )
        ]
    )
    assert found_with_the_key(path) == []
    assert found(folder) == []
    assert len(store.load().messages) == 200
    store.close()
    assert found_with_the_key(path) == []


def test_of_replaced_rows_nothing_is_left_once_it_is_tidied(folder: Path) -> None:
    path = folder / "person.db"
    store = PersonStore.open(path, SECRET)
    key: Key = (state.ASSOCIATION, bytes(24))
    for number, text in enumerate(PLANTED):
        store.commit([Changes(number, {key: text.encode() * (1 + number % 5 * 60)}, {})])
    store.commit([Changes(100, {key: b"the last one"}, {})])
    assert store.tidy()
    assert found_with_the_key(path) == []
    assert store.load().rows == {key: b"the last one"}
    store.close()


def test_after_a_kill_the_next_start_erases_what_was_left_in_the_log(folder: Path) -> None:
    path = folder / "person.db"
    store = PersonStore.open(path, SECRET)
    key: Key = (state.RECORD, bytes(16))
    for number, text in enumerate(PLANTED):
        store.commit([Changes(number, {key: text.encode()}, {})])
    store.commit([Changes(100, {key: None}, {})])
    killed = folder / "killed"
    killed.mkdir()
    for file in folder.glob("person.db*"):
        (killed / file.name).write_bytes(file.read_bytes())
    assert found_with_the_key(killed / "person.db") == PLANTED
    again = PersonStore.open(killed / "person.db", SECRET)
    assert found_with_the_key(killed / "person.db") == []
    assert again.load().rows == {}
    again.close()
    store.close()


class Keeping(Neighbour):
    """A node whose rows stand in a store, too."""

    def __init__(self, name: str, store: PersonStore) -> None:
        self._store = store
        super().__init__(name)

    def commit(self) -> None:
        changes = self.journal.take()
        if changes is not None:
            self.disk.commit(changes)
            self._store.commit([changes])
            self.journal.committed(changes.number)


def ways() -> dict[str, Callable[[Keeping, Neighbour, int], object]]:
    """What a person, or time, does to all that a contact said."""

    def delete(bob: Keeping, ada: Neighbour, now: int) -> None:
        for message in list(bob.talk(ada).history):
            bob.people.delete_message(bob.talk(ada), message.id)

    return {
        "time": lambda bob, ada, now: bob.people.work(now + 60 * 10**9),
        "ignored": lambda bob, ada, now: bob.people.ignore(bob.talk(ada), now),
        "deleted": delete,
        "conversation deleted": lambda bob, ada, now: bob.people.forget(bob.talk(ada), now),
        "burnt": lambda bob, ada, now: bob.people.burn(bob.persona),
    }


@pytest.mark.parametrize("way", ways())
def test_of_what_disappears_or_is_ignored_or_deleted_or_burnt_nothing_is_left(
    way: str, folder: Path
) -> None:
    path = folder / "person.db"
    store = PersonStore.open(path, SECRET)
    ada, bob = Neighbour("ada"), Keeping("bob", store)
    long = [text * (1 if number % 3 else 20) for number, text in enumerate(PLANTED)]
    if way in ("time", "ignored"):
        for text in long:
            ada.people.send(ada.open(bob, START), text, START, expires_s=60)
        ada.look_up(bob, START)
        pass_on(ada, bob, START)
    else:
        ada.write(bob, "hello", START)
        settle(ada, bob, START)
        ada.people.set_profile(ada.persona, Profile(PLANTED[0][:32]))
        for number, text in enumerate(long):
            one, other = (ada, bob) if number % 2 else (bob, ada)
            reply = list(one.talk(other).history)[-1].id
            one.people.send(one.talk(other), text, START, reply_to=reply)
            settle(ada, bob, START)
        bob.people.set_alias(bob.talk(ada), PLANTED[1])
    bob.commit()
    there = set(found_with_the_key(path))
    assert there == set(PLANTED)
    ways()[way](bob, ada, START)
    if way == "deleted":
        bob.people.set_alias(bob.talk(ada), None)
        bob.talk(ada)._profile = None
        bob.talk(ada).keep()
    bob.commit()
    if way == "deleted":
        assert store.tidy()  # what is replaced is gone within a minute
    assert found_with_the_key(path) == []
    assert found(folder) == []
    store.close()
    assert found_with_the_key(path) == []


def test_the_settings_that_keep_erase_and_bound_are_in_force(folder: Path) -> None:
    store = PersonStore.open(folder / "person.db", SECRET)
    wanted = {
        "journal_mode": "wal",
        "synchronous": "2",
        "secure_delete": "1",
        "temp_store": "2",
        "locking_mode": "exclusive",
        "cipher_page_size": "4096",
        "cipher_memory_security": "1",
        "cipher_use_hmac": "1",
        "cipher_hmac_algorithm": "HMAC_SHA512",
        "fullfsync": "1",
        "cache_size": "-256",
    }
    connection = store._connection
    assert {
        name: str(connection.execute(f"PRAGMA {name}").fetchall()[0][0]) for name in wanted
    } == wanted
    assert not (folder / "person.db-shm").exists()
    store.close()


def test_no_error_of_the_store_holds_the_key(folder: Path) -> None:
    PersonStore.open(folder / "person.db", SECRET).close()
    wrong = bytes(range(100, 132))
    with pytest.raises(state.StoreDamaged) as error:
        PersonStore.open(folder / "person.db", wrong)
    inner: BaseException | None = error.value
    texts = []
    while inner is not None:
        texts.append(f"{inner!r} {inner}")
        inner = inner.__cause__ or inner.__context__
    for secret in (wrong, crypto.kdf(b"person store", wrong)):
        assert secret.hex() not in "".join(texts).lower()
