"""A js-libp2p peer and our transport: frames both ways, ping, identify, another version.

Run it by name: ``pytest tests/interop/check_js.py``. It needs Node 20.19 or newer, and installs
what package-lock.json names into tests/interop/node_modules the first time.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal_node.transport import framing
from shoal_node.transport.interface import DialError, TransportLimits
from shoal_node.transport.libp2p_host import Libp2pTransport, run_libp2p
from transport_support import ECHO, LOOPBACK, seed_of

HERE = Path(__file__).parent
INSTALL_S = 300.0
ANSWER_S = 20.0
PACKETS = 25  # more than one write of ours takes
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "ignore"}
ASKED = {"protocol refused"}  # its identify, which it asks for by itself on each new link
REFUSED = {"error": "UnsupportedProtocolError"}


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """What the peer is made of is there."""
    npm = shutil.which("npm")
    assert npm is not None, "Node 20.19 or newer with npm is needed"
    lock = HERE / "node_modules" / ".package-lock.json"
    if not lock.exists() or lock.stat().st_mtime < (HERE / "package-lock.json").stat().st_mtime:
        subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=HERE,
            check=True,
            timeout=INSTALL_S,
            stdout=subprocess.DEVNULL,
        )


class Peer:
    """The process of the js-libp2p peer."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._read = b""

    async def line(self) -> str:
        """The next line that it writes."""
        assert self._process.stdout is not None
        with trio.fail_after(ANSWER_S):
            while b"\n" not in self._read:
                more = await self._process.stdout.receive_some()
                assert more, "the peer has ended"
                self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    async def ask(self, **what: Any) -> Any:
        """Have it do something; what it answers."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(what).encode() + b"\n")
        return json.loads(await self.line())


@asynccontextmanager
async def both(
    limits: TransportLimits | None = None,
) -> AsyncIterator[tuple[Libp2pTransport, Peer, str]]:
    """Our node, which echoes, the peer, and the peer's address."""
    async with trio.open_nursery() as nursery:
        node = await nursery.start(
            partial(run_libp2p, ECHO, seed=seed_of("node"), listen=LOOPBACK, limits=limits)
        )
        node_js = shutil.which("node")
        assert node_js is not None
        process = await trio.lowlevel.open_process(
            [node_js, str(HERE / "peer.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            peer = Peer(process)
            yield node, peer, await peer.line()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        await pipe.aclose()
            nursery.cancel_scope.cancel()


async def test_it_dials_us_and_its_frames_come_back() -> None:
    async with both() as (node, peer, _):
        assert await peer.ask(do="dial", to=node.addresses[0]) == {"done": True}
        for protocol, lengths in (
            (framing.PACKET, [framing.PACKET_FRAME] * PACKETS),
            (framing.DHT, [1, 1_000, framing.MAX_FRAME]),
            (framing.DIRECTORY, [1, 1_000, framing.MAX_FRAME]),
        ):
            assert await peer.ask(do="frames", protocols=[protocol], lengths=lengths) == {
                "protocol": protocol,
                "answers": [True] * len(lengths),
            }


async def test_we_dial_it_and_our_frames_come_back() -> None:
    async with both() as (node, _, address):
        channel = await node.open(address, framing.PACKET)
        packets = [os.urandom(framing.PACKET_FRAME) for _ in range(PACKETS)]
        for packet in packets:
            assert channel.try_send(packet)
        with trio.fail_after(ANSWER_S):
            assert [await channel.receive() for _ in packets] == packets
        other = await node.open(address, framing.DHT)
        frame = os.urandom(framing.MAX_FRAME)
        await other.send(frame)
        with trio.fail_after(ANSWER_S):
            assert await other.receive() == frame
        assert node.connections == 1
        assert set(node.counters) <= ASKED


async def test_an_unknown_version_is_refused_and_the_link_goes_on() -> None:
    async with both() as (node, peer, _):
        await peer.ask(do="dial", to=node.addresses[0])
        newer, ours = "/shoal/packet/2", framing.PACKET
        one = [framing.PACKET_FRAME]
        assert await peer.ask(do="frames", protocols=[newer], lengths=one) == REFUSED
        assert await peer.ask(do="frames", protocols=[newer, ours], lengths=one) == {
            "protocol": ours,
            "answers": [True],
        }
        assert await peer.ask(do="links") == {"links": 1}
        assert node.connections == 1


async def test_what_it_does_not_speak_it_refuses_and_the_link_goes_on() -> None:
    async with both() as (node, _, address):
        with pytest.raises(DialError) as caught:
            await node.open(address, framing.REPLICA)
        assert caught.value.reason == "protocol refused"
        channel = await node.open(address, framing.PACKET)
        packet = os.urandom(framing.PACKET_FRAME)
        await channel.send(packet)
        with trio.fail_after(ANSWER_S):
            assert await channel.receive() == packet
        assert node.connections == 1


async def test_it_is_told_nothing_by_identify_or_ping_and_the_link_goes_on() -> None:
    async with both() as (node, peer, _):
        await peer.ask(do="dial", to=node.addresses[0])
        assert await peer.ask(do="identify") == REFUSED
        assert await peer.ask(do="ping") == REFUSED
        answer = await peer.ask(do="frames", protocols=[framing.DHT], lengths=[10])
        assert answer["answers"] == [True]
        assert await peer.ask(do="links") == {"links": 1}


async def test_a_frame_that_is_too_long_ends_its_stream_and_not_the_link() -> None:
    async with both() as (node, peer, _):
        await peer.ask(do="dial", to=node.addresses[0])
        head = (framing.MAX_FRAME + 1).to_bytes(4, "big").hex()
        assert await peer.ask(do="raw", protocol=framing.DHT, hex=head) == {"ended": True}
        answer = await peer.ask(do="frames", protocols=[framing.DHT], lengths=[10])
        assert answer["answers"] == [True]
        assert node.counters["frame oversized"] == 1


async def test_it_answers_signs_of_life_on_a_silent_link() -> None:
    async with both(TransportLimits(keepalive_s=0.3, dead_s=1.2)) as (node, _, address):
        channel = await node.open(address, framing.DHT)
        with trio.move_on_after(3.0) as scope:
            await channel.receive()
        assert scope.cancelled_caught
        assert set(node.counters) <= ASKED


async def test_it_answers_ping_and_identify_of_a_stock_host() -> None:
    async with both() as (_, _, address):
        result = await trio.run_process(
            [sys.executable, str(HERE / "stock_asker.py"), address],
            capture_stdout=True,
            env=ENVIRONMENT,
        )
        answered, agent, protocols = result.stdout.decode().split(maxsplit=2)
        assert answered == "True"
        assert agent.startswith("js-libp2p/")
        assert framing.PACKET in protocols
