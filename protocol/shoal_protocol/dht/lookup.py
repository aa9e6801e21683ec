"""What a node does in the DHT: joins, puts, gets, and keeps its table and records in order.

::

    bootstrap(contacts) ─► walk to the own position ─► look into each range further away ─► ping
    put(record) ─► verify ─► for each of its keys: walk there ─► Store at the k nearest
    get(key)    ─► for each of its keys: walk; best of QUORUM verified ─► the best is Found
                                                     └► repair(Found) gives it to laggards
    introduce(contacts) ─► ping those that would find room
    greet()     ─► ping those that asked to be dialled
    maintain()  ─► expire, greet, ping doubtful contacts, look into quiet ranges, put records again

All of them are coroutines that yield ``calls.Calls`` and are stepped by a driver. A contact
enters the table only here, when a call to it was answered rightly. No node puts or gets a
pseudonym's record for a person from that person's own address: a relay does it for a SURB
(protocol, "Kademlia DHT and announcements"). spec: dht §5
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from shoal_protocol.dht import contacts, crawl, messages, routing
from shoal_protocol.dht.calls import Call, Calls
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.dht.crawl import Shown
from shoal_protocol.dht.messages import Status
from shoal_protocol.dht.routing import Table
from shoal_protocol.dht.storage import RecordStore
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng

RECORDS_A_TURN: Final = 8  # records put again in one call of ``maintain``; spec: dht §4
CHECKS_A_TURN: Final = 32  # contacts pinged in one call of ``maintain``; spec: dht §3

ENOUGH: Final = (
    crawl.QUORUM
)  # holders, below which a relay doesn't call a record kept; spec: dht §7

_SAFE: Final = frozenset({Status.STORED, Status.HELD})


@dataclass(frozen=True, slots=True)
class Found:
    """The best verified record, what finding it took, and who should be given it."""

    key: bytes
    record: bytes
    rounds: int
    calls: int
    lagging: tuple[Contact, ...]


def admit_all(contact: Contact) -> bool:
    """The rule of a network without rules about who may serve the DHT."""
    return True


class Lookups:
    """One node's operations over its ``table`` and ``store``.

    Args:
        parameters: the network's: k, α.
        rng: draws targets and samples.
        address: where this node serves, in wire form; told to those it pings.
        admit: whether a contact may be dialled and stand in the table at all: the relays of
            the directory that serve, in a network with such rules.

    ``counters``: calls, silent, refused, lookups, found, puts.
    """

    def __init__(
        self,
        table: Table,
        store: RecordStore,
        parameters: NetworkParameters,
        rng: Rng,
        address: str = "",
        admit: Callable[[Contact], bool] = admit_all,
    ) -> None:
        self.table: Final = table
        self.store: Final = store
        self.address = address
        self.counters: Counter[str] = Counter()
        self._own = table.own
        self._parameters = parameters
        self.apart: Final = parameters.distinct_subnets
        self._k = parameters.dht_k
        self._alpha = parameters.dht_alpha
        self._rng = rng
        self._admit = admit

    async def bootstrap(self, seeds: Iterable[Contact], now: int) -> int:
        """Join through any of ``seeds``; returns the number of contacts in the table."""
        neighbours = await self._walk(self._own, self._admitted(seeds), now)
        for target in self.table.far_ranges(self._rng):
            await self._walk(target, (), now)
        await self._ping(neighbours)
        return len(self.table)

    async def introduce(self, heard_of: Iterable[Contact], now: int) -> int:
        """Ping contacts of the relay directory that would find room; returns how many answered.

        At most k of them, drawn at random, so that a large directory comes in over several
        calls.
        """
        wanted = [contact for contact in heard_of if self.table.wants(contact)]
        return await self._ping(self._rng.sample(self._admitted(wanted), self._k))

    async def greet(self) -> int:
        """Ping contacts that asked to be dialled; returns how many answered."""
        return await self._ping(self._admitted(self.table.candidates(CHECKS_A_TURN)))

    async def nearest(self, target: bytes, now: int) -> list[Contact]:
        """Return the k nodes nearest to ``target`` (32 bytes) that answer, nearest first."""
        return await self._walk(target, (), now)

    async def get(self, key: bytes, now: int) -> Found | None:
        """Return the best verified record under ``key`` (32 bytes), or None.

        A record is as good as the k nodes nearest to one of its keys, or those of QUORUM
        that show it first: the highest signed revision among all of them wins. All keys are
        asked, always: whoever owns the places around one can show an old record there.
        """
        self.counters["lookups"] += 1
        held = self.store.get(key, now)
        local = None if held is None else self._verify(key, held, now)
        walks: list[tuple[crawl.ValueCrawl, Shown | None]] = []
        for place in contacts.keys_of(key, self._parameters.dht_keys):
            seeds = self.table.nearest(place, self._k)
            self.table.touch(place, now)
            walk = crawl.ValueCrawl(self, place, seeds, self._k, self._alpha, self._own, local)
            walks.append((walk, await walk.run()))
        shown = [best for _, best in walks if best is not None]
        if not shown:
            return None
        best = max(shown, key=lambda each: each.revision)
        self.counters["found"] += 1
        return Found(
            key,
            best.record,
            sum(walk.rounds for walk, _ in walks),
            sum(walk.calls for walk, _ in walks),
            tuple(contact for walk, _ in walks for contact in walk.lagging(best)),
        )

    async def repair(self, found: Found) -> int:
        """Give the record to nodes that lack it; returns how many took it."""
        return len(await self._store_at(found.lagging, found.record))

    async def put(self, record: bytes, now: int) -> int:
        """Store ``record`` at the k nodes nearest to each of its keys.

        Returns:
            The number of nodes, this one included, that hold it now.

        Raises:
            RemoteProtocolError: the record doesn't verify; nobody was asked.
        """
        return await self._spread(self.store.validate(record, now).key, record, now)

    async def maintain(self, now: int) -> None:
        """Do what is due: to be called every minute or so."""
        self.store.expire(now)
        self.prune()
        await self.greet()
        await self._ping(self.table.checks()[:CHECKS_A_TURN])
        for target in self.table.stale(now, self._rng):
            await self._walk(target, (), now)
        for key, record in self.store.due(now, RECORDS_A_TURN):
            await self._spread(key, record, now)

    def prune(self) -> None:
        """Let go of contacts that may not serve any more; for when the directory has changed."""
        self.table.keep(self._admit)

    def node_of(self, contact: Contact) -> Any | None:
        """Return the package's node for ``contact``; see ``crawl.Asker``."""
        return self.table.node_of(contact)

    def call_find_node(self, peer: Any, target: Any) -> Call:
        """Return the call of a node crawl; see ``crawl.Asker``."""
        return Call(routing.contact_of(peer), messages.FindNode(target.id))

    def call_find_value(self, peer: Any, target: Any) -> Call:
        """Return the call of a value crawl; see ``crawl.Asker``."""
        return Call(routing.contact_of(peer), messages.FindValue(target.id))

    def read(self, call: Call, reply: bytes | None, now: int) -> tuple[Contact, ...] | Shown | None:
        """Return what the reply to a crawl's call says; see ``crawl.Asker``."""
        match self._read(call, reply, now):
            case messages.Nodes(named):
                return tuple(self.table.known(contact) for contact in self._admitted(named))
            case Shown() as shown:
                return shown
            case None:
                return None
            case _:
                raise LocalProtocolError("a crawl asks for nodes and values only")

    def _read(
        self, call: Call, reply: bytes | None, now: int
    ) -> messages.Pong | messages.Nodes | messages.Stored | Shown | None:
        """Decode and verify a reply; the table learns whether the contact is sound."""
        self.counters["calls"] += 1
        if reply is None:
            self.counters["silent"] += 1
            self.table.failed(call.contact, now)
            return None
        try:
            message = messages.decode_reply(call.request, reply, self._parameters)
            if isinstance(message, messages.Value):
                assert isinstance(call.request, messages.FindValue)
                shown = self._verify(call.request.key, message.record, now)
                self.table.heard(call.contact, now)
                return shown
        except RemoteProtocolError:
            self.counters["refused"] += 1
            self.table.failed(call.contact, now)
            return None
        self.table.heard(call.contact, now)
        return message

    def _verify(self, key: bytes, record: bytes, now: int) -> Shown:
        verified = self.store.validate(record, now)
        if key not in contacts.keys_of(verified.key, self._parameters.dht_keys):
            raise RemoteProtocolError("dht key")
        return Shown(verified.revision, record)

    def _admitted(self, named: Iterable[Contact]) -> list[Contact]:
        return [contact for contact in named if self._admit(contact)]

    async def _walk(self, target: bytes, seeds: Iterable[Contact], now: int) -> list[Contact]:
        self.table.touch(target, now)
        known = [*self.table.nearest(target, self._k), *seeds]
        walk = crawl.NodeCrawl(self, target, known, self._k, self._alpha, self._own)
        return await walk.run()

    async def _ping(self, those: Iterable[Contact]) -> int:
        calls = tuple(Call(contact, messages.Ping(self.address)) for contact in those)
        if not calls:
            return 0
        answers = await Calls(calls)
        read = [
            self._read(call, reply, answers.now)
            for call, reply in zip(calls, answers.replies, strict=True)
        ]
        return sum(message is not None for message in read)

    async def _spread(self, key: bytes, record: bytes, now: int) -> int:
        """Put a record at each of its keys; return how many nodes hold it."""
        self.counters["puts"] += 1
        holders: set[bytes] = set()
        for place in contacts.keys_of(key, self._parameters.dht_keys):
            nearest = await self._walk(place, (), now)
            if self._is_near(place, nearest):
                nearest = nearest[: self._k - 1]
                if self.store.put(record, now) in _SAFE:
                    holders.add(self._own)
            holders |= await self._store_at(nearest, record)
        return len(holders)

    def _is_near(self, key: bytes, nearest: Iterable[Contact]) -> bool:
        """Whether this node is among the k nearest to ``key``, as ``nearest`` are otherwise."""
        own = contacts.distance(key, self._own)
        nodes = (self.table.node_of(contact) for contact in nearest)
        nearer = sum(node is not None and contacts.distance(key, node.id) < own for node in nodes)
        return nearer < self._k

    async def _store_at(self, those: Iterable[Contact], record: bytes) -> set[bytes]:
        """Store a record at these; return the public keys of those that hold it."""
        calls = tuple(Call(contact, messages.Store(record)) for contact in those)
        if not calls:
            return set()
        answers = await Calls(calls)
        holders: set[bytes] = set()
        for call, reply in zip(calls, answers.replies, strict=True):
            message = self._read(call, reply, answers.now)
            if isinstance(message, messages.Stored) and message.status in _SAFE:
                holders.add(call.contact.public_key)
        return holders
