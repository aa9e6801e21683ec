"""The in-memory network's own powers: latency, partitions, kills, a record of what crossed."""

from functools import partial

import pytest
import trio
import trio.testing

from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, ChannelClosed, DialError, TransportLimits
from shoal_node.transport.memory import Crossing, MemoryNetwork, MemoryTransport
from transport_support import ECHO, seed_of


async def node(
    network: MemoryNetwork, nursery: trio.Nursery, name: str, **options: object
) -> MemoryTransport:
    service = partial(network.run, ECHO, seed=seed_of(name), **options)  # type: ignore[arg-type]
    transport: MemoryTransport = await nursery.start(service)
    return transport


async def test_latency_delays_each_frame_and_throttles_none(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network = MemoryNetwork(latency=0.1)
    a, b = await node(network, nursery, "a"), await node(network, nursery, "b")
    channel = await a.open(b.addresses[0], framing.DHT)
    began = trio.current_time()
    for number in range(16):
        await channel.send(bytes([number]))
    assert [await channel.receive() for _ in range(16)] == [bytes([n]) for n in range(16)]
    assert trio.current_time() - began == pytest.approx(0.2)


async def test_latency_may_differ_by_link(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    dict.fromkeys(("a",), 0.0)
    network = MemoryNetwork(latency=lambda source, target: 0.3 if source < target else 0.1)
    a, b = await node(network, nursery, "a"), await node(network, nursery, "b")
    channel = await a.open(b.addresses[0], framing.DHT)
    began = trio.current_time()
    await channel.send(b"x")
    await channel.receive()
    assert trio.current_time() - began == pytest.approx(0.4)


async def test_every_frame_that_enters_a_link_is_recorded(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network = MemoryNetwork(latency=0.05)
    a, b = await node(network, nursery, "a"), await node(network, nursery, "b")
    crossings = network.record()
    channel = await a.open(b.addresses[0], framing.PACKET)
    began = trio.current_time()
    await channel.send(bytes(framing.PACKET_FRAME))
    await channel.receive()
    there, back = crossings
    assert there == Crossing(began, a.peer_id, b.peer_id, framing.PACKET, framing.PACKET_FRAME)
    assert (back.source, back.target) == (b.peer_id, a.peer_id)
    assert back.time == pytest.approx(began + 0.05)


async def test_a_short_partition_only_delays(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network = MemoryNetwork()
    a, b = await node(network, nursery, "a"), await node(network, nursery, "b")
    channel = await a.open(b.addresses[0], framing.DHT)
    network.partition([a.peer_id])
    await channel.send(b"x")
    with trio.move_on_after(20) as scope:
        await channel.receive()
    assert scope.cancelled_caught
    network.heal()
    assert await channel.receive() == b"x"


async def test_a_long_partition_breaks_links_and_dials(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network = MemoryNetwork()
    a, b = await node(network, nursery, "a"), await node(network, nursery, "b")
    c = await node(network, nursery, "c")
    across = await a.open(b.addresses[0], framing.DHT)
    within = await b.open(c.addresses[0], framing.DHT)
    began = trio.current_time()
    network.partition([a.peer_id])
    with pytest.raises(ChannelClosed):
        await across.receive()
    assert trio.current_time() - began == pytest.approx(TransportLimits().dead_s)
    with pytest.raises(DialError, match="too slow"):
        await a.open(b.addresses[0], framing.DHT)
    await within.send(b"y")
    assert await within.receive() == b"y"
    network.heal()
    again = await a.open(b.addresses[0], framing.DHT)
    await again.send(b"z")
    assert await again.receive() == b"z"


async def test_a_killed_node_vanishes_for_all(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    network = MemoryNetwork()
    a, b = await node(network, nursery, "a"), await node(network, nursery, "b")
    mine = await a.open(b.addresses[0], framing.DHT)
    its: Channel = await b.open(a.addresses[0], framing.DHT)
    network.kill(b.peer_id)
    for channel in (mine, its):
        with pytest.raises(ChannelClosed):
            await channel.receive()
    for one, other in ((a, b), (b, a)):
        with pytest.raises(DialError):
            await one.open(other.addresses[0], framing.DHT)


async def test_a_node_that_listens_nowhere_can_dial_and_not_be_dialled(
    nursery: trio.Nursery,
) -> None:
    network = MemoryNetwork()
    a, b = await node(network, nursery, "a", listen=()), await node(network, nursery, "b")
    assert a.addresses == ()
    channel = await a.open(b.addresses[0], framing.DHT)
    await channel.send(b"x")
    assert await channel.receive() == b"x"
    guess = b.addresses[0].replace("/memory/2", "/memory/1")
    with pytest.raises(DialError):
        await b.open(guess, framing.DHT)
