"""What a person's node keeps: rows that a store makes durable, and what may go once they are.

::

    machine ──put, delete──► Journal ──take()──► Changes n ──store commits──► committed(n)
                                                                  │
       a record made in batch n fills a slot only when  n ≤ durable ◄┘

The machine never waits for a disk: slots are filled with what is durable already, so that
when a packet leaves does not depend on what is in it. A crash between any two steps loses
only what nobody was told. Rows of personas that are not kept never reach the journal.
After magic-wormhole's journal: commit, then send.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.errors import UserError

Key = tuple[str, bytes]  # kind and id

PERSONA: Final = "persona"  # id: 8 bytes
PREKEYS: Final = "prekeys"  # id: persona 8, day 4
EPHEMERAL: Final = "ephemeral"  # id: persona 8, day 4, key 32
CONVERSATION: Final = "conversation"  # id: 8 bytes
ASSOCIATION: Final = "association"  # id: persona 8, session 16
RECORD: Final = "record"  # id: 16 bytes; on its way to relays
PART: Final = "part"  # id: conversation 8, line 8, number 4, part 2; came, message not whole
UPLOAD: Final = "upload"  # id: message 12; a file on its way up
DOWNLOAD: Final = "download"  # id: message 12; a file on its way down, or one that failed
FRAGMENT: Final = "fragment"  # id: message 12, index 4; came, the file is not whole
FILE: Final = "file"  # id: message 12, place 4; a piece of a whole file, not read at the start
PROFILE: Final = "profile"  # id: persona 8; what it shows, and its settings
CONTACT: Final = "contact"  # id: conversation 8; what is known of the contact
INVITE: Final = "invite"  # id: persona 8, invite 8
NOTICE: Final = "notice"  # id: 12 bytes; numbered like a message, never shown
IGNORED: Final = "ignored"  # id: persona 8, pseudonym 32; asks in vain for a while
CLOCK: Final = "clock"  # id: empty; the highest time seen, while something is to disappear
UNWANTED: Final = "unwanted"  # id: conversation 8, mark 8; of a message that was deleted here
KINDS: Final = (
    PERSONA,
    PREKEYS,
    EPHEMERAL,
    CONVERSATION,
    ASSOCIATION,
    RECORD,
    PART,
    UPLOAD,
    DOWNLOAD,
    FRAGMENT,
    FILE,
    PROFILE,
    CONTACT,
    INVITE,
    NOTICE,
    IGNORED,
    CLOCK,
    UNWANTED,
)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message of a conversation as the store keeps it; ``position`` orders them.

    Ids are hex; times in ns; ``state`` is a :class:`~shoal_protocol.client.history.MessageState`;
    ``number`` is the message's number in its sender's line; ``file`` a packed manifest;
    ``reply`` a packed :class:`ReplyRow`; ``expires`` when the message disappears, which is
    ``expires_s`` after it was sent or came.
    """

    id: str
    conversation: str
    position: int
    outgoing: bool
    number: int
    text: str
    state: int
    created: int
    received: int | None
    request: bool
    file: bytes | None
    reply: bytes | None = None
    expires_s: int | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """One batch: rows to put (bytes) or delete (None), messages likewise by their ids."""

    number: int
    rows: Mapping[Key, bytes | None]
    messages: Mapping[str, MessageRow | None]

    @property
    def empty(self) -> bool:
        """Whether a store has nothing to do."""
        return not self.rows and not self.messages


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds: rows by key but FILE's, messages in the order of their positions.

    ``file`` gives the content of a message's file (by the message's 12 bytes), b"" if there
    is none.
    """

    rows: Mapping[Key, bytes] = field(default_factory=dict[Key, bytes])
    messages: Sequence[MessageRow] = ()
    file: Callable[[bytes], bytes] = lambda message: b""

    def of(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """Return (id, data) of all rows of ``kind``, by id."""
        return iter(sorted((key[1], data) for key, data in self.rows.items() if key[0] == kind))


class Journal:
    """Collects what changed since the last :meth:`take`."""

    def __init__(self) -> None:
        self._rows: dict[Key, bytes | None] = {}
        self._messages: dict[str, MessageRow | None] = {}
        self._number = 1
        self.durable = 0  # every batch up to this number is committed

    @property
    def number(self) -> int:
        """The batch that collects now."""
        return self._number

    @property
    def settled(self) -> bool:
        """Whether all that ever changed is durable."""
        return not self._rows and not self._messages and self.durable == self._number - 1

    def put(self, kind: str, row_id: bytes, data: bytes) -> None:
        """Put or replace a row."""
        self._rows[kind, row_id] = data

    def delete(self, kind: str, row_id: bytes) -> None:
        """Delete a row; nothing if it isn't there."""
        self._rows[kind, row_id] = None

    def message(self, row: MessageRow) -> None:
        """Put or replace a message."""
        self._messages[row.id] = row

    def delete_message(self, message_id: str) -> None:
        """Delete a message; nothing if it isn't there."""
        self._messages[message_id] = None

    def take(self) -> Changes | None:
        """Return what changed and begin the next batch, or None when nothing did."""
        if not self._rows and not self._messages:
            return None
        changes = Changes(self._number, self._rows, self._messages)
        self._rows, self._messages = {}, {}
        self._number += 1
        return changes

    def committed(self, number: int) -> None:
        """Note that every batch up to ``number`` is durable."""
        self.durable = max(self.durable, number)


@dataclass(frozen=True, slots=True)
class PersonaRow:
    """A persona: its root secret and what its owner calls it."""

    root: Annotated[bytes, wire.exactly(32)]
    created: Annotated[int, wire.U64]
    name: Annotated[str, wire.Size(0, 1024)] | None

    def __repr__(self) -> str:
        return "PersonaRow(…)"


@dataclass(frozen=True, slots=True)
class PrekeysRow:
    """One day's prekeys."""

    private: Annotated[bytes, wire.exactly(32)]
    seed: Annotated[bytes, wire.exactly(64)]

    def __repr__(self) -> str:
        return "PrekeysRow(…)"


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of numbered messages that comes in, and the number that is shown next."""

    line: Annotated[bytes, wire.exactly(8)]
    next: Annotated[int, wire.U32]


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation; ``line`` and ``next_number`` number what goes out."""

    persona: Annotated[bytes, wire.exactly(8)]
    pseudonym: Annotated[bytes, wire.exactly(32)]
    created: Annotated[int, wire.U64]
    requested_by_them: bool
    answered: bool
    inbox_root: Annotated[bytes, wire.exactly(32)] | None
    line: Annotated[bytes, wire.exactly(8)]
    next_number: Annotated[int, wire.U32]
    lines: Annotated[tuple[LineRow, ...], wire.Size(0, 64)]


@dataclass(frozen=True, slots=True)
class AssociationRow:
    """A session with its two streams and how far each has come; ``order`` ages them."""

    conversation: Annotated[bytes, wire.exactly(8)]
    order: Annotated[int, wire.U64]
    session: Annotated[bytes, wire.Size(0, 262_144)]
    writer: Annotated[bytes, wire.Size(0, 256)]
    reader: Annotated[bytes, wire.Size(0, 256)]
    confirmed: bool
    broken: bool
    peer_has: Annotated[int, wire.U64]
    peer_bits: Annotated[int, wire.U64]
    come_next: Annotated[int, wire.U64]
    come_bits: Annotated[int, wire.U64]
    read_day: Annotated[int, wire.U32]
    told: Annotated[int, wire.U64]
    sealed_day: Annotated[int, wire.U32]
    owes: bool

    def __repr__(self) -> str:
        return "AssociationRow(…)"


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record on its way; ``session`` and ``index`` are empty and 0 for a first contact."""

    conversation: Annotated[bytes, wire.exactly(8)]
    session: Annotated[bytes, wire.exactly(16)]
    index: Annotated[int, wire.U64]
    first_contact: bool
    message: Annotated[bytes, wire.Size(0, 12)]
    record: Annotated[bytes, wire.exactly(2048)]
    created: Annotated[int, wire.U64]
    needs_ack: bool
    stored: bool


@dataclass(frozen=True, slots=True)
class KeptRecordRow(RecordRow):
    """The same, and the relays that said they keep it."""

    kept_by: Annotated[tuple[Annotated[bytes, wire.exactly(16)], ...], wire.Size(1, 16)]


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part of an incoming message that is not whole, or whose turn has not come."""

    created: Annotated[int, wire.U64]
    kind: Annotated[int, wire.U8]
    parts: Annotated[int, wire.U16]
    data: Annotated[bytes, wire.Size(0, 2048)]


@dataclass(frozen=True, slots=True)
class TimedPartRow(PartRow):
    """The same, and when it came (ns)."""

    came: Annotated[int, wire.U64]


@dataclass(frozen=True, slots=True)
class UploadRow:
    """A file on its way up: what writes its stream, and which fragments are stored."""

    writer: Annotated[bytes, wire.Size(0, 256)]
    stored: Annotated[bytes, wire.Size(0, 4096)]

    def __repr__(self) -> str:
        return "UploadRow(…)"


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """Which message one answers; ``message`` is its id here, empty if it was not found."""

    outgoing: bool
    number: Annotated[int, wire.U32]
    created: Annotated[int, wire.U64]
    message: Annotated[bytes, wire.Size(0, 12)]


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """What a persona shows (empty: nothing), and whether receipts are sent and believed."""

    profile: Annotated[bytes, wire.Size(0, 8192)]
    receipts: bool

    def __repr__(self) -> str:
        return "ProfileRow(…)"


@dataclass(frozen=True, slots=True)
class ContactRow:
    """What is known of a contact, and what it knows of us.

    ``profile``: what it shows; ``told``: digest of what it was told that we show; ``read``:
    positions below it were read here, ``receipted`` those that it was told of, ``seen`` those
    that it told of; ``invite``: the dumped capability by which the first contact goes.
    """

    alias: Annotated[str, wire.Size(1, 1024)] | None
    verified: bool
    invited: bool
    blocked: bool
    price_bits: Annotated[int, wire.U8] | None
    expires_s: Annotated[int, wire.U32] | None
    profile: Annotated[bytes, wire.Size(0, 8192)]
    told: Annotated[bytes, wire.Size(0, 16)]
    read: Annotated[int, wire.U64]
    receipted: Annotated[int, wire.U64]
    seen: Annotated[int, wire.U64]
    invite: Annotated[bytes, wire.Size(0, 256)]

    def __repr__(self) -> str:
        return "ContactRow(…)"


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """Something numbered that is never shown: a profile, a receipt, or a number in use."""

    conversation: Annotated[bytes, wire.exactly(8)]
    kind: Annotated[int, wire.U8]
    number: Annotated[int, wire.U32]
    created: Annotated[int, wire.U64]
    data: Annotated[bytes, wire.Size(0, 8192)]

    def __repr__(self) -> str:
        return "NoticeRow(…)"


@dataclass(frozen=True, slots=True)
class InviteRow:
    """An invite of a persona; a used one is kept to be shown, until it is over."""

    secret: Annotated[bytes, wire.exactly(16)]
    created: Annotated[int, wire.U64]
    used: bool

    def __repr__(self) -> str:
        return "InviteRow(…)"


@dataclass(frozen=True, slots=True)
class IgnoredRow:
    """Since when (ns) the person ignores somebody who asked."""

    since: Annotated[int, wire.U64]


@dataclass(frozen=True, slots=True)
class ClockRow:
    """The highest time seen (ns)."""

    seen: Annotated[int, wire.U64]


@dataclass(frozen=True, slots=True)
class UnwantedRow:
    """The last day on which a message that was deleted here may come again."""

    until: Annotated[int, wire.U32]


PERSONAS: Final = wire.Codec(PersonaRow, limit=2048)
PREKEY_DAYS: Final = wire.Codec(PrekeysRow, limit=256)
CONVERSATIONS: Final = wire.Codec(ConversationRow, limit=4096)
ASSOCIATIONS: Final = wire.Codec(AssociationRow, limit=300_000)
RECORDS: Final = wire.Codec[RecordRow](RecordRow, KeptRecordRow, limit=4096)
PARTS: Final = wire.Codec[PartRow](PartRow, TimedPartRow, limit=4096)
UPLOADS: Final = wire.Codec(UploadRow, limit=8192)
REPLIES: Final = wire.Codec(ReplyRow, limit=64)
PROFILES: Final = wire.Codec(ProfileRow, limit=10_000)
CONTACTS: Final = wire.Codec(ContactRow, limit=12_000)
INVITES: Final = wire.Codec(InviteRow, limit=64)
NOTICES: Final = wire.Codec(NoticeRow, limit=10_000)
IGNORINGS: Final = wire.Codec(IgnoredRow, limit=16)
CLOCKS: Final = wire.Codec(ClockRow, limit=16)
UNWANTED_ROWS: Final = wire.Codec(UnwantedRow, limit=16)


class StoreDamaged(UserError):
    """What the person's store holds is not what this version wrote."""
