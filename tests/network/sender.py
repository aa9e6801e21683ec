"""A stranger's process that sends packets to a relay and prints what its meter counted, bytes.

``python -m network.sender ADDRESS COUNT PAUSE``: COUNT packets, PAUSE seconds between two; the
relay drops them, as they are of nobody's mix key.
"""

import sys
from functools import partial

import trio

from shoal_node.transport.framing import PACKET, PACKET_FRAME
from shoal_node.transport.libp2p_host import Libp2pTransport, run_libp2p

SEED = bytes(range(32))
LINGER_S = 1.0  # until the last acknowledgement has come


async def send(address: str, count: int, pause: float) -> int:
    """Send, and return the bytes that were counted."""
    async with trio.open_nursery() as nursery:
        transport: Libp2pTransport = await nursery.start(partial(run_libp2p, {}, seed=SEED))
        channel = await transport.open(address, PACKET)
        for _ in range(count):
            await channel.send(bytes(PACKET_FRAME))
            await trio.sleep(pause)
        await trio.sleep(LINGER_S)
        nursery.cancel_scope.cancel()
    return transport.meter.moved


if __name__ == "__main__":
    sys.stdout.write(f"{trio.run(send, sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))}\n")
