"""The directory of a world as nodes keep it: gossip between each other, in place of the board.

::

    Relay ── OwnEntry ── Publish ─► DirectorySync ─┐
    Neighbours ─► Dial ─► latency ─► admit ────────┼─► carriers ─► the other's DirectorySync
    Person: its guards, or bootstrap relays ───────┘                     │
                                               its view ─► look, followed ◄┘

The machines are those that ``directory_service`` of the node drives, once for each run of a
node; carriers keep order, walls and crashes break them. Three relays of a world are everybody's
bootstrap addresses.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from shoal_protocol.clock import SECOND
from shoal_protocol.directory import sync
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.neighbours import Admission, Dial, Neighbours
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.errors import RemoteProtocolError
from shoal_sim.exact.board import Board
from shoal_sim.exact.carriers import CRASH_NOTICED, WALL_NOTICED, End, join
from shoal_sim.seeds import seeded

if TYPE_CHECKING:
    from shoal_sim.exact.nodes import Node
    from shoal_sim.exact.people import Person
    from shoal_sim.exact.relays import Relay
    from shoal_sim.exact.world import World

BOOTSTRAP: Final = 3  # relays whose addresses everybody was given
DIAL_FAILS: Final = 3 * SECOND  # when nobody takes or refuses it
LIAR: Final = b"relay of a liar!"


class Part:
    """One run of one node in the gossip."""

    def __init__(self, gossip: "Gossip", node: "Node", own_id: bytes, *, serve: bool) -> None:
        rng = seeded(f"{node.world.seed} {node.name} gossip {node.runs}")
        self.node: Final = node
        self.id: Final = own_id
        self.sync: Final = gossip.sync(node.view, rng=rng, serve=serve)
        self.neighbours: Final = gossip.neighbours(node.view, rng=rng, serve=serve)
        self.held: Final[dict[bytes, End]] = {}
        self.counters: Final[Counter[str]] = Counter()
        self._gossip = gossip
        self._run = node.runs
        self._armed: int | None = None  # this node's time
        self._dials: set[int] = set()  # numbers of those that have not ended
        self.pinned: dict[bytes, tuple[str, ...]] = {}
        self.neighbours.begin(own_id)

    @property
    def up(self) -> bool:
        """Whether this run goes on."""
        return self.node.up and self.node.runs == self._run

    def begin(self) -> None:
        """Find the others."""
        self._turn()

    def publish(self, descriptor: bytes, lease: bytes) -> None:
        """Tell this relay's own records."""
        self._do(self.sync.publish(descriptor, lease, self.node.now()))
        self._turn()

    def receive(self, end: End, frame: bytes) -> None:
        """Take a frame from the channel that is held to its sender."""
        if not self.up or self.held.get(end.peer) is not end:
            return
        try:
            events = self.sync.receive(end.peer, frame, self.node.now())
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            self.node.world.watcher.refused(self.node, end.other.owner.node, error.reason)
            self._leave(end)
        else:
            self._do(events)
        self._turn()

    def lost(self, end: End) -> None:
        """Learn that a channel is gone."""
        if self.up:
            end.gone = True
            self._forget(end)
            self._turn()

    def dialled(self, dialler: "Part", dial: Dial) -> None:
        """Be dialled: take the channel or close it again, and answer."""
        links, engine = self.node.world.links, self.node.world.engine
        one, other = join(dialler, dial.number, self, (dialler.id, self.id))
        back = links.latency(self.node.name, dialler.node.name)
        one.free = engine.now + back
        name = f"{dialler.node.name} has dialled {self.node.name}"
        engine.after(back, name, lambda: dialler.answered(dial, one))
        self._admit(other)
        self._turn()

    def answered(self, dial: Dial, end: End) -> None:
        """Have a channel to whom this node dialled, unless it has broken meanwhile."""
        if not self.up:
            end.fail(CRASH_NOTICED)
        elif end.broken or end.gone:
            end.gone = True
            self.failed(dial)
        else:
            self.neighbours.opened(dial.number, self.node.now())
            self._admit(end)
            self._turn()

    def failed(self, dial: Dial) -> None:
        """Learn that nobody answers."""
        if self.up:
            self._ended(dial.number)
            self._turn()

    def hear_liar(self, frames: Sequence[bytes]) -> None:
        """Take frames of a stranger who passes for a relay; anything may be in them."""
        self._do(self.sync.connected(LIAR, self.node.now()))
        for frame in frames:
            try:
                self._do(self.sync.receive(LIAR, frame, self.node.now()))
            except RemoteProtocolError as error:
                self.counters[f"liar: {error.reason}"] += 1
        self.sync.disconnected(LIAR)
        self._turn()

    def _admit(self, end: End) -> None:
        match self.neighbours.admit(end.peer, outgoing=end.dial is not None):
            case Admission.REFUSED:
                self._close(end)
                return
            case Admission.INSTEAD:
                self.sync.disconnected(end.peer)
                self._close(self.held.pop(end.peer))
            case Admission.TAKEN:
                pass
        self.held[end.peer] = end
        self._do(self.sync.connected(end.peer, self.node.now()))

    def _leave(self, end: End) -> None:
        """Close a channel that is held."""
        end.close()
        self._forget(end)

    def _forget(self, end: End) -> None:
        if self.held.get(end.peer) is end:
            del self.held[end.peer]
            self.neighbours.left(end.peer)
            if end.peer in self.sync.peers:
                self.sync.disconnected(end.peer)
        self._ended(end.dial)

    def _close(self, end: End) -> None:
        """Close a channel that is not, or no longer, held."""
        end.close()
        self._ended(end.dial)

    def _ended(self, dial: int | None) -> None:
        if dial is not None and dial in self._dials:
            self._dials.discard(dial)
            self.neighbours.ended(dial, self.node.now())

    def _do(self, events: Sequence[sync.Event]) -> None:
        for event in events:
            match event:
                case sync.SendFrame(peer, frame):
                    end = self.held.get(peer)
                    if end is None or not end.send(frame):
                        self.counters["frame dropped"] += 1
                case sync.Changed():
                    pass  # each turn looks
                case sync.Drop(peer, reason):
                    self.counters[reason] += 1
                    self._leave(self.held[peer])

    def _turn(self) -> None:
        """Follow what has changed, dial whom that asks for, and come again in time."""
        self.node.look()
        if not self.up:
            return
        self.node.world.watcher.learned(self.node)
        self._pin()
        due = self.neighbours.next_deadline()
        if due is not None and due <= self.node.now():
            for dial in self.neighbours.handle_timer(self.node.now()):
                self._dials.add(dial.number)
                self._gossip.dial(self, dial)
        self._arm()

    def _pin(self) -> None:
        pinned = self._gossip.pinned(self.node)
        if pinned != self.pinned:
            self.pinned = pinned
            for peer in self.neighbours.pin(pinned):
                self._leave(self.held[peer])

    def _arm(self) -> None:
        times = (self.sync.next_deadline(), self.neighbours.next_deadline())
        due = min((time for time in times if time is not None), default=None)
        if due is None or (self._armed is not None and self._armed <= due):
            return
        self._armed = due
        self.node.later(max(0, due - self.node.now()), "gossips", partial(self._tick, due))

    def _tick(self, due: int) -> None:
        if self._armed == due:
            self._armed = None
            self._do(self.sync.handle_timer(self.node.now()))
            self._turn()


class Gossip(Board):
    """Every node's part, and who hears whom.

    ``sync`` and ``neighbours`` are the machines' classes, for tests that plant a fault in them.
    """

    sync: type[DirectorySync] = DirectorySync
    neighbours: type[Neighbours] = Neighbours

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.parts: Final[dict[str, Part]] = {}  # by name; of a node's last run
        self.forgetful: Final[set[str]] = set()  # relays that lost the last version they signed
        self._rng = seeded(f"{world.seed} gossip")
        self._bootstrap: dict[bytes, tuple[str, ...]] = {}

    def publish(self, relay: "Relay", descriptor: bytes, lease: bytes) -> None:
        """Let a relay tell its records to whom it gossips with."""
        self._world.watcher.published(relay, descriptor, lease)
        self._part(relay).publish(descriptor, lease)

    def join(self, node: "Node") -> None:
        """Let a node that begins find the others."""
        self._part(node).begin()

    def compare(self, node: "Node") -> None:
        """Do nothing: the gossip compares by itself."""

    def down(self, node: "Node") -> None:
        """Break a crashed node's channels."""
        part = self.parts.get(node.name)
        if part is not None:
            for end in list(part.held.values()):
                end.fail(CRASH_NOTICED)

    def parted(self) -> None:
        """Break the channels that a wall stands in."""
        for end in self.ends():
            if self._world.links.cut(end.owner.node.name, end.other.owner.node.name):
                end.fail(WALL_NOTICED)

    def mend(self) -> None:
        """Let channels be as they seem."""
        for end in self.ends():
            if end.mute:
                end.fail(WALL_NOTICED)

    def lose_version(self, relay: "Relay") -> None:
        """Take a relay's disk back to before it signed last: it signs that version again."""
        last = relay.version
        if last is not None:
            self.forgetful.add(relay.name)
            relay.version = Version(last.epoch, last.serial - 1) if last.serial else None

    def ends(self) -> list[End]:
        """Return all ends that are held."""
        parts = [self.parts[node.name] for node in self._world.nodes() if node.name in self.parts]
        return [end for part in parts if part.up for end in part.held.values()]

    def pinned(self, node: "Node") -> dict[bytes, tuple[str, ...]]:
        """Return whose directory a node always wants: as ``person_links`` of the node does."""
        person = next((one for one in self._world.people if one is node), None)
        if person is None:
            return self._bootstraps()
        guards = {guard.relay_id: guard.addresses for guard in person.guards.guards()}
        if person.guards.current(person.now()) is None:
            return {**self._bootstraps(), **guards}
        return guards

    def dial(self, part: Part, dial: Dial) -> None:
        """Carry a dial to whom it is for."""
        world, node = self._world, part.node
        other = world.by_id[dial.relay_id]
        there = world.links.latency(node.name, other.name)
        name = f"dials {other.name} for the directory"

        def arrives() -> None:
            found = self.parts.get(other.name)
            if not part.up:
                return
            if world.links.cut(node.name, other.name):
                node.later(DIAL_FAILS, f"{name} in vain", lambda: part.failed(dial))
            elif found is None or not found.up:
                node.later(there, f"{name} and is refused", lambda: part.failed(dial))
            else:
                found.dialled(part, dial)

        world.engine.after(there, f"{node.name} {name}", arrives)

    def _part(self, node: "Node") -> Part:
        """Return a node's part of its present run."""
        part = self.parts.get(node.name)
        if part is None or not part.up:
            world = self._world
            nodes: list[Relay | Person] = [*world.relays, *world.people]
            own_id = next(one.id for one in nodes if one is node)
            serve = any(one is node for one in world.relays)
            part = self.parts[node.name] = Part(self, node, own_id, serve=serve)
        return part

    def _bootstraps(self) -> dict[bytes, tuple[str, ...]]:
        if not self._bootstrap:
            chosen = self._rng.sample(self._world.relays, BOOTSTRAP)
            self._bootstrap = {relay.id: (relay.address,) for relay in chosen}
        return self._bootstrap
