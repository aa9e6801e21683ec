"""A node in a process of its own, for tests that kill it: prints its address, echoes frames."""

import sys
from functools import partial

import trio

from shoal_node.transport.libp2p_host import run_libp2p
from transport_support import ECHO, LOOPBACK, seed_of


async def main() -> None:
    async with trio.open_nursery() as nursery:
        node = await nursery.start(
            partial(run_libp2p, ECHO, seed=seed_of("process"), listen=LOOPBACK)
        )
        sys.stdout.write(node.addresses[0] + "\n")
        sys.stdout.flush()


trio.run(main)
