"""What a backup holds of a person's store, and how it comes back.

::

    store ─► personas, profiles, conversations, contacts, settings, marks ─┐
             messages that do not disappear within a day ─► whole files ───┴─► backup_file
    backup_file ─► whole? ─► not here, not forgotten, not over ─► store
                               conversation: a new line, a profile to say again

Left out: prekeys, sessions with their ratchets and streams, records and parts on their way,
open invites, and personas that are not kept.

What comes back has no session, so each contact that was accepted is told our profile once
more, which begins one: a new handshake with fresh keys. Its two streams have roots of their
own, so that no index of a box is ever used twice, whatever the lost node had written since:
there is nothing to skip. Messages are numbered in a new line for the same reason. What a
contact had acknowledged to the lost node, and what came to it after the backup, stays lost.

Nothing that the store holds is changed by restoring, and nothing comes back that it marks as
burnt or deleted (``store.ledger``), or whose time is over. A backup has the marks up to its
own day only: on another machine, what was burnt since comes back. Spec: backup.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

from shoal_node import backup_file, person_settings
from shoal_node.store import keys, ledger
from shoal_node.store.person_store import PersonStore
from shoal_protocol import clock, crypto, wire
from shoal_protocol.client import contents, state
from shoal_protocol.client.correspondence import HELD
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.parcel import Kind
from shoal_protocol.client.state import Changes, Kept, Key, MessageRow
from shoal_protocol.errors import RemoteProtocolError, StoreError, UserError

SUFFIX: Final = ".shoal-backup"
SOON: Final = 24 * 3600 * clock.SECOND  # a message that disappears by then is not backed up
CARRIED: Final[Mapping[str, tuple[int, Callable[[bytes], object]]]] = {
    # kind of row: bytes of its id, and what refuses data that a node would not begin with
    state.PERSONA: (8, state.PERSONAS.decode),
    state.PROFILE: (8, state.PROFILES.decode),
    state.CONVERSATION: (8, state.CONVERSATIONS.decode),
    state.CONTACT: (8, state.CONTACTS.decode),
    state.DOWNLOAD: (12, lambda data: None),  # whether it failed
    person_settings.SETTING: (0, person_settings.decode),
    ledger.BURNT: (ledger.MARK_LENGTH, lambda data: None),  # empty
    ledger.DELETED: (ledger.MARK_LENGTH, lambda data: None),
}
_HEX: Final = re.compile("[0-9a-f]*")  # an id of a message, 12 bytes
_BATCH: Final = 4 * 2**20  # bytes of files in one transaction
_PIECE: Final = 32_768  # bytes of a file in one row, as the transfers keep it
_TOLD_LENGTH: Final = 16  # bytes: correspondence's digest of the profile that was told


@dataclass(frozen=True, slots=True)
class Head:
    """The first frame: when the backup was made, ns."""

    created: Annotated[int, wire.U64]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of one of the kinds :data:`CARRIED`, or a piece of a file."""

    kind: Annotated[str, wire.Size(1, 32)]
    name: Annotated[bytes, wire.Size(0, 64)]
    data: Annotated[bytes, wire.Size(0, 65_536)]

    def __repr__(self) -> str:
        return "Row(…)"


@dataclass(frozen=True, slots=True)
class Said:
    """A message; the fields are those of :class:`~shoal_protocol.client.state.MessageRow`."""

    id: Annotated[str, wire.exactly(24)]
    conversation: Annotated[str, wire.exactly(16)]
    position: Annotated[int, wire.U32]
    outgoing: bool
    number: Annotated[int, wire.U32]
    text: Annotated[str, wire.Size(0, contents.MAX_CONTENT)]
    state: Annotated[int, wire.Range(0, max(MessageState))]
    created: Annotated[int, wire.U64]
    received: Annotated[int, wire.U64] | None
    request: bool
    file: Annotated[bytes, wire.Size(0, contents.MAX_CONTENT)] | None
    reply: Annotated[bytes, wire.Size(0, 64)] | None
    expires_s: Annotated[int, wire.U32] | None
    expires: Annotated[int, wire.U64] | None

    def __repr__(self) -> str:
        return "Said(…)"


@dataclass(frozen=True, slots=True)
class End:
    """The last frame."""

    frames: Annotated[int, wire.U64]  # before this one


_CODEC: Final[wire.Codec[Head | Row | Said | End]] = wire.Codec(
    Head, Row, Said, End, limit=backup_file.MAX_FRAME
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back, and what did not.

    ``created``: when the backup was made, ns. ``forgotten``: personas, conversations and
    messages that were burnt or deleted since; ``over``: messages whose time is over.
    """

    created: int
    personas: int
    conversations: int
    messages: int
    files: int
    forgotten: int
    over: int


@dataclass(slots=True)
class _Read:
    """A backup without the contents of files."""

    created: int
    rows: dict[Key, bytes] = field(default_factory=dict[Key, bytes])
    messages: list[MessageRow] = field(default_factory=list[MessageRow])

    def of(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """Return (id, data) of all rows of ``kind``."""
        return Kept(self.rows).of(kind)


def make(
    store: PersonStore, passphrase: str, now: int, *, salt: bytes | None = None
) -> Iterator[bytes]:
    """Yield the pieces of an encrypted backup of ``store``; reads it, and so waits for it.

    Args:
        now: ns; what has expired by then is left out, and so is what will soon.
        salt: 16 bytes that were never used before; None draws them.

    Raises:
        UserError: the passphrase is empty or too long, or the store is damaged.
        StoreFailed: the disk failed.
    """
    return backup_file.seal(_frames(store, now), passphrase, salt=salt)


def _frames(store: PersonStore, now: int) -> Iterator[bytes]:
    count = 0
    for struct in _structs(store, now):
        yield _CODEC.encode(struct)
        count += 1
    yield _CODEC.encode(End(count))


def _structs(store: PersonStore, now: int) -> Iterator[Head | Row | Said]:
    kept, forgotten = store.load(), store.forgotten()
    messages = [m for m in kept.messages if m.expires is None or m.expires > now + SOON]
    here = {bytes.fromhex(message.id) for message in messages}
    yield Head(now)
    for (kind, name), data in [*kept.rows.items(), *forgotten.items()]:
        if kind in CARRIED and (kind != state.DOWNLOAD or name in here):
            yield Row(kind, name, data)
    for m in messages:
        yield Said(
            m.id,
            m.conversation,
            m.position,
            m.outgoing,
            m.number,
            m.text,
            m.state,
            m.created,
            m.received,
            m.request,
            m.file,
            m.reply,
            m.expires_s,
            m.expires,
        )
    for m in messages:
        if m.file is not None:
            name = bytes.fromhex(m.id)
            content = store.file(name)
            for place, start in enumerate(range(0, len(content), _PIECE)):
                piece = content[start : start + _PIECE]
                yield Row(state.FILE, name + place.to_bytes(4, "big"), piece)


def restore(path: Path, passphrase: str, store: PersonStore, now: int) -> Restored:
    """Add to ``store`` what the backup in ``path`` has and it lacks.

    The backup is read to its end before anything is written, and what names the rest is
    written last, in one transaction: after a crash the same call goes on.

    Raises:
        UserError: the file can't be read, is no whole backup, or the passphrase is wrong.
        StoreError: there is no room, or the disk failed.
    """
    return _add(_read(path, passphrase), path, passphrase, store, now)


def restore_home(
    path: Path, passphrase: str, home: Path, store_passphrase: str | None, now: int
) -> Restored:
    """Restore into the store of a home in which no node runs, made now if there is none.

    Args:
        store_passphrase: of the store, not of the backup; None for a store without one.

    Raises:
        UserError: as of :func:`restore`, or the store does not open, or has no room.
    """
    read = _read(path, passphrase)  # before a store is made for it
    store = PersonStore.open(home / keys.DATABASE, keys.secret_of(home, store_passphrase))
    try:
        return _add(read, path, passphrase, store, now)
    except StoreError as error:
        raise UserError(str(error)) from None
    finally:
        store.close()


def _unpacked(path: Path, passphrase: str) -> Iterator[Head | Row | Said]:
    """Yield what the backup holds; raises UserError unless it is whole."""
    count, ended = 0, False
    try:
        with path.open("rb") as file:
            for frame in backup_file.frames_of(file, passphrase):
                struct = _CODEC.decode(frame)
                if ended or isinstance(struct, Head) != (count == 0):
                    raise UserError(backup_file.DAMAGED)
                if isinstance(struct, End):
                    ended = struct.frames == count
                else:
                    yield struct
                count += 1
    except RemoteProtocolError:
        raise UserError(backup_file.DAMAGED) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"{path} cannot be read: {reason}.") from None
    if not ended:
        raise UserError(backup_file.DAMAGED)


def _read(path: Path, passphrase: str) -> _Read:
    """Read a backup to its end, and keep all but the files."""
    found = _Read(0)
    for struct in _unpacked(path, passphrase):
        match struct:
            case Head(created):
                found.created = created
            case Row(kind, name, data) if kind in CARRIED:
                length, check = CARRIED[kind]
                _sensible(len(name) == length, check, data)
                found.rows[kind, name] = data
            case Said(id=name, reply=reply):
                _sensible(_HEX.fullmatch(name) is not None, state.REPLIES.decode, reply)
                found.messages.append(_row(struct))
            case Row():
                pass  # a piece of a file, read again when it is clear which are wanted
    return found


def _sensible(known: bool, check: Callable[[bytes], object], data: bytes | None) -> None:
    """Refuse what no store has written: the node would not start with it."""
    try:
        if data is not None:
            check(data)
    except RemoteProtocolError:
        known = False
    if not known:
        raise UserError(backup_file.DAMAGED)


def _row(said: Said) -> MessageRow:
    """Return the message as a store keeps it; one whose file never left has failed."""
    held = said.outgoing and said.number == HELD
    return MessageRow(
        id=said.id,
        conversation=said.conversation,
        position=said.position,
        outgoing=said.outgoing,
        number=said.number,
        text=said.text,
        state=MessageState.FAILED if held else said.state,
        created=said.created,
        received=said.received,
        request=said.request,
        file=said.file,
        reply=said.reply,
        expires_s=said.expires_s,
        expires=said.expires,
    )


def _add(read: _Read, path: Path, passphrase: str, store: PersonStore, now: int) -> Restored:
    try:
        selection = _Selection(read, store, now)
    except (RemoteProtocolError, ValueError):
        raise UserError(backup_file.DAMAGED) from None
    files = _add_files(selection.files, path, passphrase, store)
    store.commit([Changes(1, selection.rows, {m.id: m for m in selection.messages})])
    return Restored(
        created=read.created,
        personas=selection.personas,
        conversations=selection.conversations,
        messages=len(selection.messages),
        files=files,
        forgotten=selection.forgotten,
        over=selection.over,
    )


def _add_files(wanted: set[bytes], path: Path, passphrase: str, store: PersonStore) -> int:
    """Put the contents of files, a few at a time; returns of how many messages."""
    rows: dict[Key, bytes | None] = {}
    size, names = 0, set[bytes]()
    for struct in _unpacked(path, passphrase) if wanted else ():
        if isinstance(struct, Row) and struct.kind == state.FILE and struct.name[:12] in wanted:
            rows[state.FILE, struct.name] = struct.data
            names.add(struct.name[:12])
            size += len(struct.data)
        if size >= _BATCH:
            store.commit([Changes(1, rows, {})])
            rows, size = {}, 0
    store.commit([Changes(1, rows, {})])
    return len(names)


class _Selection:
    """What of a backup goes into a store: not what is there, was forgotten, or is over.

    Raises:
        RemoteProtocolError: a row is not what a store keeps.
        ValueError: an id is none.
    """

    def __init__(self, read: _Read, store: PersonStore, now: int) -> None:
        here, marks = store.load(), store.forgotten()
        self.rows: dict[Key, bytes | None] = {}
        self.messages: list[MessageRow] = []
        self.files: set[bytes] = set()
        self.personas = self.conversations = self.forgotten = self.over = 0
        self._read: Final = read
        self._here: Final = here
        self._marks: Final = {name for _, name in marks}
        for kind in (ledger.BURNT, ledger.DELETED):
            for name, data in read.of(kind):
                if (kind, name) not in marks:
                    self.rows[kind, name] = data
        for name, data in read.of(person_settings.SETTING):
            if not any(here.of(state.PERSONA)):
                self.rows[person_settings.SETTING, name] = data
        personas = self._choose_personas()
        conversations = self._choose_conversations(personas, now)
        seen = [state.CLOCKS.decode(data).seen for _, data in here.of(state.CLOCK)]
        latest = max(now, read.created, *seen)
        self._choose_messages(conversations, latest)
        if any(message.expires is not None for message in self.messages):
            row = state.ClockRow(latest)  # a clock that is behind it lengthens no life
            self.rows[state.CLOCK, b""] = state.CLOCKS.encode(row)

    def _choose_personas(self) -> set[bytes]:
        """Choose personas; returns the names of those that are in the store, then."""
        there = {name for name, _ in self._here.of(state.PERSONA)}
        roots = {state.PERSONAS.decode(data).root for _, data in self._here.of(state.PERSONA)}
        for name, data in self._read.of(state.PERSONA):
            if ledger.mark(state.PERSONA, name) in self._marks:
                self.forgotten += 1
            elif name not in there and state.PERSONAS.decode(data).root not in roots:
                there.add(name)
                self.personas += 1
                self.rows[state.PERSONA, name] = data
                profile = self._read.rows.get((state.PROFILE, name))
                if profile is not None:
                    self.rows[state.PROFILE, name] = profile
        return there

    def _choose_conversations(self, personas: set[bytes], now: int) -> set[str]:
        """Choose conversations; returns the ids of those whose messages may come back."""
        there: set[str] = set()
        met: set[tuple[bytes, bytes]] = set()
        for name, data in self._here.of(state.CONVERSATION):
            row = state.CONVERSATIONS.decode(data)
            met.add((row.persona, row.pseudonym))
            there.add(name.hex())
        for name, data in self._read.of(state.CONVERSATION):
            row = state.CONVERSATIONS.decode(data)
            if row.persona not in personas or name.hex() in there:
                continue
            if ledger.mark(state.CONVERSATION, name) in self._marks:
                self.forgotten += 1
            elif (row.persona, row.pseudonym) not in met:
                there.add(name.hex())
                self.conversations += 1
                self._put_conversation(name, row, now)
        return there

    def _put_conversation(self, name: bytes, row: state.ConversationRow, now: int) -> None:
        """Put a conversation that numbers anew, and begins a session if it was accepted."""
        shown = self._read.rows.get((state.PROFILE, row.persona))
        profile = contents.NO_PROFILE
        if shown is not None:
            profile = state.PROFILES.decode(shown).profile or profile
        blocked = False
        data = self._read.rows.get((state.CONTACT, name))
        if data is not None:
            contact = state.CONTACTS.decode(data)
            blocked = contact.blocked
            told = b""
            if row.answered and profile != contents.NO_PROFILE:
                told = crypto.digest(profile, size=_TOLD_LENGTH)
            contact = replace(contact, told=told, invite=b"")
            self.rows[state.CONTACT, name] = state.CONTACTS.encode(contact)
        number = row.next_number
        if row.answered and not blocked:
            notice = state.NoticeRow(name, Kind.PROFILE, number, now, profile)
            self.rows[state.NOTICE, os.urandom(12)] = state.NOTICES.encode(notice)
            number += 1
        row = replace(row, line=os.urandom(len(row.line)), next_number=number)
        self.rows[state.CONVERSATION, name] = state.CONVERSATIONS.encode(row)

    def _choose_messages(self, conversations: set[str], now: int) -> None:
        there = {message.id for message in self._here.messages}
        for message in self._read.messages:
            if message.id in there or message.conversation not in conversations:
                continue
            if ledger.mark(ledger.MESSAGE, message.id.encode()) in self._marks:
                self.forgotten += 1
            elif message.expires is not None and message.expires <= now:
                self.over += 1
            else:
                self.messages.append(message)
                name = bytes.fromhex(message.id)
                if message.file is not None:
                    self.files.add(name)
                download = self._read.rows.get((state.DOWNLOAD, name))
                if download is not None:
                    self.rows[state.DOWNLOAD, name] = download
