"""What one box, or the text of a first contact, says to the other side; spec: client §6.

::

    struct parcel {                  // big-endian; inside the session's ratchet
        u8  type;                    // 0 acknowledgement alone, 1 the same and asks for one,
                                     // 2 text, 3 rich, 4 profile, 5 receipt (contents.py)
        u32 ack_next;                // every box below it of the other direction has come
        u64 ack_bits;                // bit i: box ack_next + 1 + i has come
        u8  line[8];                 // the sender's numbering of this conversation
        u32 number;                  // of the message in that line; 0 for types 0 and 1
        u32 least;                   // no message with a number below it comes any more
        u64 created;                 // ns since the epoch, the sender's claim
        u16 part; u16 parts;         // of the message
        u8  data[];                  // this part of the message's content
    }

Boxes have their place in a stream and messages their number in a line: however boxes come,
and over however many sessions, messages are shown once and in the order of their numbers. A type
that a later version may bring is numbered and not shown, so that nothing waits for it.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from shoal_protocol.errors import RemoteProtocolError

_HEAD: Final = struct.Struct(">BIQ8sIIQHH")
HEAD_LENGTH: Final = _HEAD.size  # bytes
LINE_LENGTH: Final = 8  # bytes
ACK_WINDOW: Final = 64  # boxes beyond ack_next that an acknowledgement can name
MAX_PARTS: Final = 64  # of one message
MAX_NUMBER: Final = 2**32 - 2  # of a message: the one shown next has a number, too
MAX_TIME: Final = 2**63 - 1  # ns; what a store can hold


class Kind(IntEnum):
    """What a parcel carries beside acknowledgements."""

    ACK = 0
    NUDGE = 1
    TEXT = 2
    RICH = 3
    PROFILE = 4
    RECEIPT = 5


@dataclass(frozen=True, slots=True)
class Acks:
    """What has come: every index below ``next``, and those whose bit is set."""

    next: int = 0
    bits: int = 0

    def covers(self, index: int) -> bool:
        """Whether the box at ``index`` has come."""
        beyond = index - self.next - 1
        return index < self.next or (0 <= beyond < ACK_WINDOW and bool(self.bits >> beyond & 1))

    def within(self, index: int) -> bool:
        """Whether ``index`` is one that these acknowledgements could name."""
        return index <= self.next + ACK_WINDOW

    def plus(self, index: int) -> "Acks":
        """Return these with ``index``, which is :meth:`within` them."""
        if self.covers(index):
            return self
        if index > self.next:
            return Acks(self.next, self.bits | 1 << (index - self.next - 1))
        upto, bits = self.next + 1, self.bits
        while bits & 1:
            bits >>= 1
            upto += 1
        return Acks(upto, bits >> 1)

    def gaps(self) -> list[int]:
        """Return the indices that have not come though later ones have."""
        return [
            i for i in range(self.next, self.next + self.bits.bit_length()) if not self.covers(i)
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message; ``kind`` is TEXT or beyond, known here or not."""

    kind: int
    number: int
    created: int
    part: int
    parts: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Parcel:
    """Acknowledgements, the sender's line, and a part of a message or None."""

    acks: Acks
    line: bytes
    least: int
    part: Part | None
    nudge: bool = False

    @property
    def wants_ack(self) -> bool:
        """Whether the sender waits for an acknowledgement of this."""
        return self.part is not None or self.nudge


def encode(parcel: Parcel) -> bytes:
    """Return the bytes of ``struct parcel``."""
    acks, part = parcel.acks, parcel.part
    if part is None:
        kind = Kind.NUDGE if parcel.nudge else Kind.ACK
        return _HEAD.pack(kind, acks.next, acks.bits, parcel.line, 0, parcel.least, 0, 0, 0)
    head = _HEAD.pack(
        part.kind,
        acks.next,
        acks.bits,
        parcel.line,
        part.number,
        parcel.least,
        part.created,
        part.part,
        part.parts,
    )
    return head + part.data


def decode(data: bytes) -> Parcel:
    """Parse a parcel that was authenticated; raises RemoteProtocolError("parcel")."""
    if len(data) < HEAD_LENGTH:
        raise RemoteProtocolError("parcel")
    kind, ack_next, bits, line, number, least, created, part, parts = _HEAD.unpack_from(data)
    acks, rest = Acks(ack_next, bits), data[HEAD_LENGTH:]
    if kind in (Kind.ACK, Kind.NUDGE):
        if number or created or part or parts or rest:
            raise RemoteProtocolError("parcel")
        return Parcel(acks, line, least, None, kind == Kind.NUDGE)
    if not part < parts <= MAX_PARTS or not least <= number <= MAX_NUMBER or created > MAX_TIME:
        raise RemoteProtocolError("parcel")
    return Parcel(acks, line, least, Part(kind, number, created, part, parts, rest))


def split(data: bytes, size: int) -> list[bytes]:
    """Cut ``data`` into parts of ``size`` bytes, the last shorter; at least one part."""
    return [data[at : at + size] for at in range(0, max(len(data), 1), size)]
