"""Relays and people's nodes under virtual time: the gossip's machines, links and one heap."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from shoal_protocol import clock, crypto, identity
from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory import own, sync
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.lease import sign_lease
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB, NetworkParameters
from support import START, seeded

NEIGHBOURS: Final = 6


class Author:
    """One identity that signs what a test asks for."""

    def __init__(self, seed: int | str, params: NetworkParameters = LAB) -> None:
        self.rng = seeded(f"author {seed}")
        self.params = params
        self.seed = self.rng.bytes(32)
        self.public = crypto.ed25519_public(self.seed)
        self.peer_id = identity.peer_id(self.public)
        self.relay_id = identity.relay_id(self.peer_id)
        self.instance = self.rng.bytes(16)
        self.nonce = descriptors.solve_work(self.public, params, self.rng)

    def descriptor(
        self,
        now: int = START,
        *,
        epoch: int | None = None,
        serial: int = 0,
        addresses: Sequence[str] = ("/ip4/9.9.9.9/tcp/4001",),
        software: str = "shoal/0.1.0",
        params: NetworkParameters | None = None,
        capacity: int = 0,
    ) -> bytes:
        """Return a descriptor of the epoch at ``now``, or of ``epoch``."""
        at = clock.index_of(now, self.params.epoch_s) if epoch is None else epoch
        return descriptors.sign(
            self.seed,
            version=Version(at, serial),
            addresses=addresses,
            mix_keys=[
                (e, crypto.digest(self.seed + bytes([e % 256]))) for e in (at - 1, at, at + 1)
            ],
            instance=self.instance,
            nonce=self.nonce,
            params=params or self.params,
            capacity=capacity,
            software=software,
        )

    def lease(
        self,
        now: int = START,
        *,
        epoch: int | None = None,
        serial: int = 0,
        lasts: int | None = None,
        traffic: int = 0,
        params: NetworkParameters | None = None,
    ) -> bytes:
        """Return a lease that ends ``lasts`` seconds (one lease) after ``now``."""
        at = clock.index_of(now, self.params.epoch_s) if epoch is None else epoch
        until = now // SECOND + (self.params.lease_s if lasts is None else lasts)
        return sign_lease(
            self.seed,
            version=Version(at, serial),
            until=until,
            params=params or self.params,
            traffic=traffic,
        )


class Node:
    """A relay, or with ``serve`` false a person's node."""

    def __init__(
        self, world: "World", name: str, *, serve: bool, view: DirectoryView | None = None
    ) -> None:
        self.world = world
        self.author = Author(name, world.params)
        self.id = self.author.relay_id
        self.alive = True
        self.changes = 0
        self.faults: Counter[str] = Counter()
        self.sent_bytes = 0
        self.view = DirectoryView(world.params) if view is None else view
        self.sync = sync.DirectorySync(self.view, rng=seeded(f"sync {name}"), serve=serve)
        self.own: own.OwnEntry | None = None
        if serve:
            self.own = own.OwnEntry(
                own.Identity(self.author.seed, self.author.nonce, self.author.instance),
                params=world.params,
                rng=seeded(f"own {name}"),
                last=None,
            )
            epoch = clock.index_of(world.now, world.params.epoch_s)
            keys = [(e, crypto.digest(self.author.seed)) for e in (epoch - 1, epoch, epoch + 1)]
            self.mine(self.own.refresh([f"/memory/{name}"], keys, world.now))

    def mine(self, events: Sequence[own.Event]) -> None:
        """Carry out what the own entry asks for."""
        assert self.own is not None
        for event in events:
            match event:
                case own.Persist(version):
                    self.mine(self.own.persisted(version, self.world.now))
                case own.Publish(descriptor, lease):
                    self.do(self.sync.publish(descriptor, lease, self.world.now))

    def do(self, events: Sequence[sync.Event]) -> None:
        """Carry out what the gossip asks for."""
        for event in events:
            match event:
                case sync.SendFrame(peer, frame):
                    self.sent_bytes += len(frame) + 4
                    self.world.send(self.id, peer, frame)
                case sync.Changed():
                    self.changes += 1
                case sync.Drop(peer, _):
                    self.world.cut(self.id, peer)

    def wake(self) -> None:
        """Run whatever timers are due, and come again for the next."""
        if not self.alive:
            return
        now = self.world.now
        self.do(self.sync.handle_timer(now))
        due = [self.sync.next_deadline()]
        if self.own is not None:
            self.mine(self.own.handle_timer(now))
            due.append(self.own.next_deadline())
        times = [max(time, now + MILLISECOND) for time in due if time is not None]
        self.world.at(min([*times, now + SECOND // 4]), self.wake)

    def known(self) -> set[bytes]:
        """Return the ids of the relays that are live here."""
        return {relay.relay_id for relay in self.view.relays(self.world.now)}


class World:
    """All nodes, the links between them, and time."""

    def __init__(self, params: NetworkParameters = LAB, seed: int = 0) -> None:
        self.params = params
        self.now = START
        self.nodes: dict[bytes, Node] = {}
        self.links: set[frozenset[bytes]] = set()
        self.rng = seeded(f"world {seed}")
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self.loses: Callable[[bytes], bool] = lambda _frame: False
        self._order = itertools.count()
        self._arrivals: dict[tuple[bytes, bytes], int] = {}

    def at(self, time: int, action: Callable[[], None]) -> None:
        """Do ``action`` at ``time``."""
        heapq.heappush(self._heap, (time, next(self._order), action))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> float:
        """Let time pass, or less if ``until`` holds; return the seconds that passed."""
        begin, end, check = self.now, self.now + clock.seconds(seconds), self.now
        while self._heap and self._heap[0][0] <= end:
            self.now, _, action = heapq.heappop(self._heap)
            action()
            if until is not None and self.now >= check:
                check = self.now + 50 * MILLISECOND
                if until():
                    return (self.now - begin) / SECOND
        self.now = end
        return seconds

    def join(
        self,
        name: str,
        *,
        to: Sequence[Node] = (),
        serve: bool = True,
        seek: bool = True,
        view: DirectoryView | None = None,
    ) -> Node:
        """Add a node and link it to ``to``; a relay goes on to ``seek`` neighbours by itself."""
        node = Node(self, name, serve=serve, view=view)
        self.nodes[node.id] = node
        for other in to:
            self.link(node.id, other.id)
        node.wake()
        if serve and seek:
            self._seek(node)
        return node

    def link(self, one: bytes, other: bytes) -> None:
        """Open a channel, unless there is one."""
        pair = frozenset((one, other))
        if pair in self.links or one == other or not self.nodes[other].alive:
            return
        self.links.add(pair)
        for a, b in ((one, other), (other, one)):
            self.nodes[a].do(self.nodes[a].sync.connected(b, self.now))

    def cut(self, one: bytes, other: bytes) -> None:
        """Close a channel, at both ends at once."""
        self.links.discard(frozenset((one, other)))
        for a, b in ((one, other), (other, one)):
            if b in self.nodes[a].sync.peers:
                self.nodes[a].sync.disconnected(b)

    def kill(self, node: Node) -> None:
        """Let a node vanish without a word."""
        node.alive = False
        for peer in node.sync.peers:
            self.cut(node.id, peer)

    def send(self, sender: bytes, to: bytes, frame: bytes) -> None:
        """Deliver a frame after 20 to 80 ms, in order; a frame for a closed channel is lost."""
        if self.loses(frame):
            return
        arrival = self.now + (20 + self.rng.below(60)) * MILLISECOND
        arrival = self._arrivals[sender, to] = max(arrival, self._arrivals.get((sender, to), 0))
        self.at(arrival, lambda: self._deliver(sender, to, frame))

    def alive(self) -> list[Node]:
        """Return the relays that are there."""
        return [n for n in self.nodes.values() if n.alive and n.sync.serve]

    def agreed(self) -> bool:
        """Return whether every node that is there knows exactly the relays that are there."""
        ids = {node.id for node in self.alive()}
        return all(node.known() == ids for node in self.nodes.values() if node.alive)

    def _deliver(self, sender: bytes, to: bytes, frame: bytes) -> None:
        node = self.nodes[to]
        if frozenset((sender, to)) not in self.links or sender not in node.sync.peers:
            return
        try:
            node.do(node.sync.receive(sender, frame, self.now))
        except RemoteProtocolError as error:
            node.faults[error.reason] += 1
            self.cut(sender, to)

    def _seek(self, node: Node) -> None:
        if not node.alive:
            return
        others = [relay.relay_id for relay in node.view.relays(self.now)]
        if len(node.sync.peers) < NEIGHBOURS and others:
            other = self.rng.choice(others)
            if other in self.nodes:
                self.link(node.id, other)
        self.at(self.now + SECOND // 2, lambda: self._seek(node))
