"""A stock py-libp2p host, none of our code, that dials argv[1] and says how it went."""

import os
import sys

import trio
from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr


async def main() -> None:
    host = new_host()
    async with host.run([]):
        info = info_from_p2p_addr(Multiaddr(sys.argv[1]))
        await host.connect(info)
        stream = await host.new_stream(info.peer_id, [TProtocol("/shoal/dht/1")])
        answers = []
        for text in (b"one", b"two", bytes(60_000)):
            await stream.write(len(text).to_bytes(4, "big") + text)
            answer = b""
            while len(answer) < len(text) + 4:
                answer += await stream.read(len(text) + 4 - len(answer))
            answers.append(answer[4:] == text)
        sys.stdout.write(f"{answers}\n")
        sys.stdout.flush()
        os._exit(0)  # its own shutdown takes seconds


trio.run(main)
