"""The two transports behind one way to start a node, for tests that hold for both."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio

from shoal_node.transport.interface import Handlers, Transport, TransportLimits
from shoal_node.transport.libp2p_host import run_libp2p
from shoal_node.transport.memory import MemoryNetwork
from transport_support import ECHO, LOOPBACK, Start, seed_of


@pytest.fixture(params=["memory", "libp2p"])
async def start(request: pytest.FixtureRequest, nursery: trio.Nursery) -> AsyncIterator[Start]:
    """Start nodes of one network: ``await start(name, handlers, limits=…, nursery=…)``."""
    network = MemoryNetwork()
    run: Any = network.run if request.param == "memory" else run_libp2p
    addresses = ("/memory/0",) if request.param == "memory" else LOOPBACK

    async def start_node(
        name: str | int,
        handlers: Handlers = ECHO,
        *,
        limits: TransportLimits | None = None,
        into: trio.Nursery | None = None,
    ) -> Transport:
        service = partial(run, handlers, seed=seed_of(name), listen=addresses, limits=limits)
        transport: Transport = await (into or nursery).start(service)
        return transport

    with trio.fail_after(20):
        yield start_node


@pytest.fixture
async def start_libp2p(nursery: trio.Nursery) -> AsyncIterator[Start]:
    """Start libp2p nodes on loopback."""

    async def start_node(
        name: str | int,
        handlers: Handlers = ECHO,
        *,
        limits: TransportLimits | None = None,
        into: trio.Nursery | None = None,
    ) -> Transport:
        service = partial(run_libp2p, handlers, seed=seed_of(name), listen=LOOPBACK, limits=limits)
        transport: Transport = await (into or nursery).start(service)
        return transport

    with trio.fail_after(20):
        yield start_node
