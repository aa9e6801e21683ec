"""Dial-back: helpers dial only who asks, two networks must agree, and every exchange is fresh."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from shoal_node.dialback import AGAIN_S, RARELY_S, SOON_S, UNKNOWN_S, DialbackService
from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, ChannelClosed, Handler, Transport
from shoal_node.transport.libp2p_host import run_libp2p
from shoal_protocol import crypto, identity
from shoal_protocol import dialback as machine
from shoal_protocol.dialback import CODEC, Answer, Ask, Code, Helper, Proof, Standing, judge
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB, MAIN
from support import START, seeded
from transport_support import seed_of

ME = identity.peer_id(crypto.ed25519_public(seed_of("me")))
HERE = "/ip4/45.33.7.2/tcp/4001"


def ask(address: str = HERE) -> Ask:
    return Ask(bytes(16), ME, address)


@given(st.ip_addresses(), st.ip_addresses(), st.integers(1, 65_535))
@example(IPv4Address("127.0.0.1"), IPv6Address("::ffff:127.0.0.1"), 4001)
def test_only_the_host_that_asks_is_ever_dialled(
    named: IPv4Address | IPv6Address, seen: IPv4Address | IPv6Address, port: int
) -> None:
    code = Helper(LAB).begin(ask(f"/ip{named.version}/{named}/tcp/{port}"), str(seen), START)
    assert (code is None) <= (_unmapped(named) == _unmapped(seen))


def _unmapped(host: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the host; a socket that serves both families shows 1.2.3.4 as ::ffff:1.2.3.4."""
    return host if host.version == 4 else host.ipv4_mapped or host


@pytest.mark.parametrize(
    ("address", "host", "code"),
    [
        (HERE, "45.33.7.2", None),
        (HERE, "::ffff:45.33.7.2", None),
        ("/ip6/2a01:4f8:1::2/tcp/4001", "2a01:4f8:1::2", None),
        (HERE, "45.33.7.3", Code.NOT_YOURS),
        (HERE, "nonsense", Code.NOT_YOURS),
        ("/ip4/192.168.1.1/tcp/4001", "192.168.1.1", Code.REFUSED),
        ("/ip4/127.0.0.1/tcp/22", "127.0.0.1", Code.REFUSED),
        ("/dns4/example.org/tcp/1", "45.33.7.2", Code.REFUSED),
        ("x", "45.33.7.2", Code.REFUSED),
    ],
)
def test_what_a_helper_of_the_main_network_dials(
    address: str, host: str, code: Code | None
) -> None:
    assert Helper(MAIN).begin(ask(address), host, START) is code


def test_a_memory_address_has_no_host_to_compare() -> None:
    assert Helper(LAB).begin(ask("/memory/1"), "memory-1", START) is Code.NOT_YOURS


def begin_and_end(helper: Helper, host: str, now: int) -> Code | None:
    code = helper.begin(ask(f"/ip4/{host}/tcp/4001"), host, now)
    if code is None:
        helper.end()
    return code


@pytest.mark.parametrize(
    ("hosts", "most"),
    [
        (lambda n: "45.33.7.2", machine.PER_HOST),
        (lambda n: f"45.33.7.{n % 200}", machine.PER_SUBNET),
        (lambda n: f"45.{n % 200}.{n // 200}.7", machine.PER_WINDOW),
    ],
)
def test_a_host_a_subnet_and_everybody_have_a_limit_that_ends(
    hosts: Callable[[int], str], most: int
) -> None:
    helper = Helper(MAIN)
    codes = [begin_and_end(helper, hosts(n), START) for n in range(400)]
    assert codes.count(None) == most
    assert set(codes) == {None, Code.REFUSED}
    assert begin_and_end(helper, hosts(0), START + machine.WINDOW) is None


def test_strangers_from_many_networks_keep_no_relay_of_the_directory_from_help() -> None:
    helper = Helper(MAIN)
    codes = [begin_and_end(helper, f"45.{n}.0.7", START) for n in range(machine.PER_WINDOW + 1)]
    assert codes == [None] * machine.PER_WINDOW + [Code.REFUSED]
    known = [(f"{HERE}/p2p/x",), ("/ip6/2a01:4f8:1::2/tcp/1",), ("/memory/7",)]
    assert machine.names("::ffff:45.33.7.2", known) and not machine.names("45.33.7.3", known)
    assert not machine.names("memory-7", known)
    for _ in range(machine.PER_HOST):
        assert helper.begin(ask(), "45.33.7.2", START, listed=True) is None
        helper.end(listed=True)
    assert helper.begin(ask(), "45.33.7.2", START, listed=True) is Code.REFUSED


def test_few_dials_are_under_way_at_once() -> None:
    helper = Helper(MAIN)
    many = [f"45.{n}.7.2" for n in range(machine.AT_ONCE + 1)]
    codes = [helper.begin(ask(f"/ip4/{host}/tcp/1"), host, START) for host in many]
    assert codes == [None] * machine.AT_ONCE + [Code.REFUSED]
    helper.end()
    assert helper.begin(ask(), "45.33.7.2", START) is None


def test_helpers_lie_in_networks_apart_and_none_in_our_own() -> None:
    others = [
        ("/ip4/45.33.9.9/tcp/1",),
        ("/ip6/2a01:4f8:1::2/tcp/1",),
        ("/ip4/81.2.1.1/tcp/1", "/ip6/2a02::1/tcp/1"),
        ("/ip4/81.2.2.2/tcp/1",),
        ("/ip4/82.3.1.1/tcp/1",),
    ]
    assert machine.helpers(HERE, others) == ["/ip4/81.2.1.1/tcp/1", "/ip4/82.3.1.1/tcp/1"]
    assert machine.helpers("/ip6/2001:db8::1/tcp/1", others) == [
        "/ip6/2a01:4f8:1::2/tcp/1",
        "/ip6/2a02::1/tcp/1",
    ]
    assert machine.helpers(HERE, others[:3]) == []
    assert machine.helpers("/memory/1", others) == []


Heard = tuple[bool, Code | None]


@given(
    st.lists(st.tuples(st.booleans(), st.none() | st.sampled_from(Code)), max_size=2),
    st.tuples(st.booleans(), st.none() | st.sampled_from(Code)),
)
def test_one_answer_never_turns_a_verdict_round(honest: list[Heard], hostile: Heard) -> None:
    assert judge([hostile]) is None
    before = judge(honest)
    assert before is None or judge([*honest, hostile]) is before


def test_an_answer_without_its_proof_reaches_nothing() -> None:
    assert judge([(False, Code.REACHED)] * 3) is None
    assert judge([(True, None), (True, Code.NOT_REACHED), (False, Code.NOT_REACHED)]) is True
    assert judge([(False, Code.NOT_REACHED)] * 2 + [(True, Code.REACHED)]) is False


def test_an_address_is_given_up_the_second_time_and_taken_back_at_once() -> None:
    standing, said = Standing(), list[bool | None]()
    for verdict in (None, False, None, False, False, None, True, False):
        standing.hear(verdict)
        said.append(standing.reachable)
    assert said == [None, None, None, False, False, False, True, True]


@given(st.binary(max_size=200))
def test_arbitrary_frames_are_only_ever_refused(data: bytes) -> None:
    try:
        frame = CODEC.decode(data)
    except RemoteProtocolError:
        return
    assert CODEC.encode(frame) == data


def test_the_frames_are_those_of_the_specification() -> None:
    frames: list[Ask | Answer | Proof] = [
        Ask(bytes(range(16)), ME, HERE),
        Answer(Code.NOT_REACHED),
        Proof(bytes(16)),
    ]
    encoded = [CODEC.encode(frame) for frame in frames]
    assert [CODEC.decode(data) for data in encoded] == frames
    assert encoded[1:] == [b"\x92\x01\x01", b"\x92\x02\xc4\x10" + bytes(16)]
    assert encoded[0] == (
        b"\x94\x00\xc4\x10" + bytes(range(16)) + b"\xc4\x26" + ME + b"\xb7" + HERE.encode()
    )
    longest = Ask(bytes(16), ME, "x" * 96)
    assert len(CODEC.encode(longest)) <= CODEC.limit == framing.DIALBACK_FRAME


@dataclass
class World:
    """Relays on loopback, whose helpers are taken to lie in networks of their own."""

    nursery: trio.Nursery

    async def relay(
        self, name: str, others: list[tuple[str, ...]], handler: Handler | None = None
    ) -> tuple[DialbackService, Transport, list[bool]]:
        changes: list[bool] = []

        async def changed() -> None:
            changes.append(True)

        seed = seed_of(name)
        service = DialbackService(
            identity.peer_id(crypto.ed25519_public(seed)),
            LAB,
            seeded(name),
            lambda: START,
            run_libp2p,
            others=lambda: list(others),
            changed=changed,
            choose=lambda _, known: [addresses[0] for addresses in known],
        )
        transport = await self.nursery.start(
            partial(
                run_libp2p,
                {framing.DIALBACK: handler or service.handler},
                seed=seed,
                listen=("/ip4/127.0.0.1/tcp/0",),
            )
        )
        return service, transport, changes


@pytest.fixture
def world(nursery: trio.Nursery) -> World:
    return World(nursery)


async def test_an_open_relay_is_reached_over_fresh_connections(world: World) -> None:
    others: list[tuple[str, ...]] = []
    for name in "abc":
        others.append((await world.relay(name, []))[1].addresses)
    service, mine, changes = await world.relay("me", others)
    with trio.fail_after(20):
        await world.nursery.start(service.run, mine.addresses)
        assert await service.look() == RARELY_S
    assert not service.unreachable(mine.addresses[0])
    assert changes == [True]


async def test_a_closed_port_is_known_the_second_time(world: World) -> None:
    others: list[tuple[str, ...]] = []
    for name in "abc":
        others.append((await world.relay(name, []))[1].addresses)
    service, mine, changes = await world.relay("me", others)
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        port = taken.getsockname()[1]
        closed = f"/ip4/127.0.0.1/tcp/{port}/p2p/{mine.addresses[0].rpartition('/')[2]}"
        with trio.fail_after(20):
            await world.nursery.start(service.run, (closed,))
            assert await service.look() == SOON_S
            assert not service.unreachable(closed)
            assert await service.look() == AGAIN_S
    assert service.unreachable(closed)
    assert changes == [True]


async def test_helpers_that_lie_or_fall_silent_decide_nothing(world: World) -> None:
    async def liar(channel: Channel) -> None:
        await channel.receive()
        await channel.send(CODEC.encode(Answer(Code.REACHED)))

    async def hangs_up(channel: Channel) -> None:
        await channel.receive()

    async def babbles(channel: Channel) -> None:
        await channel.send(b"\xc1")
        await channel.receive()

    others: list[tuple[str, ...]] = []
    for name, handler in (("a", liar), ("b", hangs_up), ("c", babbles)):
        others.append((await world.relay(name, [], handler))[1].addresses)
    service, mine, changes = await world.relay("me", others)
    with trio.fail_after(20):
        await world.nursery.start(service.run, mine.addresses)
        assert await service.look() == UNKNOWN_S
    assert not changes


async def test_a_proof_over_a_link_that_the_relay_dialled_itself_counts_for_nothing(
    world: World,
) -> None:
    transports: list[Transport] = []

    async def liar(channel: Channel) -> None:
        """Take the ask, and prove it over the link that the relay has with us anyway."""
        frame = CODEC.decode(await channel.receive())
        assert isinstance(frame, Ask)
        where = mine.addresses[0]
        proof = await transports.pop().open(where, framing.DIALBACK)
        await proof.send(CODEC.encode(Proof(frame.nonce)))
        with pytest.raises(ChannelClosed):
            await proof.receive()
        await channel.send(CODEC.encode(Answer(Code.REACHED)))

    others: list[tuple[str, ...]] = []
    helpers = [(await world.relay(name, [], liar))[1] for name in "ab"]
    service, mine, changes = await world.relay("me", others)
    with trio.fail_after(20):
        for helper in helpers:
            others.append(helper.addresses)
            transports.append(helper)
            link = await mine.open(helper.addresses[0], framing.DIALBACK)
            await link.aclose()  # the link itself stays for a minute
        await world.nursery.start(service.run, mine.addresses)
        assert await service.look() == UNKNOWN_S
    assert not changes and mine.counters["dialback nonce"] == 2


async def test_a_nonce_that_nobody_gave_out_and_an_answer_unasked_are_counted(
    world: World,
) -> None:
    _, target, _ = await world.relay("a", [])
    _, stranger, _ = await world.relay("b", [])
    with trio.fail_after(10):
        frames: list[Answer | Proof] = [Proof(bytes(16)), Answer(0)]
        for frame in frames:
            channel = await stranger.open(target.addresses[0], framing.DIALBACK)
            await channel.send(CODEC.encode(frame))
            with pytest.raises(ChannelClosed):
                await channel.receive()
    assert target.counters["dialback nonce"] == target.counters["dialback frame"] == 1
