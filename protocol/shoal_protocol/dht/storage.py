"""What a node of the DHT keeps: verified announcements, the nearest to it when room is short.

::

    record ── same bytes held ──────────────────────────────► HELD, nothing is verified again
       └─ validate(record, now) ── refuses ─────────────────► RemoteProtocolError
              └─ as high a revision under the key is held ───► STALE
              └─ room, or some record is farther away ──────► STORED (the farthest goes)
              └─ else ──────────────────────────────────────► FULL

Nothing is evicted for being old: a flood of fresh records pushes out only what is farther
from this node than the flood is, and each of its keys costs the work that the validator
demands (T12). Records leave when their period does. Of two records with one revision the first
stays, or an owner could rewrite storers for ever on one piece of work. A record is found under
each of its keys, and is as far away as the nearest of them. spec: dht §4
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.dht.contacts import distance, keys_of
from shoal_protocol.dht.messages import Status
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng

RECORDS_MOST: Final = 16_384  # records at one node, 32 MiB of them; spec: dht §4
REPUBLISH_S: Final = 3600  # a record is put again to the nearest nodes so often; spec: dht §4
REPUBLISH_JITTER_S: Final = 900  # drawn on top, so that storers don't act at once; spec: dht §4
REPUBLISH_LATEST: Final = 2  # hearing a record puts one's own turn off to at most this many times

_DIGEST_LENGTH: Final = 16  # bytes


class Verified(Protocol):
    """What the validator says of a record."""

    @property
    def key(self) -> bytes:
        """The DHT key, 32 bytes, that the record's content gives."""
        ...

    @property
    def period(self) -> int:
        """The day that the record is for, as ``clock.index_of`` numbers days."""
        ...

    @property
    def revision(self) -> int:
        """Signed; the highest wins."""
        ...


Validate = Callable[[bytes, int], Verified]
"""validate(record, now): checks everything, or raises RemoteProtocolError."""


@dataclass(slots=True)
class _Entry:
    record: bytes
    period: int
    revision: int
    digest: bytes
    republished: int  # ns, when this node last put it or first got it
    due: int  # ns, when it is this node's turn


class RecordStore:
    """Records by key.

    Args:
        position: this node's, 32 bytes.
        validate: see :data:`Validate`.
        parameters: the network's: length of a day and how long a record outlives its own.
        rng: for the jitter of republishing.
        most: records held at once.
    """

    def __init__(
        self,
        position: bytes,
        validate: Validate,
        parameters: NetworkParameters,
        rng: Rng,
        most: int = RECORDS_MOST,
    ) -> None:
        self.validate: Final = validate
        self._position = position
        self._day_s = parameters.day_s
        self._behind = parameters.announce_days_behind
        self._keys = parameters.dht_keys
        self._rng = rng
        self._most = most
        self._entries: dict[bytes, _Entry] = {}
        self._first: dict[bytes, bytes] = {}  # the key of an entry, by each of its keys
        self._digests: dict[bytes, bytes] = {}
        self._farthest: list[tuple[int, bytes]] = []  # heap of (−distance, key), some gone

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def record_bytes(self) -> int:
        """Bytes of the records held."""
        return len(self._entries) * RECORD_LENGTH

    def holds(self, record: bytes, now: int) -> bool:
        """Whether these very bytes are held and current; puts off this node's own turn.

        Another storer just put the record again, so one's own turn may wait (Kademlia §2.5):
        but never longer than REPUBLISH_LATEST times the interval, or a stranger who repeats
        a record could keep it from ever reaching new nodes.
        """
        key = self._digests.get(crypto.digest(record, size=_DIGEST_LENGTH))
        if key is None:
            return False
        entry = self._entries[key]
        if self._is_over(entry.period, now):
            return False
        latest = entry.republished + REPUBLISH_LATEST * REPUBLISH_S * SECOND
        entry.due = max(entry.due, min(self._next_turn(now), latest))
        return True

    def put(self, record: bytes, now: int) -> Status:
        """Verify and keep a record.

        Returns:
            STORED, HELD, STALE or FULL.

        Raises:
            RemoteProtocolError: the validator's; nothing changed.
        """
        if len(record) == RECORD_LENGTH and self.holds(record, now):
            return Status.HELD
        return self.keep(record, self.validate(record, now), now)

    def keep(self, record: bytes, verified: Verified, now: int) -> Status:
        """Keep a record that the validator passed; as :meth:`put` otherwise."""
        key = verified.key
        held = self._entries.get(key)
        if held is not None:
            if held.record == record:
                return Status.HELD
            if held.revision >= verified.revision:
                return Status.STALE
        elif len(self._entries) >= self._most and not self._make_room(key):
            return Status.FULL
        self._insert(key, record, verified, now)
        return Status.STORED

    def get(self, key: bytes, now: int) -> bytes | None:
        """Return the record under any of its keys if it is held and its period isn't over."""
        entry = self._entries.get(self._first.get(key, key))
        if entry is None or self._is_over(entry.period, now):
            return None
        return entry.record

    def expire(self, now: int) -> int:
        """Let go of records whose period is over; returns how many."""
        over = [key for key, entry in self._entries.items() if self._is_over(entry.period, now)]
        for key in over:
            self._remove(key)
        return len(over)

    def due(self, now: int, most: int) -> list[tuple[bytes, bytes]]:
        """Return up to ``most`` (key, record) whose turn to be put again has come.

        Their next turn is drawn at once, so that a failed attempt isn't repeated in a loop.
        """
        turns: list[tuple[bytes, bytes]] = []
        for key, entry in self._entries.items():
            if len(turns) == most:
                break
            if entry.due <= now and not self._is_over(entry.period, now):
                entry.republished = now
                entry.due = self._next_turn(now)
                turns.append((key, entry.record))
        return turns

    def _is_over(self, period: int, now: int) -> bool:
        return now >= (period + 1 + self._behind) * self._day_s * SECOND

    def _next_turn(self, now: int) -> int:
        jitter = self._rng.below(REPUBLISH_JITTER_S * SECOND)
        return now + REPUBLISH_S * SECOND + jitter

    def _make_room(self, key: bytes) -> bool:
        """Drop the farthest record if ``key`` is nearer; returns whether there is room."""
        while self._farthest and self._farthest[0][1] not in self._entries:
            heapq.heappop(self._farthest)
        distance_farthest = -self._farthest[0][0]
        farthest = self._farthest[0][1]
        if self._distance(key) >= distance_farthest:
            return False
        self._remove(farthest)
        return True

    def _insert(self, key: bytes, record: bytes, verified: Verified, now: int) -> None:
        replaced = self._entries.get(key)
        if replaced is None:
            heapq.heappush(self._farthest, (-self._distance(key), key))
            self._first.update((each, key) for each in keys_of(key, self._keys))
        else:
            del self._digests[replaced.digest]
        digest = crypto.digest(record, size=_DIGEST_LENGTH)
        self._digests[digest] = key
        self._entries[key] = _Entry(
            record, verified.period, verified.revision, digest, now, self._next_turn(now)
        )

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key)
        del self._digests[entry.digest]
        for each in keys_of(key, self._keys):
            del self._first[each]
        if len(self._farthest) > 2 * len(self._entries) + self._most // 8:
            self._farthest = [(-self._distance(held), held) for held in self._entries]
            heapq.heapify(self._farthest)

    def _distance(self, key: bytes) -> int:
        """Return how far the nearest of a record's keys is from this node."""
        return min(distance(each, self._position) for each in keys_of(key, self._keys))
