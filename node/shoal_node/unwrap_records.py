"""What a relay and its unwrapping processes say to each other: records of fixed lengths.

::

    to the worker:  kind u8 │ index u8 │ count u16        then, by kind
                      KEY     epoch u64 │ network 32 │ private mix key 32
                      FORGET  nothing: the key of this index is gone
                      OPEN    count × packet, 3,072
    from it:        READY, one byte, once; then for each OPEN in turn   count × reply, 3,108
                      code u8 │ zero u8 │ delay ms u16 │ tag 16 │ next id 16 │ content 3,072

Nothing is pickled, and no length is read but ``count``, which has a bound. A refused packet has
a reply as long as any, zeros behind its code. Big-endian. spec: mix §5
"""

import enum
import struct
from collections.abc import Sequence
from typing import Final

from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.packets import keys
from shoal_protocol.packets.geometry import BODY_LENGTH, PACKET_LENGTH
from shoal_protocol.packets.unwrap import Exit, Forward, Opened, ToClient, open_checked

MAX_COUNT: Final = 64  # packets in one OPEN
READY: Final = b"R"
HEAD: Final = struct.Struct(">BBH")
REPLY_LENGTH: Final = 3_108  # bytes

_KEY: Final = struct.Struct(">Q32s32s")
_REPLY: Final = struct.Struct(">BxH16s16s")
_REASONS: Final = ("low-order point", "packet mac", "reserved bytes", "packet command")


class Kind(enum.IntEnum):
    """What a record to the worker is."""

    KEY = 1
    FORGET = 2
    OPEN = 3


class Code(enum.IntEnum):
    """What a reply tells of its packet; :data:`_REASONS` follow from ``REFUSED`` on."""

    FORWARD = 1
    EXIT = 2
    CLIENT = 3
    PAYLOAD_TAG = 4
    REFUSED = 16


def key_record(key: keys.OpeningKey) -> bytearray:
    """Return the record that gives a worker ``key``; the caller overwrites it when it is sent."""
    record = bytearray(HEAD.size + _KEY.size)
    HEAD.pack_into(record, 0, Kind.KEY, keys.index_of(key.epoch), 0)
    _KEY.pack_into(record, HEAD.size, key.epoch, key.network, key.private())
    return record


def read_key(data: bytes | bytearray, start: int) -> keys.OpeningKey:
    """Return the key in the body of a record at ``start``."""
    epoch, network, private = _KEY.unpack_from(data, start)
    return keys.OpeningKey(epoch, private, network)


def forget_record(index: int) -> bytes:
    """Return the record that takes the key of ``index`` away."""
    return HEAD.pack(Kind.FORGET, index, 0)


def open_record(packets: Sequence[bytes]) -> bytes:
    """Return the record that asks for 1 to :data:`MAX_COUNT` packets to be opened."""
    return b"".join((HEAD.pack(Kind.OPEN, 0, len(packets)), *packets))


def length_of(head: bytes | bytearray) -> int:
    """Return how many bytes the record has that begins with ``head``, 4 bytes.

    Raises LocalProtocolError: the other side is not ours.
    """
    kind, _, count = HEAD.unpack(head)
    if kind == Kind.KEY:
        return HEAD.size + _KEY.size
    if kind == Kind.FORGET:
        return HEAD.size
    if kind == Kind.OPEN and 0 < count <= MAX_COUNT:
        return HEAD.size + int(count) * PACKET_LENGTH
    raise LocalProtocolError("no record of a relay's")


def open_packet(packet: bytes, held: dict[int, keys.OpeningKey]) -> bytes:
    """Return the reply to one checked ``packet``, by the keys that a worker holds."""
    try:
        key = held.get(packet[1])
        if key is None:  # the relay lets no such packet through
            raise LocalProtocolError("a packet for a key that was not given")
        opened = open_checked(packet, key)
    except RemoteProtocolError as error:
        return bytes((Code.REFUSED + _REASONS.index(error.reason),)).ljust(REPLY_LENGTH, b"\0")
    match opened.asks:
        case None:
            head, content = _REPLY.pack(Code.PAYLOAD_TAG, 0, opened.tag, bytes(16)), b""
        case Exit(body, delay_ms):
            head, content = _REPLY.pack(Code.EXIT, delay_ms, opened.tag, bytes(16)), body
        case Forward(next_id, delay_ms, content):
            head = _REPLY.pack(Code.FORWARD, delay_ms, opened.tag, next_id)
        case ToClient(next_id, delay_ms, content):
            head = _REPLY.pack(Code.CLIENT, delay_ms, opened.tag, next_id)
    return head + content.ljust(PACKET_LENGTH, b"\0")


def read_reply(data: bytes | memoryview, start: int) -> Opened | RemoteProtocolError:
    """Return what :func:`open_checked` returned or raised, from the reply at ``start``.

    Raises LocalProtocolError: it is no reply.
    """
    code, delay_ms, tag, next_id = _REPLY.unpack_from(data, start)
    place = start + _REPLY.size
    if code == Code.FORWARD:
        return Opened(tag, Forward(next_id, delay_ms, bytes(data[place : start + REPLY_LENGTH])))
    if code == Code.EXIT:
        return Opened(tag, Exit(bytes(data[place : place + BODY_LENGTH]), delay_ms))
    if code == Code.CLIENT:
        return Opened(tag, ToClient(next_id, delay_ms, bytes(data[place : start + REPLY_LENGTH])))
    if code == Code.PAYLOAD_TAG:
        return Opened(tag, None)
    if 0 <= code - Code.REFUSED < len(_REASONS):
        return RemoteProtocolError(_REASONS[code - Code.REFUSED])
    raise LocalProtocolError("no reply of a worker's")
