"""Sessions that end: what outlived its place, clocks put right, strangers, and long rests."""

from dataclasses import replace

import pytest

from client.neighbours import (
    BOX_LIFE,
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
from shoal_protocol.client import state
from shoal_protocol.client.association import WINDOW
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.client.parcel import Acks, Parcel
from shoal_protocol.streams import box
from support import START

FETCHED = MessageState.FETCHED


def quiet_box(ada: Neighbour, bob: Neighbour, now: int) -> Outgoing:
    """Let bob acknowledge what ada wrote, in a box that nobody reads."""
    ada.write(bob, "over", now)
    pass_on(ada, bob, now)
    bob.people.tick(now + MINUTE)
    bob.commit()
    (lost,) = bob.outgoing()
    assert not lost.needs_ack
    lost.stored = True
    return lost


@pytest.mark.parametrize("rests", [1, 3])
def test_a_quiet_box_that_nobody_acknowledges_is_renewed_and_its_session_goes_on(
    rests: int,
) -> None:
    """It would leave a gap behind which a reader who was away looks for no more than a few."""
    ada, bob, now = met()
    lost = quiet_box(ada, bob, now)
    for _ in range(rests):
        now += BOX_LIFE + MINUTE
        bob.people.tick(now)
        bob.commit()
        bob.restart(now)
        (renewed,) = bob.outbox.records()
        assert renewed.key != lost.key
        head = box.header(renewed.record)
        assert head.tombstone and head.day == clock.index_of(now, PARAMS.day_s)
        assert not bob.associations()[0].broken
    texts = [str(number) for number in range(2 * WINDOW)]
    for text in texts:
        bob.write(ada, text, now)
    settle(ada, bob, now, rounds=8)
    assert ada.got() == ["hello", *texts]
    assert set(bob.states()) == {FETCHED}
    assert [len(one.associations()) for one in (ada, bob)] == [1, 1]


def test_quiet_boxes_that_were_made_on_several_days_are_all_renewed_in_their_order() -> None:
    """Which of them was read nobody knows; a reader who was away takes them all for come."""
    ada, bob, now = met()
    day = clock.seconds(PARAMS.day_s)
    for number in range(5):
        (reading,), (writing,) = bob.associations(), ada.associations()
        said = Parcel(Acks(), b"the line", 0, None, nudge=True)
        index, record = writing.seal(said, clock.index_of(now, PARAMS.day_s), ada.rng)
        assert bob.people.box(reading, index, box.header(record).day, record, now)[0]
        bob.people.tick(now)
        bob.people.tick(now + MINUTE)
        assert len(bob.outbox) == number + 1
        now += day
    bob.commit()
    bob.outgoing()  # nobody reads them
    for _ in range(40):
        now += day
        for _ in range(3):
            bob.people.tick(now)
        days = [box.header(o.record).day for o in sorted(bob.outbox.records(), key=_place)]
        assert days == sorted(days) and len(days) == 5
        assert days[0] >= clock.index_of(now, PARAMS.day_s) - box.DAYS_KEPT
    assert not bob.associations()[0].broken
    bob.handed.clear()
    bob.write(ada, "long time no see", now)
    pass_on(bob, ada, now)
    assert ada.got() == ["hello", "long time no see"]


def _place(outgoing: Outgoing) -> int:
    return outgoing.index


def test_a_quiet_box_whose_key_an_earlier_version_forgot_ends_its_session() -> None:
    ada, bob, now = met()
    quiet_box(ada, bob, now)
    (key,) = (k for k in bob.disk.rows if k[0] == state.ASSOCIATION)
    row = state.ASSOCIATIONS.decode(bob.disk.rows[key])
    bob.disk.rows[key] = state.ASSOCIATIONS.encode(replace(row, writer=row.writer[:72]))
    now += BOX_LIFE + MINUTE
    bob.restart(now)
    bob.people.tick(now)
    assert bob.associations()[0].broken
    bob.write(ada, "over another", now)
    settle(ada, bob, now, rounds=6)
    assert ada.got() == ["hello", "over another"]


def test_a_renewed_box_is_of_no_later_day_than_the_box_after_it() -> None:
    """Days go up along a stream: a reader that passes this one's day misses the other."""
    ada, bob, now = met()
    lost = quiet_box(ada, bob, now)
    later = now + BOX_LIFE - 4 * MINUTE
    bob.write(ada, "a day before", later)
    now += BOX_LIFE + MINUTE
    bob.people.tick(now)
    (renewed,) = (o for o in bob.outbox.records() if o.index == lost.index)
    written = clock.index_of(later, PARAMS.day_s)
    assert box.header(renewed.record).day == written
    assert renewed.created == later
    settle(ada, bob, now)
    assert ada.got() == ["hello", "a day before"]
    assert len(bob.associations()) == 1


def test_a_session_that_was_sealed_too_far_ahead_gives_way_when_the_clock_is_put_right() -> None:
    ada, bob, now = met()
    ahead = now + 3 * BOX_LIFE // PARAMS.box_days
    ada.write(bob, "from days ahead", ahead)
    ada.commit()
    assert [box.header(o.record).day - TODAY for o in ada.outgoing()] == [3]  # refused
    ada.restart(now)
    assert ada.associations()[0].broken
    ada.look_up(bob, now)
    settle(ada, bob, now, rounds=6)
    assert bob.got() == ["hello", "from days ahead"]
    bob.write(ada, "now", now)
    settle(ada, bob, now)
    assert ada.got() == ["hello", "now"]


def test_nothing_of_a_session_that_gave_way_to_the_clock_stays_on_its_way() -> None:
    ada, bob, now = met()
    settle(ada, bob, now)
    ada.write(bob, "from days ahead", now + 3 * BOX_LIFE // PARAMS.box_days)
    ada.people.tick(now)
    assert [o for o in ada.outbox.records() if o.message] == []


def test_a_strangers_nudges_draw_no_acknowledgement_before_the_person_accepts() -> None:
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    (writing,), (reading,), now = ada.associations(), bob.associations(), START
    said = Parcel(Acks(), b"the line", 0, None, nudge=True)
    for _ in range(50):
        index, record = writing.seal(said, TODAY, ada.rng)
        assert bob.people.box(reading, index, TODAY, record, now)[0]
        now += MINUTE
        bob.people.tick(now)
    assert len(bob.outbox) == 0
    bob.accept(now)
    bob.people.tick(now)
    bob.people.tick(now + MINUTE)
    assert len(bob.outbox) == 1


@pytest.mark.parametrize("first", ["ada", "bob"])
def test_a_conversation_goes_on_after_it_rested_for_weeks(first: str) -> None:
    """Whoever wrote last, be it an acknowledgement, cannot know that it was read."""
    ada, bob, now = met()
    now += 2 * BOX_LIFE
    for one in (ada, bob):
        one.people.tick(now)
    one, other = (ada, bob) if first == "ada" else (bob, ada)
    one.write(other, "long time no see", now)
    now = settle(ada, bob, now)
    other.write(one, "indeed", now)
    settle(ada, bob, now)
    assert (other.got(), one.got()) == (["hello", "long time no see"], ["hello", "indeed"])
    assert set(ada.states() + bob.states()) == {FETCHED}
