"""What nodes ask one another, on ``/shoal/dht/1``.

::

    frame    = u32 length ‖ exchange          length-prefixed by the transport, ≤ 65,536
    exchange = u32 request id, big-endian ‖ message
    message  = msgpack array [tag, field, …]  ≤ MESSAGE_LIMIT

    request            reply
    0 Ping(address)    0 Pong
    1 FindNode(target) 1 Nodes(contacts ≤ 20)
    2 FindValue(key)   1 Nodes(contacts ≤ 20) or 2 Value(record)
    3 Store(record)    3 Stored(status)

The side that opened a channel asks on it and the other answers; ids are the asker's and come
back as they are. Nothing here needs a signature: the channel authenticates both ends, and
records carry their own. spec: dht §2
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.dht import contacts
from shoal_protocol.dht.contacts import KEY_LENGTH, Contact
from shoal_protocol.directory import addresses
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters

MESSAGE_LIMIT: Final = 8192  # bytes of an encoded message; spec: dht §2
CONTACTS_LIMIT: Final = 20  # contacts in one reply; spec: dht §2

_ID_LENGTH: Final = 4  # bytes
REQUEST_IDS: Final = 1 << (8 * _ID_LENGTH)

Key = Annotated[bytes, wire.exactly(KEY_LENGTH)]
Record = Annotated[bytes, wire.exactly(RECORD_LENGTH)]


class Status(IntEnum):
    """What became of a record that was to be stored."""

    STORED = 0
    HELD = 1  # these very bytes were here already
    STALE = 2  # another record with as high a revision is held
    FULL = 3  # no room for a key this far away
    FAR = 4  # others that this node knows are much nearer to the key
    BUSY = 5  # this peer puts too much; ask later
    REFUSED = 6  # the record doesn't verify, or its period is over or too far ahead


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? I serve at ``address`` (wire form), or serve nobody when it is empty."""

    address: Annotated[str, wire.Size(0, addresses.MAX_ADDRESS)] = ""


@dataclass(frozen=True, slots=True)
class FindNode:
    """Who is nearest to ``target``?"""

    target: Key


@dataclass(frozen=True, slots=True)
class FindValue:
    """The record under ``key``, or else who is nearest to it."""

    key: Key


@dataclass(frozen=True, slots=True)
class Store:
    """Keep this record; its key follows from its content."""

    record: Record


@dataclass(frozen=True, slots=True)
class Pong:
    """I am here."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nearest contacts known here, nearest first."""

    contacts: Annotated[tuple[Contact, ...], wire.Size(0, CONTACTS_LIMIT)]


@dataclass(frozen=True, slots=True)
class Value:
    """The record held under the key asked for."""

    record: Record


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of the record: a :class:`Status`."""

    status: Annotated[int, wire.Range(0, max(Status))]


Request = Ping | FindNode | FindValue | Store
Reply = Pong | Nodes | Value | Stored

_REQUESTS: Final = wire.Codec[Request](Ping, FindNode, FindValue, Store, limit=MESSAGE_LIMIT)
_REPLIES: Final = wire.Codec[Reply](Pong, Nodes, Value, Stored, limit=MESSAGE_LIMIT)
_EXPECTED: Final[dict[type[Request], tuple[type[Reply], ...]]] = {
    Ping: (Pong,),
    FindNode: (Nodes,),
    FindValue: (Nodes, Value),
    Store: (Stored,),
}


def encode_request(request: Request) -> bytes:
    """Return the message's bytes."""
    return _REQUESTS.encode(request)


def decode_request(data: bytes) -> Request:
    """Return the request; raises RemoteProtocolError("wire") on anything else."""
    return _REQUESTS.decode(data)


def encode_reply(reply: Reply) -> bytes:
    """Return the message's bytes."""
    return _REPLIES.encode(reply)


def decode_reply(request: Request, data: bytes, parameters: NetworkParameters) -> Reply:
    """Return the reply to ``request``.

    Raises:
        RemoteProtocolError: "wire", "dht reply" (an answer to another question), or
            "address form" or "address private" (see ``contacts.check``).
    """
    reply = _REPLIES.decode(data)
    if not isinstance(reply, _EXPECTED[type(request)]):
        raise RemoteProtocolError("dht reply")
    if isinstance(reply, Nodes):
        for contact in reply.contacts:
            contacts.check(contact, parameters)
    return reply


def join(request_id: int, message: bytes) -> bytes:
    """Return the exchange that carries ``message``; ``request_id`` below REQUEST_IDS."""
    return request_id.to_bytes(_ID_LENGTH, "big") + message


def split(exchange: bytes) -> tuple[int, bytes]:
    """Return (request id, message) of an exchange.

    Raises:
        RemoteProtocolError: "dht frame", when it is no longer than an id or too long.
    """
    if not _ID_LENGTH < len(exchange) <= _ID_LENGTH + MESSAGE_LIMIT:
        raise RemoteProtocolError("dht frame")
    return int.from_bytes(exchange[:_ID_LENGTH], "big"), exchange[_ID_LENGTH:]
