"""A set-back store: boxes that relays keep already, and messages that come under two lines."""

from client.neighbours import MINUTE, Neighbour, met, settle
from shoal_protocol.client.outbox import Outgoing


def set_back() -> tuple[Neighbour, Neighbour, int]:
    """Return two nodes that talked, of which the second lost what it did since their greetings."""
    ada, bob, now = met()
    rows, messages = dict(bob.disk.rows), dict(bob.disk.messages)
    bob.write(ada, "lost since", now)
    now = settle(ada, bob, now, rounds=2)
    bob.disk.rows, bob.disk.messages = rows, messages
    bob.restart(now)
    return ada, bob, now


def writes_anew(ada: Neighbour, bob: Neighbour, now: int) -> Outgoing:
    bob.write(ada, "after", now)
    bob.commit()
    (outgoing,) = (o for o in bob.outbox.records() if o.needs_ack)
    return outgoing


def test_a_box_whose_place_is_taken_goes_over_a_new_session() -> None:
    ada, bob, now = set_back()
    outgoing = writes_anew(ada, bob, now)
    bob.people.taken(outgoing, now)
    assert outgoing not in list(bob.outbox.records())
    assert bob.people.counters["taken"] == 1
    for _ in range(12):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    assert ada.got() == ["hello", "lost since", "after"]


def test_a_message_under_a_new_line_that_was_shown_before_is_not_shown_again() -> None:
    """Its acknowledgement was lost with the session, so its sender cannot know."""
    ada, bob, now = met()
    bob.write(ada, "once", now)
    bob.commit()
    (outgoing,) = (o for o in bob.outbox.records() if o.needs_ack)
    for fresh in bob.outgoing():
        ada.keep(fresh)
    ada.read(now)
    ada.commit()
    assert ada.got() == ["hello", "once"]
    bob.people.taken(outgoing, now)
    bob.commit()
    for _ in range(12):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    bob.write(ada, "next", now)
    settle(ada, bob, now)
    assert ada.got() == ["hello", "once", "next"]
