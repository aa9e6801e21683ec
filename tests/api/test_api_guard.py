"""Who may call the API (T17): every route against every kind of stranger."""

from typing import Any

import pytest

import api_calls
from api_calls import TOKEN, serving
from shoal_node.api import endpoints
from shoal_node.api.endpoints import BASE
from shoal_node.api.guard import MAX_BODY

OTHER_PATHS = (f"{BASE}/openapi.json", f"{BASE}/nothing")

STRANGERS: dict[str, tuple[int, dict[str, str | None]]] = {
    "no token": (401, {"Authorization": None}),
    "wrong token": (401, {"Authorization": "Bearer wrong"}),
    "empty token": (401, {"Authorization": "Bearer "}),
    "token as a prefix": (401, {"Authorization": f"Bearer {TOKEN}x"}),
    "another scheme": (401, {"Authorization": f"Basic {TOKEN}"}),
    "token in a cookie": (401, {"Authorization": None, "Cookie": f"token={TOKEN}"}),
    "foreign host": (421, {"Host": "attacker.example"}),
    "foreign host with our port": (421, {"Host": "attacker.example:{port}"}),
    "host without port": (421, {"Host": "127.0.0.1"}),
    "another loopback name": (421, {"Host": "localhost.attacker.example:{port}"}),
    "foreign origin": (403, {"Origin": "https://attacker.example"}),
    "null origin": (403, {"Origin": "null"}),
    "origin of another port": (403, {"Origin": "http://127.0.0.1:1"}),
    "origin with https": (403, {"Origin": "https://127.0.0.1:{port}"}),
    "cross-site fetch": (403, {"Sec-Fetch-Site": "cross-site"}),
    "same-site fetch": (403, {"Sec-Fetch-Site": "same-site"}),
}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_every_route_refuses(stranger: str) -> None:
    status, changes = STRANGERS[stranger]
    async with serving() as served:
        headers = {
            name: None if value is None else value.format(port=served.port)
            for name, value in changes.items()
        }
        for row in endpoints.ENDPOINTS:
            refused(await served.call_row(row, headers), status, row.path)
        for path in OTHER_PATHS:
            refused(await served.call("GET", path, headers=headers), status, path)


def refused(answer: tuple[int, Any, dict[str, str]], status: int, what: str) -> None:
    """Check that a call was refused as it must be, and told nothing beside."""
    assert answer[0] == status, (what, answer)
    assert answer[1]["status"] == status and answer[1]["detail"].endswith(".")
    assert answer[2]["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer[2]
    assert "set-cookie" not in answer[2]


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_page_and_typed_addresses_pass(site: str) -> None:
    async with serving() as served:
        for host in (served.host, f"localhost:{served.port}"):
            headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": site}
            assert (await served.call("GET", "/api/v1/status", headers=headers))[0] == 200


FORMS = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    None,
)


async def test_a_form_posted_by_a_page_is_refused_by_every_route_that_takes_a_body() -> None:
    async with serving() as served:
        rows = [row for row in endpoints.ENDPOINTS if row.body is not None]
        assert {row.method for row in rows} == {"POST", "PATCH"}
        for row in rows:
            for kind in FORMS:
                answer = await served.call_row(row, {"Content-Type": kind})
                assert answer[0] == 415, (row.path, kind)
        assert served.node.personas() == ()


async def test_every_route_that_changes_something_takes_a_body_or_cannot_come_from_a_form() -> None:
    for row in endpoints.ENDPOINTS:
        assert row.method in ("GET", "DELETE") or row.body is not None, row.path


BODIES: tuple[bytes, ...] = (
    b"",
    b"{}",
    b"null",
    b"[]",
    b'{"text": null}',
    b'{"a": {"b": [1, 2.5, {}]}}',
    b"\xff\xfe",
    b'"' * 60_000,
    b"[" * 60_000,
    b'{"persona_slots": 1e999}',
    b'{"persona_slots": true, "theme": 3, "preset": "none"}',
    b'{"avatar": {"drawn": [1, 2, 3, 256]}}',
    b'{"avatar": {"drawn": "1234", "picture": 5}}',
    b'{"avatar": {"picture": "not base64!"}, "random": false}',
    b'{"invite": "x", "pseudonym": "y"}',
    b'{"confirm": "Erase"}',
    b'{"message": "\\u0000"}',
    b'{"expires_after": 4}',
    b'{"expires_after": 123456789012345678901234567890}',
)


async def test_no_body_makes_a_route_fail() -> None:
    async with serving() as served:
        for row in endpoints.ENDPOINTS:
            path, _, kind = api_calls.example(row)
            if kind is not None:
                for body in BODIES:
                    headers = {"Content-Type": kind}
                    answer = await served.call(row.method, path, raw=body, headers=headers)
                    assert 200 <= answer[0] < 500, (row.path, body[:40], answer)


async def test_while_locked_every_route_of_the_person_says_so() -> None:
    open_while_locked = {"/status", "/peers", "/lock", "/unlock", "/panic", "/settings"}
    open_while_locked |= {"/ticket", "/tickets", "/drain", "/self-check"}
    async with serving() as served:
        await served.node.create_persona(None, ephemeral=False)
        await served.node.lock()
        for row in endpoints.ENDPOINTS:
            if row.path not in open_while_locked:
                answer = await served.call_row(row)
                assert answer[0] == 423, row.path
                assert answer[1]["title"] == "Locked" and answer[1]["detail"].endswith(".")
        assert (await served.get("/lock")) == {"state": "locked", "passphrase": False}
        assert (await served.get("/settings"))["persona_slots"] is None


async def test_a_preflight_is_refused() -> None:
    async with serving() as served:
        headers = {
            "Origin": "https://attacker.example",
            "Access-Control-Request-Method": "POST",
            "Authorization": None,
        }
        answer = await served.call("OPTIONS", "/api/v1/personas", headers=headers)
        assert answer[0] == 403


async def test_every_answer_has_the_security_headers() -> None:
    async with serving() as served:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            for row in endpoints.ENDPOINTS:
                answer = await served.call_row(row, headers)
                assert answer[0] < 500
                assert "default-src 'none'" in answer[2]["content-security-policy"]
                assert answer[2]["x-content-type-options"] == "nosniff"
                assert answer[2]["referrer-policy"] == "no-referrer"
                assert answer[2]["cache-control"] == "no-store"
                assert "server" not in answer[2]


async def test_bodies_are_bounded_and_must_state_their_length() -> None:
    async with serving() as served:
        path = "/api/v1/personas"
        stated = {"Content-Length": str(MAX_BODY + 1)}
        assert (await served.call("POST", path, raw=b"", headers=stated))[0] == 413
        endless = {"Content-Length": None, "Transfer-Encoding": "chunked"}
        assert (await served.call("POST", path, raw=b"0\r\n\r\n", headers=endless))[0] == 411
        assert (await served.call("GET", "/api/v1/status", raw=b"{}"))[0] == 413
        fits = b" " * (MAX_BODY - 2) + b"{}"
        assert (await served.call("POST", path, raw=fits))[0] == 201


WEBSOCKET_STRANGERS: dict[str, tuple[int, dict[str, str | None]]] = {
    "no subprotocol": (401, {"Sec_WebSocket_Protocol": None}),
    "no token": (401, {"Sec_WebSocket_Protocol": "shoal.v1"}),
    "wrong token": (401, {"Sec_WebSocket_Protocol": "shoal.v1, bearer.wrong"}),
    "token without protocol": (401, {"Sec_WebSocket_Protocol": f"bearer.{TOKEN}"}),
    "token in the header only": (
        401,
        {"Sec_WebSocket_Protocol": "shoal.v1", "Authorization": f"Bearer {TOKEN}"},
    ),
    "foreign origin": (403, {"Origin": "https://attacker.example"}),
    "cross-site": (403, {"Sec_Fetch_Site": "cross-site"}),
    "foreign host": (421, {"Host": "attacker.example"}),
}


@pytest.mark.parametrize("stranger", WEBSOCKET_STRANGERS)
async def test_a_websocket_refuses(stranger: str) -> None:
    status, changes = WEBSOCKET_STRANGERS[stranger]
    async with serving() as served:
        answer = await served.raw(api_calls.upgrade(served, **changes))
        assert answer[0] == status and answer[1]["status"] == status


async def test_a_websocket_elsewhere_is_refused() -> None:
    async with serving() as served:
        for path in ("/api/v1/status", "/api/v1/other", "/"):
            status, _, _ = await served.raw(api_calls.upgrade(served, path))
            assert 400 <= status < 500


def _traversal_names() -> list[str]:
    ups = ["..", "%2e%2e", ".%2e", "%252e%252e", "..%00", "....", "%c0%ae%c0%ae", "..;"]
    slashes = ["/", "%2f", "%5c", "\\", "//"]
    targets = ["etc/passwd", "api.json", "config.toml", "lock", ""]
    return [up + slash + target for up in ups for slash in slashes for target in targets]


async def test_traversal_names_find_nothing() -> None:
    names = _traversal_names()
    assert len(names) == 200
    async with serving() as served:
        for name in names:
            status, answer, _ = await served.call("GET", f"/api/v1/personas/{name}/contacts")
            assert status in (400, 404) and answer["detail"], name
            status, answer, _ = await served.call("GET", f"/{name}")
            assert status in (400, 404) and answer["detail"], name
