"""A relay of a world: its machines, its store, and what of it a crash leaves.

::

    packet ─► RelayMachine ─┬─ SendPacket ─► links
                            ├─ DhtPut, DhtGet ─► DhtNode ─► finish
                            └─ Access ─┐
    other relays ─► Copying ── Access ─┴─► batch ─(commit)─► Store ─► stored ─► SendPacket
    durable: the store, the identity, the last version signed, whom the last walk was for
    lost:    mix keys and replay tags, GETs that wait, the batch on its way, DHT records
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from shoal_protocol import crypto, identity
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import own
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import StoreError, StoreFailed, StoreFull
from shoal_protocol.packets.keys import MixKeyring
from shoal_protocol.relay.machine import Event, RelayMachine
from shoal_protocol.relay.mix import MixMachine, SendPacket
from shoal_protocol.service import storage
from shoal_protocol.service.desk import Access, DhtGet, DhtPut, ServiceDesk
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.storage import Operation, Outcome
from shoal_sim.exact.copying import Copying
from shoal_sim.exact.kademlia import DhtNode, Host
from shoal_sim.exact.nodes import Node
from shoal_sim.exact.null import NullKeyring
from shoal_sim.seeds import seeded

if TYPE_CHECKING:
    from shoal_sim.exact.world import World

Done = Callable[[Outcome | StoreError], None]
Waiting = tuple[Operation, Done]
NONCE: Final = bytes(8)  # lab networks ask no work of an identity


class Relay(Node):
    """One relay."""

    machine: RelayMachine
    dht: DhtNode

    def __init__(self, world: "World", number: int) -> None:
        super().__init__(world, f"relay{number}")
        rng = seeded(f"{world.seed} {self.name}")
        self.seed: Final = rng.bytes(32)
        self.public: Final = crypto.ed25519_public(self.seed)
        self.peer_id: Final = identity.peer_id(self.public)
        self.id: Final = identity.relay_id(self.peer_id)
        self.nonce: Final = NONCE
        self.address: Final = f"/ip4/127.0.{number // 250}.{number % 250 + 1}/tcp/4001"
        self.store = MemoryStore(world.params, rng.bytes(16))
        self.version: Version | None = None
        self.walked = b""  # what its Replicator kept
        self.gone = False  # for good, with its disk
        self.copying: Copying | None = None
        self._pending: list[Waiting] = []
        self._writing = False
        self._entry: own.OwnEntry | None = None

    def start(self) -> None:
        """Begin anew: fresh mix keys, a descriptor of the next serial, the old store."""
        rng = self.begin()
        self.world.watcher.begins(self)
        world, params = self.world, self.world.params
        self._pending, self._writing = [], False
        mixer = MixMachine(
            self.keyring(), self.id, params, now=self.now(), rng=rng, packets=world.packets
        )
        desk = ServiceDesk(
            self.id,
            params=params,
            relays=self._relay_ids,
            instance=self.store.instance,
            packets=world.packets,
        )
        self.machine = RelayMachine(mixer, desk)
        self._entry = own.OwnEntry(
            own.Identity(self.seed, self.nonce, self.store.instance),
            params=params,
            rng=rng,
            last=self.version,
            traffic=mixer.traffic.level,
        )
        self.dht = DhtNode(self, rng)
        self.copying = Copying(self, rng) if world.copies else None
        self._keep_entry()
        world.board.join(self)
        self._arm()

    def keyring(self) -> MixKeyring:
        """Return the mix keys of a run."""
        return NullKeyring() if self.world.null else MixKeyring(self.world.params.hash)

    def followed(self) -> None:
        """Let the DHT try whom the directory names, and the store hand on what is theirs."""
        self.dht.follow()
        if self.copying is not None:
            self.copying.follow(self._relay_ids())

    def receive(self, packet: bytes, peer: bytes) -> None:
        """Take a packet from a neighbour or a person."""
        if self.up:
            self.handle(self.machine.receive(packet, peer, self.now()))

    def reach(self, peer_id: bytes) -> "Relay | None":
        """Return the relay of this id if a dial reaches it."""
        other = self.world.relay_at(peer_id)
        there = other is not None and other.up and not self.world.links.cut(self.name, other.name)
        return other if there else None

    def way(self, other: Host) -> int:
        """Draw how long a message takes to ``other``, ns."""
        return self.world.links.latency(self.name, other.name)

    def serve(self, peer_id: bytes, message: bytes) -> bytes:
        """Answer a peer's request of the DHT. Raises RemoteProtocolError."""
        return self.dht.server.answer(peer_id, message, self.now())

    def keeps(self, record: bytes) -> bool:
        """Return whether this relay's disk holds a box or entry."""
        name = storage.name_of(record)
        kinds = (storage.Kind.BOX, storage.Kind.ENTRY)
        items = tuple(storage.Item(kind, record[:32], name) for kind in kinds)
        failure, self.store.failure = self.store.failure, None
        (missing,) = self.store.execute([storage.Missing(items)], self.now())
        self.store.failure = failure
        return missing != items

    def _relay_ids(self) -> list[bytes]:
        return [relay.relay_id for relay in self.view.relays(self.now())]

    def _tick(self) -> None:
        self.handle(self.machine.handle_timer(self.now()))

    def _arm(self) -> None:
        if self.up:
            self.wake_at(self.machine.next_deadline(), self._tick)

    def handle(self, events: Sequence[Event]) -> None:
        """Carry out what the machine asks for."""
        for event in events:
            match event:
                case SendPacket(next_id, packet, _):
                    if self.step("packet goes"):
                        return
                    self.world.send(self.id, next_id, packet)
                    if self._writing and self.step("packet went before a commit"):
                        return
                case DhtPut() | DhtGet():
                    self._operate(event)
                case Access():
                    self.world.watcher.asked(self, event.operation)
                    done = lambda outcome, event=event: self._stored(event, outcome)  # noqa: E731
                    self._pending.append((event.operation, done))
        self._write()
        self._arm()

    def access(self, operation: Operation, done: Done) -> None:
        """Have the store execute ``operation`` with the next transaction."""
        self.world.watcher.asked(self, operation)
        self._pending.append((operation, done))
        self._write()

    def _operate(self, event: DhtPut | DhtGet) -> None:
        asked = event.record if isinstance(event, DhtPut) else event.key
        self.dht.operate(
            asked,
            isinstance(event, DhtPut),
            lambda reply: self.handle(self.machine.finish(event, reply)),
        )

    def _write(self) -> None:
        """Begin a transaction of all that waits, unless one is on its way."""
        if self._writing or not self._pending or not self.up:
            return
        batch, self._pending = self._pending, []
        self._writing = True
        outcomes: list[Outcome] = []
        errors: list[StoreError] = []

        def land() -> None:
            try:
                outcomes.extend(self.store.execute([each for each, _ in batch], self.now()))
            except StoreError as error:
                errors.append(error)
                return
            for (operation, _), outcome in zip(batch, outcomes, strict=True):
                self.world.watcher.executed(self, operation, outcome)

        self.disk.commit(land, lambda done: self._written(batch, outcomes, errors, done))

    def _written(
        self, batch: list[Waiting], outcomes: list[Outcome], errors: list[StoreError], done: bool
    ) -> None:
        self._writing = False
        if errors or not done:
            outcomes = []
        failure = errors[0] if errors else StoreFailed()
        for place, (operation, answer) in enumerate(batch):
            if outcomes:
                self.world.watcher.answers(self, operation, outcomes[place])
            answer(outcomes[place] if outcomes else failure)
            if not self.up or (outcomes and self.step("one of a batch is answered")):
                return
        self._write()

    def _stored(self, access: Access, outcome: Outcome | StoreError) -> None:
        """Answer an access: it is durable, or nothing of its batch has happened."""
        if isinstance(outcome, StoreError):
            full = isinstance(outcome, StoreFull)
            self.handle(self.machine.store_failed(access.ticket, self.now(), full=full))
        else:
            self.handle(self.machine.stored(access.ticket, outcome, self.now()))

    def _keep_entry(self) -> None:
        """Keep this relay's descriptor and lease going."""
        assert self._entry is not None
        now = self.now()
        keys = self.machine.mix.public_keys()
        self._do([*self._entry.refresh([self.address], keys, now), *self._entry.handle_timer(now)])
        length = self.world.params.epoch_s * SECOND
        rotation = (now // length + 1) * length + MILLISECOND
        due = min(self._entry.next_deadline() or rotation, rotation)
        self.later(max(MILLISECOND, due - now), "keeps its entry", self._keep_entry)

    def _do(self, events: list[own.Event]) -> None:
        assert self._entry is not None
        entry = self._entry
        for event in events:
            match event:
                case own.Persist(version):
                    self.disk.commit(
                        lambda version=version: setattr(self, "version", version),  # type: ignore[misc]
                        lambda done, version=version: (  # type: ignore[misc]
                            self._do(entry.persisted(version, self.now())) if done else None
                        ),
                    )
                case own.Publish(descriptor, lease):
                    self.world.board.publish(self, descriptor, lease)
