"""What a relay asks of its store: operations, their outcomes, and the store's contract.

::

    ServiceDesk ── Access(ticket, operation) ──► driver ── execute([…], now) ──► Store
    ServiceDesk ◄── stored(ticket, outcome) ──── driver ◄── [outcome, …] ─────── one transaction

    box      one record at an address, by whoever holds its key; first write wins, and a
             tombstone replaces it and stays; kept to the end of its day + 14
    entry    one of many records at an inbox's address, by anybody; numbered; kept to ``expires``

Operations come checked: signatures, days, work and rank are the desk's business, and a store
looks at nothing but the fields. It never evicts what it has acknowledged, except for expiry,
a tombstone, a release, or an inbox's higher effort (Tor proposal 327). Entries cost nothing
where there is room, so their number in all is capped: they never keep paid boxes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from shoal_protocol import crypto
from shoal_protocol.service.messages import Status
from shoal_protocol.values import value

NAME_LENGTH: Final = 16  # bytes; a record's name; spec: service §4
NUMBER_BITS: Final = 20  # of an entry's number count entries; the rest, when the inbox began (ms)
MAX_NUMBER: Final = 2**63 - 1  # of entries; cursors and floors of operations are no higher
MAX_ENTRIES: Final = 65_536  # in all inboxes: 128 MiB; a store has room for as many boxes at least
MAX_EXPIRED: Final = 1000  # rows that one Expire drops at most


def name_of(record: bytes) -> bytes:
    """Return the 16 bytes by which a record is known as the same again."""
    return crypto.digest(record, size=NAME_LENGTH)


class Kind(IntEnum):
    """What lies at an address; the order of a :class:`Scan`."""

    BOX = 0
    TOMBSTONE = 1  # in the place of the box
    ENTRY = 2


@dataclass(frozen=True, slots=True)
class PutBox:
    """Keep ``record`` (2,048 bytes) at ``address``; outcome: :class:`Status`.

    OK: kept, or the same bytes were there; or a tombstone, which replaces a box, and leaves
    an earlier tombstone as it is. TAKEN: other bytes, or a tombstone, are there. FULL: there
    is no room for one more; a tombstone in the place of a box needs none.

    ``effort`` and ``nonce`` (8 bytes) are the price paid, kept for handing the box on.
    """

    address: bytes
    day: int
    tombstone: bool
    record: bytes
    effort: int
    nonce: bytes


@value
class GetBox:
    """Outcome: the record at ``address``, a box or a tombstone, or None."""

    address: bytes


@dataclass(frozen=True, slots=True)
class PutEntry:
    """Keep ``record`` (2,048 bytes) in the inbox at ``address``; outcome: PutEntryOutcome.

    An entry of the same ``name`` (16 bytes, :func:`name_of`) there: OK, and nothing changes.
    With ``inbox_entries`` in the inbox, MAX_ENTRIES in all, or no room in the store, the
    inbox's entry of least effort, the oldest of equals, gives way to one of higher effort;
    else FULL.

    The number is one above the inbox's last. An inbox without entries may be forgotten; begun
    anew its numbers begin above ``max(now in ms, …) << NUMBER_BITS`` and above every number
    ever given at this address, also when the store was closed in between or the clock went
    back. All fit 63 bits. ``expires`` is ns since the epoch.
    """

    address: bytes
    name: bytes
    record: bytes
    effort: int
    nonce: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class PutEntryOutcome:
    """``number`` is that of the new entry, and 0 where there is none: it was there, or FULL."""

    status: Status
    number: int


@dataclass(frozen=True, slots=True)
class GetEntry:
    """Outcome: the :class:`Entry` of least number beyond ``cursor`` in the inbox, or None."""

    address: bytes
    cursor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; ``last`` is the highest number that its inbox has given.

    ``effort`` and ``nonce`` (8 bytes) are what it paid.
    """

    number: int
    record: bytes
    last: int
    effort: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """Drop the inbox's entries numbered up to ``floor``; outcome: None."""

    address: bytes
    floor: int


@dataclass(frozen=True, slots=True)
class Expire:
    """Drop what is over; outcome: how many rows went, at most :data:`MAX_EXPIRED`.

    Entries with ``expires`` ≤ ``now`` (ns), boxes and tombstones with day + 14 < ``today``.
    """

    now: int
    today: int


@dataclass(frozen=True, slots=True)
class Item:
    """Names a stored record; ``name`` is its :func:`name_of`."""

    kind: Kind
    address: bytes
    name: bytes

    def position(self) -> bytes:
        """Return 49 bytes whose order is that of (address, kind, name): a scan's ``after``."""
        return self.address + bytes((self.kind,)) + self.name


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored record with what handing it on needs.

    Args:
        item: what and where.
        effort, nonce: the price that was paid for it.
        day: a box's or tombstone's, else 0.
        expires: an entry's end in ns, else 0.
    """

    item: Item
    record: bytes
    effort: int
    nonce: bytes
    day: int = 0
    expires: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """Outcome: the first ``limit`` of what lies behind ``after``, a tuple of :class:`Stored`.

    In the order of :meth:`Item.position`; an empty ``after`` begins at the beginning, and
    fewer than ``limit`` come at the end only.
    """

    after: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Outcome: those of ``items`` that this store could take, in their order, as a tuple.

    A box is missing where neither a box nor a tombstone is at its address, whatever its name;
    a tombstone where none is; an entry where none of its name is in the inbox.
    """

    items: tuple[Item, ...]


Operation = PutBox | GetBox | PutEntry | GetEntry | Release | Expire | Scan | Missing
Outcome = (
    Status | PutEntryOutcome | Entry | bytes | int | tuple[Stored, ...] | tuple[Item, ...] | None
)
WRITES: Final = (PutBox, PutEntry, Release, Expire)  # operations that may change something


class Store(Protocol):
    """Keeps boxes and entries."""

    @property
    def instance(self) -> bytes:
        """16 random bytes that name this store; cursors mean nothing in another.

        It lasts as long as the numbers that the store has given.
        """
        ...

    def execute(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        """Perform ``operations`` in order as one transaction that is durable on return.

        Each sees what those before it did. Raises StoreFull when the disk has no room and
        StoreFailed when the store cannot be read or written; then nothing of it has happened,
        and the caller may try the operations again, each alone: those that read or drop.
        """
        ...
