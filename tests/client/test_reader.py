"""What a waiting slot asks for: inboxes and streams evenly, decoys in just the same way."""

from collections import Counter
from dataclasses import replace

import pytest

from client.crowd import crowd
from client.neighbours import sides
from shoal_protocol import clock, crypto
from shoal_protocol.client.following import EDGE_LEAST_S, EDGE_MORE_S, HOT
from shoal_protocol.client.reader import (
    DECOY_GETS,
    DECOY_INBOXES,
    SHORT_SHARE,
    DecoyGet,
    FileGet,
    Get,
    InboxGet,
    Reader,
    StreamGet,
)
from shoal_protocol.client.readings import HOT_STREAMS, OLD_AGAIN
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import LAB, PRESETS, Preset
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.service import messages, placement
from shoal_protocol.service.messages import Reply, Request, RequestType, Status
from support import START, seeded

DAY = clock.index_of(START, LAB.day_s)
HOUR = 3600 * clock.SECOND
MIDNIGHT = (DAY + 10) * 24 * HOUR
FAST = PRESETS["fast"]
EMPTY = Reply(Status.EMPTY)
SLOW = 3 * clock.SECOND
WIDE = replace(FAST, rate=60.0)  # so that many GETs may wait


def announced(secrets: PersonaSecrets, days: int = 16) -> None:
    """Draw the prekeys of so many days, as announcing them does."""
    rng = seeded("prekeys")
    for day in range(DAY, DAY + days):
        secrets.prekeys(day, rng)


class Reading:
    """A reader of some personas, in a network of ``count`` relays.

    Without ``personas`` there is one that has announced nothing: streams can be read alone.
    """

    def __init__(
        self, seed: int | str = 0, personas: int = 1, count: int = 12, preset: Preset = FAST
    ) -> None:
        self.rng = seeded(f"reader {seed}")
        self.relays: dict[bytes, Descriptor] = {r.relay_id: r for r in crowd(self.rng, count)}
        self.reader = Reader(LAB, preset, SLOW, self.rng)
        self.secrets = [
            PersonaSecrets(self.rng.bytes(32), network=LAB.hash) for _ in range(personas)
        ]
        for number, secrets in enumerate(self.secrets):
            self.reader.add(str(number), secrets)
            announced(secrets)
        if not personas:
            secrets = PersonaSecrets(self.rng.bytes(32), network=LAB.hash)
            self.reader.add("0", secrets)
        self.view = 0

    def follow(self, count: int, now: int = START, persona: str = "0") -> list[bytes]:
        """Follow so many streams; return their sessions."""
        found = []
        for number in range(count):
            mine, _ = sides(f"stream {number} of {persona}", day=DAY)
            self.reader.follow(persona, mine, now)
            found.append(mine.id)
        return found

    def next(self, now: int, *, settled: bool = True) -> Get:
        get = self.reader.next_get(self.relays, self.view, settled, now)
        assert get is not None
        return get

    def end(self, get: Get, now: int, reply: Reply = EMPTY) -> None:
        """Answer a GET, as the machine does it."""
        self.reader.answered(get.purpose)
        match get.purpose:
            case InboxGet(box, asked):
                box.mailbox.answered(asked, reply)
            case StreamGet(following, asked):
                following.empty(asked, now)
            case _:
                pass

    def asked(self, now: int, count: int = 200) -> list[Get]:
        """Ask ``count`` times within a moment, each answered EMPTY at once."""
        gets = []
        for moment in range(count):
            get = self.next(now + moment)
            self.end(get, now + moment)
            gets.append(get)
        return gets

    def waiting(self, now: int, count: int) -> list[Get]:
        """Ask ``count`` times without any answer."""
        return [self.next(now) for _ in range(count)]

    def boxes(self, now: int, count: int) -> list[Get]:
        """As :meth:`asked`, while the decoy inboxes have all the GETs that they may have."""
        held = self.waiting(now, 40)
        for get in held:
            if isinstance(get.purpose, DecoyGet):
                self.end(get, now)
        inboxes = [get for get in held if isinstance(get.purpose, InboxGet)]
        assert len(inboxes) == DECOY_INBOXES * LAB.replicas
        return self.asked(now, count)

    def days(self, now: int, count: int = 200) -> Counter[int]:
        """Return the days of inboxes asked for, from the day of ``now``, and how often."""
        keys = {self.secrets[0].inbox_key(DAY + n).public: DAY + n for n in range(16)}
        today = clock.index_of(now, LAB.day_s)
        addresses = [address(get) for get in self.asked(now, count) if real(get)]
        return Counter(keys[one] - today for one in addresses)


def real(get: Get) -> bool:
    if isinstance(get.purpose, InboxGet):
        return get.purpose.box.persona is not None
    return not isinstance(get.purpose, DecoyGet)


def address(get: Get) -> bytes:
    return get.question.record[:32]


def test_an_inbox_has_one_get_at_each_of_its_replicas() -> None:
    reading = Reading()
    mine = reading.secrets[0].inbox_key(DAY).public
    ranked = placement.rank(mine, reading.relays, LAB.replicas)
    gets = [get for get in reading.waiting(START, 20) if real(get)]
    assert {address(get) for get in gets} == {mine}
    assert [get.relay.relay_id for get in gets] == ranked
    assert all(get.question.type is RequestType.INBOX_GET for get in gets)


def test_replicas_beyond_k_have_their_turn_when_answers_come() -> None:
    reading = Reading()
    mine = reading.secrets[0].inbox_key(DAY).public
    ranked = placement.rank(mine, reading.relays, LAB.replicas + LAB.replica_slack)
    used = Counter(g.relay.relay_id for g in reading.asked(START, 400) if address(g) == mine)
    assert set(used) == set(ranked)


def test_a_stream_has_three_gets_at_its_next_box_and_two_at_the_one_behind() -> None:
    reading = Reading(personas=0)
    (session,) = reading.follow(1)
    mine, _ = sides("stream 0 of 0", day=DAY)
    assert session == mine.id
    gets = [get for get in reading.waiting(START, 20) if real(get)]
    assert Counter(address(get) for get in gets) == {
        mine.address(0, DAY): 3,
        mine.address(1, DAY): 2,
    }
    ranked = placement.rank(mine.address(0, DAY), reading.relays, 3)
    asked = {g.relay.relay_id for g in gets if address(g) == mine.address(0, DAY)}
    assert asked == set(ranked)
    reading.reader.unfollow("0", session)
    assert not any(real(get) for get in reading.asked(START, 50))


def test_slots_are_shared_evenly_whatever_happens_in_inboxes_and_streams() -> None:
    """Else filling one of them would show in the others whose they are.

    5 standard deviations of a binomial: passed by chance once in 300,000 draws.
    """
    reading = Reading(personas=2)
    for persona in ("0", "1"):
        reading.follow(1, persona=persona)
    shares: Counter[str] = Counter()
    for moment in range(1200):
        get = reading.next(START + moment)
        reply = EMPTY
        match get.purpose:
            case InboxGet(box, asked):
                assert box.persona is not None
                shares[f"inbox {box.persona}"] += 1
                if box.persona == "0":  # it is filled by somebody
                    number = max(asked.cursor, START // clock.MILLISECOND << 20) + 1
                    reply = Reply(Status.OK, bytes(2048), number, 9, get.relay.instance)
            case StreamGet(following, _):
                shares[f"stream {following.stream.id.hex()}"] += 1
            case _:
                raise AssertionError(get)
        reading.end(get, START + moment, reply)
    assert len(shares) == 4
    assert all(abs(share - 300) < 5 * (1200 * 3 / 16) ** 0.5 for share in shares.values())


def test_no_more_than_so_many_streams_are_waited_at_and_the_last_used_ones_are() -> None:
    reading = Reading(personas=0, preset=WIDE)
    sessions = reading.follow(HOT_STREAMS + 6)
    now = START + HOT // 2
    for session in sessions[-HOT_STREAMS:]:
        reading.reader.stir("0", session, now)
    cold = Counter[bytes]()
    for get in reading.waiting(now, 200):
        if isinstance(get.purpose, StreamGet):
            cold[get.purpose.following.stream.id] += 1
    first = dict(cold)
    assert set(first) == set(sessions)  # each has a turn at once
    for get in reading.asked(now, 300):
        assert not isinstance(get.purpose, StreamGet)
    reading.reader.stir("0", b"unknown" * 2, now)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_real_gets_outstanding_are_capped_and_decoys_fill_the_slots(preset: str) -> None:
    reading = Reading(preset=PRESETS[preset])
    reading.follow(HOT_STREAMS + 4)
    cap = PRESETS[preset].outstanding_gets
    gets = reading.waiting(START, cap + 40)
    assert [real(get) for get in gets] == [True] * min(cap, 51) + [False] * 40
    reading.reader.lost(gets[0].purpose, START)
    reading.reader.lost(gets[-1].purpose, START)
    assert real(reading.next(START))
    assert not real(reading.next(START))


def test_decoys_and_real_gets_have_one_form_valid_points_and_one_distribution_of_waits() -> None:
    """Kolmogorov–Smirnov of two samples: 1.95·√(2/n) is passed by chance once in 1,000 draws."""
    reading, decoying = Reading(personas=0), Reading(personas=0)
    waits: list[list[int]] = []
    for one, streams in ((reading, 4), (decoying, 0)):
        one.follow(streams)
        gets = one.asked(START, 1500) if streams else one.boxes(START, 1500)
        assert all(real(get) == bool(streams) for get in gets)
        for get in gets[:50]:
            request = Request(get.question.type, bytes(464), get.question.record)
            assert messages.decode_request(request.encode()) == request
            crypto.ed25519_check_point(address(get))
            assert (get.question.cursor, get.question.floor, get.question.effort) == (0, 0, 0)
        waits.append(sorted(get.question.wait_ms for get in gets if get.question.wait_ms))
    count = min(map(len, waits))
    assert count > 900
    samples = [[wait[len(wait) * n // count] for n in range(count)] for wait in waits]
    grid = range(0, 3 * FAST.get_wait_mean_ms, 500)
    distance = max(
        abs(sum(w <= at for w in samples[0]) - sum(w <= at for w in samples[1])) / count
        for at in grid
    )
    assert distance < 1.95 * (2 / count) ** 0.5


def test_as_many_gets_wait_at_an_address_whether_it_is_a_streams_or_a_decoy() -> None:
    reading, decoying = Reading(personas=0, preset=WIDE), Reading(personas=0)
    reading.follow(8)
    held = Counter(address(g) for g in reading.waiting(START, 300) if real(g))
    decoys = [g for g in decoying.waiting(START, 60) if isinstance(g.purpose, DecoyGet)]
    seen = Counter(address(get) for get in decoys)
    for counts in (held, seen):
        assert set(DECOY_GETS) <= set(counts.values())
        assert max(counts.values()) <= 2 * max(DECOY_GETS)  # one that waits briefly is followed


def test_decoys_are_asked_again_at_the_ranks_at_which_streams_are() -> None:
    reading, decoying = Reading(personas=0), Reading(personas=0)
    reading.follow(1)
    shares = []
    for one in (reading, decoying):
        ranks = Counter[int]()
        gets = one.boxes(START, 4000) if one is decoying else one.asked(START, 4000)
        for get in gets:
            ranks[placement.rank(address(get), one.relays, 5).index(get.relay.relay_id)] += 1
        shares.append([ranks[rank] / ranks.total() for rank in range(5)])
    assert all(share > 0.02 for share in shares[0] + shares[1])


def test_decoy_inboxes_are_asked_like_inboxes_at_random_addresses() -> None:
    reading = Reading(personas=0)
    gets = [g for g in reading.asked(START, 400) if g.question.type is RequestType.INBOX_GET]
    asked = Counter(address(get) for get in gets)
    assert len(asked) == DECOY_INBOXES or len(asked) == 1
    for one in asked:
        used = {get.relay.relay_id for get in gets if address(get) == one}
        assert used == set(placement.rank(one, reading.relays, 5))


def test_decoys_change_with_time_and_are_never_many() -> None:
    reading = Reading(personas=0)
    seen: set[bytes] = set()
    for hour in range(48):
        now = START + hour * HOUR
        seen |= {address(get) for get in reading.asked(now, 20)}
        assert len(reading.reader._decoys) + len(reading.reader._decoy_inboxes) <= 20
    assert len(seen) > 24
    for _ in range(3):
        waited = reading.waiting(now, 100)
        assert len(reading.reader._decoys) <= 300 // min(DECOY_GETS)
        for get in waited:
            reading.end(get, now)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_waits_keep_to_the_presets_pace(preset: str) -> None:
    mean = PRESETS[preset].get_wait_mean_ms
    reading = Reading(preset=PRESETS[preset])
    waits = [get.question.wait_ms for get in reading.asked(START, 1500)]
    assert max(waits) == 3 * mean <= LAB.get_wait_cap_ms
    capped_mean = mean * (1 - 2.718281828**-3)
    assert abs(sum(waits) / len(waits) - capped_mean) < 0.1 * mean  # 4 standard errors: 0.09


def test_a_store_that_is_known_to_hold_more_is_asked_first_every_other_time() -> None:
    """Not always: a store could draw all questions to itself by promising more for ever."""
    reading = Reading()
    get = reading.next(START)
    base = START // clock.MILLISECOND << 20
    reading.end(get, START, Reply(Status.OK, bytes(2048), base + 1, 1000, get.relay.instance))
    asked = Counter(reading.next(START + n).relay.relay_id for n in range(45))
    assert 15 < asked[get.relay.relay_id] < 32
    assert len(asked) == 5


def test_a_floor_is_told_once_all_is_durable() -> None:
    reading = Reading()
    get = reading.next(START)
    number = (START // clock.MILLISECOND << 20) + 1
    reading.end(get, START, Reply(Status.OK, bytes(2048), number, 0, get.relay.instance))
    told = []
    for step, settled in enumerate((False, True, False)):
        floors = set()
        for moment in range(40):
            again = reading.next(START + step * 100 + moment, settled=settled)
            if again.relay == get.relay and real(again):
                floors.add(again.question.floor)
            reading.end(again, START)
        told.append(floors)
    assert told == [{0}, {number}, {number}]


def test_an_inbox_of_a_day_before_is_asked_now_and_then() -> None:
    reading = Reading()
    noon = MIDNIGHT + 12 * HOUR
    days = reading.days(noon, 600)
    assert set(days) == {0, -1, -2, -3, -4}
    assert sum(days[day] for day in (-1, -2, -3, -4)) == 4
    assert reading.days(noon + OLD_AGAIN - clock.SECOND, 300).keys() == {0}
    assert set(reading.days(noon + OLD_AGAIN + clock.SECOND, 300)) == {0, -1, -2, -3, -4}


def test_around_midnight_both_days_are_asked() -> None:
    within = clock.seconds(EDGE_LEAST_S - 1)
    assert Reading().days(MIDNIGHT + within)[-1] > 60
    assert Reading().days(MIDNIGHT - within)[1] > 60
    beyond = clock.seconds(EDGE_LEAST_S + EDGE_MORE_S)
    assert Reading().days(MIDNIGHT + beyond)[-1] < 30
    assert Reading().days(MIDNIGHT - beyond - clock.SECOND)[1] == 0


def test_days_before_the_persona_began_are_not_asked() -> None:
    assert set(Reading().days(START + clock.SECOND, 400)) == {0}


def test_inboxes_of_long_ago_are_forgotten() -> None:
    reading = Reading()
    for day in range(12):
        reading.asked(START + day * 24 * HOUR, 60)
    assert len(reading.reader._personas["0"]._boxes) <= 6


def test_a_removed_personas_inbox_is_asked_no_more_and_its_answers_hurt_nothing() -> None:
    reading = Reading()
    outstanding = [reading.next(START) for _ in range(LAB.replicas)]
    reading.reader.remove("0")
    assert not any(real(get) for get in reading.asked(START, 50))
    for get in outstanding:
        reading.reader.lost(get.purpose, START)
    assert reading.reader.outstanding == 0
    reading.reader.add("again", reading.secrets[0])
    gets = reading.waiting(START, LAB.replicas + 1)
    assert [real(get) for get in gets] == [True] * LAB.replicas + [False]


def test_a_changed_directory_is_ranked_anew_and_an_empty_one_asks_nobody() -> None:
    reading = Reading()
    reading.follow(1)
    mine = reading.secrets[0].inbox_key(DAY).public
    gone = placement.rank(mine, reading.relays, 1)[0]
    reading.asked(START)
    del reading.relays[gone]
    reading.view += 1
    assert all(get.relay.relay_id != gone for get in reading.asked(START))
    reading.relays.clear()
    reading.view += 1
    assert reading.reader.next_get({}, reading.view, True, START) is None


class Fragments:
    """A source that wants some boxes."""

    def __init__(self, count: int) -> None:
        self.wanted = [bytes([n]) * 32 for n in range(count)]
        self.answers: list[object] = []
        self.losses: list[object] = []

    def next_ask(self, now: int) -> tuple[bytes, int, object] | None:
        return (self.wanted.pop(), 1, len(self.wanted)) if self.wanted else None

    def answered(self, token: object, reply: Reply) -> None:
        self.answers.append(token)

    def lost(self, token: object) -> None:
        self.losses.append(token)


def test_a_source_has_a_share_of_the_slots_and_its_gets_do_not_wait() -> None:
    reading, source = Reading(personas=1), Fragments(30)
    reading.reader.add_source("0", source)
    gets = reading.asked(START, 100)
    files = [get for get in gets if isinstance(get.purpose, FileGet)]
    assert len(files) == 30
    assert 20 < sum(isinstance(get.purpose, InboxGet) for get in gets[:60]) < 40
    for get in files:
        assert (get.question.type, get.question.wait_ms) == (RequestType.BOX_GET, 0)
        assert get.relay.relay_id == placement.rank(address(get), reading.relays, 2)[1]
    reading.reader.remove_source("0", source)
    source.wanted = [b"x" * 32]
    assert not any(isinstance(g.purpose, FileGet) for g in reading.asked(START, 50))
    reading.reader.lost(files[0].purpose, START)
    assert source.losses == [29]


def test_decoys_change_days_as_streams_do_each_at_its_own_edge() -> None:
    def both(minutes: int) -> tuple[int, int]:
        """Return how many decoys there are so long before midnight, and are asked on two days."""
        reading = Reading(personas=0)
        reading.waiting(MIDNIGHT - minutes * 60 * clock.SECOND, 240)
        places = [decoy.places for decoy in reading.reader._decoys]
        assert all(set(days) <= {DAY + 9, DAY + 10} for days in places)
        assert len({one.address for days in places for one in days.values()}) == sum(
            map(len, places)
        )
        return len(places), sum(len(days) == 2 for days in places)

    assert both(91)[1] == 0
    count, changing = both(29)
    assert changing >= count - 1  # the last may lack its second GET yet
    count, changing = both(60)
    assert count / 5 < changing < 4 * count / 5


def test_a_decoy_has_its_address_for_its_day_and_another_for_the_next() -> None:
    reading = Reading(personas=0)
    reading.waiting(MIDNIGHT - 20 * 60 * clock.SECOND, 20)
    before = {id(decoy): dict(decoy.places) for decoy in reading.reader._decoys}
    for get in reading.asked(MIDNIGHT + 91 * 60 * clock.SECOND, 200):
        del get
    after = {id(decoy): decoy.places for decoy in reading.reader._decoys if id(decoy) in before}
    for decoy, places in after.items():
        assert places.get(DAY + 10) is before[decoy].get(DAY + 10)
        assert DAY + 9 not in places


def test_one_decoy_in_eight_does_not_wait() -> None:
    """5 standard deviations of a binomial: passed by chance once in 1.7 million draws."""
    reading = Reading(personas=0)
    waits = [g.question.wait_ms for g in reading.boxes(START, 2000)]
    short = sum(wait == 0 for wait in waits)
    share = 1 / SHORT_SHARE
    assert abs(short - 2000 * share) < 5 * (2000 * share * (1 - share)) ** 0.5
