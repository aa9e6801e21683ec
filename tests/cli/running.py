"""A node served by another thread, and command lines run against it, for tests of commands."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import fake_node
from api import twin_people
from shoal_node import home
from shoal_node.api import server
from shoal_node.cli import main

PATIENCE = 20.0  # s


@dataclass
class Running:
    """A node served by another thread."""

    data: Path
    node: fake_node.FakePerson
    call: Callable[[Callable[[], object]], None] = lambda function: None
    stop: Callable[[], None] = lambda: None


@contextlib.contextmanager
def running_node(data: Path, *, relay: bool = False, peopled: bool = False) -> Iterator[Running]:
    """Serve a node whose home is ``data`` while the context lasts.

    Args:
        relay: a relay instead of a person's node.
        peopled: the person has personas, contacts and talks (``twin_people``).
    """
    started = threading.Event()
    running = Running(data, fake_node.FakePerson())
    node = fake_node.FakeRelay() if relay else running.node

    async def serve() -> None:
        if peopled:
            await twin_people.settle(running.node)
        with home.Home(data) as directory:
            async with trio.open_nursery() as nursery:
                person = None if relay else running.node
                await nursery.start(partial(server.run_api, node, person, data=directory))
                token = trio.lowlevel.current_trio_token()
                running.call = token.run_sync_soon
                running.stop = partial(token.run_sync_soon, nursery.cancel_scope.cancel)
                started.set()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield running
    finally:
        with contextlib.suppress(trio.RunFinishedError):
            running.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def shoal(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command line: (exit code, standard output, standard error)."""
    capsys.readouterr()
    try:
        code = main.main(argv)
    except SystemExit as error:
        code = int(error.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def shoal_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Run a command line that prints one JSON object."""
    code, out, err = shoal(capsys, *argv, "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out)
