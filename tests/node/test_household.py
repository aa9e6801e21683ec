"""A person's process: locked, unlocked, erased, and started anew for another preset."""

import contextlib
import os
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from shoal_node import choices, home, household, person, person_views
from shoal_node.api import backend, events
from shoal_node.clock import NodeClock
from shoal_node.config import NodeConfig
from shoal_node.household import Household
from shoal_node.store import keys
from shoal_node.transport.memory import MemoryNetwork
from support import START, seeded

PASSPHRASE = "a passphrase"
TEXT = "nobody else reads this sentence"


@contextlib.asynccontextmanager
async def living(data: Path, *, passphrase: str | None = None) -> AsyncIterator[Household]:
    """A process in ``data`` that knows no relay."""
    file = None
    if passphrase is not None:
        file = data / "given"
        file.write_text(passphrase)
    config = NodeConfig("person", data, (), (), "lab", passphrase_file=file)
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(latency=0.001)
        made = Household(config, seeded("household"), NodeClock(START), network.run)
        if file is not None:
            await nursery.start(made.run)
            file.unlink()
        else:
            await nursery.start(made.run)
        yield made
        nursery.cancel_scope.cancel()


async def talk(node: Household, *, ephemeral: bool = False) -> str:
    """Two personas of one node, of which one writes to the other; the conversation's id."""
    mine = await node.person.create_persona("Heron", ephemeral)
    theirs = await node.person.create_persona(None, ephemeral)
    contact = await node.person.add_contact(mine.id, theirs.pseudonym)
    await node.person.send(contact.conversation, TEXT, None)
    return contact.conversation


async def test_a_store_without_a_passphrase_opens_by_itself_and_can_be_locked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        assert node.lock_state() == backend.LockState("open", False)
        conversation = await talk(node)
        assert await node.lock() == backend.LockState("locked", False)
        assert await node.lock() == backend.LockState("locked", False)
        with pytest.raises(backend.Locked):
            node.person.personas()
        status = node.status()
        assert not status.ready and status.warnings == (household.LOCKED,)
        assert node.peers() == ()
        with pytest.raises(backend.Unprocessable, match="has no passphrase"):
            await node.unlock(PASSPHRASE)
        assert await node.unlock(None) == backend.LockState("open", False)
        [message] = node.person.messages(conversation, None, 10)
        assert message.text == TEXT


async def test_a_locked_store_waits_for_its_passphrase_and_attempts_are_limited(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    keys.secret_of(tmp_path, PASSPHRASE)
    async with living(tmp_path) as node:
        assert node.lock_state() == backend.LockState("locked", True)
        with pytest.raises(backend.Unprocessable, match="is locked with a passphrase"):
            await node.unlock(None)
        for _ in range(household.FREE_ATTEMPTS):
            with pytest.raises(backend.Unprocessable, match="is wrong"):
                await node.unlock("wrong")
        with pytest.raises(backend.TooMany) as error:
            await node.unlock(PASSPHRASE)
        assert error.value.wait == 1
        await trio.sleep(1.5)
        with pytest.raises(backend.Unprocessable):
            await node.unlock("wrong again")
        with pytest.raises(backend.TooMany, match="in 2 s"):
            await node.unlock(PASSPHRASE)
        await trio.sleep(2.5)
        assert (await node.unlock(PASSPHRASE)).state == "open"
        assert (await node.unlock("whatever")).state == "open"
    async with living(tmp_path, passphrase=PASSPHRASE) as node:
        assert node.lock_state() == backend.LockState("open", True)


async def test_ephemeral_personas_end_with_the_lock_and_lasting_ones_stay(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        lasting = await node.person.create_persona("Heron", ephemeral=False)
        await talk(node, ephemeral=True)
        await node.lock()
        await node.unlock(None)
        assert [persona.id for persona in node.person.personas()] == [lasting.id]
        assert node.person.conversations() == []


async def test_a_fresh_persona_is_there_after_each_unlocking(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        await node.change_settings(backend.SettingsChange(fresh_persona=True, persona_slots=5))
        assert node.person.personas() == []
        seen = set()
        for _ in range(2):
            await node.lock()
            await node.unlock(None)
            [momo] = node.person.personas()
            assert momo.ephemeral and momo.name is None and momo.avatar is None
            seen.add(momo.pseudonym)
        assert len(seen) == 2
    async with living(tmp_path) as node:
        assert node.settings().fresh_persona is True and node.settings().persona_slots == 5
        assert len(node.person.personas()) == 1


async def test_a_locked_process_holds_nothing_of_the_person(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        await talk(node, ephemeral=True)
        for persona in node.person.personas():
            node.person.contacts(persona.id)
        machine = weakref.ref(node.person.machine)
        store = weakref.ref(node.person.machine.people)
        await node.lock()
        assert machine() is None and store() is None
        for known in (person_views._address, person_views._skeleton, person_views.tag):
            assert known.cache_info().currsize == 0


async def test_who_asks_for_another_preset_and_goes_leaves_no_locked_node(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        before = node.person
        with trio.CancelScope() as asking:
            async with trio.open_nursery() as nursery:
                change = backend.SettingsChange(preset="fast")
                nursery.start_soon(node.change_settings, change)
                while node.lock_state().state == "open":
                    await trio.lowlevel.checkpoint()
                asking.cancel()
        assert node.lock_state().state == "open"
        assert node.person is not before and node.status().preset == "fast"


async def test_nothing_of_before_is_told_after_a_lock(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        before = node.events.last
        await talk(node)
        async with node.events.subscribe(before) as following:
            assert isinstance((await anext(following)).data, backend.Persona)
        await node.lock()
        with pytest.raises(events.NotKept):
            async with node.events.subscribe(before):
                pass
        async with node.events.subscribe(node.events.last - 1) as following:
            assert (await anext(following)).data == backend.LockState("locked", False)


async def test_settings_last_and_what_the_store_holds_is_unknown_while_locked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        assert node.settings() == backend.Settings("balanced", "auto", "auto", False, False, 3)
        change = backend.SettingsChange(language="zh", theme="dark", receipts_default=True)
        assert (await node.change_settings(change)).receipts_default is True
        assert (await node.person.create_persona(None, False)).receipts is True
        await node.lock()
        assert node.settings() == backend.Settings("balanced", "zh", "dark", None, None, None)
        await node.change_settings(backend.SettingsChange(theme="light"))
        for change in (
            backend.SettingsChange(persona_slots=9),
            backend.SettingsChange(preset="fast"),
        ):
            with pytest.raises(backend.Locked):
                await node.change_settings(change)
    async with living(tmp_path) as node:
        assert node.settings() == backend.Settings("balanced", "zh", "light", True, False, 3)
    (tmp_path / choices.SETTINGS_FILE).write_text('{"theme": "pink", "language": "en"}')
    assert choices.load(tmp_path) == choices.Choices(None, "en", "auto")
    (tmp_path / choices.SETTINGS_FILE).write_bytes(b"\xff[")
    assert choices.load(tmp_path) == choices.Choices()


async def test_another_preset_starts_the_node_anew_and_keeps_what_is_kept(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        conversation = await talk(node)
        before, peer = node.person, node.status().peer_id
        settings = await node.change_settings(backend.SettingsChange(preset="fast"))
        assert settings.preset == "fast" == node.status().preset
        assert node.person is not before and node.status().peer_id != peer
        assert [m.text for m in node.person.messages(conversation, None, 10)] == [TEXT]
        same = node.person
        await node.change_settings(backend.SettingsChange(preset="fast"))
        assert node.person is same
    async with living(tmp_path) as node:
        assert node.status().preset == "fast"


def everything(path: Path) -> bytes:
    """All bytes of all files of a home."""
    return b"".join(one.read_bytes() for one in sorted(path.rglob("*")) if one.is_file())


@pytest.mark.parametrize("locked", [False, True])
async def test_panic_leaves_no_key_and_no_store(
    tmp_path: Path, locked: bool, autojump_clock: MockClock
) -> None:
    (tmp_path / home.CONFIG_FILE).write_text("# stays\n")
    (tmp_path / "guards").write_bytes(b"guards")
    async with living(tmp_path, passphrase=PASSPHRASE) as node:
        await talk(node)
        await node.change_settings(backend.SettingsChange(theme="dark"))
        salt = (tmp_path / keys.SALT_FILE).read_bytes()
        if locked:
            await node.lock()
        await node.panic()
        assert node.lock_state() == backend.LockState("empty", False)
        assert os.listdir(tmp_path) == [home.CONFIG_FILE]
        assert salt not in everything(tmp_path)
        with pytest.raises(backend.Locked):
            node.person.personas()
        assert node.settings().theme == "auto"
        await node.panic()
        assert node.erased.is_set()
        with pytest.raises(backend.Conflict, match="starts afresh"):
            await node.unlock("another")
    async with living(tmp_path, passphrase="another") as node:
        assert node.lock_state() == backend.LockState("open", True)
        assert node.person.personas() == []


async def test_a_passphrase_is_set_changed_and_removed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        conversation = await talk(node)
        assert await node.change_passphrase(None, "one") == backend.LockState("open", True)
        assert not (tmp_path / keys.KEY_FILE).exists()
        await node.lock()
        with pytest.raises(backend.Unprocessable, match="is wrong"):
            await node.unlock("two")
        await node.unlock("one")
        for wrong in ("two", None):
            with pytest.raises(backend.Unprocessable):
                await node.change_passphrase(wrong, "two")
        await node.change_passphrase("one", "two")
        await node.lock()
        with pytest.raises(backend.Unprocessable, match="is wrong"):
            await node.unlock("one")
        await node.unlock("two")
        assert await node.change_passphrase("two", None) == backend.LockState("open", False)
        assert not (tmp_path / keys.SALT_FILE).exists()
        await node.lock()
        with pytest.raises(backend.Locked):
            await node.change_passphrase(None, "three")
        await node.unlock(None)
        assert node.person.messages(conversation, None, 10)[0].text == TEXT


async def test_a_message_that_is_gone_is_not_sent_again_under_its_key(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        conversation = await talk(node)
        for _ in range(2):
            sent = await node.person.send(conversation, "once", "key")
        await node.person.remove_message(conversation, sent.id)
        for _ in range(2):
            with pytest.raises(backend.Conflict, match="is here no more"):
                await node.person.send(conversation, "once", "key")
            await node.lock()
            await node.unlock(None)
        assert len(node.person.messages(conversation, None, 10)) == 1


async def test_no_event_quotes_a_message_that_is_gone(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        conversation = await talk(node)
        [quoted] = node.person.messages(conversation, None, 10)
        answer = await node.person.send(conversation, backend.Draft("yes", quoted.id), None)
        assert answer.reply_to is not None and answer.reply_to.text == TEXT
        before = node.events.publish(answer).seq - 1
        await node.person.remove_message(conversation, quoted.id)
        async with node.events.subscribe(before) as following:
            told = (await anext(following)).data
        assert told == replace(answer, reply_to=backend.Reply(None, True, None))


async def test_a_blocked_contact_whose_conversation_is_deleted_is_told_of_and_can_be_unblocked(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        mine = await node.person.create_persona(None, ephemeral=False)
        other = await node.person.create_persona(None, ephemeral=False)
        contact = await node.person.add_contact(mine.id, other.pseudonym)
        await node.person.block_contact(mine.id, contact.id)
        since = node.events.last
        await node.person.forget_conversation(contact.conversation)
        [left] = node.person.contacts(mine.id)
        assert left.state == "blocked" and left.pseudonym == other.pseudonym
        async with node.events.subscribe(since) as following:
            assert (await anext(following)).data == backend.Removed(mine.id, contact.id, None)
            assert (await anext(following)).data == left
        unblocked = await node.person.unblock_contact(mine.id, left.id)
        assert unblocked.state == "request"
        await node.person.ignore_contact(mine.id, left.id)
        assert node.person.contacts(mine.id) == []


async def test_a_backup_that_would_take_too_much_memory_is_refused_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        monkeypatch.setattr(person, "MAX_BACKUP", 2**20)
        with pytest.raises(backend.Unprocessable, match="at most 1 MiB"):
            await node.person.backup(PASSPHRASE)
        monkeypatch.setattr(person, "MAX_BACKUP", 2**21)
        made = await node.person.backup(PASSPHRASE)
        assert 2**20 < len(made.content) <= 2**21


async def test_one_backup_is_made_at_a_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with living(tmp_path) as node:
        made: list[backend.Attachment] = []
        refused: list[backend.Unavailable] = []

        async def back_up() -> None:
            try:
                made.append(await node.person.backup(PASSPHRASE))
            except backend.Unavailable as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(back_up)
        assert len(made) == 1 and len(refused) == 2
        await back_up()
        assert len(made) == 2


async def test_calls_that_wait_while_the_node_is_locked_come_back(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        person = node.person
        await node.lock()
        with trio.fail_after(5):
            with pytest.raises(backend.Locked):
                await person.create_persona(None, ephemeral=False)


async def test_what_is_read_is_durable_before_it_is_told(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with living(tmp_path) as node:
        conversation = await talk(node)
        machine = node.person.machine
        known = machine.people.conversation(conversation)
        assert known is not None
        machine.people.send(known[1], "not committed yet", START)
        before, durable = machine.journal.number, machine.journal.durable
        assert durable < before
        await node.person.settle()
        assert machine.journal.durable >= before
        assert node.person.messages(conversation, None, 1)[0].text == "not committed yet"
