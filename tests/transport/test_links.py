"""Packet links: dialled on demand, used both ways, and never in anybody's way."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from shoal_node.links import LinkLimits, PacketLinks
from shoal_node.transport.channel import QueuedChannel
from shoal_node.transport.crowd import network_of
from shoal_node.transport.framing import FRAMINGS, PACKET, PACKET_FRAME
from shoal_node.transport.interface import Peer
from shoal_node.transport.memory import MemoryNetwork, MemoryTransport
from shoal_protocol.errors import LocalProtocolError
from transport_support import seed_of

INBOX = FRAMINGS[PACKET].inbox


def packet(number: int) -> bytes:
    return number.to_bytes(4, "big") * (PACKET_FRAME // 4)


class Town:
    """Nodes with packet links on one in-memory network, and the directory that they share."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork(latency=0.01)
        self.directory: dict[bytes, tuple[str, ...]] = {}
        self._nursery = nursery
        self._transports: dict[bytes, MemoryTransport] = {}

    def resolve(self, relay_id: bytes) -> Sequence[str]:
        return self.directory.get(relay_id, ())

    async def join(
        self, name: str, *, relay: bool = True, **limits: Any
    ) -> tuple[PacketLinks, bytes]:
        links = PacketLinks(self.resolve, limits=LinkLimits(**limits))
        transport: MemoryTransport = await self._nursery.start(
            partial(
                self.network.run,
                {PACKET: links.accept},
                seed=seed_of(name),
                listen=("/memory/0",) if relay else (),
            )
        )
        await self._nursery.start(links.run, transport)
        relay_id = Peer.of(transport.peer_id).relay_id
        self._transports[relay_id] = transport
        if relay:
            self.directory[relay_id] = transport.addresses
        return links, relay_id

    def kill(self, relay_id: bytes) -> None:
        self.network.kill(self._transports[relay_id].peer_id)

    def transport(self, relay_id: bytes) -> MemoryTransport:
        return self._transports[relay_id]


@pytest.fixture
async def town(nursery: trio.Nursery) -> Town:
    return Town(nursery)


async def test_silent_links_close_and_refuse_until_they_may_speak_again(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, a_id), (b, b_id) = await town.join("a"), await town.join("b")
    a.send(b_id, packet(1))
    assert await b.received.receive() == (a_id, packet(1))
    a.set_silent(silent=True)
    await trio.sleep(3)
    assert (a.connected, b.connected) == (0, 0)
    a.send(b_id, packet(2))
    b.send(a_id, packet(3))
    await trio.sleep(40)
    assert +a.counters == {"not running": 1, "silent": 1}
    assert a.received.statistics().current_buffer_used == 0
    a.set_silent(silent=False)
    a.send(b_id, packet(4))
    assert await b.received.receive() == (a_id, packet(4))


async def test_a_packet_reaches_a_relay_that_was_never_dialled(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, a_id), (b, b_id) = await town.join("a"), await town.join("b")
    for number in range(50):
        a.send(b_id, packet(number))
    assert [await b.received.receive() for _ in range(50)] == [(a_id, packet(n)) for n in range(50)]
    assert not a.counters
    assert (a.connected, b.connected) == (1, 1)


async def test_one_channel_serves_both_ways(town: Town, autojump_clock: MockClock) -> None:
    (a, a_id), (b, b_id) = await town.join("a"), await town.join("b")
    a.send(b_id, packet(1))
    await b.received.receive()
    b.send(a_id, packet(2))
    assert await a.received.receive() == (b_id, packet(2))
    (link,) = town.transport(a_id).links
    assert link.channels[0].protocol == PACKET


async def test_a_client_is_answered_over_its_own_channel_and_never_dialled(
    town: Town, autojump_clock: MockClock
) -> None:
    (client, client_id), (relay, relay_id) = (
        await town.join("client", relay=False),
        await town.join("relay"),
    )
    relay.send(client_id, packet(0), to_client=True)
    assert relay.counters == {"not connected": 1}
    client.send(relay_id, packet(1))
    assert await relay.received.receive() == (b"memory-1", packet(1))  # its host's account
    relay.send(client_id, packet(2), to_client=True)
    assert await client.received.receive() == (relay_id, packet(2))
    assert (relay.clients, relay.connected) == (1, 0)


async def test_what_is_for_a_relay_never_goes_to_a_client_nor_the_other_way(
    town: Town, autojump_clock: MockClock
) -> None:
    (client, client_id), (relay, relay_id) = (
        await town.join("client", relay=False),
        await town.join("relay"),
    )
    other, other_id = await town.join("other")
    client.send(relay_id, packet(1))
    other.send(relay_id, packet(2))
    assert {await relay.received.receive() for _ in range(2)} == {
        (b"memory-1", packet(1)),
        (other_id, packet(2)),
    }
    relay.send(client_id, packet(3))
    relay.send(other_id, packet(4), to_client=True)
    assert relay.counters == {"not connected": 2}
    relay.send(client_id, packet(5), to_client=True)
    relay.send(other_id, packet(6))
    assert await client.received.receive() == (relay_id, packet(5))
    assert await other.received.receive() == (relay_id, packet(6))


async def test_a_client_that_leaves_is_forgotten(
    town: Town, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    (client, client_id), (relay, relay_id) = (
        await town.join("client", relay=False),
        await town.join("relay"),
    )
    client.send(relay_id, packet(1))
    await relay.received.receive()
    town.kill(client_id)
    await trio.testing.wait_all_tasks_blocked()
    relay.send(client_id, packet(2), to_client=True)
    assert relay.clients == 0
    assert relay.counters == {"not connected": 1}


async def test_packets_for_nobody_are_dropped_and_counted(
    town: Town, autojump_clock: MockClock
) -> None:
    a, _ = await town.join("a")
    a.send(bytes(16), packet(1))
    assert a.counters == {"not connected": 1}


async def test_a_dead_relay_costs_one_dial_a_pause(town: Town, autojump_clock: MockClock) -> None:
    (a, _), (_, b_id) = await town.join("a"), await town.join("b")
    town.kill(b_id)
    for number in range(3):
        a.send(b_id, packet(number))
    await trio.sleep(0.1)
    assert a.counters == {"unreachable": 3}
    a.send(b_id, packet(3))
    assert a.counters == {"unreachable": 4}, "within the pause nobody dials"


async def test_a_relay_that_comes_back_is_dialled_again(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, a_id), (b, b_id) = await town.join("a"), await town.join("b")
    a.send(b_id, packet(1))
    await b.received.receive()
    town.kill(b_id)
    await trio.sleep(0.1)
    again, same_id = await town.join("b")
    assert same_id == b_id
    await trio.sleep(1)
    a.send(b_id, packet(2))
    assert await again.received.receive() == (a_id, packet(2))


async def test_too_many_packets_while_dialling_are_dropped_and_counted(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, _), (b, b_id) = await town.join("a", waiting=10), await town.join("b")
    for number in range(15):
        a.send(b_id, packet(number))
    assert a.counters == {"queue full": 5}
    assert [(await b.received.receive())[1] for _ in range(10)] == [packet(n) for n in range(10)]


async def test_a_full_outbox_drops_and_counts(town: Town, autojump_clock: MockClock) -> None:
    (a, _), (b, b_id) = await town.join("a"), await town.join("b")
    a.send(b_id, packet(0))
    await b.received.receive()
    for number in range(200):
        a.send(b_id, packet(number))
    assert a.counters == {"outbox full": 72}


async def test_a_node_that_takes_nothing_holds_a_bounded_number(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, _), (b, b_id) = await town.join("a"), await town.join("b", received=20)
    for number in range(300):
        a.send(b_id, packet(number))
        await trio.sleep(0.01)
    await trio.sleep(1)
    assert b.received.statistics().current_buffer_used == 20
    assert town.transport(b_id).counters["inbox full"] == 300 - 20 - 1 - INBOX


async def test_who_sends_more_than_is_taken_displaces_nobody_elses_packets(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, a_id), (c, c_id), (b, b_id) = (
        await town.join("a"),
        await town.join("c"),
        await town.join("b", received=20),
    )
    for number in range(300):
        a.send(b_id, packet(number))
        await trio.sleep(0.01)
    for number in range(60):
        c.send(b_id, packet(number))
    await trio.sleep(1)
    all_of_both = 60 + 20 + 1 + INBOX
    taken = Counter([(await b.received.receive())[0] for _ in range(all_of_both)])
    assert taken == {c_id: 60, a_id: 20 + 1 + INBOX}


async def test_the_least_recently_used_neighbour_gives_way(
    town: Town, autojump_clock: MockClock
) -> None:
    a, _ = await town.join("a", neighbours=2)
    others = [await town.join(name) for name in "bcd"]
    for links, relay_id in others:
        a.send(relay_id, packet(1))
        await links.received.receive()
    await trio.sleep(0.1)
    assert [a.is_connected(relay_id) for _, relay_id in others] == [False, True, True]
    a.send(others[0][1], packet(2))
    assert (await others[0][0].received.receive())[1] == packet(2)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.51.100.7", "198.51.100.200", True),
        ("198.51.100.7", "198.51.101.7", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::2", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
    ],
)
def test_addresses_of_one_owner_count_as_one_host(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) == same


async def test_clients_beyond_the_bound_are_refused(town: Town, autojump_clock: MockClock) -> None:
    relay, relay_id = await town.join("relay", clients=2)
    for name in "xyz":
        client, _ = await town.join(name, relay=False)
        client.send(relay_id, packet(1))
    await trio.sleep(1)
    assert relay.clients == 2
    assert relay.counters == {"client limit": 1}


async def test_four_networks_of_one_owner_keep_nobody_from_elsewhere_out(
    town: Town, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    relay, _ = await town.join("relay", clients=32, clients_per_host=8)

    def connect(number: int, host: str) -> bytes:
        peer = Peer.of(b"\x00$\x08\x01\x12 " + number.to_bytes(32, "big"))
        channel = QueuedChannel(peer, FRAMINGS[PACKET], host, Counter(), 0.1)
        nursery.start_soon(relay.accept, channel)
        return peer.relay_id

    for number in range(32):
        connect(number, f"2a0f:ffff:{number // 8}::{number:x}")
        await trio.sleep(0.01)
    assert relay.clients == 32
    persons = [connect(100 + number, f"198.51.{number}.7") for number in range(4)]
    await trio.sleep(1)
    assert all(map(relay.is_connected, persons))
    assert (relay.clients, +relay.counters) == (32, {"client gave way": 4})
    connect(200, "2a0f:ffff:9::1")  # the same owner again
    await trio.sleep(1)
    assert all(map(relay.is_connected, persons))
    nursery.cancel_scope.cancel()


async def test_a_silent_client_gives_way_before_one_that_speaks(
    town: Town, autojump_clock: MockClock
) -> None:
    relay, relay_id = await town.join("relay", clients=2)
    (speaks, speaker), (silent, quiet), (newcomer, new) = [
        await town.join(name, relay=False) for name in ("speaks", "silent", "newcomer")
    ]
    silent.send(relay_id, packet(0))
    for number in range(5):
        speaks.send(relay_id, packet(number))
        await trio.sleep(20)
    newcomer.send(relay_id, packet(9))
    await trio.sleep(1)
    assert [relay.is_connected(one) for one in (speaker, quiet, new)] == [True, False, True]
    assert +relay.counters == {"client gave way": 1}


async def test_both_may_dial_at_once_and_nothing_is_lost(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, a_id), (b, b_id) = await town.join("a"), await town.join("b")
    for number in range(20):
        a.send(b_id, packet(number))
        b.send(a_id, packet(number))
    for links in (a, b):
        got = [(await links.received.receive())[1] for _ in range(20)]
        assert sorted(got) == sorted(packet(n) for n in range(20))


async def test_a_packet_of_another_length_is_our_own_bug(
    town: Town, autojump_clock: MockClock
) -> None:
    (a, _), (b, b_id) = await town.join("a"), await town.join("b")
    a.send(b_id, packet(1))
    await b.received.receive()
    with pytest.raises(LocalProtocolError):
        a.send(b_id, bytes(100))


async def test_stopping_the_links_closes_every_channel(
    town: Town, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as inner:
        stopped = Town(inner)
        stopped.network, stopped.directory = town.network, town.directory
        (a, _), (b, b_id) = await stopped.join("a"), await town.join("b")
        a.send(b_id, packet(1))
        await b.received.receive()
        inner.cancel_scope.cancel()
    await trio.sleep(0.1)
    assert b.connected == 0
