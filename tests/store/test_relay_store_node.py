"""A relay as a whole node: what it keeps is on disk, told by its status, there after a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing

from service.asker import Asker
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_node.relay import RelayNode
from shoal_node.store import relay_store
from shoal_node.transport.memory import MemoryNetwork
from shoal_protocol.errors import StoreError
from shoal_protocol.service.desk import Access
from shoal_protocol.service.messages import Request, Status
from shoal_protocol.service.storage import Outcome
from support import START, seeded


@asynccontextmanager
async def relay(home: Path) -> AsyncIterator[RelayNode]:
    """Run a relay that is alone on its network, so that it ranks for every address."""
    config = NodeConfig(
        role="relay", data=home, listen=("/memory/0",), bootstrap=(), network="lab", preset="fast"
    )
    node = RelayNode(config, seeded("relay"), NodeClock(START), MemoryNetwork(latency=0).run)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        with trio.fail_after(60):
            while not node.status().ready:  # noqa: ASYNC110  directories have no event of this
                await trio.sleep(0.1)
        yield node
        nursery.cancel_scope.cancel()


async def ask(node: RelayNode, asker: Asker, request: Request) -> tuple[Status, bytes]:
    """Have the relay's desk and store serve one request; return the reply's status and record."""
    (access,) = node.machine.desk.request(request.encode(), START)
    assert isinstance(access, Access)
    outcomes: list[Outcome | StoreError] = []
    node._commits.submit(access.operation, outcomes.append)
    with trio.fail_after(60):
        while not outcomes:  # noqa: ASYNC110  a callback without a task
            await trio.sleep(0.01)
    assert not isinstance(outcomes[0], StoreError)
    (packet,) = node.machine.stored(access.ticket, outcomes[0], START)
    reply = asker.reply(packet)
    return reply.status, reply.record


async def test_a_box_is_acknowledged_counted_and_there_after_a_restart(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    asker = Asker()
    record = asker.box(7)
    async with relay(tmp_path) as node:
        assert (await ask(node, asker, asker.put_box(record)))[0] is Status.OK
        counters = node.status().counters
        assert (counters["boxes kept"], counters["entries kept"]) == (1, 0)
        assert counters["store queue"] == 0
        assert 0 < counters["store bytes"] < counters["store limit"] == relay_store.LIMIT
        descriptor = node.descriptor()
    assert not (tmp_path / f"{relay_store.FILE}-wal").exists()  # closed, and not only ended
    async with relay(tmp_path) as node:
        assert await ask(node, asker, asker.get_box(record[:32])) == (Status.OK, record)
        again = node.descriptor()
        assert descriptor is not None
        assert again is not None
        assert again.instance == descriptor.instance
