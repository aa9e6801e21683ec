"""The server against hostile and slow connections, and the life of api.json."""

import contextlib
import json
import logging
import os
import random
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio

import api_calls
import fake_node
from api_calls import PATIENCE, TOKEN, Served, serving, serving_person
from shoal_node import home
from shoal_node.api import app, backend, server
from shoal_protocol.errors import UserError


async def _still_serves(served: Served) -> None:
    assert (await served.get("/status"))["ready"] is True


async def test_a_byte_behind_an_upgrade_does_not_take_the_server_down() -> None:
    """hypercorn issue 225."""
    async with serving() as served, await served.open() as witness:
        for path in ("/api/v1/events", "/api/v1/status", "/"):
            for protocol in (f"shoal.v1, bearer.{TOKEN}", "shoal.v1", None):
                request = api_calls.upgrade(served, path, Sec_WebSocket_Protocol=protocol)
                for tail in (b"\0", b"\x81", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000):
                    await served.raw(request + tail)
        await _still_serves(served)
        good = f"GET /api/v1/status HTTP/1.1\r\nHost: {served.host}\r\n"
        good += f"Authorization: Bearer {TOKEN}\r\n\r\n"
        await witness.send_all(good.encode())
        with trio.fail_after(PATIENCE):
            assert (await witness.receive_some(100)).startswith(b"HTTP/1.1 200")


HOSTILE = {
    "nothing": b"",
    "garbage": bytes(range(256)) * 40,
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
    "HTTP/1.0": b"GET /api/v1/status HTTP/1.0\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "long line": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "not ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "bad length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "smuggled": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "h2c": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n" + bytes(50),
    "bad upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: upgrade\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "absolute": b"GET http://attacker.example/ HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_bytes_end_their_own_connection_only(kind: str) -> None:
    async with serving() as served:
        with trio.fail_after(PATIENCE):
            async with await served.open() as stream:
                try:
                    await stream.send_all(HOSTILE[kind])
                    await stream.send_eof()
                    answer = b""
                    while data := await stream.receive_some(65_536):
                        answer += data
                except trio.BrokenResourceError:
                    answer = b""
        assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5"))
        await _still_serves(served)


async def test_random_mutations_of_a_request_get_no_5xx() -> None:
    rng = random.Random(7)
    async with serving() as served:
        good = (
            f"POST /api/v1/personas?x=1 HTTP/1.1\r\nHost: {served.host}\r\nAuthorization: Bearer "
        )
        good += f"{TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        for _ in range(150):
            request = bytearray(good.encode())
            for _ in range(rng.randint(1, 4)):
                request[rng.randrange(len(request))] = rng.randrange(256)
            async with await served.open() as stream:
                try:
                    await stream.send_all(bytes(request))
                    await stream.send_eof()
                    with trio.fail_after(PATIENCE):
                        answer = await stream.receive_some(4096)
                except trio.BrokenResourceError:
                    continue
                assert not answer.startswith(b"HTTP/1.1 5"), request
        await _still_serves(served)


async def test_connections_are_bounded_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    async with serving() as served:
        held = [await served.open() for _ in range(4)]
        request = f"GET /api/v1/status HTTP/1.1\r\nHost: {served.host}\r\n"
        request += f"Authorization: Bearer {TOKEN}\r\n\r\n"
        for stream in held:  # a first answer shows that each is being served
            await stream.send_all(request.encode())
            assert await stream.receive_some(1)
        with trio.fail_after(PATIENCE):
            async with await served.open() as fifth:
                assert await fifth.receive_some(1) == b""
            for stream in held:
                await stream.aclose()
            while (await served.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 0:
                await trio.lowlevel.checkpoint()
        await _still_serves(served)


async def _is_answered(stream: trio.SocketStream, request: bytes, end: bytes) -> bool:
    await stream.send_all(request)
    answer = b""
    while not answer.endswith(end):
        some = await stream.receive_some(4096)
        if not some:
            return False
        answer += some
    return answer.startswith(b"HTTP/1.1 200")


async def test_strangers_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    async with serving() as served, contextlib.AsyncExitStack() as held:
        head = f" HTTP/1.1\r\nHost: {served.host}\r\n"
        page = f"GET /{head}\r\n".encode()
        known = f"GET /api/v1/status{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        with trio.fail_after(PATIENCE):
            owner = await held.enter_async_context(await served.open())
            assert await _is_answered(owner, known, b"}}")
            strangers = [await held.enter_async_context(await served.open()) for _ in range(20)]
            for stream in strangers[-3:]:
                assert await _is_answered(stream, page, b"</html>\n")
            await _still_serves(served)
            assert await _is_answered(owner, known, b"}}")
            assert await strangers[0].receive_some(1) == b""


async def test_a_slow_body_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_TIMEOUT", 0.05)
    async with serving() as served:
        answer = await served.call(
            "POST", "/api/v1/personas", raw=b"{", headers={"Content-Length": "2"}
        )
        assert answer[0] == 408 and answer[1]["detail"] == "The body took too long."
        await _still_serves(served)


async def test_a_write_that_nobody_reads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WRITE_TIMEOUT", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        patient = server.Patient(trio.SocketStream(trio.socket.from_stdlib_socket(ours)))
        with pytest.raises(trio.BrokenResourceError):
            await patient.send_all(bytes(50_000_000))


async def test_a_stalled_reader_does_not_hold_up_the_end() -> None:
    with trio.fail_after(PATIENCE):
        async with serving() as served:
            stream = await served.open()
            await stream.send_all(api_calls.upgrade(served))
            assert (await stream.receive_some(12)).startswith(b"HTTP/1.1 101")
            mine = await served.post("/personas", {})
            contact = await served.post(
                f"/personas/{mine['id']}/contacts", {"pseudonym": "shoal-other"}
            )
            for _ in range(100):
                await served.node.send(contact["conversation"], "x" * 32_000, None)
                await trio.lowlevel.checkpoint()
        await stream.aclose()


async def test_api_json_is_there_exactly_while_the_api_answers(tmp_path: Path) -> None:
    path = tmp_path / "home"
    with home.Home(path) as data:
        async with serving(data=data) as served:
            file = path / home.API_FILE
            assert file.stat().st_mode & 0o777 == 0o600
            table = json.loads(file.read_text())
            assert table == {
                "url": f"http://{served.host}",
                "token": TOKEN,
                "pid": os.getpid(),
                "peer_id": "12D3KooWTest",
                "addrs": ["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWTest"],
            }
            assert home.read_api(path).url == table["url"]
        assert not file.exists()
    assert {entry.name for entry in path.iterdir()} == {home.LOCK_FILE, home.PORT_FILE}


async def test_each_start_has_a_fresh_token() -> None:
    tokens = set()
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            node = fake_node.FakeRelay()
            address = await nursery.start(partial(server.run_api, node, None))
            tokens.add(address.token)
            nursery.cancel_scope.cancel()
    assert len(tokens) == 2 and all(len(token) == 43 for token in tokens)


async def test_the_api_listens_on_loopback_only_and_says_when_it_cannot() -> None:
    node = fake_node.FakeRelay()
    for host in ("0.0.0.0", "192.0.2.1", "example.org"):
        with pytest.raises(UserError, match="this machine only"):
            await server.run_api(node, None, host=host)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="in use"):
            await server.run_api(node, None, port=taken.getsockname()[1])


class _Broken(fake_node.FakePerson):
    """A node with a bug: one call fails with an error that quotes what it should not."""

    def conversations(self) -> Sequence[backend.Conversation]:
        raise RuntimeError("secret text in an error")


async def test_a_bug_behind_one_route_is_a_500_and_stays_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving_person(_Broken()) as served:
        status, problem, _ = await served.call("GET", "/api/v1/conversations")
        assert status == 500 and problem["detail"] == "The node failed at this; its log says where."
        await _still_serves(served)
    assert "in=api call error=RuntimeError" in caplog.text
    assert "secret text" not in caplog.text


async def test_logs_at_debug_hold_no_token_text_or_pseudonym(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as served:
        mine = await served.post("/personas", {"name": "planted-name"})
        path = f"/personas/{mine['id']}/contacts"
        contact = await served.post(path, {"pseudonym": "shoal-planted"})
        path = f"/conversations/{contact['conversation']}/messages"
        await served.post(path, {"text": "planted-text"})
        await served.call("POST", f"/api/v1{path}", {"planted-field": "planted-text"})
        await served.call("GET", "/planted-path", headers={"Authorization": "Bearer planted"})
        await served.raw(api_calls.upgrade(served) + b"planted")
        await served.raw(b"GET /planted HTTP/1.1\r\nHost: planted\r\nX: \xffplanted\r\n\r\n")
    assert "planted" not in caplog.text and TOKEN not in caplog.text
