"""Packet links over real sockets: what the in-memory twin, whose hosts all differ, can't show."""

from functools import partial

import pytest
import trio

from shoal_node.links import LinkLimits, PacketLinks
from shoal_node.transport.framing import PACKET, PACKET_FRAME
from shoal_node.transport.interface import ChannelClosed, Transport
from shoal_node.transport.libp2p_host import run_libp2p
from transport_support import seed_of


async def test_clients_of_one_network_leave_room_for_others_and_share_an_account(
    nursery: trio.Nursery,
) -> None:
    relay = PacketLinks(lambda _: (), limits=LinkLimits(clients=8, clients_per_host=2))

    async def join(name: str, *listen: str) -> Transport:
        handlers = {PACKET: relay.accept} if listen else {}
        transport: Transport = await nursery.start(
            partial(run_libp2p, handlers, seed=seed_of(name), listen=listen)
        )
        return transport

    host = await join("relay", "/ip4/127.0.0.1/tcp/0")
    await nursery.start(relay.run, host)
    with trio.fail_after(20):
        for name in "xy":
            channel = await (await join(name)).open(host.addresses[0], PACKET)
            await channel.send(bytes(PACKET_FRAME))
            assert await relay.received.receive() == (b"127.0.0.0/24", bytes(PACKET_FRAME))
        refused = await (await join("z")).open(host.addresses[0], PACKET)
        with pytest.raises(ChannelClosed):
            await refused.receive()
    assert relay.clients == 2
    assert relay.counters == {"client limit": 1}
