"""What callers send: bodies and queries of the API, each a type that is checked field by field.

A field whose type has :class:`~shoal_node.api.backend.Unset` may be left out, and is left as
it is then; null is a value of its own. Bounds of texts are bytes of UTF-8.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from shoal_node.api import tickets, values
from shoal_node.api.backend import UNSET, Unset
from shoal_protocol.files.manifest import ANY_MEDIA_TYPE
from shoal_protocol.wire import Range, Size

MAX_TEXT: Final = 32_768  # bytes of UTF-8; the node may allow less
MAX_FILE_TEXT: Final = 4096  # bytes of UTF-8 of a text that goes with a file, in the query
MAX_PAGE: Final = 500  # messages in one answer
MAX_HITS: Final = 200  # of one search
MAX_AVATAR: Final = 2 * 2**20  # characters of a picture in base64
LEAST_EXPIRY: Final = 5  # s
MOST_EXPIRY: Final = 4 * 7 * 86_400  # s

Name: TypeAlias = Annotated[str, Size(1, 64)]
Id: TypeAlias = Annotated[str, Size(1, 128)]
Expiry: TypeAlias = Annotated[int, Range(LEAST_EXPIRY, MOST_EXPIRY)]  # s
Passphrase: TypeAlias = Annotated[str, Size(1, 1024)]
TicketText: TypeAlias = Annotated[str, Size(1, 128)]


@dataclass(frozen=True, slots=True)
class NoQuery:
    """A call without parameters."""


@dataclass(frozen=True, slots=True)
class NoBody:
    """An empty JSON object."""


@dataclass(frozen=True, slots=True)
class NewPersona:
    """A persona to make; all fields may be left out, which makes a momo."""

    name: Name | None = None
    ephemeral: bool = False
    random: bool = False  # draw a name and an avatar


@dataclass(frozen=True, slots=True)
class NewAvatar:
    """An avatar: exactly one of the two."""

    picture: Annotated[str, Size(1, MAX_AVATAR)] | None = None  # base64 of an image's bytes
    drawn: Annotated[Sequence[Annotated[int, Range(0, 255)]], Size(4, 4)] | None = None


@dataclass(frozen=True, slots=True)
class PersonaPatch:
    """What changes of a persona; ``random`` and ``momo`` stand alone."""

    name: Name | Unset | None = UNSET
    random: bool = False
    momo: bool = False
    avatar: NewAvatar | Unset | None = UNSET
    receipts: bool | Unset = UNSET


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to add: by exactly one of pseudonym and invite."""

    pseudonym: Annotated[str, Size(1, 512)] | None = None
    invite: Annotated[str, Size(1, 512)] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ContactPatch:
    """What changes of a contact, here only."""

    alias: Name | Unset | None = UNSET
    verified: bool | Unset = UNSET


@dataclass(frozen=True, slots=True)
class ConversationPatch:
    """What changes of a conversation."""

    expires_after: Expiry | None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to send; the text is kept exactly."""

    text: Annotated[str, Size(1, MAX_TEXT)] = field(repr=False)
    reply_to: Id | None = None
    expires_after: Expiry | Unset | None = UNSET  # left out: as the conversation says


@dataclass(frozen=True, slots=True)
class ReadUpTo:
    """The last message that the person has seen."""

    message: Id


@dataclass(frozen=True, slots=True)
class NewPicture:
    """What goes with a picture."""

    text: Annotated[str, Size(0, MAX_FILE_TEXT)] = field(default="", repr=False)
    reply_to: Id | None = None
    expires_after: Expiry | Unset = UNSET


@dataclass(frozen=True, slots=True)
class NewFile:
    """What goes with a file: its name, made safe by the node, and perhaps a text."""

    name: Annotated[str, Size(1, 255)]
    media_type: Annotated[str, Size(1, 128)] = ANY_MEDIA_TYPE
    text: Annotated[str, Size(0, MAX_FILE_TEXT)] = field(default="", repr=False)
    reply_to: Id | None = None
    expires_after: Expiry | Unset = UNSET


@dataclass(frozen=True, slots=True)
class Page:
    """Which messages: at most ``limit``, those before the message ``before`` if given."""

    before: Id | None = None
    limit: Annotated[int, Range(1, MAX_PAGE)] = 100


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, and where."""

    q: Annotated[str, Size(1, 256)] = field(repr=False)
    persona: Id | None = None
    conversation: Id | None = None
    limit: Annotated[int, Range(1, MAX_HITS)] = 50


@dataclass(frozen=True, slots=True)
class ExportForm:
    """How a conversation is written out."""

    format: Literal["json", "text"] = "json"


@dataclass(frozen=True, slots=True)
class NewBackup:
    """What a backup is encrypted under."""

    passphrase: Passphrase = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket to make, and for how long (s) it is good."""

    life_s: Annotated[int, Range(1, tickets.MAX_LIFE)] = tickets.LIFE


@dataclass(frozen=True, slots=True)
class TicketToRedeem:
    """A one-time ticket for the token."""

    ticket: TicketText = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unlock:
    """What opens the store; without a passphrase where it has none."""

    passphrase: Passphrase | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NewPassphrase:
    """The store's passphrase before and after; null is none."""

    old: Passphrase | None = field(default=None, repr=False)
    new: Passphrase | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Panic:
    """The word that nobody types by chance."""

    confirm: Literal["erase"]


@dataclass(frozen=True, slots=True)
class SettingsPatch:
    """What changes of the settings."""

    preset: values.PresetName | Unset = UNSET
    language: values.Language | Unset = UNSET
    theme: values.Theme | Unset = UNSET
    receipts_default: bool | Unset = UNSET
    fresh_persona: bool | Unset = UNSET
    persona_slots: Annotated[int, Range(1, 16)] | Unset = UNSET


@dataclass(frozen=True, slots=True)
class Since:
    """From which event on: the ``seq`` of the last one seen."""

    since: Annotated[int, Range(0, 2**53 - 1)] | None = None
