"""Personas, contacts, and what comes for them: first contacts, rubbish, burning, bounds."""

import pytest

from client.neighbours import PARAMS, Neighbour, pair, pass_on, settle
from shoal_protocol import clock
from shoal_protocol.client import people as peoples
from shoal_protocol.client.history import MessageState
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.sessions import cloak
from support import START, seeded

TODAY = clock.index_of(START, PARAMS.day_s)


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
    assert not bob.talk(ada).answered
    bob.write(ada, "hello yourself", START)
    assert bob.talk(ada).answered
    settle(ada, bob, START)
    assert ada.got() == ["hello yourself"]
    assert ada.talk(bob).answered
    ada.write(bob, "again", START)
    settle(ada, bob, START)
    assert [m.request for m in bob.talk(ada).history if not m.outgoing] == [True, False]


def test_a_replayed_first_contact_is_ignored_in_whatever_cloak_it_comes() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    (record,) = pass_on(ada, bob, START)
    bob.take(record, START)
    assert bob.people.counters == {"entry again": 1}
    for number in range(3):
        bob.take(cloaked(bob, uncloak(bob, record), number), START)
    assert bob.people.counters["replay"] == 3
    assert bob.got() == ["hello"]
    assert len(bob.persona.sessions) == 1


def test_copies_from_other_replicas_are_shown_once() -> None:
    ada, bob = pair()
    for number in range(5):
        ada.write(bob, str(number), START)
    records = pass_on(ada, bob, START)
    for record in records * 2:
        bob.take(record, START)
    assert bob.got() == ["0", "1", "2", "3", "4"]
    assert bob.people.counters == {"entry again": 2 * len(records)}


def test_entries_that_come_before_their_first_contact_are_kept_and_opened_after_it() -> None:
    ada, bob = pair()
    for number in range(4):
        ada.write(bob, str(number), START)
    first, *later = (outgoing.record for outgoing in ada.outgoing())
    for record in reversed(later):
        bob.take(record, START)
    assert bob.got() == []
    bob.take(first, START)
    assert sorted(bob.got()) == ["0", "1", "2", "3"]
    assert not bob.persona.unknown


def test_a_forged_early_entry_does_not_lose_the_others_or_their_first_contact() -> None:
    ada, bob = pair()
    for number in range(4):
        ada.write(bob, str(number), START)
    first, second, *later = (outgoing.record for outgoing in ada.outgoing())
    forged = bytearray(uncloak(bob, second))
    forged[-1] ^= 1  # its tag is the second message's
    bob.take(cloaked(bob, bytes(forged)), START)
    for record in later:
        bob.take(record, START)
    bob.take(first, START)
    assert bob.people.counters["aead"] == 1
    assert sorted(bob.got()) == ["0", "2", "3"]
    bob.take(second, START)
    assert sorted(bob.got()) == ["0", "1", "2", "3"]


def test_rubbish_is_counted_and_changes_nothing() -> None:
    _, bob = pair()
    address = bob.persona.secrets.inbox_key(TODAY).public
    bob.take(b"", START)
    bob.take(address + bytes(2016), START)
    bob.take(bytes(2048), START)
    bob.take(rubbish(bob, cloak.SESSION, 0), START)
    bob.take(rubbish(bob, cloak.FIRST_CONTACT, 1), START)
    bob.take(rubbish(bob, 3, 2), START)
    assert bob.people.counters == {
        "prekeys gone": 1,
        "entry length": 1,
        "aead": 1,
        "entry address": 1,
        "session tag": 1,
        "entry kind": 1,
    }
    bob.announcement(START)  # draws the day's prekeys
    bob.take(rubbish(bob, cloak.FIRST_CONTACT, 3), START)
    assert bob.people.counters["aead"] == 2
    assert bob.persona.conversations == {}
    assert len(bob.outbox) == 0


def test_rubbish_is_bounded() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    (first,) = (outgoing.record for outgoing in ada.outgoing())
    for number in range(peoples.MAX_UNKNOWN + 50):
        bob.take(rubbish(bob, cloak.SESSION, number), START)
    assert len(bob.persona.unknown) == peoples.MAX_UNKNOWN
    bob.take(first, START)
    assert bob.got() == ["hello"]
    assert len(bob.persona.unknown) == peoples.MAX_UNKNOWN


def test_entries_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peoples, "MAX_SEEN", 10)
    _, bob = pair()
    for number in range(40):
        bob.take(number.to_bytes(2, "big"), START)
    assert len(bob.persona.seen) == 10


def test_entries_for_a_persona_that_is_gone_are_dropped() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    record = ada.outgoing()[0].record
    bob.people.burn(bob.persona)
    assert bob.people.entry(bob.persona.id, TODAY, record, START) == []


def test_burning_a_persona_forgets_everything_of_it_and_nothing_of_others() -> None:
    ada, bob = pair()
    ada.write(bob, "from the first", START)
    other = ada.people.create(b"o" * 32, START)
    talk = ada.people.open_conversation(other, bob.pseudonym, START)
    ada.people.send_text(talk, "from the other", START)
    ada.look_up(bob, START)
    assert len(ada.outbox) == 2
    burnt, lookup = ada.talk(bob), ada.people.lookup_due(START)
    assert lookup is None
    ada.people.burn(ada.persona)
    assert [outgoing.owner for outgoing in ada.outbox.records()] == [other.id]
    assert ada.people.personas() == [other]
    assert ada.people.persona(ada.persona.id) is None
    assert ada.people.conversation(burnt.id) is None
    assert ada.people.conversation(talk.id) == (other, talk)
    assert ada.people.looked_up(burnt.id, TODAY, None, START) is None
    while ada.people.announcement_due(START) is None:
        ada.people.work(START)
    due = ada.people.announcement_due(START)
    assert due is not None
    assert due[0] is other.announcer


def test_two_personas_of_one_node_share_nothing_in_what_goes_out() -> None:
    ada, bob = pair()
    other = ada.people.create(b"o" * 32, START)
    for persona in (ada.persona, other):
        talk = ada.people.open_conversation(persona, bob.pseudonym, START)
        ada.people.send_text(talk, "the same text", START)
        ada.look_up(bob, START)
    one, two = (outgoing.record for outgoing in ada.outgoing())
    assert one[:32] == two[:32]  # both are in the inbox of the same contact
    assert not common_runs(one[32:], two[32:])
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
    assert not any(key in record for key in keys for record in (one, two, *announced))


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
        ada.people.send_text(talk, persona.id, START)
        ada.look_up(bob, START)
    pass_on(ada, bob, START)
    assert sorted(bob.got()) == sorted([ada.persona.id, other.id])
    assert len(bob.persona.conversations) == 2


def test_personas_and_conversations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = pair()
    for number in range(peoples.MAX_PERSONAS - 1):
        ada.people.create(bytes([number]) * 32, START)
    with pytest.raises(UserError, match="16 personas"):
        ada.people.create(b"x" * 32, START)
    monkeypatch.setattr(peoples, "MAX_CONVERSATIONS", 3)
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
    monkeypatch.setattr(peoples, "MAX_CONVERSATIONS", 2)
    ada = Neighbour("ada")
    strangers = [Neighbour(f"stranger {number}") for number in range(6)]
    for number, stranger in enumerate(strangers):
        stranger.write(ada, str(number), START)
        pass_on(stranger, ada, START)
        if number == 1:
            ada.write(stranger, "welcome", START)
    assert ada.got() == ["1", "3", "4", "5"]
    assert ada.people.counters["request given up"] == 2
    assert len(ada.persona.owners) == len(ada.persona.sessions) == 4
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
    monkeypatch.setattr(peoples, "MAX_RECORDS", 3)
    ada, bob = pair()
    for _ in range(3):
        ada.write(bob, "text", START)
    with pytest.raises(UserError, match="on their way"):
        ada.write(bob, "text", START)


def test_a_lookup_that_fails_is_made_again_later_and_every_fourth_time_for_yesterday() -> None:
    ada, bob = pair()
    talk = ada.people.open_conversation(ada.persona, bob.pseudonym, START)
    ada.people.send_text(talk, "hello", START)
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
    assert 30 <= min(pauses[15:]) < max(pauses) <= 90


def test_a_false_announcement_is_counted_and_asked_for_again() -> None:
    ada, bob = pair()
    talk = ada.people.open_conversation(ada.persona, bob.pseudonym, START)
    ada.people.send_text(talk, "hello", START)
    good = bob.announcement(START)
    for bad in (bytes(2048), good[:-1] + bytes([good[-1] ^ 1]), ada.announcement(START)):
        assert ada.people.looked_up(talk.id, TODAY, bad, START) is None
    assert sum(ada.people.counters.values()) == 3
    assert len(ada.outbox) == 0
    assert ada.people.looked_up(talk.id, TODAY, good, START + clock.SECOND) == clock.SECOND
    assert len(ada.outbox) == 1
    assert ada.people.looked_up(talk.id, TODAY, good, START) is None


def test_a_message_goes_through_its_states_in_order() -> None:
    ada, bob = pair()
    sent = ada.write(bob, "x" * 5000, START)
    talk = ada.talk(bob)

    def state() -> MessageState:
        message = talk.history.get(sent.id)
        assert message is not None
        return message.state

    records = ada.outgoing()
    assert len(records) == 4
    for record in records[:-1]:
        assert ada.people.stored(record) == []
    assert state() is MessageState.QUEUED
    (changed,) = ada.people.stored(records[-1])
    assert changed.message is not None
    assert (changed.message.state, state()) == (MessageState.STORED, MessageState.STORED)
    for record in records[:2]:
        bob.take(record.record, START)
    bob.people.tick(START + 3 * clock.SECOND)
    pass_on(bob, ada, START)
    assert state() is MessageState.FETCHED
    for record in records[2:]:
        bob.take(record.record, START)
    assert bob.got() == ["x" * 5000]
    assert state() is MessageState.FETCHED
    bob.people.tick(START + 6 * clock.SECOND)
    pass_on(bob, ada, START)
    assert state() is MessageState.READ
    assert len(ada.outbox) == 0
