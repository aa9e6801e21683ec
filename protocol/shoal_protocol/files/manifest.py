"""What a message says of its attachment, and what of it may touch the reader's machine.

::

    struct manifest {                    // canonical msgpack, tag 0, at most 600 bytes
        u8  capability[72];              // reads the file's stream, from box 0
        u32 day;                         // UTC day of all its boxes
        u64 size;                        // bytes, 0 … 10 · 2^20
        u8  digest[32];                  // BLAKE2b-256 of the content
        str name[0 … 255];               // as the sender has it; see safe_name
        str media_type[1 … 64];
    };                                   // spec: files §1

Counts of fragments and groups are not in it: they follow from the size, so nothing can
contradict them. The sender is believed in nothing: sizes are bounded, the content is checked
against the digest, and the name is a proposal that is cleaned before it names a file.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import crypto, wire
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError, UserError
from shoal_protocol.files.layout import MAX_FILE_LENGTH, Layout
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import CAPABILITY_LENGTH, ReadCapability

MANIFEST_LIMIT: Final = 600  # bytes of an encoded manifest; spec: files §1
NAME_LIMIT: Final = 255  # bytes of UTF-8, what most file systems take; spec: files §1
MEDIA_TYPE_LIMIT: Final = 64  # bytes; spec: files §1
ANY_MEDIA_TYPE: Final = "application/octet-stream"
UNNAMED: Final = "file"

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
# what a path, a shell or Windows reads as something else than a letter
_UNSAFE: Final = frozenset('/\\:*?"<>|')
# controls, direction marks and other unseen signs, lone surrogates, line and paragraph ends
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])( *\.|$)", re.I)
_BLANK: Final = ". \u00a0\u3000"
_ENDING: Final = 16  # bytes of ".pdf" and the like that survive the cutting of a long name


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file as its sender describes it; made by :func:`describe` and :func:`decode`."""

    capability: Annotated[bytes, wire.exactly(CAPABILITY_LENGTH)]
    day: Annotated[int, wire.U32]
    size: Annotated[int, wire.Range(0, MAX_FILE_LENGTH)]
    digest: Annotated[bytes, wire.exactly(32)]
    name: Annotated[str, wire.Size(0, NAME_LIMIT)]
    media_type: Annotated[str, wire.Size(1, MEDIA_TYPE_LIMIT)]

    def __repr__(self) -> str:
        return "Manifest(…)"

    @property
    def layout(self) -> Layout:
        """How it is cut."""
        return Layout.of(self.size)

    @property
    def safe_name(self) -> str:
        """The name under which it may be saved; see :func:`safe_name`."""
        return safe_name(self.name)

    def kept(self, today: int) -> bool:
        """Whether relays still keep its boxes on UTC day ``today``, by the sender's word."""
        return not self.past(today) and self.day <= today + box.DAYS_AHEAD

    def past(self, today: int) -> bool:
        """Whether relays have dropped its boxes by UTC day ``today``, by the sender's word."""
        return self.day < today - box.DAYS_KEPT


_CODEC: Final = wire.Codec(Manifest, limit=MANIFEST_LIMIT)


def content_digest(content: bytes) -> bytes:
    """Return the 32-byte digest of a whole file; 10 MB take about 12 ms."""
    return crypto.digest(content)


def describe(
    capability: ReadCapability, day: int, size: int, digest: bytes, name: str, media_type: str
) -> Manifest:
    """Return the manifest of one's own file.

    Args:
        capability: of a fresh stream, at box 0.
        day: UTC day that its boxes are sealed for.
        size: bytes of content.
        digest: of the content, 32 bytes; :func:`content_digest`.
        name: as the user's machine has it; directories in front of it are cut off.
        media_type: a guess; what is none becomes ``application/octet-stream``.

    Raises:
        UserError: the file is too large.
        LocalProtocolError: the capability is not at box 0.
    """
    if size > MAX_FILE_LENGTH:
        raise UserError(f"An attachment may have at most {MAX_FILE_LENGTH // 2**20} MiB.")
    if capability.index:
        raise LocalProtocolError("a file's stream begins at box 0")
    last = re.split(r"[/\\]", name)[-1]
    media_type = media_type.lower()
    if len(media_type) > MEDIA_TYPE_LIMIT or not _MEDIA_TYPE.fullmatch(media_type):
        media_type = ANY_MEDIA_TYPE
    return Manifest(capability.pack(), day, size, digest, safe_name(last), media_type)


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of ``struct manifest``, at most MANIFEST_LIMIT."""
    return _CODEC.encode(manifest)


def decode(data: bytes, network: bytes) -> Manifest:
    """Parse a manifest that came inside an authenticated message.

    Raises:
        RemoteProtocolError: "wire" on the form; "manifest" when the stream doesn't begin at
            box 0 or the media type is none; "capability" or "point" when it reads no stream.
    """
    manifest = _CODEC.decode(data)
    if reader(manifest, network).index or not _MEDIA_TYPE.fullmatch(manifest.media_type):
        raise RemoteProtocolError("manifest")
    return manifest


def reader(manifest: Manifest, network: bytes) -> ReadCapability:
    """Return what reads the file's boxes; raises as :meth:`ReadCapability.parse`."""
    return ReadCapability.parse(manifest.capability, network)


def safe_name(name: str) -> str:
    """Return ``name`` as one component of a path that is safe on every common system.

    Signs that separate paths, steer a shell or can't be seen become ``_`` or vanish; dots and
    blanks at either end go (hidden files, ``..``, what Windows drops), and what begins an
    option or a home directory; device names of Windows get a ``_`` in front; it is in NFC, and
    cut to NAME_LIMIT bytes before its ending. Never empty; safe names stay as they are.
    """
    seen = "".join(
        "_" if sign in _UNSAFE else sign
        for sign in name
        if unicodedata.category(sign) not in _UNSEEN
    )
    safe = unicodedata.normalize("NFC", seen).lstrip(_BLANK + "-~").rstrip(_BLANK)
    safe = _cut(safe) or UNNAMED
    return _cut("_" + safe) if _RESERVED.match(safe) else safe


def _cut(name: str) -> str:
    """Cut before the ending until ``name`` fits, between whole signs."""
    if len(name.encode()) <= NAME_LIMIT:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len((dot + ending).encode()) > _ENDING:
        stem, dot, ending = name, "", ""
    room = NAME_LIMIT - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(_BLANK) + dot + ending
