"""What was deleted here, or has disappeared, does not come back under another line."""

import pytest

from client.neighbours import MINUTE, PARAMS, Neighbour, met, settle
from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.unwanted import LATER, MOST

DAY = clock.seconds(PARAMS.day_s)
TEXT = "deleted"


def unacknowledged(expires_s: int | None = None) -> tuple[Neighbour, Neighbour, int]:
    """Return two who met; ada has a message of bob's, and bob does not know."""
    ada, bob, now = met()
    bob.people.send(bob.talk(ada), TEXT, now, expires_s=expires_s)
    bob.commit()
    for fresh in bob.outgoing():
        ada.keep(fresh)
    ada.read(now)
    ada.commit()
    assert ada.got() == ["hello", TEXT]
    return ada, bob, now


def delete(one: Neighbour, other: Neighbour) -> None:
    (message,) = (m for m in one.talk(other).history if m.text == TEXT)
    one.people.delete_message(one.talk(other), message.id)
    one.commit()


def begin_anew(ada: Neighbour, bob: Neighbour, now: int) -> int:
    """Let bob lose the session: what ada has not acknowledged comes under a new line."""
    (outgoing,) = (o for o in bob.outbox.records() if o.needs_ack)
    bob.people.taken(outgoing, now)
    bob.commit()
    for _ in range(12):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    bob.write(ada, "next", now)
    return settle(ada, bob, now)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_message_that_was_deleted_does_not_come_back_under_a_new_line(restarts: bool) -> None:
    ada, bob, now = unacknowledged()
    delete(ada, bob)
    if restarts:
        ada.restart(now)
    begin_anew(ada, bob, now)
    assert ada.got() == ["hello", "next"]


def test_a_message_that_has_disappeared_does_not_come_back_under_a_new_line() -> None:
    ada, bob, now = unacknowledged(expires_s=60)
    ada.people.work(now + MINUTE)
    ada.commit()
    assert ada.got() == ["hello"]
    bob.restart(now - 10 * MINUTE)  # its own clock is behind: it has the message still
    begin_anew(ada, bob, now)
    assert ada.got() == ["hello", "next"]


def test_a_mark_says_nothing_of_the_message_and_goes_when_nobody_sends_it_any_more() -> None:
    ada, bob, now = unacknowledged()
    delete(ada, bob)
    ((_, row),) = ada.disk.kept().of(state.UNWANTED)
    today = clock.index_of(now, PARAMS.day_s)
    assert state.UNWANTED_ROWS.decode(row).until == today + PARAMS.box_days + LATER
    assert TEXT.encode() not in b"".join(ada.disk.rows.values())
    ada.people.tick(now + (PARAMS.box_days + LATER) * DAY)
    ada.commit()
    assert ada.disk.count(state.UNWANTED) == 1
    ada.restart(now + (PARAMS.box_days + LATER + 1) * DAY)
    ada.people.tick(now + (PARAMS.box_days + LATER + 1) * DAY)
    ada.commit()
    assert ada.disk.count(state.UNWANTED) == 0


def test_marks_are_bounded_and_go_with_their_conversation() -> None:
    ada, bob, now = met()
    talk = ada.talk(bob)
    for number in range(MOST + 10):
        talk.unwanted.add(number, now, now)
    ada.commit()
    assert ada.disk.count(state.UNWANTED) == MOST
    assert not talk.unwanted.holds(9, now)
    assert talk.unwanted.holds(10, now)
    ada.people.forget(talk, now)
    ada.commit()
    assert ada.disk.count(state.UNWANTED) == 0
