"""Invites: both ends accepted at once, used once, found after absence, taken back, bounded."""

import json
from collections import Counter
from typing import Any

import pytest

from client.meeting import incoming, personas, texts, write
from client.test_reader import Reading
from shoal_protocol import clock
from shoal_protocol.client.invites import (
    LIFE_DAYS,
    MAX_LISTED,
    MAX_OPEN,
    InviteLine,
    Invites,
    OpenInvite,
    capability,
)
from shoal_protocol.client.personas import Persona
from shoal_protocol.client.reader import (
    DECOY_GETS,
    DecoyGet,
    InboxGet,
    Reader,
    StreamGet,
)
from shoal_protocol.client.readings import HOT_INVITES
from shoal_protocol.client.state import Journal, Kept
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, PRESETS
from shoal_protocol.pseudonyms import invite as codes
from shoal_protocol.service import placement
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import ReadCapability
from shoal_sim.exact.people import Person
from shoal_sim.exact.world import PARAMS, World
from support import START, seeded
from vectors import write_invites

DAY_NS = clock.seconds(LAB.day_s)


def make(person: Person, persona: Persona) -> OpenInvite:
    made: list[OpenInvite] = []
    people = person.machine.people
    person.do(lambda: made.append(people.invites.make(persona, person.now())), lambda _: None)
    return made[0]


def come(person: Person, persona: Persona, text: str) -> None:
    """Begin a conversation by the text of an invite."""
    code, people = codes.decode(text), person.machine.people
    code.check(PARAMS.hash, clock.index_of(person.now(), PARAMS.day_s))
    at = capability(code.secret, PARAMS.hash)
    person.do(
        lambda: people.open_invited(persona, code.pseudonym, at, person.now()), lambda _: None
    )


def test_addresses_and_boxes_are_those_of_the_vectors() -> None:
    vectors: dict[str, Any] = json.loads(write_invites.PLACE.read_text())
    assert write_invites.make() == vectors
    network, day = bytes.fromhex(vectors["network"]), vectors["day"]
    for vector in vectors["invites"]:
        writer = capability(bytes.fromhex(vector["secret"]), network)
        reader = ReadCapability.parse(bytes.fromhex(vector["reader"]), network)
        assert [reader.address(day + n).hex() for n in range(8)] == vector["addresses"]
        record = bytes.fromhex(vector["record"])
        assert writer.seal(day, bytes.fromhex(vector["plaintext"])) == record
        assert reader.open(record, day).hex() == vector["plaintext"]


def test_who_comes_by_an_invite_is_accepted_at_both_ends_at_once() -> None:
    world = World(8, 2, seed="invited")
    ada, bob = world.people
    a, b = personas(world)
    invite = make(ada, a)
    come(bob, b, codes.encode(invite.code))
    assert world.run(60, lambda: bool(a.conversations))
    (theirs,), (ours,) = a.conversations.values(), b.conversations.values()
    assert theirs.invited and ours.invited
    assert not theirs.pending and not ours.pending
    assert invite.used
    write(ada, a, b, "welcome")
    write(bob, b, a, "thanks")
    assert world.run(60, lambda: texts(b) == ["welcome"] and texts(a) == ["thanks"])


def test_an_invite_works_once_and_who_comes_later_asks_like_any_stranger() -> None:
    world = World(8, 3, seed="once")
    ada, bob, eve = world.people
    a, b, e = personas(world)
    text = codes.encode(make(ada, a).code)
    come(bob, b, text)
    assert world.run(60, lambda: len(a.conversations) == 1)
    come(eve, e, text)
    assert world.run(120, lambda: len(a.conversations) == 2)
    late = a.by_pseudonym[e.secrets.pseudonym]
    assert late.pending and not late.invited
    assert a.by_pseudonym[b.secrets.pseudonym].invited


def test_an_invite_is_waited_at_after_a_restart() -> None:
    world = World(8, 2, seed="absence")
    ada, bob = world.people
    a, b = personas(world)
    text = codes.encode(make(ada, a).code)
    world.run(5)
    ada.crash()
    come(bob, b, text)
    write(bob, b, a, "are you there?")
    world.run(60)
    ada.start()
    assert world.run(120, lambda: bool(incoming(ada.machine.people.personas()[0])))
    (persona,) = ada.machine.people.personas()
    assert [one.used for one in ada.machine.people.invites.of(persona)] == [True]


def test_after_absence_the_days_since_the_invite_was_made_are_asked() -> None:
    made, today = START // DAY_NS, START // DAY_NS + 3
    reader = capability(bytes(16), LAB.hash).read()
    line = InviteLine(b"the invite's row", reader, made, made + LIFE_DAYS + 1)
    reading = Reading("absence", personas=0)
    reading.reader.follow_invite("0", line, today * DAY_NS + DAY_NS // 2)
    gets = [
        get.purpose.asked
        for get in reading.waiting(today * DAY_NS + DAY_NS // 2, 30)
        if isinstance(get.purpose, StreamGet)
    ]
    assert [(one.index, one.day) for one in gets if not one.waits] == [
        (0, made),
        (0, made + 1),
        (0, made + 2),
    ]
    assert {(one.index, one.day) for one in gets if one.waits} == {(0, today)}


class Desk:
    """The invites of some personas without a network."""

    def __init__(self) -> None:
        self.world = World(1, 1, seed="desk")
        self.person = self.world.people[0]
        (self.persona,) = personas(self.world)
        self.invites: Invites = self.person.machine.people.invites
        self.reader: Reader = self.person.machine.reader

    def line(self, invite: OpenInvite) -> InviteLine:
        following = self.reader._personas[self.persona.id].invites[invite.row_id]
        assert isinstance(following.stream, InviteLine)
        return following.stream


def test_a_persona_has_eight_open_invites_and_used_ones_give_way() -> None:
    desk = Desk()
    for number in range(60):
        made = desk.invites.make(desk.persona, START + number)
        made.used = True
    assert len(desk.invites.of(desk.persona)) == MAX_LISTED
    desk.invites.forget(desk.persona)
    made_of = [desk.invites.make(desk.persona, START) for _ in range(MAX_OPEN)]
    with pytest.raises(UserError, match="open already"):
        desk.invites.make(desk.persona, START)
    desk.invites.withdraw(made_of[0])
    desk.invites.make(desk.persona, START)


def test_an_invite_is_over_a_week_after_its_day() -> None:
    desk = Desk()
    made = desk.invites.make(desk.persona, START)
    assert made.code.expires_day == START // DAY_NS + LIFE_DAYS + 1
    desk.invites.tick(made.expires - 1)
    assert desk.invites.of(desk.persona) == [made]
    desk.invites.tick(made.expires)
    assert desk.invites.of(desk.persona) == []
    assert not desk.reader._personas[desk.persona.id].invites


def test_a_box_of_the_invite_ends_it_whatever_it_holds_and_anything_else_does_not() -> None:
    desk, rng = Desk(), seeded("box")
    made = desk.invites.make(desk.persona, START)
    line, day = desk.line(made), START // DAY_NS
    writer = capability(made.code.secret, PARAMS.hash)
    for junk in (b"", bytes(2048), rng.bytes(2048), writer.seal(day + 1, bytes(1928))):
        assert desk.invites.came(line, day, junk) is None
        assert not made.used
    plaintext = rng.bytes(box.PLAINTEXT_LENGTH)
    record = writer.seal(day, plaintext)
    assert desk.invites.came(line, day, record) == (made, plaintext)
    assert made.used
    assert desk.invites.came(line, day, record) is None
    assert desk.person.machine.people.invited(desk.persona, plaintext, b"", START) == []
    assert not desk.persona.conversations


def test_a_tombstone_ends_an_invite() -> None:
    desk = Desk()
    made = desk.invites.make(desk.persona, START)
    line, day = desk.line(made), START // DAY_NS
    tombstone = capability(made.code.secret, PARAMS.hash).tombstone(day)
    assert desk.invites.came(line, day, tombstone) is None
    assert made.used


def test_burning_a_persona_takes_its_invites_back_and_their_rows() -> None:
    desk = Desk()
    desk.person.do(lambda: desk.invites.make(desk.persona, START), lambda _: None)
    desk.world.run(1)
    assert any(kind == "invite" for kind, _ in desk.person.kept().rows)
    desk.person.do(lambda: desk.person.machine.people.burn(desk.persona), lambda _: None)
    desk.world.run(1)
    assert not any(kind == "invite" for kind, _ in desk.person.kept().rows)
    assert not desk.reader._personas


def test_restored_invites_are_those_that_were_made() -> None:
    desk = Desk()
    desk.person.do(lambda: desk.invites.make(desk.persona, START), lambda _: None)
    desk.person.do(lambda: desk.invites.make(desk.persona, START + 1), lambda _: None)
    desk.world.run(1)
    reader = Reader(PARAMS, PRESETS["fast"], 0, seeded("r"))
    reader.add(desk.persona.id, desk.persona.secrets)
    again = Invites(PARAMS, seeded("again"), reader, Journal())
    kept: Kept = desk.person.kept()
    again.restore(kept, {desk.persona.id: desk.persona}, START)
    old = [(one.id, one.code, one.created, one.expires) for one in desk.invites.of(desk.persona)]
    new = [(one.id, one.code, one.created, one.expires) for one in again.of(desk.persona)]
    assert new == old


def test_gets_for_an_invites_box_look_like_those_for_a_random_address() -> None:
    """Form, kind, ranks and waits; an invite's box is waited at as a decoy is."""
    reading = Reading("invite", personas=0)
    secrets = [seeded(f"secret {n}").bytes(16) for n in range(4)]
    for number, secret in enumerate(secrets):
        reader = capability(secret, LAB.hash).read()
        line = InviteLine(bytes([number]) * 16, reader, START // DAY_NS, START // DAY_NS + 8)
        reading.reader.follow_invite("0", line, START)
    gets = reading.waiting(START, 60)
    real = [get for get in gets if isinstance(get.purpose, StreamGet)]
    decoys = [get for get in gets if isinstance(get.purpose, DecoyGet)]
    assert not any(isinstance(get.purpose, InboxGet) and get.purpose.box.persona for get in gets)
    assert real and decoys
    assert {get.question.type for get in real} == {get.question.type for get in decoys}
    assert all(not any(get.question.record[32:]) for get in real)
    newest = capability(secrets[3], LAB.hash).read().address(START // DAY_NS)
    ranked = placement.rank(newest, reading.relays, 3)
    asked = [get.relay.relay_id for get in real if get.question.record[:32] == newest]
    assert set(asked) <= set(ranked) and len(asked) in DECOY_GETS
    everybody = Counter(get.question.record[:32] for get in decoys)
    assert max(everybody.values()) <= 2 * max(DECOY_GETS)  # short ones are followed at once


def test_the_two_newest_invites_are_waited_at_all_the_time_the_others_now_and_then() -> None:
    reading, addresses = Reading("many", personas=0), list[bytes]()
    for number in range(MAX_OPEN):
        reader = capability(bytes([number]) * 16, LAB.hash).read()
        line = InviteLine(bytes([number]) * 16, reader, START // DAY_NS, START // DAY_NS + 8)
        reading.reader.follow_invite("0", line, START)
        addresses.append(reader.address(START // DAY_NS))
    for get in reading.waiting(START, 100):  # each has its first turn
        reading.end(get, START)
    later = START + clock.SECOND
    again = Counter(get.question.record[:32] for get in reading.waiting(later, 100))
    assert [one for one in addresses if again[one]] == addresses[-HOT_INVITES:]
