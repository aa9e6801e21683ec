"""Backups that open with the passphrase given and hold what no store wrote: handed in by a person.

::

    a person's store ─► frames ─► one of them changed ─► sealed anew ─► restored into an empty home
                                                              │             └─► does a node begin?
                                                              └─► UserError: damaged, nothing taken

Whoever hands somebody a file and its passphrase ("my backup, look at this") gets this far.
"""

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from client.neighbours import PARAMS, met, settle
from hostile.decoders import mutations
from shoal_node import backup, backup_file, person_settings
from shoal_node.store import ledger
from shoal_node.store.person_store import PersonStore
from shoal_protocol import clock, wire
from shoal_protocol.client import state
from shoal_protocol.client.outbox import Outbox
from shoal_protocol.client.people import People
from shoal_protocol.client.reader import Reader
from shoal_protocol.client.state import Changes, Kept
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.parameters import PRESETS
from store.fixtures.write_person_store import SECRET
from support import seeded

PASSPHRASE: Final = "correct horse"
CODEC: Final = wire.Codec[backup.Head | backup.Row | backup.Said | backup.End](
    backup.Head, backup.Row, backup.Said, backup.End, limit=backup_file.MAX_FRAME
)
MARK: Final = bytes(ledger.MARK_LENGTH)
Frame = backup.Head | backup.Row | backup.Said | backup.End


class Restored:
    """A person with a history, and what a node makes of her backup once it was changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ada, bob, now = met()
        ada.write(bob, "how are you", now)
        bob.write(ada, "well", now)
        self.now = settle(ada, bob, now)
        ada.commit()
        rows: dict[state.Key, bytes | None] = {
            **ada.disk.rows,
            (ledger.BURNT, MARK): b"",
            (ledger.DELETED, MARK): b"",
            (person_settings.SETTING, b""): wire.pack([0, False, True, 5]),
        }
        with Store(folder / "before.db") as store:
            store.commit([Changes(1, rows, ada.disk.messages)])
            sealed = b"".join(backup.make(store, PASSPHRASE, self.now))
        (folder / "file").write_bytes(sealed)
        with (folder / "file").open("rb") as file:
            self.frames: list[Frame] = [
                CODEC.decode(frame) for frame in backup_file.frames_of(file, PASSPHRASE)
            ]

    def restore(self, frames: list[Frame]) -> bool:
        """Restore and begin a node with it; False when the backup was refused, whole."""
        sealed = backup_file.seal([CODEC.encode(frame) for frame in frames], PASSPHRASE)
        (self._folder / "file").write_bytes(b"".join(sealed))
        place = self._folder / "after.db"
        place.unlink(missing_ok=True)
        with Store(place) as store:
            try:
                backup.restore(self._folder / "file", PASSPHRASE, store, self.now)
            except UserError as error:
                assert str(error) == backup_file.DAMAGED
                assert not store.load().rows
                return False
            kept = store.load()
        self._begin(kept)
        return True

    def _begin(self, kept: Kept) -> None:
        person_settings.restore(kept)
        rng = seeded("restored")
        outbox = Outbox(PARAMS, clock.SECOND, rng)
        reader = Reader(PARAMS, PRESETS["fast"], clock.SECOND, rng)
        people = People(PARAMS, rng, outbox, reader, state.Journal())
        people.restore(kept, self.now)
        for persona in people.personas():
            for talk in persona.conversations.values():
                assert all(message.id for message in talk.history)


class Store:
    """A store, open for as long as the context lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> PersonStore:
        self._store = PersonStore.open(self._path, SECRET)
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def changed(frame: Frame, chance: Random) -> Frame:
    """Return a frame with one field changed: bytes near what they were, numbers anywhere."""
    name = chance.choice([field.name for field in fields(frame) if field.name != "kind"])
    value = getattr(frame, name)
    made: Any
    match value:
        case bool():
            made = not value
        case int():
            made = chance.choice((0, 1, 2, 3, 4, 2**31, 2**32 - 1))
        case bytes():
            made = next(mutations((value,), 1, chance.randrange(2**32)))
        case str():
            made = "".join(chance.choice("0123456789abcdefGX é\0") for _ in value)
        case _:
            made = chance.choice((chance.randbytes(12), 2**32 - 1))
    return replace(frame, **{name: made})


def attack(home: Restored, count: int, seed: int) -> Counter[str]:
    """Restore ``count`` changed backups; returns how many were taken and refused."""
    chance, done = Random(seed), Counter[str]()
    while done.total() < count:
        frames = list(home.frames)
        place = chance.randrange(len(frames))
        frames[place] = changed(frames[place], chance)
        try:
            CODEC.decode(CODEC.encode(frames[place]))
        except (RemoteProtocolError, ValueError, TypeError):
            continue  # its form is no backup's: test_backup has those
        done["taken" if home.restore(frames) else "refused"] += 1
    return done
