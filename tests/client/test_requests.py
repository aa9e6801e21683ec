"""Requests of strangers: nothing tells them anything before the person accepts."""

import pytest

from client.neighbours import (
    ENTRY_LIFE,
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
from shoal_protocol.client import people as peoples
from shoal_protocol.client import personas
from shoal_protocol.client.contents import Profile
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.outbox import record_key
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng
from shoal_protocol.streams.capability import WriteCapability
from support import START, seeded

FETCHED = MessageState.FETCHED
DAY = clock.seconds(PARAMS.day_s)


def asked(bits: int | None = None) -> tuple[Neighbour, Neighbour]:
    """Return a stranger and who was asked by it."""
    ada, bob = pair()
    ada.write(bob, "may I?", START)
    ada.commit()
    (contact,) = ada.outgoing()
    bob.keep(contact)
    bob.read_entries = 1
    bob.people.entry(bob.persona.id, TODAY, contact.record, START, price_bits=bits)
    bob.commit()
    return ada, bob


def test_nothing_at_all_is_said_to_a_stranger_before_the_person_accepts() -> None:
    ada, bob = asked()
    bob.people.set_profile(bob.persona, Profile("Bob"))
    bob.people.set_receipts(bob.persona, True)
    talk = bob.talk(ada)
    now = START
    for number in range(20):
        ada.write(bob, str(number), now)
        pass_on(ada, bob, now)
        now += 10 * MINUTE
        bob.people.tick(now)
        bob.people.mark_read(talk, list(talk.history)[-1].id, now)
    assert len(bob.got()) == 21
    assert (talk.state, talk.unread) == ("request", 0)
    assert len(bob.outbox) == 0
    bob.restart(now)
    bob.people.tick(now + MINUTE)
    assert len(bob.outbox) == 0 and bob.talk(ada).state == "request"
    assert set(ada.states()) <= {MessageState.QUEUED, MessageState.STORED}
    (changed,) = bob.people.accept(bob.talk(ada), now)
    assert changed.message is None
    assert bob.talk(ada).state == "accepted"
    settle(ada, bob, now)
    assert set(ada.states()) == {FETCHED}
    assert ada.talk(bob).state == "accepted"  # an acknowledgement says so
    assert ada.talk(bob).profile is None  # it comes with what is said


def test_an_answer_accepts_and_brings_the_profile() -> None:
    ada, bob = asked()
    bob.people.set_profile(bob.persona, Profile("Bob", avatar=b"\x01\x00\x01\x02\x03"))
    bob.write(ada, "yes", START)
    settle(ada, bob, START)
    assert ada.got() == ["yes"]
    assert ada.talk(bob).profile == Profile("Bob", avatar=b"\x01\x00\x01\x02\x03")


def asks_again(ada: Neighbour, bob: Neighbour, now: int) -> int:
    """Let ada's first contact outlive its place, and go once more; returns when it has come."""
    now += ENTRY_LIFE + MINUTE
    ada.people.tick(now)
    ada.look_up(bob, now)
    pass_on(ada, bob, now)
    return now


def test_who_is_ignored_is_forgotten_and_what_is_sent_again_on_its_own_asks_in_vain() -> None:
    ada, bob = asked()
    talk = bob.talk(ada)
    (changed,) = bob.people.ignore(talk, START)
    assert changed.removed and changed.message is None and changed.conversation == talk.id
    bob.commit()
    assert bob.disk.messages == {}
    left = {"persona", "profile", "prekeys", "ephemeral", "ignored"}
    assert {key[0] for key in bob.disk.rows} <= left
    assert bob.associations() == [] and len(bob.outbox) == 0
    for record in bob.entries:  # the same entry again, from another replica
        assert bob.people.entry(bob.persona.id, TODAY, record, START) == []
    now = START
    for count in (1, 2):
        bob.restart(now)
        now = asks_again(ada, bob, now)
        assert bob.persona.conversations == {}
        assert bob.people.counters["ignored"] == 1, count
        assert len(bob.outbox) == 0


def test_a_request_that_is_deleted_is_ignored() -> None:
    ada, bob = asked()
    bob.people.forget(bob.talk(ada), START)
    asks_again(ada, bob, START)
    assert bob.persona.conversations == {}


def test_who_is_ignored_is_heard_again_once_the_person_adds_it() -> None:
    ada, bob = asked()
    bob.people.ignore(bob.talk(ada), START)
    bob.commit()
    bob.people.open_conversation(bob.persona, ada.pseudonym, START)
    bob.commit()
    assert bob.disk.count("ignored") == 0
    asks_again(ada, bob, START)
    assert bob.got() == ["may I?"]
    assert bob.talk(ada).state == "accepted"


def test_who_is_ignored_may_ask_again_once_that_is_undone() -> None:
    ada, bob = asked()
    bob.people.ignore(bob.talk(ada), START)
    bob.people.heed(bob.persona, ada.pseudonym)
    bob.commit()
    assert bob.persona.ignored == {} and bob.disk.count("ignored") == 0


def test_who_is_ignored_no_more_is_heard_with_its_next_first_contact() -> None:
    ada, bob = asked()
    bob.people.ignore(bob.talk(ada), START)
    bob.commit()
    now = asks_again(ada, bob, START)
    assert bob.persona.conversations == {} and bob.people.counters["ignored"] == 1
    bob.people.heed(bob.persona, ada.pseudonym)
    bob.commit()
    ada.write(bob, "do you hear?", now)
    pass_on(ada, bob, now)
    assert bob.persona.conversations == {}  # it went over a session that was never kept
    asks_again(ada, bob, now)
    assert bob.talk(ada).state == "request"
    assert bob.got() == ["may I?", "do you hear?"]


def test_who_is_ignored_may_ask_again_after_a_month(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personas, "IGNORED_S", 20 * 86_400)
    ada, bob = asked()
    bob.people.ignore(bob.talk(ada), START)
    bob.people.work(START + 20 * DAY - 1)
    assert list(bob.persona.ignored) == [ada.pseudonym]
    bob.people.work(START + 20 * DAY)
    bob.commit()
    assert not bob.persona.ignored and bob.disk.count("ignored") == 0


def test_of_too_many_that_are_ignored_the_oldest_goes_and_burning_forgets_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(personas, "MAX_IGNORED", 2)
    bob = Neighbour("bob")
    for number in range(4):
        bob.persona.ignore(bytes([number]) * 32, START + number, bob.journal)
    bob.persona.ignore(bytes([2]) * 32, START + 9, bob.journal)
    bob.commit()
    bob.restart(START)
    assert [one[0] for one in bob.persona.ignored] == [3, 2]
    bob.people.burn(bob.persona)
    bob.commit()
    assert bob.disk.count("ignored") == 0


def test_only_a_request_can_be_ignored() -> None:
    ada, bob, _ = met()
    with pytest.raises(UserError, match="Only a request"):
        bob.people.ignore(bob.talk(ada), START)


def test_who_is_blocked_is_not_heard_by_streams_or_first_contacts_even_after_a_restart() -> None:
    ada, bob, now = met()
    (old,) = bob.associations()
    bob.write(ada, "on its way", now)
    assert any(o.needs_ack for o in bob.outbox.records())
    (changed,) = bob.people.block(bob.talk(ada), now)
    assert changed.message is None
    bob.commit()
    assert bob.talk(ada).state == "blocked"
    assert bob.associations() == [] and len(bob.outbox) == 0
    assert bob.disk.count("association") == bob.disk.count("record") == 0
    for _ in range(2):
        ada.write(bob, "do you hear me?", now)
        pass_on(ada, bob, now)
        assert bob.people.box(old, old.come.next, 0, b"", now) == (True, [])
        now += 15 * DAY  # ada's sessions end, and first contacts come
        ada.people.tick(now)
        ada.write(bob, "and now?", now)
        for _ in range(3):
            ada.people.tick(now)
            ada.look_up(bob, now)
            pass_on(ada, bob, now)
            now += MINUTE
        assert bob.got() == ["hello"]
        assert bob.people.counters["blocked"] > 0
        bob.people.tick(now)
        assert len(bob.outbox) == 0
        bob.restart(now)
        assert bob.talk(ada).state == "blocked"
        with pytest.raises(UserError, match="blocked"):
            bob.people.send(bob.talk(ada), "hm", now)


def test_who_is_unblocked_is_heard_again_and_what_waited_goes() -> None:
    ada, bob, now = met()
    bob.write(ada, "it waits", now)
    bob.people.block(bob.talk(ada), now)
    ada.write(bob, "unheard", now)
    pass_on(ada, bob, now)
    assert bob.people.lookup_due(now) is None
    bob.commit()
    bob.restart(now)
    bob.people.unblock(bob.talk(ada), now)
    assert bob.talk(ada).state == "accepted"
    settle(ada, bob, now, rounds=6)
    assert ada.got() == ["hello", "it waits"]
    assert bob.got() == ["hello", "unheard"]
    assert set(ada.states() + bob.states()) == {FETCHED}


@pytest.mark.parametrize("accepted", [True, False])
def test_who_is_blocked_stays_so_when_the_conversation_is_deleted(accepted: bool) -> None:
    ada, bob, now = met() if accepted else (*asked(), START)
    bob.people.set_alias(bob.talk(ada), "somebody")
    old = bob.talk(ada).id
    bob.people.block(bob.talk(ada), now)
    gone, left = bob.people.forget(bob.talk(ada), now)
    assert gone.removed and gone.conversation == old
    assert not left.removed and left.conversation == bob.talk(ada).id != old
    bob.commit()
    assert bob.disk.messages == {} and bob.disk.count("association") == 0
    assert bob.disk.count("conversation") == bob.disk.count("contact") == 1
    bob.restart(now)
    assert (bob.talk(ada).state, bob.talk(ada).alias) == ("blocked", "somebody")
    assert bob.talk(ada).pending and len(bob.talk(ada).history) == 0
    assert bob.people.lookup_due(now) is None and len(bob.outbox) == 0
    ada.write(bob, "and now?", now)
    now += 15 * DAY  # ada's session ends, and a first contact comes
    ada.people.tick(now)
    ada.write(bob, "and now?", now)
    for _ in range(3):
        ada.people.tick(now)
        ada.look_up(bob, now)
        pass_on(ada, bob, now)
        now += MINUTE
    assert bob.people.counters["blocked"] > 0 and bob.got() == []
    bob.people.unblock(bob.talk(ada), now)  # as one who has not asked: it may, and is told nothing
    assert bob.talk(ada).state == "request"
    assert bob.people.lookup_due(now) is None and len(bob.outbox) == 0
    (last,) = bob.people.ignore(bob.talk(ada), now)
    assert last.removed and bob.persona.conversations == {}


def test_a_blocked_request_is_one_again_when_it_is_unblocked() -> None:
    ada, bob = asked()
    bob.people.block(bob.talk(ada), START)
    bob.people.unblock(bob.talk(ada), START)
    assert bob.talk(ada).state == "request"
    assert bob.people.lookup_due(START) is None  # nothing goes to a stranger


def test_what_a_request_paid_is_known_and_the_cheapest_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peoples, "MAX_REQUESTS", 3)
    bob = Neighbour("bob")
    prices = {"a": 4, "b": None, "c": 9, "d": 6, "e": 3, "f": 4}
    for name, bits in prices.items():
        stranger = Neighbour(name)
        stranger.write(bob, name, START)
        stranger.commit()
        (contact,) = stranger.outgoing()
        bob.people.entry(bob.persona.id, TODAY, contact.record, START, price_bits=bits)
    assert bob.got() == ["c", "d", "f"]  # b paid nothing, e less than all, a came before f
    assert bob.people.counters["request price"] == 1
    bob.commit()
    bob.restart(START)
    assert sorted(c.price_bits or 0 for c in bob.persona.conversations.values()) == [4, 6, 9]


def test_the_most_work_that_any_copy_of_an_entry_shows_counts() -> None:
    ada, bob = asked(bits=None)  # the first relay to hand it over hides what it paid
    (record,) = bob.entries
    assert bob.talk(ada).price_bits is None
    for bits, told in ((9, 1), (4, 0), (None, 0), (9, 0), (12, 1)):
        changed = bob.people.entry(bob.persona.id, TODAY, record, START, price_bits=bits)
        assert len(changed) == told
    assert bob.talk(ada).price_bits == 12
    assert bob.got() == ["may I?"]
    bob.commit()
    bob.restart(START)
    assert bob.talk(ada).price_bits == 12


def test_a_request_refused_for_its_price_is_taken_when_a_copy_shows_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peoples, "MAX_REQUESTS", 1)
    bob = Neighbour("bob")
    records: list[bytes] = []
    for name, bits in (("a", 6), ("b", None)):
        stranger = Neighbour(name)
        stranger.write(bob, name, START)
        stranger.commit()
        (contact,) = stranger.outgoing()
        records.append(contact.record)
        bob.people.entry(bob.persona.id, TODAY, contact.record, START, price_bits=bits)
    assert bob.got() == ["a"]
    for bits in (None, 5):
        assert bob.people.entry(bob.persona.id, TODAY, records[1], START, price_bits=bits) == []
    assert bob.got() == ["a"]
    assert bob.people.entry(bob.persona.id, TODAY, records[1], START, price_bits=7)
    assert bob.got() == ["b"]
    bob.people.entry(bob.persona.id, TODAY, records[1], START, price_bits=8)
    assert bob.got() == ["b"]
    bob.commit()
    assert bob.disk.count("ephemeral") == 2


def invited(rng: Rng) -> tuple[WriteCapability, bytes]:
    """Return an invite's capability, and its name."""
    return WriteCapability.create(rng, PARAMS.hash), b"an invite"


@pytest.mark.parametrize("text", [None, "hello", "a long text " * 300])
def test_who_comes_by_an_invite_is_accepted_at_both_ends_at_once(text: str | None) -> None:
    ada, bob = pair()
    bob.people.set_profile(bob.persona, Profile("Bob"))
    ada.people.set_profile(ada.persona, Profile("Ada"))
    capability, name = invited(seeded("invite"))
    talk = ada.people.open_invited(ada.persona, bob.pseudonym, capability, START)
    assert (talk.state, talk.invited) == ("accepted", True)
    ada.commit()
    ada.restart(START)  # the invite is kept until the first contact is made
    if text is None:
        ada.look_up(bob, START)
    else:
        ada.write(bob, text, START)
    ada.commit()
    contact, *rest = ada.outgoing()
    assert contact.first_contact and contact.by_box
    bob.persona.ignore(ada.pseudonym, START, bob.journal)
    day = clock.index_of(START, PARAMS.day_s)
    plaintext = capability.read().open(contact.record, day)
    bob.people.invited(bob.persona, plaintext, name, START)
    assert (bob.talk(ada).state, bob.talk(ada).invited) == ("accepted", True)
    assert bob.talk(ada).price_bits is None and not bob.persona.ignored
    for record in rest:
        bob.keep(record)
    bob.read(START)
    bob.commit()
    assert bob.got() == ([] if text is None else [text])
    assert not any(message.request for message in bob.talk(ada).history)
    assert bob.talk(ada).profile == (None if text is None else Profile("Ada"))
    now = settle(ada, bob, START)
    assert ada.talk(bob).state == "accepted"
    bob.write(ada, "welcome", now)
    settle(ada, bob, now)
    assert ada.got() == ["welcome"]
    assert ada.talk(bob).profile == Profile("Bob")


def test_rubbish_in_an_invites_box_is_counted_and_changes_nothing() -> None:
    ada, bob = asked()
    rng = seeded("rubbish")
    for data in (b"", bytes(1928), rng.bytes(1928), b"\1" + rng.bytes(1927)):
        assert bob.people.invited(bob.persona, data, b"an invite", START) == []
    assert list(bob.persona.by_pseudonym) == [ada.pseudonym]


def test_a_first_contact_by_an_invite_survives_a_restart_of_the_invited() -> None:
    ada, bob = pair()
    capability, _ = invited(seeded("invite"))
    ada.people.open_invited(ada.persona, bob.pseudonym, capability, START)
    ada.look_up(bob, START)
    ada.commit()
    (sent,) = ada.outbox.records()
    ada.restart(START)
    (again,) = ada.outbox.records()
    assert again.by_box and again.record == sent.record
    assert record_key(again.record) == again.key
