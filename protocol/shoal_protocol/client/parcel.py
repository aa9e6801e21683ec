"""What one inbox entry says to the other side, under the session's encryption.

::

    struct parcel {                  // big-endian; spec: client §6
        u8  type;                    // 0 acknowledgement alone, 1 part of a text
        u32 sequence;                // of this part among all of this direction; 0 for type 0
        u32 ack_next;                // every sequence below it has come
        u64 ack_bits;                // bit i: ack_next + 1 + i has come
        u64 created;                 // ns since the epoch, the sender's claim
        u16 part; u16 parts;         // the parts of a message have sequences in a row
        u8  text[];                  // UTF-8 of this part
    }
"""

import struct
from dataclasses import dataclass
from typing import Final

from shoal_protocol.errors import RemoteProtocolError

_HEAD: Final = struct.Struct(">BIIQQHH")
HEAD_LENGTH: Final = _HEAD.size  # bytes
ACK_WINDOW: Final = 64  # sequences beyond ack_next that an acknowledgement can name
MAX_PARTS: Final = 64  # of one message

_ACK: Final = 0
_TEXT: Final = 1


@dataclass(frozen=True, slots=True)
class Acks:
    """What has come: every sequence below ``next``, and those whose bit is set."""

    next: int = 0
    bits: int = 0

    def covers(self, sequence: int) -> bool:
        """Whether ``sequence`` has come."""
        beyond = sequence - self.next - 1
        return sequence < self.next or (0 <= beyond < ACK_WINDOW and bool(self.bits >> beyond & 1))


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message."""

    sequence: int
    created: int
    part: int
    parts: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """Acknowledgements, and a part of a message or None."""

    acks: Acks
    part: Part | None


def encode(parcel: Parcel) -> bytes:
    """Return the bytes of ``struct parcel``."""
    acks, part = parcel.acks, parcel.part
    if part is None:
        return _HEAD.pack(_ACK, 0, acks.next, acks.bits, 0, 0, 0)
    head = _HEAD.pack(
        _TEXT,
        part.sequence,
        acks.next,
        acks.bits,
        part.created,
        part.part,
        part.parts,
    )
    return head + part.text


def decode(data: bytes) -> Parcel:
    """Parse a parcel that was authenticated; raises RemoteProtocolError("parcel")."""
    if len(data) < HEAD_LENGTH:
        raise RemoteProtocolError("parcel")
    kind, sequence, ack_next, bits, created, part, parts = _HEAD.unpack_from(data)
    acks = Acks(ack_next, bits)
    text = data[HEAD_LENGTH:]
    if kind == _ACK and not (sequence or created or part or parts or text):
        return Parcel(acks, None)
    if kind != _TEXT or not part < parts <= MAX_PARTS or part > sequence:
        raise RemoteProtocolError("parcel")
    return Parcel(acks, Part(sequence, created, part, parts, text))


def split(text: bytes, first: int, others: int) -> list[bytes]:
    """Cut ``text`` into parts of at most ``first``, then ``others`` bytes; at least one part."""
    parts = [text[:first]]
    parts += [text[at : at + others] for at in range(first, len(text), others)]
    return parts
