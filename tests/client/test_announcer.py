"""Announcing one persona: today at once, days ahead later, again and again."""

from dataclasses import replace
from itertools import pairwise

from shoal_protocol import clock
from shoal_protocol.client.announcer import RETRY_LONGEST, Announcer
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms import announcement, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from support import START, seeded

TODAY = clock.index_of(START, LAB.day_s)
DAY = 86_400 * clock.SECOND


class Announcing:
    """An announcer whose PUTs a test answers."""

    def __init__(self, seed: int = 0, bits: int = 1) -> None:
        self.params = replace(LAB, announce_work_bits=bits)
        rng = seeded(f"announcer {seed}")
        self.me = PersonaSecrets(rng.bytes(32), network=self.params.hash)
        self.announcer = Announcer(self.me, self.params, rng)
        self.now = START

    def step(self) -> tuple[int, bytes] | None:
        self.announcer.work(self.now)
        return self.announcer.due(self.now)

    def run(self, seconds: int, kept: bool = True) -> list[tuple[int, int, bytes]]:
        """Step each second, answer each PUT at once; return (second, day from today, record)."""
        puts = []
        for second in range(seconds):
            while (due := self.step()) is not None:
                self.announcer.sent(due[0])
                self.announcer.answered(due[0], kept, self.now)
                puts.append((second, due[0] - TODAY, due[1]))
            self.now += clock.SECOND
        return puts


def test_today_is_announced_at_once_and_readers_can_open_it() -> None:
    one = Announcing()
    due = one.step()
    assert due is not None
    day, record = due
    assert day == TODAY
    found = announcement.open_record(
        one.me.pseudonym, record, period=TODAY, network=one.params.hash
    )
    prekeys = one.me.prekeys_of(TODAY)
    assert prekeys is not None
    assert (found.prekey, found.kem_public) == (prekeys.public, prekeys.kem_public)
    announcement.validate(record, START, one.params)


def test_days_ahead_are_announced_each_at_its_own_random_time() -> None:
    firsts: list[int] = []
    for seed in range(12):
        puts = Announcing(seed).run(4000)
        first = {day: second for second, day, _ in reversed(puts)}
        assert first[0] == 0
        assert set(first) <= {0, 1, 2, 3}
        firsts += [second for day, second in first.items() if day]
    assert len(set(firsts)) > 0.9 * len(firsts) > 25
    assert 400 < sum(firsts) / len(firsts) < 850  # exponential, 600 on average


def test_records_are_repeated_unchanged() -> None:
    puts = Announcing().run(20_000)
    todays = [record for _, day, record in puts if day == 0]
    assert 5 < len(todays) < 25
    assert len(set(todays)) == 1


def test_a_put_in_flight_is_not_put_twice() -> None:
    one = Announcing()
    due = one.step()
    assert due is not None
    one.announcer.sent(TODAY)
    one.now += clock.SECOND
    again = one.step()
    assert again is None or again[0] != TODAY


def test_failed_puts_are_tried_again_after_growing_times() -> None:
    puts = Announcing().run(1200, kept=False)
    times = [second for second, day, _ in puts if day == 0]
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[0] <= 4
    assert max(gaps) <= RETRY_LONGEST / clock.SECOND * 1.5 + 1
    assert sum(gaps[:3]) < sum(gaps[-3:])
    assert len(times) < 25


def test_one_success_ends_the_growth_and_marks_today_as_kept() -> None:
    one = Announcing()
    one.run(300, kept=False)
    assert not one.announcer.kept(one.now)
    one.now += 600 * clock.SECOND
    assert one.run(1)[0][1] == 0
    assert one.announcer.kept(one.now)
    one.now += 24 * 3600 * clock.SECOND
    assert not one.announcer.kept(one.now)


def test_work_is_done_in_slices() -> None:
    one = Announcing(bits=17)
    slices = 0
    while one.step() is None:
        assert one.announcer.working(one.now)
        slices += 1
    assert not one.announcer.working(one.now)
    assert slices > 3
    challenge = announcement.work_challenge(
        announcement.blinded_key(one.me.pseudonym, TODAY, one.params.hash),
        TODAY,
        announcement.revision_at(one.me, TODAY, START, one.params),
        one.params.hash,
    )
    due = one.announcer.due(one.now)
    assert due is not None
    work.check(challenge, due[1][41:49], 17)


def test_a_new_day_is_begun_and_an_old_one_dropped_with_its_prekeys_in_time() -> None:
    one = Announcing()
    one.run(5)
    for day in range(1, 9):
        one.now = START + day * DAY
        one.run(5)
        assert one.announcer.kept(one.now)
        assert (one.me.prekeys_of(TODAY) is None) == (day > 4)
    assert len(one.announcer._days) == LAB.announce_days_ahead + 1


def test_an_answer_about_a_day_that_is_over_changes_nothing() -> None:
    one = Announcing()
    one.step()
    one.announcer.sent(TODAY)
    one.now += 2 * DAY
    one.step()
    one.announcer.answered(TODAY, True, one.now)
    assert not one.announcer.kept(one.now)
