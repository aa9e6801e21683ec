"""A node's API over a real loopback socket, and raw calls to it, for tests."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import h11
import trio

import fake_node
from shoal_node import home
from shoal_node.api import bodies, server
from shoal_node.api.endpoints import BASE, Endpoint

TOKEN = "token-of-the-test"
PATIENCE = 10.0  # s until a call that hangs fails its test


def path_of(row: Endpoint) -> str:
    """The path of a route, with names of nothing in it."""
    return BASE + re.sub(r"\{\w+\}", "x", row.path)


EXAMPLES: Mapping[type, object] = {
    bodies.NewContact: {"pseudonym": "shoal-x"},
    bodies.ConversationPatch: {"expires_after": 60},
    bodies.NewMessage: {"text": "x"},
    bodies.ReadUpTo: {"message": "x"},
    bodies.NewBackup: {"passphrase": "x"},
    bodies.Panic: {"confirm": "erase"},
    bodies.TicketToRedeem: {"ticket": "x"},
}  # of the bodies that have fields that can't be left out


def example(row: Endpoint) -> tuple[str, bytes, str | None]:
    """A call to a route that its types allow: path with query, body, media type or None."""
    query = {bodies.NewFile: "?name=x", bodies.Query: "?q=x"}.get(row.query, "")
    if row.body is None:
        return path_of(row) + query, b"", None
    kind = row.takes.media_types[0].decode()
    body = b"x" if row.body is bytes else json.dumps(EXAMPLES.get(row.body, {})).encode()
    return path_of(row) + query, body, kind


@dataclass
class Served:
    """A served node, and how to call it."""

    node: fake_node.FakePerson
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def open(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str | None] | None = None,
        raw: bytes | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        """One call on a connection of its own; a header of None is left out.

        Returns status, parsed body (bytes if it is no JSON), headers.
        """
        table: dict[str, str | None] = {"Host": self.host, "Authorization": f"Bearer {TOKEN}"}
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        if method in ("POST", "PUT", "PATCH") or data:
            table |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        table |= headers or {}
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in table.items() if value is not None]
        return await self.raw("\r\n".join([*lines, "", ""]).encode() + data)

    async def call_row(
        self, row: Endpoint, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Call a route as its types allow."""
        path, body, kind = example(row)
        given = {} if kind is None else {"Content-Type": kind}
        return await self.call(row.method, path, raw=body, headers=given | dict(headers or {}))

    async def raw(self, request: bytes) -> tuple[int, Any, dict[str, str]]:
        """Send bytes and parse one answer; status 0 when the server only closes."""
        with trio.fail_after(PATIENCE):
            stream = await self.open()
            async with stream:
                try:
                    await stream.send_all(request)
                    return await _answer(stream)
                except (trio.BrokenResourceError, h11.RemoteProtocolError):
                    return 0, None, {}

    async def get(self, path: str) -> Any:
        """GET below the API's base; the parsed answer of a call that succeeds."""
        status, answer, _ = await self.call("GET", f"/api/v1{path}")
        assert status == 200, answer
        return answer

    async def post(self, path: str, body: object) -> Any:
        """POST below the API's base; the parsed answer of a call that succeeds."""
        status, answer, _ = await self.call("POST", f"/api/v1{path}", body)
        assert status in (201, 202), answer
        return answer

    async def talk(self) -> str:
        """Make a persona and a contact; the path of their conversation, below the base."""
        mine = await self.post("/personas", {})
        contact = await self.post(f"/personas/{mine['id']}/contacts", {"pseudonym": "shoal-other"})
        return f"/conversations/{contact['conversation']}"

    async def upload(
        self, path: str, content: bytes, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """POST bytes to a path with its query below the API's base."""
        kind: dict[str, str | None] = {"Content-Type": "application/octet-stream"}
        return await self.call(
            "POST", f"/api/v1{path}", raw=content, headers=kind | dict(headers or {})
        )


async def _answer(stream: trio.SocketStream) -> tuple[int, Any, dict[str, str]]:
    machine = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("Host", "x")])
    machine.send(request)
    machine.send(h11.EndOfMessage())
    status, headers, body = 0, {}, b""
    while True:
        event = machine.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(65_536)
            if not data and status == 0:
                return 0, None, {}
            machine.receive_data(data)
        elif isinstance(event, h11.InformationalResponse):
            return event.status_code, None, {}
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        else:
            kind = headers.get("content-type", "")
            saved = "attachment" in headers.get("content-disposition", "")
            plain = saved or not kind.endswith("json")
            return status, body if plain and body else json.loads(body) if body else None, headers


@asynccontextmanager
async def serving(
    node: fake_node.FakeRelay | None = None, data: home.Home | None = None
) -> AsyncIterator[Served]:
    """Serve the relay ``node``, or a person's node if none is given, while the context lasts."""
    person = fake_node.FakePerson()
    async with trio.open_nursery() as nursery:
        served = person if node is None else node
        owner = person if node is None else None
        run = partial(server.run_api, served, owner, data=data, token=TOKEN)
        address = await nursery.start(run)
        yield Served(person, int(address.url.rpartition(":")[2]))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving_person(person: fake_node.FakePerson) -> AsyncIterator[Served]:
    """Serve this person's node while the context lasts."""
    async with trio.open_nursery() as nursery:
        run = partial(server.run_api, person, person, token=TOKEN)
        address = await nursery.start(run)
        yield Served(person, int(address.url.rpartition(":")[2]))
        nursery.cancel_scope.cancel()


def upgrade(served: Served, path: str = "/api/v1/events", /, **changes: str | None) -> bytes:
    """A WebSocket's opening request; a keyword changes a header, None leaves it out."""
    table: dict[str, str | None] = {
        "Host": served.host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": f"shoal.v1, bearer.{TOKEN}",
    }
    table |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in table.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()
