"""Who may call the API (T17): every route against every kind of stranger."""

import pytest

import api_calls
from api_calls import TOKEN, serving
from shoal_node.api import endpoints
from shoal_node.api.endpoints import BASE
from shoal_node.api.guard import MAX_BODY

ROUTES = [(row.method, api_calls.path_of(row)) for row in endpoints.ENDPOINTS] + [
    ("GET", f"{BASE}/openapi.json"),
    ("GET", f"{BASE}/nothing"),
]

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
        for method, path in ROUTES:
            answer = await served.call(method, path, {} if method == "POST" else None, headers)
            assert answer[0] == status, (method, path)
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


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        None,
    ],
)
async def test_a_form_posted_by_a_page_is_refused(kind: str | None) -> None:
    async with serving() as served:
        for method, path in ROUTES:
            if method == "POST":
                answer = await served.call(method, path, {}, {"Content-Type": kind})
                assert answer[0] == 415
        assert served.node.personas() == ()


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
            for method, path in ROUTES:
                answer = await served.call(method, path, {} if method == "POST" else None, headers)
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
