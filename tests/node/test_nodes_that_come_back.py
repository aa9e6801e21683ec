"""People's nodes that stop and start again on their homes: what comes back, and what must not."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio.testing

from shoal_node.api import backend
from shoal_node.person import PersonNode
from shoal_node.store import keys
from shoal_node.store.person_store import PersonStore
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import UserError
from support import seeded
from whole_nodes import Lab, accept_all, eventually, lab, meet, received, until_received

PLANTED = [f"planted-{number:02d}-{'鱼' if number % 2 else 'Fisch'}" for number in range(20)]


def messages(node: PersonNode) -> list[backend.Message]:
    """All messages of a node's one conversation."""
    (conversation,) = node.conversations()
    return list(node.messages(conversation.id, None, 500))


async def greet(made: Lab, *, ephemeral: bool = False) -> None:
    """Let A and B, who run, find each other and answer."""
    a, b = made.people
    contact, _ = await meet(a, b, ephemeral=ephemeral)
    await a.send(contact.conversation, "hello", None)
    await until_received(b, 1, 60)
    await b.send(b.conversations()[0].id, "hello back", None)
    await until_received(a, 1, 60)
    await eventually(60, lambda: all(m.status == "fetched" for m in messages(a)))


async def test_what_was_sent_while_a_node_was_off_is_there_after_it_starts_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=6, people=2) as made:
        a, b = made.people
        await greet(made)
        before = list(a.personas()), list(b.personas())
        await made.stop(b)
        texts = [f"{number}" * (1 + 300 * number) for number in range(5)]
        for text in texts:
            await a.send(a.conversations()[0].id, text, None)
        await eventually(120, lambda: all(m.status != "queued" for m in messages(a)))
        assert {m.status for m in messages(a)[2:]} == {"stored"}
        history = messages(a)
        await made.stop(a)

        b = await made.person("person-1")
        assert list(b.personas()) == before[1]
        assert await until_received(b, 6, 120) == ["hello", *texts]
        await made.stop(b)
        b = await made.person("person-1")  # nothing comes twice after another start
        a = await made.person("person-0")
        assert list(a.personas()) == before[0] and messages(a) == history
        await eventually(120, lambda: all(m.status == "fetched" for m in messages(a)))
        await b.send(b.conversations()[0].id, "got it all", None)
        assert (await until_received(a, 2, 120))[-1] == "got it all"
        assert [m.text for m in received(b)] == ["hello", *texts]


async def test_a_file_goes_on_where_it_was_when_either_node_starts_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    content = seeded("file").bytes(30_000)
    async with lab(tmp_path, relays=6, people=2) as made:
        a, b = made.people
        await greet(made)
        await made.stop(b)
        talk = a.conversations()[0].id
        sent = await a.send_file(talk, "a file", content, "../fish.bin", "image/png", "key")
        assert sent.file is not None and (sent.file.name, sent.file.size) == ("fish.bin", 30_000)
        assert (await a.file(talk, sent.id)).content == content
        await eventually(60, lambda: _done(a) > 10)
        await made.stop(a)
        a = await made.person("person-0")
        again = await a.send_file(talk, "a file", content, "../fish.bin", "image/png", "key")
        assert again.id == sent.id and len(messages(a)) == 3
        with pytest.raises(backend.Conflict):
            await a.send_file(talk, "a file", content[1:], "../fish.bin", "image/png", "key")
        with pytest.raises(backend.Conflict):
            await a.send(talk, "a file", "key")
        await eventually(120, lambda: messages(a)[-1].status == "stored")
        assert messages(a)[-1].file == backend.File(
            "fish.bin", 30_000, "image/png", "whole", _total(a), _total(a)
        )
        await made.stop(a)

        b = await made.person("person-1")
        await eventually(120, lambda: len(messages(b)) == 3 and _done(b) > 5)
        theirs = messages(b)[-1]
        with pytest.raises(backend.Conflict, match="pieces are here"):
            await b.file(theirs.conversation, theirs.id)
        await made.stop(b)
        b = await made.person("person-1")
        await eventually(240, lambda: _state(b) == "whole")
        got = await b.file(theirs.conversation, theirs.id)
        assert got.content == content and got.file.name == "fish.bin"
        assert got.file.media_type == "image/png" and messages(b)[-1].text == "a file"
        with pytest.raises(backend.NotFound, match="no file"):
            await b.file(theirs.conversation, messages(b)[0].id)
        with pytest.raises(backend.NotFound, match="no such message"):
            await b.file(theirs.conversation, "00" * 12)


def _file(node: PersonNode) -> backend.File:
    file = messages(node)[-1].file
    assert file is not None
    return file


def _done(node: PersonNode) -> int:
    return 0 if messages(node)[-1].file is None else _file(node).done


def _total(node: PersonNode) -> int:
    return _file(node).total


def _state(node: PersonNode) -> str:
    return _file(node).state


async def test_followers_are_told_of_a_file_at_most_once_a_second_and_of_its_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=6, people=2) as made:
        a, b = made.people
        await greet(made, ephemeral=True)
        content = seeded("file").bytes(20_000)
        told: dict[str, list[tuple[int, backend.EventData]]] = {"a": [], "b": []}

        async def follow(name: str, node: PersonNode) -> None:
            async with node.events.subscribe() as events:
                async for event in events:
                    told[name].append((made.clock.now(), event.data))

        made.nursery.start_soon(follow, "a", a)
        made.nursery.start_soon(follow, "b", b)
        await trio.testing.wait_all_tasks_blocked()
        await a.send_file(a.conversations()[0].id, "", content, "x", "text/plain", None)
        await eventually(300, lambda: messages(b)[-1].file is not None and _state(b) == "whole")
        await eventually(60, lambda: messages(a)[-1].status == "fetched")
        await eventually(10, lambda: "whole" in _states(told["b"]))
        theirs = messages(b)[-1]
        assert (await b.file(theirs.conversation, theirs.id)).content == content
        for name, first in (("a", backend.MessageStatus), ("b", backend.Message)):
            states = _states(told[name])
            assert isinstance(next(d for _, d in told[name] if _file_of(d)), first)
            assert states.count("whole") >= 1 and states[-1] == "whole"
            moving = [now for now, data in told[name] if _moving(data)]
            assert len(moving) >= 2
            assert len(moving) <= (moving[-1] - moving[0]) / SECOND + 2  # a commit takes a while
        assert [type(data) for _, data in told["b"]].count(backend.Message) == 1


def _file_of(data: backend.EventData) -> backend.File | None:
    return data.file if isinstance(data, backend.Message | backend.MessageStatus) else None


def _states(told: list[tuple[int, backend.EventData]]) -> list[str]:
    return [file.state for _, data in told if (file := _file_of(data)) is not None]


def _moving(data: backend.EventData) -> bool:
    """Whether an event says that a file is on its way."""
    file = _file_of(data)
    return file is not None and file.state in ("sending", "fetching")


async def test_ephemeral_personas_do_not_come_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=2) as made:
        a, b = made.people
        kept = await a.create_persona("kept", ephemeral=False)
        await greet(made, ephemeral=True)
        await a.add_contact(kept.id, b.personas()[0].pseudonym)
        await made.stop(a)
        a = await made.person("person-0")
        assert list(a.personas()) == [kept]
        assert [c.persona for c in a.conversations()] == [kept.id]
        assert received(a) == []


async def test_of_ephemeral_personas_nothing_is_found_in_the_home_and_of_others_only_with_the_key(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase\n")
    async with lab(tmp_path, relays=6, people=0) as made:
        a = await made.person("a", passphrase)
        b = await made.person("b", passphrase)
        await made.settle()
        for ephemeral in (True, False):
            await _plant(a, b, PLANTED[:10] if ephemeral else PLANTED[10:], ephemeral=ephemeral)
        for name in ("a", "b"):
            assert list(_found(tmp_path / name)) == []  # while the nodes run, too
        await made.stop(a)
        await made.stop(b)
    for name in ("a", "b"):
        assert list(_found(tmp_path / name)) == []
        secret = keys.secret_of(tmp_path / name, "a passphrase")
        store = PersonStore.open(tmp_path / name / keys.DATABASE, secret)
        kept = store.load()
        data = b"".join(m.text.encode() + (m.file or b"") for m in kept.messages)
        data += b"".join(kept.rows.values())
        data += b"".join(store.file(bytes.fromhex(m.id)) for m in kept.messages)
        store.close()
        found = [text for text in PLANTED if text.encode() in data]
        assert found == PLANTED[10:]


async def _plant(a: PersonNode, b: PersonNode, texts: list[str], *, ephemeral: bool) -> None:
    """Put ten strings into names, texts both ways, and a file's name, text and content."""
    mine = await a.create_persona(texts[0], ephemeral)
    theirs = await b.create_persona(texts[1], ephemeral)
    contact = await a.add_contact(mine.id, theirs.pseudonym)
    for text in texts[2:5]:
        await a.send(contact.conversation, text, None)
    before = len(received(b))
    await eventually(120, lambda: len(received(b)) > before)
    await accept_all(b)
    await eventually(120, lambda: len(received(b)) >= before + 3)
    talk = next(c.id for c in b.conversations() if c.persona == theirs.id)
    for text in texts[5:7]:
        await b.send(talk, text, None)
    content = b"some bytes " * 20 + texts[7].encode()
    await a.send_file(contact.conversation, texts[8], content, texts[9], "text/plain", None)
    await eventually(240, lambda: _whole(b, talk))
    await eventually(60, lambda: len(a.messages(contact.conversation, None, 50)) == 6)


def _whole(node: PersonNode, talk: str) -> bool:
    file = node.messages(talk, None, 1)[-1].file
    return file is not None and file.state == "whole"


def _found(home: Path) -> Iterator[tuple[str, str]]:
    """Which planted strings are in which files, in one of the usual forms."""
    for path in home.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        for text in PLANTED:
            plain = text.encode()
            forms = [plain, text.encode("utf-16-le"), plain.hex().encode(), base64.b64encode(plain)]
            if any(form in data for form in forms):
                yield path.name, text


async def test_a_wrong_or_missing_passphrase_is_one_sentence(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("right\n")
    wrong.write_text("wrong\n")
    async with lab(tmp_path, relays=4, people=0) as made:
        node = await made.person("a", right)
        persona = await node.create_persona("Ann", ephemeral=False)
        await made.stop(node)
        for given in (wrong, None, tmp_path / "nowhere"):
            with pytest.raises(UserError) as error:
                PersonNode(
                    made.config("person", "a", given), made.rng, made.clock, made.network.run
                )
            sentence = str(error.value)
            assert sentence.endswith(".") and "\n" not in sentence
            assert "right" not in sentence
        assert list((await made.person("a", right)).personas()) == [persona]
