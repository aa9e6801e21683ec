"""Files with messages: what may be sent, what comes back, and what is told meanwhile."""

import http.client
from urllib.parse import quote, unquote

import pytest
import trio
import trio.testing

from api_calls import PATIENCE, TOKEN, Served, serving
from fake_node import PIECES
from shoal_node.api import app
from shoal_protocol.files.layout import MAX_FILE_LENGTH
from shoal_protocol.rng import Rng
from support import seeded

BYTES = "application/octet-stream"


def content(length: int, rng: Rng | None = None) -> bytes:
    """Bytes of which no two neighbours are alike."""
    return (rng or seeded("file")).bytes(length)


async def test_a_file_goes_with_a_message_and_comes_back_byte_for_byte() -> None:
    async with serving() as served:
        talk = await served.talk()
        sent_bytes = content(3_000_000)
        query = f"name={quote('鱼 🐟.png')}&media_type=image/png&text={quote('看 & see')}"
        status, sent, _ = await served.upload(f"{talk}/files?{query}", sent_bytes)
        assert status == 202 and sent["status"] == "queued" and sent["text"] == "看 & see"
        assert sent["file"] == {
            "name": "鱼 🐟.png",
            "size": 3_000_000,
            "media_type": "image/png",
            "state": "sending",
            "done": 0,
            "total": PIECES,
            "picture": False,
        }
        own, came = await served.get(f"{talk}/messages")
        assert own["id"] == sent["id"] and own["file"]["state"] == "whole"
        assert came["file"]["state"] == "whole" and not came["outgoing"]
        for message in (own, came):
            path = f"/api/v1{talk}/messages/{message['id']}/file"
            status, got, headers = await served.call("GET", path)
            assert status == 200 and got == sent_bytes
            assert headers["content-type"] == BYTES
            assert headers["content-length"] == "3000000"
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            disposition = headers["content-disposition"]
            assert disposition.startswith("attachment; filename=\"_ _.png\"; filename*=UTF-8''")
            assert unquote(disposition.partition("''")[2]) == "鱼 🐟.png"
        await served.post(f"{talk}/messages", {"text": "without"})
        assert (await served.get(f"{talk}/messages?limit=1"))[0]["file"] is None


async def test_a_file_of_the_greatest_length_is_taken_and_one_byte_more_is_413() -> None:
    async with serving() as served:
        talk = await served.talk()
        most = bytes(MAX_FILE_LENGTH)
        assert (await served.upload(f"{talk}/files?name=most", most))[0] == 202
        status, problem, headers = await served.upload(f"{talk}/files?name=more", most + b"x")
        assert (status, problem["detail"]) == (413, "A file may have at most 10 MiB.")
        assert headers["content-type"] == "application/problem+json"
        assert len(await served.get(f"{talk}/messages")) == 2


async def test_an_ordinary_client_that_sends_far_too_much_still_gets_the_sentence() -> None:
    def post(served: Served, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(served.host, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": BYTES}
        connection.request("POST", path, bytes(4 * MAX_FILE_LENGTH), headers)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    async with serving() as served:
        talk = await served.talk()
        path = f"/api/v1{talk}/files?name=x"
        status, problem = await trio.to_thread.run_sync(post, served, path)
        assert status == 413 and b"at most 10 MiB" in problem


async def test_the_greater_bodies_are_for_files_alone() -> None:
    async with serving() as served:
        talk = await served.talk()
        long = b" " * 70_000
        paths = (
            "/personas",
            f"{talk}/messages",
            f"{talk}/files/",
            f"{talk}/files/x",
            "/conversations//files",
            f"/x{talk}/files",
        )
        for path in paths:
            assert (await served.call("POST", f"/api/v1{path}", raw=long))[0] == 413, path
            assert (await served.upload(path, b"{}"))[0] == 415, path
        files = f"{talk}/files?name=x"
        for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain", None):
            assert (await served.upload(files, b"{}", {"Content-Type": kind}))[0] == 415
        assert (await served.upload(files, b"x", {"Authorization": "Bearer wrong"}))[0] == 401
        assert (await served.upload(files, b"x", {"Origin": "https://attacker.example"}))[0] == 403
        assert await served.get(f"{talk}/messages") == []


async def test_an_empty_file_and_an_empty_text_are_possible() -> None:
    async with serving() as served:
        talk = await served.talk()
        status, sent, _ = await served.upload(f"{talk}/files?name=empty&text=", b"")
        assert status == 202 and sent["text"] == "" and sent["file"]["size"] == 0
        assert sent["file"]["media_type"] == BYTES
        path = f"/api/v1{talk}/messages/{sent['id']}/file"
        assert (await served.call("GET", path))[0] == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("text=x", 400),
        ("name=", 422),
        ("name=x&name=y", 400),
        ("name=x&size=1", 400),
        ("name=" + "x" * 256, 422),
        ("name=x&media_type=", 422),
        ("name=x&text=" + "x" * 4097, 422),
    ],
)
async def test_a_bad_query_of_a_file_is_refused(query: str, status: int) -> None:
    async with serving() as served:
        talk = await served.talk()
        answer = await served.upload(f"{talk}/files?{query}", b"x")
        assert answer[0] == status and answer[1]["detail"].endswith(".")
        assert await served.get(f"{talk}/messages") == []


async def test_the_longest_text_and_name_fit_whatever_their_letters() -> None:
    async with serving() as served:
        talk = await served.talk()
        text, name = "鱼" * 1365, "鱼" * 85
        path = f"{talk}/files?name={quote(name)}&text={quote(text)}"
        status, sent, _ = await served.upload(path, b"x")
        assert (status, sent["text"], sent["file"]["name"]) == (202, text, name)


async def test_a_name_is_made_safe_and_cannot_split_a_header() -> None:
    async with serving() as served:
        talk = await served.talk()
        name = '../..\\\r\nX-Evil: 1";\x00 <script>.html'
        _, sent, _ = await served.upload(f"{talk}/files?name={quote(name)}", b"x")
        safe = sent["file"]["name"]
        assert not set('/\\\r\n\x00":<>') & set(safe)
        path = f"/api/v1{talk}/messages/{sent['id']}/file"
        _, _, headers = await served.call("GET", path)
        assert "x-evil" not in headers
        assert headers["content-disposition"].count('"') == 2


async def test_the_same_key_sends_a_file_once() -> None:
    async with serving() as served:
        talk = await served.talk()
        path, key = f"{talk}/files?name=x&text=t", {"Idempotency-Key": "k"}
        first = await served.upload(path, b"one", key)
        again = await served.upload(path, b"one", key)
        assert (first[0], again[0]) == (202, 202) and first[1]["id"] == again[1]["id"]
        assert (await served.upload(path, b"two", key))[0] == 409
        other = await served.call("POST", f"/api/v1{talk}/messages", {"text": "t"}, key)
        assert other[0] == 409
        assert len(await served.get(f"{talk}/messages")) == 2


async def test_a_file_that_is_not_whole_or_not_there_is_a_problem() -> None:
    async with serving() as served:
        served.node.slow = True
        talk = await served.talk()
        await served.upload(f"{talk}/files?name=x", b"12345")
        await served.post(f"{talk}/messages", {"text": "no file"})
        _, came, plain, _ = await served.get(f"{talk}/messages")
        assert came["file"]["state"] == "fetching"
        path = f"/api/v1{talk}/messages/{came['id']}/file"
        status, problem, _ = await served.call("GET", path)
        assert status == 409 and problem["title"] == "Conflict"
        for name in (plain["id"], "nothing"):
            assert (await served.call("GET", f"/api/v1{talk}/messages/{name}/file"))[0] == 404
        assert (await served.call("GET", "/api/v1/conversations/x/messages/y/file"))[0] == 404
        served.node.finish()
        assert (await served.call("GET", path))[1] == b"12345"


async def test_a_slow_file_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "FILE_TIMEOUT", 0.05)
    async with serving() as served:
        talk = await served.talk()
        answer = await served.upload(f"{talk}/files?name=x", b"x", {"Content-Length": "1000000"})
        assert answer[0] == 408


async def test_of_many_files_two_are_taken_at_a_time_and_others_wait_or_are_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "FILE_TIMEOUT", 2.0)
    async with serving() as served:
        talk = await served.talk()
        path, answers = f"{talk}/files?name=x", list[int]()

        async def stall() -> None:
            answer = await served.upload(path, b"x", {"Content-Length": "1000000"})
            answers.append(answer[0])

        async with trio.open_nursery() as nursery:
            for _ in range(app.MAX_UPLOADS):
                nursery.start_soon(stall)
            await trio.testing.wait_all_tasks_blocked(0.2)
            monkeypatch.setattr(app, "TURN_TIMEOUT", 0.1)
            status, _, headers = await served.upload(path, b"y")
            assert status == 503 and headers["retry-after"] == "10" and answers == []
            monkeypatch.setattr(app, "TURN_TIMEOUT", PATIENCE)
            assert (await served.upload(path, b"y"))[0] == 202
            assert 408 in answers


async def test_the_document_shows_bodies_of_bytes() -> None:
    async with serving() as served:
        paths = (await served.get("/openapi.json"))["paths"]
    post = paths["/api/v1/conversations/{conversation}/files"]["post"]
    schema = {"type": "string", "contentMediaType": BYTES}
    assert post["requestBody"]["content"] == {BYTES: {"schema": schema}}
    queried = {one["name"]: one["required"] for one in post["parameters"] if one["in"] == "query"}
    assert queried.pop("name") and not any(queried.values())
    assert set(queried) == {"media_type", "text", "reply_to", "expires_after"}
    get = paths["/api/v1/conversations/{conversation}/messages/{message}/file"]["get"]
    assert get["responses"]["200"]["content"] == {BYTES: {"schema": schema}}
