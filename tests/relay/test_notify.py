"""What systemd is told: over either kind of socket, never by a child, and no life where none is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from shoal_node import notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's address and socket."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@shoal-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        bound.setblocking(False)
        yield address, bound


def told(bound: socket.socket) -> list[str]:
    """Everything that was sent so far."""
    found = []
    while True:
        try:
            found.append(bound.recv(4096).decode())
        except BlockingIOError:
            return found


def test_a_node_says_that_it_is_ready_how_it_is_and_that_it_reloads(
    manager: tuple[str, socket.socket],
) -> None:
    address, bound = manager
    notifier = notify.Notifier(address)
    notifier.tell(notify.READY)
    notifier.tell_status("12 relays\nREADY=0 known.")
    notifier.tell_status("12 relays READY=0 known.")
    notifier.tell_reloading()
    ready, status, reloading = told(bound)
    assert (ready, status) == ("READY=1", "STATUS=12 relays READY=0 known.")
    first, _, when = reloading.partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert int(when) > 0


def test_what_asks_for_it_is_taken_out_of_the_environment() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/root",
    }
    notifier = notify.from_environment(environ)
    assert (bool(notifier), notifier.watchdog_s) == (True, 30.0)
    assert environ == {"HOME": "/root"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "vsock:2:1"},
    ],
)
def test_nobody_is_told_where_nobody_asked(environ: dict[str, str]) -> None:
    notifier = notify.from_environment(environ)
    assert (bool(notifier), notifier.watchdog_s) == (False, None)
    notifier.tell(notify.READY)


def test_a_manager_that_is_gone_holds_nothing_up(tmp_path: Path) -> None:
    notify.Notifier(str(tmp_path / "gone")).tell(notify.READY)


async def test_life_is_shown_only_while_the_clock_turns(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)
        notifier = notify.Notifier(str(tmp_path / "notify"), watchdog_s=20.0)
        turns = True

        async def turn() -> None:
            await trio.sleep(0 if turns else 1_000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(notify.keep_told, notifier, lambda: "fine", turn)
            await trio.sleep(0.5)
            assert told(bound) == ["READY=1", "STATUS=fine", "WATCHDOG=1"]
            for _ in range(5):
                await trio.sleep(10)
                assert told(bound) == ["WATCHDOG=1"] * 2
            turns = False
            await trio.sleep(10)
            told(bound)
            await trio.sleep(100)
            assert told(bound) == []
            nursery.cancel_scope.cancel()
        assert told(bound) == ["STOPPING=1"]
