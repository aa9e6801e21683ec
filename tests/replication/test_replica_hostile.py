"""What a hostile relay sends: every field, unranked, unpaid, forged, stale, unasked, too much."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.replica_net import PARAMS, TODAY, Relay, box_of, entry_of, paid
from shoal_protocol import clock, crypto
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.pseudonyms import work
from shoal_protocol.service import placement, replica_frames, storage
from shoal_protocol.service.desk import Access
from shoal_protocol.service.replica_events import LIMITS, Event, SendFrame
from shoal_protocol.service.replica_frames import (
    Answer,
    Ask,
    Frame,
    Named,
    Offer,
    Push,
    Pushed,
    State,
)
from shoal_protocol.service.storage import Item, Kind, PutBox, PutEntry, Stored
from support import START, seeded

REACH = PARAMS.replicas + PARAMS.replica_slack
Put = PutBox | PutEntry


def item_of(put: Put) -> Item:
    if isinstance(put, PutEntry):
        return Item(Kind.ENTRY, put.address, put.name)
    kind = Kind.TOMBSTONE if put.tombstone else Kind.BOX
    return Item(kind, put.address, storage.name_of(put.record))


def pushed_of(put: Put) -> Pushed:
    expires = put.expires if isinstance(put, PutEntry) else 0
    return replica_frames.push(
        Stored(item_of(put), put.record, put.effort, put.nonce, expires=expires)
    )


class Target:
    """One relay among eight; the others are played by the test."""

    def __init__(self) -> None:
        self.relay = Relay(0)
        self.others = [Relay(number).id for number in range(1, 8)]
        self.hostile, self.other = self.others[0], self.others[1]
        self.now = START
        self.do(self.relay.machine.directory_changed([self.relay.id, *self.others], START))
        self.sent: list[tuple[bytes, Answer]] = []

    def do(self, events: list[Event]) -> None:
        todo = list(events)
        while todo:
            match todo.pop(0):
                case Access(ticket, operation):
                    (outcome,) = self.relay.store.execute([operation], self.now)
                    todo += self.relay.machine.stored(ticket, outcome, self.now)
                case SendFrame(peer, frame, answer):
                    decoded = replica_frames.CODEC.decode(frame)
                    assert answer
                    assert isinstance(decoded, Answer)
                    self.sent.append((peer, decoded))

    def send(self, frame: Frame, peer: bytes | None = None) -> list[State]:
        """Send a frame and return how it was answered."""
        before = len(self.sent)
        data = replica_frames.CODEC.encode(frame)
        self.do(self.relay.machine.receive(peer or self.hostile, data, self.now))
        answers = self.sent[before:]
        assert [to for to, _ in answers] == [peer or self.hostile] * len(answers)
        return [State(state) for _, answer in answers for state in answer.states]

    def offer(self, *puts: Put, peer: bytes | None = None) -> list[State]:
        return self.send(Offer(1, tuple(replica_frames.name(item_of(p)) for p in puts)), peer)

    def push(self, *puts: Put, peer: bytes | None = None) -> list[State]:
        return self.send(Push(2, tuple(pushed_of(put) for put in puts)), peer)

    def refuses(self, reason: str, frame: Frame | bytes) -> None:
        """A frame is an error, nothing is kept, nothing is answered."""
        kept, sent = self.relay.records(), len(self.sent)
        data = frame if isinstance(frame, bytes) else replica_frames.CODEC.encode(frame)
        with pytest.raises(RemoteProtocolError) as caught:
            self.relay.machine.receive(self.hostile, data, self.now)
        assert caught.value.reason == reason
        assert (self.relay.records(), len(self.sent)) == (kept, sent)
        assert self.relay.machine.counters[f"refused {reason}"] >= 1

    def near(self, name: str = "near", day: int = TODAY, *, tombstone: bool = False) -> PutBox:
        """Return a box that the relay ranks for."""
        made = (box_of(f"{name} {n}", day, tombstone=tombstone) for n in range(1000))
        return next(put for put in made if self.ranks(put.address))

    def near_entry(self, bits: int = 0) -> PutEntry:
        """Return an entry that the relay ranks for."""
        made = (entry_of(f"near {n}", bits=bits) for n in range(1000))
        return next(put for put in made if self.ranks(put.address))

    def ranks(self, address: bytes) -> bool:
        return placement.ranks(self.relay.id, address, [self.relay.id, *self.others], REACH)


def test_what_is_offered_wanted_and_pushed_is_kept_and_acknowledged() -> None:
    target = Target()
    puts: list[Put] = [
        target.near(),
        target.near("other", tombstone=True),
        target.near_entry(bits=3),
    ]
    assert target.offer(*puts) == [State.ABSENT] * 3
    assert target.push(*puts) == [State.HELD] * 3
    assert target.relay.records() == {put.record for put in puts}
    assert target.offer(*puts, peer=target.other) == [State.HELD] * 3
    names = tuple(replica_frames.name(item_of(put)) for put in puts)
    assert target.send(Ask(9, names)) == [State.HELD] * 3


def test_of_two_who_offer_the_same_one_pushes_it_until_his_time_is_over() -> None:
    target = Target()
    put = target.near()
    assert target.offer(put) == [State.ABSENT]
    assert target.offer(put, peer=target.other) == [State.LATER]
    assert target.push(put, peer=target.other) == [State.LATER]
    assert target.offer(put) == [State.ABSENT]
    target.now += clock.seconds(LIMITS.promise_s)
    assert target.offer(put, peer=target.other) == [State.ABSENT]
    assert target.push(put) == [State.LATER]
    assert target.push(put, peer=target.other) == [State.HELD]


def test_strangers_and_oneself_are_refused_before_anything_is_read() -> None:
    target = Target()
    for stranger in (bytes(16), target.relay.id, Relay(99).id):
        target.hostile = stranger
        target.refuses("replica stranger", b"\xff" * 70_000)


def test_a_relay_that_has_left_the_directory_is_a_stranger_and_its_promises_are_void() -> None:
    target = Target()
    put = target.near()
    assert target.offer(put) == [State.ABSENT]
    rest = [target.relay.id, *(relay for relay in target.others if relay != target.hostile)]
    target.do(target.relay.machine.directory_changed(rest, target.now))
    target.refuses("replica stranger", Push(2, (pushed_of(put),)))
    if placement.ranks(target.relay.id, put.address, rest, REACH):
        assert target.offer(put, peer=target.other) == [State.ABSENT]


def test_what_this_relay_does_not_rank_for_is_not_wanted() -> None:
    target = Target()
    far = next(p for p in (box_of(n) for n in range(1000)) if not target.ranks(p.address))
    assert target.offer(far) == [State.UNRANKED]
    assert target.push(far) == [State.LATER]
    assert target.relay.records() == set()


def test_what_was_not_called_absent_is_not_even_looked_at() -> None:
    target = Target()
    forged = replace(target.near(), record=seeded("rubbish").bytes(2048))
    assert target.push(forged) == [State.LATER]
    assert target.relay.records() == set()


def test_an_unpaid_underpaid_or_wrongly_paid_box_is_an_error() -> None:
    target = Target()
    put = target.near()
    cheap = PARAMS.put_work_bits - 1
    challenge = work.challenge(b"put", PARAMS.hash, put.address, put.record)
    wrong = next(
        n.to_bytes(8, "big")
        for n in range(1000)
        if not _pays(challenge, n.to_bytes(8, "big"), put.effort)
    )
    for bad in (
        replace(put, effort=0, nonce=bytes(8)),
        replace(put, effort=cheap, nonce=paid(put.record, cheap)),
        replace(put, nonce=wrong),
        replace(put, effort=64),
        replace(put, effort=255),
    ):
        assert target.offer(put) == [State.ABSENT]
        target.refuses("work", Push(2, (pushed_of(bad),)))
    assert target.push(put) == [State.HELD]


def _pays(challenge: bytes, nonce: bytes, bits: int) -> bool:
    try:
        work.check(challenge, nonce, bits)
    except RemoteProtocolError:
        return False
    return True


def test_an_entrys_claimed_effort_must_be_worked_for() -> None:
    target = Target()
    put = target.near_entry()
    assert target.offer(put) == [State.ABSENT]
    target.refuses("work", Push(2, (pushed_of(replace(put, effort=40)),)))
    target.refuses("work", Push(2, (pushed_of(replace(put, nonce=b"12345678")),)))
    assert target.push(put) == [State.HELD]


def test_a_forged_box_is_an_error_whatever_bit_was_changed() -> None:
    target = Target()
    honest = target.near()
    for bit in (32 * 8, 95 * 8, 104 * 8, 2047 * 8 + 7):
        changed = bytearray(honest.record)
        changed[bit // 8] ^= 1 << bit % 8
        record = bytes(changed)
        forged = replace(honest, record=record, nonce=paid(record, honest.effort))
        assert target.offer(forged) == [State.ABSENT]
        target.refuses("signature", Push(2, (pushed_of(forged),)))
    changed = bytearray(honest.record)
    changed[102] = 1
    record = bytes(changed)
    marked = replace(honest, record=record, nonce=paid(record, honest.effort))
    assert target.offer(marked) == [State.ABSENT]
    target.refuses("box", Push(2, (pushed_of(marked),)))


def test_boxes_of_days_that_are_over_or_not_come_are_refused_and_others_kept() -> None:
    target = Target()
    days = [TODAY - 15, TODAY - 14, TODAY, TODAY + 1, TODAY + 2]
    puts = [target.near(f"day {day}", day) for day in days]
    assert target.offer(*puts) == [State.ABSENT] * 5
    held, refused = State.HELD, State.REFUSED
    assert target.push(*puts) == [refused, held, held, held, refused]
    assert target.relay.records() == {put.record for put in puts[1:4]}


def test_an_entry_lives_no_longer_for_being_handed_on() -> None:
    target = Target()
    put = target.near_entry()
    most = START + clock.seconds(PARAMS.entry_life_s + PARAMS.clock_skew_s)
    for expires, state in (
        (START, State.REFUSED),
        (most + 1, State.REFUSED),
        (2**64 - 1, State.REFUSED),
        (most, State.HELD),
    ):
        assert target.offer(put) == [State.ABSENT]
        assert target.push(replace(put, expires=expires)) == [state]


def test_a_kind_that_the_record_belies_is_an_error() -> None:
    target = Target()
    put, dead = target.near(), target.near("dead", tombstone=True)
    as_dead = Item(Kind.TOMBSTONE, put.address, storage.name_of(put.record))
    as_live = Item(Kind.BOX, dead.address, storage.name_of(dead.record))
    names = (replica_frames.name(as_dead), replica_frames.name(as_live))
    assert target.send(Offer(1, names)) == [State.ABSENT] * 2
    target.refuses("replica kind", Push(2, (replace(pushed_of(put), kind=Kind.TOMBSTONE),)))
    target.refuses("replica kind", Push(2, (replace(pushed_of(dead), kind=Kind.BOX),)))
    assert target.offer(put) == [State.ABSENT]
    target.refuses("replica kind", Push(2, (replace(pushed_of(put), expires=1),)))


def test_one_bad_record_in_a_frame_keeps_all_of_it_out() -> None:
    target = Target()
    good, bad = target.near("good"), target.near("bad")
    assert target.offer(good, bad) == [State.ABSENT] * 2
    forged = replace(pushed_of(bad), effort=60)
    target.refuses("work", Push(2, (pushed_of(good), forged)))
    assert target.push(good) == [State.HELD]


def test_items_named_twice_in_one_frame_are_an_error() -> None:
    target = Target()
    name = replica_frames.name(item_of(target.near()))
    target.refuses("replica items", Ask(1, (name, name)))
    target.refuses("replica items", Offer(1, (name, name)))
    pushed = pushed_of(target.near())
    target.refuses("replica items", Push(1, (pushed, pushed)))


def test_other_bytes_at_an_address_are_refused_and_the_first_stay() -> None:
    target = Target()
    put = target.near()
    assert target.offer(put) == [State.ABSENT]
    other = replace(put, record=bytes(2048))
    target.relay.put(other)  # a client was quicker
    assert target.push(put) == [State.REFUSED]
    assert target.relay.records() == {other.record}


def test_a_store_without_room_says_so_and_keeps_what_it_has() -> None:
    target = Target()
    first, second = target.near("first"), target.near("second")
    target.relay.put(first)
    target.relay.store.capacity = 1
    assert target.offer(second) == [State.ABSENT]
    assert target.push(second) == [State.FULL]
    assert target.relay.records() == {first.record}


def test_a_peers_promises_frames_and_items_are_bounded() -> None:
    target = Target()
    rng = seeded("many")
    wanted, refused, later = 0, 0, 0
    for number in range(600):
        items = tuple(Named(0, rng.bytes(32), rng.bytes(16)) for _ in range(64))
        try:
            states = target.send(Offer(number, items))
        except RemoteProtocolError as error:
            assert error.reason == "flood"
            refused += 1
        else:
            wanted += states.count(State.ABSENT)
            later += states.count(State.LATER)
    assert wanted == LIMITS.promises
    assert refused == 600 - LIMITS.frame_burst
    assert later > 0
    target.now += clock.seconds(60)
    assert target.offer(target.near()) == [State.ABSENT]


def test_requests_that_the_store_has_not_answered_are_bounded() -> None:
    target = Target()
    rng = seeded("slow store")
    for number in range(LIMITS.serving):
        frame = Ask(number, (Named(0, rng.bytes(32), rng.bytes(16)),))
        data = replica_frames.CODEC.encode(frame)
        (event,) = target.relay.machine.receive(target.hostile, data, START)
        assert isinstance(event, Access)
    target.refuses("flood", Ask(9, (Named(0, rng.bytes(32), rng.bytes(16)),)))
    assert target.offer(target.near(), peer=target.other) == [State.ABSENT]


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    target = Target()
    for number in (0, 1, 2**32 - 1):
        assert target.send(Answer(number, bytes([0]))) == []
    assert target.relay.machine.counters["late answer"] == 3


@pytest.mark.parametrize(
    ("asked", "states"),
    [
        (Ask, bytes([0])),
        (Ask, bytes([0, 0, 0])),
        (Ask, bytes([0, 6])),
        (Ask, bytes([0, 255])),
        (Ask, bytes([0, State.FULL])),
        (Ask, bytes([0, State.UNRANKED])),
        (Push, bytes([0, State.ABSENT])),
        (Offer, bytes([0, 6])),
    ],
)
def test_an_answer_of_another_shape_is_an_error(
    asked: type[Ask | Offer | Push], states: bytes
) -> None:
    with pytest.raises(RemoteProtocolError, match="replica answer"):
        replica_frames.states_of(Answer(1, states), asked, 2)


def names(count: int) -> tuple[Named, ...]:
    return tuple(Named(2, crypto.digest(b"%d" % n), bytes(16)) for n in range(count))


def records(count: int) -> tuple[Pushed, ...]:
    return tuple(Pushed(0, bytes(2048), 255, bytes(8), 2**64 - 1) for _ in range(count))


def test_frames_of_the_most_items_fit_and_of_one_more_do_not() -> None:
    most, pushed = replica_frames.MAX_ITEMS, replica_frames.MAX_PUSHED
    fitting: list[Frame] = [
        Ask(2**32 - 1, names(most)),
        Offer(0, names(1)),
        Push(2**32 - 1, records(pushed)),
        Answer(1, bytes(most)),
    ]
    for frame in fitting:
        assert replica_frames.CODEC.decode(replica_frames.CODEC.encode(frame)) == frame
    beyond: list[Frame] = [
        Ask(1, names(most + 1)),
        Ask(1, ()),
        Offer(1, names(most + 1)),
        Answer(1, b""),
        Answer(1, bytes(most + 1)),
        Ask(2**32, names(1)),
        Ask(-1, names(1)),
        Offer(1, (Named(3, bytes(32), bytes(16)),)),
        Offer(1, (Named(0, bytes(31), bytes(16)),)),
        Offer(1, (Named(0, bytes(32), bytes(17)),)),
        Push(1, ()),
        Push(1, records(pushed + 1)),
        Push(1, (replace(records(1)[0], record=bytes(2047)),)),
        Push(1, (replace(records(1)[0], record=bytes(2049)),)),
        Push(1, (replace(records(1)[0], effort=256),)),
        Push(1, (replace(records(1)[0], nonce=bytes(7)),)),
        Push(1, (replace(records(1)[0], kind=3),)),
    ]
    for frame in beyond:
        with pytest.raises(RemoteProtocolError, match="wire"):
            replica_frames.CODEC.decode(replica_frames.CODEC.encode(frame))


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_one_error_and_change_nothing(data: bytes) -> None:
    target = Target()
    try:
        target.do(target.relay.machine.receive(target.hostile, data, START))
    except RemoteProtocolError as error:
        assert error.reason in {"wire", "replica items", "work"}
    assert target.relay.records() == set()


@settings(max_examples=200)
@given(st.integers(0, 2**16), st.integers(0, 255))
def test_one_changed_byte_of_a_frame_never_gets_another_record_kept(at: int, value: int) -> None:
    target = Target()
    put = target.near()
    target.offer(put)
    frame = bytearray(replica_frames.CODEC.encode(Push(2, (pushed_of(put),))))
    frame[at % len(frame)] = value
    try:
        target.do(target.relay.machine.receive(target.hostile, bytes(frame), START))
    except RemoteProtocolError:
        assert target.relay.records() == set()
    assert target.relay.records() <= {put.record}
