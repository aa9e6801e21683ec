"""Sessions that end: what outlived its place, clocks put right, strangers, and long rests."""

import pytest

from client.neighbours import BOX_LIFE, MINUTE, PARAMS, TODAY, met, pair, pass_on, settle
from shoal_protocol.client import correspondence as correspondences
from shoal_protocol.client import people as peoples
from shoal_protocol.client.association import WINDOW
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.parcel import Acks, Parcel
from shoal_protocol.streams import box
from support import START

READ = MessageState.FETCHED


def test_a_quiet_box_that_outlived_its_place_unread_ends_its_session() -> None:
    """It leaves a gap behind which a reader takes no more than it takes ahead."""
    ada, bob, now = met()
    ada.write(bob, "over", now)
    pass_on(ada, bob, now)
    bob.people.tick(now + MINUTE)
    bob.commit()
    (lost,) = bob.outgoing()
    assert not lost.needs_ack
    lost.stored = True  # and nobody reads it
    now += BOX_LIFE + MINUTE
    bob.people.tick(now)
    assert bob.associations()[0].broken
    assert len(bob.outbox) == 0
    texts = [str(number) for number in range(2 * WINDOW)]
    for text in texts:
        bob.write(ada, text, now)
    settle(ada, bob, now, rounds=8)
    assert ada.got() == ["hello", *texts]
    assert set(bob.states()) == {READ}


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


def test_a_strangers_nudges_draw_few_acknowledgements_and_leave_the_owner_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    assert len(bob.outbox) == correspondences.STRANGER_ACKS
    monkeypatch.setattr(peoples, "MAX_RECORDS", correspondences.STRANGER_ACKS)
    bob.write(ada, "who are you?", now)
    bob.people.tick(now + MINUTE)
    settle(ada, bob, now)
    assert ada.got() == ["who are you?"]


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
    assert set(ada.states() + bob.states()) == {READ}
