"""Which box of a stream is asked for: live ones wait, past days are caught up, cold ones rest."""

from collections import Counter

import pytest

from client.neighbours import PARAMS, TODAY, sides
from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.association import WINDOW, Association
from shoal_protocol.client.following import (
    AHEAD_LEAST,
    AHEAD_MOST,
    COLD_LEAST,
    COLD_MORE,
    FLOWING,
    HOT,
    PAST_AGAIN,
    PAST_REPLICAS,
    BoxAsked,
    Following,
)
from shoal_protocol.client.parcel import ACK_WINDOW, Acks, Parcel
from shoal_protocol.service import placement
from shoal_protocol.streams import box
from support import seeded

HOUR = 3600 * clock.SECOND
DAY = 24 * HOUR
NOON = TODAY * DAY + 12 * HOUR
SLOW = 5 * clock.SECOND
RELAYS = [seeded("relays").bytes(15) + bytes([n]) for n in range(12)]


class Stream:
    """A stream that is read, what is written into it, and relays that answer at once or wait."""

    def __init__(self, began: int = TODAY, now: int = NOON) -> None:
        self.writer, self.reader = sides(day=began)
        self.rng = seeded("stream")
        self.following = Following(self.reader, PARAMS, self.rng, now)
        self.boxes: dict[tuple[int, int], bytes] = {}
        self.now = now
        self.view = 0
        self.wait = 400 * DAY  # until another GET follows
        self.relays = list(RELAYS)

    def write(self, day: int, count: int = 1) -> None:
        for _ in range(count):
            said = Parcel(Acks(), b"the line", 0, None)
            index, record = self.writer.seal(said, day, self.rng)
            self.boxes[index, day] = record

    def rank(self, address: bytes) -> list[bytes]:
        return placement.rank(address, self.relays, PARAMS.replicas + PARAMS.replica_slack)

    def ask(self, *, hot: bool = True, spare: bool = False) -> BoxAsked | None:
        """Let the stream ask once; what it asks counts as waiting for a while."""
        found = self.following.next_ask(self.rank, self.view, hot, spare, SLOW, self.now)
        if found is None:
            return None
        address, asked = found
        assert address == self.reader.address(asked.index, asked.day)
        assert asked.relay in self.rank(address)
        self.following.sent(asked, self.now + self.wait)
        return asked

    def all(self, *, hot: bool = True) -> list[BoxAsked]:
        """Let the stream ask for all that it wants, without any answer."""
        asked = []
        while (one := self.ask(hot=hot)) is not None:
            asked.append(one)
        return asked

    def rank_of(self, asked: BoxAsked) -> int:
        return self.rank(self.reader.address(asked.index, asked.day)).index(asked.relay)

    def answer(self, asked: BoxAsked) -> bool:
        """Answer with the box if it is there, else with nothing."""
        record = self.boxes.get((asked.index, asked.day))
        if record is None:
            self.following.empty(asked, self.now)
            return False
        if self.reader.expects(asked.index):
            self.reader.open(asked.index, asked.day, record, self.rng)
        self.following.came(asked, self.now)
        return True

    def drain(self, most: int = 500) -> list[BoxAsked]:
        """Ask and answer until nothing but waiting is left; return what was asked."""
        every: list[BoxAsked] = []
        for _ in range(most):
            asked = self.all()
            answers = [self.answer(one) for one in asked if self.there(one) or not one.waits]
            if not answers:
                return every + asked
            every += asked
        raise AssertionError("it goes on for ever")

    def there(self, asked: BoxAsked) -> bool:
        return (asked.index, asked.day) in self.boxes


def test_the_next_two_boxes_are_waited_for_at_ranks_0_and_1() -> None:
    stream = Stream()
    asked = stream.all()
    assert [(a.index, stream.rank_of(a)) for a in asked] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(a.day == TODAY and a.waits for a in asked)
    assert stream.ask() is None


def test_while_gets_are_to_spare_the_next_box_is_waited_for_at_a_third_relay() -> None:
    stream = Stream()
    stream.all()
    spare = stream.ask(spare=True)
    assert spare is not None
    assert (spare.index, stream.rank_of(spare)) == (0, 2)
    assert stream.ask(spare=True) is None


def test_a_get_that_ends_is_followed_before_its_answer_is_here() -> None:
    """No box falls into the gap of a round trip; the answer ends the GET that it answers."""
    stream = Stream()
    stream.wait = 20 * clock.SECOND
    first, *others = stream.all()
    stream.now += stream.wait
    again, *_ = stream.all()
    assert (again.index, again.relay) == (first.index, first.relay)
    for one in (first, *others):
        stream.following.empty(one, stream.now)
    assert stream.ask() is None  # those that followed are still out


def test_an_answer_lets_the_next_box_be_asked_for() -> None:
    stream = Stream()
    first, second, *_ = stream.all()
    stream.write(TODAY)
    assert stream.answer(first)
    assert stream.answer(second)
    assert {(a.index, stream.rank_of(a)) for a in stream.all()} >= {(2, 0), (2, 1), (3, 0)}


def test_more_boxes_are_asked_for_ahead_while_they_flow_and_fewer_when_they_stop() -> None:
    stream = Stream()
    stream.write(TODAY, 60)
    widths = []
    while stream.reader.come.next < 60:
        asked = stream.all()
        widths.append(len({a.index for a in asked}))
        for one in asked:
            stream.answer(one)
    assert max(widths) == AHEAD_MOST
    asked_of = Counter(widths)
    assert asked_of[AHEAD_MOST] >= 3
    for one in stream.all():
        stream.answer(one)
    assert len({a.index for a in stream.all()}) == AHEAD_LEAST


def test_boxes_that_flow_cost_one_get_each_and_a_slow_relay_gets_no_more_time_than_any() -> None:
    stream = Stream()
    stream.write(TODAY, 200)
    for _ in range(12):
        for one in stream.all():
            stream.answer(one)
    asked = stream.all()
    assert len({a.index for a in asked}) > FLOWING
    assert len(asked) == len({a.index for a in asked})
    stream.now += SLOW
    again, behind = stream.all()
    assert (again.index, stream.rank_of(again)) == (stream.reader.come.next, 1)
    assert (behind.index, stream.rank_of(behind)) == (stream.reader.come.next + 1, 1)


def test_a_stream_of_hundreds_of_boxes_is_read_to_its_end_and_never_beyond_the_window() -> None:
    stream = Stream()
    stream.write(TODAY, 300)
    for asked in stream.drain():
        assert asked.index < stream.reader.come.next + WINDOW
    assert stream.reader.come == Acks(300, 0)


def test_a_relay_that_had_nothing_is_asked_again_and_another_rank_now_and_then() -> None:
    stream, ranks = Stream(), Counter[int]()
    for _ in range(400):
        for one in stream.all():
            if one.index == 0:
                ranks[stream.rank_of(one)] += 1
            stream.answer(one)
    assert set(ranks) == set(range(5))
    assert ranks[0] > 200
    assert ranks[1] > 200
    assert all(20 < ranks[rank] < 200 for rank in (2, 3, 4))


def test_a_lost_get_is_asked_again() -> None:
    stream = Stream()
    first, *_ = stream.all()
    stream.following.lost(first, stream.now)
    again = stream.ask()
    assert again is not None
    assert (again.index, again.day) == (first.index, first.day)


def test_after_absence_the_days_since_the_last_box_are_asked_once_in_turn() -> None:
    stream = Stream(began=TODAY - 5)
    for day in (TODAY - 5, TODAY - 3, TODAY - 3, TODAY - 1, TODAY):
        stream.write(day)
    asked = stream.drain()
    assert stream.reader.come == Acks(5, 0)
    past = [a for a in asked if a.day < TODAY]
    assert not any(a.waits for a in past)
    assert len(past) < 40
    assert stream.reader.day == TODAY
    assert all(a.day == TODAY for a in stream.all())


def test_a_past_day_that_had_nothing_is_left_alone_for_a_while() -> None:
    stream = Stream(began=TODAY - 2)
    first = stream.drain()
    vain = Counter((a.index, a.day) for a in first if a.day < TODAY)
    assert vain
    assert set(vain.values()) == {PAST_REPLICAS}
    stream.now += PAST_AGAIN - 1
    assert all(a.day == TODAY for a in stream.all())
    stream.now += 1
    assert any(a.day < TODAY for a in stream.all())


def test_a_box_that_was_late_on_a_past_day_is_found_though_later_ones_came() -> None:
    stream = Stream(began=TODAY - 1)
    stream.write(TODAY - 1)
    late = stream.boxes.pop((0, TODAY - 1))
    stream.write(TODAY, 3)
    stream.drain()
    assert (stream.reader.come.next, stream.reader.come.bits) != (0, 0)
    stream.boxes[0, TODAY - 1] = late
    stream.now += PAST_AGAIN
    stream.drain()
    assert stream.reader.come == Acks(4, 0)


def test_days_that_no_relay_keeps_any_more_are_not_asked() -> None:
    stream = Stream(began=TODAY - 60)
    days = {a.day for a in stream.drain()}
    assert days == set(range(TODAY - PARAMS.box_days, TODAY + 1))


@pytest.mark.parametrize(
    ("hour", "began", "days"),
    [(0.5, -9, {-1, 0}), (0.5, 0, {0}), (12, -9, {0}), (23.5, 0, {0, 1})],
)
def test_around_midnight_both_days_are_waited_at(hour: float, began: int, days: set[int]) -> None:
    now = TODAY * DAY + round(hour * HOUR)
    stream = Stream(began=TODAY + began, now=now)
    waited = {a.day - TODAY for a in stream.drain() if a.waits}
    assert waited == days


def test_a_cold_stream_has_its_turn_now_and_then_and_a_box_makes_it_hot() -> None:
    stream = Stream()
    assert stream.following.hot(stream.now)
    stream.now += HOT
    assert not stream.following.hot(stream.now)
    turns = []
    for _ in range(20):
        asked = stream.all(hot=False)
        assert len(asked) >= 3
        for one in asked:
            stream.following.empty(one, stream.now)
        before = stream.now
        while stream.following.next_ask(stream.rank, 0, False, False, SLOW, stream.now) is None:
            stream.now += 10 * clock.SECOND
        turns.append(stream.now - before)
    assert min(turns) >= COLD_LEAST
    assert max(turns) <= COLD_LEAST + COLD_MORE + 10 * clock.SECOND
    stream.write(TODAY)
    stream.answer(stream.all(hot=False)[0])
    assert stream.following.hot(stream.now)
    stream.now += HOT
    stream.following.stir(stream.now)
    assert stream.following.hot(stream.now)


def test_a_changed_directory_is_ranked_anew() -> None:
    stream = Stream()
    gone = {a.relay for a in stream.all()}
    stream.relays = [relay for relay in RELAYS if relay not in gone]
    stream.view += 1
    assert not gone & {a.relay for a in stream.all()}
    stream.relays = []
    stream.view += 1
    assert stream.ask() is None


def test_answers_for_boxes_that_have_come_meanwhile_hurt_nothing() -> None:
    stream = Stream()
    first, second, ahead, _ = stream.all()
    stream.write(TODAY, 2)
    assert stream.answer(first)
    assert stream.answer(ahead)
    stream.all()
    stream.following.empty(second, stream.now)
    stream.following.lost(second, stream.now)
    stream.following.came(ahead, stream.now)
    assert stream.reader.come == Acks(2, 0)


def test_what_is_remembered_of_a_stream_is_bounded() -> None:
    stream = Stream(began=TODAY - 20)
    stream.write(TODAY - 2, 300)
    stream.drain()
    for day in range(40):
        stream.now = NOON + day * DAY
        stream.all()
        assert len(stream.following._places) < 16 * (AHEAD_MOST + 1)


def test_a_box_that_later_ones_have_overtaken_is_asked_for_again_when_answers_are_late() -> None:
    stream = Stream()
    stream.write(TODAY, 2)
    waiting = stream.all()
    second, _ = (asked for asked in waiting if asked.index == 1)
    stream.now += SLOW - 1
    assert stream.answer(second)
    assert [asked for asked in stream.all() if asked.index == 0] == []  # not late yet
    stream.now += 1
    again = [asked for asked in stream.all() if asked.index == 0]
    assert [stream.rank_of(asked) for asked in again] == [0, 1]
    assert [asked for asked in stream.all() if asked.index == 0] == []


def test_without_a_later_box_a_get_waits_its_time() -> None:
    stream = Stream()
    stream.all()
    stream.now += 10 * SLOW
    assert stream.all() == []


def test_a_past_day_is_asked_at_all_ranks_in_turn_two_a_round() -> None:
    """A box may be left at its last replica alone."""
    stream, rounds = Stream(began=TODAY - 1), list[list[int]]()
    for _ in range(4):
        asked = [a for a in stream.drain() if a.day < TODAY and a.index == 0]
        rounds.append([stream.rank_of(a) for a in asked])
        stream.now += PAST_AGAIN
    assert rounds == [[0, 1], [2, 3], [4], [0, 1]]


@pytest.mark.parametrize("day", [TODAY - 1, TODAY])
def test_boxes_behind_a_missing_one_are_asked_for_as_far_as_a_reader_takes_them(day: int) -> None:
    stream = Stream(began=day)
    stream.write(day, 80)
    late = stream.boxes.pop((1, day))
    stream.drain()
    assert stream.reader.come == Acks(1, 2**ACK_WINDOW - 1)
    stream.boxes[1, day] = late
    stream.now += PAST_AGAIN
    stream.drain()
    assert stream.reader.come == Acks(80, 0)


def test_a_box_sealed_after_the_writers_clock_was_set_back_is_found_by_who_was_away() -> None:
    stream = Stream(now=(TODAY + 1) * DAY - 600 * clock.SECOND)
    stream.write(TODAY + 1)
    for asked in stream.drain():
        stream.following.empty(asked, stream.now)
    stream.writer = Association.restore(
        state.ASSOCIATIONS.decode(stream.writer.row(b"talk no1")), PARAMS.hash
    )
    index, record = stream.writer.seal(Parcel(Acks(), b"the line", 0, None), TODAY, stream.rng)
    stream.boxes[index, box.header(record).day] = record
    stream.now += 2 * DAY
    stream.drain()
    assert stream.reader.come == Acks(2, 0)


def test_streams_change_days_each_at_its_own_edge() -> None:
    def ready(minutes: int) -> int:
        """Return how many streams ask for tomorrow's box so long before midnight."""
        now, count = (TODAY + 1) * DAY - minutes * 60 * clock.SECOND, 0
        for number in range(40):
            stream = Stream(now=now)
            stream.following = Following(stream.reader, PARAMS, seeded(f"edge {number}"), now)
            count += any(asked.day > TODAY for asked in stream.all())
        return count

    assert [ready(minutes) for minutes in (91, 30)] == [0, 40]
    assert 8 <= ready(60) <= 32
