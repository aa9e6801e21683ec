"""A relay's part in the DHT: the protocol's coroutines, stepped by the heap.

::

    Lookups ── Calls ──► each call: latency, the other's DhtServer, latency ──► Answers
                          no answer within TIME_OUT: None

Table, walks, storage and server are the real ones. What a relay keeps of the DHT is in its
memory: a crash loses it, and its owner's next announcement brings it back.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from shoal_protocol.clock import SECOND
from shoal_protocol.dht import contacts
from shoal_protocol.dht.calls import Answers, Call, Calls
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.dht.lookup import ENOUGH, Found, Lookups
from shoal_protocol.dht.members import Members
from shoal_protocol.dht.routing import Table
from shoal_protocol.dht.server import DhtServer
from shoal_protocol.dht.storage import RecordStore, Validate
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.rng import Rng
from shoal_protocol.service.messages import Reply, Status

T = TypeVar("T")
TIME_OUT: Final = 2 * SECOND
RETRY: Final = 60 * SECOND  # before a contact that didn't answer is tried again, at least
RETRIES: Final = 30  # in an epoch, at most
UPKEEPS: Final = 1  # in an epoch: less often than in a node, as it costs a run the most


class Host(Protocol):
    """A relay, as far as its part in the DHT goes."""

    @property
    def name(self) -> str:
        """Of its links."""
        ...

    @property
    def peer_id(self) -> bytes:
        """Its 38 bytes."""
        ...

    @property
    def public(self) -> bytes:
        """Its Ed25519 key."""
        ...

    @property
    def address(self) -> str:
        """Where it serves, in wire form."""
        ...

    @property
    def nonce(self) -> bytes:
        """Of its identity's work."""
        ...

    @property
    def view(self) -> DirectoryView:
        """Its directory, of this run."""
        ...

    def now(self) -> int:
        """Return its time, ns."""
        ...

    def later(self, delay: int, name: str, action: Callable[[], None], /) -> None:
        """Do ``action`` after ``delay`` ns if this run lasts so long."""
        ...

    def reach(self, peer_id: bytes) -> "Host | None":
        """Return the relay of this id if a dial reaches it."""
        ...

    def way(self, other: "Host") -> int:
        """Draw how long a message takes to ``other``, ns."""
        ...

    def serve(self, peer_id: bytes, message: bytes) -> bytes:
        """Answer a peer. Raises RemoteProtocolError: the channel closes."""
        ...


class DhtNode:
    """What one run of a relay has of the DHT.

    Args:
        validate: checks records; announcements unless something else stands for them.
    """

    def __init__(self, relay: Host, rng: Rng, validate: Validate | None = None) -> None:
        self._relay = relay
        params = relay.view.params
        self.contact: Final = Contact(relay.public, relay.address)
        solution = relay.nonce if params.descriptor_work_bits else b""
        position = contacts.position_of(relay.peer_id, solution)
        members = Members(relay.view, relay.now)
        self.table: Final = Table(
            position, params.dht_k, relay.now(), members.place, apart=params.distinct_subnets
        )
        validate = validate or partial(announcement.validate, params=params)
        self.store: Final = RecordStore(position, validate, params, rng)
        self.server: Final = DhtServer(self.table, self.store, params)
        self.lookups: Final = Lookups(
            self.table, self.store, params, rng, self.contact.address, members.admit
        )
        self._tried: dict[bytes, int] = {}
        self._upkeep = max(30, params.epoch_s // UPKEEPS) * SECOND
        relay.later(self._upkeep + rng.below(self._upkeep), "dht upkeep", self._maintain)
        self._retry = max(RETRY, params.epoch_s * SECOND // RETRIES)
        relay.later(self._retry, "dht joins again", self._join_again)

    def operate(self, record_or_key: bytes, put: bool, done: Callable[[Reply], None]) -> None:
        """Perform a PUT of a record or a GET of a key, then call ``done``."""
        now = self._relay.now()
        if put:
            self.spawn(self._put(record_or_key, now), done)
        else:
            self.spawn(self._get(record_or_key, now), done)

    def follow(self) -> None:
        """Try the relays of the directory that the table would take."""
        now = self._relay.now()
        if len(self.table) >= len(self._relay.view.relays(now)) - 1:
            return
        known = [
            contacts.contact_at(relay.peer_id, relay.addresses[0])
            for relay in self._relay.view.relays(now)
            if relay.peer_id != self._relay.peer_id
        ]
        fresh = [
            contact
            for contact in known
            if self._tried.get(contact.peer_id, now - self._retry) <= now - self._retry
            and self.table.wants(contact)
        ]
        if not fresh:
            return
        self._tried.update((contact.peer_id, now) for contact in fresh)
        if len(self.table):
            self.spawn(self.lookups.introduce(fresh, now), lambda _: None)
        else:
            self.spawn(self.lookups.bootstrap(fresh, now), lambda _: None)

    async def _put(self, record: bytes, now: int) -> Reply:
        try:
            kept = await self.lookups.put(record, now)
        except RemoteProtocolError:
            return Reply(Status.REFUSED)
        return Reply(Status.OK if kept >= ENOUGH else Status.UNAVAILABLE)

    async def _get(self, key: bytes, now: int) -> Reply:
        found = await self.lookups.get(key, now)
        if found is None:
            return Reply(Status.NOT_FOUND)
        if found.lagging:
            self.spawn(self._repair(found), lambda _: None)
        return Reply(Status.OK, found.record)

    async def _repair(self, found: Found) -> None:
        await self.lookups.repair(found)

    def _join_again(self) -> None:
        self.follow()
        self._relay.later(self._retry, "dht joins again", self._join_again)

    def _maintain(self) -> None:
        self.spawn(self.lookups.maintain(self._relay.now()), lambda _: None)
        self._relay.later(self._upkeep, "dht upkeep", self._maintain)

    def spawn(self, task: Coroutine[Any, Any, T], done: Callable[[T], None]) -> None:
        self._step(task, None, done)

    def _step(
        self, task: Coroutine[Any, Any, T], answers: Answers | None, done: Callable[[T], None]
    ) -> None:
        try:
            calls: Calls = task.send(answers)
        except StopIteration as stop:
            done(stop.value)
            return
        _Batch(self._relay, calls, lambda replies: self._step(task, replies, done))


class _Batch:
    """Calls made at once; ``resume`` gets the answers when all are there or overdue."""

    def __init__(self, relay: Host, calls: Calls, resume: Callable[[Answers], None]) -> None:
        self._relay = relay
        self._resume = resume
        self._replies: list[bytes | None] = [None] * len(calls.batch)
        self._missing = len(calls.batch)
        self._over = False
        for place, call in enumerate(calls.batch):
            self._ask(place, call)
        if self._missing:
            relay.later(TIME_OUT, "dht calls are overdue", self._end)
        else:
            relay.later(0, "dht goes on", self._end)

    def _ask(self, place: int, call: Call) -> None:
        relay, message = self._relay, call.message
        other = relay.reach(call.contact.peer_id)
        if other is None:
            return

        def arrives() -> None:
            try:
                reply = other.serve(relay.peer_id, message)
            except RemoteProtocolError:
                return
            relay.later(
                other.way(relay),
                f"dht answer of {other.name}",
                lambda: self._answered(place, reply),
            )

        other.later(relay.way(other), f"dht call of {relay.name}", arrives)

    def _answered(self, place: int, reply: bytes) -> None:
        self._replies[place] = reply
        self._missing -= 1
        if not self._missing:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._resume(Answers(self._relay.now(), tuple(self._replies)))
