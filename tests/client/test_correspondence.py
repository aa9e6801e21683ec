"""One conversation: order, windows, acknowledgements, and sessions that come and go."""

import pytest

from client.neighbours import (
    BOX_LIFE,
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
from client.test_outbox import SPREAD_MOST
from shoal_protocol import clock
from shoal_protocol.client import association as associations
from shoal_protocol.client import correspondence as correspondences
from shoal_protocol.client import exchange as exchanges
from shoal_protocol.client import parcel
from shoal_protocol.client.association import AHEAD, ASIDE, WINDOW
from shoal_protocol.client.exchange import ACK_LEAST, MAX_CONTENT
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.parcel import Acks, Kind, Parcel, Part
from shoal_protocol.client.sending import NUDGE_FIRST
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.sessions import cloak, handshake
from support import START, seeded

READ = MessageState.FETCHED
MESSAGES = WINDOW - ASIDE  # parts of the longest text
PART = MAX_CONTENT // MESSAGES  # bytes


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no more boxes be written than a reader takes ahead, so that little fills the room."""
    monkeypatch.setattr(associations, "AHEAD", WINDOW)


def lose(sender: Neighbour) -> None:
    """Let relays take what is on its way, and keep none of it."""
    sender.commit()
    sender.outgoing()
    for outgoing in sender.outbox.records():
        sender.people.stored(outgoing, START)
        outgoing.stored = True


def begun_twice() -> tuple[Neighbour, Neighbour, int]:
    """Return two nodes of which each began a session before it heard of the other's."""
    ada, bob = pair()
    ada.write(bob, "from ada", START)
    bob.write(ada, "from bob", START)
    return ada, bob, settle(ada, bob, START)


def test_both_sides_beginning_at_once_settle_on_one_session() -> None:
    ada, bob, now = begun_twice()
    assert (bob.got(), ada.got()) == (["from ada"], ["from bob"])
    assert [len(n.associations()) for n in (ada, bob)] == [2, 2]
    settle(ada, bob, now, rounds=2)
    before = len(ada.handed)
    for number in range(5):
        ada.write(bob, str(number), now)
        bob.write(ada, str(number), now)
    used = {o.session for n in (ada, bob) for o in n.outbox.records() if o.needs_ack}
    assert used == {min(a.id for a in ada.associations())}
    settle(ada, bob, now)
    assert len(ada.handed) > before
    assert bob.got()[1:] == ada.got()[1:] == list("01234")


@pytest.mark.parametrize("seed", range(8))
def test_two_sessions_at_once_and_any_order_show_everything_once_and_in_order(seed: int) -> None:
    rng = seeded(f"order {seed}")
    ada, bob, now = begun_twice()
    said: dict[str, list[str]] = {"ada": ["from ada"], "bob": ["from bob"]}
    for one in (ada, bob):
        one.pick = rng.choice
    for step in range(40):
        one, other = (ada, bob) if rng.below(2) else (bob, ada)
        if rng.below(3):
            text = f"{step} " + "x" * rng.below(3000)
            said[one.name].append(text)
            one.write(other, text, now)
        elif rng.below(8) == 0:  # what it writes over gives way to the other session
            association = rng.choice(one.associations())
            association.confirmed = not association.confirmed
        else:
            hidden = [place for place in other.shelf if rng.below(4) == 0]
            kept = {place: other.shelf.pop(place) for place in hidden}
            pass_on(one, other, now)
            other.shelf.update(kept)
            now += clock.SECOND
    settle(ada, bob, now, rounds=8)
    assert (bob.got(), ada.got()) == (said["ada"], said["bob"])
    assert set(ada.states() + bob.states()) == {READ}


@pytest.mark.usefixtures("narrow")
def test_no_more_than_the_room_goes_unacknowledged() -> None:
    ada, bob, now = met()
    pass_on(bob, ada, now)
    for number in range(3 * WINDOW):
        ada.write(bob, str(number), now)
    assert sum(o.needs_ack for o in ada.outbox.records()) in (MESSAGES - 1, MESSAGES)
    assert ada.talk(bob).queued >= 3 * WINDOW - MESSAGES
    settle(ada, bob, now, rounds=10)
    assert bob.got()[1:] == [str(number) for number in range(3 * WINDOW)]
    assert set(ada.states()) == {READ}
    assert ada.talk(bob).queued == 0


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("pick", [min, max])
def test_both_windows_full_at_once_come_free_whatever_order_boxes_are_read_in(pick: object) -> None:
    ada, bob, now = met()
    ada.pick = bob.pick = pick  # type: ignore[assignment]
    for number in range(150):
        ada.write(bob, str(number), now)
        bob.write(ada, str(number), now)
    settle(ada, bob, now, rounds=16)
    assert bob.got()[1:] == ada.got()[1:] == [str(number) for number in range(150)]


@pytest.mark.usefixtures("narrow")
def test_a_long_text_waits_for_room_as_a_whole() -> None:
    ada, bob, now = met()
    for number in range(40):
        ada.write(bob, str(number), now)
    long = "x" * (PART * 30)
    ada.write(bob, long, now)
    ada.write(bob, "behind it", now)
    on_way = [o.message for o in ada.outbox.records() if o.needs_ack]
    assert len(on_way) == 40
    assert ada.talk(bob).queued == 2
    settle(ada, bob, now)
    assert bob.got()[-2:] == [long, "behind it"]


@pytest.mark.usefixtures("narrow")
def test_the_longest_text_goes_though_acknowledgements_fill_places_of_the_window() -> None:
    """Nothing answers an acknowledgement, so the text asks for an answer itself."""
    ada, bob, now = met()
    for number in range(6):
        bob.write(ada, str(number), now)
        pass_on(bob, ada, now)
        now += 20 * clock.SECOND
        ada.people.tick(now)
    pass_on(ada, bob, now)
    assert ada.associations()[0].room < MESSAGES
    ada.write(bob, "x" * MAX_CONTENT, now)
    assert ada.talk(bob).queued == 1
    settle(ada, bob, now)
    assert bob.got()[-1] == "x" * MAX_CONTENT


def test_the_longest_text_goes_over_a_first_contact_and_a_longer_one_is_refused() -> None:
    ada, bob = pair()
    longest = "龙" * (MAX_CONTENT // 3)
    with pytest.raises(UserError, match="at most"):
        ada.write(bob, longest + "xyz", START)
    assert len(ada.open(bob, START).history) == 0
    ada.write(bob, longest, START)
    now = settle(ada, bob, START)
    ada.write(bob, longest, now)
    settle(ada, bob, now, rounds=6)
    assert bob.got() == [longest, longest]


@pytest.mark.parametrize("size", [0, 1, 631, 632, 633, PART - 1, PART, PART + 1, 2 * PART + 1])
def test_texts_at_the_edges_of_parts_arrive_whole(size: int) -> None:
    ada, bob = pair()
    for _ in range(2):
        ada.write(bob, "x" * size, START)
    settle(ada, bob, START)
    assert bob.got() == ["x" * size] * 2


def test_files_go_with_their_text() -> None:
    ada, bob = pair()
    talk = ada.open(bob, START)
    ada.people.send(talk, "look", START, file=b"not a manifest")
    ada.look_up(bob, START)
    settle(ada, bob, START)
    (message,) = bob.talk(ada).history
    assert (message.text, message.file) == ("look", b"not a manifest")


def test_one_acknowledgement_answers_many_parts_after_a_random_wait() -> None:
    """4 standard errors of an exponential's mean: passed by chance once in 15,000 draws."""
    ada, bob, now = met()
    (association,) = bob.associations()
    waits = []
    for number in range(100):
        ada.write(bob, str(number), now)
        ada.write(bob, "and another", now)
        pass_on(ada, bob, now)
        assert association.ack_due is not None
        waits.append(association.ack_due - now - ACK_LEAST)
        bob.people.tick(association.ack_due - 1)
        bob.commit()
        assert bob.outgoing() == []
        now = association.ack_due
        bob.people.tick(now)
        assert len(pass_on(bob, ada, now)) == 1
    assert min(waits) >= 0
    more = exchanges.ACK_MORE
    assert abs(sum(waits) / 100 - more) < 0.4 * more
    bob.people.tick(now + 10 * MINUTE)
    bob.commit()
    assert bob.outgoing() == []
    assert set(ada.states()) == {READ}


def test_an_acknowledgement_rides_on_a_message_that_goes_in_time() -> None:
    ada, bob, now = met()
    ada.write(bob, "question", now)
    pass_on(ada, bob, now)
    bob.write(ada, "answer", now)
    bob.people.tick(now + MINUTE)
    assert len(pass_on(bob, ada, now)) == 1
    assert ada.states() == [READ, READ]
    assert ada.got()[-1] == "answer"


def test_an_acknowledgement_that_was_owed_is_made_after_a_restart() -> None:
    ada, bob, now = met()
    ada.write(bob, "are you there?", now)
    pass_on(ada, bob, now)
    bob.restart(now)
    bob.people.tick(now)
    bob.people.tick(now + MINUTE)
    pass_on(bob, ada, now)
    assert ada.states() == [READ, READ]


def test_a_box_that_the_reader_did_not_find_is_put_again_when_later_ones_came() -> None:
    ada, bob, now = met()
    for number in range(3):
        ada.write(bob, str(number), now)
    ada.commit()
    first, *later = ada.outgoing()
    for outgoing in later:
        bob.keep(outgoing)
    relays = [bytes([n]) * 16 for n in range(4)]
    while ada.outbox.working:
        ada.outbox.work()
    for moment in (now, now + SPREAD_MOST):
        while put := ada.outbox.next_put(relays, 1, set(relays), ada.journal.durable, moment):
            ada.outbox.sent(*put)
            ada.outbox.answered(*put, True, moment)
    bob.read(now)
    assert bob.got() == ["hello"]
    assert first.stored_everywhere
    bob.people.tick(now + MINUTE)
    pass_on(bob, ada, now + MINUTE)
    assert not any(replica.stored for replica in first.replicas.values())
    bob.keep(first)
    bob.read(now + MINUTE)
    assert bob.got() == ["hello", "0", "1", "2"]


def test_silence_is_broken_by_a_nudge_which_draws_an_acknowledgement_that_was_lost() -> None:
    ada, bob, now = met()
    now += 60 * MINUTE  # of silence before count for nothing
    ada.write(bob, "did you get it?", now)
    pass_on(ada, bob, now)
    for outgoing in ada.outbox.records():
        outgoing.stored = True
    bob.people.tick(now + MINUTE)
    bob.commit()
    assert len(bob.outgoing()) == 1  # and is lost
    for moment in (now, now + NUDGE_FIRST - 1):
        ada.people.tick(moment)
        ada.commit()
        assert ada.outgoing() == []
    now += NUDGE_FIRST
    ada.people.tick(now)
    assert len(pass_on(ada, bob, now)) == 1
    bob.people.tick(now + MINUTE)
    pass_on(bob, ada, now + MINUTE)
    assert ada.states() == [READ, READ]
    assert bob.got() == ["hello", "did you get it?"]


def test_nudges_come_ever_more_rarely_and_leave_the_window_free() -> None:
    ada, bob, now = met()
    ada.write(bob, "anybody?", now)
    lose(ada)
    pauses, last, end = [], now, START + BOX_LIFE - MINUTE
    while now < end:
        now += MINUTE
        ada.people.tick(now)
        ada.commit()
        if ada.outgoing():
            pauses.append((now - last) // MINUTE)
            last = now
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 320]
    assert pauses[7:10] == [640, 1280, 2560]
    assert set(pauses[10:]) == {48 * 60}
    assert ada.associations()[0].room > AHEAD - 20


def test_texts_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correspondences, "MAX_WAITING", 5)
    ada, bob = pair()
    talk = ada.open(bob, START)
    for number in range(5):
        ada.people.send(talk, str(number), START)
    with pytest.raises(UserError, match="wait for this contact"):
        ada.people.send(talk, "one more", START)
    assert len(talk.history) == 5
    settle(ada, bob, START)
    assert bob.got() == ["0", "1", "2", "3", "4"]


def test_what_a_broken_session_left_unread_goes_again_over_another_and_is_shown_once() -> None:
    """Ada hears nothing for a box's whole life; of some messages Bob got a half."""
    ada, bob, now = met()
    texts = [f"{number} " + "x" * 2000 for number in range(12)]
    for text in texts:
        ada.write(bob, text, now)
    ada.commit()
    for number, outgoing in enumerate(ada.outgoing()):
        if number % 5 < 3:
            bob.keep(outgoing)
    bob.read(now)
    assert bob.got() == ["hello", texts[0]]
    whole = [text for n, text in enumerate(texts) if 2 * n % 5 < 3 and (2 * n + 1) % 5 < 3]
    bob.shelf.clear()
    now += BOX_LIFE - MINUTE
    ada.write(bob, "meanwhile", now)
    now += MINUTE
    ada.people.tick(now)
    assert ada.associations()[0].broken
    assert ada.states()[1:-1] == [MessageState.FAILED] * 12
    settle(ada, bob, now, rounds=6)
    assert bob.got() == ["hello", *whole, "meanwhile"]
    assert ada.states()[-1] is READ


def test_messages_younger_than_a_box_lives_go_again_under_their_numbers() -> None:
    ada, bob, now = met()
    ada.write(bob, "old", now)
    ada.commit()
    ada.outgoing()  # lost
    later = now + BOX_LIFE // 2
    texts = [f"{number} " + "x" * 2000 for number in range(10)]
    for text in texts:
        ada.write(bob, text, later)
    ada.commit()
    for number, outgoing in enumerate(ada.outgoing()):
        if number % 3:
            bob.keep(outgoing)
    bob.read(later)
    assert bob.got() == ["hello"]
    now += BOX_LIFE
    ada.people.tick(now)
    settle(ada, bob, now, rounds=8)
    assert bob.got() == ["hello", *texts]
    assert ada.states() == [READ, MessageState.FAILED] + [READ] * 10
    assert len(ada.outbox) == 0
    bob.write(ada, "and back", now)
    settle(ada, bob, now, rounds=6)
    assert ada.got()[-1] == "and back"


def test_a_long_text_that_came_in_half_goes_again_and_its_parts_fit() -> None:
    """The first session's parts and the second's must be cut alike."""
    ada, bob = pair()
    text = "".join(str(number) for number in range(1200))
    ada.write(bob, text, START)
    ada.commit()
    contact, first, *_ = ada.outgoing()
    bob.keep(contact)
    bob.keep(first)
    bob.read(START)
    bob.commit()
    bob.shelf.clear()
    now = START + ENTRY_LIFE
    ada.people.tick(now)
    settle(ada, bob, now, rounds=6)
    assert bob.got() == [text]
    assert ada.states() == [READ]


def test_a_first_contact_that_nobody_read_is_made_again() -> None:
    ada, bob = pair()
    ada.write(bob, "first", START)
    ada.write(bob, "second", START)
    lose(ada)
    now = START + ENTRY_LIFE
    assert ada.people.tick(now) == []
    ada.write(bob, "third", now)
    settle(ada, bob, now)
    assert bob.got() == ["first", "second", "third"]


def test_a_message_fails_once_when_nobody_read_it_for_as_long_as_a_box_lives() -> None:
    ada, bob, now = met()
    ada.write(bob, "lost", now)
    lose(ada)
    now += BOX_LIFE
    (changed,) = ada.people.tick(now)
    assert changed.message is not None
    assert changed.message.state is MessageState.FAILED
    assert ada.people.tick(now + clock.SECOND) == []
    assert ada.states() == [READ, MessageState.FAILED]
    ada.write(bob, "next", now)
    settle(ada, bob, now, rounds=6)
    assert bob.got() == ["hello", "next"]


def test_an_acknowledgement_that_comes_after_the_failure_changes_nothing() -> None:
    ada, bob, now = met()
    ada.write(bob, "late", now)
    pass_on(ada, bob, now)
    bob.people.tick(now + MINUTE)
    now += BOX_LIFE
    ada.people.tick(now)
    assert ada.states()[-1] is MessageState.FAILED
    pass_on(bob, ada, now)
    assert ada.states()[-1] is MessageState.FAILED
    assert len(ada.outbox) == 0


def test_sessions_that_one_contact_can_begin_are_bounded_and_the_latest_works() -> None:
    ada, bob = pair()
    found = announcement.open_record(
        bob.pseudonym, bob.announcement(START), period=TODAY, network=PARAMS.hash
    )
    public = bob.persona.secrets.public
    begun = 3 * exchanges.MAX_ASSOCIATIONS
    for number in range(begun):
        part = Part(Kind.TEXT, 0, START, 0, 1, str(number).encode())
        said = Parcel(Acks(), number.to_bytes(8, "big"), 0, part)
        contact, _ = handshake.initiate(
            ada.persona.secrets, found, parcel.encode(said), rng=ada.rng
        )
        plaintext = bytes([cloak.FIRST_CONTACT]) + contact
        entry = cloak.seal(bob.pseudonym, public.inbox_root, TODAY, plaintext, ada.rng, PARAMS.hash)
        bob.people.entry(bob.persona.id, TODAY, entry, START + number)
        if number == begun // 2:
            assert len(bob.associations()) == 1  # of a request that is not answered
            bob.people.send(bob.talk(ada), "who are you?", START)
    assert len(bob.got()) == begun
    assert len(bob.associations()) == exchanges.MAX_ASSOCIATIONS
    bob.commit()
    assert bob.disk.count("association") == exchanges.MAX_ASSOCIATIONS
    ada.write(bob, "still there", START)
    settle(ada, bob, START)
    assert bob.got()[-1] == "still there"


@pytest.mark.parametrize("data", [b"", bytes(41), b"\4" * 50, b"\2" + b"\xff" * 40])
def test_a_first_contact_without_a_well_formed_parcel_begins_nothing(data: bytes) -> None:
    ada, bob = pair()
    found = announcement.open_record(
        bob.pseudonym, bob.announcement(START), period=TODAY, network=PARAMS.hash
    )
    contact, _ = handshake.initiate(ada.persona.secrets, found, data, rng=ada.rng)
    root = bob.persona.secrets.public.inbox_root
    plaintext = bytes([cloak.FIRST_CONTACT]) + contact
    entry = cloak.seal(bob.pseudonym, root, TODAY, plaintext, ada.rng, PARAMS.hash)
    bob.people.entry(bob.persona.id, TODAY, entry, START)
    if data == bytes(41):  # an acknowledgement is well formed: a contact, and no message yet
        assert len(bob.persona.conversations) == 1
    else:
        assert bob.persona.conversations == {}
        assert bob.people.counters == {"parcel": 1}
    assert bob.got() == []


@pytest.mark.parametrize("who_writes", ["the older", "the newer", "both"])
def test_after_one_side_was_set_back_both_go_on_over_a_new_session(who_writes: str) -> None:
    """What is written from then on arrives once and in order; numbers used before hide nothing."""
    ada, bob, now = met()
    rows, messages = dict(bob.disk.rows), dict(bob.disk.messages)
    for turn in range(3):
        for one, other in ((ada, bob), (bob, ada)):
            one.write(other, f"{one.name} {turn}", now)
            now = settle(ada, bob, now, rounds=2)
    assert bob.got()[1:] == [f"ada {turn}" for turn in range(3)]
    bob.disk.rows, bob.disk.messages = rows, messages
    bob.restart(now)
    assert bob.got() == ["hello"]
    now = settle(ada, bob, now)  # it reads what relays still keep, as far as it can
    if who_writes != "the newer":
        bob.write(ada, "new from bob", now)
    if who_writes != "the older":
        ada.write(bob, "new from ada", now)
    for _ in range(12):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    bob.write(ada, "bob again", now)
    ada.write(bob, "ada again", now)
    for _ in range(12):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    assert bob.people.counters["unreadable"] > 0
    new = ["new from ada"] * (who_writes != "the older")
    assert [text for text in bob.got() if "new" in text or "again" in text] == [*new, "ada again"]
    new = ["new from bob"] * (who_writes != "the newer")
    assert ada.got()[4:] == [*new, "bob again"]
    assert ada.got()[:4] == ["hello", "bob 0", "bob 1", "bob 2"]
    for _ in range(6):  # a restart reads the old session once more, and leaves the new one alone
        bob.restart(now)
        now = settle(ada, bob, now + 60 * MINUTE, rounds=1)
    assert len(bob.associations()) == 2
    assert set(ada.states() + bob.states()) == {READ}


def test_somebody_who_is_away_is_written_many_boxes_and_reads_them_all() -> None:
    ada, bob, now = met()
    count = 4 * WINDOW
    for number in range(count):
        ada.write(bob, str(number), now)
    assert ada.talk(bob).queued == 0
    settle(ada, bob, now)
    assert bob.got()[1:] == [str(number) for number in range(count)]
