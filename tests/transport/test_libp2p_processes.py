"""What only real processes show: kill -9, a stopped process, a stock libp2p peer, silence."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
import trio
from libp2p.stream_muxer.yamux import yamux

from shoal_node.transport import framing, libp2p_yamux
from shoal_node.transport.interface import ChannelClosed, DialError, TransportLimits
from transport_support import ECHO, Start

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE.parent), "PYTHONWARNINGS": "ignore"}


@asynccontextmanager
async def peer_process() -> AsyncIterator[tuple[trio.Process, str]]:
    """A node in its own process, and its address."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(HERE / "peer_process.py")],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some()
        yield process, line.decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        await process.stdout.aclose()


async def test_a_killed_peer_is_noticed_at_once(start_libp2p: Start) -> None:
    node = await start_libp2p("node")
    async with peer_process() as (process, address):
        channel = await node.open(address, framing.DHT)
        await channel.send(b"x")
        assert await channel.receive() == b"x"
        process.send_signal(signal.SIGKILL)
        with trio.fail_after(3), pytest.raises(ChannelClosed) as caught:
            await channel.receive()
        assert caught.value.reason == "link lost"
        with pytest.raises(DialError):
            await node.open(address, framing.DHT)


async def test_a_stopped_peer_is_taken_for_dead_in_time(start_libp2p: Start) -> None:
    node = await start_libp2p("node", limits=TransportLimits(keepalive_s=0.3, dead_s=0.9))
    async with peer_process() as (process, address):
        channel = await node.open(address, framing.DHT)
        process.send_signal(signal.SIGSTOP)
        began = trio.current_time()
        with trio.fail_after(8), pytest.raises(ChannelClosed):
            await channel.receive()
        assert 0.5 < trio.current_time() - began < 5
        assert node.counters == {"peer dead": 1}


async def test_an_idle_but_living_peer_is_kept(start_libp2p: Start) -> None:
    quick = TransportLimits(keepalive_s=0.1, dead_s=0.8)
    a, b = await start_libp2p("a", limits=quick), await start_libp2p("b", limits=quick)
    channel = await a.open(b.addresses[0], framing.DHT)
    with trio.move_on_after(1.6) as scope:
        await channel.receive()
    assert scope.cancelled_caught
    await channel.send(b"still here")
    assert await channel.receive() == b"still here"


async def test_a_stock_libp2p_host_is_served(start_libp2p: Start) -> None:
    node = await start_libp2p("node", ECHO)
    result = await trio.run_process(
        [sys.executable, str(HERE / "stock_process.py"), node.addresses[0]],
        capture_stdout=True,
        env=ENVIRONMENT,
    )
    assert result.stdout.decode().strip() == "[True, True, True]"


async def test_importing_the_host_costs_nothing_and_running_it_prints_nothing(
    tmp_path: Path,
) -> None:
    code = """
import sys, warnings
warnings.simplefilter("error")
import trio
from functools import partial
from shoal_node.transport import framing, libp2p_host
assert not any(name.partition(".")[0] == "libp2p" for name in sys.modules), "libp2p is lazy"
warnings.simplefilter("ignore")
async def main():
    async def fail(channel):
        raise ValueError
    async with trio.open_nursery() as nursery:
        nodes = [
            await nursery.start(
                partial(
                    libp2p_host.run_libp2p,
                    {framing.DHT: fail},
                    seed=bytes([n] * 32),
                    listen=["/ip4/127.0.0.1/tcp/0"],
                )
            )
            for n in (1, 2)
        ]
        channel = await nodes[0].open(nodes[1].addresses[0], framing.DHT)
        try:
            await channel.receive()
        except Exception:
            pass
        nursery.cancel_scope.cancel()
trio.run(main)
"""
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "LIBP2P_DEBUG": "DEBUG",
        "LIBP2P_DEBUG_FILE": str(log),
        "TMPDIR": str(tmp_path),
    }
    result = await trio.run_process(
        [sys.executable, "-c", code], capture_stdout=True, capture_stderr=True, env=environment
    )
    shown = [
        line for line in result.stderr.decode().splitlines() if not line.startswith("contained")
    ]
    assert result.stdout == b""
    assert shown == []
    assert os.listdir(tmp_path) == []


def test_the_overridden_private_parts_belong_to_the_pinned_version() -> None:
    assert version("libp2p") == libp2p_yamux.PINNED, (
        "read libp2p_yamux.py against the new version's yamux.py, then move the pin"
    )
    library = yamux.Yamux
    for name in ("_write_frame", "_measure_rtt_loop", "_cleanup_on_error", "handle_incoming"):
        assert callable(getattr(library, name))
    assert yamux.YamuxStream is libp2p_yamux.SteadyStream
    assert yamux.MAX_WINDOW_SIZE == libp2p_yamux.WINDOW
