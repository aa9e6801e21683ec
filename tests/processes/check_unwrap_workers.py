"""Unwrapping workers as real processes: no orphan, nothing open, nothing lost with a killed one."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from processes.check_volume import relay
from processes.waiting import Say, until
from shoal_node import fleet, home
from shoal_node.api.client import Client
from shoal_node.bench import relay as bench
from shoal_node.bench import relay_inside, relay_load

START_S, END_S = 20.0, 5.0
PACKETS = 150  # of each of 32 clients
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def workers_of(pid: int) -> list[int]:
    return [process.pid for process in bench._Process(pid).children()]


def gone(pid: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def running(client: Client) -> int:
    return int(client.get("status")["counters"].get("workers running", 0))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_worker_holds_nothing_open_and_ends_with_its_relay(
    tmp_path: Path, number: signal.Signals
) -> None:
    data = tmp_path / "relay"
    data.mkdir(mode=0o700)
    (data / home.CONFIG_FILE).write_text("workers = 1\n")
    with relay(data) as process:
        until(lambda: running(Client.of(data)) == 1, START_S, "a worker takes packets")
        (worker,) = workers_of(process.pid)
        proc = Path(f"/proc/{worker}")
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
        for one in IGNORED:
            assert int(status["SigIgn"], 16) >> (one - 1) & 1
        limits = (proc / "limits").read_text().splitlines()
        assert (
            next(line for line in limits if line.startswith("Max core")).split()[4:6] == ["0"] * 2
        )
        held = {path.name: path.readlink() for path in (proc / "fd").iterdir()}
        assert {name for name, target in held.items() if target != Path("/dev/null")} == {"0"}
        assert str(held["0"]).startswith("socket:")
        for one in IGNORED:
            os.kill(worker, one)
        assert Client.of(data).get("status")["warnings"] == []
        assert not gone(worker)
        process.send_signal(number)
        until(lambda: gone(worker), END_S, "the worker ends with its relay")


def test_a_worker_killed_under_load_loses_no_packet(say: Say) -> None:
    with fleet.Fleet(1, 0, main=partial(relay_inside.main, 2, ())) as network:
        network.start()
        (node,) = network.relays
        client, pid = node.client(), node.process.pid
        assert pid is not None
        until(lambda: running(client) == 2, START_S, "both workers take packets")
        load = trio.run(bench._connected, node)
        load.fill(PACKETS)
        victims = workers_of(pid)
        killing = threading.Timer(0.05, kill, victims)
        began = time.monotonic()
        killing.start()
        relay_load.exchange(load.links, PACKETS, 15, 1, START_S)  # raises if one does not come back
        took = time.monotonic() - began
        killing.join()
        counters = client.get("status")["counters"]
        assert counters["workers lost"] == 2 and counters["unwrapped by workers"] > 0
        assert "replay" not in counters
        until(lambda: running(client) == 2, START_S, "both workers have been started again")
        assert client.get("status")["warnings"] == []
        say(
            f"{len(load.links) * PACKETS} packets in {took:.1f} s, "
            f"{counters.get('unwrapped for lost workers', 0)} of them taken over from the killed"
        )
        for link in load.links:
            link.close()
