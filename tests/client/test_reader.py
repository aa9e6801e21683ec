"""Which inbox a waiting slot asks: real ones first, random ones in just the same way."""

from collections import Counter

import pytest

from client.crowd import crowd
from shoal_protocol import clock
from shoal_protocol.client.reader import DECOYS, OLD_SHARE, Get, Reader
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import LAB, PRESETS
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.service import placement
from shoal_protocol.service.messages import Reply, Status
from support import START, seeded

DAY = clock.index_of(START, LAB.day_s)
HOUR = 3600 * clock.SECOND
MIDNIGHT = (DAY + 10) * 24 * HOUR
FAST = PRESETS["fast"]


class Reading:
    """A reader of one persona, in a network of ``count`` relays."""

    def __init__(self, seed: int | str = 0, personas: int = 1, count: int = 12) -> None:
        self.rng = seeded(f"reader {seed}")
        self.relays: dict[bytes, Descriptor] = {r.relay_id: r for r in crowd(self.rng, count)}
        self.reader = Reader(LAB, FAST, self.rng)
        self.secrets = [
            PersonaSecrets(self.rng.bytes(32), network=LAB.hash) for _ in range(personas)
        ]
        for number, secrets in enumerate(self.secrets):
            self.reader.add(str(number), secrets, START)
        self.view = 0

    def next(self, now: int) -> Get:
        get = self.reader.next_get(self.relays, self.view, now)
        assert get is not None
        return get

    def asked(self, now: int, count: int = 200) -> list[Get]:
        """Ask ``count`` times within a moment, each answered EMPTY at once."""
        gets = []
        for moment in range(count):
            get = self.next(now + moment)
            self.reader.ended(get.box)
            get.box.mailbox.answered(get.asked, Reply(Status.EMPTY))
            gets.append(get)
        return gets

    def days(self, now: int, count: int = 200) -> Counter[int]:
        """Return the days asked for, from the day of ``now``, with how often each was."""
        keys = {self.secrets[0].inbox_key(DAY + n).public: DAY + n for n in range(15)}
        today = clock.index_of(now, LAB.day_s)
        return Counter(keys[get.box.mailbox.address] - today for get in self.asked(now, count))


def test_the_present_days_inbox_is_asked_at_relays_that_keep_it() -> None:
    reading = Reading()
    address = reading.secrets[0].inbox_key(DAY).public
    ranked = placement.rank(address, reading.relays, LAB.replicas + LAB.replica_slack)
    used = Counter(get.relay.relay_id for get in reading.asked(START))
    assert set(used) == set(ranked)
    assert all(get.box.persona == "0" for get in reading.asked(START))


def test_waiting_gets_stand_at_the_first_replicas_before_the_rest() -> None:
    reading = Reading()
    address = reading.secrets[0].inbox_key(DAY).public
    ranked = placement.rank(address, reading.relays, 5)
    gets = [reading.next(START + n) for n in range(FAST.outstanding_gets)]
    held = Counter(ranked.index(get.relay.relay_id) for get in gets)
    assert gets[0].relay.relay_id == ranked[0]
    assert sum(held[rank] for rank in range(3)) > 3 * sum(held[rank] for rank in (3, 4))
    assert max(held[0], held[1], held[2]) - min(held[0], held[1], held[2]) <= 1


def test_a_store_that_is_known_to_hold_more_is_asked_first_every_other_time() -> None:
    """Not always: a store could draw all questions to itself by promising more for ever."""
    reading = Reading()
    get = reading.next(START)
    base = START // clock.MILLISECOND << 20
    reading.reader.ended(get.box)
    more = Reply(Status.OK, bytes(2048), base + 1, 1000, get.relay.instance)
    get.box.mailbox.answered(get.asked, more)
    asked = Counter(reading.next(START + n).relay.relay_id for n in range(45))
    assert 15 < asked[get.relay.relay_id] < 32
    assert len(asked) == 5


def test_each_of_ones_inboxes_has_its_share_whatever_happens_in_them() -> None:
    """Else filling one of them would show in the others whose they are.

    4 standard deviations of a binomial: passed by chance once in 15,000 draws.
    """
    reading = Reading(personas=4)
    gets = []
    for moment in range(800):
        get = reading.next(START + moment)
        reading.reader.ended(get.box)
        more = get.box.persona == "0"
        number = max(get.asked.cursor, START // clock.MILLISECOND << 20) + 1
        reply = Reply(Status.OK, bytes(2048), number, 9) if more else Reply(Status.EMPTY)
        get.box.mailbox.answered(get.asked, reply)
        gets.append(get)
    shares = Counter(get.box.persona for get in gets)
    assert all(abs(shares[str(n)] - 200) < 4 * (800 * 3 / 16) ** 0.5 for n in range(4))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_real_gets_outstanding_are_capped_and_random_ones_fill_the_slots(preset: str) -> None:
    reading = Reading(personas=3)
    reading.reader = Reader(LAB, PRESETS[preset], reading.rng)
    for number, secrets in enumerate(reading.secrets):
        reading.reader.add(str(number), secrets, START)
    cap = PRESETS[preset].outstanding_gets
    gets = [reading.next(START) for _ in range(cap + 40)]
    assert [get.box.persona is not None for get in gets] == [True] * cap + [False] * 40
    reading.reader.lost(gets[0].box, gets[0].asked)
    reading.reader.lost(gets[-1].box, gets[-1].asked)
    assert reading.next(START).box.persona is not None
    assert reading.next(START).box.persona is None


def test_without_personas_random_addresses_are_asked_again_like_real_ones() -> None:
    reading = Reading(personas=0)
    gets = reading.asked(START, 400)
    asked = Counter(get.box.mailbox.address for get in gets)
    assert len(asked) == DECOYS
    assert min(asked.values()) > 40
    for address in asked:
        used = {get.relay.relay_id for get in gets if get.box.mailbox.address == address}
        assert used == set(placement.rank(address, reading.relays, 5))


def test_random_addresses_change_with_time_and_are_never_many() -> None:
    reading = Reading(personas=0)
    seen: set[bytes] = set()
    for hour in range(48):
        now = START + hour * HOUR
        seen |= {get.box.mailbox.address for get in reading.asked(now, 20)}
        assert len(reading.reader._decoys) <= DECOYS
    assert 48 < len(seen) < 48 * DECOYS


def test_waits_are_drawn_alike_for_real_and_random_addresses() -> None:
    for reading in (Reading(personas=1), Reading(personas=0)):
        waits = [get.question.wait_ms for get in reading.asked(START, 1500)]
        assert max(waits) == LAB.get_wait_cap_ms
        capped_mean = LAB.get_wait_mean_ms * (1 - 2.718281828**-3)
        assert abs(sum(waits) / len(waits) - capped_mean) < 2000  # 4 standard errors: 1,800


def test_in_the_middle_of_the_day_only_that_day_is_asked_but_for_old_ones() -> None:
    days = Reading().days(MIDNIGHT + 12 * HOUR, 1600)
    assert set(days) == {0, -1, -2, -3}
    old = 1600 - days[0]
    assert abs(old - 1600 / OLD_SHARE) < 40  # 4 standard deviations of a binomial: 39


def test_around_midnight_both_days_are_asked() -> None:
    within = HOUR - clock.SECOND
    assert Reading().days(MIDNIGHT + within)[-1] > 60
    assert Reading().days(MIDNIGHT - within)[1] > 60
    assert Reading().days(MIDNIGHT + HOUR)[-1] < 30
    assert Reading().days(MIDNIGHT - HOUR - clock.SECOND)[1] == 0


def test_days_before_the_persona_began_are_not_asked() -> None:
    assert set(Reading().days(START + clock.SECOND, 400)) == {0}


def test_inboxes_of_long_ago_are_forgotten() -> None:
    reading = Reading()
    for day in range(12):
        reading.asked(START + day * 24 * HOUR, 60)
    assert len(reading.reader._boxes) <= 6


def test_a_removed_personas_inbox_is_asked_no_more_and_its_answers_hurt_nothing() -> None:
    reading = Reading()
    outstanding = [reading.next(START) for _ in range(FAST.outstanding_gets)]
    reading.reader.remove("0")
    assert all(get.box.persona is None for get in reading.asked(START, 50))
    for get in outstanding:
        reading.reader.lost(get.box, get.asked)
    reading.reader.add("again", reading.secrets[0], START)
    gets = [reading.next(START) for _ in range(FAST.outstanding_gets + 1)]
    assert [get.box.persona for get in gets] == ["again"] * FAST.outstanding_gets + [None]


def test_a_changed_directory_is_ranked_anew_and_an_empty_one_asks_nobody() -> None:
    reading = Reading()
    address = reading.secrets[0].inbox_key(DAY).public
    gone = placement.rank(address, reading.relays, 1)[0]
    reading.asked(START)
    del reading.relays[gone]
    reading.view += 1
    assert all(get.relay.relay_id != gone for get in reading.asked(START))
    reading.relays.clear()
    reading.view += 1
    assert reading.reader.next_get({}, reading.view, START) is None
