"""Announcing one persona: today at once, days ahead later, again and again."""

from dataclasses import replace
from itertools import pairwise

from shoal_protocol import clock, crypto
from shoal_protocol.client.announcer import RETRY_LONGEST, Announcer
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.envelope import Version
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


class Relays:
    """Relays as a directory lists them, each in one of its runs."""

    def __init__(self, count: int) -> None:
        self.runs = dict.fromkeys(range(count), 0)

    def listed(self, epoch: int = 7) -> dict[bytes, Descriptor]:
        """Return what they say in an epoch, by their ids."""
        said = [self._descriptor(number, epoch) for number in self.runs]
        return {one.relay_id: one for one in said}

    def _descriptor(self, number: int, epoch: int) -> Descriptor:
        seed = crypto.digest(b"relay %d" % number)
        run = self.runs[number]
        keys = [(e, crypto.digest(b"%d %d %d" % (number, run, e))) for e in (epoch, epoch + 1)]
        data = descriptors.sign(
            seed,
            version=Version(epoch, run),
            addresses=[f"/ip4/10.0.0.{number + 1}/tcp/{4001 + run}"],
            mix_keys=keys,
            instance=bytes(16),
            nonce=bytes(8),
            params=LAB,
        )
        return descriptors.decode_descriptor(data, LAB)


def next_put(one: Announcing, seconds: int) -> int | None:
    """Return the second of today's next PUT."""
    return next((second for second, day, _ in one.run(seconds) if day == 0), None)


def announced(seed: int, relays: Relays) -> Announcing:
    """Return an announcer of which today's record was kept just now."""
    one = Announcing(seed)
    one.announcer.followed(relays.listed(), one.now)
    assert next_put(one, 1) == 0
    return one


def test_an_announcement_is_repeated_in_minutes_once_most_of_its_storers_began_anew() -> None:
    waits: list[int] = []
    for seed in range(20):
        relays = Relays(9)
        one = announced(seed, relays)
        relays.runs.update((number, 1) for number in range(5))
        one.announcer.followed(relays.listed(), one.now)
        wait = next_put(one, 1200)
        assert wait is not None
        waits.append(wait)
    assert 60 < sum(waits) / len(waits) < 200  # exponential, 120 s on average
    assert len(set(waits)) > 15


def test_storers_that_left_count_like_those_that_began_anew() -> None:
    hurried = 0
    for seed in range(12):
        relays = Relays(9)
        one = announced(seed, relays)
        del relays.runs[0], relays.runs[1], relays.runs[2]
        relays.runs.update({3: 1, 4: 2})
        one.announcer.followed(relays.listed(), one.now)
        hurried += next_put(one, 600) is not None
    assert hurried == 12


def test_half_of_the_storers_other_addresses_and_new_epochs_hurry_nobody() -> None:
    for seed in range(4):
        relays = Relays(8)
        hurried, calm = announced(seed, relays), announced(seed, relays)
        relays.runs.update((number, 1) for number in range(4))
        for epoch in (7, 8, 9, 10):
            hurried.announcer.followed(relays.listed(epoch), hurried.now)
        hurried.announcer.followed({}, hurried.now)  # cut off: that says nothing of relays
        hurried.announcer.followed(relays.listed(10), hurried.now)
        assert hurried.run(3600) == calm.run(3600)
