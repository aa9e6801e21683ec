"""The DHT in the node: trio steps the protocol's coroutines, channels carry their calls.

::

    relay directory ── add_contacts ──► known ──► bootstrap, introduce ┐
    onion desk ── put, get ──► Lookups ── Calls ──► DhtLinks.ask ──► /shoal/dht/1 ──► others
    others ──► /shoal/dht/1 ──► handler ──► DhtServer.answer          └ maintain, each minute

The handler can be given to a transport before the service runs; until then, and after, it
answers what it can from an empty table. A person's node that isn't reachable has no DHT service:
relays ask for it. spec: dht §7
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import trio

from shoal_node import supervisor
from shoal_node.dht_links import DhtLinks, LinkLimits
from shoal_node.transport.interface import Channel, ChannelClosed, TaskStatus, Transport
from shoal_protocol import identity
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import contacts, messages
from shoal_protocol.dht.calls import Answers, Call, Calls
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.dht.lookup import Found, Lookups, admit_all
from shoal_protocol.dht.members import Members
from shoal_protocol.dht.routing import Table
from shoal_protocol.dht.server import DhtServer, ServerLimits
from shoal_protocol.dht.storage import RecordStore, Validate
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.rng import Rng

T = TypeVar("T")

MAINTAIN_S: Final = 60  # between two rounds of upkeep; spec: dht §7
RETRY_S: Final = 60  # before a contact that didn't answer is tried again; spec: dht §7
SETTLE_S: Final = 0.2  # that news of contacts may gather before they are tried; spec: dht §7
KNOWN_MOST: Final = 8192  # contacts of the relay directory remembered; spec: dht §7


@dataclass(frozen=True, slots=True)
class DhtStats:
    """Counts since the start, ``peers``, ``records`` and ``links`` at present."""

    peers: int
    records: int
    links: int
    lookups: int
    found: int
    puts: int
    calls: int
    failures: int


class DhtService:
    """One reachable node's part in the DHT.

    Args:
        public_key: the node's Ed25519 key, 32 bytes.
        parameters: the network's.
        rng: draws.
        now: the node's clock, ns since the Unix epoch.
        validate: checks records; announcements by default.
        solution: the nonce of the node's work, where identities cost some.
        members: who may serve the DHT and where they stand; without, everybody who answers.
    """

    def __init__(
        self,
        public_key: bytes,
        parameters: NetworkParameters,
        rng: Rng,
        now: Callable[[], int],
        *,
        validate: Validate | None = None,
        solution: bytes = b"",
        members: Members | None = None,
        server_limits: ServerLimits | None = None,
        link_limits: LinkLimits | None = None,
    ) -> None:
        self._parameters = parameters
        self._rng = rng
        self._now = now
        self._link_limits = link_limits
        asked = solution if parameters.descriptor_work_bits else b""
        position = contacts.position_of(identity.peer_id(public_key), asked)
        validate = validate or partial(announcement.validate, params=parameters)
        place = contacts.by_key if members is None else members.place
        admit = admit_all if members is None else members.admit
        apart = parameters.distinct_subnets
        self._table = Table(position, parameters.dht_k, now(), place, apart=apart)
        self._store = RecordStore(position, validate, parameters, rng)
        self._lookups = Lookups(self._table, self._store, parameters, rng, admit=admit)
        self._server = DhtServer(self._table, self._store, parameters, server_limits)
        self._known: dict[bytes, Contact] = {}
        self._tried: dict[bytes, int] = {}  # ns, by peer id
        self._news = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._links: DhtLinks | None = None
        self.joined: Final = trio.Event()
        """Set once the table has a contact; never unset."""
        self.counters: Counter[str] = Counter()

    async def run(
        self, transport: Transport, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Join and stay joined through what ``add_contacts`` brings, until cancelled."""
        self._lookups.address = self._own_address(transport)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._links = DhtLinks(transport, nursery, self.counters, self._link_limits)
            task_status.started(None)
            nursery.start_soon(self._keep_joined)
            try:
                await self._keep_order()
            finally:
                self._nursery = self._links = None

    async def put(self, record: bytes) -> int:
        """Store a record at the nodes nearest to its key.

        Args:
            record: 2,048 bytes.

        Returns:
            The number of nodes that hold it now, this one included.

        Raises:
            RemoteProtocolError: the record doesn't verify.
            ChannelClosed: the service isn't running.
        """
        return await self._drive(self._lookups.put(record, self._now()))

    async def get(self, key: bytes) -> bytes | None:
        """Return the best verified record under ``key`` (32 bytes), or None.

        Nodes that lacked it are given it afterwards, without the caller's waiting.

        Raises:
            ChannelClosed: the service isn't running.
        """
        found = await self._drive(self._lookups.get(key, self._now()))
        if found is None:
            return None
        if found.lagging and self._nursery is not None:
            self._nursery.start_soon(supervisor.contain, "dht repair", self._repair, found)
        return found.record

    def add_contacts(self, contacts_: Iterable[Contact]) -> None:
        """Learn of reachable nodes from the relay directory; they are tried soon.

        Contacts stay known until the same key comes with another address, and are tried
        again each minute while the table would take them.
        """
        for contact in contacts_:
            held = self._known.get(contact.peer_id)
            if held == contact or (held is None and len(self._known) >= KNOWN_MOST):
                continue
            self._known[contact.peer_id] = contact
            self._tried.pop(contact.peer_id, None)
            self._news.set()

    def remove_contacts(self, peer_ids: Iterable[bytes]) -> None:
        """Forget nodes that left the relay directory, or may not serve any more.

        Where everybody is admitted who answers, the table finds out by itself.
        """
        for peer_id in peer_ids:
            self._known.pop(peer_id, None)
            self._tried.pop(peer_id, None)
        self._lookups.prune()

    async def handler(self, channel: Channel) -> None:
        """Answer the peer that opened ``channel`` until it closes.

        Raises:
            ChannelClosed: the peer closed it.
            RemoteProtocolError: the peer sent garbage or asked too much: close the channel.
        """
        peer_id = channel.peer.peer_id
        while True:
            try:
                request_id, message = messages.split(await channel.receive())
            except RemoteProtocolError as error:
                self.counters[error.reason] += 1
                raise
            reply = self._server.answer(peer_id, message, self._now())
            if self._table.has_candidates:
                self._news.set()
            await channel.send(messages.join(request_id, reply))

    @property
    def stats(self) -> DhtStats:
        """What the service has done and holds."""
        counters = self._lookups.counters
        return DhtStats(
            peers=len(self._table),
            records=len(self._store),
            links=0 if self._links is None else len(self._links),
            lookups=counters["lookups"],
            found=counters["found"],
            puts=counters["puts"],
            calls=counters["calls"],
            failures=counters["silent"] + counters["refused"],
        )

    @property
    def server_counters(self) -> Counter[str]:
        """Requests answered by kind, puts by status, refusals by reason."""
        return self._server.counters

    async def _keep_joined(self) -> None:
        while True:
            self._news = trio.Event()
            await self._drive(self._lookups.greet())
            await self._try_known()
            if len(self._table):
                self.joined.set()
            with trio.move_on_after(RETRY_S):
                await self._news.wait()
                await trio.sleep(SETTLE_S)

    async def _keep_order(self) -> None:
        while True:
            await trio.sleep(MAINTAIN_S + self._rng.uniform() * MAINTAIN_S / 4)
            await self._drive(self._lookups.maintain(self._now()))

    async def _try_known(self) -> None:
        now = self._now()
        before = now - RETRY_S * SECOND
        fresh = [
            contact
            for peer_id, contact in self._known.items()
            if self._tried.get(peer_id, before) <= before and self._table.wants(contact)
        ]
        fresh = self._rng.sample(fresh, self._parameters.dht_k)
        if not fresh:
            return
        self._tried.update((contact.peer_id, now) for contact in fresh)
        if len(self._table):
            await self._drive(self._lookups.introduce(fresh, now))
        else:
            await self._drive(self._lookups.bootstrap(fresh, now))
        self._news.set()  # there may be more than one batch

    async def _repair(self, found: Found) -> None:
        await self._drive(self._lookups.repair(found))

    async def _drive(self, task: Coroutine[Any, Any, T]) -> T:
        """Step a coroutine of the protocol to its end."""
        answers: Answers | None = None
        try:
            while True:
                try:
                    calls: Calls = task.send(answers)
                except StopIteration as stop:
                    result: T = stop.value
                    return result
                answers = await self._perform(calls.batch)
        finally:
            task.close()

    async def _perform(self, batch: tuple[Call, ...]) -> Answers:
        links = self._links
        if links is None:
            raise ChannelClosed("dht stopped")
        replies: list[bytes | None] = [None] * len(batch)

        async def ask(place: int, call: Call) -> None:
            replies[place] = await links.ask(call.contact, call.message)

        async with trio.open_nursery() as nursery:
            for place, call in enumerate(batch):
                nursery.start_soon(ask, place, call)
        return Answers(self._now(), tuple(replies))

    def _own_address(self, transport: Transport) -> str:
        """Return the first address that this network lets others dial, in wire form, or ""."""
        for address in transport.addresses:
            contact = contacts.contact_at(transport.peer_id, address)
            try:
                contacts.check(contact, self._parameters)
            except RemoteProtocolError:
                continue
            return contact.address
        return ""
