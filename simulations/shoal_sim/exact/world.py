"""A whole network of protocol machines in one process, under virtual time.

::

    World ─┬─ Engine   one heap, one trace         ├─ Relay × n   machines, store, DHT
           ├─ Links    latency, loss, walls        ├─ Person × m  machine, guards, rows
           ├─ Board    descriptors and leases      └─ Watcher      sees what lands and is shown

A world is calm unless a plan of faults says otherwise: links take a fixed time, disks none,
everybody is there from the start. Every draw comes from streams named by the seed and the
node, so that a run is the same wherever and whenever it runs.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.packets.format import SPHINX, PacketFormat
from shoal_protocol.parameters import LAB, PRESETS, NetworkParameters, Preset
from shoal_sim.exact.board import Board
from shoal_sim.exact.engine import MAX_EVENTS, Engine
from shoal_sim.exact.links import Links, Send, Weather
from shoal_sim.exact.nodes import Node
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.watch import Watcher
from shoal_sim.seeds import START, seeded

PARAMS: Final = replace(LAB, announce_work_bits=1, put_work_bits=1)

MAX_UNTRACED: Final = 10**10  # events of a simulation


class World:
    """Machines, links and time.

    Args:
        relays, people: how many of each.
        seed: of every draw.
        preset: of people's traffic, or its name.
        latency_ms: of every link while the weather is calm.
        start: ns since the Unix epoch.
        copies: whether relays replicate.
        watcher: what watches; nothing is judged without one.
        board: how the directory comes to nodes: the board, or ``gossip.Gossip``.
        relay, person: the classes of nodes, for tests that plant a fault in them.
        null: the format that packets have instead of the real one.
        traced: whether the engine keeps a trace.
        log: gets a line for each thing that happens.
    """

    def __init__(
        self,
        relays: int,
        people: int,
        *,
        seed: int | str = 0,
        preset: str | Preset = "fast",
        params: NetworkParameters = PARAMS,
        latency_ms: int = 1,
        start: int = START,
        calm: bool = True,
        copies: bool = False,
        watcher: Watcher | None = None,
        board: Callable[["World"], Board] = Board,
        relay: type[Relay] = Relay,
        person: type[Person] = Person,
        log: Callable[[str], None] | None = None,
        null: PacketFormat | None = None,
        traced: bool = True,
    ) -> None:
        self.null: Final = null is not None
        self.packets: Final[PacketFormat] = null or SPHINX
        self.seed: Final = str(seed)
        self.params: Final = params
        self.calm: Final = calm
        self.copies: Final = copies
        self.engine: Final = Engine(
            start, log, traced=traced, most=MAX_EVENTS if traced else MAX_UNTRACED
        )
        self.rng: Final = seeded(f"{seed} world")
        self.names: Final[dict[bytes, str]] = {}
        self.links: Final = Links(self.engine, self.seed, self.names)
        self.links.weather = Weather(latency_ms, latency_ms)
        self.links.taps.append(self._count)
        self.carry: Send = self.links.send  # what packets pass before links may be put before
        self.board: Final = board(self)
        self.watcher: Final = watcher or Watcher()
        self.crossings: Counter[tuple[str, str]] = Counter()
        self.sizes: Counter[int] = Counter()
        self.crashes_at: Callable[[Node, str], bool] = lambda node, step: False
        chosen = PRESETS[preset] if isinstance(preset, str) else preset
        self.relays: Final = [relay(self, number) for number in range(relays)]
        self.people: Final = [person(self, number, chosen) for number in range(people)]
        self.by_id: Final = {one.id: one for one in self.relays}
        self._by_peer: Final = {one.peer_id: one for one in self.relays}
        self._clients: dict[bytes, Person] = {}
        self.names.update((one.id, one.name) for one in self.relays)
        if calm:
            self.begin()

    @property
    def now(self) -> int:
        """The world's time, ns."""
        return self.engine.now

    @property
    def directory(self) -> dict[bytes, Descriptor]:
        """What the first node that is up sees of the directory, by relay id."""
        node = next(node for node in self.nodes() if node.up)
        return {relay.relay_id: relay for relay in node.view.relays(node.now())}

    def begin(self) -> None:
        """Start every node that isn't up."""
        for node in self.nodes():
            if not node.up and not (isinstance(node, Relay) and node.gone):
                node.start()

    def nodes(self) -> Iterator[Node]:
        """Return all nodes, relays first."""
        yield from self.relays
        yield from self.people

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let ``seconds`` pass or until ``until`` holds; returns whether it does."""
        return self.engine.run(seconds, until)

    def connect(self, person: Person, relay: Relay) -> None:
        """Give a person this guard, now."""
        person.connect(relay)

    def vanish(self, relay: Relay) -> None:
        """Kill a relay: its links die now, the directory lists it while its lease lasts."""
        relay.crash()

    def relay_at(self, peer_id: bytes) -> Relay | None:
        """Return the relay with this 38-byte peer id."""
        return self._by_peer.get(peer_id)

    def reaches(self, person: Person, relay_id: bytes | None) -> bool:
        """Return whether a person's link to a relay can be there."""
        relay = None if relay_id is None else self.by_id.get(relay_id)
        return relay is not None and relay.up and not self.links.cut(person.name, relay.name)

    def client_begins(self, person: Person) -> None:
        """Let packets to a person's new session find it."""
        self._clients[person.id] = person
        self.names[person.id] = person.name

    def node_down(self, node: Node) -> None:
        """Let the people behind a relay that is gone notice it."""
        self.board.down(node)
        for person in self.people:
            if person.up and isinstance(node, Relay) and person.guard == node.id:
                if self.calm:
                    person.lose_guard()
                else:
                    person.link_broke(wall=False)

    def send(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Carry a packet from a node to another, known by their ids."""
        self.carry(source, target, packet, self._arrive)

    def _count(self, now: int, source: bytes, target: bytes, size: int) -> None:
        ends = ("relay" if end in self.by_id else "person" for end in (source, target))
        self.crossings[next(ends), next(ends)] += 1
        self.sizes[size] += 1

    def _arrive(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Hand a packet to whom it is for."""
        relay = self.by_id.get(target)
        if relay is not None:
            sender = self._clients.get(source)
            if sender is None or (sender.up and sender.id == source and sender.guard == target):
                relay.receive(packet, source)
            return
        self._clients[target].receive(packet, source, target)
