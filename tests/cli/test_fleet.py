"""Fleets of real processes: start, end, interruption, and the death of the parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import standin_node as standin
from shoal_node import fleet, home
from shoal_protocol.errors import UserError

HERE = Path(__file__).parent.parent


@pytest.fixture(scope="module", autouse=True)
def _light_forkserver() -> Iterator[None]:
    """Let the forkserver of this test process import only what stand-ins need."""
    fleet_preload, fleet.PRELOAD[:] = list(fleet.PRELOAD), ["shoal_node.api.server"]
    yield
    fleet.PRELOAD[:] = fleet_preload


@pytest.fixture(autouse=True)
def _homes_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def _ended(pid: int | None) -> bool:
    """Whether the process has ended; waits for it for at most 10 s."""
    assert pid is not None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        import select

        return bool(select.select([descriptor], [], [], 10.0)[0])
    finally:
        os.close(descriptor)


def test_a_fleet_starts_relays_and_people_and_leaves_nothing_behind() -> None:
    with fleet.Fleet(4, 2, main=standin.run) as network:
        seen: list[int] = []
        network.start(seen.append)
        network.await_ready()
        assert seen[-1] == 6
        roles = [node.client().get("status")["role"] for node in network.nodes]
        assert roles == ["relay"] * 4 + ["person"] * 2
        assert network.people[0].client().get("status")["relays"] == 3  # bootstraps
        assert network.relays[0].config.bootstrap == ()
        pids = [node.process.pid for node in network.nodes]
        root = network.root
        assert root.stat().st_mode & 0o777 == 0o700
        assert all((node.rss_mb() or 1) > 0 for node in network.nodes)
    assert all(_ended(pid) for pid in pids)
    assert not root.exists()


def test_a_killed_node_is_gone_and_does_not_count_as_a_failure() -> None:
    with fleet.Fleet(2, 0, main=standin.run) as network:
        network.start()
        network.kill(network.relays[1])
        network.check()
        with pytest.raises(UserError, match="ended without cleaning up"):
            network.relays[1].client()


def test_a_person_may_erase_a_node_of_a_lab_and_a_relay_that_ends_is_a_failure() -> None:
    with fleet.Fleet(2, 2, main=standin.run) as network:
        network.start()
        for node, pid in [(one, one.process.pid) for one in (network.people[0], network.relays[1])]:
            assert pid is not None
            os.kill(pid, signal.SIGTERM)
            node.process.join(fleet.STOP_TIMEOUT)
            assert node.process.exitcode == 0
        with pytest.raises(UserError, match="relay-2 ended with code 0"):
            network.check(erased=True)
        network.kill(network.relays[1])
        with pytest.raises(UserError, match="person-1 ended with code 0"):
            network.check()
        network.check(erased=True)
        network.check()


def test_a_node_is_stopped_and_started_again_on_its_home() -> None:
    with fleet.Fleet(2, 2, main=standin.run) as network:
        network.start()
        node = network.people[1]
        persona = node.client().post("personas", body={})
        network.stop(node)
        network.check()  # one that was stopped did not fail
        network.await_ready()  # nor is it waited for
        with pytest.raises(UserError, match="No node runs"):
            node.client()
        again = network.restart(node)
        assert network.people[1] is again and network.people[0].name == "person-1"
        assert (again.name, again.data) == (node.name, node.data)
        assert again.client().get("personas") == [persona]
        pid = again.process.pid
        network.kill(network.relays[1])
        network.restart(network.relays[1])
        assert network.relays[1].client().get("status")["ready"]
        log = again.log
        assert log.exists()
    assert _ended(pid)


def test_a_restarted_node_that_fails_is_reported(tmp_path: Path) -> None:
    with fleet.Fleet(1, 1, main=standin.run) as network:
        network.start()
        network.stop(network.people[0])
        (network.people[0].data / standin.KEPT).write_bytes(b"rubbish")
        with pytest.raises(UserError, match="person-1 ended with code 1"):
            network.restart(network.people[0])


def test_a_node_that_does_not_end_when_asked_is_reported_and_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "STOP_TIMEOUT", 0.2)
    with (
        pytest.raises(UserError, match="relay-1 has not ended"),
        fleet.Fleet(1, 0, main=standin.run_stubborn) as network,
    ):
        network.start()
        network.stop(network.relays[0])
    assert not multiprocessing.active_children()


def test_a_node_that_ends_at_once_is_reported_with_its_log() -> None:
    with (
        pytest.raises(UserError, match=r"relay-1 ended with code 1.*The port is in use"),
        fleet.Fleet(1, 0, main=standin.run_failing) as network,
    ):
        network.start()


def test_a_kept_fleet_leaves_its_logs() -> None:
    with fleet.Fleet(1, 0, keep=True, main=standin.run) as network:
        network.start()
    assert (network.root / "relay-1" / home.LOG_FILE).exists()
    assert not (network.root / "relay-1" / home.API_FILE).exists()


def test_a_node_that_ignores_a_polite_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "STOP_TIMEOUT", 0.1)
    monkeypatch.setattr(fleet, "START_TIMEOUT", 0.5)
    with (
        pytest.raises(UserError, match="Not all nodes answer"),
        fleet.Fleet(1, 0, main=standin.run_deaf) as network,
    ):
        network.start()
    assert not multiprocessing.active_children()


_PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what runs in the background
sys.path.insert(0, {here!r})
import standin_node as standin
from shoal_node import fleet
fleet.PRELOAD[:] = ["shoal_node.api.server"]
def main():
    try:
        with fleet.Fleet(3, 1, main=standin.{kind}) as network:
            network.start(lambda done: print("answering", done, flush=True))
            print(*[node.process.pid for node in network.nodes], flush=True)
            sys.stdin.read()
    except KeyboardInterrupt:
        sys.exit(130)
if __name__ == "__main__":
    main()
"""


def _parent(tmp_path: Path, kind: str = "run") -> subprocess.Popen[str]:
    script = tmp_path / "parent.py"
    script.write_text(_PARENT.format(here=str(HERE), kind=kind))
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_node_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    with _parent(tmp_path) as parent:
        assert parent.stdout is not None
        pids: list[int] = []
        while not pids:
            line = parent.stdout.readline()
            assert line, "the parent ended early"
            pids = [] if line.startswith("answering") else [int(pid) for pid in line.split()]
        parent.send_signal(number)
        code = parent.wait(20)
    assert code == (-number if number == signal.SIGKILL else 130)
    assert all(_ended(pid) for pid in pids)
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("shoal-*"))


def test_an_interruption_while_nodes_start_leaves_no_process(tmp_path: Path) -> None:
    with _parent(tmp_path) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.send_signal(signal.SIGINT)
        assert parent.wait(20) == 130
    assert not _processes_in(tmp_path)
    assert not list(tmp_path.glob("shoal-*"))


def _processes_in(directory: Path) -> list[int]:
    """Processes that have a file open below ``directory``: each node has its log."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(entry.readlink()).startswith(str(directory)):
                found.append(int(entry.parts[2]))
        except OSError:
            continue
    return found
