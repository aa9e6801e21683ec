"""Peers that send garbage, too much, too little or nothing, over sockets and over real streams.

Each case ends with exactly one counted error, an honest peer served, and nothing left behind.
"""

import gc
import logging
import os
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from shoal_node import supervisor
from shoal_node.transport import address as addresses
from shoal_node.transport import framing, libp2p_link, libp2p_yamux
from shoal_node.transport.interface import Channel, ChannelClosed, DialError, TransportLimits
from shoal_node.transport.libp2p_host import Libp2pTransport, run_libp2p
from shoal_node.transport.metering import Meter
from shoal_protocol.errors import UserError
from transport_support import ECHO, LOOPBACK, Start, seed_of

QUICK = TransportLimits(handshake_s=1.0, linger_s=0.3)


def said(text: str) -> bytes:
    """One line of multistream-select."""
    return bytes([len(text) + 1]) + text.encode() + b"\n"


GREETING = said("/multistream/1.0.0")


ELSEWHERE = "127.0.7.1"  # an address of this machine in another /24


async def connect(
    node: Libp2pTransport, *, small: bool = False, source: str = "127.0.0.1"
) -> trio.SocketStream:
    target = addresses.parse(node.addresses[0])
    sock = trio.socket.socket()
    await sock.bind((source, 0))
    if small:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4_096)
    await sock.connect((target.host, target.port))
    return trio.SocketStream(sock)


async def until_closed(stream: trio.SocketStream) -> bytes:
    """Read whatever the node says until it hangs up."""
    heard = b""
    try:
        while data := await stream.receive_some():
            heard += data
    except trio.BrokenResourceError:
        pass
    return heard


async def is_served(start: Start, node: Libp2pTransport, name: str = "honest") -> None:
    """Show that an honest newcomer gets an answer."""
    honest = await start(name)
    channel = await honest.open(node.addresses[0], framing.DHT)
    await channel.send(b"hello")
    assert await channel.receive() == b"hello"
    await channel.aclose()


def has_more(node: Libp2pTransport, than: int) -> bool:
    return node.counters.total() > than


async def settled(holds: Callable[[], bool]) -> None:
    """Wait until something that other tasks bring about holds."""
    while not holds():
        await trio.testing.wait_all_tasks_blocked(0.001)


@asynccontextmanager
async def hostile(
    node: Libp2pTransport,
    *,
    reads: bool = True,
    small: bool = False,
    source: str = "127.0.0.1",
    name: str = "hostile",
) -> AsyncIterator[libp2p_yamux.SteadyYamux]:
    """An authenticated connection whose frames the test makes itself."""
    stream = await connect(node, small=small, source=source)
    keys = libp2p_link.Identity(seed_of(name))
    _, muxed = await keys.secure(stream, node.peer_id, TransportLimits(), Counter(), Meter())
    async with trio.open_nursery() as nursery:

        async def contained(fn: Callable[[], Any]) -> None:
            await supervisor.contain("hostile", fn, label="over")

        if reads:
            nursery.start_soon(contained, muxed.start)
        nursery.start_soon(contained, muxed.write_loop)
        yield muxed
        nursery.cancel_scope.cancel()
    muxed.abort()


GARBAGE = {
    "noise": bytes(range(256)) * 16,
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a greeting cut short": GREETING[:7],
    "nothing after the greeting": GREETING,
    "a length of 2^63": b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(4_096),
    "a varint without an end": b"\xff" * 64,
    "a length above the budget": b"\xff\xff\x03" + bytes(70_000),
    "no line": GREETING + b"\x00",
    "not utf-8": GREETING + b"\x03\xff\xfe\n",
    "a noise message of garbage": GREETING + said("/noise") + b"\x00\x40" + b"\x07" * 64,
    "a noise message cut short": GREETING + said("/noise") + b"\xff\xff" + b"\x07" * 64,
    "noise messages above the budget": GREETING + said("/noise") + b"\xff\xff" + bytes(65_535),
    "only plaintext": GREETING + said("/plaintext/2.0.0") + said("/plaintext/1.0.0"),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_before_the_handshake_ends_one_connection(
    start_libp2p: Start, data: bytes
) -> None:
    node = await start_libp2p("node", limits=QUICK)
    async with await connect(node) as stream:
        try:
            await stream.send_all(data)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass
        await until_closed(stream)
    await is_served(start_libp2p, node)
    assert node.counters == {"handshake failed": 1}


@pytest.mark.parametrize(
    "protocol", ["/plaintext/2.0.0", "/plaintext/1.0.0", "/secio/1.0.0", "/tls/1.0.0", ""]
)
async def test_no_security_but_noise_is_offered(start_libp2p: Start, protocol: str) -> None:
    node = await start_libp2p("node", limits=QUICK)
    async with await connect(node) as stream:
        await stream.send_all(GREETING + said(protocol))
        heard = b""
        while len(heard) < len(GREETING + said("na")):
            heard += await stream.receive_some()
        assert heard == GREETING + said("na")
        await stream.send_eof()
        await until_closed(stream)
    assert node.counters == {"handshake failed": 1}


@pytest.mark.parametrize("before", [b"", GREETING, GREETING + said("/noise")])
async def test_a_silent_stranger_is_hung_up_on_at_the_deadline(
    start_libp2p: Start, before: bytes
) -> None:
    node = await start_libp2p("node", limits=TransportLimits(handshake_s=0.2))
    async with await connect(node) as stream:
        await stream.send_all(before or b"\x13")
        with trio.fail_after(6):
            await until_closed(stream)
    assert node.counters == {"handshake timeout": 1}


async def test_a_slow_stranger_is_hung_up_on_at_the_deadline(start_libp2p: Start) -> None:
    node = await start_libp2p("node", limits=TransportLimits(handshake_s=0.3))
    async with await connect(node) as stream, trio.open_nursery() as nursery:

        async def drip() -> None:
            try:
                for byte in GREETING + said("/noise") + bytes(10_000):
                    await stream.send_all(bytes([byte]))
                    await trio.testing.wait_all_tasks_blocked(0.001)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        nursery.start_soon(drip)
        with trio.fail_after(6):
            await until_closed(stream)
        nursery.cancel_scope.cancel()
    assert sum(node.counters.values()) == 1


async def test_silent_connections_beyond_the_bound_give_way_to_an_honest_one(
    start_libp2p: Start,
) -> None:
    node = await start_libp2p("node", limits=TransportLimits(half_open=32))
    strangers = [await connect(node) for _ in range(200)]
    await settled(lambda: node.counters["handshake evicted"] >= 168)
    assert node.half_open <= 32
    with trio.fail_after(5):
        await is_served(start_libp2p, node)
    assert node.half_open <= 32
    for stranger in strangers:
        await stranger.aclose()


async def test_a_flood_of_sockets_displaces_itself_and_not_who_comes_from_elsewhere(
    start_libp2p: Start,
) -> None:
    node = await start_libp2p("node", limits=TransportLimits(half_open=8))
    honest = await connect(node)
    await settled(lambda: node.half_open == 1)
    strangers = [await connect(node, source=ELSEWHERE) for _ in range(100)]
    await settled(lambda: node.counters["handshake evicted"] == 93)
    keys = libp2p_link.Identity(seed_of("honest"))
    peer, muxed = await keys.secure(honest, node.peer_id, TransportLimits(), Counter(), Meter())
    assert peer.peer_id == node.peer_id
    muxed.abort()
    for stranger in strangers:
        await stranger.aclose()


async def test_links_that_one_network_holds_keep_nobody_from_elsewhere_out(
    start_libp2p: Start,
) -> None:
    node = await start_libp2p("node", limits=TransportLimits(connections=6))
    first = await start_libp2p("first")
    early = await first.open(node.addresses[0], framing.DHT)
    async with AsyncExitStack() as stack:
        for number in range(8):
            muxed = await stack.enter_async_context(
                hostile(node, source=ELSEWHERE, name=f"stranger {number}")
            )
            with suppress(*libp2p_yamux.StreamErrors, DialError):
                await libp2p_link.propose(await muxed.open(), framing.DHT, 5)
        await settled(lambda: node.counters["connection limit"] == 3)
        assert node.connections == 6
        await is_served(start_libp2p, node)
        assert node.connections == 6
        await early.send(b"still here")
        assert await early.receive() == b"still here"


async def test_a_newcomer_from_elsewhere_keeps_its_link_until_its_channel_is_open(
    start_libp2p: Start,
) -> None:
    node = await start_libp2p("node", limits=TransportLimits(connections=4))
    async with AsyncExitStack() as stack:
        for number in range(4):
            muxed = await stack.enter_async_context(
                hostile(node, source=ELSEWHERE, name=f"stranger {number}")
            )
            await libp2p_link.propose(await muxed.open(), framing.DHT, 5)
        honest = await stack.enter_async_context(hostile(node, name="honest"))
        await stack.enter_async_context(hostile(node, source=ELSEWHERE, name="one more"))
        await settled(lambda: node.counters["connection limit"] == 1)
        stream = await honest.open()
        await libp2p_link.propose(stream, framing.DHT, 5)
        await stream.write((2).to_bytes(4, "big") + b"hi")
        assert await stream.read(6) == (2).to_bytes(4, "big") + b"hi"


async def oversized(muxed: libp2p_yamux.SteadyYamux) -> None:
    stream = await muxed.open()
    await libp2p_link.propose(stream, framing.DHT, 5)
    await stream.write((framing.MAX_FRAME + 1).to_bytes(4, "big") + bytes(1_000))


async def truncated(muxed: libp2p_yamux.SteadyYamux) -> None:
    stream = await muxed.open()
    await libp2p_link.propose(stream, framing.DHT, 5)
    await stream.write((100).to_bytes(4, "big") + bytes(99))
    await stream.close()


async def truncated_packet(muxed: libp2p_yamux.SteadyYamux) -> None:
    stream = await muxed.open()
    await libp2p_link.propose(stream, framing.PACKET, 5)
    await stream.write(bytes(framing.PACKET_FRAME * 3 - 1))
    await stream.close()


async def unknown_protocol(muxed: libp2p_yamux.SteadyYamux) -> None:
    stream = await muxed.open()
    with pytest.raises(DialError):
        await libp2p_link.propose(stream, "/other/1", 5)
    await stream.reset()


async def negotiation_garbage(muxed: libp2p_yamux.SteadyYamux) -> None:
    await (await muxed.open()).write(GREETING + b"\x05\xff\xff\xff\xff\n" * 10)


async def negotiation_without_end(muxed: libp2p_yamux.SteadyYamux) -> None:
    await (await muxed.open()).write(b"\xff\xff\xff\x7f" + bytes(200_000))


async def endless_proposals(muxed: libp2p_yamux.SteadyYamux) -> None:
    await (await muxed.open()).write(GREETING + said("/other/1") * 1_000)


async def silent_stream(muxed: libp2p_yamux.SteadyYamux) -> None:
    await muxed.open()


async def too_much_for_the_window(muxed: libp2p_yamux.SteadyYamux) -> None:
    stream = await muxed.open()
    await libp2p_link.propose(stream, framing.DIRECTORY, 5)
    stream.send_window = 10**9
    frame = framing.FRAMINGS[framing.DIRECTORY].encode(bytes(60_000))
    for _ in range(60):
        await stream.write(frame)


async def a_frame_of_16_mib(muxed: libp2p_yamux.SteadyYamux) -> None:
    stream = await muxed.open()
    await muxed._write_frame(struct.pack("!BBHII", 0, 0, 0, stream.stream_id, 16 * 2**20))


async def a_broken_mac(muxed: libp2p_yamux.SteadyYamux) -> None:
    headers: Any = muxed.secured_conn
    await headers._session.conn.read_writer.write_msg(bytes(64))


async def go_away(muxed: libp2p_yamux.SteadyYamux) -> None:
    await muxed._write_frame(struct.pack("!BBHII", 0, 3, 0, 0, 1))


async def no_yamux(muxed: libp2p_yamux.SteadyYamux) -> None:
    await muxed._write_frame(b"\x00\x09" * 6)


MISBEHAVIOUR = {
    no_yamux: "link violation",
    oversized: "frame oversized",
    truncated: "frame truncated",
    truncated_packet: "frame truncated",
    unknown_protocol: "protocol refused",
    negotiation_garbage: "protocol refused",
    negotiation_without_end: "protocol refused",
    endless_proposals: "protocol refused",
    silent_stream: "protocol refused",
    too_much_for_the_window: "window exceeded",
    a_frame_of_16_mib: "link violation",
    a_broken_mac: "link violation",
    go_away: "link violation",
}


@pytest.mark.parametrize(
    ("act", "label"), MISBEHAVIOUR.items(), ids=lambda value: getattr(value, "__name__", value)
)
async def test_misbehaviour_after_the_handshake_is_one_counted_error(
    start_libp2p: Start, act: Any, label: str
) -> None:
    async def read_some(channel: Channel) -> None:
        await channel.receive()
        await trio.sleep_forever()

    handlers = {**ECHO, framing.DIRECTORY: read_some, framing.PACKET: read_some}
    node = await start_libp2p("node", handlers, limits=QUICK)
    async with hostile(node) as muxed:
        with suppress(*libp2p_yamux.StreamErrors):
            await act(muxed)
        await settled(lambda: node.counters.total() > 0)
        await is_served(start_libp2p, node)
        assert node.counters == {label: 1}


@pytest.mark.parametrize("version", ["0", "2", "10"])
async def test_another_version_of_a_protocol_is_refused_in_one_line_and_the_link_goes_on(
    start_libp2p: Start, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    caplog.set_level(logging.DEBUG, "shoal_node")
    node = await start_libp2p("node")
    async with hostile(node) as muxed:
        for protocol in framing.FRAMINGS:
            other = protocol.rpartition("/")[0] + "/" + version
            stream = await muxed.open()
            with pytest.raises(DialError) as caught:
                await libp2p_link.propose(stream, other, 5)
            assert caught.value.reason == "protocol refused"
            await stream.reset()
        await settled(lambda: node.counters["protocol refused"] == len(framing.FRAMINGS))
        await libp2p_link.propose(await muxed.open(), framing.DHT, 5)
        assert node.connections == 1
    lines = [line.getMessage() for line in caplog.records if "in=negotiation" in line.getMessage()]
    assert len(lines) == len(framing.FRAMINGS)


async def test_streams_beyond_the_bound_are_reset(start_libp2p: Start) -> None:
    node = await start_libp2p("node")
    async with hostile(node) as muxed:
        for _ in range(100):
            await muxed.open()
        most = TransportLimits().channels * (len(ECHO) + 1)
        await settled(lambda: node.counters["stream limit"] >= 100 - most)
        await is_served(start_libp2p, node)
        assert node.counters == {"stream limit": 100 - most}


async def test_who_makes_us_answer_and_reads_nothing_is_cut_off(start_libp2p: Start) -> None:
    node = await start_libp2p("node")
    ping = struct.pack("!BBHII", 0, 2, 1, 0, 7)
    async with hostile(node, reads=False, small=True) as muxed:
        await settled(lambda: node.connections == 1)
        with trio.fail_after(10):
            try:
                while not node.counters["control flood"]:
                    await muxed.secured_conn.write(ping * 5_000)
            except libp2p_yamux.StreamErrors:
                pass
            await settled(lambda: node.connections == 0)
        await is_served(start_libp2p, node)
        assert node.counters == {"control flood": 1}


async def test_a_connection_without_channels_is_closed_in_time(start_libp2p: Start) -> None:
    node = await start_libp2p("node", limits=TransportLimits(idle_s=0.2))
    async with hostile(node):
        await settled(lambda: node.connections == 1)
        with trio.fail_after(6):
            await settled(lambda: node.connections == 0)
    assert not node.counters


async def test_an_idle_connection_gives_way_when_there_are_too_many(start_libp2p: Start) -> None:
    node = await start_libp2p("node", limits=TransportLimits(connections=2, settle_s=0))
    first, second, third = [await start_libp2p(name) for name in ("first", "second", "third")]
    kept = await first.open(node.addresses[0], framing.DHT)
    dropped = await second.open(node.addresses[0], framing.DHT)
    await dropped.aclose()
    newcomer = await third.open(node.addresses[0], framing.DHT)
    for channel in (kept, newcomer):
        await channel.send(b"x")
        assert await channel.receive() == b"x"
    with pytest.raises((DialError, ChannelClosed)):
        refused = await second.open(node.addresses[0], framing.DHT)
        await refused.receive()
    assert node.counters["connection limit"] == 1


async def test_one_peer_holds_two_connections_at_most(start_libp2p: Start) -> None:
    node = await start_libp2p("node")
    async with hostile(node), hostile(node), hostile(node), hostile(node):
        await is_served(start_libp2p, node)
        await settled(lambda: node.connections <= 3)


async def test_queued_packets_share_their_writes(start_libp2p: Start) -> None:
    got, done = 0, trio.Event()

    async def count(channel: Channel) -> None:
        nonlocal got
        while got < 1_000:
            got += len(await channel.receive_many())
        done.set()

    a, b = await start_libp2p("a"), await start_libp2p("b", {framing.PACKET: count})
    channel = await a.open(b.addresses[0], framing.PACKET)
    before = a.writes
    for _ in range(1_000):
        if not channel.try_send(bytes(framing.PACKET_FRAME)):
            await channel.send(bytes(framing.PACKET_FRAME))
    await done.wait()
    assert a.writes - before < 100, "twenty packets fit one write"
    assert not b.counters


async def test_a_port_is_never_shared_silently(nursery: trio.Nursery, start_libp2p: Start) -> None:
    node = await start_libp2p("node")
    taken = node.addresses[0].rpartition("/p2p/")[0]
    with pytest.raises(UserError, match="another program listens there"):
        await run_libp2p({}, seed=seed_of("other"), listen=[taken])


@pytest.mark.parametrize("text", ["", "4001", "/ip4/127.0.0.1", "/dns4/localhost/tcp/0"])
async def test_a_bad_listening_address_is_one_clear_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is no address to listen on"):
        await run_libp2p({}, seed=seed_of("other"), listen=[text])


async def test_logs_hold_no_addresses_and_no_ids(
    start_libp2p: Start, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("libp2p").propagate = True
    try:
        node = await start_libp2p("node", limits=QUICK)
        for act in (oversized, truncated, unknown_protocol, a_broken_mac):
            async with hostile(node) as muxed:
                before = node.counters.total()
                await act(muxed)
                await settled(partial(has_more, node, before))
        async with await connect(node) as stream:
            await stream.send_all(bytes(100))
            await until_closed(stream)
        await is_served(start_libp2p, node)
    finally:
        logging.getLogger("libp2p").propagate = False
    text = caplog.text + "".join(capfd.readouterr())
    for secret in ("127.0.0.1", "12D3Koo", str(addresses.parse(node.addresses[0]).port)):
        assert secret not in text


async def test_a_stopped_node_leaves_no_descriptor_behind() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with trio.open_nursery() as nursery:  # whatever is opened once and kept
        await nursery.start(partial(run_libp2p, ECHO, seed=seed_of("a"), listen=LOOPBACK))
        nursery.cancel_scope.cancel()
    gc.collect()
    before = open_files()
    async with trio.open_nursery() as nursery:
        nodes = [
            await nursery.start(partial(run_libp2p, ECHO, seed=seed_of(n), listen=LOOPBACK))
            for n in range(6)
        ]
        for a in nodes:
            for b in nodes:
                if a is not b:
                    await a.open(b.addresses[0], framing.DHT)
        stranger = await connect(nodes[0])
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 2
    await stranger.aclose()
    assert open_files() == before
