"""A stock py-libp2p host, none of our code, that asks argv[1] by ping and identify."""

import os
import sys

import trio
from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr


async def main() -> None:
    host = new_host()
    async with host.run([]):
        info = info_from_p2p_addr(Multiaddr(sys.argv[1]))
        await host.connect(info)
        stream = await host.new_stream(info.peer_id, [TProtocol("/ipfs/ping/1.0.0")])
        sent = os.urandom(32)
        await stream.write(sent)
        answer = b""
        while len(answer) < len(sent):
            answer += await stream.read(len(sent) - len(answer))
        stream = await host.new_stream(info.peer_id, [TProtocol("/ipfs/id/1.0.0")])
        told = b""
        while len(told) < 2 or len(told) < 2 + (told[0] & 127) + (told[1] << 7):
            told += await stream.read(4_096)
        record = Identify.FromString(told[2:])
        sys.stdout.write(f"{answer == sent} {record.agent_version} {sorted(record.protocols)}\n")
        sys.stdout.flush()
        os._exit(0)  # its own shutdown takes seconds


trio.run(main)
