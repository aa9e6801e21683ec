"""A relay of a world: its machines, its store, and what of it a crash leaves.

::

    packet ─► RelayMachine ─┬─ SendPacket ─► links
                            ├─ DhtPut, DhtGet ─► DhtNode ─► finish
                            └─ Access ─► batch ─(commit)─► Store ─► stored ─► SendPacket
    durable: the store, the identity, the last version signed
    lost:    mix keys and replay tags, GETs that wait, the batch on its way, DHT records
"""

from typing import TYPE_CHECKING, Final

from bench.kademlia import DhtNode
from bench.nodes import Node
from shoal_protocol import crypto, identity
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import own
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import StoreError, StoreFull
from shoal_protocol.packets.keys import MixKeyring
from shoal_protocol.relay.machine import Event, RelayMachine
from shoal_protocol.relay.mix import MixMachine, SendPacket
from shoal_protocol.service import storage
from shoal_protocol.service.desk import Access, DhtGet, DhtPut, ServiceDesk
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.storage import Outcome
from support import seeded

if TYPE_CHECKING:
    from bench.world import World

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
        self.address: Final = f"/ip4/127.0.{number // 250}.{number % 250 + 1}/tcp/4001"
        self.store = MemoryStore(world.params, rng.bytes(16))
        self.version: Version | None = None
        self._pending: list[Access] = []
        self._writing = False
        self._entry: own.OwnEntry | None = None

    def start(self) -> None:
        """Begin anew: fresh mix keys, a descriptor of the next serial, the old store."""
        rng = self.begin()
        self.world.oracle.begins(self)
        world, params = self.world, self.world.params
        self._pending, self._writing = [], False
        mixer = MixMachine(MixKeyring(params.hash), self.id, params, now=self.now(), rng=rng)
        desk = ServiceDesk(
            self.id, params=params, relays=self._relay_ids, instance=self.store.instance
        )
        self.machine = RelayMachine(mixer, desk)
        self._entry = own.OwnEntry(
            own.Identity(self.seed, NONCE, self.store.instance),
            params=params,
            rng=rng,
            last=self.version,
        )
        self.dht = DhtNode(self, rng)
        self._keep_entry()
        world.board.join(self)
        self._arm()

    def followed(self) -> None:
        """Let the DHT try whom the directory names."""
        self.dht.follow()

    def receive(self, packet: bytes, peer: bytes) -> None:
        """Take a packet from a neighbour or a person."""
        if self.up:
            self._handle(self.machine.receive(packet, peer, self.now()))

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
        self._handle(self.machine.handle_timer(self.now()))

    def _arm(self) -> None:
        if self.up:
            self.wake_at(self.machine.next_deadline(), self._tick)

    def _handle(self, events: list[Event]) -> None:
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
                    self._pending.append(event)
        self._write()
        self._arm()

    def _operate(self, event: DhtPut | DhtGet) -> None:
        asked = event.record if isinstance(event, DhtPut) else event.key
        self.dht.operate(
            asked,
            isinstance(event, DhtPut),
            lambda reply: self._handle(self.machine.finish(event, reply)),
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
                outcomes.extend(self.store.execute([a.operation for a in batch], self.now()))
            except StoreError as error:
                errors.append(error)

        self.disk.commit(land, lambda done: self._written(batch, outcomes, errors, done))

    def _written(
        self, batch: list[Access], outcomes: list[Outcome], errors: list[StoreError], done: bool
    ) -> None:
        self._writing = False
        if errors or not done:
            self._refuse(batch, full=any(isinstance(error, StoreFull) for error in errors))
            return
        for access, outcome in zip(batch, outcomes, strict=True):
            self._stored(access, outcome)
            if not self.up or self.step("one of a batch is answered"):
                return
        self._write()

    def _stored(self, access: Access, outcome: Outcome) -> None:
        """Answer an access that is durable."""
        self.world.oracle.answers(self, access.operation, outcome)
        self._handle(self.machine.stored(access.ticket, outcome, self.now()))

    def _refuse(self, batch: list[Access], *, full: bool) -> None:
        """Answer a batch that failed: nothing of it has happened."""
        for access in batch:
            self._handle(self.machine.store_failed(access.ticket, self.now(), full=full))
            if not self.up:
                return
        self._write()

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
