"""One conversation: windows, acknowledgements, failures, and sessions that come and go."""

import pytest

from client.neighbours import LIFE, PARAMS, Neighbour, pair, pass_on, settle
from shoal_protocol import clock
from shoal_protocol.client import correspondence as correspondences
from shoal_protocol.client import parcel
from shoal_protocol.client.association import WINDOW
from shoal_protocol.client.history import MessageState
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.sessions import cloak, handshake
from support import START

TODAY = clock.index_of(START, PARAMS.day_s)


def states(sender: Neighbour, to: Neighbour) -> list[MessageState]:
    return [message.state for message in sender.talk(to).history if message.outgoing]


def met() -> tuple[Neighbour, Neighbour, int]:
    """Return two nodes with a confirmed session, and the time after their greetings."""
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    bob.write(ada, "hello", START)
    return ada, bob, settle(ada, bob, START)


def test_no_more_than_a_window_goes_unacknowledged() -> None:
    ada, bob, now = met()
    for number in range(3 * WINDOW):
        ada.write(bob, str(number), now)
    assert len(ada.outbox) == WINDOW
    assert ada.talk(bob).queued == 2 * WINDOW
    settle(ada, bob, now, rounds=8)
    assert bob.got()[1:] == [str(number) for number in range(3 * WINDOW)]
    assert set(states(ada, bob)) == {MessageState.READ}
    assert ada.talk(bob).queued == len(ada.outbox) == 0


def test_one_acknowledgement_answers_many_parts_after_a_random_wait() -> None:
    """4 standard errors of an exponential's mean: passed by chance once in 15,000 draws."""
    ada, bob, now = met()
    (association,) = bob.talk(ada).associations()
    waits = []
    for number in range(100):
        ada.write(bob, str(number), now)
        ada.write(bob, "and another", now)
        pass_on(ada, bob, now)
        assert association.ack_due is not None
        waits.append(association.ack_due - now - correspondences.ACK_LEAST)
        bob.people.tick(association.ack_due - 1)
        assert bob.outgoing() == []
        now = association.ack_due
        bob.people.tick(now)
        (alone,) = bob.outgoing()
        ada.take(alone.record, now)
    assert min(waits) >= 0
    assert abs(sum(waits) / 100 - correspondences.ACK_MORE) < 0.4 * correspondences.ACK_MORE
    ada.write(bob, "last", now)
    pass_on(ada, bob, now)
    now += 60 * clock.SECOND
    bob.people.tick(now)
    (alone,) = bob.outgoing()
    assert not alone.needs_ack
    bob.people.tick(now + 60 * clock.SECOND)
    assert bob.outgoing() == []
    ada.take(alone.record, now)
    assert len(ada.outbox) == 0


def test_an_acknowledgement_rides_on_a_message_that_goes_in_time() -> None:
    ada, bob, now = met()
    ada.write(bob, "question", now)
    pass_on(ada, bob, now)
    bob.write(ada, "answer", now)
    bob.people.tick(now + 60 * clock.SECOND)
    (record,) = bob.outgoing()
    ada.take(record.record, now)
    assert states(ada, bob) == [MessageState.READ] * 2
    assert ada.got()[-1] == "answer"


def test_copies_are_acknowledged_again_only_long_after_the_last_time() -> None:
    """Copies of other replicas come at once; a late one says that an acknowledgement was lost."""
    ada, bob, now = met()
    ada.write(bob, "once", now)
    (record,) = pass_on(ada, bob, now)
    now += 60 * clock.SECOND
    bob.people.tick(now)
    assert len(bob.outgoing()) == 1  # and is lost
    for _ in range(3):
        bob.take(record, now)
    now += correspondences.ACK_AGAIN - 1
    bob.take(record, now)
    bob.people.tick(now + 60 * clock.SECOND)
    assert bob.outgoing() == []
    now += 1
    bob.take(record, now)
    bob.take(record, now)
    bob.people.tick(now + 60 * clock.SECOND)
    (again,) = bob.outgoing()
    ada.take(again.record, now)
    assert states(ada, bob)[-1] is MessageState.READ
    assert bob.got() == ["hello", "once"]


def test_the_longest_text_goes_over_a_first_contact_and_a_longer_one_is_refused() -> None:
    ada, bob = pair()
    longest = "龙" * (correspondences.MAX_TEXT // 3)
    with pytest.raises(UserError, match="at most"):
        ada.write(bob, longest + "xyz", START)
    assert len(ada.talk(bob).history) == 0
    ada.write(bob, longest, START)
    settle(ada, bob, START)
    ada.write(bob, longest, START)
    settle(ada, bob, START)
    assert bob.got() == [longest, longest]


@pytest.mark.parametrize("size", [0, 1, 643, 644, 645, 2567, 2568, 2569])
def test_texts_at_the_edges_of_parts_arrive_whole(size: int) -> None:
    ada, bob = pair()
    for _ in range(2):
        ada.write(bob, "x" * size, START)
    settle(ada, bob, START)
    assert bob.got() == ["x" * size] * 2


def test_texts_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correspondences, "MAX_WAITING", 5)
    ada, bob = pair()
    talk = ada.people.open_conversation(ada.persona, bob.pseudonym, START)
    for number in range(5):
        ada.people.send_text(talk, str(number), START)
    with pytest.raises(UserError, match="wait for this contact"):
        ada.people.send_text(talk, "one more", START)
    assert len(talk.history) == 5
    ada.look_up(bob, START)
    settle(ada, bob, START)
    assert bob.got() == ["0", "1", "2", "3", "4"]


def test_both_sides_beginning_at_once_settle_on_one_session() -> None:
    ada, bob = pair()
    ada.write(bob, "from ada", START)
    bob.write(ada, "from bob", START)
    now = settle(ada, bob, START)
    assert (bob.got(), ada.got()) == (["from ada"], ["from bob"])
    ada.write(bob, "second", now)
    bob.write(ada, "second", now)
    before = [
        {a.session.id: a for a in n.talk(o).associations()} for n, o in ((ada, bob), (bob, ada))
    ]
    assert set(before[0]) == set(before[1])
    assert len(before[0]) == 2
    settle(ada, bob, now)
    assert bob.got() == ["from ada", "second"]


def test_a_record_that_outlived_its_entries_fails_its_message_once() -> None:
    ada, bob, now = met()
    ada.write(bob, "lost", now)
    ada.outgoing()
    later = now + LIFE
    (changed,) = ada.people.tick(later)
    assert changed.message is not None
    assert changed.message.state is MessageState.FAILED
    assert ada.people.tick(later + clock.SECOND) == []
    assert states(ada, bob) == [MessageState.READ, MessageState.FAILED]


def test_an_acknowledgement_that_comes_after_the_failure_changes_nothing() -> None:
    ada, bob, now = met()
    ada.write(bob, "late", now)
    pass_on(ada, bob, now)
    bob.people.tick(now + 5 * clock.SECOND)
    acknowledgement = bob.outgoing()[0].record
    ada.people.tick(now + LIFE)
    assert states(ada, bob)[-1] is MessageState.FAILED
    ada.take(acknowledgement, now)
    assert states(ada, bob)[-1] is MessageState.FAILED


def test_after_a_failure_messages_go_over_a_new_first_contact() -> None:
    """The old session has a gap for ever: its window would let 64 more messages through."""
    ada, bob, now = met()
    ada.write(bob, "lost", now)
    ada.outgoing()
    now += LIFE
    ada.people.tick(now)
    for number in range(2 * WINDOW):
        ada.write(bob, str(number), now)
    now = settle(ada, bob, now, rounds=8)
    assert bob.got()[1:] == [str(number) for number in range(2 * WINDOW)]
    assert len(ada.talk(bob).associations()) == len(bob.talk(ada).associations()) == 2
    bob.write(ada, "and back", now)
    settle(ada, bob, now)
    assert ada.got()[-1] == "and back"


def test_a_first_contact_that_nobody_read_is_made_again_for_the_next_message() -> None:
    ada, bob = pair()
    ada.write(bob, "lost", START)
    ada.outgoing()
    now = START + LIFE
    ada.people.tick(now)
    assert states(ada, bob) == [MessageState.FAILED]
    ada.write(bob, "found", now)
    settle(ada, bob, now)
    assert bob.got() == ["found"]


def test_what_a_broken_session_held_back_goes_over_the_next_one_in_order() -> None:
    ada, bob, now = met()
    for number in range(WINDOW + 5):
        ada.write(bob, str(number), now)
    ada.write(bob, "x" * 5000, now)
    ada.write(bob, "last", now)
    ada.outgoing()  # all of the window is lost
    now += LIFE
    ada.people.tick(now)
    ada.look_up(bob, now)
    settle(ada, bob, now, rounds=8)
    assert bob.got()[1:] == [str(n) for n in range(WINDOW, WINDOW + 5)] + ["x" * 5000, "last"]
    after = states(ada, bob)[1:]
    assert after[:WINDOW] == [MessageState.FAILED] * WINDOW
    assert set(after[WINDOW:]) == {MessageState.READ}


def test_a_long_message_of_which_a_part_failed_is_failed_whole() -> None:
    ada, bob, now = met()
    for number in range(WINDOW - 1):
        ada.write(bob, str(number), now)
    ada.write(bob, "x" * 9000, now)  # one part fits into the window
    ada.write(bob, "behind", now)
    for outgoing in ada.outgoing()[:1]:
        bob.take(outgoing.record, now)
    now += LIFE
    ada.people.tick(now)
    ada.look_up(bob, now)
    settle(ada, bob, now, rounds=8)
    assert states(ada, bob)[-2:] == [MessageState.FAILED, MessageState.READ]
    assert bob.got()[-1] == "behind"


def test_sessions_that_one_contact_can_begin_are_bounded_and_the_latest_works() -> None:
    ada, bob = pair()
    found = announcement.open_record(
        bob.pseudonym, bob.announcement(START), period=TODAY, network=PARAMS.hash
    )
    public = bob.persona.secrets.public
    for number in range(3 * correspondences.MAX_ASSOCIATIONS):
        part = parcel.Part(0, START, 0, 1, str(number).encode())
        data = parcel.encode(parcel.Parcel(parcel.Acks(), part))
        contact, _ = handshake.initiate(ada.persona.secrets, found, data, rng=ada.rng)
        plaintext = bytes([cloak.FIRST_CONTACT]) + contact
        entry = cloak.seal(bob.pseudonym, public.inbox_root, TODAY, plaintext, ada.rng, PARAMS.hash)
        bob.take(entry, START)
    assert len(bob.got()) == 3 * correspondences.MAX_ASSOCIATIONS
    assert len(bob.talk(ada).associations()) == correspondences.MAX_ASSOCIATIONS
    assert len(bob.persona.sessions) == len(bob.persona.owners) == 8
    ada.write(bob, "still there", START)
    settle(ada, bob, START)
    assert bob.got()[-1] == "still there"


@pytest.mark.parametrize("data", [b"", bytes(29), b"\2" * 40, b"\1" + b"\xff" * 28])
def test_a_first_contact_without_a_well_formed_message_begins_nothing(data: bytes) -> None:
    ada, bob = pair()
    found = announcement.open_record(
        bob.pseudonym, bob.announcement(START), period=TODAY, network=PARAMS.hash
    )
    contact, _ = handshake.initiate(ada.persona.secrets, found, data, rng=ada.rng)
    root = bob.persona.secrets.public.inbox_root
    plaintext = bytes([cloak.FIRST_CONTACT]) + contact
    bob.take(cloak.seal(bob.pseudonym, root, TODAY, plaintext, ada.rng, PARAMS.hash), START)
    if data == bytes(29):  # a bare acknowledgement is well formed: a contact, and no message
        assert len(bob.persona.conversations) == 1
    else:
        assert bob.persona.conversations == {}
        assert bob.people.counters == {"parcel": 1}
    assert bob.got() == []
