"""People and relays who come and go, and relays that nobody can dial.

::

    person   there ──leaves──► away ──comes──► there: a new session behind the guard it had
    relay    there ──leaves──► away ──comes──► there: fresh mix keys, the store it had
                │ its packets are lost            │ listed anew: a pull of a client later
                └ listed while its lease lasts    └ what was made with its old keys is refused
    guard lost ── noticed ──► GuardSet: the next is dialled

In a network of cover the directory is given, so what it would tell is assumed: all people know
the same relays at any time; a lease was last signed within a third of its length, as relays
renew them; and who is back is known ``lease_s / CLIENT_PULLS`` later, which is how often a
client pulls. Packets to who isn't there get no further: a link tells at once that the other end
is closed. A relay that nobody can dial, as it stands behind a NAT, is listed like the others:
it announces itself by its own dials. Nothing reaches it. People dial out, so that a NAT before
them changes nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from shoal_protocol.client.cover import SlotClass
from shoal_protocol.client.guards import GuardSet
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.own import RENEWALS
from shoal_protocol.directory.sync import CLIENT_PULLS
from shoal_protocol.packets.keys import MixKeyring
from shoal_protocol.rng import Rng
from shoal_sim.exact.engine import Engine
from shoal_sim.exact.following import Following
from shoal_sim.exact.links import Deliver, Send
from shoal_sim.exact.mixnet import Bystander, Hub, Mixnet
from shoal_sim.exact.nodes import Node
from shoal_sim.exact.null import NullKeyring
from shoal_sim.exact.people import DIAL, LOST_LATEST_MS, PAUSE
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.world import World
from shoal_sim.traces.sessions import Changes


class RunKeyring(NullKeyring):
    """Mix keys of one run of a relay: null, but not those of its last run."""

    __slots__ = ("_run",)

    def __init__(self, epochs: range | None, run: int) -> None:
        super().__init__(epochs)
        self._run = run

    def public(self) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, 32 bytes) of every epoch."""
        key = self._run.to_bytes(31, "big") + b"\1"
        return tuple((epoch, key) for epoch, _ in super().public())


class ComingRelay(Relay):
    """A relay of a world whose null keys are of its run."""

    def keyring(self) -> MixKeyring:
        """Return the mix keys of a run."""
        return RunKeyring(None, self.runs) if self.world.null else super().keyring()


class ComingHub(Hub):
    """A relay that may leave."""

    up = True
    dialled = True  # whether others can
    runs = 0

    def keyring(self) -> MixKeyring:
        """Return the mix keys of a run."""
        net = self._net
        return MixKeyring(net.params.hash) if net.real else RunKeyring(net.epochs, self.runs)

    @property
    def pool_size(self) -> int:
        """Packets held now."""
        return super().pool_size if self.up else 0

    def takes(self, target: bytes) -> bool:
        """Return whether a link to this relay can be there."""
        return self.up and self.dialled

    def receive(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Take a packet, unless this relay has left since it was sent."""
        if self.up:
            super().receive(source, target, packet)
        else:
            self._net.counters["lost in relays"] += 1

    def leave(self) -> None:
        """Lose all that a run holds."""
        self._net.counters["lost in relays"] += self.pool_size
        self.up = False

    def come(self, rng: Rng) -> None:
        """Take up work in another run."""
        self.up = True
        self.runs += 1
        self.begin(rng)

    def _tick(self, due: int) -> None:
        if self.up:
            super()._tick(due)


class Visitor(Bystander):
    """A person who may leave, and whose guard may."""

    up = True
    linked = True
    stay: "Stay"
    guards: GuardSet | None = None  # None: the one guard never leaves
    _run = 0
    _links = 0  # made so far

    def takes(self, target: bytes) -> bool:
        """Return whether a guard can send to this session."""
        return self.up and self.linked and self.id == target

    def receive(self, source: bytes, target: bytes, packet: bytes) -> None:
        """Take a reply, unless this person has left since it was sent."""
        if self.up:
            super().receive(source, target, packet)

    def sample(self, reaches: Callable[[bytes], bool]) -> None:
        """Have the guards that a node samples, and a link to the first that can be reached."""
        net, now = self._net, self._net.engine.now
        self.guards = GuardSet(net.params, self._rng)
        self.guards.replenish(net.relays, now)
        kept = [one.relay_id for one in self.guards.guards()]
        found = next((one for one in kept if reaches(one)), None)
        if found is None:
            self.linked = False
            self._seek()
            return
        for one in kept[: kept.index(found)]:
            self.guards.failed(one, now)
        self.stand_behind(self.stay.known[found])

    def leave(self) -> None:
        """Stop: what is outstanding is forgotten."""
        self._give_up()
        self.up = False
        self._run += 1

    def come(self) -> None:
        """Begin another session; the guards stay."""
        self.up = True
        self.begin()
        self.stay.session(self)
        if self.guards is not None:
            self.linked = False
            self._seek()

    def guard_left(self) -> None:
        """Notice after a while that the link to the guard is dead."""
        made, wait = self._links, self._rng.below(LOST_LATEST_MS * MILLISECOND)
        self._later(wait, lambda: self._lose() if made == self._links and self.linked else None)

    def _lose(self) -> None:
        assert self.guards is not None
        self.guards.failed(self.guard.relay_id, self._net.engine.now)
        self.linked = False
        self._give_up()
        self._later(PAUSE, self._seek)

    def _give_up(self) -> None:
        self._net.counters["given up"] += len(self._courier.reset())

    def _seek(self) -> None:
        guards, net, now = self.guards, self._net, self._net.engine.now
        assert guards is not None
        guards.replenish(net.relays, now)
        guards.replace_vanished(net.relays, now)
        kept = guards.current(now)
        if kept is None:
            self._later(PAUSE, self._seek)
            return
        relay = kept.relay_id
        reached = self.stay.reaches(relay)
        self._later(
            self.stay.round_trip(self, relay) if reached else DIAL, lambda: self._dialled(relay)
        )

    def _dialled(self, relay: bytes) -> None:
        assert self.guards is not None
        if not self.stay.reaches(relay):
            self.guards.failed(relay, self._net.engine.now)
            self._seek()
            return
        self.guards.works(relay)
        self.linked = True
        self._links += 1
        self.guard = self.stay.hubs[relay].descriptor
        self._known = None

    def _later(self, delay: int, action: Callable[[], None]) -> None:
        """Do ``action`` after ``delay`` ns if this session lasts so long."""
        run = self._run

        def act() -> None:
            if run == self._run:
                action()

        self._net.engine.after(delay, "person", act)

    def _arm(self) -> None:
        self._net.engine.at(self._cover.next_deadline(), "slot", self._visit, self._run)

    def _visit(self, run: int) -> None:
        if run == self._run:
            self._slot()

    _known: list[Descriptor] | None = None  # the relays that ways are drawn from

    def _fill(self, slot: SlotClass, now: int) -> bytes | None:
        net = self._net
        if self.linked and self._known is not net.relays:
            guard = self.stay.known.get(self.guard.relay_id)
            if guard is not None:
                self.stand_behind(guard)
                self._known = net.relays
        if not self.linked or self._known is not net.relays:
            net.counters["slots without a guard"] += 1
            return None
        return super()._fill(slot, now)


class Stay:
    """Who is there; stands between a network and its links.

    Args:
        chance: gives the stream of a name.
        packets: the format, to forget packets that were lost.
    """

    def __init__(self, chance: Callable[[str], Rng], packets: Following) -> None:
        self._chance: Final = chance
        self.packets: Final = packets
        self.hubs: Final[dict[bytes, ComingHub]] = {}
        self.known: dict[bytes, Descriptor] = {}
        self._sessions: Final[dict[bytes, Visitor]] = {}
        self._listed: list[Descriptor | None] = []
        self._signed: list[int] = []  # when a lease of each was, ns

    def through(self, net: Mixnet, send: Send) -> Send:
        """Return what sends to those who are there."""
        hubs, sessions, packets = self.hubs, self._sessions, self.packets

        def carry(source: bytes, target: bytes, packet: bytes, deliver: Deliver) -> None:
            node = hubs.get(target) or sessions.get(target)
            if node is not None and node.takes(target):
                send(source, target, packet, deliver)
            else:
                net.counters["nobody there"] += 1
                packets.forget(packet)

        return carry

    def begin(
        self,
        net: Mixnet,
        *,
        people: Changes | None = None,
        relays: Changes | None = None,
        undialled: Sequence[int] = (),
    ) -> None:
        """Let those who are away at the beginning be away, and the rest come and go."""
        self._net = net
        hubs = [hub for hub in net.hubs if isinstance(hub, ComingHub)]
        visitors = [person for person in net.people if isinstance(person, Visitor)]
        self.hubs.update((hub.id, hub) for hub in hubs)
        for number in undialled:
            hubs[number].dialled = False
        self._listed = [hub.descriptor for hub in hubs]
        now, third = net.engine.now, net.params.lease_s * SECOND // RENEWALS
        phase = self._chance("leases")
        self._signed = [now - phase.below(third) for _ in hubs]
        for hub, here in zip(hubs, () if relays is None else relays.at_start, strict=False):
            if not here:
                hub.leave()
                self._listed[hub.number] = None
        self._tell()
        for person in visitors:
            person.stay = self
            self.session(person)
            if relays is not None or undialled:
                person.sample(self.reaches)
        for person, here in zip(visitors, () if people is None else people.at_start, strict=False):
            if not here:
                person.leave()
        if relays is not None:
            in_turn(net.engine, relays, lambda at, comes: self._relay(hubs[at], comes, visitors))
        if people is not None:
            in_turn(net.engine, people, lambda at, comes: _person(visitors[at], comes))

    def session(self, person: Visitor) -> None:
        """Let packets to a person's new session find it."""
        self._net.met(person)
        self._sessions[person.id] = person

    def reaches(self, relay: bytes) -> bool:
        """Return whether somebody who dials a relay reaches it."""
        return self.hubs[relay].takes(relay)

    def round_trip(self, person: Visitor, relay: bytes) -> int:
        """Draw how long it takes to dial, ns."""
        names = self._net.links.names
        return 2 * self._net.links.latency(names[person.id], names[relay])

    def _relay(self, hub: ComingHub, comes: bool, people: Sequence[Visitor]) -> None:
        net = self._net
        lease = net.params.lease_s * SECOND
        if comes:
            hub.come(self._chance(f"relay {hub.number} run {hub.runs + 1}"))
            self._signed[hub.number] = net.engine.now
            net.engine.after(lease // CLIENT_PULLS, "listed", self._lists, hub, hub.runs)
            return
        hub.leave()
        since = (net.engine.now - self._signed[hub.number]) % (lease // RENEWALS)
        net.engine.after(lease - since, "lease ends", self._drops, hub, hub.descriptor)
        for person in people:
            if person.linked and person.up and person.guard.relay_id == hub.id:
                person.guard_left()

    def _lists(self, hub: ComingHub, run: int) -> None:
        if hub.up and hub.runs == run:
            self._listed[hub.number] = hub.descriptor
            self._tell()

    def _drops(self, hub: ComingHub, of_run: Descriptor) -> None:
        if self._listed[hub.number] is of_run:
            self._listed[hub.number] = None
            self._tell()

    def _tell(self) -> None:
        relays = [one for one in self._listed if one is not None]
        self.known = {one.relay_id: one for one in relays}
        self._net.know(relays)


def in_turn(engine: Engine, changes: Changes, act: Callable[[int, bool], None]) -> None:
    """Do what changes from now on: ``act`` gets the node's number and whether it comes."""
    start = engine.now

    def wait(at: int) -> None:
        if at < len(changes.time_ns):
            engine.at(start + int(changes.time_ns[at]), "change", happens, at)

    def happens(at: int) -> None:
        act(int(changes.node[at]), bool(changes.comes[at]))
        wait(at + 1)

    wait(0)


def whole(world: World, *, people: Changes | None, relays: Changes | None) -> None:
    """Let nodes of a world come and go from now on; directory and guards learn it by themselves."""
    for nodes, drawn in ((world.people, people), (world.relays, relays)):
        if drawn is None:
            continue
        for node, here in zip(nodes, drawn.at_start, strict=True):
            if not here:
                node.crash()
        in_turn(world.engine, drawn, partial(_node, nodes))


def _node(nodes: Sequence[Node], at: int, comes: bool) -> None:
    if comes:
        nodes[at].start()
    else:
        nodes[at].crash()


def _person(person: Visitor, comes: bool) -> None:
    if comes:
        person.come()
    else:
        person.leave()
