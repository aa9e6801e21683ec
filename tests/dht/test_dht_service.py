"""The node's DHT service over the in-memory transport, in virtual time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio
from trio.testing import MockClock

from dht import network
from dht.network import key_of, record_of
from shoal_node.clock import NodeClock
from shoal_node.dht_links import LinkLimits
from shoal_node.dht_service import DhtService
from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, TaskStatus
from shoal_node.transport.memory import MemoryNetwork, MemoryTransport
from shoal_protocol import crypto
from shoal_protocol.dht import contacts, messages
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.parameters import LAB
from support import START, seeded


@dataclass
class Peer:
    """One node of a test."""

    service: DhtService
    transport: MemoryTransport
    contact: Contact
    scope: trio.CancelScope


async def start_peer(
    nursery: trio.Nursery, net: MemoryNetwork, name: object, limits: LinkLimits | None = None
) -> Peer:
    """Put a node with a running DHT service on the network."""
    seed = crypto.digest(str(name).encode())
    service = DhtService(
        crypto.ed25519_public(seed),
        LAB,
        seeded(f"service {name}"),
        NodeClock(START).now,
        validate=network.validate,
        link_limits=limits,
    )
    scope = trio.CancelScope()
    transport: MemoryTransport = await nursery.start(
        partial(net.run, {framing.DHT: service.handler}, seed=seed)
    )
    contact = contacts.contact_at(transport.peer_id, transport.addresses[0])

    async def run(*, task_status: TaskStatus[None]) -> None:
        with scope:
            await service.run(transport, task_status=task_status)

    await nursery.start(run)
    return Peer(service, transport, contact, scope)


@asynccontextmanager
async def running(
    count: int, latency: float = 0.02, limits: LinkLimits | None = None
) -> AsyncIterator[tuple[MemoryNetwork, Sequence[Peer]]]:
    """Run ``count`` nodes that all know the same relay directory, until the block ends."""
    net = MemoryNetwork(latency)
    async with trio.open_nursery() as nursery:
        peers = [await start_peer(nursery, net, index, limits) for index in range(count)]
        for peer in peers:
            peer.service.add_contacts(other.contact for other in peers if other is not peer)
        for peer in peers:
            await peer.service.joined.wait()
        await trio.sleep(10)
        yield net, peers
        nursery.cancel_scope.cancel()


async def test_what_one_node_puts_every_other_gets(autojump_clock: MockClock) -> None:
    async with running(12) as (_, peers):
        record = record_of(key_of("a"))
        assert await peers[0].service.put(record) == len(peers)
        for peer in peers:
            assert await peer.service.get(key_of("a")) == record
        assert await peers[3].service.get(key_of("nothing")) is None
        stats = peers[3].service.stats
        assert stats.peers == len(peers) - 1
        assert (stats.lookups, stats.found, stats.records) == (2, 1, 1)
        assert stats.failures == 0


async def test_vanished_nodes_cost_time_and_no_record(autojump_clock: MockClock) -> None:
    async with running(12) as (net, peers):
        record = record_of(key_of("a"))
        await peers[0].service.put(record)
        for peer in peers[:4]:
            peer.scope.cancel()
            net.kill(peer.transport.peer_id)
        for peer in peers[4:]:
            assert await peer.service.get(key_of("a")) == record


async def test_a_node_that_nobody_listed_joins_by_asking_to_be_dialled(
    autojump_clock: MockClock,
) -> None:
    async with running(5) as (net, peers), trio.open_nursery() as nursery:
        newcomer = await start_peer(nursery, net, "newcomer")
        newcomer.service.add_contacts([peers[0].contact])
        await newcomer.service.joined.wait()
        await trio.sleep(10)
        assert newcomer.service.stats.peers == len(peers)
        assert all(peer.service.stats.peers == len(peers) for peer in peers)
        nursery.cancel_scope.cancel()


async def test_a_mute_peer_costs_its_askers_a_time_out_and_not_more(
    autojump_clock: MockClock,
) -> None:
    async def mute(channel: Channel) -> None:
        while True:
            await channel.receive()

    async with running(3) as (net, peers), trio.open_nursery() as nursery:
        seed = crypto.digest(b"mute")
        transport: MemoryTransport = await nursery.start(
            partial(net.run, {framing.DHT: mute}, seed=seed)
        )
        contact = contacts.contact_at(transport.peer_id, transport.addresses[0])
        peers[0].service.add_contacts([contact])
        await trio.sleep(30)
        assert peers[0].service.stats.peers == 2
        assert peers[0].service.stats.failures == 1
        started = trio.current_time()
        await peers[0].service.put(record_of(key_of("a")))
        assert trio.current_time() - started < 1
        nursery.cancel_scope.cancel()


async def test_garbage_closes_the_channel_and_the_node_serves_on(
    autojump_clock: MockClock,
) -> None:
    async with running(3) as (net, peers), trio.open_nursery() as nursery:
        stranger: MemoryTransport = await nursery.start(
            partial(net.run, {}, seed=crypto.digest(b"stranger"), listen=())
        )
        address = peers[0].transport.addresses[0]
        rng = seeded("garbage")
        ping = messages.encode_request(messages.Ping())
        bad = [b"", b"\0\0\0\1", b"\0\0\0\1" + rng.bytes(50), b"\0\0\0\1" + bytes(60_000)]
        for frame in bad:
            channel = await stranger.open(address, framing.DHT)
            await channel.send(frame)
            with trio.fail_after(5):
                await channel.done.wait()
            await channel.aclose()
        channel = await stranger.open(address, framing.DHT)
        await channel.send(messages.join(7, ping))
        assert messages.split(await channel.receive())[0] == 7
        assert peers[0].service.stats.peers == 2
        await channel.aclose()
        nursery.cancel_scope.cancel()


async def test_replies_that_nobody_asked_for_close_the_channel(autojump_clock: MockClock) -> None:
    async def talkative(channel: Channel) -> None:
        await channel.receive()
        while True:
            await channel.send(messages.join(99, messages.encode_reply(messages.Pong())))

    async with running(2) as (net, peers), trio.open_nursery() as nursery:
        transport: MemoryTransport = await nursery.start(
            partial(net.run, {framing.DHT: talkative}, seed=crypto.digest(b"talkative"))
        )
        contact = contacts.contact_at(transport.peer_id, transport.addresses[0])
        peers[0].service.add_contacts([contact])
        await trio.sleep(1)
        assert peers[0].service.counters["dht unasked"] == 1
        assert peers[0].service.stats.peers == 1
        nursery.cancel_scope.cancel()


async def test_channels_beyond_the_bound_are_closed_and_opened_again(
    autojump_clock: MockClock,
) -> None:
    async with running(8, limits=LinkLimits(links=4)) as (_, peers):
        for index, peer in enumerate(peers):
            key = key_of(index)
            assert await peer.service.put(record_of(key)) > 0
            assert await peers[index - 1].service.get(key) == record_of(key)
            assert peer.service.stats.links <= 4
