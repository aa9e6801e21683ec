"""The values that cross the API: what a node is, sees, and holds of a person's.

::

    Status, PeerInfo, HopInfo                         the node and its network
    Persona ── Avatar                                 who the person is
      └── Contact ── Conversation ── Message ── File  whom they know, and what was said
    Invite, SearchHit, Link, Settings, LockState
    FileContent, Attachment, Picture                  answers that are bytes

They are rendered as JSON by ``schema``, from these types; a field's JSON name is its own
unless :class:`JsonName` says otherwise. Times are integers of nanoseconds here and RFC 3339
in JSON. Nothing here imports a web framework, so that the node's services can be built and
tested without one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias


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
AvatarKind: TypeAlias = Literal["drawn", "picture"]
LinkCode: TypeAlias = Literal[
    "contact", "file", "avatar", "name", "created", "hours", "preset", "guard", "style"
]
Language: TypeAlias = Literal["auto", "en", "zh"]
Theme: TypeAlias = Literal["auto", "light", "dark"]
PresetName: TypeAlias = Literal["saver", "balanced", "fast"]
LockName: TypeAlias = Literal["open", "locked", "empty"]
MonthState: TypeAlias = Literal["open", "leaving", "silent"]

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
class Month:
    """What a relay moved since its month began, both ways, as it weighs on the line."""

    limit_gb: float | None  # 10^9 bytes; None without a limit
    used_gb: float  # never too few
    ends: Time
    state: MonthState  # leaving: nothing new is taken; silent: no packets cross
    resumes: Time | None = None  # when it is open again by itself; None while it is open


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
    draining: str | None = None  # how far a relay is that was asked to go
    month: Month | None = None  # a relay's
    warnings: Sequence[str] = ()  # whole sentences for the user
    warning_codes: Sequence[str] = ()  # of a person's, in the same order, for other languages
    counters: Mapping[str, int] = field(default_factory=dict)  # by fixed labels, for operators


@dataclass(frozen=True, slots=True)
class Reach:
    """What others found at one address of a relay; docs/spec/dialback.md."""

    address: str  # without /p2p/
    reachable: bool | None  # None until enough relays have said
    misses: int  # rounds in a row in which nobody reached it


@dataclass(frozen=True, slots=True)
class ClockEvidence:
    """What time it is elsewhere, as the leases of other relays say."""

    ahead_s: float | None  # the network's time less ours, in steps; None where too few say it
    within_s: float  # how exact that is
    allowed_s: float  # how far off a relay may be
    networks: int  # apart, one relay of each
    refused: int  # leases that were out of time by our clock, from whomever


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What a running relay knows of its own place, for its operator alone."""

    reach: Sequence[Reach]
    looking: bool  # a round is under way
    looks: int  # rounds ended since the start
    clock: ClockEvidence
    newest: str | None  # software that relays of several networks run, the newest of it
    others: int  # relays known besides itself
    open_files: int | None
    file_limit: int | None
    files_needed: int  # descriptors, at the limits that are set


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
class Avatar:
    """How somebody looks: drawn from four numbers, or a picture of their own."""

    kind: AvatarKind
    drawn: Sequence[int] | None = None  # shape, color, pattern, mood: 0 to 255 each
    picture: str | None = field(default=None, repr=False)  # data:image/webp;base64,…


@dataclass(frozen=True, slots=True)
class Persona:
    """An identity on this machine; names and avatar None mean momo."""

    id: str
    pseudonym: str
    created: Time
    name: str | None = None  # in the person's own words
    drawn_name: Sequence[int] | None = None  # adjective and noun, indices of the page's lists
    avatar: Avatar | None = None
    expires: Time | None = None  # set for ephemeral ones that end at a known time
    ephemeral: bool = False
    receipts: bool = False  # whether reading is told, and told of: off at either end, neither


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody whom a persona knows by pseudonym."""

    id: str
    persona: str
    conversation: str  # where messages with this contact are
    pseudonym: str
    state: ContactState  # requested: by us; request: by them, not answered yet
    safety_code: str | None  # None until keys are agreed
    name: str | None = None  # the alias, or what they call themselves in their own words
    drawn_name: Sequence[int] | None = None
    avatar: Avatar | None = None
    alias: str | None = None  # what the person calls them; it never leaves this machine
    verified: bool = False  # the person has compared the safety code
    tag: str = ""  # four letters, the same at both ends, that mean nothing elsewhere
    invited: bool = False  # they came, or were met, by an invite
    price_bits: int | None = None  # bits of work that their request paid
    withheld: bool = False  # a request without a word: what they wrote comes once it is accepted
    lookalikes: Sequence[str] = ()  # other contacts of this persona whose name looks the same
    poses_as: Literal["me", "momo"] | None = None  # whom the words of its own name pass for


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes with a message, and how far it has come, in pieces of the wire."""

    name: str  # safe to save under: one component of a path
    size: int  # bytes
    media_type: str
    state: FileState  # whole: outgoing, every piece is stored; incoming, all of it is here
    done: int
    total: int  # 0 where nothing is on its way
    picture: bool = False  # it can be had as a picture once it is whole


@dataclass(frozen=True, slots=True)
class Reply:
    """What a message answers; a message that is not here any more has neither id nor text."""

    id: str | None
    outgoing: bool  # whether this node's person wrote it
    text: str | None = field(repr=False)  # its first 120 characters


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, either way."""

    id: str
    conversation: str
    persona: str
    sender: Annotated[str, JsonName("from")]  # pseudonym
    outgoing: bool
    text: str = field(repr=False)
    status: MessageState
    request: bool  # the first message of somebody whom the persona did not know
    created: Time  # outgoing: accepted by this node; incoming: the sender's claim
    received: Time | None  # incoming: this node had all of it; outgoing: None
    file: File | None = None
    reply_to: Reply | None = None
    expires_after: int | None = None  # s, from created here and from received at the other end
    expires: Time | None = None  # when it disappears here


@dataclass(frozen=True, slots=True)
class Conversation:
    """One persona's messages with one contact."""

    id: str
    persona: str
    contact: str
    pseudonym: str
    state: ContactState
    peer: Contact
    unread: int = 0  # incoming after the last that was marked as read
    last: Message | None = None
    expires_after: int | None = None  # s, for new messages that say nothing else


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


@dataclass(frozen=True, slots=True)
class Removed:
    """Something is gone: a message, or with None a conversation, or with two the persona."""

    persona: str
    conversation: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Invite:
    """A code that brings one person past the requests, once."""

    id: str
    code: str = field(repr=False)
    link: str = field(repr=False)
    qr_svg: str = field(repr=False)
    expires: Time
    used: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """A stranger whose request was ignored, who asks in vain for a while."""

    pseudonym: str
    until: Time


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message that holds what was looked for."""

    message: Message
    spans: Sequence[Sequence[int]]  # [start, end) of each place, in code points of the text


@dataclass(frozen=True, slots=True)
class Link:
    """What would let an observer take two personas for one person's."""

    code: LinkCode
    personas: Sequence[str]
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person chose; None where the node is locked and it is not known."""

    preset: PresetName
    language: Language
    theme: Theme
    receipts_default: bool | None  # of new personas
    fresh_persona: bool | None  # an ephemeral momo at each unlock
    persona_slots: int | None  # how many personas the page shows, 1 to 16


@dataclass(frozen=True, slots=True)
class LockState:
    """Whether the person's store is open; empty: it was erased, and the next is a fresh one."""

    state: LockName
    passphrase: bool  # it takes one to unlock


@dataclass(frozen=True, slots=True)
class Ticket:
    """What can be redeemed for the token, once and within its time."""

    ticket: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """What every other call has to bear."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file, with what the message says of it."""

    file: File
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes to be saved under a name."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that this node has decoded and encoded anew, as WebP."""

    content: bytes = field(repr=False)


EventData: TypeAlias = (
    Message | MessageStatus | Contact | NetworkState | Removed | Persona | LockState | Settings
)
EVENT_TYPES: Final[Mapping[type, str]] = {
    Message: "message",
    MessageStatus: "status",
    Contact: "contact",
    NetworkState: "network",
    Removed: "removed",
    Persona: "persona",
    LockState: "lock",
    Settings: "settings",
}
