"""What the logs and counters of whole relays say while people write to each other."""

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_node.person import PersonNode
from shoal_node.relay import RelayNode
from shoal_node.store import relay_store
from shoal_node.transport.memory import MemoryNetwork
from support import START, seeded

RELAYS = 6
MESSAGES = 12
LONGEST_S = 600  # virtual


async def until(condition: Callable[[], bool]) -> None:
    """Let virtual time pass until ``condition`` holds."""
    while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
        await trio.sleep(0.2)


class Nodes:
    """Whole nodes on one in-memory network."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.network = MemoryNetwork(latency=0.001)
        self.clock = NodeClock(START)
        self.rng = seeded("logs")
        self.relays: list[RelayNode] = []
        self.people: list[PersonNode] = []

    async def start(self, nursery: trio.Nursery) -> None:
        for number in range(RELAYS):
            relay = RelayNode(
                self.config(f"relay-{number}"), self.rng, self.clock, self.network.run
            )
            await nursery.start(relay.run)
            self.relays.append(relay)
        for number in range(2):
            config = self.config(f"person-{number}")
            person = PersonNode(config, self.rng, self.clock, self.network.run)
            await nursery.start(person.run)
            self.people.append(person)

    def config(self, name: str) -> NodeConfig:
        data = self.home / name
        data.mkdir()
        return NodeConfig(
            role="relay" if name.startswith("relay") else "person",
            data=data,
            listen=("/memory/0",) if name.startswith("relay") else (),
            bootstrap=tuple(a for relay in self.relays[:3] for a in relay.status().addrs[:1]),
            network="lab",
            preset="fast",
        )

    async def talk(self) -> None:
        """Exchange messages until all have come."""
        a, b = self.people
        nodes: list[RelayNode | PersonNode] = [*self.relays, a, b]
        await until(lambda: all(node.status().ready for node in nodes))
        mine = await a.create_persona(None, ephemeral=True)
        theirs = await b.create_persona(None, ephemeral=True)
        contact = await a.add_contact(mine.id, theirs.pseudonym)
        await a.send(contact.conversation, "hello", None)
        await until(lambda: bool(b.conversations()))
        (conversation,) = b.conversations()
        for number in range(MESSAGES):
            await a.send(contact.conversation, f"question {number}", None)
            await b.send(conversation.id, f"answer {number}", None)
            await trio.sleep(0.5)
        count = 1 + 2 * MESSAGES
        await until(lambda: len(a.messages(contact.conversation, None, 100)) == count)
        await until(lambda: len(b.messages(conversation.id, None, 100)) == count)


async def test_the_logs_of_whole_relays_name_no_box_no_inbox_and_nobody(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    nodes = Nodes(tmp_path)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(LONGEST_S):
            await nodes.start(nursery)
            await nodes.talk()
        nursery.cancel_scope.cancel()
    lines = "\n".join(record.getMessage() for record in caplog.records).lower()
    kept = set[bytes]()
    for number in range(RELAYS):
        database = sqlite3.connect(tmp_path / f"relay-{number}" / relay_store.FILE)
        kept |= {address for (address,) in database.execute("SELECT address FROM box")}
        kept |= {address for (address,) in database.execute("SELECT address FROM inbox")}
        database.close()
    assert len(kept) > 2 * MESSAGES
    names = kept | {relay.peer.relay_id for relay in nodes.relays}
    assert [name for name in names if name.hex()[:12] in lines] == []
    assert "memory/" not in lines
    # A line a message would tell by its time alone what the text does not.
    assert sum(record.name.startswith("shoal") for record in caplog.records) < MESSAGES
