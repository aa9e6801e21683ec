"""Messages that disappear or are deleted: here, at the contact, and at the relays."""

import pytest

from client.neighbours import BOX_LIFE, MINUTE, Neighbour, met, pair, pass_on, settle
from shoal_protocol import clock
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.people import Changed
from shoal_protocol.errors import UserError
from shoal_protocol.streams import box
from support import START

SECRET = "not to be found"


def say(one: Neighbour, other: Neighbour, text: str, now: int, expires_s: int | None) -> Message:
    return one.people.send(one.talk(other), text, now, expires_s=expires_s)


def on_disk(one: Neighbour) -> bool:
    """Whether the text stands in any row or message."""
    one.commit()
    rows = b"".join(one.disk.rows.values())
    return SECRET.encode() in rows or any(SECRET in m.text for m in one.disk.messages.values())


def test_a_message_disappears_so_long_after_it_was_sent_and_came_and_is_told_of() -> None:
    ada, bob, now = met()
    sent = say(ada, bob, SECRET, now, 3600)
    assert (sent.expires_s, sent.expires) == (3600, now + clock.seconds(3600))
    late = now + clock.seconds(1800)
    settle(ada, bob, late)
    (came,) = (m for m in bob.talk(ada).history if m.text == SECRET)
    assert (came.expires_s, came.expires) == (3600, late + clock.seconds(3600))
    assert ada.people.work(now + clock.seconds(3600) - 1) == []
    assert on_disk(ada) and on_disk(bob)
    (changed,) = ada.people.work(now + clock.seconds(3600))
    assert changed.removed and changed.message is not None and changed.message.id == sent.id
    (changed,) = bob.people.work(late + clock.seconds(3600))
    assert changed == Changed(bob.persona.id, bob.talk(ada).id, came, removed=True)
    assert not on_disk(ada) and not on_disk(bob)
    assert bob.got() == ["hello"] and len(ada.states()) == 1


def test_the_time_runs_while_the_node_does_not() -> None:
    ada, bob, now = met()
    say(ada, bob, SECRET, now, 60)
    settle(ada, bob, now)
    for one in (ada, bob):
        assert on_disk(one)
        one.restart(now + clock.seconds(30))
        assert any(m.text == SECRET for c in one.persona.conversations.values() for m in c.history)
        one.restart(now + 10 * MINUTE)
        assert not on_disk(one)


def test_a_message_that_is_gone_here_is_delivered_all_the_same_and_holds_nothing_up() -> None:
    ada, bob, now = met()
    say(ada, bob, SECRET * 300, now, 5)
    ada.write(bob, "after it", now)
    ada.commit()
    now += MINUTE
    ada.people.work(now)
    assert not on_disk(ada)
    assert ada.disk.count("notice") == 1  # its number stays in use until it is acknowledged
    ada.restart(now)
    now = settle(ada, bob, now)
    assert bob.got() == ["hello", SECRET * 300, "after it"]
    assert set(ada.states()) == {MessageState.FETCHED}
    ada.commit()
    assert ada.disk.count("notice") == 0
    assert len([o for o in ada.outbox.records() if o.message]) == 0


def test_a_message_that_disappears_before_it_could_go_is_never_sent() -> None:
    ada, bob = pair()
    ada.people.send(ada.open(bob, START), SECRET, START, expires_s=5)
    ada.people.work(START + MINUTE)
    ada.write(bob, "another", START + MINUTE)
    settle(ada, bob, START + MINUTE)
    assert bob.got() == ["another"]


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_gone_among_messages_that_wait_holds_up_none_behind_it(restart: bool) -> None:
    """Else the contact would wait for its number, and its writer think the last one shown."""
    ada, bob, now = met()
    ada.people.online = False
    for text, expires_s in (("one", None), (SECRET, 5), ("three", None)):
        say(ada, bob, text, now, expires_s)
    now += MINUTE
    ada.people.work(now)
    assert not on_disk(ada)
    if restart:
        ada.restart(now)
    ada.people.online = True
    settle(ada, bob, now)
    assert bob.got() == ["hello", "one", "three"]
    assert set(ada.states()) == {MessageState.FETCHED}
    ada.commit()
    assert ada.disk.count("notice") == 0


def test_a_message_that_is_gone_and_on_its_way_is_not_sent_again_under_its_id() -> None:
    ada, bob, now = met()
    talk = ada.talk(bob)
    sent = say(ada, bob, SECRET, now, 5)
    ada.commit()
    now += MINUTE
    ada.people.work(now)
    with pytest.raises(UserError, match="sent already"):
        ada.people.send(talk, SECRET, now, message_id=sent.id)
    with pytest.raises(UserError, match="sent already"):
        ada.people.send_file(talk, SECRET, b"", "a", "text/plain", now, message_id=sent.id)
    ada.write(bob, "after it", now)
    settle(ada, bob, now)
    assert bob.got() == ["hello", SECRET, "after it"]
    assert set(ada.states()) == {MessageState.FETCHED}


def test_what_is_gone_here_is_not_said_again_when_its_session_ends() -> None:
    ada, bob, now = met()
    say(ada, bob, SECRET, now, 5)
    ada.write(bob, "stays", now + 1)
    ada.commit()
    ada.outgoing()  # relays keep nothing of it
    ada.people.work(now + MINUTE)
    now += BOX_LIFE + 1
    ada.people.tick(now)
    ada.write(bob, "later", now)
    settle(ada, bob, now, rounds=6)
    assert bob.got() == ["hello", "later"]
    assert ada.states() == [MessageState.FETCHED, MessageState.FAILED, MessageState.FETCHED]
    ada.commit()
    assert ada.disk.count("notice") == 0


def test_boxes_of_a_message_that_disappears_are_taken_back_once_they_are_acknowledged() -> None:
    ada, bob, now = met()
    say(ada, bob, SECRET * 300, now, 3600)
    ada.write(bob, "stays", now)
    boxes = {o.address: o for o in ada.outbox.records() if o.message}
    mine = [o for o in boxes.values() if o.needs_ack]
    settle(ada, bob, now, rounds=2)
    erasing = [o for o in ada.outbox.records() if o.erases]
    assert len(erasing) == len(mine) - 1 == 3
    for outgoing in erasing:
        head = box.header(outgoing.record)
        assert head.tombstone and outgoing.address in boxes
        assert head.day == box.header(boxes[outgoing.address].record).day
        assert not outgoing.needs_ack
        assert ada.people.stored(outgoing, now) == []
    ada.commit()
    assert {k for k in ada.disk.rows if k[0] == "record"} == {
        ("record", o.key) for o in ada.outbox.records() if not o.erases
    }
    ada.people.tick(now + clock.seconds(2 * 86_400))
    assert not any(o.erases for o in ada.outbox.records())
    assert not ada.associations()[0].broken


@pytest.mark.parametrize("default", [None, 60])
def test_new_messages_disappear_as_is_usual_in_their_conversation(default: int | None) -> None:
    ada, bob, now = met()
    ada.people.set_expiry(ada.talk(bob), default)
    usual, never, own = (say(ada, bob, "x", now, s) for s in (None, 0, 600))
    assert [m.expires_s for m in (usual, never, own)] == [default, None, 600]
    with pytest.raises(UserError, match="4 weeks"):
        say(ada, bob, "x", now, 28 * 86_400 + 1)
    settle(ada, bob, now)
    assert [m.expires_s for m in bob.talk(ada).history][-3:] == [default, None, 600]


def test_a_message_that_is_deleted_is_gone_here_only() -> None:
    ada, bob, now = met()
    sent = ada.write(bob, SECRET, now)
    now = settle(ada, bob, now)
    (changed,) = ada.people.delete_message(ada.talk(bob), sent.id)
    assert changed.removed and changed.message is not None
    assert not on_disk(ada) and on_disk(bob)
    with pytest.raises(UserError, match="no such message"):
        ada.people.delete_message(ada.talk(bob), sent.id)
    ada.write(bob, "goes on", now)
    settle(ada, bob, now)
    assert bob.got() == ["hello", SECRET, "goes on"]


def test_a_file_goes_with_its_message_wherever_it_is() -> None:
    ada, bob, now = met()
    talk = ada.talk(bob)
    content = SECRET.encode() * 4000
    ada.people.send_file(talk, "", content, "a file", "text/plain", now, expires_s=60)
    ada.people.tick(now)
    assert on_disk(ada)
    assert ada.people.transfers.progress(list(talk.history)[-1]) is not None
    assert len(ada.people.work(now + MINUTE)) == 1
    assert not on_disk(ada)
    assert ada.disk.count("upload") == ada.disk.count("file") == 0
    assert not any(o.fragment for o in ada.outbox.records())
    ada.write(bob, "goes on", now)
    settle(ada, bob, now)
    assert bob.got() == ["hello", "goes on"]


def test_a_conversation_that_is_deleted_leaves_no_row_and_its_contact_is_a_stranger() -> None:
    ada, bob, now = met()
    bob.people.set_alias(bob.talk(ada), SECRET)
    ada.write(bob, SECRET, now)
    bob.write(ada, SECRET, now)
    pass_on(ada, bob, now)
    (changed,) = bob.people.forget(bob.talk(ada), now)
    assert changed.removed and changed.message is None
    assert not on_disk(bob)
    assert bob.disk.messages == {} and len(bob.outbox) == 0
    assert {key[0] for key in bob.disk.rows} <= {"persona", "profile", "prekeys", "ephemeral"}
    now += BOX_LIFE + MINUTE
    ada.people.tick(now)
    ada.write(bob, "hello again", now)
    settle(ada, bob, now, accept=False)
    assert bob.talk(ada).state == "request"


def test_a_persona_that_is_burnt_says_which_conversations_are_gone() -> None:
    ada, bob, _ = met()
    (changed,) = ada.people.burn(ada.persona)
    assert changed.removed and changed.persona == ada.persona.id
    ada.commit()
    assert ada.disk.rows == {} and ada.disk.messages == {}
    assert ada.people.ephemeral == 0
    ada.people.create(ada.rng.bytes(32), START, kept=False)
    assert ada.people.ephemeral == 1
    ada.commit()
    assert ada.disk.rows == {}
    assert bob.got() == ["hello"]
