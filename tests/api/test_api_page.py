"""The page's files: exactly those that were built, without a token, for this host alone."""

import gzip
import http.client
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import trio

import api_calls
import fake_node
from api_calls import Served, serving
from shoal_node.api import page

SCRIPT = b"export const fish = 1;\n" * 200
FILES = {
    "index.html": b"<!doctype html><title>Shoal</title>" + b" " * 300,
    "favicon.svg": b"<svg/>",
    "assets/app-3f2a.js": SCRIPT,
    "assets/app-3f2a.css": b"body { margin: 0 }\n" * 30,
    "assets/fish-1b2c.png": b"\x89PNG\r\n",
    "assets/app-3f2a.js.map": b"{}",  # of a kind that is not served
    ".hidden/secret.txt": b"secret",
}
PLACES = ("", "/", "/assets/", "/assets/../", "/favicon.svg/", "/x/")
STEPS = ("../", "..%2f", "%2e%2e/", "..%5c", "....//", "..;/", "%252e%252e/", "%00/", "//")
TARGETS = ("etc/passwd", "api.json", "assets/app-3f2a.js", "page.py")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the build makes it, with a file beside that must never be had."""
    folder = tmp_path / "page"
    for name, content in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "api.json").write_text("secret")
    (folder / "assets" / "link.txt").symlink_to(tmp_path / "api.json")
    monkeypatch.setattr(page, "read_table", partial(page.read_table, folder))
    return folder


Answer = tuple[int, bytes, dict[str, str]]


async def fetch(
    served: Served, target: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask for ``target`` exactly as it stands, without a token."""

    def ask() -> Answer:
        connection = http.client.HTTPConnection(served.host, timeout=api_calls.PATIENCE)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in ({"Host": served.host} | dict(headers or {})).items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            table = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read(), table
        finally:
            connection.close()

    return await trio.to_thread.run_sync(ask)


async def test_the_built_files_are_served_without_a_token(built: Path) -> None:
    async with serving() as served:
        for name, kind in {
            "": "text/html; charset=utf-8",
            "favicon.svg": "image/svg+xml",
            "assets/app-3f2a.js": "text/javascript; charset=utf-8",
            "assets/app-3f2a.css": "text/css; charset=utf-8",
            "assets/fish-1b2c.png": "image/png",
        }.items():
            status, body, headers = await fetch(served, f"/{name}")
            assert (status, headers["content-type"]) == (200, kind)
            assert body == FILES[name or page.INDEX]
            assert headers["content-security-policy"] == page.CONTENT_SECURITY_POLICY
            assert headers["x-content-type-options"] == "nosniff"
            kept = name.startswith("assets/")
            assert headers["cache-control"].endswith("immutable" if kept else "no-store")
            assert not {"set-cookie", "access-control-allow-origin", "server"} & set(headers)
            status, none, again = await fetch(served, f"/{name}", "HEAD")
            assert (status, none, again) == (200, b"", headers)


async def test_texts_go_compressed_to_whoever_takes_them(built: Path) -> None:
    async with serving() as served:
        for accepted in ("gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1"):
            asked = {"Accept-Encoding": accepted}
            _, body, headers = await fetch(served, "/assets/app-3f2a.js", headers=asked)
            assert headers["content-encoding"] == "gzip" and headers["vary"] == "accept-encoding"
            assert len(body) < len(SCRIPT) and gzip.decompress(body) == SCRIPT
        for refused in ("gzip;q=0", "gzip;q=0.000", "identity", "br", "xgzip"):
            asked = {"Accept-Encoding": refused}
            _, body, headers = await fetch(served, "/assets/app-3f2a.js", headers=asked)
            assert "content-encoding" not in headers and body == SCRIPT
        _, body, headers = await fetch(
            served, "/assets/fish-1b2c.png", headers={"Accept-Encoding": "gzip"}
        )
        assert "content-encoding" not in headers and body == FILES["assets/fish-1b2c.png"]


async def test_no_name_leads_out_of_the_table(built: Path) -> None:
    names = [
        place + depth * step + target
        for place, step, target, depth in product(PLACES, STEPS, TARGETS, (1, 4))
    ]
    names += ["/index.html", "/assets", "/assets/", "/assets/link.txt", "/.hidden/secret.txt"]
    names += ["/assets/app-3f2a.js.map", "/ASSETS/app-3f2a.js", "/assets/app-3f2a.js/", "/api"]
    assert len(names) > 200
    async with serving() as served, trio.open_nursery() as nursery:
        limit = trio.CapacityLimiter(8)

        async def refused(name: str) -> None:
            async with limit:
                status, body, _ = await fetch(served, name if name[:1] == "/" else f"/{name}")
            assert status == 404, name
            assert b"secret" not in body

        for name in names:
            nursery.start_soon(refused, name)


async def test_the_page_is_for_this_host_and_for_reading_only(built: Path) -> None:
    async with serving() as served:
        assert (await fetch(served, "/", headers={"Host": "attacker.example"}))[0] == 421
        assert (await fetch(served, "/", headers={"Origin": "https://attacker.example"}))[0] == 403
        assert (await fetch(served, "/", headers={"Sec-Fetch-Site": "cross-site"}))[0] == 403
        assert (await fetch(served, "/", headers={"Sec-Fetch-Site": "none"}))[0] == 200
        assert (await fetch(served, "/", "DELETE"))[0] == 405
        assert (await fetch(served, "/", "POST"))[0] == 411
        assert (await fetch(served, "/api/v1/status"))[0] == 401
        assert (await fetch(served, "/assets/../api/v1/status"))[0] == 404


async def test_without_a_build_the_page_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "read_table", partial(page.read_table, tmp_path))
    async with serving() as served:
        status, body, headers = await fetch(served, "/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "Node" in body.decode() and "make venv" in body.decode()
        assert "网页" in body.decode()
        assert (await fetch(served, "/notice.css"))[2]["content-type"].startswith("text/css")


async def test_a_relay_has_no_page() -> None:
    async with serving(fake_node.FakeRelay()) as served:
        assert (await fetch(served, "/"))[0] == 401
