"""Whole nodes on one in-memory network, in virtual time, for tests that drive them."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from shoal_node.api import backend
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_node.person import PersonNode
from shoal_node.relay import RelayNode
from shoal_node.transport.interface import TaskStatus
from shoal_node.transport.memory import MemoryNetwork
from shoal_protocol.rng import Rng
from support import START, seeded


async def eventually(seconds: float, condition: Callable[[], bool]) -> None:
    """Let virtual time pass, at most ``seconds`` of it, until ``condition`` holds."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
            await trio.sleep(0.1)


@dataclass
class Lab:
    """Whole nodes on one in-memory network."""

    nursery: trio.Nursery
    home: Path
    network: MemoryNetwork
    clock: NodeClock
    rng: Rng = field(default_factory=lambda: seeded("lab"))
    relays: list[RelayNode] = field(default_factory=list)
    people: list[PersonNode] = field(default_factory=list)
    running: dict[int, tuple[trio.CancelScope, trio.Event]] = field(default_factory=dict)

    def config(self, role: str, name: str, passphrase_file: Path | None = None) -> NodeConfig:
        data = self.home / name
        data.mkdir(exist_ok=True)
        return NodeConfig(
            role="relay" if role == "relay" else "person",
            data=data,
            listen=("/memory/0",) if role == "relay" else (),
            bootstrap=tuple(a for relay in self.relays[:3] for a in relay.status().addrs[:1]),
            network="lab",
            preset="fast",
            passphrase_file=passphrase_file,
        )

    async def _run(
        self,
        node: RelayNode | PersonNode,
        *,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        ended = trio.Event()
        with trio.CancelScope() as scope:
            self.running[id(node)] = scope, ended
            await node.run(task_status=task_status)
        ended.set()

    async def stop(self, node: PersonNode | RelayNode) -> None:
        """End a node as a signal would, and wait until it has."""
        scope, ended = self.running.pop(id(node))
        scope.cancel()
        await ended.wait()
        if isinstance(node, RelayNode):
            self.relays.remove(node)
        else:
            self.people.remove(node)

    async def relay(self, after_s: float = 0, name: str = "") -> RelayNode:
        """Start a relay, ``after_s`` after it was made, perhaps on an earlier one's home."""
        config = self.config("relay", name or f"relay-{len(self.relays)}")
        node = RelayNode(config, self.rng, self.clock, self.network.run)
        await trio.sleep(after_s)
        await self.nursery.start(self._run, node)
        self.relays.append(node)
        return node

    async def person(self, name: str = "", passphrase_file: Path | None = None) -> PersonNode:
        """Start a person's node; one with the name of an earlier one on that one's home."""
        config = self.config("person", name or f"person-{len(self.people)}", passphrase_file)
        node = PersonNode(config, self.rng, self.clock, self.network.run)
        await self.nursery.start(self._run, node)
        self.people.append(node)
        return node

    def relay_of(self, peer_id: bytes) -> str:
        """The relay id, in hex, of a relay's peer id; empty for people."""
        return next((r.peer.relay_id.hex() for r in self.relays if r.peer.peer_id == peer_id), "")

    def kill(self, relay_id: str) -> None:
        """Make a relay vanish."""
        gone = next(r for r in self.relays if r.peer.relay_id.hex() == relay_id)
        self.network.kill(gone.peer.peer_id)

    async def settle(self, seconds: float = 60) -> None:
        """Wait until every node knows all relays and every person is ready."""
        nodes: list[RelayNode | PersonNode] = [*self.relays, *self.people]
        await eventually(
            seconds,
            lambda: all(
                node.status().ready and node.status().relays == len(self.relays) for node in nodes
            ),
        )


@contextlib.asynccontextmanager
async def lab(home: Path, relays: int, people: int, *, start: int = START) -> AsyncIterator[Lab]:
    async with trio.open_nursery() as nursery:
        made = Lab(nursery, home, MemoryNetwork(latency=0.001), NodeClock(start))
        for _ in range(relays):
            await made.relay()
        for _ in range(people):
            await made.person()
        await made.settle()
        yield made
        nursery.cancel_scope.cancel()


async def meet(
    a: PersonNode, b: PersonNode, *, ephemeral: bool = True
) -> tuple[backend.Contact, backend.Persona]:
    """Give each a persona, let A add B by pseudonym; returns A's contact and B's persona."""
    mine = await a.create_persona(None, ephemeral=ephemeral)
    theirs = await b.create_persona(None, ephemeral=ephemeral)
    return await a.add_contact(mine.id, theirs.pseudonym), theirs


def received(node: PersonNode) -> list[backend.Message]:
    """All incoming messages of a node."""
    found = [
        message
        for conversation in node.conversations()
        for message in node.messages(conversation.id, None, 1000)
        if not message.outgoing
    ]
    return sorted(found, key=lambda message: message.received or 0)


async def accept_all(node: PersonNode) -> None:
    """Accept every request of a node, so that all that was written comes."""
    for one in node.conversations():
        if one.state == "request":
            await node.accept_contact(one.persona, one.contact)


async def until_received(node: PersonNode, count: int, seconds: float) -> list[str]:
    """Wait until ``count`` messages came; returns their texts."""
    await eventually(seconds, lambda: len(received(node)) >= count)
    return [message.text for message in received(node)]
