"""Walks towards a key: the ``kademlia`` package's crawlers over our calls.

::

    nearest known ──α uncontacted──► Calls ──► silent or refused: out
        ▲                                  └── contacts: into the heap, bounded
        └────────── again, until all k nearest answered, or a limit ───────┘

What differs from the package, all by overriding: a batch goes out as one ``Calls``; a value
crawl goes on until QUORUM nodes showed a verified record and the highest revision of them
wins, where the package takes the first bytes it sees; a heap is bounded, and who failed
stays out however often others name it (the package takes such a node for alive); rounds and
calls are bounded; the package's loggers hear of no peers and no values. spec: dht §5
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

from kademlia.crawling import NodeSpiderCrawl, RPCFindResponse, SpiderCrawl, ValueSpiderCrawl
from kademlia.node import Node, NodeHeap

from shoal_protocol.dht import routing
from shoal_protocol.dht.calls import Call, Calls
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.directory import subnets

ROUNDS_MOST: Final = 24  # batches of one crawl; spec: dht §5
CALLS_PER_K: Final = 6  # calls of one crawl, as a multiple of k; spec: dht §5
QUORUM: Final = 3  # nodes that show a verified record before the best is taken; spec: dht §5

_HEAP_PER_K: Final = 4  # contacts that a crawl remembers, as a multiple of k; spec: dht §5


@dataclass(frozen=True, slots=True)
class Shown:
    """A verified record as one node showed it; the highest revision is the best."""

    revision: int
    record: bytes


class Asker(Protocol):
    """What a crawl needs of the node: how to ask, and how to read what came."""

    @property
    def apart(self) -> bool:
        """Whether of the nodes in view only the nearest in each /16 counts."""
        ...

    def node_of(self, contact: Contact) -> Any | None:
        """Return the package's node for ``contact``, or None if it stands nowhere."""
        ...

    def call_find_node(self, peer: Any, target: Any) -> Call:
        """Return the call that asks ``peer`` for contacts near ``target``."""
        ...

    def call_find_value(self, peer: Any, target: Any) -> Call:
        """Return the call that asks ``peer`` for the record under ``target``."""
        ...

    def read(self, call: Call, reply: bytes | None, now: int) -> tuple[Contact, ...] | Shown | None:
        """Return what a reply says, verified, or None when there is none or it is refused."""
        ...


class Heap(NodeHeap):  # type: ignore[misc]
    """Nodes by distance to a target: k in view, a bounded number behind them.

    With ``apart`` those in view are of as many /16s: who is in one with somebody nearer
    waits behind, until that one has failed.
    """

    heap: list[tuple[int, Any]]

    def __init__(self, node: Any, maxsize: int, own: bytes, *, apart: bool = False) -> None:
        super().__init__(node, maxsize)
        self._apart = apart
        self._ids: set[bytes] = {own}
        self._refused: set[tuple[Any, ...]] = set()
        self._own = own

    def push(self, nodes: Any) -> None:
        """Add a node or a list of them; a node that failed at the same address stays out."""
        for node in nodes if isinstance(nodes, list) else [nodes]:
            if node.id not in self._ids and tuple(node) not in self._refused:
                self._ids.add(node.id)
                heapq.heappush(self.heap, (self.node.distance_to(node), node))
        if len(self.heap) > _HEAP_PER_K * self.maxsize:
            self.heap = heapq.nsmallest(_HEAP_PER_K * self.maxsize, self.heap)
            self._ids = {self._own, *(node.id for _, node in self.heap)}

    def remove(self, peers: Iterable[bytes]) -> None:
        """Take out these ids; the same key under another address may still come in."""
        gone = set(peers)
        self._refused.update(tuple(node) for _, node in self.heap if node.id in gone)
        super().remove(gone)
        self._ids -= gone
        self.contacted -= gone

    def give_up(self) -> None:
        """Take out everybody who wasn't asked, in view or behind."""
        self.remove([node.id for _, node in self.heap if node.id not in self.contacted])

    def __contains__(self, node: Any) -> bool:
        return node.id in self._ids

    def __iter__(self) -> Iterator[Any]:
        if not self._apart:
            return iter(super().__iter__())
        ordered = (node for _, node in sorted(self.heap))
        return islice(subnets.apart(ordered, lambda node: str(node.port)), self.maxsize)

    def __len__(self) -> int:
        return sum(1 for _ in self) if self._apart else int(super().__len__())


class _Rounds(SpiderCrawl):  # type: ignore[misc]
    """The shared step of both crawls: the package's ``_find``, over ``Calls``."""

    nearest: Heap

    def begin(self, seeds: Iterable[Contact], own: bytes) -> None:
        """Put the seeds in; the package's own way of doing so writes them to its log."""
        self.nearest = Heap(self.node, self.ksize, own, apart=self.protocol.apart)
        self.nearest.push(self._nodes(seeds))
        self.rounds = 0
        self.calls = 0

    async def _find(self, rpcmethod: Any) -> Any:
        count = self.alpha
        ids = self.nearest.get_ids()
        if ids == self.last_ids_crawled:
            count = len(self.nearest)
        self.last_ids_crawled: list[bytes] = ids
        self.rounds += 1
        if self.rounds > ROUNDS_MOST or self.calls > CALLS_PER_K * self.ksize:
            self.nearest.give_up()
        batch = self.nearest.get_uncontacted()[:count]
        if not batch:
            return await self._nodes_found({})
        for peer in batch:
            self.nearest.mark_contacted(peer)
        calls = tuple(rpcmethod(peer, self.node) for peer in batch)
        self.calls += len(calls)
        answers = await Calls(calls)
        responses: dict[bytes, Any] = {}
        for peer, call, reply in zip(batch, calls, answers.replies, strict=True):
            responses[peer.id] = self._response(self.protocol.read(call, reply, answers.now))
        return await self._nodes_found(responses)

    def _response(self, said: tuple[Contact, ...] | Shown | None) -> tuple[bool, Any]:
        """Put an answer into the package's form: (happened, node triples or a value)."""
        if said is None:
            return False, None
        if isinstance(said, Shown):
            return True, {"value": said}
        return True, [tuple(node) for node in self._nodes(said)]

    def _nodes(self, contacts: Iterable[Contact]) -> list[Any]:
        nodes = (self.protocol.node_of(contact) for contact in contacts)
        return [node for node in nodes if node is not None]


class NodeCrawl(_Rounds, NodeSpiderCrawl):  # type: ignore[misc]
    """Finds the k nodes nearest to ``target`` that answer."""

    def __init__(
        self, asker: Asker, target: bytes, seeds: Iterable[Contact], k: int, alpha: int, own: bytes
    ) -> None:
        super().__init__(asker, Node(target), [], k, alpha)
        self.begin(seeds, own)

    async def run(self) -> list[Contact]:
        """Return them, nearest first; a coroutine that yields ``Calls``."""
        return [routing.contact_of(node) for node in await self.find()]


class ValueCrawl(_Rounds, ValueSpiderCrawl):  # type: ignore[misc]
    """Finds the best verified record under ``key``.

    Args:
        local: what this node holds itself; one of the quorum.
    """

    def __init__(
        self,
        asker: Asker,
        key: bytes,
        seeds: Iterable[Contact],
        k: int,
        alpha: int,
        own: bytes,
        local: Shown | None,
    ) -> None:
        super().__init__(asker, Node(key), [], k, alpha)
        self.begin(seeds, own)
        self.shown: dict[bytes, Shown] = {} if local is None else {own: local}
        self._own = own

    async def run(self) -> Shown | None:
        """Return it, or None when nobody shows one; a coroutine that yields ``Calls``."""
        best: Shown | None = await self.find()
        return best

    def lagging(self, best: Shown) -> list[Contact]:
        """Return who should be given ``best``: the nearest node without it, and with less."""
        nodes = [
            self.nearest.get_node(peer)
            for peer, shown in self.shown.items()
            if shown.revision < best.revision and peer != self._own
        ]
        nearest = self.nearest_without_value.popleft()
        if nearest is not None:
            nodes.append(nearest)
        return [routing.contact_of(node) for node in nodes if node is not None]

    async def _nodes_found(self, responses: dict[bytes, Any]) -> Any:
        silent: list[bytes] = []
        for peer_id, answer in responses.items():
            response = RPCFindResponse(answer)
            if not response.happened():
                silent.append(peer_id)
            elif response.has_value():
                self.shown[peer_id] = response.get_value()
            else:
                responder = self.nearest.get_node(peer_id)
                if responder is not None:  # others may have pushed it out of the bounded heap
                    self.nearest_without_value.push(responder)
                self.nearest.push(response.get_node_list())
        self.nearest.remove(silent)
        if len(self.shown) >= QUORUM or self.nearest.have_contacted_all():
            return max(self.shown.values(), key=lambda shown: shown.revision, default=None)
        return await self.find()
