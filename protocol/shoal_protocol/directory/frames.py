"""The frames of ``/shoal/directory/1``, in msgpack, each at most 65,536 bytes.

::

    relay to relay, once   Hello                     "I serve, pull from me and tell me news"
    puller ► server        Ask(root)    ─► Same | Buckets(bits, hashes) | Lists(0 bits, …)
                           List(bits, buckets)  ─► Lists(bits, buckets, items)
                           Want(whole, leases)  ─► Records(…)
    relay to relay         News(…)                   unasked, told on while it is new
    person ► relay         AskAges(after)       ─► Ages(watched, ages)   in networks with tenure
    relay to all           Unknown(tag)         to a frame of a later version; the channel stays

The server keeps no state between frames. A set of buckets is a bit map, lowest bit first.
spec: directory §6
"""

from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.directory import tree
from shoal_protocol.directory.descriptor import MAX_DESCRIPTOR
from shoal_protocol.directory.lease import LEASE_LENGTH
from shoal_protocol.directory.tree import Item

MAX_FRAME: Final = 65_536  # bytes; spec: directory §6
MAX_ITEMS: Final = 1_024  # of one Lists, about 45 KB
MAX_RECORDS: Final = 128  # of one frame; a frame of whole ones holds 85 to 128
MAX_PROOFS: Final = 16  # of one frame
MAX_WANTS: Final = 128  # ids of one Want
MAX_AGES: Final = 1_024  # of one Ages, about 22 KB

_Id = Annotated[bytes, wire.exactly(RELAY_ID_LENGTH)]
_Descriptor = Annotated[bytes, wire.Size(0, MAX_DESCRIPTOR)]
_Map = Annotated[bytes, wire.Size(1, (1 << tree.MAX_BITS) // 8)]
_Bits = Annotated[int, wire.Range(0, tree.MAX_BITS)]


@dataclass(frozen=True, slots=True)
class Record:
    """A relay's lease, with the descriptor before it unless the reader should have it."""

    descriptor: _Descriptor
    lease: Annotated[bytes, wire.exactly(LEASE_LENGTH)]


@dataclass(frozen=True, slots=True)
class Proof:
    """Two descriptors of one relay and version: both out."""

    first: _Descriptor
    second: _Descriptor


@dataclass(frozen=True, slots=True)
class Hello:
    """The sender is a relay: it answers, and wants to be told news."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What do you hold? ``root`` is the asker's own, or empty when it isn't to be known."""

    root: Annotated[bytes, wire.Size(0, tree.HASH_LENGTH)]


@dataclass(frozen=True, slots=True)
class Same:
    """The asker's root is the answerer's."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """2^``bits`` hashes of 16 bytes."""

    bits: _Bits
    hashes: Annotated[bytes, wire.Size(tree.HASH_LENGTH, tree.HASH_LENGTH << tree.MAX_BITS)]


@dataclass(frozen=True, slots=True)
class List:
    """List what you hold in these buckets."""

    bits: _Bits
    buckets: _Map


@dataclass(frozen=True, slots=True)
class Lists:
    """Items of ``buckets``, as many of those asked as fit, by ascending id."""

    bits: _Bits
    buckets: _Map
    items: Annotated[tuple[Item, ...], wire.Size(0, MAX_ITEMS)]


@dataclass(frozen=True, slots=True)
class Want:
    """Send me these relays' records: ``whole`` with the descriptor, ``leases`` without."""

    whole: Annotated[tuple[_Id, ...], wire.Size(0, MAX_WANTS)]
    leases: Annotated[tuple[_Id, ...], wire.Size(0, MAX_WANTS)]


@dataclass(frozen=True, slots=True)
class Records:
    """The answer to a Want: as many as fit."""

    records: Annotated[tuple[Record, ...], wire.Size(0, MAX_RECORDS)]
    proofs: Annotated[tuple[Proof, ...], wire.Size(0, MAX_PROOFS)]


@dataclass(frozen=True, slots=True)
class News:
    """Records that the sender has just learnt, or that the reader seems to lack."""

    records: Annotated[tuple[Record, ...], wire.Size(0, MAX_RECORDS)]
    proofs: Annotated[tuple[Proof, ...], wire.Size(0, MAX_PROOFS)]


@dataclass(frozen=True, slots=True)
class Age:
    """A relay that is there, and how long, in steps of ``role_age_s``."""

    relay_id: _Id
    steps: Annotated[int, wire.U16]


@dataclass(frozen=True, slots=True)
class AskAges:
    """How long have those been there whose ids come after ``after`` (empty: all)?"""

    after: Annotated[bytes, wire.Size(0, RELAY_ID_LENGTH)]


@dataclass(frozen=True, slots=True)
class Ages:
    """The next relays by ascending id; fewer than MAX_AGES are the last.

    ``watched``: how long the answerer itself has watched, in steps.
    """

    watched: Annotated[int, wire.U16]
    ages: Annotated[tuple[Age, ...], wire.Size(0, MAX_AGES)]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A relay does not know frames of ``tag``, which a later version may have: its answer."""

    tag: Annotated[int, wire.Range(0, wire.MOST_TAG)]


Frame = (
    Hello | Ask | Same | Buckets | List | Lists | Want | Records | News | AskAges | Ages | Unknown
)

CODEC: Final[wire.Codec[Frame]] = wire.Codec(
    *(Hello, Ask, Same, Buckets, List, Lists, Want, Records, News, AskAges, Ages, Unknown),
    limit=MAX_FRAME,
)


def to_map(buckets: set[int], bits: int) -> bytes:
    """Return the bit map of a set of buckets at ``bits`` bits."""
    value = sum(1 << bucket for bucket in buckets)
    return value.to_bytes(max(1, (1 << bits) // 8), "little")


def from_map(data: bytes, bits: int) -> set[int] | None:
    """Return the buckets in a bit map, or None if it isn't one of ``bits`` bits."""
    value = int.from_bytes(data, "little")
    if len(data) != max(1, (1 << bits) // 8) or value >> (1 << bits):
        return None
    return {bucket for bucket in range(1 << bits) if value >> bucket & 1}
