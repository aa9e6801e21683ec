"""IPv4 and IPv6 at once: a node that listens on both, and one family in the other's clothes."""

import socket
from functools import partial

import pytest
import trio
import trio.testing

from shoal_node.transport import address, framing
from shoal_node.transport.crowd import Crowd, network_of
from shoal_node.transport.interface import Channel
from shoal_node.transport.libp2p_host import Libp2pTransport, run_libp2p
from shoal_protocol.errors import UserError
from transport_support import seed_of

BOTH = ("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0")


async def test_a_node_on_both_families_is_dialled_on_each_and_tells_whence(
    nursery: trio.Nursery,
) -> None:
    heard: list[str] = []

    async def listen(channel: Channel) -> None:
        heard.append(channel.address)
        await channel.receive()

    start = partial(run_libp2p, {framing.PACKET: listen}, seed=seed_of("both"), listen=BOTH)
    both: Libp2pTransport = await nursery.start(start)
    kinds = [address.parse(one).kind for one in both.addresses]
    assert kinds == ["ip4", "ip6"]
    with trio.fail_after(10):
        for number, where in enumerate(both.addresses):
            seed = seed_of(f"dials {number}")
            one: Libp2pTransport = await nursery.start(partial(run_libp2p, {}, seed=seed))
            channel = await one.open(where, framing.PACKET)
            await channel.send(bytes(framing.PACKET_FRAME))
            await trio.testing.wait_all_tasks_blocked(0.05)
    assert heard == ["127.0.0.1", "::1"]


async def test_both_families_of_every_address_take_one_port(nursery: trio.Nursery) -> None:
    start = partial(run_libp2p, {}, listen=("/ip4/0.0.0.0/tcp/0",))
    first: Libp2pTransport = await nursery.start(partial(start, seed=seed_of("any")))
    port = address.parse(first.addresses[0]).port
    other = (f"/ip6/::/tcp/{port}",)
    start = partial(run_libp2p, {}, listen=other)
    node: Libp2pTransport = await nursery.start(partial(start, seed=seed_of("too")))
    assert {address.parse(one).port for one in node.addresses} == {port}
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with trio.fail_after(5), trio.socket.socket(family) as dialled:
            await dialled.connect((host, port))
    with pytest.raises(UserError, match=f"port {port} is taken"):
        await run_libp2p({}, seed=seed_of("other"), listen=other)


async def test_what_is_announced_stands_instead_of_what_is_listened_on(
    nursery: trio.Nursery,
) -> None:
    announce = ("/ip4/45.33.7.2/tcp/443",)
    start = partial(run_libp2p, {}, seed=seed_of("behind"), announce=announce)
    behind: Libp2pTransport = await nursery.start(partial(start, listen=BOTH))
    assert [one.rpartition("/p2p/")[0] for one in behind.addresses] == list(announce)
    dialling: Libp2pTransport = await nursery.start(start)
    assert dialling.addresses == ()


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("memory-7", "memory-7"),
    ],
)
def test_a_mapped_host_is_the_ipv4_host(host: str, plain: str) -> None:
    assert address.plain(host) == plain
    assert network_of(host) == network_of(plain)


def test_mapped_hosts_share_their_ipv4_networks_place_in_a_crowd() -> None:
    crowd: Crowd[str] = Crowd()
    for number in range(4):
        crowd.add(f"plain {number}", f"192.0.2.{number}")
    for number in range(4):
        crowd.add(f"mapped {number}", f"::ffff:192.0.2.{number}")
    crowd.add("other", "2001:db8::7")
    assert crowd.newest_of_more("2001:db8:1::7") == "mapped 3"
    assert crowd.newest_of_more("::ffff:192.0.2.9") is None
