"""A person whose machine is lost goes on with the same contacts from a backup."""

from pathlib import Path

import pytest
import trio.testing

from shoal_node import backup, backup_file
from shoal_node.person import PersonNode
from shoal_node.store import keys
from shoal_node.store.person_store import PersonStore
from shoal_protocol.client import state
from support import seeded
from whole_nodes import eventually, lab, meet, until_received


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch passphrases quickly."""
    monkeypatch.setattr(backup_file, "MEMORY", 2**16)


async def test_a_restored_node_goes_on_with_its_contacts_and_files(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=6, people=2) as made:
        a, b = made.people
        contact, _ = await meet(a, b, ephemeral=False)
        spare = await a.create_persona(None, ephemeral=True)
        await a.send(contact.conversation, "hello", None)
        await until_received(b, 1, 60)
        talk = b.conversations()[0].id
        await b.send(talk, "hello back", None)
        content = seeded("file").bytes(5000)
        await b.send_file(talk, "", content, "fish.bin", "image/png", None)
        await until_received(a, 2, 120)
        last = a.messages(contact.conversation, None, 10)[-1].id
        await eventually(120, lambda: _state_of_file(a, contact.conversation, last) == "whole")
        made_of = await a.backup("correct horse")
        kept = [p for p in a.personas() if p.id != spare.id]
        await a.send(contact.conversation, "after the backup", None)
        await until_received(b, 2, 120)
        await made.stop(a)
        await b.send(talk, "are you there?", None)

        (tmp_path / "file").write_bytes(made_of.content)
        (tmp_path / "new").mkdir()
        found = backup.restore_home(
            tmp_path / "file", "correct horse", tmp_path / "new", None, made.clock.now()
        )
        assert (found.personas, found.conversations, found.files) == (1, 1, 1)
        a = await made.person("new")
        assert list(a.personas()) == kept
        assert (await a.file(contact.conversation, last)).content == content
        texts = await until_received(a, 3, 300)
        assert texts == ["hello back", "", "are you there?"]
        await a.send(contact.conversation, "I am back", None)
        assert await until_received(b, 3, 300) == ["hello", "after the backup", "I am back"]
        await eventually(
            300, lambda: all(m.status == "fetched" for m in b.messages(talk, None, 10))
        )


def _state_of_file(node: PersonNode, conversation: str, message: str) -> str:
    (one,) = [m for m in node.messages(conversation, None, 10) if m.id == message]
    return "none" if one.file is None else one.file.state


async def test_a_persona_that_was_burnt_does_not_come_back_to_its_home(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=6, people=1) as made:
        (a,) = made.people
        burnt = await a.create_persona("burnt", ephemeral=False)
        stays = await a.create_persona("stays", ephemeral=False)
        (tmp_path / "file").write_bytes((await a.backup("correct horse")).content)
        await a.burn_persona(burnt.id)
        await made.stop(a)
        home = tmp_path / "person-0"
        found = backup.restore_home(
            tmp_path / "file", "correct horse", home, None, made.clock.now()
        )
        assert (found.personas, found.forgotten) == (0, 1)
        store = PersonStore.open(home / keys.DATABASE, keys.secret_of(home, None))
        names = [name.hex() for name, _ in store.load().of(state.PERSONA)]
        store.close()
        assert names == [stays.id]
        a = await made.person("person-0")
        assert [persona.id for persona in a.personas()] == [stays.id]
