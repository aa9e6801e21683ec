"""A relay's process that tells, besides being a relay, where its time goes and how long it holds.

::

    SIGUSR1 ─► 500 samples a second of processor time ─► innermost known frame ─► part
    SIGUSR2 ─► no more
    socket read ─► deliver ─► … ─► PacketLinks.send      the relay's own part of a packet's delay
    its end ─► DIR/bench.json

Each sample is one look at Python's stack from a signal's handler, after the call into C that it
came in has returned: a multiplication counts for the frame that asked for it. Taking times costs
a packet some 2 µs, samples 2 % at most.
"""

import json
import os
import signal
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any, Final

import trio

from shoal_node.config import NodeConfig
from shoal_node.operator import OperatorLimits

FILE: Final = "bench.json"
SAMPLE_S: Final = 0.002
HELD: Final = 4_096  # times kept of a client's packets that have not come out
LIMITS: Final = OperatorLimits(packets_per_s=1e6, peer_packets_per_s=1e6, peer_burst=1_000_000)

# The innermost frame whose file ends so names the part.
PARTS: Final[Sequence[tuple[str, str]]] = (
    ("packets/replay.py", "replay filter"),
    ("shoal_protocol/packets/", "unwrap"),
    ("shoal_protocol/crypto.py", "unwrap"),
    ("relay/limits.py", "limits"),
    ("relay/mix.py", "mixing heap"),
    ("relay/machine.py", "mixing heap"),
    ("unwrap_records.py", "workers"),
    ("unwrap_pool.py", "workers"),
    ("unwrap_process.py", "workers"),
    ("/noise/", "noise"),
    ("libp2p/security/", "noise"),
    ("libp2p/io/", "noise"),
    ("libp2p_yamux.py", "yamux"),
    ("yamux/yamux.py", "yamux"),
    ("libp2p_link.py", "sockets"),
    ("trio/_socket.py", "sockets"),
    ("trio/_highlevel_socket.py", "sockets"),
    ("transport/", "channels"),
    ("shoal_node/links.py", "channels"),
    ("trio/_channel.py", "channels"),
    ("unwrap_intake.py", "intake"),
    ("shoal_node/relay.py", "intake"),
    ("/trio/", "scheduling"),
)


def part_of(frame: FrameType | None) -> str:
    """Return which part of the work a stack is in."""
    while frame is not None:
        name = frame.f_code.co_filename
        for piece, part in PARTS:
            if piece in name:
                return part
        frame = frame.f_back
    return "other"


class Samples:
    """Counts stacks by part while it is switched on."""

    def __init__(self) -> None:
        self.parts: Final[Counter[str]] = Counter()
        signal.signal(signal.SIGPROF, self._look)
        signal.signal(signal.SIGUSR1, lambda *_: self._switch(SAMPLE_S))
        signal.signal(signal.SIGUSR2, lambda *_: self._switch(0.0))

    def _look(self, number: int, frame: FrameType | None) -> None:
        self.parts[part_of(frame)] += 1

    def _switch(self, interval_s: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, interval_s, interval_s)


def time_packets() -> list[tuple[float, float]]:
    """Note, from now on, when each packet was handed over, and after how long: (monotonic, s).

    By client: one that gets its own packets back gets them in the order in which it sent them.
    """
    from shoal_node.links import PacketLinks
    from shoal_node.transport.channel import QueuedChannel
    from shoal_node.transport.libp2p_yamux import SteadyStream

    found: list[tuple[float, float]] = []
    came: defaultdict[bytes, deque[float]] = defaultdict(partial(deque, maxlen=HELD))
    heard = [0.0]
    read, deliver, send = SteadyStream.read, QueuedChannel.deliver, PacketLinks.send

    async def timed_read(self: Any, n: int | None = None) -> bytes:
        data = await read(self, n)
        heard[0] = self.conn._socket.heard
        return data

    async def timed_deliver(self: QueuedChannel, frame: bytes) -> None:
        if self.framing.lossy:
            came[self.peer.relay_id].append(heard[0])
        await deliver(self, frame)

    def timed_send(
        self: PacketLinks, relay_id: bytes, packet: bytes, *, to_client: bool = False
    ) -> None:
        send(self, relay_id, packet, to_client=to_client)
        waiting = came[relay_id]
        if waiting:
            found.append((time.monotonic(), trio.current_time() - waiting.popleft()))

    changes: list[tuple[Any, str, Any]] = [
        (SteadyStream, "read", timed_read),
        (QueuedChannel, "deliver", timed_deliver),
        (PacketLinks, "send", timed_send),
    ]
    for owner, name, function in changes:
        setattr(owner, name, function)
    return found


def main(workers: int, cores: Sequence[int], config: NodeConfig) -> int:
    """Run a relay on one of ``cores``, with so many workers, and write down what was found."""
    from shoal_node import daemon

    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(0, cores)
    samples, delays = Samples(), time_packets()
    try:
        return daemon.main(replace(config, workers=workers, limits=LIMITS))
    finally:
        (config.data / FILE).write_text(json.dumps({"parts": samples.parts, "delays": delays}))
