"""Channels between two nodes that keep order: what the directory's frames travel on.

::

    send ──► latency, longer for each loss ──► behind the frame before ──► receive
    close ─► the same way, behind all frames ────────────────────────────► lost
    crash or wall ──► broken: nothing crosses; each end learns it by itself, later ──► lost
    mute ──► nothing crosses, and nobody learns it until an end closes

As over TCP what is lost comes late, and nothing comes twice or out of its order.
"""

from typing import TYPE_CHECKING, Final, Protocol

from shoal_protocol.clock import MILLISECOND, SECOND

if TYPE_CHECKING:
    from shoal_sim.exact.nodes import Node

RESEND: Final = 200 * MILLISECOND  # that a loss costs
UNDER_WAY_MOST: Final = 64  # frames; there is no room for more
CRASH_NOTICED: Final = 2 * SECOND  # at the latest, when the other end died
WALL_NOTICED: Final = 12 * SECOND  # and when nothing comes through any more


class Owner(Protocol):
    """Who holds an end."""

    @property
    def node(self) -> "Node":
        """Whose end it is."""
        ...

    def receive(self, end: "End", frame: bytes) -> None:
        """Take a frame."""

    def lost(self, end: "End") -> None:
        """Learn that the channel is gone."""


class End:
    """One node's end of a channel.

    ``peer`` is the id of the node at the other end, ``dial`` the number under which this node
    dialled, None at who was dialled.
    """

    other: "End"

    def __init__(self, owner: Owner, peer: bytes, dial: int | None) -> None:
        self.owner: Final = owner
        self.peer: Final = peer
        self.dial: Final = dial
        self.gone = False  # this node has let go of it
        self.broken = False
        self.mute = False
        self.free = 0  # when what was sent here last arrives, ns
        self.under_way = 0  # frames on their way here

    def send(self, frame: bytes) -> bool:
        """Send a frame; False, and it is dropped, when there is no room."""
        other, engine = self.other, self.owner.node.world.engine
        if other.under_way >= UNDER_WAY_MOST:
            return False
        engine.note(f"{self._names} tells", frame)
        if not self.broken and not self.mute:
            other.under_way += 1
            engine.at(self._arrival(), f"{self._names} is told", lambda: other._arrives(frame))
        return True

    def close(self) -> None:
        """Let go; the other end learns it behind all that was sent."""
        self.gone = True
        if not self.broken:
            engine, other = self.owner.node.world.engine, self.other
            engine.at(self._arrival(), f"{self._names} has left", other._is_left)

    def fail(self, within: int) -> None:
        """Let nothing cross any more; each end learns it within so many ns."""
        if self.broken:
            return
        self.broken = self.other.broken = True
        for end in (self, self.other):
            node = end.owner.node
            node.later(1 + node.world.rng.below(within), "misses a channel", end._is_missed)

    def turn_mute(self) -> None:
        """Let frames vanish from here on, in both directions."""
        self.mute = self.other.mute = True

    @property
    def _names(self) -> str:
        return f"{self.owner.node.name} {self.other.owner.node.name}"

    def _arrival(self) -> int:
        """Return when what is sent now arrives, and let nothing overtake it."""
        one, other = self.owner.node, self.other.owner.node
        links = one.world.links
        took = links.latency(one.name, other.name)
        loss, rng = links.weather.loss, one.world.rng
        while loss and rng.uniform() < loss:
            took += RESEND
        self.other.free = max(self.other.free, one.world.engine.now + took)
        return self.other.free

    def _arrives(self, frame: bytes) -> None:
        self.under_way -= 1
        if not self.gone and not self.broken and not self.mute:
            self.owner.receive(self, frame)

    def _is_left(self) -> None:
        if not self.gone and not self.broken:
            self.owner.lost(self)

    def _is_missed(self) -> None:
        if not self.gone:
            self.owner.lost(self)


def join(dialler: Owner, dial: int, listener: Owner, ids: tuple[bytes, bytes]) -> tuple[End, End]:
    """Return both ends of a new channel; ``ids`` are the dialler's and the listener's."""
    one, other = End(dialler, ids[1], dial), End(listener, ids[0], None)
    one.other, other.other = other, one
    return one, other
