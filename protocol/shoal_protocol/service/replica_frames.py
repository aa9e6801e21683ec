"""The frames of ``/shoal/replica/1``, in msgpack, each at most 65,536 bytes.

::

    walker ► holder     Ask(number, items)      ─► Answer(number, HELD | ABSENT | LATER …)
    walker ► newcomer   Offer(number, items)    ─► Answer(number, ABSENT: "push it" …)
                        Push(number, records)   ─► Answer(number, HELD: committed …)

An Answer has one state for each item or record, in their order. Who opened a channel asks on
it, and the other answers on it; two relays that ask each other have two. spec: replication §3
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.pseudonyms.work import NONCE_LENGTH
from shoal_protocol.service import storage
from shoal_protocol.service.storage import Item, Kind, Stored

MAX_FRAME: Final = 65_536  # bytes; spec: replication §3
MAX_ITEMS: Final = 64  # named in one frame, about 3.5 KB
MAX_PUSHED: Final = 30  # records of one frame, about 62 KB

_ADDRESS_LENGTH: Final = 32  # bytes, which a record begins with; spec: service §1


class State(IntEnum):
    """How one item or record was answered."""

    HELD = 0  # it is here, durably; after a Push: committed
    ABSENT = 1  # to an Ask: it isn't here; to an Offer: push it
    LATER = 2  # somebody else is pushing it, or the allowance is spent: offer it again
    UNRANKED = 3  # in the answerer's directory it doesn't rank for the address
    REFUSED = 4  # its day isn't accepted, its time is over, or other bytes are at its address
    FULL = 5  # no room


@dataclass(frozen=True, slots=True)
class Named:
    """One stored record by its kind, address and name; see :class:`storage.Item`."""

    kind: Annotated[int, wire.Range(Kind.BOX, Kind.ENTRY)]
    address: Annotated[bytes, wire.exactly(_ADDRESS_LENGTH)]
    name: Annotated[bytes, wire.exactly(storage.NAME_LENGTH)]


@dataclass(frozen=True, slots=True)
class Pushed:
    """One record with the price that its writer paid; ``expires`` is an entry's end (ns) or 0."""

    kind: Annotated[int, wire.Range(Kind.BOX, Kind.ENTRY)]
    record: Annotated[bytes, wire.exactly(RECORD_LENGTH)]
    effort: Annotated[int, wire.U8]
    nonce: Annotated[bytes, wire.exactly(NONCE_LENGTH)]
    expires: Annotated[int, wire.U64]

    def item(self) -> Item:
        """Return what this record is stored as."""
        name = storage.name_of(self.record)
        return Item(Kind(self.kind), self.record[:_ADDRESS_LENGTH], name)


_Number = Annotated[int, wire.U32]
_Items = Annotated[tuple[Named, ...], wire.Size(1, MAX_ITEMS)]


@dataclass(frozen=True, slots=True)
class Ask:
    """Which of these do you hold?"""

    number: _Number
    items: _Items


@dataclass(frozen=True, slots=True)
class Offer:
    """Which of these do you want? You have come among those who keep them."""

    number: _Number
    items: _Items


@dataclass(frozen=True, slots=True)
class Push:
    """Records that the reader of an Offer called ABSENT."""

    number: _Number
    records: Annotated[tuple[Pushed, ...], wire.Size(1, MAX_PUSHED)]


@dataclass(frozen=True, slots=True)
class Answer:
    """``states``: one :class:`State` a byte."""

    number: _Number
    states: Annotated[bytes, wire.Size(1, MAX_ITEMS)]


Frame = Ask | Offer | Push | Answer
Request = Ask | Offer | Push

CODEC: Final[wire.Codec[Frame]] = wire.Codec(Ask, Offer, Push, Answer, limit=MAX_FRAME)

_ALLOWED: Final[dict[type[Request], frozenset[State]]] = {
    Ask: frozenset({State.HELD, State.ABSENT, State.LATER}),
    Offer: frozenset(State),
    Push: frozenset(State) - {State.ABSENT},
}


def name(item: Item) -> Named:
    """Return the wire form of ``item``."""
    return Named(item.kind, item.address, item.name)


def items_of(request: Request) -> tuple[Item, ...]:
    """Return what a request is about, in its order.

    Raises:
        RemoteProtocolError: "replica items", when one comes twice.
    """
    if isinstance(request, Push):
        items = tuple(pushed.item() for pushed in request.records)
    else:
        items = tuple(Item(Kind(i.kind), i.address, i.name) for i in request.items)
    if len({(item.address, item.name) for item in items}) != len(items):
        raise RemoteProtocolError("replica items")
    return items


def push(stored: Stored) -> Pushed:
    """Return the wire form of a stored record."""
    return Pushed(
        stored.item.kind, stored.record, stored.effort, stored.nonce, expires=stored.expires
    )


def states_of(answer: Answer, asked: type[Request], count: int) -> tuple[State, ...]:
    """Return the ``count`` states by which a request was answered.

    Raises:
        RemoteProtocolError: "replica answer" on another count, or a state that such a
            request can't have.
    """
    try:
        states = tuple(State(value) for value in answer.states)
    except ValueError:
        raise RemoteProtocolError("replica answer") from None
    if len(states) != count or not _ALLOWED[asked].issuperset(states):
        raise RemoteProtocolError("replica answer")
    return states
