"""What every transport promises, shown on the in-memory twin and on libp2p over loopback."""

import pytest
import trio
import trio.testing

from shoal_node.transport import framing
from shoal_node.transport.interface import (
    Channel,
    ChannelClosed,
    DialError,
    Peer,
    TransportLimits,
)
from shoal_protocol import crypto, identity
from shoal_protocol.errors import LocalProtocolError
from transport_support import ECHO, Start, echo, seed_of


def packet(number: int) -> bytes:
    return number.to_bytes(8, "big") * (framing.PACKET_FRAME // 8)


async def test_frames_arrive_whole_and_in_order_both_ways(start: Start) -> None:
    a, b = await start("a"), await start("b")
    channel = await a.open(b.addresses[0], framing.DHT)
    sizes = [0, 1, 2, 4_096, framing.MAX_FRAME, 3]
    frames = [bytes([n]) * size for n, size in enumerate(sizes)]
    for frame in frames:
        await channel.send(frame)
    assert [await channel.receive() for _ in frames] == frames


async def test_packets_arrive_whole_and_in_order_both_ways(start: Start) -> None:
    a, b = await start("a"), await start("b")
    channel = await a.open(b.addresses[0], framing.PACKET)
    for number in range(500):
        await channel.send(packet(number))
        assert await channel.receive() == packet(number)


async def test_each_side_knows_who_the_other_is(start: Start) -> None:
    seen: list[Peer] = []

    async def note(channel: Channel) -> None:
        seen.append(channel.peer)
        await channel.send(channel.protocol.encode())

    a, b = await start("a"), await start("b", {framing.DHT: note})
    channel = await a.open(b.addresses[0], framing.DHT)
    assert await channel.receive() == framing.DHT.encode()
    assert a.public_key == crypto.ed25519_public(seed_of("a"))
    assert a.peer_id == identity.peer_id(a.public_key)
    assert seen == [Peer(a.peer_id, identity.relay_id(a.peer_id))]
    assert channel.peer == Peer.of(b.peer_id)


async def test_an_address_with_another_peer_id_is_not_reached(start: Start) -> None:
    a, b, c = await start("a"), await start("b"), await start("c")
    forged = b.addresses[0].rpartition("/")[0] + "/" + c.addresses[0].rpartition("/")[2]
    with pytest.raises(DialError):
        await a.open(forged, framing.DHT)
    channel = await a.open(b.addresses[0], framing.DHT)
    await channel.send(b"still there")
    assert await channel.receive() == b"still there"


@pytest.mark.parametrize(
    "address", ["", "/", "nonsense", "/ip4/127.0.0.1/tcp/1", "/memory/1", "/ip4/1/tcp/1/p2p/x"]
)
async def test_a_malformed_address_is_a_dial_error(start: Start, address: str) -> None:
    a = await start("a")
    with pytest.raises(DialError) as caught:
        await a.open(address, framing.DHT)
    assert caught.value.reason == "address"


async def test_a_protocol_without_a_handler_is_refused_and_the_peer_stays_reachable(
    start: Start,
) -> None:
    a, b = await start("a"), await start("b", {framing.DHT: echo})
    with pytest.raises(DialError) as caught:
        await a.open(b.addresses[0], framing.PACKET)
    assert caught.value.reason == "protocol refused"
    channel = await a.open(b.addresses[0], framing.DHT)
    await channel.send(b"x")
    assert await channel.receive() == b"x"


async def test_an_undefined_protocol_is_our_own_bug(start: Start) -> None:
    a, b = await start("a"), await start("b")
    with pytest.raises(LocalProtocolError):
        await a.open(b.addresses[0], "/other/1")


async def test_a_failing_handler_ends_its_channel_and_nothing_else(start: Start) -> None:
    async def fail(channel: Channel) -> None:
        await channel.receive()
        raise KeyError("a bug")

    a = await start("a")
    b = await start("b", {framing.DHT: fail, framing.DIRECTORY: echo})
    good = await a.open(b.addresses[0], framing.DIRECTORY)
    for _ in range(3):
        bad = await a.open(b.addresses[0], framing.DHT)
        await bad.send(b"x")
        with pytest.raises(ChannelClosed):
            await bad.receive()
        await bad.aclose()
    await good.send(b"y")
    assert await good.receive() == b"y"
    assert b.counters["KeyError"] == 3


async def test_what_was_queued_before_a_close_arrives_and_then_the_channel_is_closed(
    start: Start,
) -> None:
    async def answer(channel: Channel) -> None:
        await channel.receive()
        for number in range(10):
            await channel.send(bytes([number]) * 60_000)

    a, b = await start("a"), await start("b", {framing.DHT: answer})
    channel = await a.open(b.addresses[0], framing.DHT)
    await channel.send(b"ask")
    assert [(await channel.receive())[:1] for _ in range(10)] == [bytes([n]) for n in range(10)]
    with pytest.raises(ChannelClosed):
        await channel.receive()
    with pytest.raises(ChannelClosed):
        await channel.send(b"x")
    assert channel.try_send(b"x") is False
    await channel.aclose()


async def test_a_channel_closed_on_this_side_is_closed(start: Start) -> None:
    a, b = await start("a"), await start("b")
    channel = await a.open(b.addresses[0], framing.DHT)
    await channel.aclose()
    await channel.aclose()
    with pytest.raises(ChannelClosed):
        await channel.receive()
    with pytest.raises(ChannelClosed):
        await channel.send(b"x")
    assert channel.try_send(b"x") is False


async def test_a_waiting_receiver_hears_of_the_close(start: Start, nursery: trio.Nursery) -> None:
    a, b = await start("a"), await start("b")
    channel = await a.open(b.addresses[0], framing.DHT)
    heard = trio.Event()

    async def wait() -> None:
        with pytest.raises(ChannelClosed):
            await channel.receive()
        heard.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    await channel.aclose()
    await heard.wait()


async def test_cancelled_receives_lose_nothing_and_break_nothing(
    start: Start, nursery: trio.Nursery
) -> None:
    count, timeouts, got = 2_000, 0, list[bytes]()

    async def produce(channel: Channel) -> None:
        for number in range(count):
            await channel.send(number.to_bytes(1_500, "big"))
            for _ in range(number % 30):
                await trio.lowlevel.checkpoint()
        await channel.receive()

    a, b = await start("a"), await start("b", {framing.DHT: produce})
    channel = await a.open(b.addresses[0], framing.DHT)
    while len(got) < count:
        with trio.move_on_after(0.000_05) as scope:
            got.append(await channel.receive())
        timeouts += scope.cancelled_caught
    assert got == [number.to_bytes(1_500, "big") for number in range(count)]
    assert timeouts > 100


async def test_cancelling_opens_and_sends_at_any_moment_breaks_no_connection(start: Start) -> None:
    a, b = await start("a"), await start("b")
    lasting = await a.open(b.addresses[0], framing.DIRECTORY)

    async def come_and_go() -> None:
        try:
            channel = await a.open(b.addresses[0], framing.DHT)
        except DialError as error:
            assert error.reason == "channel limit"
            return
        await channel.send(bytes(60_000))
        await channel.aclose()

    for ticks in range(120):
        async with trio.open_nursery() as inner:
            inner.start_soon(come_and_go)
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            inner.cancel_scope.cancel()
        await lasting.send(ticks.to_bytes(2, "big"))
        assert await lasting.receive() == ticks.to_bytes(2, "big")
    assert not a.counters["connection failed"] + b.counters["connection failed"]


async def test_a_reader_who_stops_pushes_back_and_loses_nothing(start: Start) -> None:
    go_on, got, done = trio.Event(), list[int](), trio.Event()

    async def stop_and_go(channel: Channel) -> None:
        await go_on.wait()
        while len(got) < sent:
            got.append(int.from_bytes((await channel.receive())[:4], "big"))
        done.set()

    a, b = await start("a"), await start("b", {framing.DHT: stop_and_go})
    channel = await a.open(b.addresses[0], framing.DHT)
    sent, idle = 0, 0
    while idle < 3:
        if channel.try_send(sent.to_bytes(4, "big") * 15_000):
            sent, idle = sent + 1, 0
        else:
            await trio.testing.wait_all_tasks_blocked(0.02)
            idle += 1
    assert sent * 60_000 < 8 * 2**20, "both ends and the kernel hold a bounded amount"
    go_on.set()
    await done.wait()
    assert got == list(range(sent))


async def test_packets_for_a_reader_who_stops_are_dropped_and_counted(start: Start) -> None:
    async def never_read(channel: Channel) -> None:
        await trio.sleep_forever()

    a, b = await start("a"), await start("b", {framing.PACKET: never_read})
    channel = await a.open(b.addresses[0], framing.PACKET)
    count = 1_000
    for number in range(count):
        await channel.send(packet(number))
    expected = count - framing.FRAMINGS[framing.PACKET].inbox
    while b.counters["inbox full"] < expected:
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert b.counters["inbox full"] == expected


async def test_one_peer_holds_a_bounded_number_of_channels(start: Start) -> None:
    a, b = await start("a"), await start("b", limits=TransportLimits(channels=3))
    channels = [await a.open(b.addresses[0], framing.DHT) for _ in range(3)]
    with pytest.raises((DialError, ChannelClosed)):
        fourth = await a.open(b.addresses[0], framing.DHT)
        await fourth.send(b"x")
        await fourth.receive()
    for channel in channels:
        await channel.send(b"y")
        assert await channel.receive() == b"y"
    assert b.counters["channel limit"] == 1


async def test_a_closed_channel_makes_room_for_another(start: Start) -> None:
    a, b = await start("a"), await start("b", limits=TransportLimits(channels=2))
    for number in range(300):
        channel = await a.open(b.addresses[0], framing.DHT)
        await channel.send(number.to_bytes(2, "big"))
        assert await channel.receive() == number.to_bytes(2, "big")
        await channel.aclose()
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert not b.counters["channel limit"]


async def test_frames_of_a_wrong_length_are_our_own_bug(start: Start) -> None:
    a, b = await start("a"), await start("b")
    packets = await a.open(b.addresses[0], framing.PACKET)
    others = await a.open(b.addresses[0], framing.DHT)
    for frame in (bytes(framing.PACKET_FRAME - 1), bytes(framing.PACKET_FRAME + 1)):
        with pytest.raises(LocalProtocolError):
            packets.try_send(frame)
    with pytest.raises(LocalProtocolError):
        await others.send(bytes(framing.MAX_FRAME + 1))


async def test_a_stopped_node_is_noticed_and_no_longer_reached(start: Start) -> None:
    a = await start("a")
    async with trio.open_nursery() as inner:
        b = await start("b", into=inner)
        channel = await a.open(b.addresses[0], framing.DHT)
        await channel.send(b"x")
        assert await channel.receive() == b"x"
        inner.cancel_scope.cancel()
    with trio.fail_after(2), pytest.raises(ChannelClosed):
        await channel.receive()
    with pytest.raises(DialError) as caught:
        await a.open(b.addresses[0], framing.DHT)
    assert caught.value.reason == "unreachable"


async def test_both_sides_may_open_at_once(start: Start, nursery: trio.Nursery) -> None:
    a, b = await start("a"), await start("b")
    done = 0

    async def talk(address: str, transport: object, protocol: str) -> None:
        nonlocal done
        channel = await transport.open(address, protocol)  # type: ignore[attr-defined]
        await channel.send(bytes(framing.PACKET_FRAME))
        assert await channel.receive() == bytes(framing.PACKET_FRAME)
        done += 1

    async with trio.open_nursery() as inner:
        for protocol in ECHO:
            inner.start_soon(talk, b.addresses[0], a, protocol)
            inner.start_soon(talk, a.addresses[0], b, protocol)
    assert done == 6


async def test_a_stopped_transport_leaves_no_task_behind(start: Start) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    began = trio.current_time()
    async with trio.open_nursery() as inner:
        nodes = [await start(name, into=inner) for name in range(4)]
        for a in nodes:
            for b in nodes:
                if a is not b:
                    channel = await a.open(b.addresses[0], framing.DHT)
                    await channel.send(b"x")
                    assert await channel.receive() == b"x"
        began = trio.current_time()
        inner.cancel_scope.cancel()
    assert trio.current_time() - began < 2
    assert trio.lowlevel.current_statistics().tasks_living == before
