"""Personas, contacts, and what comes for them: first contacts, rubbish, burning, bounds."""

import pytest

from client.neighbours import (
    MINUTE,
    PARAMS,
    TODAY,
    Neighbour,
    met,
    pair,
    pass_on,
    settle,
)
from shoal_protocol import clock
from shoal_protocol.client import contacts, roster, state
from shoal_protocol.client import people as peoples
from shoal_protocol.client.association import STREAM
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.parcel import Acks, Kind, Parcel, Part, encode
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.sessions import cloak
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability
from support import START, seeded


def first_record(sender: Neighbour) -> bytes:
    """Return the first contact that goes out."""
    sender.commit()
    (record,) = (o.record for o in sender.outgoing() if o.first_contact)
    return record


def enter(reader: Neighbour, record: bytes) -> None:
    reader.people.entry(reader.persona.id, TODAY, record, START)


def uncloak(reader: Neighbour, record: bytes) -> bytes:
    public = reader.persona.secrets.public
    return cloak.open(public.pseudonym, public.inbox_root, TODAY, record, PARAMS.hash)


def cloaked(reader: Neighbour, plaintext: bytes, seed: object = 0) -> bytes:
    public = reader.persona.secrets.public
    rng = seeded(f"cloak {seed}")
    return cloak.seal(public.pseudonym, public.inbox_root, TODAY, plaintext, rng, PARAMS.hash)


def rubbish(reader: Neighbour, kind: int, number: int) -> bytes:
    body = seeded(f"rubbish {number}").bytes(cloak.BODY_LENGTH)
    return cloaked(reader, bytes([kind]) + body, number)


def test_a_first_contact_is_a_request_until_it_is_answered() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    (message,) = bob.talk(ada).history
    assert (message.text, message.request, message.outgoing) == ("hello", True, False)
    assert bob.talk(ada).pending
    bob.write(ada, "hello yourself", START)
    assert not bob.talk(ada).pending
    settle(ada, bob, START)
    assert ada.got() == ["hello yourself"]
    assert ada.talk(bob).answered
    ada.write(bob, "again", START)
    settle(ada, bob, START)
    assert [m.request for m in bob.talk(ada).history if not m.outgoing] == [True, False]


def test_a_replayed_first_contact_is_ignored_in_whatever_cloak_it_comes() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    record = first_record(ada)
    for _ in range(2):
        enter(bob, record)
    assert bob.people.counters == {"entry again": 1}
    for number in range(3):
        enter(bob, cloaked(bob, uncloak(bob, record), number))
    assert bob.people.counters["replay"] == 3
    bob.commit()
    bob.restart(START)
    enter(bob, record)
    assert bob.people.counters == {"replay": 1}
    assert bob.got() == ["hello"]
    assert len(bob.associations()) == 1


def test_rubbish_is_counted_and_changes_nothing() -> None:
    _, bob = pair()
    address = bob.persona.secrets.inbox_key(TODAY).public
    enter(bob, b"")
    enter(bob, address + bytes(2016))
    enter(bob, bytes(2048))
    enter(bob, rubbish(bob, cloak.FIRST_CONTACT, 1))
    enter(bob, rubbish(bob, 3, 2))
    assert bob.people.counters == {
        "prekeys gone": 1,
        "entry length": 1,
        "aead": 1,
        "entry address": 1,
        "entry kind": 1,
    }
    bob.announcement(START)  # draws the day's prekeys
    enter(bob, rubbish(bob, cloak.FIRST_CONTACT, 3))
    assert bob.people.counters["aead"] == 2
    assert bob.persona.conversations == {}
    assert len(bob.outbox) == 0


def test_entries_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peoples, "MAX_SEEN", 10)
    _, bob = pair()
    for number in range(40):
        enter(bob, number.to_bytes(2, "big"))
    assert len(bob.persona.seen) == 10


def test_a_box_that_was_not_asked_for_or_comes_twice_does_nothing() -> None:
    ada, bob, now = met()
    ada.write(bob, "once", now)
    ada.commit()
    (outgoing,) = ada.outgoing()
    (association,) = bob.associations()
    for wrong in (outgoing.index + 1000, outgoing.index):
        for _ in range(2):
            taken = bob.people.box(association, wrong, TODAY, outgoing.record, now)
            assert taken[0]
    assert bob.got() == ["hello", "once"]
    forged = outgoing.record[:-1] + bytes([outgoing.record[-1] ^ 1])
    taken = bob.people.box(association, association.come.next, TODAY, forged, now)
    assert taken == (False, [])
    assert bob.people.counters.total() == 1


@pytest.mark.parametrize(
    ("number", "least", "part", "parts", "reason"),
    [
        (1500, 0, 0, 1, "number"),
        (3, 0, 0, 3, "parts"),
        (9, 0, 64, 65, None),
        (2**32 - 1, 2**32 - 1, 0, 1, None),
        (2**32 - 2, 2**32 - 2, 0, 1, None),
    ],
)
def test_a_hostile_contact_gets_nothing_but_its_own_silence(
    number: int, least: int, part: int, parts: int, reason: str | None
) -> None:
    """Numbers too far, parts unlike or too many, the highest numbers, lying acknowledgements."""
    ada, bob, now = met()
    bob.write(ada, "unread", now)
    (association,) = ada.associations()

    def say(said: Parcel) -> None:
        _, record = association.seal(said, TODAY, ada.rng)
        bob.shelf[association.id, association.next_index - 1] = record
        bob.read(now)
        bob.commit()

    line, lie = b"its line", Acks(2**32 - 1, 2**64 - 1)
    say(Parcel(lie, line, 0, Part(Kind.TEXT, 3, 0, 0, 2, b"half")))
    say(Parcel(lie, line, least, Part(Kind.TEXT, number, 0, part, parts, b"x")))
    assert bob.states() == [MessageState.FETCHED, MessageState.QUEUED]
    counted = bob.people.counters if reason is not None else association.counters
    assert counted.total() == (reason is not None)
    bob.restart(now)
    say(Parcel(Acks(), b"new line", 0, Part(Kind.TEXT, 0, 0, 0, 1, b"still here")))
    assert bob.got()[-1] == "still here"


def test_a_contact_that_floods_lines_and_parts_fills_no_more_than_its_share() -> None:
    ada, bob, now = met()
    (association,) = ada.associations()
    for number in range(1500):
        part = Part(Kind.TEXT, 1 + number % 900, 0, number % 63, 64, b"x" * 1500)
        line = bytes([number % 20]) * 8
        _, record = association.seal(Parcel(Acks(), line, 0, part), TODAY, ada.rng)
        _, took = bob.people.box(bob.associations()[0], number + 1, TODAY, record, now)
        assert took == []
        if number % 50 == 0:
            bob.commit()
            assert bob.disk.count(state.PART) <= 1024
            bob.people.tick(now)
    bob.restart(now)
    bob.write(ada, "leave me alone", now)
    assert bob.got() == ["hello"]


def test_burning_a_persona_deletes_every_row_and_message_of_it_and_nothing_of_others() -> None:
    ada, bob, now = met()
    clean = Neighbour("clean")
    clean.people.create(b"o" * 32, START)
    clean.commit()
    other = ada.people.create(b"o" * 32, START)
    ada.announcement(now)
    talk = ada.people.open_conversation(other, bob.pseudonym, now)
    ada.people.send(talk, "from the other", now)
    ada.look_up(bob, now)
    bob.write(ada, "x" * 5000, now)
    bob.commit()
    for outgoing in bob.outgoing()[1:]:  # parts without their first
        ada.keep(outgoing)
    ada.read(now)
    ada.write(bob, "on its way", now)
    ada.announcement(now)
    ada.commit()
    kinds = {key[0] for key in ada.disk.rows}
    assert kinds >= {
        state.PERSONA,
        state.PREKEYS,
        state.CONVERSATION,
        state.ASSOCIATION,
        state.RECORD,
        state.PART,
    }
    burnt, late = ada.talk(bob), [o for o in ada.outbox.records() if o.owner == ada.persona.id]
    assert late
    mine = ada.persona.name_bytes
    ada.people.burn(ada.persona)
    ada.commit()
    assert {outgoing.owner for outgoing in ada.outbox.records()} == {other.id}
    assert ada.people.personas() == [other]
    assert ada.people.persona(ada.persona.id) is None
    assert ada.people.conversation(burnt.id) is None
    assert ada.people.conversation(talk.id) == (other, talk)
    assert ada.people.looked_up(burnt.id, TODAY, None, now) is None
    for outgoing in late:  # the answer to a PUT that was under way
        outgoing.replicas.clear()
        assert not ada.outbox.answered(outgoing, b"r" * 16, True, now)
    ada.people.burn(other)
    ada.commit()
    assert (ada.disk.rows, ada.disk.messages) == ({}, {})
    assert not any(mine in key[1] for key in ada.disk.rows)


def test_a_late_answer_to_a_put_brings_no_row_back() -> None:
    ada, bob, now = met()
    ada.write(bob, "quick", now)
    while ada.outbox.working:
        ada.outbox.work()
    relays = [bytes([n]) * 16 for n in range(4)]
    ada.commit()
    put = ada.outbox.next_put(relays, 1, set(relays), ada.journal.durable, now)
    assert put is not None
    ada.outbox.sent(*put)
    pass_on(ada, bob, now)
    bob.people.tick(now + MINUTE)
    pass_on(bob, ada, now + MINUTE)
    assert ada.states()[-1] is MessageState.FETCHED
    rows = dict(ada.disk.rows)
    if ada.outbox.answered(*put, True, now):
        ada.people.stored(put[0], now)
    ada.commit()
    assert ada.disk.rows == rows


def test_a_persona_that_is_not_kept_puts_nothing_into_the_journal() -> None:
    ada, bob = Neighbour("ada", kept=False), Neighbour("bob")
    now = START
    for turn in range(4):
        ada.write(bob, f"{turn} " + "x" * 3000, now)
        bob.write(ada, f"{turn} " + "x" * 3000, now)
        ada.people.work(now)
        now = settle(ada, bob, now)
    bob.write(ada, "x" * 9000, now)
    bob.commit()
    for outgoing in bob.outgoing()[1:]:
        ada.keep(outgoing)
    ada.read(now)
    ada.people.burn(ada.persona)
    assert ada.journal.take() is None
    assert ada.journal.number == 1
    assert (ada.disk.rows, ada.disk.messages) == ({}, {})
    assert len(bob.got()) == 4


def test_two_personas_of_one_node_share_nothing_in_what_goes_out() -> None:
    ada, bob = pair()
    other = ada.people.create(b"o" * 32, START)
    for persona in (ada.persona, other):
        talk = ada.people.open_conversation(persona, bob.pseudonym, START)
        ada.people.send(talk, "the same text", START)
        ada.look_up(bob, START)
        ada.people.send(talk, "the same text", START)
    ada.commit()
    records = ada.outgoing()
    one, two = (o.record for o in records if o.first_contact)
    assert one[:32] == two[:32]  # both are in the inbox of the same contact
    assert not common_runs(one[32:], two[32:])
    three, four = (o.record for o in records if not o.first_contact)
    assert not common_runs(three, four, zeros_and_day=TODAY)
    announced = []
    for persona in (ada.persona, other):
        while (due := persona.announcer.due(START)) is None:
            persona.announcer.work(START)
        announced.append(due[1])
    assert not common_runs(announced[0], announced[1], zeros_and_day=TODAY)
    keys = {
        key
        for persona in (ada.persona, other)
        for key in (
            persona.secrets.pseudonym,
            persona.secrets.inbox_key(TODAY).public,
            announcement.lookup_key(persona.secrets.pseudonym, TODAY, PARAMS.hash),
        )
    }
    assert len(keys) == 6
    everything = (one, two, three, four, *announced)
    assert not any(key in record for key in keys for record in everything)


def common_runs(a: bytes, b: bytes, zeros_and_day: int | None = None) -> set[bytes]:
    """Return the runs of 8 bytes that two records share (by chance: once in 10^12 pairs)."""
    ours = {a[at : at + 8] for at in range(len(a) - 7)}
    found = ours & {b[at : at + 8] for at in range(len(b) - 7)}
    if zeros_and_day is None:
        return found
    day = zeros_and_day.to_bytes(4, "big")
    return {run for run in found if day not in run and any(run)}


def test_both_of_ones_personas_get_their_own_answers() -> None:
    ada, bob = pair()
    other = ada.people.create(b"o" * 32, START)
    for persona in (ada.persona, other):
        talk = ada.people.open_conversation(persona, bob.pseudonym, START)
        ada.people.send(talk, persona.id, START)
        ada.look_up(bob, START)
    pass_on(ada, bob, START)
    assert sorted(bob.got()) == sorted([ada.persona.id, other.id])
    assert len(bob.persona.conversations) == 2


def test_personas_and_conversations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = pair()
    for number in range(roster.PERSONAS - 1):
        ada.people.create(bytes([number]) * 32, START)
    with pytest.raises(UserError, match="3 personas"):
        ada.people.create(b"x" * 32, START)
    ada.people.slots = 100
    for number in range(roster.PERSONAS - 1, roster.MAX_PERSONAS - 1):
        ada.people.create(bytes([number]) * 32, START)
    with pytest.raises(UserError, match="16 personas"):
        ada.people.create(b"x" * 32, START)
    monkeypatch.setattr(roster, "MAX_CONVERSATIONS", 3)
    for number in range(3):
        stranger = Neighbour(f"stranger {number}").pseudonym
        ada.people.open_conversation(ada.persona, stranger, START)
        ada.people.open_conversation(ada.persona, stranger, START)
    with pytest.raises(UserError, match="3 conversations"):
        ada.people.open_conversation(ada.persona, b"s" * 32, START)
    bob.write(ada, "a request has its own room", START)
    pass_on(bob, ada, START)
    assert len(ada.got()) == 1


def test_requests_of_strangers_give_way_to_newer_ones_and_never_keep_the_owner_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peoples, "MAX_REQUESTS", 3)
    monkeypatch.setattr(roster, "MAX_CONVERSATIONS", 2)
    ada = Neighbour("ada")
    strangers = [Neighbour(f"stranger {number}") for number in range(6)]
    for number, stranger in enumerate(strangers):
        stranger.write(ada, str(number), START + number)
        pass_on(stranger, ada, START + number)
        if number == 1:
            ada.write(stranger, "welcome", START)
    ada.commit()
    assert ada.got() == ["1", "3", "4", "5"]
    assert ada.people.counters["request given up"] == 2
    assert len(ada.associations()) == ada.disk.count(state.ASSOCIATION) == 4
    assert ada.disk.count(state.CONVERSATION) == len(ada.disk.messages) - 1 == 4
    ada.people.open_conversation(ada.persona, Neighbour("friend").pseudonym, START)
    strangers[0].write(ada, "again", START)
    pass_on(strangers[0], ada, START)
    assert len(ada.got()) == 4
    settle(ada, strangers[1], START)
    assert strangers[1].got() == ["welcome"]


def test_nobody_writes_to_oneself() -> None:
    ada, _ = pair()
    with pytest.raises(UserError, match="own pseudonym"):
        ada.people.open_conversation(ada.persona, ada.pseudonym, START)


def test_no_more_is_taken_than_the_outbox_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MAX_RECORDS", 3)
    ada, bob = pair()
    for _ in range(3):
        ada.write(bob, "text", START)
    with pytest.raises(UserError, match="on their way"):
        ada.write(bob, "text", START)


def test_an_announcement_waits_until_its_prekeys_are_durable() -> None:
    ada, _ = pair()
    while ada.persona.announcer.due(START) is None:
        ada.people.work(START)
    assert ada.people.announcement_due(START) is None
    changes = ada.journal.take()
    assert changes is not None
    assert ada.people.announcement_due(START) is None
    ada.disk.commit(changes)
    ada.journal.committed(changes.number)
    due = ada.people.announcement_due(START)
    assert due is not None
    before = ada.persona.secrets.prekeys_of(TODAY)
    ada.restart(START)
    after = ada.persona.secrets.prekeys_of(TODAY)
    assert before is not None
    assert after is not None
    assert after.secrets() == before.secrets()


def test_prekeys_and_ephemerals_of_days_gone_by_are_deleted() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    assert bob.disk.count(state.EPHEMERAL) == 1
    for day in range(8):
        bob.people.work(START + day * clock.seconds(PARAMS.day_s))
        bob.commit()
        assert bob.disk.count(state.PREKEYS) <= 9
        assert bob.disk.count(state.EPHEMERAL) == (day < 5)
    kept = {key[1] for key in bob.disk.rows if key[0] == state.PREKEYS}
    assert bob.persona.name_bytes + TODAY.to_bytes(4, "big") not in kept


def test_a_lookup_that_fails_is_made_again_later_and_every_fourth_time_for_yesterday() -> None:
    ada, bob = pair()
    talk = ada.people.open_conversation(ada.persona, bob.pseudonym, START)
    ada.people.send(talk, "hello", START)
    now, days, pauses = START, [], []
    for _ in range(40):
        due = ada.people.lookup_due(now)
        assert due is not None
        ada.people.lookup_sent(due.conversation)
        assert ada.people.lookup_due(now + 3600 * clock.SECOND) is None
        assert ada.people.looked_up(due.conversation, due.day, None, now) is None
        days.append(due.day - TODAY)
        assert talk.lookup is not None
        pauses.append((talk.lookup.due - now) / clock.SECOND)
        now = talk.lookup.due
    assert days == [0, 0, 0, -1] * 10
    assert pauses[0] <= 1.5
    assert 900 <= min(pauses[19:]) < max(pauses) <= 2700


def test_a_false_announcement_is_counted_and_asked_for_again() -> None:
    ada, bob = pair()
    talk = ada.people.open_conversation(ada.persona, bob.pseudonym, START)
    ada.people.send(talk, "hello", START)
    good = bob.announcement(START)
    for bad in (bytes(2048), good[:-1] + bytes([good[-1] ^ 1]), ada.announcement(START)):
        assert ada.people.looked_up(talk.id, TODAY, bad, START) is None
    assert sum(ada.people.counters.values()) == 3
    assert len(ada.outbox) == 0
    assert ada.people.looked_up(talk.id, TODAY, good, START + clock.SECOND) == clock.SECOND
    assert len(ada.outbox) == 1
    assert ada.people.looked_up(talk.id, TODAY, good, START) is None


def test_a_message_goes_through_its_states_in_order() -> None:
    ada, bob, now = met()
    ada.write(bob, "x" * 5000, now)
    ada.commit()
    records = ada.outgoing()
    assert len(records) == 3
    for record in records[:-1]:
        assert ada.people.stored(record, now) == []
    assert ada.states()[-1] is MessageState.QUEUED
    (changed,) = ada.people.stored(records[-1], now)
    assert changed.message is not None
    assert changed.message.state is ada.states()[-1] is MessageState.STORED
    for some, state_then in (
        (records[:2], MessageState.STORED),
        (records[2:], MessageState.FETCHED),
    ):
        for record in some:
            bob.keep(record)
        bob.read(now)
        now += MINUTE
        bob.people.tick(now)
        pass_on(bob, ada, now)
        assert ada.states()[-1] is state_then
    assert bob.got() == ["hello", "x" * 5000]


def test_both_sides_of_a_session_could_have_written_its_boxes() -> None:
    """Deniability: the reader derives the key that signs what it reads."""
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    session = bob.associations()[0].session
    forger = WriteCapability.from_root(session.incoming_root, PARAMS.hash, STREAM)
    plaintext = session.seal(encode(Parcel(Acks(), b"any line", 0, None)), bob.rng)
    forged = forger.seal(TODAY, plaintext)
    _, true = ada.associations()[0].seal(Parcel(Acks(), b"any line", 0, None), TODAY, ada.rng)
    for record in (true, forged):
        assert box.check(record, TODAY, PARAMS.hash).address == true[:32]
