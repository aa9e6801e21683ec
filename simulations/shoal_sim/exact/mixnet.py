"""Relays and a crowd that sends cover: the part of the network that anonymity is made of.

::

    Bystander: CoverSchedule ─► PathChooser ─► Courier ──► link ──► Hub: RelayMachine ──► link …
                                                  ▲                                       │
                                                  └───────────── reply by SURB ◄──────────┘

What a person's node does when nobody speaks, by the same machines, without those that wait for
a word, so that 10^5 of them fit. The directory is given: everybody knows all relays. Who asks
what conversations cost, or directories and the DHT, runs a
:class:`~shoal_sim.exact.world.World`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from shoal_protocol import clock, crypto, identity
from shoal_protocol.client import active, paths
from shoal_protocol.client.courier import Courier, Question
from shoal_protocol.client.cover import CoverSchedule, SlotClass
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import traffic
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.packets.format import SPHINX, PacketFormat
from shoal_protocol.packets.keys import MixKeyring
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.relay.limits import Limits
from shoal_protocol.relay.machine import Event, RelayMachine
from shoal_protocol.relay.mix import MixMachine, SendPacket
from shoal_protocol.rng import Rng
from shoal_protocol.service.desk import Access, ServiceDesk
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import EMPTY_RECORD, RequestType
from shoal_protocol.values import value
from shoal_sim.exact.engine import Engine
from shoal_sim.exact.links import Deliver, Links, Send, Weather
from shoal_sim.exact.null import NullFormat, NullKeyring
from shoal_sim.seeds import START

NEVER: Final = 1 << 62  # ns
KEYS_HELD: Final = 2  # epochs for which a relay that begins has keys
MOST_EVENTS: Final = 10**10
_ECHO: Final = Question(RequestType.ECHO, EMPTY_RECORD)
_REST: Final = bytes(len(EMPTY_RECORD) - crypto.KEY_LENGTH)


@value
class Trip:
    """A round trip that ended: when it was sent and answered (ns), and what mixes and relay held.

    ``drawn`` is the sum of the delays that the sender drew, ``wait`` what a GET asked to wait.
    """

    person: int
    sent: int
    answered: int
    drawn: int
    wait: int


@value
class _Asked:
    sent: int
    drawn: int
    wait: int


class Hub:
    """One relay: its machine, and a store that answers at once."""

    def __init__(self, net: "Mixnet", number: int, public: bytes, rng: Rng) -> None:
        peer = identity.peer_id(public)
        self.id: Final = identity.relay_id(peer)
        self.number: Final = number
        self._engine: Final = net.engine
        self._send: Final = net.send
        self._ends: Final = net.ends
        self._net: Final = net
        self._public: Final = public
        self._store: Final = MemoryStore(net.params, peer[-16:])
        self.begin(rng)

    def begin(self, rng: Rng) -> None:
        """Take up work with fresh mix keys."""
        net, now = self._net, self._engine.now
        instance = self._store.instance
        keyring = self.keyring()
        mixer = MixMachine(
            keyring, self.id, net.params, now=now, rng=rng, limits=net.limits, packets=net.packets
        )
        desk = ServiceDesk(
            self.id,
            params=net.params,
            relays=net.relay_ids,
            instance=instance,
            packets=net.packets,
        )
        self.machine = RelayMachine(mixer, desk)
        self.descriptor = _descriptor(self.number, self._public, mixer.public_keys())
        self._armed = NEVER
        self._arm()

    def keyring(self) -> MixKeyring:
        """Return the mix keys of a run."""
        net = self._net
        return MixKeyring(net.params.hash) if net.real else NullKeyring(net.epochs)

    @property
    def pool_size(self) -> int:
        """Packets held now."""
        return self.machine.mix.pool_size

    def receive(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Take a packet from a neighbour or a person."""
        events = self.machine.receive(packet, source, self._engine.now)
        if events:
            self._do(events)
        self._arm()

    def _tick(self, due: int) -> None:
        if due == self._armed:
            self._armed = NEVER
            self._do(self.machine.handle_timer(self._engine.now))
            self._arm()

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        if due < self._armed:
            self._armed = due
            self._engine.at(due, "mix", self._tick, due)

    def _do(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, SendPacket):
                target = event.next_id
                self._send(self.id, target, event.packet, self._ends[target])
            elif isinstance(event, Access):
                now = self._engine.now
                (outcome,) = self._store.execute([event.operation], now)
                self._do(self.machine.stored(event.ticket, outcome, now))


class Bystander:
    """One person whose node is on and who says nothing."""

    def __init__(self, net: "Mixnet", number: int, preset: Preset, rng: Rng) -> None:
        self.number: Final = number
        self._net: Final = net
        self._rng: Final = rng
        self._preset: Final = preset
        self.stand_behind(net.rng.choice(net.relays))
        self.begin()

    def stand_behind(self, guard: Descriptor) -> None:
        """Send by way of this guard, among the relays that are known now."""
        net = self._net
        self.guard = guard
        self._chooser = paths.PathChooser(
            net.relays, guard, params=net.params, rng=self._rng, layers=net.layers
        )

    def begin(self) -> None:
        """Begin a session: another id, nothing outstanding."""
        net, rng = self._net, self._rng
        self.id = rng.bytes(16)
        self._courier: Courier[_Asked] = Courier(
            self.id, network=net.params.hash, rng=rng, packets=net.packets
        )
        self._cover = CoverSchedule(self._preset, rng, net.engine.now)
        self._arm()

    def receive(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Take a reply from the guard."""
        net = self._net
        try:
            asked, _ = self._courier.receive(packet)
        except RemoteProtocolError as error:
            net.counters[error.reason] += 1
            return
        now = net.engine.now
        net.answered(Trip(self.number, asked.sent, now, asked.drawn, asked.wait))

    def _arm(self) -> None:
        self._net.engine.at(self._cover.next_deadline(), "slot", self._slot)

    def _slot(self) -> None:
        now = self._net.engine.now
        net = self._net
        net.counters["overdue"] += len(self._courier.expire(now))
        slot = self._cover.draw(now)
        if slot is not None:
            packet = self._fill(slot, now)
            if packet is not None:
                net.counters["sent"] += 1
                guard = self.guard.relay_id
                net.send(self.id, guard, packet, net.ends[guard])
        self._arm()

    def _fill(self, slot: SlotClass, now: int) -> bytes | None:
        net, rng, preset = self._net, self._rng, self._preset
        service = self._chooser.any_service()
        trip = None if service is None else self._chooser.round_trip(service)
        if trip is None:
            net.counters["no way"] += 1
            return None
        mixes, delay = net.params.path_mixes, preset.mean_delay_ms
        forward = paths.hops(trip.forward, mixes, delay, now=now, params=net.params, rng=rng)
        reply = paths.hops(trip.reply, mixes, delay, now=now, params=net.params, rng=rng)
        question, wait_ms = _ECHO, 0
        if slot is SlotClass.WAITING:
            mean = preset.get_wait_mean_ms
            wait_ms = min(round(rng.exponential(mean)), 3 * mean)
            question = Question(
                RequestType.BOX_GET, rng.bytes(crypto.KEY_LENGTH) + _REST, wait_ms=wait_ms
            )
        drawn = sum([hop.delay_ms for hop in (*forward, *reply)]) * MILLISECOND
        asked = _Asked(now, drawn, wait_ms * MILLISECOND)
        deadline = now + drawn + asked.wait + net.params.surb_lifetime_s * SECOND
        return self._courier.ask(question, forward, reply, asked, deadline)


class Mixnet:
    """A network of hubs and bystanders under virtual time.

    Args:
        relays, people: how many.
        preset: everybody's.
        chance: gives the stream of a name.
        latency_ms: of every link, unless ``links.lay`` says otherwise.
        real: with the packets' cryptography.
        answered: is told of each round trip that ends.
        length_s: how long the run may last at most; mix keys are given for as long.
        link_seed: of what links draw.
        hub, person: the classes of nodes.
        through: what packets pass before their links; gets the network and what sends.
        packets: their format, if not the one that ``real`` tells.
        drawn: whether ways keep to the active set, by the traffic that people make in truth;
            all relays mix else.
    """

    def __init__(
        self,
        relays: int,
        people: int,
        preset: Preset,
        *,
        params: NetworkParameters,
        chance: Callable[[str], Rng],
        latency_ms: int = 42,
        real: bool = False,
        answered: Callable[[Trip], None] = lambda trip: None,
        length_s: float = 600.0,
        link_seed: str = "",
        limits: Limits | None = None,
        hub: type[Hub] = Hub,
        person: type[Bystander] = Bystander,
        through: Callable[["Mixnet", Send], Send] = lambda net, send: send,
        packets: PacketFormat | None = None,
        drawn: bool = False,
    ) -> None:
        self.params: Final = params
        self.real: Final = real
        self.limits: Final = limits or Limits(peers=2**20, pool=2**20, peer_pool=2**20)
        self.packets: Final[PacketFormat] = packets or (SPHINX if real else NullFormat())
        self.engine: Final = Engine(START, traced=False, most=MOST_EVENTS)
        self.links: Final = Links(self.engine, link_seed, {})
        self.links.weather = Weather(latency_ms, latency_ms)
        self.answered = answered
        self.counters: Final[Counter[str]] = Counter()
        self.rng: Final = chance("guards")
        self.send: Final = through(self, self.links.send)
        self.ends: Final[dict[bytes, Deliver]] = {}  # who takes what is for an id
        self._ids: list[bytes] = []
        last = clock.index_of(START + clock.seconds(length_s), params.epoch_s)
        self.epochs: Final = range(clock.index_of(START, params.epoch_s), last + 2)
        if real and len(self.epochs) > KEYS_HELD:
            raise UserError("A run with real cryptography lasts until its second epoch at most.")
        self.hubs: Final = [
            hub(self, number, chance(f"identity {number}").bytes(32), chance(f"relay {number}"))
            for number in range(relays)
        ]
        self.relays = [one.descriptor for one in self.hubs]  # whom everybody knows
        self._ids += [one.id for one in self.hubs]
        self._rate: Final = people * preset.rate  # requests a second
        self.layers: list[Sequence[Descriptor]] | None = [] if drawn else None
        self._draw()
        self.people: Final = [
            person(self, number, preset, chance(f"person {number}")) for number in range(people)
        ]
        self.ends.update((one.id, one.receive) for one in self.hubs)
        names = self.links.names
        names.update((one.id, f"relay {one.number}") for one in self.hubs)
        for one in self.people:
            self.met(one)

    def met(self, person: Bystander) -> None:
        """Let packets to a person's new session find it."""
        self.links.names[person.id] = f"person {person.number}"
        self.ends[person.id] = person.receive

    def know(self, relays: list[Descriptor]) -> None:
        """Let everybody know these relays from now on."""
        self.relays = relays
        self._ids[:] = [one.relay_id for one in relays]
        self._choose()

    def _draw(self) -> None:
        """Draw the active set, and again when the next epoch begins."""
        self._choose()
        if self.layers is not None:
            epoch_ns = self.params.epoch_s * SECOND
            self.engine.at((self.engine.now // epoch_ns + 1) * epoch_ns, "epoch", self._draw)

    def _choose(self) -> None:
        if self.layers is not None:
            count, epoch = len(self.relays), clock.index_of(self.engine.now, self.params.epoch_s)
            classes = [traffic.class_of(self._rate * 60 / max(1, count))] * count
            self.layers[:] = active.draw(self.relays, classes, epoch, self.params).layers

    @property
    def active_relays(self) -> int:
        """How many relays ways are drawn from just now, beside guards and the relay asked."""
        if self.layers is None:
            return len(self.relays)
        return len({relay.relay_id for layer in self.layers for relay in layer})

    def relay_ids(self) -> Sequence[bytes]:
        """Return all relays' ids."""
        return self._ids

    def run(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.engine.run(seconds)


def _descriptor(number: int, public: bytes, mix_keys: tuple[tuple[int, bytes], ...]) -> Descriptor:
    """Return what a directory says of relay ``number``; every relay has a /16 of its own."""
    high, low = divmod(number, 250)
    return Descriptor(
        public_key=public,
        epoch=mix_keys[0][0],
        serial=0,
        addresses=(f"/ip4/{high % 220 + 1}.{low + 1}.{high // 220}.1/tcp/4001",),
        mix_keys=mix_keys,
        instance=identity.peer_id(public)[-16:],
        capacity=0,
        family=b"",
        software="",
        nonce=bytes(8),
        signature=bytes(64),
        data=b"",
    )
