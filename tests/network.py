"""A whole network of protocol machines in one process, under virtual time.

Relays and people are the very machines that the node drives; links are a latency, the DHT
a table that every relay reads (its own machine has its own tests), the directory a list.
One heap, ordered by (ns, sequence number), makes every run of a seed the same.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace

from shoal_protocol import clock, crypto, identity
from shoal_protocol.client.people import Changed
from shoal_protocol.client.person import PersonMachine, SendUp
from shoal_protocol.directory import descriptor
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets.keys import MixKeyring
from shoal_protocol.parameters import LAB, PRESETS, NetworkParameters, Preset
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.relay.machine import RelayMachine
from shoal_protocol.relay.mix import MixMachine, SendPacket
from shoal_protocol.rng import Rng
from shoal_protocol.service.desk import DhtGet, DhtPut, ServiceDesk
from shoal_protocol.service.inbox import InboxService
from shoal_protocol.service.messages import Reply, Status
from support import START, seeded

PARAMS = replace(LAB, announce_work_bits=1)


class Relay:
    """A relay machine with its descriptor."""

    def __init__(self, network: "Network", number: int) -> None:
        self.rng = seeded(f"{network.seed} relay {number}")
        self.seed = self.rng.bytes(32)
        public = crypto.ed25519_public(self.seed)
        self.id = identity.relay_id(identity.peer_id(public))
        self.number = number
        keyring = MixKeyring(network.params.hash)
        mixer = MixMachine(keyring, self.id, network.params, now=network.now, rng=self.rng)
        self.store = InboxService(network.params, self.rng.bytes(16))
        desk = ServiceDesk(
            self.id, params=network.params, relays=lambda: list(network.directory), store=self.store
        )
        self.machine = RelayMachine(mixer, desk)
        self.alive = True

    def describe(self, network: "Network") -> Descriptor:
        """Sign this relay's descriptor of the present epoch."""
        data = descriptor.sign(
            self.seed,
            version=Version(clock.index_of(network.now, network.params.epoch_s), 0),
            addresses=[f"/ip4/127.0.0.1/tcp/{10000 + self.number}"],
            mix_keys=self.machine.mix.public_keys(),
            instance=self.store.instance,
            nonce=bytes(8),
            params=network.params,
        )
        return descriptor.decode_descriptor(data, network.params)


class Person:
    """A person machine behind its guard."""

    def __init__(self, network: "Network", number: int, preset: Preset) -> None:
        self.rng: Rng = seeded(f"{network.seed} person {number}")
        self.id = self.rng.bytes(16)
        self.machine = PersonMachine(
            self.id, params=network.params, preset=preset, rng=self.rng, now=network.now
        )
        self.guard: bytes | None = None
        self.changes: list[Changed] = []


class Network:
    """Machines, links and the heap."""

    def __init__(
        self,
        relays: int,
        people: int,
        *,
        seed: int | str = 0,
        preset: str = "fast",
        params: NetworkParameters = PARAMS,
        latency_ms: int = 1,
    ) -> None:
        self.seed, self.params, self.now = seed, params, START
        self.latency = latency_ms * clock.MILLISECOND
        self.rng = seeded(f"{seed} network")
        self.directory: dict[bytes, Descriptor] = {}
        self.dht: dict[bytes, bytes] = {}
        self.crossings: Counter[tuple[str, str]] = Counter()
        self.sizes: Counter[int] = Counter()
        self.lose: Callable[[bytes, bytes], bool] = lambda source, target: False
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._timers: defaultdict[bytes, int] = defaultdict(int)
        self.relays = [Relay(self, number) for number in range(relays)]
        self.by_id = {relay.id: relay for relay in self.relays}
        self.directory = {relay.id: relay.describe(self) for relay in self.relays}
        self.people = [Person(self, number, PRESETS[preset]) for number in range(people)]
        self.clients = {person.id: person for person in self.people}
        for person in self.people:
            person.machine.directory_changed(list(self.directory.values()), self.now)
            self.connect(person, self.rng.choice(self.relays))
            self._arm(person)
        for relay in self.relays:
            self._arm(relay)

    def connect(self, person: Person, relay: Relay) -> None:
        """Give a person this guard."""
        person.guard = relay.id
        person.machine.guard_up(relay.id, self.now)

    def vanish(self, relay: Relay) -> None:
        """Kill a relay: links die now, the directory still lists it."""
        relay.alive = False
        for person in self.people:
            if person.guard == relay.id:
                person.machine.guard_down(self.now)
                alive = [r for r in self.relays if r.alive]
                self.connect(person, self.rng.choice(alive))

    def drop_from_directory(self) -> None:
        """Let the leases of dead relays end everywhere."""
        self.directory = {r.id: self.directory[r.id] for r in self.relays if r.alive}
        for person in self.people:
            person.machine.directory_changed(list(self.directory.values()), self.now)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Run for ``seconds`` of virtual time or until ``until``; returns the latter."""
        end = self.now + clock.seconds(seconds)
        while not until() and self._heap and self._heap[0][0] <= end:
            at, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            action()
        if not until():
            self.now = end
        return until()

    def _at(self, when: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, action))

    def _arm(self, node: Relay | Person) -> None:
        self._timers[node.id] += 1
        mark = self._timers[node.id]
        machine = node.machine
        due = (
            machine.next_deadline()
            if isinstance(machine, RelayMachine)
            else machine.next_deadline(self.now)
        )
        self._at(max(due, self.now), lambda: self._timer(node, mark))

    def _timer(self, node: Relay | Person, mark: int) -> None:
        if self._timers[node.id] == mark:
            self._handle(node, node.machine.handle_timer(self.now))

    def _handle(self, node: Relay | Person, events: object) -> None:
        if isinstance(node, Relay) and not node.alive:
            return
        assert isinstance(events, list)
        for event in events:
            match event:
                case SendPacket(next_id, packet, _):
                    self._send(node.id, next_id, packet)
                case SendUp(packet):
                    assert isinstance(node, Person)
                    if node.guard is not None:
                        self._send(node.id, node.guard, packet)
                case Changed():
                    assert isinstance(node, Person)
                    node.changes.append(event)
                case DhtPut() | DhtGet():
                    assert isinstance(node, Relay)
                    self._dht(node, event)
                case _:
                    raise AssertionError(event)
        self._arm(node)

    def _send(self, source: bytes, target: bytes, packet: bytes) -> None:
        def kind(node: bytes) -> str:
            return "relay" if node in self.by_id else "person"

        self.crossings[kind(source), kind(target)] += 1
        self.sizes[len(packet)] += 1
        if not self.lose(source, target):
            self._at(self.now + self.latency, lambda: self._arrive(source, target, packet))

    def _arrive(self, source: bytes, target: bytes, packet: bytes) -> None:
        relay = self.by_id.get(target)
        if relay is not None:
            if relay.alive:
                self._handle(relay, relay.machine.receive(packet, source, self.now))
            return
        person = self.clients[target]
        if person.guard == source:
            self._handle(person, person.machine.packet(packet, self.now))

    def _dht(self, relay: Relay, event: DhtPut | DhtGet) -> None:
        if isinstance(event, DhtPut):
            try:
                stored = announcement.validate(event.record, self.now, self.params)
            except RemoteProtocolError:
                reply = Reply(Status.REFUSED)
            else:
                self.dht[stored.key] = event.record
                reply = Reply(Status.OK)
        else:
            found = self.dht.get(event.key)
            reply = Reply(Status.NOT_FOUND) if found is None else Reply(Status.OK, found)
        self._at(
            self.now + 10 * clock.MILLISECOND,
            lambda: self._handle(relay, relay.machine.finish(event, reply)),
        )
