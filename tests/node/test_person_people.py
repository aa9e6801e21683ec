"""Whole nodes: requests, blocks, invites, profiles, receipts, replies and what disappears."""

from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from shoal_node import person_talks
from shoal_node.api import backend
from shoal_node.person import PersonNode
from shoal_protocol.clock import SECOND
from whole_nodes import Lab, eventually, lab, meet, received


def only_contact(node: PersonNode) -> backend.Contact:
    """The one contact of a node's one persona."""
    [contact] = node.contacts(node.personas()[0].id)
    return contact


async def friends(made: Lab) -> tuple[PersonNode, PersonNode, str, str]:
    """Two people whose request is accepted; their nodes and conversations."""
    a, b = made.people
    contact, theirs = await meet(a, b)
    await a.send(contact.conversation, "hello", None)
    await eventually(120, lambda: len(received(b)) == 1)
    await b.accept_contact(theirs.id, only_contact(b).id)
    talk = only_contact(b).conversation
    await eventually(120, lambda: a.messages(contact.conversation, None, 1)[0].status == "fetched")
    return a, b, contact.conversation, talk


async def test_a_request_says_nothing_back_until_it_is_accepted(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b = made.people
        contact, theirs = await meet(a, b)
        await a.change_persona(a.personas()[0].id, backend.PersonaChange(name="Heron"))
        await a.send(contact.conversation, "hello", None)
        await eventually(120, lambda: len(received(b)) == 1)
        request = only_contact(b)
        assert request.state == "request" and request.name is None
        await trio.sleep(10)
        assert a.messages(contact.conversation, None, 1)[0].status == "stored"
        accepted = await b.accept_contact(theirs.id, request.id)
        assert accepted.state == "accepted"
        talk = contact.conversation
        await eventually(120, lambda: a.messages(talk, None, 1)[0].status == "fetched")
        assert only_contact(a).tag == only_contact(b).tag and len(only_contact(a).tag) == 4
        await a.send(talk, "my name comes along", None)
        await eventually(120, lambda: only_contact(b).name == "Heron")


async def test_an_ignored_request_is_gone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b = made.people
        contact, theirs = await meet(a, b)
        await a.send(contact.conversation, "hello", None)
        await eventually(120, lambda: len(received(b)) == 1)
        since = b.events.last
        await b.ignore_contact(theirs.id, only_contact(b).id)
        assert b.conversations() == []
        async with b.events.subscribe(since) as following:
            gone = (await anext(following)).data
        assert isinstance(gone, backend.Removed) and gone.message is None
        with pytest.raises(backend.NotFound):
            await b.ignore_contact(theirs.id, contact.id)


async def test_who_is_ignored_is_listed_until_it_is_undone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b = made.people
        contact, theirs = await meet(a, b)
        await a.send(contact.conversation, "hello", None)
        await eventually(120, lambda: len(received(b)) == 1)
        assert b.ignored(theirs.id) == []
        await b.ignore_contact(theirs.id, only_contact(b).id)
        [stranger] = b.ignored(theirs.id)
        assert stranger.pseudonym == a.personas()[0].pseudonym
        left = (stranger.until - made.clock.now()) / (86_400 * SECOND)
        assert 29 < left <= 30
        for wrong in ("x", theirs.pseudonym):
            with pytest.raises(backend.NotFound):
                await b.heed(theirs.id, wrong)
        await b.heed(theirs.id, stranger.pseudonym)
        assert b.ignored(theirs.id) == []


async def test_a_blocked_contact_is_not_heard_until_it_is_unblocked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b, talk, _ = await friends(made)
        persona = b.personas()[0].id
        blocked = await b.block_contact(persona, only_contact(b).id)
        assert blocked.state == "blocked"
        with pytest.raises(backend.Unprocessable, match="blocked"):
            await b.send(blocked.conversation, "no", None)
        with pytest.raises(backend.Conflict, match="blocked"):
            await b.accept_contact(persona, blocked.id)
        await a.send(talk, "are you there?", None)
        await trio.sleep(10)
        assert len(received(b)) == 1
        assert (await b.unblock_contact(persona, blocked.id)).state == "accepted"
        await b.send(blocked.conversation, "here again", None)
        await eventually(240, lambda: any(m.text == "here again" for m in received(a)))


async def test_who_comes_by_an_invite_is_accepted_at_both_ends(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b = made.people
        host = await a.create_persona("Host", ephemeral=False)
        guest = await b.create_persona(None, ephemeral=True)
        invite = await a.make_invite(host.id)
        assert invite.link == f"shoal:{invite.code}" and invite.qr_svg.startswith("<svg")
        assert await a.invites(host.id) == [invite] and not invite.used
        other = "q" if invite.code[-1] == "p" else "p"
        for wrong in ("nonsense", invite.code[:-1], invite.code[:-1] + other):
            with pytest.raises(backend.Unprocessable):
                await b.use_invite(guest.id, wrong)
        contact = await b.use_invite(guest.id, invite.link.upper())
        assert contact.invited and contact.state == "accepted"
        assert await b.use_invite(guest.id, invite.code) == contact
        await b.send(contact.conversation, "you invited me", None)
        await eventually(120, lambda: len(received(a)) == 1)
        came = only_contact(a)
        assert came.state == "accepted" and came.invited and came.price_bits is None
        assert [one.used for one in await a.invites(host.id)] == [True]
        talk = contact.conversation
        await eventually(120, lambda: b.messages(talk, None, 1)[0].status == "fetched")
        again = await a.make_invite(host.id)
        await a.cancel_invite(host.id, again.id)
        with pytest.raises(backend.NotFound):
            await a.cancel_invite(host.id, again.id)


async def test_reading_is_told_only_where_both_want_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b, talk, back = await friends(made)
        [conversation] = b.conversations()
        assert conversation.unread == 1 and conversation.last is not None
        await b.mark_read(back, conversation.last.id)
        assert b.conversations()[0].unread == 0
        await trio.sleep(10)
        assert a.messages(talk, None, 1)[0].status == "fetched"
        for node in (a, b):
            changed = backend.PersonaChange(receipts=True)
            assert (await node.change_persona(node.personas()[0].id, changed)).receipts
        await a.send(talk, "and this?", None)
        await eventually(120, lambda: len(received(b)) == 2)
        await b.mark_read(back, received(b)[-1].id)
        await eventually(120, lambda: a.messages(talk, None, 1)[0].status == "read")
        with pytest.raises(backend.NotFound):
            await b.mark_read(back, "nothing")


async def test_a_profile_goes_to_contacts_and_names_that_look_alike_are_named(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b, talk, _ = await friends(made)
        mine = a.personas()[0]
        assert mine.name is None and mine.drawn_name is None and mine.avatar is None
        shown = await a.change_persona(mine.id, backend.PersonaChange(random=True))
        assert shown.drawn_name is not None and shown.avatar is not None
        assert shown.avatar.kind == "drawn" and len(shown.avatar.drawn or ()) == 4
        await a.send(talk, "look", None)
        await eventually(120, lambda: only_contact(b).avatar == shown.avatar)
        assert only_contact(b).drawn_name == shown.drawn_name
        assert only_contact(b).poses_as is None
        await a.change_persona(mine.id, backend.PersonaChange(name="m0mo"))
        await a.send(talk, "like everybody", None)
        await eventually(120, lambda: only_contact(b).poses_as == "momo")
        await b.change_persona(b.personas()[0].id, backend.PersonaChange(name="MOMO"))
        assert only_contact(b).poses_as == "me"
        persona = b.personas()[0].id
        other = await b.add_contact(persona, made.people[0].personas()[0].pseudonym)
        assert other.id == only_contact(b).id
        second = await b.add_contact(persona, (await a.create_persona(None, True)).pseudonym)
        named = await b.change_contact(persona, other.id, backend.ContactChange(alias="Otter"))
        assert named.name == named.alias == "Otter" and named.lookalikes == ()
        alike = await b.change_contact(persona, second.id, backend.ContactChange(alias="0tter"))
        assert alike.lookalikes == (other.id,)
        verified = await b.change_contact(persona, other.id, backend.ContactChange(verified=True))
        assert verified.verified and verified.alias == "Otter"
        with pytest.raises(backend.Conflict, match="no safety code"):
            await b.change_contact(persona, second.id, backend.ContactChange(verified=True))
        momo = await a.change_persona(mine.id, backend.PersonaChange(momo=True))
        assert momo.drawn_name is None and momo.avatar is None
        for name in ("\u202ebad", "x" * 65):
            with pytest.raises(backend.Unprocessable):
                await a.change_persona(mine.id, backend.PersonaChange(name=name))


async def test_replies_are_looked_up_and_messages_disappear_at_both_ends(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b, talk, back = await friends(made)
        hello = received(b)[0]
        reply = await b.send(back, backend.Draft("to this", hello.id), None)
        assert reply.reply_to == backend.Reply(hello.id, False, "hello")
        await eventually(120, lambda: len(received(a)) == 1)
        first = a.messages(talk, None, 10)[0]
        assert received(a)[0].reply_to == backend.Reply(first.id, True, "hello")
        await a.remove_message(talk, first.id)
        assert received(a)[0].reply_to == backend.Reply(None, True, None)
        with pytest.raises(backend.Unprocessable):
            await b.send(back, backend.Draft("to nothing", "nothing"), None)

        since = b.events.last
        soon = await a.send(talk, backend.Draft("gone soon", None, 20), None)
        assert soon.expires_after == 20 and soon.expires is not None
        await eventually(19, lambda: any(m.text == "gone soon" for m in received(b)))
        await trio.sleep(22)
        for node, conversation in ((a, talk), (b, back)):
            assert "gone soon" not in [m.text for m in node.messages(conversation, None, 10)]
        async with b.events.subscribe(b.events.last - 1) as following:
            assert isinstance((await anext(following)).data, backend.Removed)
        assert b.events.last > since
        changed = await a.change_conversation(talk, 3600)
        assert changed.expires_after == 3600
        assert (await a.send(talk, "usual", None)).expires_after == 3600
        never = await a.send(talk, backend.Draft("kept", None, None), None)
        assert never.expires_after is None


async def test_a_forgotten_conversation_is_gone_with_its_contact(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        _, b, _, back = await friends(made)
        await b.forget_conversation(back)
        assert b.conversations() == [] and b.contacts(b.personas()[0].id) == []
        with pytest.raises(backend.NotFound):
            b.messages(back, None, 10)


async def test_messages_are_found_and_written_out(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, _, talk, _ = await friends(made)
        for text in ("明天见", "ＡＢＣ and abc", "nothing"):
            await a.send(talk, text, None)
        [hit] = await a.search("天见", None, None, 10)
        assert hit.message.text == "明天见" and list(hit.spans) == [(1, 3)]
        [hit] = await a.search("aBc", a.personas()[0].id, talk, 10)
        assert list(hit.spans) == [(0, 3), (8, 11)]
        found = await a.search("h", None, None, 2)
        assert [one.message.text for one in found] == ["nothing", "hello"]
        for persona, conversation in (("x", None), (None, "x")):
            with pytest.raises(backend.NotFound):
                await a.search("x", persona, conversation, 10)
        plain = await a.export(talk, "text")
        assert "明天见" in plain.content.decode() and plain.name.endswith(".txt")
        assert (await a.export(talk, "json")).media_type == "application/json"


async def test_writing_a_conversation_out_leaves_turns_to_others_and_out_what_goes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(person_talks, "EXPORT_SLICE", 1)
    async with lab(tmp_path, relays=4, people=2) as made:
        a, _, talk, _ = await friends(made)
        for number in range(8):
            await a.send(talk, f"text {number}", None)
        newest = a.messages(talk, None, 1)[0]
        written: list[backend.Attachment] = []

        async def export() -> None:
            written.append(await a.export(talk, "text"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(export)
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            assert not written
            await a.remove_message(talk, newest.id)
        assert b"text 6" in written[0].content and b"text 7" not in written[0].content


async def test_what_would_link_two_personas_is_named(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b = made.people
        theirs = await b.create_persona(None, ephemeral=True)
        ids = []
        for name in ("Same", "Same"):
            persona = await a.create_persona(name, ephemeral=True)
            contact = await a.add_contact(persona.id, theirs.pseudonym)
            await a.send(contact.conversation, "x", None)
            ids.append(persona.id)
        links = {link.code: link for link in a.linkability()}
        assert {"contact", "name", "hours", "guard", "preset", "created"} <= set(links)
        assert list(links["name"].personas) == ids and links["contact"].detail == theirs.pseudonym
