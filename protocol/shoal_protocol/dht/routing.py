"""The routing table: the ``kademlia`` package's, over 256 bits, without a clock of its own.

::

    asked ──► candidates ──ping──┐
    heard ◄──────────────────────┘
      └─────► bucket of its range ── room ──► last place (most recently heard)
                   │ full, may split: two halves, again
                   └ full: into the replacements, and the bucket's head is to be checked
    checks ──ping──► answers: heard ──► last place, the newcomer waits
                     silent: failed twice ──► the newest replacement takes its place

Old live nodes stay: an attacker who floods a table with fresh identities gains nothing while
the old ones answer (Kademlia §2.2, §4.1). What differs from the package, all by overriding:
256-bit positions; bounds of buckets inclusive at both ends (its search is off by one); time
comes from the caller; the check of a full bucket's head is recorded, not started; neighbours
are the nearest of the whole table (it stops at the first k of a walk that isn't ordered by
distance); failures are counted; nothing is pickled. spec: dht §3
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

import heapq
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any, Final

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from shoal_protocol.clock import SECOND
from shoal_protocol.dht.contacts import KEY_BITS, KEY_LENGTH, Contact, Place, by_key
from shoal_protocol.directory import subnets
from shoal_protocol.rng import Rng

REFRESH_S: Final = 3600  # a bucket unheard of so long is looked into; spec: dht §3
CONTACTS_MOST: Final = 4096  # contacts in a table: no bucket splits beyond; spec: dht §3
REPLACEMENTS_PER_K: Final = 1  # replacements of a bucket, as a multiple of k; spec: dht §3
SPREAD_BITS: Final = 5  # b: buckets without the own position split to depths of b·n; spec: dht §3

CANDIDATES_MOST: Final = 256  # contacts that asked to be dialled and wait for it; spec: dht §3

_REPLACED_AFTER: Final = 2  # failures in a row, when a replacement waits; spec: dht §3
_DROPPED_AFTER: Final = 5  # failures in a row; spec: dht §3


def node_of(contact: Contact, position: bytes) -> Any:
    """Return the package's node for ``contact``: (position, public key, address)."""
    return Node(position, contact.public_key, contact.address)


def contact_of(node: Any) -> Contact:
    """Undo :func:`node_of`."""
    return Contact(node.ip, node.port)


def _address_of(node: Any) -> str:
    address: str = node.port
    return address


class Bucket(KBucket):  # type: ignore[misc]
    """Up to k nodes of one range of positions, least recently heard first."""

    def __init__(self, lower: int, upper: int, table: "Table") -> None:
        self._table = table
        super().__init__(lower, upper, table.ksize, REPLACEMENTS_PER_K)

    def touch_last_updated(self) -> None:
        """Note that this range was looked into; the table knows the time."""
        self.last_updated: int = self._table.now

    def split(self) -> "tuple[Bucket, Bucket]":
        """Return the two halves of this range with the nodes that belong there."""
        lower, upper = self.range
        middle = (lower + upper) // 2
        halves = Bucket(lower, middle, self._table), Bucket(middle + 1, upper, self._table)
        for half in halves:
            half.last_updated = self.last_updated
        for node in chain(self.nodes.values(), self.replacement_nodes.values()):
            (halves[0] if node.long_id <= middle else halves[1]).add_node(node)
        return halves

    def depth(self) -> int:
        """How many leading bits the positions of this range share."""
        width: int = self.range[1] - self.range[0]
        return KEY_BITS - width.bit_length()


class Table(RoutingTable):  # type: ignore[misc]
    """Contacts that answered an authenticated dial, around ``own``.

    Args:
        own: this node's position, 32 bytes; it is never in its own table.
        k: nodes in a bucket.
        now: nanoseconds since the Unix epoch.
        place: where contacts stand; those that stand nowhere are not taken.
        apart: whether of neighbours only the nearest in each /16 counts.
    """

    buckets: list[Bucket]

    def __init__(
        self, own: bytes, k: int, now: int, place: Place = by_key, *, apart: bool = False
    ) -> None:
        self.own: Final = own
        self.now = now
        self._place = place
        self._apart = apart
        self._failures: dict[bytes, int] = {}
        self._checks: dict[bytes, Any] = {}
        self._candidates: dict[bytes, Contact] = {}
        super().__init__(None, k, Node(own))

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self.buckets)

    def contacts(self) -> list[Contact]:
        """Return every contact, by position of its bucket."""
        return [contact_of(node) for node in self._nodes()]

    def node_of(self, contact: Contact) -> Any | None:
        """Return the package's node for ``contact``, or None if it stands nowhere."""
        position = self._place(contact)
        return None if position is None else node_of(contact, position)

    def keep(self, admit: Callable[[Contact], bool]) -> None:
        """Let go of whoever isn't admitted any more, or stands elsewhere now."""
        for bucket in self.buckets:
            for node in (*bucket.replacement_nodes.values(), *bucket.nodes.values()):
                contact = contact_of(node)
                if self._place(contact) != node.id or not admit(contact):
                    bucket.remove_node(node)
                    self._failures.pop(node.id, None)
                    self._checks.pop(node.id, None)

    def heard(self, contact: Contact, now: int) -> None:
        """Note an answer from ``contact``, whose key the dial authenticated."""
        self.now = now
        node = self.node_of(contact)
        if node is None or node.id == self.node.id:
            return
        self._failures.pop(node.id, None)
        self._checks.pop(node.id, None)
        self._candidates.pop(node.id, None)
        self.add_contact(node)

    def asked(self, contact: Contact) -> None:
        """Note that ``contact`` asks to be dialled; it stands in no bucket until it was."""
        position = self._place(contact)
        if position is not None and len(self._candidates) < CANDIDATES_MOST:
            self._candidates[position] = contact

    @property
    def has_candidates(self) -> bool:
        """Whether anybody waits to be dialled."""
        return bool(self._candidates)

    def candidates(self, most: int) -> list[Contact]:
        """Take out up to ``most`` contacts that wait to be dialled, longest waiting first."""
        taken = list(self._candidates)[:most]
        return [self._candidates.pop(position) for position in taken]

    def failed(self, contact: Contact, now: int) -> None:
        """Note that ``contact`` didn't answer, or answered with what no honest node sends.

        Only the address that the table holds counts: a false address that somebody spread
        must not speak against the node whose key it names.
        """
        self.now = now
        node = self.node_of(contact)
        if node is None:
            return
        bucket = self.buckets[self.get_bucket_for(node)]
        held = bucket[node.id]
        if held is None or not held.same_home_as(node):
            bucket.replacement_nodes.pop(node.id, None)
            return
        failures = self._failures.get(node.id, 0) + 1
        self._failures[node.id] = failures
        replaced = failures >= _REPLACED_AFTER and bucket.replacement_nodes
        if replaced or failures >= _DROPPED_AFTER:
            bucket.remove_node(node)
            self._failures.pop(node.id)
            self._checks.pop(node.id, None)

    def find(self, position: bytes) -> Contact | None:
        """Return the contact at ``position``, whose address answered, or None."""
        node = Node(position)
        held = self.buckets[self.get_bucket_for(node)][position]
        return None if held is None else contact_of(held)

    def known(self, contact: Contact) -> Contact:
        """Return the contact of the same key whose address answered, or ``contact``."""
        position = self._place(contact)
        return contact if position is None else self.find(position) or contact

    def wants(self, contact: Contact) -> bool:
        """Whether ``contact`` is new and would find room without pushing anybody out."""
        node = self.node_of(contact)
        if node is None:
            return False
        bucket = self.buckets[self.get_bucket_for(node)]
        if node.id == self.node.id or node.id in bucket.nodes:
            return False
        return len(bucket) < self.ksize or self._may_split(bucket)

    def nearest(self, target: bytes, count: int, exclude: bytes = b"") -> list[Contact]:
        """Return up to ``count`` contacts nearest to ``target``, nearest first.

        Contacts that failed last time are left out while there is any other.

        Args:
            target: a key or position of 32 bytes.
            exclude: the position of a node that needn't hear of itself.
        """
        goal = Node(target)
        sound = [n for n in self._nodes() if n.id not in self._failures and n.id != exclude]
        if not sound:
            sound = [n for n in self._nodes() if n.id != exclude]
        if self._apart:
            ordered = subnets.apart(sorted(sound, key=goal.distance_to), _address_of)
            return [contact_of(n) for n in islice(ordered, count)]
        return [contact_of(n) for n in heapq.nsmallest(count, sound, key=goal.distance_to)]

    def nearer_than_own(self, key: bytes) -> int:
        """Return how many sound contacts are nearer to ``key`` than this node is."""
        goal = Node(key)
        own = goal.distance_to(self.node)
        sound = (n for n in self._nodes() if n.id not in self._failures)
        nearer = (n for n in sound if goal.distance_to(n) < own)
        return sum(1 for _ in (subnets.apart(nearer, _address_of) if self._apart else nearer))

    def checks(self) -> list[Contact]:
        """Return who should be pinged: heads of full buckets, and contacts that failed."""
        failing = [n for n in self._nodes() if n.id in self._failures]
        nodes = {n.id: n for n in (*self._checks.values(), *failing)}
        return [contact_of(n) for n in nodes.values()]

    def stale(self, now: int, rng: Rng) -> list[bytes]:
        """Return a random position in each range that nothing was heard of for an hour."""
        self.now = now
        return self._draw(
            (b for b in self.buckets if b.last_updated < now - REFRESH_S * SECOND), rng
        )

    def far_ranges(self, rng: Rng) -> list[bytes]:
        """Return a random position in each range but the own one: what a newcomer looks into."""
        return self._draw((b for b in self.buckets if not b.has_in_range(self.node)), rng)

    def touch(self, target: bytes, now: int) -> None:
        """Note that a lookup of this node's went to ``target``."""
        self.now = now
        self.buckets[self.get_bucket_for(Node(target))].touch_last_updated()

    def flush(self) -> None:
        """Begin with one bucket of all positions."""
        self.buckets = [Bucket(0, (1 << KEY_BITS) - 1, self)]

    def get_bucket_for(self, node: Any) -> int:
        """Return the place of the bucket whose range, bounds included, holds ``node``."""
        low, high = 0, len(self.buckets) - 1
        while low < high:
            middle = (low + high) // 2
            if node.long_id <= self.buckets[middle].range[1]:
                high = middle
            else:
                low = middle + 1
        return low

    def add_contact(self, node: Any) -> None:
        """Place ``node``, splitting buckets as Kademlia §4.2 allows."""
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if bucket.add_node(node):
                return
            if not self._may_split(bucket):
                head = bucket.head()
                self._checks[head.id] = head
                return
            self.split_bucket(index)

    def _may_split(self, bucket: Bucket) -> bool:
        if len(self) >= CONTACTS_MOST or bucket.depth() >= KEY_BITS - 1:
            return False
        return bucket.has_in_range(self.node) or bucket.depth() % SPREAD_BITS != 0

    def _nodes(self) -> Iterable[Any]:
        for bucket in self.buckets:
            yield from bucket.nodes.values()

    def _draw(self, buckets: Iterable[Bucket], rng: Rng) -> list[bytes]:
        return [
            (b.range[0] + rng.below(b.range[1] - b.range[0] + 1)).to_bytes(KEY_LENGTH, "big")
            for b in buckets
        ]
