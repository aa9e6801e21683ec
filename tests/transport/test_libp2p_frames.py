"""yamux frames that lie in Noise messages as no library of ours would put them."""

import struct

import pytest
import trio

from shoal_node.transport import framing, libp2p_link, libp2p_yamux
from transport.test_libp2p_hostile import QUICK, hostile, is_served, settled
from transport_support import ECHO, Start

FRAME = framing.FRAMINGS[framing.DHT].encode(b"\x09" * 8)  # 12 bytes, as many as a header has
HEADERS_IN_A_MESSAGE = 5_000


def header(stream_id: int, length: int) -> bytes:
    return struct.pack("!BBHII", 0, 0, 0, stream_id, length)


@pytest.mark.parametrize("piece", [1, 5, 12, 13, 24, 100, 1000])
async def test_frames_arrive_however_they_are_cut_into_messages(
    start_libp2p: Start, piece: int
) -> None:
    node = await start_libp2p("node", ECHO, limits=QUICK)
    async with hostile(node) as muxed:
        stream = await muxed.open()
        await libp2p_link.propose(stream, framing.DHT, 5)
        data = b""
        for _ in range(3):
            data += header(stream.stream_id, 0) + header(stream.stream_id, len(FRAME)) + FRAME
            data += header(stream.stream_id + 2, 7) + bytes(7)  # for a stream that isn't there
        for start in range(0, len(data), piece):
            await muxed.secured_conn.write(data[start : start + piece])
        back = b""
        with trio.fail_after(5):
            while len(back) < 3 * len(FRAME):
                back += await stream.read(1000)
        assert back == 3 * FRAME
    assert not node.counters["link violation"]


async def test_a_message_without_content_ends_the_link(start_libp2p: Start) -> None:
    node = await start_libp2p("node", ECHO, limits=QUICK)
    async with hostile(node) as muxed:
        await muxed.secured_conn.write(b"")
        await settled(lambda: node.counters["link violation"] == 1)
    await is_served(start_libp2p, node)


async def test_others_have_their_turn_while_a_peer_sends_frames_of_nothing(
    start_libp2p: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0
    node = await start_libp2p("node", ECHO, limits=QUICK)
    checkpoint = trio.lowlevel.checkpoint

    async def counted() -> None:
        nonlocal turns
        turns += 1
        await checkpoint()

    async with hostile(node) as muxed:
        stream = await muxed.open()
        await libp2p_link.propose(stream, framing.DHT, 5)
        monkeypatch.setattr(trio.lowlevel, "checkpoint", counted)
        await muxed.secured_conn.write(header(stream.stream_id, 0) * HEADERS_IN_A_MESSAGE)
        await settled(lambda: turns >= HEADERS_IN_A_MESSAGE // libp2p_yamux.READS_IN_A_ROW)
        monkeypatch.undo()
        await is_served(start_libp2p, node)
