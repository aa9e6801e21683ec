"""Replies, profiles and receipts: told once, believed when both tell, bounded by both sides."""

from dataclasses import replace

import pytest

from client.neighbours import BOX_LIFE, MINUTE, TODAY, Neighbour, met, settle
from shoal_protocol.client import contents, history
from shoal_protocol.client.association import Association
from shoal_protocol.client.contents import Content, Profile, Reply
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.parcel import Acks, Kind, Parcel, Part
from shoal_protocol.errors import UserError

FETCHED, READ = MessageState.FETCHED, MessageState.READ
PICTURE = b"\x02" + b"picture " * 700


def last(one: Neighbour) -> Message:
    """Return the newest message of a node's only conversation."""
    (talk,) = one.persona.conversations.values()
    return list(talk.history)[-1]


def see(one: Neighbour, now: int) -> None:
    """Mark everything read."""
    (talk,) = one.persona.conversations.values()
    one.people.mark_read(talk, last(one).id, now)


def telling() -> tuple[Neighbour, Neighbour, int]:
    """Return two who have met, and who tell each other what was read."""
    ada, bob, now = met()
    for one in (ada, bob):
        one.people.set_receipts(one.persona, True)
    return ada, bob, now


def say(ada: Neighbour, bob: Neighbour, kind: int, data: bytes, number: int, now: int) -> None:
    """Let bob get a message of this kind, as ada's node could write it."""
    (writing,), (reading,) = ada.associations(), bob.associations()
    line = bytes.fromhex(next(iter(bob.talk(ada)._lines.rows())).line.hex())
    part = Part(kind, number, now, 0, 1, data)
    index, record = writing.seal(Parcel(Acks(), line, 0, part), TODAY, ada.rng)
    assert bob.people.box(reading, index, TODAY, record, now)[0]


def test_a_reply_names_the_same_message_at_both_ends_whoever_wrote_it() -> None:
    ada, bob, now = met()
    ada.write(bob, "first", now)
    now = settle(ada, bob, now)
    theirs = last(bob)
    bob.people.send(bob.talk(ada), "to yours", now, reply_to=theirs.id)
    own = bob.people.send(bob.talk(ada), "mine", now)
    bob.people.send(bob.talk(ada), "to mine", now, reply_to=own.id)
    settle(ada, bob, now)
    to_yours, mine, to_mine = list(ada.talk(bob).history)[-3:]
    first = next(m for m in ada.talk(bob).history if m.text == "first")
    assert to_yours.reply is not None and to_mine.reply is not None
    assert (to_yours.reply.outgoing, to_yours.reply.message) == (True, first.id)
    assert (to_mine.reply.outgoing, to_mine.reply.message) == (False, mine.id)
    ada.commit()
    ada.restart(now)
    assert [m.reply for m in ada.talk(bob).history][-3:] == [to_yours.reply, None, to_mine.reply]


def test_a_reply_to_nothing_is_shown_as_one_to_something_absent() -> None:
    ada, bob, now = met()
    kind, data = contents.write(Content("to what?", reply=Reply(True, 77, now)))
    say(ada, bob, kind, data, 1, now)
    assert last(bob).reply == Reply(False, 77, now, None)
    with pytest.raises(UserError, match="no such message"):
        bob.people.send(bob.talk(ada), "hm", now, reply_to="00" * 12)


def test_a_profile_goes_once_with_the_next_message_and_never_unless_there_is_one() -> None:
    ada, bob, now = met()
    ada.write(bob, "momo", now)
    now = settle(ada, bob, now)
    assert ada.talk(bob)._next_number == 2  # nothing but the two messages was numbered
    profile = Profile("Ada", None, PICTURE)
    ada.people.set_profile(ada.persona, profile)
    now = settle(ada, bob, now)
    assert bob.talk(ada).profile is None
    for text in ("one", "two"):
        ada.write(bob, text, now)
        now = settle(ada, bob, now)
    assert bob.talk(ada).profile == profile
    assert bob.got() == ["hello", "momo", "one", "two"]
    assert ada.talk(bob)._next_number == 5
    for one in (ada, bob):
        one.commit()
        one.restart(now)
    assert (ada.persona.profile, bob.talk(ada).profile) == (profile, profile)
    ada.people.set_profile(ada.persona, None)
    ada.write(bob, "momo again", now)
    settle(ada, bob, now)
    assert bob.talk(ada).profile is None
    assert set(ada.states()) == {FETCHED}
    assert ada.disk.count("notice") == 0


def test_a_profile_that_is_on_its_way_at_a_crash_comes_after_it() -> None:
    ada, bob, now = met()
    ada.people.set_profile(ada.persona, Profile("Ada"))
    ada.write(bob, "hi", now)
    ada.commit()
    assert ada.disk.count("notice") == 1
    ada.restart(now)
    settle(ada, bob, now)
    assert bob.talk(ada).profile == Profile("Ada")
    assert set(ada.states()) == {FETCHED}
    ada.commit()
    assert ada.disk.count("notice") == 0


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x93\x00\xc4\x01\xff\xc0", bytes(1700)])
def test_a_profile_that_is_none_changes_nothing_else(data: bytes) -> None:
    ada, bob, now = met()
    say(ada, bob, Kind.PROFILE, data, 1, now)
    assert bob.talk(ada).profile in (None, Profile("\ufffd"))
    say(ada, bob, Kind.TEXT, b"still here", 2, now)
    assert bob.got() == ["hello", "still here"]


@pytest.mark.parametrize("kind", [6, 17, 255])
def test_what_a_later_version_may_say_holds_nothing_up(kind: int) -> None:
    ada, bob, now = met()
    say(ada, bob, kind, b"\x99 what is this?", 1, now)
    say(ada, bob, Kind.TEXT, b"still here", 2, now)
    assert bob.got() == ["hello", "still here"]


def test_a_receipt_says_what_was_read_when_both_tell_each_other() -> None:
    ada, bob, now = telling()
    for text in ("1", "2", "3"):
        ada.write(bob, text, now)
    now = settle(ada, bob, now)
    assert ada.states() == [FETCHED] * 4
    bob.people.mark_read(bob.talk(ada), list(bob.talk(ada).history)[-2].id, now)
    assert bob.talk(ada).unread == 1
    now = settle(ada, bob, now)
    assert ada.states() == [READ, READ, READ, FETCHED]
    see(bob, now)
    bob.commit()
    bob.restart(now)
    assert bob.talk(ada).unread == 0
    now = settle(ada, bob, now)
    assert ada.states() == [READ] * 4
    assert bob.got()[1:] == list("123") and ada.got() == ["hello"]
    ada.commit()
    ada.restart(now)
    assert ada.states() == [READ] * 4


@pytest.mark.parametrize("off", ["sender", "reader"])
def test_where_one_does_not_tell_no_receipt_is_believed_or_sent(off: str) -> None:
    ada, bob, now = telling()
    one = ada if off == "sender" else bob
    one.people.set_receipts(one.persona, False)
    one.commit()
    one.restart(now)
    ada.write(bob, "hm", now)
    now = settle(ada, bob, now)
    before = bob.talk(ada)._next_number
    see(bob, now)
    now = settle(ada, bob, now)
    assert ada.states() == [FETCHED] * 2
    assert bob.talk(ada)._next_number == before + (off == "sender")
    one.people.set_receipts(one.persona, True)
    settle(ada, bob, now)
    assert ada.states() == [FETCHED] * 2  # what was read untold stays untold


def test_one_receipt_is_on_its_way_at_a_time_however_fast_somebody_reads() -> None:
    ada, bob, now = telling()
    for text in "12345678":
        ada.write(bob, text, now)
        settle(ada, bob, now)
        see(bob, now)
    settle(ada, bob, now)
    assert ada.states() == [READ] * 9
    bob.commit()
    before = bob.talk(ada)._next_number
    for text in "12345678":
        ada.write(bob, text, now)
        ada.commit()
        for outgoing in ada.outgoing():
            bob.keep(outgoing)
        bob.read(now)
        see(bob, now)
    assert bob.talk(ada)._next_number == before + 1
    settle(ada, bob, now, rounds=6)
    assert ada.states() == [READ] * 17
    assert bob.talk(ada)._next_number == before + 2


def test_what_takes_the_place_of_what_is_gone_is_unread_after_a_restart() -> None:
    ada, bob, now = telling()
    ada.people.send(ada.talk(bob), "gone soon", now, expires_s=60)
    now = settle(ada, bob, now)
    see(bob, now)
    now = settle(ada, bob, now) + MINUTE
    for one in (ada, bob):
        one.people.work(now)
        one.commit()
        one.restart(now)
    assert len(ada.states()) == 1
    ada.write(bob, "new", now)
    settle(ada, bob, now)
    assert bob.talk(ada).unread == 1
    assert ada.states()[-1] is FETCHED


def test_receipts_for_what_was_never_sent_change_nothing() -> None:
    ada, bob, now = telling()
    ada.write(bob, "unread", now)
    now = settle(ada, bob, now)
    mine = next(iter(ada.talk(bob).history))
    for number, created in ((77, now), (mine.number, 0), (2**32 - 1, 2**63 - 1)):
        data = contents.write_receipt(number, created)
        say(bob, ada, Kind.RECEIPT, data, bob.talk(ada)._next_number, now)
        bob.talk(ada)._next_number += 1
    assert ada.states() == [FETCHED] * 2
    assert set(bob.states()) == {FETCHED}


def test_what_comes_when_the_receipt_was_there_first_is_read_at_once() -> None:
    """Over two sessions a receipt may overtake what it is about."""
    ada, bob, now = telling()
    sent = ada.write(bob, "later", now)
    data = contents.write_receipt(sent.number, sent.created)
    say(bob, ada, Kind.RECEIPT, data, bob.talk(ada)._next_number, now)
    bob.talk(ada)._next_number += 1
    assert ada.states()[-1] is MessageState.QUEUED
    settle(ada, bob, now)
    assert ada.states()[-1] is READ


@pytest.mark.parametrize("restart", [False, True])
def test_what_waits_and_is_not_so_any_more_is_never_told(restart: bool) -> None:
    ada, bob, now = telling()
    ada.people.online = False
    ada.people.set_profile(ada.persona, Profile("her true name"))
    ada.write(bob, "one", now)
    see(ada, now)
    ada.people.set_profile(ada.persona, None)
    ada.people.set_receipts(ada.persona, False)
    if restart:
        ada.commit()
        ada.restart(now)
    ada.people.online = True
    told: list[Profile | None] = []
    for text in ("", "two", "three"):
        if text:
            ada.write(bob, text, now)
        now = settle(ada, bob, now)
        told.append(bob.talk(ada).profile)
    assert told == [None] * 3
    assert bob.states() == [FETCHED]
    assert bob.got() == ["hello", "one", "two", "three"]
    ada.people.set_profile(ada.persona, Profile("Ada"))
    ada.write(bob, "four", now)
    settle(ada, bob, now)
    assert bob.talk(ada).profile == Profile("Ada")
    assert set(ada.states()) == {FETCHED}


def test_a_profile_that_was_never_fetched_goes_with_the_next_message() -> None:
    ada, bob, now = met()
    ada.people.set_profile(ada.persona, Profile("Ada"))
    ada.write(bob, "lost", now)
    ada.commit()
    ada.outgoing()
    now += BOX_LIFE + MINUTE
    ada.people.tick(now)
    assert ada.states()[-1] is MessageState.FAILED
    ada.write(bob, "again", now)
    settle(ada, bob, now)
    assert bob.got() == ["hello", "again"]
    assert bob.talk(ada).profile == Profile("Ada")


@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_goes_later_is_not_read_by_a_receipt_for_what_went_before(
    restart: bool,
) -> None:
    ada, bob, now = telling()
    talk = ada.talk(bob)
    file = talk.hold("ab" * 12, "a file", b"its manifest", now)
    ada.write(bob, "goes at once", now)
    now = settle(ada, bob, now)
    see(bob, now)
    now = settle(ada, bob, now)
    assert ada.states() == [READ, MessageState.QUEUED, READ]
    if restart:
        ada.commit()
        ada.restart(now)
    ada.talk(bob).ready(file.id, now)
    now = settle(ada, bob, now)
    assert bob.got()[-1] == "a file"
    assert ada.states() == [READ, FETCHED, READ]
    see(bob, now)
    settle(ada, bob, now)
    assert ada.states() == [READ, READ, READ]


def test_names_that_one_gives_stay_here_and_are_kept() -> None:
    ada, bob, now = met()
    talk = ada.talk(bob)
    for changed in (
        ada.people.set_alias(talk, " Bob from work "),
        ada.people.set_verified(talk, True),
        ada.people.set_expiry(talk, 3600),
    ):
        assert [one.message for one in changed] == [None]
    with pytest.raises(UserError, match="256 bytes"):
        ada.people.set_alias(talk, "x" * 257)
    with pytest.raises(UserError, match="4 weeks"):
        ada.people.set_expiry(talk, 4)
    before = len(ada.outbox)
    settle(ada, bob, now)
    assert len(ada.outbox) == before
    ada.restart(now)
    talk = ada.talk(bob)
    assert (talk.alias, talk.verified, talk.expires_s) == ("Bob from work", True, 3600)
    ada.people.set_alias(talk, None)
    assert talk.alias is None


def test_a_message_that_gives_way_takes_its_file_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_MESSAGES", 3)
    ada, bob, now = met()
    talk = ada.talk(bob)
    sent = ada.people.send_file(talk, "", b"x" * 40_000, "a file", "text/plain", now)
    ada.commit()
    assert ada.disk.count("file") == 2
    talk.history.advance(sent.id, MessageState.FAILED)
    for number in range(4):
        bob.write(ada, str(number), now)
        now = settle(ada, bob, now)
    ada.commit()
    assert sent.id not in ada.disk.messages
    assert ada.disk.count("file") == ada.disk.count("upload") == 0


def test_what_fails_while_a_session_gives_way_is_told_of() -> None:
    """It is found out as what waits is released, not by something that came or expired."""
    ada, bob, now = met()
    sent = ada.write(bob, "from days ahead", now)
    association: Association = ada.associations()[0]
    association.sealed_day += 30
    ada.talk(bob)._waiting.append(replace(sent, number=7, created=0))
    changed = [one.message for one in ada.people.tick(now) if one.message is not None]
    assert association.broken
    assert [m.state for m in changed if m.id == sent.id] == [MessageState.FAILED]


def test_an_acknowledgement_that_is_due_rides_on_a_message_that_may_go() -> None:
    ada, bob, now = met()
    settle(ada, bob, now)
    ada.write(bob, "hello again", now)
    ada.commit()
    for outgoing in ada.outgoing():
        bob.keep(outgoing)
    bob.read(now)
    bob.people.online = False
    bob.write(ada, "answer", now)
    bob.people.online = True
    before = {o.key for o in bob.outbox.records()}
    bob.people.tick(now + MINUTE)
    fresh = [o for o in bob.outbox.records() if o.key not in before]
    assert [o.message != "" for o in fresh] == [True]
