"""What must hold of nodes' directories where they come by gossip.

::

    published ─► signed: every descriptor and the end of every lease of each relay
    learned ───► a view holds nothing else, nothing ended, and no relay's older descriptor again
    agreed ────► all who are there list just who is there, by the newest descriptor; both ends of
                 each channel hold it; relays have neighbours enough; who signed two descriptors of
                 one version is listed by nobody, or by all alike

The first is judged whenever a node has taken a frame, been told the time or found a lease
ended. The last must come within :func:`bound_s` after everything is mended, and from then on
nothing that a relay publishes may take longer than :func:`late_s` to reach everybody.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.liars import Liar
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import envelope
from shoal_protocol.directory.descriptor import MAX_DESCRIPTOR, Descriptor
from shoal_protocol.directory.envelope import Version
from shoal_protocol.directory.lease import peek_lease
from shoal_protocol.directory.neighbours import NEIGHBOURS
from shoal_protocol.directory.sync import CLIENT_PULLS
from shoal_protocol.parameters import NetworkParameters
from shoal_sim.exact.gossip import Gossip, Part

if TYPE_CHECKING:
    from shoal_sim.exact.nodes import Node
    from shoal_sim.exact.relays import Relay
    from shoal_sim.exact.world import World

CLOCKS_SHARE: Final = 0.2  # of a lease, by which clocks may differ and all be listed all the time
REST_S: Final = 120  # the longest rest after dials in vain, 90 s, and the 30 s to answer in


def interval_s(params: NetworkParameters) -> float:
    """Return the seconds between two pulls of a person's node, which are the rarer ones."""
    return max(params.gossip_interval_ms / 1000, params.lease_s / CLIENT_PULLS)


def bound_s(params: NetworkParameters, *, gone: bool) -> float:
    """Return how long all may take to agree after everything is mended.

    A lease longer where relays are ``gone`` for good: they are listed while their last one holds.
    """
    return REST_S + 10 * interval_s(params) + gone * params.lease_s


def late_s(params: NetworkParameters) -> float:
    """Return how long a descriptor may take to everybody in a network where all agreed."""
    return 5 + 6 * interval_s(params)


@dataclass(slots=True)
class _Said:
    """What a relay published last."""

    version: Version
    data: bytes
    since: int  # the world's time, ns
    ends: int = 0  # of all its leases, s


class DirectoryJudge:
    """Holds a world's directories to what must hold; raises Broken where it does not."""

    def __init__(self, world: "World", gossip: Gossip) -> None:
        self.world: Final = world
        self.agreed_at: float | None = None  # seconds after everything was mended
        self.liar: Liar | None = None
        self.equivocated: Final[set[tuple[bytes, Version]]] = set()
        self._gossip = gossip
        self._signed: dict[tuple[bytes, Version], set[bytes]] = {}
        self._said: dict[bytes, _Said] = {}
        self._seen: dict[str, tuple[int, tuple[Descriptor, ...]]] = {}  # by node: run, view

    def published(self, relay: "Relay", descriptor: bytes, lease: bytes) -> None:
        """Note what a relay signs; only a planned fault lets it sign a version twice."""
        version = envelope.peek(descriptor, MAX_DESCRIPTOR).version
        signed = self._signed.setdefault((relay.id, version), set())
        signed.add(descriptor)
        if self.liar is not None:
            self.liar.hear(relay.id, descriptor, lease)
        if len(signed) > 1:
            if relay.name not in self._gossip.forgetful:
                raise self._broken(relay, f"signed two descriptors of {version}")
            self.equivocated.add((relay.id, version))
        said = self._said.get(relay.id)
        if said is None or said.data != descriptor:
            ends = 0 if said is None else said.ends
            said = self._said[relay.id] = _Said(version, descriptor, self.world.now, ends)
        said.ends = max(said.ends, peek_lease(lease)[1])

    def learned(self, node: "Node") -> None:
        """Judge what a node believes now."""
        now = node.view.time.now(node.now())
        relays = node.view.relays(node.now())
        run, before = self._seen.get(node.name, (0, ()))
        for relay in relays:
            said = self._said.get(relay.relay_id)
            if said is None or said.ends * SECOND <= now:
                raise self._broken(node, f"lists {self._name(relay)} after its last lease")
        if run == node.runs and relays is before:
            return
        self._seen[node.name] = (node.runs, relays)
        held = {relay.relay_id: relay for relay in before} if run == node.runs else {}
        for relay in relays:
            if relay.data not in self._signed.get((relay.relay_id, relay.version), ()):
                raise self._broken(node, f"lists {self._name(relay)} by what it never signed")
            older = held.get(relay.relay_id)
            if older is not None and relay.version < older.version:
                what = f"takes {relay.version} of {self._name(relay)} after {older.version}"
                raise self._broken(node, what)

    def refused(self, node: "Node", sender: "Node", reason: str) -> None:
        """Judge that nobody sends what nobody may."""
        raise self._broken(node, f"refuses a frame of {sender.name}: {reason}")

    def bounds(self) -> None:
        """Judge what is kept: nothing grows without end."""
        for part in self._parts():
            if part.neighbours.resting > len(self.world.relays):
                raise self._broken(part.node, f"lets {part.neighbours.resting} relays rest")
            if set(part.held) != set(part.sync.peers) or set(part.held) != set(
                part.neighbours.peers
            ):
                raise self._broken(part.node, "has machines that disagree on its channels")

    def look(self, mended_s: float) -> bool:
        """Judge a world that was mended ``mended_s`` seconds ago; return whether all agreed."""
        for part in self._parts():
            self.learned(part.node)
        if self.agreed_at is None:
            why = self._disagreement(0.0) or self._gone() or self._channels()
            if not why:
                self.agreed_at = mended_s
            elif mended_s > self._bound_s():
                raise self.world.engine.broken(f"{why} after {mended_s:.0f} s without a fault")
        elif why := self._disagreement(late_s(self.world.params)):
            raise self.world.engine.broken(f"{why}, though all had agreed")
        return self.agreed_at is not None

    def _bound_s(self) -> float:
        gone = [relay for relay in self.world.relays if relay.gone]
        ahead = max((relay.offset / SECOND for relay in gone), default=0.0)  # so are its leases
        return bound_s(self.world.params, gone=bool(gone)) + max(0.0, ahead)

    def _disagreement(self, late: float) -> str:
        """Return what some node's directory lacks that was published so many seconds ago."""
        there = {relay.id for relay in self.world.relays if relay.up}
        latest = self.world.now - round(late * SECOND)
        wanted = {
            relay_id: said
            for relay_id, said in self._said.items()
            if relay_id in there and said.since <= latest and said.ends * SECOND > self.world.now
        }
        listed: dict[tuple[bytes, Version], bytes] = {}
        barred: set[tuple[bytes, Version]] = set()
        for part in self._parts():
            view, node = part.node.view, part.node
            held = {relay.relay_id: relay for relay in view.relays(node.now())}
            for relay_id, said in wanted.items():
                found = held.get(relay_id)
                if found is None and self._apart(node, relay_id):
                    continue
                if not self._twice(relay_id, said.version) and (
                    found is None or found.data != said.data
                ):
                    return f"{node.name} lacks {said.version} of {self._called(relay_id)}"
            for relay_id, version in sorted(self.equivocated):
                found = held.get(relay_id)
                if view.proof_of(relay_id) is not None:
                    barred.add((relay_id, version))
                elif (
                    found is not None
                    and found.version == version
                    and listed.setdefault((relay_id, version), found.data) != found.data
                ):
                    return f"{self._called(relay_id)} is listed by two of {version}"
        if both := barred & set(listed):
            return f"{self._called(min(both)[0])} is out and listed"
        return ""

    def _twice(self, relay_id: bytes, version: Version) -> bool:
        """Return whether a relay is out, or may be, in the epoch of ``version``."""
        return any(one == relay_id and two.epoch >= version.epoch for one, two in self.equivocated)

    def _apart(self, node: "Node", relay_id: bytes) -> bool:
        """Return whether a node's clock runs so far before a relay's that its leases may end there.

        A lease is renewed each third of it, and heard of some pulls later: the rest is for clocks.
        """
        ahead = node.offset - self.world.by_id[relay_id].offset
        return ahead > CLOCKS_SHARE * self.world.params.lease_s * SECOND

    def _gone(self) -> str:
        """Return who is gone for good, and whose last lease is not over everywhere."""
        for relay in self.world.relays:
            if relay.gone and any(
                relay.id in {one.relay_id for one in part.node.view.relays(part.node.now())}
                for part in self._parts()
            ):
                return f"{relay.name} is gone and listed"
        return ""

    def _channels(self) -> str:
        """Return what is wrong with the channels of those who are there."""
        parts = {part.id: part for part in self._parts()}
        relays = {relay.id for relay in self.world.relays if relay.up}
        for own_id, part in parts.items():
            for peer, end in part.held.items():
                other = parts.get(peer)
                if other is None or other.held.get(own_id) is not end.other:
                    return f"{part.node.name} holds a channel that its other end does not"
            known = {relay.relay_id for relay in part.node.view.relays(part.node.now())}
            least = min(NEIGHBOURS, len(known & relays - {own_id}))
            if own_id in relays and len(known & set(part.held)) < least:
                return f"{part.node.name} has {len(known & set(part.held))} neighbours"
            if own_id not in relays and not set(part.held) >= set(part.pinned) & relays:
                return f"{part.node.name} is not told by each of its guards"
        return ""

    def _parts(self) -> list[Part]:
        parts = (self._gossip.parts.get(node.name) for node in self.world.nodes())
        return [part for part in parts if part is not None and part.up]

    def _called(self, relay_id: bytes) -> str:
        return self.world.by_id[relay_id].name

    def _name(self, relay: Descriptor) -> str:
        return self._called(relay.relay_id)

    def _broken(self, node: "Node", what: str) -> AssertionError:
        return self.world.engine.broken(f"{node.name} {what}")
