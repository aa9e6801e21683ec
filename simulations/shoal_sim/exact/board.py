"""The directory of a world: what each relay last published, carried to every node's own view.

::

    OwnEntry ─► Publish ─► board ──(delay; walls hold it up)──► DirectoryView of each node
                              └── asked again from time to time, as anti-entropy would

Descriptors, leases and views are the real ones; only the gossip between them is not: ``gossip``
has that, at a higher price. That a relay signs no two descriptors of one version is checked here.
"""

from typing import TYPE_CHECKING, Final

from shoal_protocol.clock import MILLISECOND, SECOND
from shoal_protocol.directory import envelope
from shoal_protocol.directory.descriptor import MAX_DESCRIPTOR

if TYPE_CHECKING:
    from shoal_sim.exact.nodes import Node
    from shoal_sim.exact.relays import Relay
    from shoal_sim.exact.world import World

ASKS_A_LEASE: Final = 2  # times that a node compares all it knows while a lease lasts


class Board:
    """All that was published, newest of each relay."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._latest: dict[str, tuple[bytes, bytes]] = {}  # by relay's name: descriptor, lease
        self._signed: dict[tuple[str, envelope.Version], bytes] = {}
        self.delay_ms = 0  # a publication takes up to this long to a node

    def publish(self, relay: "Relay", descriptor: bytes, lease: bytes) -> None:
        """Take what a relay says of itself and carry it to everybody."""
        version = envelope.peek(descriptor, MAX_DESCRIPTOR).version
        if self._signed.setdefault((relay.name, version), descriptor) != descriptor:
            raise self._world.engine.broken(f"{relay.name} signed two descriptors of {version}")
        self._latest[relay.name] = (descriptor, lease)
        relay.hear((descriptor, lease))
        for node in self._world.nodes():
            if node is not relay:
                self._carry([relay.name], node)

    def join(self, node: "Node") -> None:
        """Let a node that begins learn all, and compare from time to time."""
        self.compare(node)
        pause = self._world.params.lease_s * SECOND // ASKS_A_LEASE
        node.later(pause, "compares the directory", lambda: self.join(node))

    def compare(self, node: "Node") -> None:
        """Bring a node up to date with everybody whom it can hear."""
        self._carry(list(self._latest), node)

    def down(self, node: "Node") -> None:
        """Learn that a node has crashed."""

    def parted(self) -> None:
        """Learn that a wall has gone up."""

    def mend(self) -> None:
        """Let nothing be wrong any more."""

    def _carry(self, authors: list[str], node: "Node") -> None:
        links = self._world.links
        heard = [self._latest[name] for name in authors if not links.cut(name, node.name)]
        if not node.up or not heard:
            return
        if not self.delay_ms:
            node.hear(*heard)
            return
        delay = self._world.rng.below(self.delay_ms * MILLISECOND)
        node.later(delay, "hears of relays", lambda: node.hear(*heard))
