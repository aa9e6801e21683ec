"""What a message says, beside its place in a conversation; spec: client §6.

::

    TEXT     UTF-8, and nothing more
    RICH     text, file, what it answers, after how long it disappears: each may be missing
    PROFILE  a name and an avatar, or neither: what the contact is shown by
    RECEIPT  all messages up to this one (number, created) were read

Profiles and receipts are numbered like messages and never shown. Whoever has no profile sends
none. What a contact sends is bounded here and never refused as a whole: a message that can't be
read would leave a gap for ever.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import clock, wire
from shoal_protocol.client.parcel import MAX_TIME, Kind
from shoal_protocol.errors import RemoteProtocolError, UserError

MAX_CONTENT: Final = 131_072  # bytes; what a message's parts can hold is less
MAX_NAME: Final = 64  # bytes of UTF-8
MAX_PICTURE: Final = 6000  # bytes
EXPIRES_LEAST_S: Final = 5
EXPIRES_MOST_S: Final = 28 * 86_400
_DRAWN: Final = b"\x00"  # first byte of a name that is two indices
_DRAWN_AVATAR, _OWN_PICTURE = b"\x01", b"\x02"
_DRAWN_LENGTH: Final = 4
# Letters and signs by Unicode that are drawn as nothing: a name of them would look like none.
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a persona shows of itself to its contacts; everything may be missing.

    Attributes:
        name: own words, up to :data:`MAX_NAME` bytes.
        drawn_name: two indices (u16) of drawn words, in place of ``name``.
        avatar: byte 1 and 4 indices (drawn), or byte 2 and a picture of up to
            :data:`MAX_PICTURE` bytes.
    """

    name: str | None = None
    drawn_name: tuple[int, int] | None = None
    avatar: bytes | None = None

    @property
    def empty(self) -> bool:
        """Whether it shows nothing."""
        return self.name is None and self.drawn_name is None and self.avatar is None


@dataclass(slots=True)
class Shown:
    """What a persona tells its contacts: its profile, and whether receipts go and count."""

    profile: Profile | None = None
    receipts: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """Which message one answers: whose it is, its number in its line, when it was made (ns).

    ``outgoing``: this person wrote it. ``message``: its id here; None if it isn't here.
    """

    outgoing: bool
    number: int
    created: int
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a message shows. ``file``: a packed manifest; ``expires_s``: seconds, or None."""

    text: str
    file: bytes | None = None
    reply: Reply | None = None
    expires_s: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """All messages of the other side up to this one were read."""

    number: Annotated[int, wire.U32]
    created: Annotated[int, wire.Range(0, MAX_TIME)]


@dataclass(frozen=True, slots=True)
class _Reply:
    by_sender: bool  # of the message that answers
    number: Annotated[int, wire.U32]
    created: Annotated[int, wire.Range(0, MAX_TIME)]


@dataclass(frozen=True, slots=True)
class _Rich:
    text: Annotated[str, wire.Size(1, MAX_CONTENT)] | None
    file: Annotated[bytes, wire.Size(0, MAX_CONTENT)] | None
    reply: _Reply | None
    expires_s: Annotated[int, wire.U32] | None


@dataclass(frozen=True, slots=True)
class _Profile:
    name: Annotated[bytes, wire.Size(1, MAX_NAME)] | None
    avatar: Annotated[bytes, wire.Size(1, 1 + MAX_PICTURE)] | None


_RICH: Final = wire.Codec(_Rich, limit=MAX_CONTENT)
_PROFILE: Final = wire.Codec(_Profile, limit=MAX_PICTURE + MAX_NAME + 32)
_RECEIPT: Final = wire.Codec(Receipt, limit=32)
NO_PROFILE: Final = _PROFILE.encode(_Profile(None, None))


def write(content: Content) -> tuple[Kind, bytes]:
    """Return the kind and the bytes of a message."""
    if content.file is None and content.reply is None and content.expires_s is None:
        return Kind.TEXT, content.text.encode()
    reply = None
    if content.reply is not None:
        reply = _Reply(content.reply.outgoing, content.reply.number, content.reply.created)
    return Kind.RICH, _RICH.encode(
        _Rich(content.text or None, content.file, reply, content.expires_s)
    )


def read(kind: int, data: bytes) -> Content:
    """Return what the whole content of a TEXT or RICH that came shows.

    What is not UTF-8 is shown as such, and what should be RICH and isn't is a text. A time
    outside its range becomes the nearest one within. :attr:`Reply.message` is None.
    """
    if kind == Kind.RICH:
        try:
            rich = _RICH.decode(data)
        except RemoteProtocolError:
            return Content(data.decode("utf-8", "replace"))
        reply = rich.reply
        return Content(
            rich.text or "",
            rich.file,
            None if reply is None else Reply(not reply.by_sender, reply.number, reply.created),
            None
            if rich.expires_s is None
            else min(max(rich.expires_s, EXPIRES_LEAST_S), EXPIRES_MOST_S),
        )
    return Content(data.decode("utf-8", "replace"))


def deadline(since: int, expires_s: int | None) -> int | None:
    """Return when (ns) what disappears does; its life begins at ``since``."""
    return None if expires_s is None else since + clock.seconds(expires_s)


def check_expiry(expires_s: int | None) -> None:
    """Refuse a time after which no message may disappear; raises UserError."""
    if expires_s is not None and not EXPIRES_LEAST_S <= expires_s <= EXPIRES_MOST_S:
        raise UserError("A message disappears after 5 seconds at least and 4 weeks at most.")


def plain(name: str) -> str:
    """Return ``name`` without what isn't seen: controls, what turns the writing round, fillers."""
    return "".join(c for c in name if c.isprintable() and c not in _FILLERS).strip()


def write_profile(profile: Profile | None) -> bytes:
    """Return the bytes of a profile; None is one that shows nothing.

    Raises:
        UserError: a name or an avatar that no profile can have.
    """
    if profile is None or profile.empty:
        return NO_PROFILE
    name: bytes | None = None
    if profile.drawn_name is not None:
        if profile.name is not None:
            raise UserError("A persona has words of its own for a name, or drawn ones.")
        name = _DRAWN + b"".join(index.to_bytes(2, "big") for index in profile.drawn_name)
    elif profile.name is not None:
        name = profile.name.encode()
        if not name or plain(profile.name) != profile.name or len(name) > MAX_NAME:
            raise UserError(f"A name has 1 to {MAX_NAME} bytes, all of them printable.")
    if profile.avatar is not None and not _is_avatar(profile.avatar):
        raise UserError(f"A picture of a persona has at most {MAX_PICTURE} bytes.")
    return _PROFILE.encode(_Profile(name, profile.avatar))


def read_profile(data: bytes) -> Profile | None:
    """Return the profile that came, None for one that shows nothing or makes no sense."""
    try:
        found = _PROFILE.decode(data)
    except RemoteProtocolError:
        return None
    name, drawn = None, None
    if found.name is not None and found.name[:1] == _DRAWN:
        if len(found.name) == 1 + _DRAWN_LENGTH:
            drawn = int.from_bytes(found.name[1:3], "big"), int.from_bytes(found.name[3:], "big")
    elif found.name is not None:
        name = plain(found.name.decode("utf-8", "replace")) or None
        if name is not None and len(name.encode()) > MAX_NAME:
            name = None  # bytes that were none grew
    avatar = found.avatar if found.avatar is not None and _is_avatar(found.avatar) else None
    profile = Profile(name, drawn, avatar)
    return None if profile.empty else profile


def write_receipt(number: int, created: int) -> bytes:
    """Return the bytes of a receipt for the message of this number and time (ns)."""
    return _RECEIPT.encode(Receipt(number, created))


def read_receipt(data: bytes) -> Receipt | None:
    """Return the receipt that came, None for one that makes no sense."""
    try:
        return _RECEIPT.decode(data)
    except RemoteProtocolError:
        return None


def _is_avatar(data: bytes) -> bool:
    if data[:1] == _DRAWN_AVATAR:
        return len(data) == 1 + _DRAWN_LENGTH
    return data[:1] == _OWN_PICTURE and 1 < len(data) <= 1 + MAX_PICTURE
