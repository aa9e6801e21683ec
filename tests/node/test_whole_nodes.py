"""Relays and people as whole nodes over the in-memory transport, in virtual time."""

import contextlib
from pathlib import Path

import pytest
import trio
import trio.testing

from shoal_node import keep
from shoal_node.api import backend
from shoal_node.transport import framing
from shoal_node.transport.memory import Crossing
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, MAIN
from support import seeded
from whole_nodes import accept_all, eventually, lab, meet, until_received


async def test_two_people_who_know_only_a_pseudonym_exchange_messages(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=8, people=2) as made:
        a, b = made.people
        contact, _ = await meet(a, b)
        sent = await a.send(contact.conversation, "你好 🦕", None)
        assert await until_received(b, 1, 60) == ["你好 🦕"]
        (request,) = b.conversations()
        assert request.state == "request"
        await b.send(request.id, "hello back", None)
        assert await until_received(a, 1, 60) == ["hello back"]
        await eventually(
            60, lambda: a.messages(contact.conversation, None, 10)[0].status == "fetched"
        )
        assert a.messages(contact.conversation, None, 10)[0].id == sent.id
        assert [c.state for c in a.conversations()] == ["accepted"]
        codes = {a.contacts(a.personas()[0].id)[0].safety_code}
        assert codes == {b.contacts(b.personas()[0].id)[0].safety_code} != {None}


async def test_a_person_never_sends_a_dht_request_and_links_to_guards_alone(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=8, people=0) as made:
        seen: list[Crossing] = made.network.record()
        people = [await made.person() for _ in range(2)]
        a, b = people
        await made.settle()
        joined = len(seen)
        contact, _ = await meet(a, b)
        await a.send(contact.conversation, "found through the onion", None)
        await until_received(b, 1, 60)
        ids = {node.peer.peer_id: node for node in people}
        own = [c for c in seen if c.source in ids or c.target in ids]
        protocols = {crossing.protocol for crossing in own}
        assert protocols == {framing.PACKET, framing.DIRECTORY}
        assert any(crossing.protocol == framing.DHT for crossing in seen[joined:])
        for peer_id, node in ids.items():
            guards = {peer.relay_id for peer in node.peers()}
            packets = [c for c in own if c.protocol == framing.PACKET]
            assert {c.size for c in packets} == {LAB.packet_bytes}
            targets = {made.relay_of(c.target) for c in packets if c.source == peer_id}
            assert len(targets) == 1
            assert targets <= guards
            later = {made.relay_of(c.target) for c in seen[joined:] if c.source == peer_id}
            assert later <= guards


async def test_a_guard_that_dies_gives_way_and_nothing_is_lost(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=9, people=2) as made:
        a, b = made.people
        contact, _ = await meet(a, b)
        for number in range(10):
            await a.send(contact.conversation, str(number), None)
            if number == 5:
                guard = next(peer for peer in a.peers() if peer.since is not None)
                made.kill(guard.relay_id)
            await trio.sleep(0.5)
        await until_received(b, 1, 90)
        await accept_all(b)
        texts = await until_received(b, 10, 90)
        assert sorted(texts) == sorted(str(number) for number in range(10))
        assert next(p for p in a.peers() if p.since is not None).relay_id != guard.relay_id


async def test_a_guard_that_passes_nothing_on_is_left(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=8, people=1) as made:
        (a,) = made.people
        deaf = next(peer.relay_id for peer in a.peers() if peer.since is not None)
        guard = next(r for r in made.relays if r.peer.relay_id.hex() == deaf)
        guard.machine.mix.receive = lambda packet, peer, now: []  # type: ignore[method-assign]
        await eventually(
            120, lambda: any(p.since is not None and p.relay_id != deaf for p in a.peers())
        )
        assert a.status().counters["guard deaf"] == 1


async def test_a_node_whose_kept_guards_are_all_gone_comes_back_through_its_bootstrap_relays(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=9, people=0) as made:
        first = await made.person("kept")
        await made.settle()
        guards = {peer.relay_id for peer in first.peers()}
        for relay in [r for r in made.relays if r.peer.relay_id.hex() in guards]:
            made.kill(relay.peer.relay_id.hex())
            made.relays.remove(relay)
        await made.stop(first)
        again = await made.person("kept")
        assert {peer.relay_id for peer in again.peers()} == guards
        await eventually(180, lambda: again.status().ready)
        assert any(peer.relay_id not in guards for peer in again.peers())


async def test_guards_are_kept_from_run_to_run_and_the_identity_is_not(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=8, people=0) as made:
        first = await made.person("kept")
        await made.settle()
        guards = [peer.relay_id for peer in first.peers()]
        await made.stop(first)
        again = await made.person("kept")
        assert [peer.relay_id for peer in again.peers()] == guards
        assert first.status().peer_id != again.status().peer_id


async def test_a_vanished_relay_leaves_every_directory_when_its_lease_ends(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=8, people=1) as made:
        gone = made.relays.pop()
        made.network.kill(gone.peer.peer_id)
        await made.settle(LAB.lease_s + 5)


async def test_a_relay_keeps_its_identity_and_never_signs_a_version_twice(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    rng = seeded("state")
    state = keep.load_relay(tmp_path, LAB, rng)
    again = keep.load_relay(tmp_path, LAB, rng)
    assert again == state
    assert (tmp_path / keep.RELAY_FILE).stat().st_mode & 0o077 == 0
    with pytest.raises(UserError, match="another network"):
        keep.load_relay(tmp_path, MAIN, rng)
    async with lab(tmp_path, relays=4, people=0) as made:
        node = made.relays[0]
        kept = keep.load_relay(made.home / "relay-0", LAB, rng)
        published = node.descriptor()
        assert published is not None
        assert kept.version is not None
        assert kept.version >= published.version


async def test_a_damaged_relay_file_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / keep.RELAY_FILE).write_bytes(b"rubbish")
    with pytest.raises(UserError, match="is damaged; remove it"):
        keep.load_relay(tmp_path, LAB, seeded())


async def test_calls_about_what_is_not_there_and_hostile_texts_are_clear_errors(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=4, people=1) as made:
        (a,) = made.people
        persona = await a.create_persona("Ann", ephemeral=False)
        assert a.personas()[0].name == "Ann"
        with pytest.raises(backend.Unprocessable, match="own pseudonym"):
            await a.add_contact(persona.id, persona.pseudonym)
        with pytest.raises(backend.Unprocessable):
            await a.add_contact(persona.id, "shoal1nonsense")
        with pytest.raises(backend.NotFound):
            await a.send("nowhere", "text", None)
        with pytest.raises(backend.NotFound):
            a.contacts("nobody")
        other = await a.create_persona(None, ephemeral=True)
        contact = await a.add_contact(persona.id, other.pseudonym)
        with pytest.raises(backend.Unprocessable, match="at most"):
            await a.send(contact.conversation, "x" * 200_000, None)
        one = await a.send(contact.conversation, "once", "key")
        assert (await a.send(contact.conversation, "once", "key")).id == one.id
        with pytest.raises(backend.Conflict):
            await a.send(contact.conversation, "twice", "key")
        await a.burn_persona(persona.id)
        assert [p.id for p in a.personas()] == [other.id]
        assert all(c.persona == other.id for c in a.conversations())
        for _ in range(20):
            with contextlib.suppress(backend.Conflict):
                await a.create_persona(None, ephemeral=True)
        with pytest.raises(backend.Conflict, match="burn one"):
            await a.create_persona(None, ephemeral=True)


async def test_a_relay_whose_machine_slept_before_its_start_has_the_keys_of_today(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with lab(tmp_path, relays=1, people=0) as made:
        late = await made.relay(after_s=5 * LAB.epoch_s)
        await made.settle()
        own = late.descriptor()
        assert own is not None
        assert own.mix_key(own.epoch) is not None
