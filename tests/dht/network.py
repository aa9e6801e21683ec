"""Many nodes of the DHT in one process, stepped by hand under virtual time.

A record here is a stand-in for an announcement: 32 bytes of key, period and revision, and a
checksum where a signature would be.
"""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from shoal_protocol import clock, crypto, parameters
from shoal_protocol.clock import SECOND, seconds
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.dht.calls import Answers, Call, Calls, drive
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.dht.lookup import Lookups
from shoal_protocol.dht.messages import Reply, Request, decode_request, encode_reply
from shoal_protocol.dht.routing import Table
from shoal_protocol.dht.server import DhtServer, ServerLimits
from shoal_protocol.dht.storage import RecordStore
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from support import START, seeded

T = TypeVar("T")
P = TypeVar("P", "Node", "Liar")
PARAMETERS: Final = parameters.LAB
TODAY: Final = clock.index_of(START, PARAMETERS.day_s)
ROUND_TRIP: Final = seconds(0.05)
TIME_OUT: Final = seconds(2)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the stand-in validator says."""

    key: bytes
    period: int
    revision: int


def record_of(key: bytes, revision: int = 1, period: int = TODAY) -> bytes:
    """Return a valid stand-in record under ``key``."""
    body = key + period.to_bytes(4, "big") + revision.to_bytes(4, "big")
    filled = body + bytes(RECORD_LENGTH - len(body) - 32)
    return filled + crypto.digest(filled)


def validate(record: bytes, now: int) -> Checked:
    """Check a stand-in record as ``announcement.validate`` checks a real one."""
    if len(record) != RECORD_LENGTH or crypto.digest(record[:-32]) != record[-32:]:
        raise RemoteProtocolError("signature")
    checked = Checked(
        record[:32], int.from_bytes(record[32:36], "big"), int.from_bytes(record[36:40], "big")
    )
    ahead = checked.period - clock.index_of(now, PARAMETERS.day_s)
    if not -PARAMETERS.announce_days_behind <= ahead <= PARAMETERS.announce_days_ahead:
        raise RemoteProtocolError("announcement period")
    return checked


def key_of(name: object) -> bytes:
    """Return a key of 32 bytes that looks random."""
    return crypto.digest(str(name).encode())


def contact_of(name: object) -> Contact:
    """Return a contact that nobody answers at."""
    return Contact(key_of(f"contact {name}"), f"/memory/{name}".replace(" ", "-"))


class Node:
    """One honest node; ``address`` where it isn't in memory."""

    def __init__(
        self,
        name: object,
        now: int,
        limits: ServerLimits | None = None,
        *,
        parameters: NetworkParameters = PARAMETERS,
        address: str | None = None,
    ) -> None:
        rng = seeded(f"node {name}")
        self.contact = contact_of(name)
        if address is not None:
            self.contact = Contact(self.contact.public_key, address)
        own, apart = self.contact.position, parameters.distinct_subnets
        self.table = Table(own, parameters.dht_k, now, apart=apart)
        self.store = RecordStore(self.contact.position, validate, parameters, rng)
        self.server = DhtServer(self.table, self.store, parameters, limits)
        self.lookups = Lookups(self.table, self.store, parameters, rng, self.contact.address)
        self.alive = True

    def answer(self, asker: bytes, message: bytes, now: int) -> bytes | None:
        """Return the reply's bytes, or None where the channel would be closed."""
        try:
            return self.server.answer(asker, message, now)
        except RemoteProtocolError:
            return None


Say = Callable[[Request], Reply | bytes | None]


class Liar:
    """A node that answers every request with what ``say`` returns: bytes, a reply or silence."""

    def __init__(self, name: object, say: Say, address: str | None = None) -> None:
        self.contact = contact_of(name)
        if address is not None:
            self.contact = Contact(self.contact.public_key, address)
        self.alive = True
        self._say = say

    def answer(self, asker: bytes, message: bytes, now: int) -> bytes | None:
        """Return whatever the liar says."""
        said = self._say(decode_request(message))
        return said if said is None or isinstance(said, bytes) else encode_reply(said)


class Network:
    """Nodes that reach each other at once or not at all, and the time.

    ``calls`` counts calls by kind of request; ``log`` holds (asker, asked) of each.
    """

    def __init__(self, count: int, parameters: NetworkParameters | None = None) -> None:
        """Make ``count`` nodes, with ``parameters`` each in a /16 of its own."""
        self.now = START
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str, str]] = []
        self.peers: dict[bytes, Node | Liar] = {}
        self.nodes = [self.add(self._node(index, parameters)) for index in range(count)]

    def _node(self, index: int, parameters: NetworkParameters | None) -> Node:
        if parameters is None:
            return Node(index, self.now)
        address = f"/ip4/{20 + index // 250}.{1 + index % 250}.7.1/tcp/4001"
        return Node(index, self.now, parameters=parameters, address=address)

    def add(self, peer: P) -> P:
        """Put a node or liar at its contact."""
        self.peers[peer.contact.peer_id] = peer
        return peer

    def replace(self, node: Node, say: Say) -> None:
        """Let a liar speak where ``node`` did."""
        liar = Liar("liar", say)
        liar.contact = node.contact
        self.peers[node.contact.peer_id] = liar

    def join_all(self) -> None:
        """Let every node join through the first, one after the other."""
        for node in self.nodes[1:]:
            self.run(node, node.lookups.bootstrap([self.nodes[0].contact], self.now))
            for other in self.nodes:
                self.run(other, other.lookups.greet())

    def kill(self, nodes: Iterable[Node]) -> None:
        """Make nodes fall silent."""
        for node in nodes:
            node.alive = False

    def run(self, node: Node, task: Coroutine[Any, Any, T]) -> T:
        """Step a task of ``node`` to its end."""
        return drive(task, lambda calls: self._perform(node, calls))

    def pass_time(self, duration_s: float) -> None:
        """Move the clock."""
        self.now += round(duration_s * SECOND)

    def _perform(self, node: Node, calls: Calls) -> Answers:
        replies = tuple(self._ask(node, call) for call in calls.batch)
        self.now += TIME_OUT if None in replies else ROUND_TRIP
        return Answers(self.now, replies)

    def _ask(self, node: Node, call: Call) -> bytes | None:
        self.calls[type(call.request).__name__] += 1
        self.log.append((node.contact.address, call.contact.address))
        peer = self.peers.get(call.contact.peer_id)
        if peer is None or not peer.alive or peer.contact.address != call.contact.address:
            return None
        return peer.answer(node.contact.peer_id, call.message, self.now)
