"""The API on a Unix socket: for its owner alone, with all that it has on TCP."""

import http.client
import os
import socket
import stat
from functools import partial
from pathlib import Path

import pytest
import trio

import api_calls
import fake_node
from shoal_node import home
from shoal_node.api import server
from shoal_node.api.client import Client, Refused
from shoal_protocol.errors import UserError


def _client(path: Path, token: str = api_calls.TOKEN) -> Client:
    return Client(home.ApiFile(f"unix:{path}", token, 1, "", ()))


async def test_calls_and_events_go_through_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "private" / "api.sock"
    person = fake_node.FakePerson()
    run = partial(server.run_api, person, person, host=f"unix:{path}", token=api_calls.TOKEN)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(run)
        assert address.url == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

        def talk() -> None:
            client = _client(path)
            with client.follow() as events:
                first = events.next(api_calls.PATIENCE)
                assert first is not None and first["type"] == "network"
                made = client.post("personas", body={"name": "Heron"})
                assert made in client.get("personas")
            with pytest.raises(Refused, match="bearer token"):
                _client(path, "wrong").get("status")

        await trio.to_thread.run_sync(talk)
        assert await trio.to_thread.run_sync(_status_for, path, "attacker.example") == 421
        nursery.cancel_scope.cancel()
    assert not path.exists()


def _status_for(path: Path, host: str) -> int:
    connection = http.client.HTTPConnection(host)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status


async def _refused(path: Path) -> str:
    person = fake_node.FakePerson()
    with trio.fail_after(api_calls.PATIENCE), pytest.raises(UserError) as error:
        await server.run_api(person, person, host=f"unix:{path}")
    return str(error.value)


async def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    assert "only you may be able to enter it" in await _refused(folder / "api.sock")


async def test_a_socket_that_is_used_is_kept_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "private" / "api.sock"
    os.mkdir(path.parent, 0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "Address already in use" in await _refused(path)
    person = fake_node.FakePerson()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(server.run_api, person, person, host=f"unix:{path}"))
        nursery.cancel_scope.cancel()
    path.write_text("something else")
    assert "File exists" in await _refused(path)
    assert path.read_text() == "something else"
