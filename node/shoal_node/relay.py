"""A relay: drives the relay machine, the directory and the DHT over one transport.

::

    PacketLinks ─► Intake ───► RelayMachine ─┬─ SendPacket ─► PacketLinks
                                             ├─ DhtPut, DhtGet ─► DhtService ─► finish
                                             ├─ Access ─► GroupCommit ─► RelayStore ─► stored
    DirectoryService ─► view ────────────────┴─ contacts, addresses, ranks
                         └────► ReplicaService ─► GroupCommit; other relays
"""

import importlib.metadata
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from shoal_node import clock, draining, keep, self_facts, supervisor
from shoal_node.api import backend
from shoal_node.config import NodeConfig
from shoal_node.dht_service import DhtService
from shoal_node.dialback import DialbackService
from shoal_node.directory_service import DirectoryService
from shoal_node.draining import Draining, Stage
from shoal_node.links import PacketLinks
from shoal_node.operator import OperatorLimits
from shoal_node.replica_service import ReplicaService
from shoal_node.store import relay_store
from shoal_node.store.group_commit import GroupCommit
from shoal_node.transport import framing
from shoal_node.transport.interface import Handler, Peer, StartTransport, TaskStatus, Transport
from shoal_node.unwrap_intake import Intake
from shoal_node.volume import Stage as Allowance
from shoal_node.volume_service import VolumeService
from shoal_protocol import crypto, identity
from shoal_protocol.clock import SECOND
from shoal_protocol.dht import contacts, lookup
from shoal_protocol.dht.members import Members
from shoal_protocol.directory.descriptor import MAX_ADDRESSES, Descriptor
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.own import Identity, OwnEntry
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.directory.tenure import Tenure
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError, StoreError, StoreFull, UserError
from shoal_protocol.packets.keys import MixKeyring
from shoal_protocol.relay.machine import Event, RelayMachine
from shoal_protocol.relay.mix import MixMachine, SendPacket
from shoal_protocol.rng import Rng
from shoal_protocol.service.desk import Access, DhtGet, DhtPut, ServiceDesk
from shoal_protocol.service.messages import Reply, Status
from shoal_protocol.service.storage import Outcome

log = logging.getLogger(__name__)

FAILURE_PAUSE_S: Final = 0.1  # after a failed tick, so that a bug can't spin


class RelayNode:
    """One relay; implements ``backend.Backend``.

    Args:
        start_transport: what carries the frames; the in-memory twin in tests.
    """

    def __init__(
        self,
        config: NodeConfig,
        rng: Rng,
        ticking: clock.NodeClock,
        start_transport: StartTransport,
    ) -> None:
        self._config = config
        self._start_transport = start_transport
        self._clock = ticking
        params = self._params = config.network_parameters
        self._state = keep.load_relay(config.data, params, rng)
        public = crypto.ed25519_public(self._state.seed)
        self.peer: Final = Peer.of(identity.peer_id(public))
        book = Tenure(params, keep.read(config.data / keep.TENURE_FILE))
        self._view = DirectoryView(params, tenure=book)
        self._store = relay_store.RelayStore(
            config.data / relay_store.FILE, params, rng, limit=config.limits.disk
        )
        self._commits = GroupCommit(self._store, ticking.now)
        now = ticking.now()
        mixer = MixMachine(
            MixKeyring(params.hash),
            self.peer.relay_id,
            params,
            now=now,
            rng=rng,
            limits=config.limits.mix,
        )
        desk = ServiceDesk(
            self.peer.relay_id,
            params=params,
            relays=self._relay_ids,
            instance=self._store.instance,
        )
        self.machine: Final = RelayMachine(mixer, desk)
        version = importlib.metadata.version("shoal")
        entry = OwnEntry(
            Identity(
                self._state.seed,
                self._state.nonce,
                self._store.instance,
                software=f"shoal/{version}",
            ),
            params=params,
            rng=rng,
            last=self._state.version,
            traffic=mixer.traffic.level,
        )
        self._directory = DirectoryService(
            DirectorySync(self._view, rng=rng, serve=True),
            now=ticking.now,
            rng=rng,
            bootstrap=config.bootstrap,
            entry=entry,
            persist=self._persist,
            tenure=config.data / keep.TENURE_FILE,
        )
        self._dht = DhtService(
            public,
            params,
            rng,
            ticking.now,
            solution=self._state.nonce,
            members=Members(self._view, ticking.now),
        )
        self._links = PacketLinks(self._resolve, limits=config.limits.links)
        self._failures: Counter[str] = Counter()
        self._intake = Intake(
            self._links.received,
            self.machine,
            self._handle,
            now=ticking.now,
            woken=self._mixed,
            failures=self._failures,
            workers=config.workers,
        )
        self._replicas = ReplicaService(
            self.peer.relay_id,
            params,
            rng,
            ticking.now,
            home=config.data,
            relays=self._relay_ids,
            leaving=self._leaving_ids,
            resolve=self._resolve,
            submit=self._commits.submit,
            arrived=lambda put, outcome: self._handle(self.machine.desk.arrived(put, outcome)),
        )
        mixed = self.machine.mix.counters
        self.draining: Final = Draining(
            config.data,
            announce=self._say_whether_leaving,
            leaving=lambda: self.peer.relay_id in self._leaving_ids(),
            handed_on=lambda: self._replicas.machine.handed_on,
            left_behind=lambda: self._replicas.machine.left_behind,
            crossed=lambda: mixed["forwarded"] + mixed["to client"] + mixed["requests"],
            held=lambda: self.machine.mix.pool_size + self._commits.queue,
        )
        self._dialback = DialbackService(
            self.peer.peer_id,
            params,
            rng,
            ticking.now,
            start_transport,
            others=self._others,
            changed=self._reach_changed,
        )
        self._limits = config.limits
        self.volume: Final = VolumeService(
            config.data,
            config.limits.month,
            params.lease_s,
            rng,
            now=ticking.now,
            moved=lambda: 0 if self._transport is None else self._transport.meter.moved,
            stored=lambda: self._store.usage.bytes,
            changed=self._give,
        )
        self._events: backend.Hub = backend.Hub(now)
        self._wake = trio.Event()
        self._slept = self._sleeps_until = 0  # ns, from when until when the clock's task sleeps
        self._turned: trio.Event | None = None  # set, if anybody waits, when the clock has turned
        self._transport: Transport | None = None
        self._addresses: tuple[str, ...] = ()
        self._keys: tuple[tuple[int, bytes], ...] = ()
        self._lookups: trio.Nursery | None = None

    def set_limits(self, limits: OperatorLimits) -> None:
        """Give at most ``limits`` from now on; what was given stays."""
        self._limits = limits
        self.machine.mix.set_limits(limits.mix)
        self._store.set_limit(limits.disk)
        self.volume.set_cap(limits.month)
        self._limit_links()

    def _limit_links(self) -> None:
        links = self._limits.links
        if self.volume.stage is not Allowance.OPEN:
            links = replace(links, clients=0)
        self._links.set_limits(links)
        self._links.set_silent(silent=self.volume.stage is Allowance.SILENT)

    async def _give(self, stage: Allowance) -> None:
        """Go by what is left of the month."""
        self._limit_links()
        await self._say_whether_leaving()

    async def _say_whether_leaving(self) -> None:
        stays = self.volume.stage is Allowance.OPEN and self.draining.stage is Stage.STAYING
        await self._directory.leave(leaving=not (stays and self._reachable()))

    def _reachable(self) -> tuple[str, ...]:
        """Return our addresses without those that others were shown not to reach."""
        return tuple(a for a in self._addresses if not self._dialback.unreachable(a))

    async def _reach_changed(self) -> None:
        """Announce what can be reached; with nothing left, ask to be given nothing."""
        if self._unreached():
            log.warning("others cannot reach this relay at an address: `shoal status` says where")
        await self._directory.refresh(self._reachable() or self._addresses, self._keys)
        await self._say_whether_leaving()

    def _unreached(self) -> Sequence[str]:
        return [
            f"Other relays can't reach this one at {address.rpartition('/p2p/')[0]}: open its "
            "port in the firewall, forward it at the router, or listen elsewhere."
            for address in self._addresses
            if self._dialback.unreachable(address)
        ]

    def _others(self) -> list[tuple[str, ...]]:
        relays = self._view.relays(self._clock.now())
        return [relay.addresses for relay in relays if relay.relay_id != self.peer.relay_id]

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be a relay until cancelled, and close its store."""
        try:
            await self._run(task_status)
        finally:
            with trio.CancelScope(shield=True):
                await self._commits.close()

    async def _run(self, task_status: TaskStatus[None]) -> None:
        handlers: dict[str, Handler] = {
            framing.PACKET: self._links.accept,
            framing.DIRECTORY: self._directory.handler,
            framing.DHT: self._dht.handler,
            framing.REPLICA: self._replicas.handler,
            framing.DIALBACK: self._dialback.handler,
        }
        async with trio.open_nursery() as nursery:
            self._lookups = nursery
            transport: Transport = await nursery.start(
                partial(
                    self._start_transport,
                    handlers,
                    seed=self._state.seed,
                    listen=self._config.listen,
                )
            )
            self._transport = transport
            self._addresses = self._dialable(transport.addresses)
            if self.draining.resumed:  # the first that is said of it: nobody gives it anything
                await self._directory.leave()
            services: dict[str, supervisor.Service] = {
                "packet links": partial(self._links.run, transport),
                "DHT": partial(self._dht.run, transport),
                "directory": partial(self._directory.run, transport),
                "store": self._commits.run,
                "replication": partial(self._replicas.run, transport),
                "mixing": self._intake.run,
                "volume": self.volume.run,
                "clock": self._keep_time,
                "dial-back": partial(self._dialback.run, self._addresses),
                "directory follower": self._follow_directory,
            }
            for name, service in services.items():
                await nursery.start(supervisor.supervise, name, service)
            nursery.start_soon(self.draining.run)
            task_status.started(None)

    def _dialable(self, listened: Sequence[str]) -> tuple[str, ...]:
        """Return what of the addresses listened on this network's directory takes."""
        taken: list[str] = []
        for address in listened:
            try:
                wire_form = contacts.contact_at(self.peer.peer_id, address)
                contacts.check(wire_form, self._params)
            except RemoteProtocolError:
                log.warning("an address listened on is not for others: it is left out")
            else:
                taken.append(address)
        if not taken:
            raise UserError(
                f"None of the addresses listened on can be reached on the {self._params.name} "
                "network; give --listen a public one, or --network lab for a private network."
            )
        return tuple(taken[:MAX_ADDRESSES])

    async def _keep_time(self, *, task_status: TaskStatus[None]) -> None:
        await self._tick()  # the machine may have slept for epochs since this relay was made
        task_status.started(None)
        while True:
            self._wake = trio.Event()
            if not await supervisor.contain("timer", self._tick, counters=self._failures):
                await trio.sleep(FAILURE_PAUSE_S)
            elif self._turned is not None:
                self._turned.set()
                self._turned = None
            self._slept, self._sleeps_until = self._clock.now(), self.machine.next_deadline()
            with trio.move_on_after(max(0.0, (self._sleeps_until - self._slept) / 1e9)):
                await self._wake.wait()

    def _mixed(self) -> None:
        """Wake the clock's task for what is due before it wakes, or when the clock has leapt."""
        steady = self._slept <= self._clock.now() < self._slept + SECOND
        if self.machine.next_deadline() < self._sleeps_until or not steady:
            self._wake.set()

    async def turn(self) -> None:
        """Wait until the clock's task has once more done what was due: a sign of life."""
        turned = self._turned = self._turned or trio.Event()
        self._wake.set()
        await turned.wait()

    async def _tick(self) -> None:
        self._handle(self.machine.handle_timer(self._clock.now()))
        await self._announce_keys()

    async def _announce_keys(self) -> None:
        keys = self.machine.mix.public_keys()
        if keys != self._keys:
            self._keys = keys
            self._intake.rekey()
            await self._directory.refresh(self._reachable() or self._addresses, keys)

    async def _follow_directory(self, *, task_status: TaskStatus[None]) -> None:
        task_status.started(None)
        known: dict[bytes, contacts.Contact] = {}
        while True:
            others = {
                relay.relay_id: contacts.contact_at(relay.peer_id, relay.addresses[0])
                for relay in self._view.relays(self._clock.now())
                if relay.relay_id != self.peer.relay_id
            }
            gone = known.keys() - others.keys()
            self._dht.remove_contacts(known[relay_id].peer_id for relay_id in gone)
            self._dht.add_contacts(others.values())
            known = others
            self._replicas.directory_changed()
            status = self.status()
            self._events.publish(
                backend.NetworkState(ready=status.ready, relays=status.relays, queue=status.queue)
            )
            await self._directory.wait_changed()

    def _handle(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case SendPacket(next_id, packet, to_client):
                    self._links.send(next_id, packet, to_client=to_client)
                case DhtPut() | DhtGet():
                    assert self._lookups is not None
                    self._lookups.start_soon(self._operate, event)
                case Access(ticket, operation):
                    self._commits.submit(operation, partial(self._stored, ticket))

    def _stored(self, ticket: int, outcome: Outcome | StoreError) -> None:
        now = self._clock.now()
        if isinstance(outcome, StoreError):
            full = isinstance(outcome, StoreFull)
            self._handle(self.machine.store_failed(ticket, now, full=full))
        else:
            self._handle(self.machine.stored(ticket, outcome, now))
        self._wake.set()

    async def _operate(self, operation: DhtPut | DhtGet) -> None:
        replies: list[Reply] = []

        async def perform() -> None:
            if isinstance(operation, DhtPut):
                kept = await self._dht.put(operation.record)
                enough = kept >= lookup.ENOUGH
                replies.append(Reply(Status.OK if enough else Status.UNAVAILABLE))
            else:
                found = await self._dht.get(operation.key)
                replies.append(
                    Reply(Status.NOT_FOUND) if found is None else Reply(Status.OK, found)
                )

        if not await supervisor.contain("dht operation", perform, counters=self._dht.counters):
            replies = [Reply(Status.REFUSED)]
        self._handle(self.machine.finish(operation, replies[0]))

    def _relay_ids(self) -> list[bytes]:
        return [relay.relay_id for relay in self._view.relays(self._clock.now())]

    def _leaving_ids(self) -> list[bytes]:
        return [relay.relay_id for relay in self._view.leaving(self._clock.now())]

    def _resolve(self, relay_id: bytes) -> Sequence[str]:
        relay = self._view.get(relay_id)
        return () if relay is None else relay.addresses

    async def _persist(self, version: Version) -> None:
        self._state = self._state.signed(version)
        await trio.to_thread.run_sync(keep.save_relay, self._config.data, self._state)

    def descriptor(self) -> Descriptor | None:
        """What this relay last published about itself."""
        return self._view.get(self.peer.relay_id)

    @property
    def failures(self) -> int:
        """Errors of our own that were contained since the start, workers that ended among them."""
        return self._failures.total() + self._intake.counters["workers lost"]

    def drain(self) -> None:
        """Begin to leave in good order; ``draining.done`` is set in the end."""
        self.draining.begin()

    def cancel_drain(self) -> None:
        """Stay after all."""
        self.draining.cancel()

    def self_check(self) -> backend.SelfCheck:
        """What this relay knows of its own place."""
        now, own = self._clock.now(), self.peer.relay_id
        return self_facts.gather(self._view, self._dialback, self._addresses, own, now)

    def check_reach(self) -> None:
        """Ask others anew whether they reach this relay."""
        self._dialback.begin()

    @property
    def events(self) -> backend.Hub:
        """The hub of this node's events."""
        return self._events

    def status(self) -> backend.Status:
        """What the relay sees now."""
        dht, kept = self._dht.stats, self._store.usage
        relays = len(self._relay_ids())
        counters: Counter[str] = Counter()
        for source in (
            self.machine.mix.counters,
            self.machine.desk.counters,
            self._commits.counters,
            self._links.counters,
            self._intake.counters,
            self._directory.counters,
            self._dht.counters,
            self._replicas.counters,
            self._dialback.counters,
            self._failures,
        ):
            counters.update(source)
        counters.update(
            {
                "boxes kept": kept.boxes,
                "entries kept": kept.entries,
                "store bytes": kept.bytes,
                "store limit": kept.limit,
                "store queue": self._commits.queue,
            }
        )
        if self._transport is not None:
            counters.update(self._transport.counters)
        return backend.Status(
            ready=bool(self._addresses) and relays > 0,
            packet_bytes=self._params.packet_bytes,
            role="relay",
            peer_id=identity.peer_id_text(self.peer.peer_id),
            addrs=self._addresses,
            reachable=bool(self._reachable()),
            relays=relays,
            dht_peers=dht.peers,
            crowd=None,
            preset=None,
            traffic_class=self.machine.mix.traffic.level(self._clock.now()),
            queue=self.machine.mix.pool_size + self._commits.queue,
            version=importlib.metadata.version("shoal"),
            network=self._params.name,
            warnings=self._warnings(kept),
            draining=None if self.draining.stage is Stage.STAYING else self.draining.stage.value,
            month=self.volume.month,
            counters=counters,
        )

    def _warnings(self, kept: relay_store.Usage) -> Sequence[str]:
        found = [] if self._commits.warning is None else [self._commits.warning]
        found += self._unreached()
        if self._intake.warning is not None:
            found.append(self._intake.warning)
        if self.draining.resumed and self.draining.stage is not Stage.STAYING:
            found.append(draining.GOES_ON)
        month = self.volume.volume.sentence()
        if month is not None:
            found.append(month)
        if kept.full:
            found.append("This relay's store is full: it keeps nothing new until older things go.")
        return found

    def peers(self) -> Sequence[backend.PeerInfo]:
        """The relays of the directory, and whether packets flow to them."""
        return [
            backend.PeerInfo(
                relay_id=relay.relay_id.hex(),
                address=relay.addresses[0],
                role="relay",
                connected=self._links.is_connected(relay.relay_id),
                since=None,
            )
            for relay in self._view.listed(self._clock.now())
            if relay.relay_id != self.peer.relay_id
        ]
