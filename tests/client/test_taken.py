"""A set-back store: boxes that relays keep already, and messages that come under two lines."""

from client.neighbours import MINUTE, PARAMS, TODAY, Neighbour, met, pair, pass_on, settle
from shoal_protocol.client.association import STREAM
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability
from support import START, seeded


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


def test_a_message_that_the_contact_holds_behind_a_gap_is_shown_under_the_new_line() -> None:
    """It was acknowledged under the old line, in which the one before it never comes."""
    ada, bob, now = met()
    ada.write(bob, "first", now)
    ada.write(bob, "second", now)
    ada.commit()
    first, second = (fresh for fresh in ada.outgoing() if fresh.message)
    bob.keep(second)
    bob.read(now)
    bob.people.tick(now + MINUTE)
    pass_on(bob, ada, now + MINUTE)
    assert bob.got() == ["hello"]
    assert ada.states()[1:] == [MessageState.QUEUED, MessageState.STORED]
    ada.people.taken(first, now)
    for _ in range(6):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    assert bob.got() == ["hello", "first", "second"]
    assert set(ada.states()) == {MessageState.FETCHED}


def test_copies_of_one_unreadable_box_put_off_nothing() -> None:
    ada, bob, now = met()
    (writing,), (reading,) = ada.associations(), bob.associations()
    index, root = writing.next_index, writing.session.outgoing_root
    writer = WriteCapability.from_root(root, PARAMS.hash, STREAM).at(index)
    rubbish = writer.seal(TODAY, seeded("rubbish").bytes(box.PLAINTEXT_LENGTH))
    dues = []
    for copy in range(4):
        assert bob.people.box(reading, index, TODAY, rubbish, now + copy) == (False, [])
        lookup = bob.talk(ada).lookup
        assert lookup is not None
        dues.append(lookup.due)
    assert dues == [now] * 4


def test_a_stranger_whose_boxes_do_not_open_is_owed_no_session_until_the_answer() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    (writing,), (reading,) = ada.associations(), bob.associations()
    root = writing.session.outgoing_root
    writer = WriteCapability.from_root(root, PARAMS.hash, STREAM).at(writing.next_index)
    rubbish = writer.seal(TODAY, seeded("rubbish").bytes(box.PLAINTEXT_LENGTH))
    bob.people.box(reading, writing.next_index, TODAY, rubbish, START)
    assert reading.broken
    assert bob.people.lookup_due(START) is None
    bob.write(ada, "who are you?", START)
    settle(ada, bob, START)
    assert ada.got() == ["who are you?"]
    assert bob.states() == [MessageState.FETCHED]
