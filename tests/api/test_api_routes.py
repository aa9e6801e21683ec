"""The API's routes over an in-memory node: answers, refusals, and the document of it all."""

import json
from dataclasses import fields

import pytest

import api_calls
import fake_node
from api_calls import serving, serving_person
from shoal_node.api import backend, endpoints
from shoal_node.api.endpoints import BASE


async def test_two_personas_talk_through_the_api() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {"name": "Heron"})
        assert mine["name"] == "Heron" and mine["avatar"] is None and mine["expires"] is None
        assert mine["created"] == "2027-01-15T08:00:00.001000Z"
        assert await served.get("/personas") == [mine]
        path = f"/personas/{mine['id']}/contacts"
        contact = await served.post(path, {"pseudonym": "shoal-other"})
        assert contact["state"] == "requested" and contact["safety_code"] is None
        assert await served.post(path, {"pseudonym": "shoal-other"}) == contact
        assert await served.get(path) == [contact]
        [conversation] = await served.get("/conversations")
        assert conversation["id"] == contact["conversation"]
        messages = f"/conversations/{conversation['id']}/messages"
        text = '你好 🐟\r\n\t"<b>" \x7f\x85 e\u0301 \\'
        sent = await served.post(messages, {"text": text})
        assert sent["status"] == "queued" and sent["outgoing"] and sent["request"]
        own, echo = await served.get(messages)
        assert own["text"] == echo["text"] == text
        assert own["from"] == mine["pseudonym"] and echo["from"] == "shoal-other"
        assert own["received"] is None and echo["received"] > echo["created"]


async def test_messages_are_paged_newest_last() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {})
        contact = await served.post(
            f"/personas/{mine['id']}/contacts", {"pseudonym": "shoal-other"}
        )
        path = f"/conversations/{contact['conversation']}/messages"
        for number in range(3):
            await served.post(path, {"text": str(number)})
        everything = await served.get(path)
        assert len(everything) == 6
        assert await served.get(f"{path}?limit=2") == everything[4:]
        assert await served.get(f"{path}?limit=3&before={everything[4]['id']}") == everything[1:4]
        status, _, _ = await served.call("GET", f"/api/v1{path}?before=nothing")
        assert status == 404


async def test_the_same_idempotency_key_sends_once() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {})
        contact = await served.post(
            f"/personas/{mine['id']}/contacts", {"pseudonym": "shoal-other"}
        )
        path = f"/api/v1/conversations/{contact['conversation']}/messages"
        key = {"Idempotency-Key": "k1"}
        first = await served.call("POST", path, {"text": "a"}, key)
        again = await served.call("POST", path, {"text": "a"}, key)
        other = await served.call("POST", path, {"text": "b"}, key)
        assert first[0] == again[0] == 202 and first[1]["id"] == again[1]["id"]
        assert other[0] == 409 and other[1]["title"] == "Conflict"
        assert len((await served.call("GET", path))[1]) == 2
        long = {"Idempotency-Key": "k" * 129}
        assert (await served.call("POST", path, {"text": "a"}, long))[0] == 400


async def test_a_burnt_persona_is_gone() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {"ephemeral": True})
        assert mine["ephemeral"] is True
        path = f"/api/v1/personas/{mine['id']}"
        assert (await served.call("DELETE", path))[:2] == (204, None)
        status, problem, _ = await served.call("DELETE", path)
        assert status == 404
        assert problem == {
            "type": "about:blank",
            "title": "Not found",
            "status": 404,
            "detail": "There is no such persona.",
        }


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "The body is not JSON in UTF-8."),
        (b"{", 400, "The body is not JSON in UTF-8."),
        (b"\xff{}", 400, "The body is not JSON in UTF-8."),
        (b"[" * 30_000, 400, "The body is not JSON in UTF-8."),
        (b'{"name": NaN}', 400, "The body is not JSON in UTF-8."),
        (b"[]", 400, "The body must be a JSON object."),
        (b"null", 400, "The body must be a JSON object."),
        (b'{"nam": "x"}', 400, 'Unknown field "nam".'),
        (b'{"name": "x", "name": "y"}', 400, "The JSON object names a field twice."),
        (b'{"name": 1}', 400, '"name" must be a text.'),
        (b'{"name": ["x"]}', 400, '"name" must be a text.'),
        (b'{"ephemeral": 1}', 400, '"ephemeral" must be true or false.'),
        (b'{"ephemeral": null}', 400, '"ephemeral" must be true or false.'),
        (b'{"name": ""}', 422, '"name" must be 1 to 64 bytes long in UTF-8, not 0.'),
        (b'{"name": "\\ud800"}', 400, '"name" holds half of a surrogate pair.'),
        (
            json.dumps({"name": "鱼" * 22}).encode(),
            422,
            '"name" must be 1 to 64 bytes long in UTF-8, not 66.',
        ),
    ],
)
async def test_a_bad_body_is_refused_with_a_sentence(
    body: bytes, status: int, sentence: str
) -> None:
    async with serving() as served:
        answer = await served.call("POST", "/api/v1/personas", raw=body)
        assert (answer[0], answer[1]["detail"]) == (status, sentence)
        assert served.node.personas() == ()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=501", 422),
        ("limit=-1", 400),
        ("limit=1.5", 400),
        ("limit=%D9%A1", 400),
        ("limit=99999999999999999999", 400),
        ("limit=1&limit=2", 400),
        ("limits=1", 400),
        ("before=", 422),
        ("before=" + "x" * 200, 422),
    ],
)
async def test_a_bad_query_is_refused(query: str, status: int) -> None:
    async with serving() as served:
        answer = await served.call("GET", f"/api/v1/conversations/x/messages?{query}")
        assert answer[0] == status
        assert (await served.call("GET", f"/api/v1/status?{query}"))[0] == 400


async def test_unknown_ids_and_bad_pseudonyms_are_problems() -> None:
    async with serving() as served:
        for path in ("/personas/x/contacts", "/conversations/x/messages"):
            assert (await served.call("GET", f"/api/v1{path}"))[0] == 404
        text = {"text": "x"}
        assert (await served.call("POST", "/api/v1/conversations/x/messages", text))[0] == 404
        mine = await served.post("/personas", {})
        path = f"/api/v1/personas/{mine['id']}/contacts"
        assert (await served.call("POST", path, {"pseudonym": "nonsense"}))[0] == 422


async def test_a_relay_says_that_it_has_no_personas() -> None:
    async with serving(fake_node.FakeRelay()) as served:
        assert (await served.get("/status"))["role"] == "relay"
        assert len(await served.get("/peers")) == 1
        for row in endpoints.ENDPOINTS:
            if row.path not in ("/status", "/peers", "/drain", "/self-check"):
                answer = await served.call_row(row)
                assert answer[0] == 404, row.path
                assert answer[1]["detail"] == "This node is a relay: it has no personas."


async def test_a_relay_drains_and_a_persons_node_does_not() -> None:
    relay = fake_node.FakeRelay()
    async with serving(relay) as served:
        assert (await served.call("POST", "/api/v1/drain", {}))[0] == 202
        assert relay.drains == 1
        assert (await served.call("DELETE", "/api/v1/drain"))[0] == 202
        assert relay.drains == 0
    async with serving() as served:
        for answer in (
            await served.call("POST", "/api/v1/drain", {}),
            await served.call("DELETE", "/api/v1/drain"),
        ):
            assert answer[0] == 404
            assert answer[1]["detail"] == "This is a person's node: only a relay drains."


async def test_a_relay_checks_itself_and_a_persons_node_does_not() -> None:
    async with serving(fake_node.FakeRelay()) as served:
        assert (await served.get("/self-check"))["looks"] == 1
        assert (await served.call("POST", "/api/v1/self-check", {}))[0] == 202
        assert (await served.get("/self-check"))["looks"] == 2
    async with serving() as served:
        for row in ("GET", "POST"):
            answer = await served.call(row, "/api/v1/self-check", {} if row == "POST" else None)
            assert answer[0] == 404
            assert answer[1]["detail"] == "This is a person's node: only a relay checks itself."


class Settling(fake_node.FakePerson):
    """A person's node that counts how often a call waited until everything was durable."""

    settled = 0

    async def settle(self) -> None:
        self.settled += 1


BESIDE_THE_STORE = {
    "/status",
    "/peers",
    "/path",
    "/lock",
    "/settings",
    "/self-check",
}  # nothing that is kept


async def test_every_route_that_reads_waits_until_what_it_tells_is_durable() -> None:
    node = Settling()
    async with serving_person(node) as served:
        for row in endpoints.ENDPOINTS:
            if row.method == "GET":
                before = node.settled
                await served.call_row(row)
                assert node.settled - before == (row.path not in BESIDE_THE_STORE), row.path


async def test_methods_that_a_route_lacks_are_named() -> None:
    async with serving() as served:
        status, problem, headers = await served.call("PUT", "/api/v1/status", {})
        assert status == 405 and problem["status"] == 405 and "GET" in headers["allow"]


async def test_the_status_has_the_contracts_fields() -> None:
    async with serving() as served:
        status = await served.get("/status")
        expected = "ready packet_bytes role peer_id addrs reachable relays dht_peers crowd preset"
        assert set(expected.split()) | {"queue", "version"} <= set(status)
        assert status["expected_latency_ms"] == {"p50": 630.0, "p95": 980.0}
        assert [hop["role"] for hop in await served.get("/path")] == [
            "guard",
            "mix",
            "mix",
            "service",
        ]
        assert (await served.get("/peers"))[0]["since"] == "2027-01-15T08:00:00.000001Z"


async def test_the_openapi_document_describes_every_route() -> None:
    async with serving() as served:
        document = await served.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    for row in endpoints.ENDPOINTS:
        operation = document["paths"][BASE + row.path][row.method.lower()]
        assert str(row.status) in operation["responses"]
        assert ("requestBody" in operation) == (row.body is not None)
    schemas = document["components"]["schemas"]
    assert set(schemas["Status"]["properties"]) == {f.name for f in fields(backend.Status)}
    assert "from" in schemas["Message"]["properties"]
    assert schemas["NewPersona"]["additionalProperties"] is False
    assert schemas["NewMessage"]["required"] == ["text"]
    text = json.dumps(document)
    for part in text.split("#/components/schemas/")[1:]:
        assert part.partition('"')[0] in schemas
    assert api_calls.TOKEN not in text
