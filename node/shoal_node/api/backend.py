"""What the API needs of a running node: two protocols and the values that cross them.

::

    Backend                 every node: status, peers, events
    └── PersonBackend       a person's node: personas, contacts, conversations, messages, path

    UserError
    └── ApiError            carries the HTTP status; ``str()`` is the sentence for the user
        ├── BadRequest      400   the call is not understood
        ├── NotFound        404   no such persona, conversation, contact or message
        ├── Conflict        409   the node's state forbids it
        ├── Gone            410   events were asked for that are no longer kept
        ├── Unprocessable   422   understood, and not possible: a bad pseudonym, too long a text
        └── Unavailable     503   not ready yet, or a queue is full: try again

The values are rendered as JSON by ``schema``, from these types; a field's JSON name is its
own unless :class:`JsonName` says otherwise. Times are integers of nanoseconds here and
RFC 3339 in JSON. Nothing in this module imports a web framework, so that the node's
services can be built and tested without one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal, Protocol, TypeAlias

from shoal_node.api import events
from shoal_protocol.errors import UserError


@dataclass(frozen=True, slots=True)
class JsonName:
    """Names a field in JSON where Python cannot (``from``)."""

    name: str


@dataclass(frozen=True, slots=True)
class Rfc3339:
    """Marks an integer of nanoseconds since the Unix epoch that JSON shows as RFC 3339."""


Time: TypeAlias = Annotated[int, Rfc3339()]

Role: TypeAlias = Literal["person", "relay"]
MessageState: TypeAlias = Literal["queued", "stored", "fetched", "read", "failed"]
FileState: TypeAlias = Literal["waiting", "sending", "fetching", "whole", "failed"]
ContactState: TypeAlias = Literal["requested", "request", "accepted", "blocked"]
HopRole: TypeAlias = Literal["guard", "mix", "service"]

MESSAGE_STATES: Final[tuple[MessageState, ...]] = ("queued", "stored", "fetched", "read")


@dataclass(frozen=True, slots=True)
class Latency:
    """One-way latency, milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Dht:
    """What this node did with the DHT since it started."""

    announcements: int  # personas whose announcement for today is acknowledged
    lookups: int  # pseudonyms looked up, found or not
    lookup_ms_p50: float | None  # None before the first lookup


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a person's preset costs and gives, from the parameters; nothing of it is measured."""

    preset: str
    packets_per_s: float  # up, decoys included; each draws one down
    mean_delay_ms: int  # at each mix
    quick_share: float  # of packets that are answered at once; the rest wait
    waiting_gets: int  # of the person's own that may wait at once
    up_kb_per_s: float  # 10^3 bytes, packets alone
    down_kb_per_s: float
    gb_per_day: float  # 10^9 bytes, up and down
    link_ms: float  # what a link is taken to take
    latency_ms: Latency  # of a message, links included


@dataclass(frozen=True, slots=True)
class Status:
    """What the node sees. Unknown figures are None, never a guess."""

    ready: bool  # messages can be sent; for a relay: it mixes
    packet_bytes: int
    role: Role
    peer_id: str
    addrs: Sequence[str]  # multiaddrs with /p2p/, dialable as they stand
    reachable: bool
    relays: int  # relays in the directory view
    dht_peers: int
    crowd: int | None  # people, as many at balanced's pace, estimated from what relays say
    preset: str | None  # a relay has none
    queue: int  # messages or packets waiting to be sent
    version: str
    network: str
    entropy_bits: float | None = None  # of a message's sender, under the standard model
    expected_latency_ms: Latency | None = None
    traffic: Traffic | None = None  # a person's
    traffic_class: int | None = None  # a relay's own, as in its lease
    dht: Dht | None = None
    warnings: Sequence[str] = ()  # whole sentences for the user
    counters: Mapping[str, int] = field(default_factory=dict)  # by fixed labels, for operators


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A node that this one holds a link to."""

    relay_id: str  # 32 hex digits
    address: str
    role: Literal["guard", "relay", "person"]
    connected: bool
    since: Time | None


@dataclass(frozen=True, slots=True)
class HopInfo:
    """One hop of the latest envelope, as this node built it."""

    position: int  # 1 is the guard
    role: HopRole
    relay: str  # 32 hex digits
    address: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Persona:
    """An identity on this machine; name and avatar None mean momo."""

    id: str
    pseudonym: str
    created: Time
    name: str | None = None
    avatar: str | None = None
    expires: Time | None = None  # set for ephemeral ones that end at a known time
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody whom a persona knows by pseudonym."""

    id: str
    persona: str
    conversation: str  # where messages with this contact are
    pseudonym: str
    state: ContactState  # requested: by us; request: by them, not answered yet
    safety_code: str | None  # None until keys are agreed


@dataclass(frozen=True, slots=True)
class Conversation:
    """One persona's messages with one contact."""

    id: str
    persona: str
    contact: str
    pseudonym: str
    state: ContactState
    unread: int = 0


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes with a message, and how far it has come, in pieces of the wire."""

    name: str  # safe to save under: one component of a path
    size: int  # bytes
    media_type: str
    state: FileState  # whole: outgoing, every piece is stored; incoming, all of it is here
    done: int
    total: int  # 0 where nothing is on its way


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file, with what the message says of it."""

    file: File
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, either way."""

    id: str
    conversation: str
    persona: str
    sender: Annotated[str, JsonName("from")]  # pseudonym
    outgoing: bool
    text: str
    status: MessageState
    request: bool  # the first message of somebody whom the persona did not know
    created: Time  # outgoing: accepted by this node; incoming: the sender's claim
    received: Time | None  # incoming: this node had all of it; outgoing: None
    file: File | None = None


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """An outgoing message moved on, or the file of a message either way."""

    id: str
    conversation: str
    persona: str
    status: MessageState
    file: File | None = None


@dataclass(frozen=True, slots=True)
class NetworkState:
    """The node's view of the network changed."""

    ready: bool
    relays: int
    queue: int


EventData: TypeAlias = Message | MessageStatus | Contact | NetworkState
EVENT_TYPES: Final[Mapping[type, str]] = {
    Message: "message",
    MessageStatus: "status",
    Contact: "contact",
    NetworkState: "network",
}
Hub: TypeAlias = events.Hub[EventData]


class ApiError(UserError):
    """A call that is answered with a problem document (RFC 9457)."""

    status: ClassVar[int]
    title: ClassVar[str]


class BadRequest(ApiError):
    """The call is not understood."""

    status = 400
    title = "Bad request"


class NotFound(ApiError):
    """What the call names does not exist here."""

    status = 404
    title = "Not found"


class Conflict(ApiError):
    """The node's present state forbids the call."""

    status = 409
    title = "Conflict"


class Gone(ApiError):
    """What the call asks for was kept once and is no more."""

    status = 410
    title = "Gone"


class Unprocessable(ApiError):
    """The call is understood and cannot be done as asked."""

    status = 422
    title = "Not possible"


class Unavailable(ApiError):
    """The node cannot do it at the moment; the same call may succeed later."""

    status = 503
    title = "Not available now"


class Backend(Protocol):
    """What every node answers. All methods return at once from memory."""

    @property
    def events(self) -> Hub:
        """The hub on which this node publishes :data:`EventData`."""

    def status(self) -> Status:
        """What the node sees now."""

    def peers(self) -> Sequence[PeerInfo]:
        """The nodes that this one holds, or tries to hold, links to."""


class PersonBackend(Backend, Protocol):
    """What a person's node answers beside; ids are opaque text made by the node.

    Every method that takes an id raises :class:`NotFound` when there is no such thing.
    """

    def path(self) -> Sequence[HopInfo]:
        """The hops of the latest envelope in order; empty before the first."""

    def personas(self) -> Sequence[Persona]:
        """All personas, oldest first."""

    async def create_persona(self, name: str | None, ephemeral: bool) -> Persona:
        """Make a persona and begin to announce it; raises Conflict when there are too many."""

    async def burn_persona(self, persona_id: str) -> None:
        """Forget the persona, its keys and its conversations for good."""

    def contacts(self, persona_id: str) -> Sequence[Contact]:
        """The persona's contacts, oldest first."""

    async def add_contact(self, persona_id: str, pseudonym: str) -> Contact:
        """Add a contact by pseudonym; adding the same again returns the one there is.

        Returns at once: looking the pseudonym up happens when the first message is sent.
        Raises Unprocessable for a text that is no pseudonym, or is the persona's own.
        """

    def conversations(self) -> Sequence[Conversation]:
        """All personas' conversations, oldest first."""

    def messages(self, conversation_id: str, before: str | None, limit: int) -> Sequence[Message]:
        """At most ``limit`` messages, newest last: the last ones, or those before an id."""

    async def send(self, conversation_id: str, text: str, idempotency_key: str | None) -> Message:
        """Queue a message and return it with status ``queued``; the text is kept exactly.

        The same key with the same conversation and text returns the first call's message
        (see ``idempotency``). Raises Conflict for the same key with anything else,
        Unprocessable for a text that is too long, Unavailable when the queue is full.
        """

    async def send_file(
        self,
        conversation_id: str,
        text: str,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> Message:
        """Queue a message with a file; ``text`` may be empty.

        The name is made safe, and a media type that is none becomes
        ``application/octet-stream``. Keys and errors as of :meth:`send`; the same key with
        the same text and content returns the first call's message.
        """

    async def file(self, conversation_id: str, message_id: str) -> FileContent:
        """Return a message's file: of one's own at any time, of others once it is whole.

        Raises NotFound for a message without a file, Conflict while it is not here.
        """
