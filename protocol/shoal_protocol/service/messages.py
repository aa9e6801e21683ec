"""Requests to a relay through the onion and their replies; spec: service §2, §3.

The body of a forward packet's payload (all integers big-endian)::

    struct request_body {              // 2,640 bytes
        u8  type; u8 version; u8 zero[2];
        u32 wait_ms;                   // GET of a box or inbox: how long it may wait
        u64 cursor;                    // INBOX_GET: an entry beyond this number is asked for
        u64 floor;                     // INBOX_GET: entries up to this number may go
        u8  zero2[8];                  // request: 32 in all
        u8  surb[464];
        u8  price_scheme; u8 effort; u8 zero3[6]; u8 nonce[8]; u8 zero4[80];   // price: 96
        u8  record[2048];
    }

    struct reply_body {                // 2,640 bytes
        u8  status; u8 version;
        u8  effort;                    // an entry's work, as it was put
        u8  zero;
        u32 remaining;                 // entries behind this one
        u64 cursor;                    // this entry's number
        u8  instance[16];              // the store that the cursor belongs to; reply: 32
        u8  record[2048];
        u8  nonce[8];                  // of that work
        u8  zero2[552];
    }

    struct get_record {                // in request_body.record of an inbox GET
        u8 address[32]; u8 instance[16]; u8 nonce[16]; u8 signature[64]; u8 zero[1920];
    }
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.constants import RECORD_LENGTH, RELAY_ID_LENGTH
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.values import value

BODY_LENGTH: Final = 2640  # bytes of a payload behind its tag; spec: packet §1
SURB_LENGTH: Final = 464  # bytes; spec: packet §5
INSTANCE_LENGTH: Final = 16  # bytes
DHT_KEY_LENGTH: Final = 32  # bytes, what a DHT_GET's record begins with; the rest is zero
ADDRESS_LENGTH: Final = 32  # bytes, what a PUT's or BOX_GET's record begins with
MAX_REMAINING: Final = 2**32 - 1  # what a reply can say lies behind its entry
VERSION: Final = 1

_REQUEST: Final = struct.Struct(">BB2sIQQ8s")
_PRICE: Final = struct.Struct(">BB6s8s80s")
_REPLY: Final = struct.Struct(">BBBBIQ16s")
_GET: Final = struct.Struct("32s16s16s64s")
_GET_PADDING: Final = bytes(RECORD_LENGTH - _GET.size)
_NONCE_LENGTH: Final = 8
_REPLY_NONCE_AT: Final = _REPLY.size + RECORD_LENGTH
_REPLY_PADDING: Final = bytes(BODY_LENGTH - _REPLY_NONCE_AT - _NONCE_LENGTH)
_SURB_AT: Final = _REQUEST.size
_PRICE_AT: Final = _SURB_AT + SURB_LENGTH
_RECORD_AT: Final = _PRICE_AT + _PRICE.size
EMPTY_RECORD: Final = bytes(RECORD_LENGTH)
_NO_NONCE: Final = bytes(_NONCE_LENGTH)
_ZEROS: Final = bytes(2 + 8 + 6 + 80)  # of a request: zero, zero2, zero3, zero4


class RequestType(IntEnum):
    """What is asked of the relay."""

    INBOX_PUT = 1
    INBOX_GET = 2
    DHT_PUT = 3
    DHT_GET = 4
    ECHO = 5  # answered at once and without effect: a decoy
    BOX_PUT = 6
    BOX_GET = 7
    VIEW = 8  # which relays it knows around a point; see ``sample``


_WAITING: Final = (RequestType.INBOX_GET, RequestType.BOX_GET)
_PAID: Final = (RequestType.INBOX_PUT, RequestType.BOX_PUT)
_UNUSED: Final = {  # how a type's record ends, if it does not use all of it
    RequestType.DHT_GET: bytes(RECORD_LENGTH - DHT_KEY_LENGTH),
    RequestType.BOX_GET: bytes(RECORD_LENGTH - ADDRESS_LENGTH),
    RequestType.ECHO: bytes(RECORD_LENGTH),
    RequestType.VIEW: bytes(RECORD_LENGTH - RELAY_ID_LENGTH),
}


_TYPES: Final = {int(kind): kind for kind in RequestType}


class Status(IntEnum):
    """How a request ended; every well-formed payload gets exactly one reply."""

    OK = 0
    EMPTY = 1  # the wait ended and nothing came
    NOT_FOUND = 2
    FULL = 3  # no room, on the disk or for this effort
    REFUSED = 4  # malformed, unsigned, unpaid, out of period
    WRONG_INSTANCE = 5  # the store began anew; the reply carries its instance
    NOT_RANKED = 6  # the address ranks this relay too low
    UNAVAILABLE = 7  # too busy, or the store failed
    TAKEN = 8  # other bytes lie at the box's address


_STATUSES: Final = {int(status): status for status in Status}


@value
class Request:
    """One request with the SURB (464 bytes) that its reply travels by."""

    type: RequestType
    surb: bytes
    record: bytes
    wait_ms: int = 0
    cursor: int = 0
    floor: int = 0
    effort: int = 0
    nonce: bytes = bytes(8)

    def encode(self) -> bytes:
        """Return the 2,640 bytes of ``request_body``."""
        return b"".join(
            (
                _REQUEST.pack(
                    self.type, VERSION, bytes(2), self.wait_ms, self.cursor, self.floor, bytes(8)
                ),
                self.surb,
                _PRICE.pack(1 if self.effort else 0, self.effort, bytes(6), self.nonce, bytes(80)),
                self.record,
            )
        )


@value
class Reply:
    """One reply; ``record`` is 2,048 bytes, zeros where there is none.

    ``effort`` and ``nonce`` are what an inbox entry paid, as the relay says.
    """

    status: Status
    record: bytes = EMPTY_RECORD
    cursor: int = 0
    remaining: int = 0
    instance: bytes = bytes(INSTANCE_LENGTH)
    effort: int = 0
    nonce: bytes = bytes(_NONCE_LENGTH)

    def encode(self) -> bytes:
        """Return the 2,640 bytes of ``reply_body``."""
        head = _REPLY.pack(
            self.status, VERSION, self.effort, 0, self.remaining, self.cursor, self.instance
        )
        return head + self.record + self.nonce + _REPLY_PADDING


def surb_of(body: bytes) -> bytes:
    """Return the SURB of a request body, whatever the rest holds."""
    return body[_SURB_AT:_PRICE_AT]


def decode_request(body: bytes) -> Request:
    """Parse a request body; raises RemoteProtocolError("request").

    What a type does not use is zero: there is one form of each request, and no place in
    which a sender could leave a mark.
    """
    if len(body) != BODY_LENGTH:
        raise RemoteProtocolError("request")
    kind, version, zero, wait_ms, cursor, floor, zero2 = _REQUEST.unpack_from(body)
    scheme, effort, zero3, nonce, zero4 = _PRICE.unpack_from(body, _PRICE_AT)
    asked = _TYPES.get(kind)
    if asked is None or version != VERSION or scheme != (1 if effort else 0):
        raise RemoteProtocolError("request")
    if zero + zero2 + zero3 + zero4 != _ZEROS:
        raise RemoteProtocolError("request")
    request = Request(
        asked, body[_SURB_AT:_PRICE_AT], body[_RECORD_AT:], wait_ms, cursor, floor, effort, nonce
    )
    if wait_ms and asked not in _WAITING:
        raise RemoteProtocolError("request")
    if (cursor or floor) and asked is not RequestType.INBOX_GET:
        raise RemoteProtocolError("request")
    if nonce != _NO_NONCE if not effort else asked not in _PAID:
        raise RemoteProtocolError("request")
    if not request.record.endswith(_UNUSED.get(asked, b"")):
        raise RemoteProtocolError("request")
    return request


def decode_reply(body: bytes) -> Reply:
    """Parse a reply body; raises RemoteProtocolError("reply")."""
    if len(body) != BODY_LENGTH:
        raise RemoteProtocolError("reply")
    status, version, effort, zero, remaining, cursor, instance = _REPLY.unpack_from(body)
    record = body[_REPLY.size : _REPLY_NONCE_AT]
    nonce = body[_REPLY_NONCE_AT : _REPLY_NONCE_AT + _NONCE_LENGTH]
    said = _STATUSES.get(status)
    if said is None or version != VERSION or zero or not body.endswith(_REPLY_PADDING):
        raise RemoteProtocolError("reply")
    if not effort and nonce != _NO_NONCE:
        raise RemoteProtocolError("reply")
    return Reply(said, record, cursor, remaining, instance, effort, nonce)


@dataclass(frozen=True, slots=True)
class InboxQuery:
    """Who asks for which inbox of which store; signed by the inbox's daily key."""

    address: bytes
    instance: bytes
    nonce: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the 2,048 bytes of ``get_record``."""
        return _GET.pack(self.address, self.instance, self.nonce, self.signature) + _GET_PADDING


def query_message(
    address: bytes,
    relay: bytes,
    instance: bytes,
    nonce: bytes,
    question: tuple[int, int, int],
    network: bytes,
) -> bytes:
    """Return the 32 bytes that the inbox's daily key signs for one GET.

    ``relay`` (16 bytes) and ``instance`` bind it to one store of one relay; ``question`` is
    (wait_ms, cursor, floor).
    """
    numbers = struct.pack(">IQQ", *question)
    return crypto.kdf(b"inbox get", network, address, relay, instance, nonce, numbers)


def decode_query(request: Request, relay: bytes, network: bytes) -> InboxQuery:
    """Parse and verify the record of an INBOX_GET made for ``relay`` (16 bytes).

    Raises RemoteProtocolError, "request" on its form and "signature" on its signature.
    """
    address, instance, nonce, signature = _GET.unpack_from(request.record)
    if request.record[_GET.size :] != _GET_PADDING or request.floor > request.cursor:
        raise RemoteProtocolError("request")
    question = (request.wait_ms, request.cursor, request.floor)
    message = query_message(address, relay, instance, nonce, question, network)
    crypto.ed25519_verify(address, message, signature)
    return InboxQuery(address, instance, nonce, signature)
