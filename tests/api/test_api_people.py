"""The API's routes of personas, contacts, invites, conversations, settings and the lock."""

import base64

import pytest

from api import twin_people
from api_calls import Served, serving
from shoal_node.api import bodies

WEBP = twin_people.PIXEL


async def patch(served: Served, path: str, body: object, status: int = 200) -> object:
    """PATCH below the API's base."""
    answer = await served.call("PATCH", f"/api/v1{path}", body)
    assert answer[0] == status, answer
    return answer[1]


async def test_a_persona_shows_itself_as_it_likes_and_becomes_momo_again() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {"random": True})
        path = f"/personas/{mine['id']}"
        assert len(mine["drawn_name"]) == 2 and mine["name"] is None
        assert mine["avatar"]["kind"] == "drawn" and len(mine["avatar"]["drawn"]) == 4
        named = await patch(served, path, {"name": "Heron", "avatar": {"drawn": [1, 2, 3, 4]}})
        assert isinstance(named, dict)
        assert (named["name"], named["drawn_name"]) == ("Heron", None)
        assert named["avatar"] == {"kind": "drawn", "drawn": [1, 2, 3, 4], "picture": None}
        picture = base64.b64encode(WEBP).decode()
        shown = await patch(served, path, {"avatar": {"picture": picture}, "receipts": True})
        assert isinstance(shown, dict) and shown["receipts"] is True
        assert shown["avatar"]["picture"] == f"data:image/webp;base64,{picture}"
        momo = await patch(served, path, {"momo": True})
        assert isinstance(momo, dict)
        assert momo["name"] is momo["avatar"] is momo["drawn_name"] is None
        refused: tuple[object, ...] = (
            {"random": True, "momo": True},
            {"momo": True, "name": "x"},
            {"avatar": {}},
            {"avatar": {"drawn": [1, 2, 3, 4], "picture": picture}},
            {"avatar": {"drawn": [1, 2, 3]}},
            {"avatar": {"picture": "***"}},
        )
        for body in refused:
            await patch(served, path, body, 422)
        await patch(served, path, {"avatar": {"picture": "AAAA"}}, 415)


async def test_a_large_picture_fits_the_body_of_its_route_only() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {})
        picture = base64.b64encode(WEBP + bytes(1_000_000)).decode()
        await patch(served, f"/personas/{mine['id']}", {"avatar": {"picture": picture}})
        await patch(served, "/settings", {"theme": picture}, 413)
        too_long = "A" * (bodies.MAX_AVATAR + 4)
        await patch(served, f"/personas/{mine['id']}", {"avatar": {"picture": too_long}}, 422)


async def test_contacts_are_added_by_invite_or_pseudonym_and_named_here_only() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {})
        path = f"/personas/{mine['id']}"
        invite = await served.post(f"{path}/invites", {})
        assert invite["link"] == f"shoal:{invite['code']}" and not invite["used"]
        assert await served.get(f"{path}/invites") == [invite]
        contact = await served.post(f"{path}/contacts", {"invite": "shoal:shoal-invite1x"})
        assert contact["invited"] and contact["state"] == "accepted"
        for body in ({}, {"invite": "x", "pseudonym": "y"}, {"invite": "nonsense"}):
            assert (await served.call("POST", f"/api/v1{path}/contacts", body))[0] == 422
        one = f"{path}/contacts/{contact['id']}"
        named = await patch(served, one, {"alias": "Otter"})
        assert isinstance(named, dict) and named["name"] == named["alias"] == "Otter"
        verified = await patch(served, one, {"verified": True})
        assert isinstance(verified, dict) and verified["alias"] == "Otter"
        nameless = await patch(served, one, {"alias": None})
        assert isinstance(nameless, dict) and nameless["alias"] is None and nameless["verified"]
        gone = await served.call("DELETE", f"/api/v1{path}/invites/{invite['id']}")
        assert gone[0] == 204 and await served.get(f"{path}/invites") == []


async def act(served: Served, contact: dict[str, str], what: str) -> tuple[int, object]:
    """Accept, ignore, block or unblock a contact."""
    path = f"/api/v1/personas/{contact['persona']}/contacts/{contact['id']}/{what}"
    return (await served.call("POST", path, {}))[:2]


async def test_requests_are_accepted_ignored_and_contacts_blocked() -> None:
    async with serving() as served:
        await twin_people.settle(served.node)
        conversations = await served.get("/conversations")
        asking = [one["peer"] for one in conversations if one["state"] == "request"]
        assert len(asking) == 2 and all(one["price_bits"] for one in asking)
        status, contact = await act(served, asking[0], "accept")
        assert status == 200 and isinstance(contact, dict) and contact["state"] == "accepted"
        assert (await act(served, asking[0], "ignore"))[0] == 409
        assert await act(served, asking[1], "ignore") == (204, None)
        assert (await act(served, asking[1], "accept"))[0] == 404
        place = f"/personas/{asking[1]['persona']}/ignored"
        [ignored] = await served.get(place)
        assert set(ignored) == {"pseudonym", "until"}
        assert ignored["pseudonym"] == asking[1]["pseudonym"]
        undone = f"/api/v1{place}/{ignored['pseudonym']}"
        assert [(await served.call("DELETE", undone))[0] for _ in range(2)] == [204, 404]
        assert await served.get(place) == []
        status, contact = await act(served, asking[0], "block")
        assert status == 200 and isinstance(contact, dict) and contact["state"] == "blocked"
        status, contact = await act(served, asking[0], "unblock")
        assert status == 200 and isinstance(contact, dict) and contact["state"] == "accepted"


async def test_a_blocked_contact_is_listed_when_its_conversation_was_deleted() -> None:
    async with serving() as served:
        mine = await served.post("/personas", {})
        path = f"/personas/{mine['id']}/contacts"
        contact = await served.post(path, {"pseudonym": "shoal-other"})
        await patch(served, f"{path}/{contact['id']}", {"alias": "Otter"})
        await act(served, contact, "block")
        talk = f"/api/v1/conversations/{contact['conversation']}"
        assert (await served.call("DELETE", talk))[0] == 204
        [left] = await served.get(path)
        assert (left["state"], left["alias"]) == ("blocked", "Otter")
        assert left["pseudonym"] == contact["pseudonym"] and left["id"] != contact["id"]
        assert await served.get(f"/conversations/{left['conversation']}/messages") == []
        status, after = await act(served, left, "unblock")
        assert status == 200 and isinstance(after, dict) and after["state"] == "request"
        assert await act(served, left, "ignore") == (204, None)
        assert await served.get(path) == []


async def test_conversations_say_what_is_unread_and_are_forgotten() -> None:
    async with serving() as served:
        talk = await served.talk()
        await served.post(f"{talk}/messages", {"text": "one"})
        [conversation] = await served.get("/conversations")
        assert conversation["unread"] == 1 and conversation["last"]["text"] == "one"
        last = conversation["last"]["id"]
        answer = await served.call("POST", f"/api/v1{talk}/read", {"message": last})
        assert answer[0] == 204 and (await served.get("/conversations"))[0]["unread"] == 0
        answer = await served.call("POST", f"/api/v1{talk}/read", {"message": "none"})
        assert answer[0] == 404
        changed = await patch(served, talk, {"expires_after": 60})
        assert isinstance(changed, dict) and changed["expires_after"] == 60
        await patch(served, talk, {"expires_after": 4}, 422)
        await patch(served, talk, {}, 400)
        sent = await served.post(f"{talk}/messages", {"text": "usual", "reply_to": last})
        assert sent["expires_after"] == 60 and sent["expires"] is not None
        assert sent["reply_to"] == {"id": last, "outgoing": False, "text": "one"}
        kept = await served.post(f"{talk}/messages", {"text": "kept", "expires_after": None})
        assert kept["expires_after"] is kept["expires"] is None
        path = f"/api/v1{talk}/messages/{kept['id']}"
        assert (await served.call("DELETE", path))[0] == 204
        assert (await served.call("DELETE", path))[0] == 404
        assert (await served.call("DELETE", f"/api/v1{talk}"))[0] == 204
        assert await served.get("/conversations") == []


async def test_a_picture_is_sent_and_shown_as_webp_and_nothing_else_is() -> None:
    async with serving() as served:
        talk = await served.talk()
        picture = {"Content-Type": "image/webp"}
        status, sent, _ = await served.upload(f"{talk}/pictures?text=look", WEBP, picture)
        assert status == 202 and sent["file"]["picture"] and sent["text"] == "look"
        path = f"/api/v1{talk}/messages/{sent['id']}/picture"
        status, got, headers = await served.call("GET", path)
        assert (status, got, headers["content-type"]) == (200, WEBP, "image/webp")
        assert headers["x-content-type-options"] == "nosniff"
        assert (await served.upload(f"{talk}/pictures", b"no picture", picture))[0] == 415
        for kind in ("image/svg+xml", "text/html", "application/octet-stream"):
            answer = await served.upload(f"{talk}/pictures", WEBP, {"Content-Type": kind})
            assert answer[0] == 415, kind
        _, plain, _ = await served.upload(f"{talk}/files?name=x", b"text")
        path = f"/api/v1{talk}/messages/{plain['id']}/picture"
        assert (await served.call("GET", path))[0] == 415


@pytest.mark.parametrize("query", ["", "q=", "q=x&limit=0", "q=x&form=y"])
async def test_a_bad_search_is_refused(query: str) -> None:
    async with serving() as served:
        assert (await served.call("GET", f"/api/v1/search?{query}"))[0] in (400, 422)


async def test_messages_are_searched_and_conversations_saved() -> None:
    async with serving() as served:
        talk = await served.talk()
        await served.post(f"{talk}/messages", {"text": "明天见"})
        own, echo = await served.get(f"{talk}/messages")
        hits = await served.get("/search?q=%E5%A4%A9%E8%A7%81")
        assert [hit["message"]["id"] for hit in hits] == [echo["id"], own["id"]]
        assert hits[0]["spans"] == [[1, 3]]
        assert (await served.call("GET", "/api/v1/search?q=x&conversation=y"))[0] == 404
        for form, kind in (("json", "application/json"), ("text", "text/plain; charset=utf-8")):
            path = f"/api/v1{talk}/export?format={form}"
            status, data, headers = await served.call("GET", path)
            assert status == 200 and data and headers["content-type"] == kind
            assert headers["content-disposition"].startswith("attachment;")
        assert (await served.call("GET", f"/api/v1{talk}/export?format=pdf"))[0] == 422
        status, data, _ = await served.call("POST", "/api/v1/backup", {"passphrase": "x"})
        assert status == 200 and isinstance(data, bytes)


async def test_the_lock_and_the_settings_through_the_api() -> None:
    async with serving() as served:
        settings = await served.get("/settings")
        assert settings["persona_slots"] == 3 and settings["theme"] == "auto"
        changed = await patch(served, "/settings", {"theme": "dark", "fresh_persona": True})
        assert changed == settings | {"theme": "dark", "fresh_persona": True}
        for body, status in (
            ({"theme": "pink"}, 422),
            ({"persona_slots": 17}, 422),
            ({"theme": None}, 400),
            ({"colour": "blue"}, 400),
        ):
            await patch(served, "/settings", body, status)
        answer = await served.call("POST", "/api/v1/passphrase", {"new": "heron"})
        assert answer[1] == {"state": "open", "passphrase": True}
        assert (await served.call("POST", "/api/v1/lock", {}))[1]["state"] == "locked"
        assert (await served.call("POST", "/api/v1/unlock", {"passphrase": "x"}))[0] == 422
        answer = await served.call("POST", "/api/v1/unlock", {"passphrase": "heron"})
        assert answer[1] == {"state": "open", "passphrase": True}
        assert (await served.call("POST", "/api/v1/panic", {"confirm": "yes"}))[0] == 422
        assert (await served.call("POST", "/api/v1/panic", {"confirm": "erase"}))[0] == 204
        assert await served.get("/lock") == {"state": "empty", "passphrase": False}


async def test_the_document_tells_what_may_be_left_out() -> None:
    async with serving() as served:
        document = await served.get("/openapi.json")
        schemas = document["components"]["schemas"]
        assert schemas["PersonaPatch"]["properties"]["receipts"] == {"type": "boolean"}
        assert "required" not in schemas["PersonaPatch"] or not schemas["PersonaPatch"]["required"]
        assert schemas["ConversationPatch"]["required"] == ["expires_after"]
        pictures = document["paths"]["/api/v1/conversations/{conversation}/pictures"]["post"]
        assert "image/png" in pictures["requestBody"]["content"]
