"""A relay's process with a tiny monthly cap: it leaves, survives kills, is silent, comes back."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from processes.waiting import Say, until
from shoal_node import home
from shoal_node.api.client import Client
from shoal_node.transport.framing import PACKET, PACKET_FRAME
from shoal_node.transport.interface import ChannelClosed, Transport
from shoal_node.transport.libp2p_host import run_libp2p
from shoal_protocol.errors import UserError
from transport_support import seed_of

CAP_MB = 12.0
PART = 300  # packets: a megabyte
GRANT_MB = 1.0  # that a kill may cost at least, by volume.py
START_S, SEEN_S = 30.0, 40.0


def settings(data: Path, cap_mb: float) -> None:
    (data / home.CONFIG_FILE).write_text(f"[limits]\nmonth_gb = {cap_mb / 1000}\n")


@contextmanager
def relay(data: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    data.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "shoal_node.cli.main", "relay", "--data", str(data)]
    command += ["--listen", "/ip4/127.0.0.1/tcp/0", *argv]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("SHOAL_")}
    with (data / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        until(lambda: answers(data, process.pid), START_S, "the relay answers")
        yield process
    finally:
        process.kill()
        process.wait()


def answers(data: Path, pid: int) -> bool:
    try:
        return Client.of(data).api.pid == pid
    except UserError:
        return False


def month(data: Path) -> tuple[str, float]:
    """Return the month's state and the megabytes used."""
    told = Client.of(data).get("status")["month"]
    return told["state"], told["used_gb"] * 1000


def counted(data: Path, megabytes: float) -> bool:
    """Whether the relay has looked at its meter since so much was sent, or leaves already."""
    state, used = month(data)
    return state != "open" or used >= megabytes


async def knock(address: str, packets: int, stranger: str) -> bool:
    """Send packets of garbage under a fresh identity; returns whether the relay took us."""
    async with trio.open_nursery() as nursery:
        transport: Transport = await nursery.start(
            partial(run_libp2p, {}, seed=seed_of(stranger), listen=())
        )
        channel = await transport.open(address, PACKET)
        taken = True
        try:
            for _ in range(packets):
                await channel.send(bytes(PACKET_FRAME))
            with trio.move_on_after(1):
                await channel.receive()
        except ChannelClosed:
            taken = False
        nursery.cancel_scope.cancel()
    return taken


def test_a_capped_relay_leaves_near_its_cap_through_kills_and_comes_back_when_it_is_raised(
    tmp_path: Path, say: Say
) -> None:
    watcher, capped = tmp_path / "watcher", tmp_path / "capped"
    capped.mkdir(mode=0o700)
    settings(capped, CAP_MB)

    def seen() -> int:
        return int(Client.of(watcher).get("status")["relays"])

    with relay(watcher):
        bootstrap = ("--bootstrap", Client.of(watcher).api.addrs[0])
        with relay(capped, *bootstrap) as process:
            until(lambda: seen() == 2, SEEN_S, "the capped relay in the directory")
            assert trio.run(knock, Client.of(capped).api.addrs[0], PART, "first")
            least = PART * PACKET_FRAME / 1e6
            until(lambda: month(capped)[1] >= least, 10, "a megabyte is counted")
            state, used = month(capped)
            assert (state, used < 2 * least) == ("open", True)
            process.send_signal(signal.SIGKILL)
            process.wait()
        with relay(capped, *bootstrap) as process:
            state, after = month(capped)
            assert state == "open"
            assert after >= used, "a kill gives nothing back"
            say(f"{used:.2f} MB before a kill, {after:.2f} MB after: {after - used:.2f} MB lost")
            for number in range(12):
                state, used = month(capped)
                if state != "open":
                    break
                trio.run(knock, Client.of(capped).api.addrs[0], PART, f"part {number}")
                until(partial(counted, capped, used + least), 10, "a part is counted")
            assert state == "leaving"
            say(f"of a cap of {CAP_MB:g} MB it left at {used:.2f} MB")
            assert used < CAP_MB
            took = until(lambda: seen() == 1, SEEN_S, "the others hear that it leaves")
            say(f"{took:.1f} s until the directory said so")
            warnings = Client.of(capped).get("status")["warnings"]
            assert any("until then it takes nothing new" in warning for warning in warnings)
            assert not trio.run(knock, Client.of(capped).api.addrs[0], 1, "a new client")
            process.send_signal(signal.SIGKILL)
            process.wait()
        with relay(capped, *bootstrap) as process:
            assert month(capped)[0] in ("leaving", "silent"), "no start brings it back"
            settings(capped, month(capped)[1] + GRANT_MB / 10)
            process.send_signal(signal.SIGHUP)
            until(lambda: month(capped)[0] == "leaving", 10, "a cap with no room for the reserve")
            assert seen() == 1
            settings(capped, 1000)
            process.send_signal(signal.SIGHUP)
            took = until(lambda: seen() == 2, SEEN_S, "the relay is back")
            say(f"back {took:.1f} s after its cap was raised")
            assert Client.of(capped).get("status")["warnings"] == []
            assert trio.run(knock, Client.of(capped).api.addrs[0], 1, "another new client")
            _, used = month(capped)
            settings(capped, used / 2)
            process.send_signal(signal.SIGHUP)
            until(lambda: month(capped)[0] == "silent", 10, "a cap that is used up")
            assert not trio.run(knock, Client.of(capped).api.addrs[0], 1, "too late")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert b"until then it takes nothing new" in (capped / "log").read_bytes()
        with relay(capped, *bootstrap):
            assert month(capped)[1] < used + 2 * GRANT_MB, "a good end costs nothing"
