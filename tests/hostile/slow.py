"""T11: thousands of slow connections to one node, and an honest peer who comes among them.

::

    strangers (a process) ── count sockets, opened anew when closed, ≤ rate a second ──► node
    this process ── an honest peer dials, over and over, and measures ─────────────────► node
                 └─ reads the node's resident memory from /proc

The strangers come from /24s of loopback of their own. ``silent`` ones greet and say no more;
``held`` ones shake hands as peers of their own, open a channel each and keep it.
Usage: ``python -m hostile.slow --json``.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from shoal_node.supervisor import contain
from shoal_node.transport import address as addresses
from shoal_node.transport import framing, libp2p_link
from shoal_node.transport.interface import ChannelClosed, DialError, TransportLimits
from shoal_node.transport.libp2p_host import Libp2pTransport, run_libp2p
from shoal_node.transport.metering import Meter
from transport_support import ECHO, LOOPBACK, seed_of

TESTS: Final = Path(__file__).parent.parent  # from where a process finds these modules
GREETING: Final = b"\x13/multistream/1.0.0\n"
MEMORY: Final = 128 * 2**20  # bytes, of the node, more than before
LIMITS: Final = {"silent": "handshake evicted", "held": "connection limit"}  # counted at them
WITHIN_S: Final = 5.0  # until an honest peer has its answer
PATIENT: Final = TransportLimits(handshake_s=60)  # of strangers
PAUSE_S: Final = 1.0  # between two honest peers


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


async def serve() -> None:
    """Be the node: echo frames, print the address, and what was counted at the end of stdin."""
    async with trio.open_nursery() as nursery:
        node: Libp2pTransport = await nursery.start(
            partial(run_libp2p, ECHO, seed=seed_of("attacked"), listen=LOOPBACK)
        )
        sys.stdout.write(node.addresses[0] + "\n")
        sys.stdout.flush()
        asked = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
        while await asked.receive_some():
            held = {"connections": node.connections, "half open": node.half_open}
            sys.stdout.write(json.dumps(held | dict(node.counters)) + "\n")
            sys.stdout.flush()
        nursery.cancel_scope.cancel()


class Strangers:
    """The hostile side: ``count`` connections, made anew whenever the node closes one."""

    def __init__(self, address: str, kind: str, count: int, rate: float, networks: int) -> None:
        self._address, self._count, self._networks = address, count, networks
        self._one = {"silent": self._silent, "held": self._held}[kind]
        self._gap = 1 / rate
        self._next = 0.0
        self.opened = 0

    async def run(self, seconds: float) -> None:
        """Hold on for ``seconds``."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for number in range(self._count):
                    nursery.start_soon(self._again, number)

    async def _again(self, number: int) -> None:
        while True:
            self._next = max(self._next + self._gap, trio.current_time())
            await trio.sleep_until(self._next)
            self.opened += 1
            await contain("stranger", self._one, number, label="over")

    async def _connect(self, number: int) -> trio.SocketStream:
        target = addresses.parse(self._address)
        sock = trio.socket.socket()
        try:
            await sock.bind((f"127.0.{100 + number % self._networks}.1", 0))
            await sock.connect((target.host, target.port))
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def _silent(self, number: int) -> None:
        async with await self._connect(number) as stream:
            await stream.send_all(GREETING)
            while await stream.receive_some():
                pass

    async def _held(self, number: int) -> None:
        target = addresses.parse(self._address)
        assert target.peer_id is not None
        async with await self._connect(number) as stream:
            keys = libp2p_link.Identity(os.urandom(32))
            _, muxed = await keys.secure(stream, target.peer_id, PATIENT, Counter(), Meter())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(contain, "reading", muxed.start, label="over"))
                nursery.start_soon(partial(contain, "writing", muxed.write_loop, label="over"))
                await libp2p_link.propose(await muxed.open(), framing.DHT, PATIENT.handshake_s)
                await muxed.event_shutting_down.wait()
                nursery.cancel_scope.cancel()


async def honest(address: str, number: int) -> float | None:
    """Return after how many seconds a newcomer had its answer, None if there was none."""
    async with trio.open_nursery() as nursery:
        seed = seed_of(f"honest {number}")
        peer = await nursery.start(partial(run_libp2p, {}, seed=seed))
        began, took = trio.current_time(), None
        with trio.move_on_after(WITHIN_S):
            while took is None:
                try:
                    channel = await peer.open(address, framing.DHT)
                    await channel.send(b"hello")
                    if await channel.receive() == b"hello":
                        took = trio.current_time() - began
                except (DialError, ChannelClosed):
                    await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    return took


async def attack(
    kind: str, count: int, rate: float, networks: int, seconds: float
) -> dict[str, Any]:
    """Measure one attack; returns its figures."""
    here = [sys.executable, "-m", "hostile.slow"]
    node = await trio.lowlevel.open_process(
        [*here, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS
    )
    assert node.stdout is not None and node.stdin is not None
    strangers = None
    try:
        address = (await node.stdout.receive_some()).decode().strip()
        assert await honest(address, 0) is not None
        before = most = resident(node.pid)
        options = {"kind": kind, "count": count, "rate": rate, "networks": networks}
        said = [f"--{name}={value}" for name, value in (options | {"seconds": seconds}).items()]
        strangers = await trio.lowlevel.open_process(
            [*here, "--strangers", address, *said], stdout=subprocess.PIPE, cwd=TESTS
        )
        assert strangers.stdout is not None
        took: list[float | None] = []
        until = trio.current_time() + seconds
        while trio.current_time() < until - WITHIN_S:
            await trio.sleep(PAUSE_S)
            took.append(await honest(address, len(took) + 1))
            most = max(most, resident(node.pid))
        await node.stdin.send_all(b"?")
        counted = json.loads(await node.stdout.receive_some())
        opened = int(await strangers.stdout.receive_some())
    finally:
        for process in (strangers, node):
            if process is not None:
                process.kill()
                await process.wait()
    answered = sorted(one for one in took if one is not None)
    wrong = [] if took else ["no honest peer came"]
    if len(answered) < len(took):
        wrong.append(f"{len(took) - len(answered)} of {len(took)} honest peers had no answer")
    if most - before > MEMORY:
        wrong.append(f"the node grew by {(most - before) / 2**20:.0f} MiB")
    if not counted.get(LIMITS[kind]):
        wrong.append(f"the limit was not reached: no {LIMITS[kind]}")
    return {
        **options,
        "seconds": seconds,
        "opened": opened,
        "memory_bytes": most - before,
        "honest": len(took),
        "answered": len(answered),
        "slowest_s": round(answered[-1], 3) if answered else None,
        "counted": counted,
        "wrong": wrong,
    }


def main() -> int:
    """Be the part that the arguments name; print figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--strangers", help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=("silent", "held"), default="silent")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=1_000.0, help="opened a second, at most")
    parser.add_argument("--networks", type=int, default=1, help="/24s that strangers come from")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--json", action="store_true", help="print one object")
    given = parser.parse_args()
    if given.serve:
        trio.run(serve)
        return 0
    if given.strangers:
        crowd = Strangers(given.strangers, given.kind, given.count, given.rate, given.networks)
        trio.run(crowd.run, given.seconds)
        sys.stdout.write(f"{crowd.opened}\n")
        return 0
    figures = trio.run(attack, given.kind, given.count, given.rate, given.networks, given.seconds)
    sys.stdout.write(json.dumps(figures, indent=None if given.json else 2) + "\n")
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
