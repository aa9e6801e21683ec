"""What a node's traffic weighs: both ends of a real connection count the same bytes, and more."""

from functools import partial

import pytest
import trio

from shoal_node.transport import metering
from shoal_node.transport.framing import PACKET, PACKET_FRAME
from shoal_node.transport.libp2p_host import Libp2pTransport, run_libp2p
from transport_support import ECHO, LOOPBACK, seed_of

FRAMES = 40
ROOM = 0.25  # of the frames: what framing, yamux, Noise, TCP and IP may weigh beside them


@pytest.mark.parametrize(
    ("length", "segments"), [(1, 1), (1_380, 1), (1_381, 2), (3_100, 3), (65_536, 48)]
)
def test_a_write_weighs_its_segments_headers_and_acknowledgements(
    length: int, segments: int
) -> None:
    assert metering.on_the_wire(length) == length + segments * 108


async def test_both_ends_count_every_frame_in_its_direction_and_little_more(
    nursery: trio.Nursery,
) -> None:
    async def start(name: str) -> Libp2pTransport:
        start = partial(run_libp2p, ECHO, seed=seed_of(name), listen=LOOPBACK)
        transport: Libp2pTransport = await nursery.start(start)
        return transport

    asker, echo = await start("asker"), await start("echo")
    with trio.fail_after(20):
        channel = await asker.open(echo.addresses[0], PACKET)
        before = asker.meter.sent, asker.meter.received
        for _ in range(FRAMES):
            await channel.send(bytes(PACKET_FRAME))
            await channel.receive()
    least = FRAMES * PACKET_FRAME
    sent, received = asker.meter.sent - before[0], asker.meter.received - before[1]
    assert least < sent < least * (1 + ROOM)
    assert least < received < least * (1 + ROOM)
    assert echo.meter.received == pytest.approx(asker.meter.sent, rel=0.1)
    assert echo.meter.moved == echo.meter.received + echo.meter.sent > 2 * least
