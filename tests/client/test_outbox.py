"""Records on their way: where they are put first, when again, and when they are done."""

from dataclasses import replace

import pytest

from shoal_protocol import clock
from shoal_protocol.client import outbox as outboxes
from shoal_protocol.client.outbox import Outbox, Outgoing, record_key
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms import work
from shoal_protocol.service import desk, placement
from support import START, seeded

PATIENCE = 2 * clock.SECOND
ENTRY_LIFE = clock.seconds(LAB.entry_life_s)
BOX_LIFE = clock.seconds(LAB.box_days * LAB.day_s)
UNPAID = replace(LAB, put_work_bits=0)
ADDRESS = b"a" * 32
RELAYS = [seeded("relays").bytes(15) + bytes([n]) for n in range(12)]
RANKED = placement.rank(ADDRESS, RELAYS, 12)
SPREAD_MOST = 120 * clock.SECOND  # 20 times the longer mean: no draw of a test comes near


def outgoing(
    number: int = 0,
    needs_ack: bool = True,
    created: int = START,
    *,
    batch: int = 0,
    first_contact: bool = False,
) -> Outgoing:
    record = ADDRESS + number.to_bytes(8, "big") * 252
    key = record_key(record)
    return Outgoing(
        key, record, created, needs_ack, batch, LAB.replicas, first_contact=first_contact
    )


class Sender:
    """An outbox with a directory, whose PUTs go one at a time."""

    def __init__(self, *records: Outgoing, seed: int = 0) -> None:
        self.outbox = Outbox(UNPAID, PATIENCE, seeded(seed))
        self.relays, self.view, self.now = list(RELAYS), 0, START
        self.reachable = set(RELAYS)
        self.durable = 0
        for record in records:
            self.add(record)

    def add(self, record: Outgoing) -> None:
        self.outbox.add(record)
        self.outbox.work()

    def due(self) -> tuple[Outgoing, bytes] | None:
        return self.outbox.next_put(self.relays, self.view, self.reachable, self.durable, self.now)

    def next(self, until: int) -> tuple[Outgoing, bytes] | None:
        """Return what is due, letting time pass till something is, but no later than ``until``."""
        due = self.due()
        waiting = [
            replica.due
            for record in self.outbox.records()
            if record.batch <= self.durable
            for replica in record.replicas.values()
            if not (replica.in_flight or replica.stored)
        ]
        if due is None and waiting and min(waiting) <= until:
            self.now = max(self.now, min(waiting))
            due = self.due()
        return due

    def let_all_be_due(self) -> None:
        """Let the time pass that PUTs to later ranks wait."""
        self.due()  # they are drawn when a record is first looked at
        self.now += SPREAD_MOST

    def put(self) -> tuple[Outgoing, bytes]:
        """Send what is due next."""
        due = self.next(self.now + SPREAD_MOST)
        assert due is not None
        self.outbox.sent(*due)
        return due

    def ranks(self, answer: bool | None = None) -> list[int]:
        """Send all that is due within some seconds; return the ranks it went to."""
        ranks, until = [], self.now + SPREAD_MOST
        while self.next(until) is not None:
            record, relay = self.put()
            ranks.append(RANKED.index(relay))
            if answer is not None:
                self.outbox.answered(record, relay, answer, self.now)
        return ranks


def test_the_first_put_goes_to_rank_zero_and_the_rest_to_the_next_replicas() -> None:
    first, *others = Sender(outgoing()).ranks()
    assert (first, sorted(others)) == (0, [1, 2])


def test_puts_of_a_record_come_apart_so_that_the_gets_that_wait_for_it_do_not_end_together() -> (
    None
):
    waits: list[list[float]] = [[], [], []]
    for seed in range(200):
        sender = Sender(record := outgoing(), seed=seed)
        assert sorted(sender.ranks()) == [0, 1, 2]
        for rank, replica in enumerate(record.replicas.values()):
            waits[rank].append((replica.due - START) / clock.SECOND)
    means = [sum(mine) / len(mine) for mine in waits]
    assert waits[0] == [0.0] * 200
    assert 0.8 * outboxes.SECOND_MEAN_S < means[1] < 1.25 * outboxes.SECOND_MEAN_S
    assert 0.8 * outboxes.LATER_MEAN_S < means[2] < 1.25 * outboxes.LATER_MEAN_S


def test_every_records_first_put_goes_before_any_second_one() -> None:
    sender = Sender(outgoing(0), outgoing(1), outgoing(2))
    puts = [sender.put() for _ in range(9)]
    assert [RANKED.index(relay) for _, relay in puts][:3] == [0, 0, 0]
    assert sorted(RANKED.index(relay) for _, relay in puts) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sender.due() is None


def test_a_relay_that_may_not_be_asked_is_skipped_for_the_next_rank() -> None:
    sender = Sender(outgoing())
    sender.reachable.discard(RANKED[0])
    first, *others = sender.ranks()
    assert (first, sorted(others)) == (1, [2, 3])
    sender = Sender(outgoing())
    sender.reachable = set()
    assert sender.ranks() == []


def test_a_put_without_answer_goes_again_after_growing_times_with_jitter() -> None:
    first_gaps = set()
    for seed in range(8):
        sender = Sender(outgoing(), seed=seed)
        sender.reachable = {RANKED[0]}
        gaps = []
        for attempt in range(1, 13):
            record, relay = sender.put()
            sender.outbox.lost(record, relay, sender.now)
            lost = sender.now
            sender.now = record.replicas[relay].due
            gaps.append((sender.now - lost) / clock.SECOND)
            mean = min(2 * 1.5 ** (attempt - 1) - 2, 30)
            assert mean / 2 <= gaps[-1] <= mean * 1.5
        assert sender.due() is not None
        first_gaps.add(gaps[1])
    assert len(first_gaps) == 8


def test_a_refused_put_goes_again_like_a_lost_one() -> None:
    sender = Sender(outgoing())
    sender.reachable = {RANKED[0]}
    for _ in range(4):
        record, relay = sender.put()
        assert not sender.outbox.answered(record, relay, False, sender.now)
        sender.now = record.replicas[relay].due
    assert record.replicas[relay].attempts == 4
    assert not record.stored


def test_two_stored_replicas_make_a_record_stored_once() -> None:
    """One alone may be the reader's guard, which the reader never asks."""
    sender = Sender(outgoing())
    puts = [sender.put() for _ in range(3)]
    answers = [sender.outbox.answered(*put, True, START) for put in puts]
    assert answers == [False, True, False]
    assert puts[0][0].stored_everywhere


def test_one_replica_is_enough_for_a_fragment_and_where_there_is_but_one() -> None:
    for record in (replace(outgoing(), copies=1, fragment=True), outgoing()):
        sender = Sender(record)
        if not record.fragment:
            sender.relays = RANKED[:1]
        assert sender.outbox.answered(*sender.put(), True, START)


def test_a_replica_that_left_the_directory_is_replaced_by_the_next_rank() -> None:
    sender = Sender(outgoing())
    record, relay = sender.put()
    sender.outbox.answered(record, relay, True, START)
    sender.put()
    sender.relays.remove(RANKED[1])
    sender.view += 1
    assert sorted(sender.ranks()) == [2, 3]
    assert list(record.replicas) == [RANKED[0], RANKED[2], RANKED[3]]
    assert record.replicas[RANKED[0]].stored
    assert not sender.outbox.answered(record, RANKED[1], True, START)  # too late, and harmless
    sender.outbox.lost(record, RANKED[1], START)


def test_what_is_stored_and_not_acknowledged_is_put_again_later_and_later() -> None:
    sender = Sender(record := outgoing())
    waits = []
    for _ in range(6):
        assert sorted(sender.ranks(answer=True)) == [0, 1, 2]
        assert sender.outbox.tick(sender.now) == []
        assert record.again is not None
        waits.append((record.again - sender.now) / clock.SECOND)
        sender.now = record.again - 1
        sender.outbox.tick(sender.now)
        assert sender.due() is None
        sender.now += 1
        sender.outbox.tick(sender.now)
    for round_, wait in enumerate(waits):
        assert 0.75 <= wait / (600 * 2**round_) <= 1.25
    assert len(sender.outbox) == 1


def test_an_acknowledged_record_is_done_and_others_stay() -> None:
    sender = Sender(first := outgoing(0), second := outgoing(1))
    sender.put()
    assert sender.outbox.done([first.key, b"unknown"]) == [first]
    assert list(sender.outbox.records()) == [second]
    assert not sender.outbox.answered(first, RANKED[0], True, START)
    assert not first.stored
    assert sender.outbox.done([first.key]) == []


def test_what_needs_no_acknowledgement_stays_quiet_until_its_place_is_acknowledged() -> None:
    sender = Sender(record := outgoing(needs_ack=False))
    assert sorted(sender.ranks(answer=True)) == [0, 1, 2]
    for hour in range(24):
        sender.now = START + hour * 3600 * clock.SECOND
        assert sender.outbox.tick(sender.now) == []
        assert sender.due() is None
    assert len(sender.outbox) == 1
    sender.outbox.put_again(record, sender.now)  # the reader looked and did not find it
    assert sorted(sender.ranks(answer=True)) == [0, 1, 2]
    assert sender.outbox.done([record.key]) == [record]


def test_a_record_waits_until_its_batch_is_durable() -> None:
    sender = Sender(first := outgoing(0, batch=1), outgoing(1, batch=2))
    assert sender.due() is None
    sender.durable = 1
    assert {sender.put()[0] for _ in range(3)} == {first}
    assert sender.due() is None
    sender.durable = 2
    assert len(sender.ranks()) == 3


def test_a_record_goes_once_its_work_is_done_and_the_oldest_is_paid_first() -> None:
    outbox = Outbox(LAB, PATIENCE, seeded())
    first, second = outgoing(0), outgoing(1)
    outbox.add(first)
    outbox.add(second)
    relays = set(RELAYS)
    assert outbox.next_put(RELAYS, 0, relays, 0, START) is None
    while outbox.working:
        assert first.nonce is not None or second.nonce is None
        outbox.work()
    for one in (first, second):
        assert one.nonce is not None
        challenge = desk.put_challenge(ADDRESS, one.record, LAB.hash)
        work.check(challenge, one.nonce, LAB.put_work_bits)
    assert outbox.next_put(RELAYS, 0, relays, 0, START) is not None


def test_work_for_a_record_that_is_done_ends() -> None:
    outbox = Outbox(replace(LAB, put_work_bits=60), PATIENCE, seeded())
    outbox.add(record := outgoing())
    outbox.work()
    assert outbox.working
    outbox.done([record.key])
    assert not outbox.working


@pytest.mark.parametrize(("first_contact", "life"), [(True, ENTRY_LIFE), (False, BOX_LIFE)])
def test_a_record_that_outlived_its_place_is_given_up_and_told_once(
    first_contact: bool, life: int
) -> None:
    old = outgoing(0, first_contact=first_contact)
    new = outgoing(1, created=START + clock.SECOND, first_contact=first_contact)
    sender = Sender(old, new)
    sender.ranks(answer=True)
    assert sender.outbox.tick(START + life - 1) == []
    assert sender.outbox.tick(START + life) == [old]
    assert sender.outbox.tick(START + life) == []
    assert list(sender.outbox.records()) == [new]


def test_a_first_put_goes_before_retries_and_a_retry_before_what_is_stored() -> None:
    sender = Sender(stored := outgoing(0))
    for put in [sender.put(), sender.put()]:
        sender.outbox.answered(*put, True, START)
    sender.add(retried := outgoing(1))
    record, relay = sender.put()
    assert record is retried
    sender.outbox.lost(record, relay, START)
    sender.add(fresh := outgoing(2))
    sender.let_all_be_due()
    order = [sender.put()[0] for _ in range(7)]
    assert order[0] is fresh
    assert order[-1] is stored


def test_the_same_record_is_put_unchanged_each_time() -> None:
    sender = Sender(record := outgoing())
    before = replace(record).record
    sender.ranks(answer=False)
    sender.now += 60 * clock.SECOND
    sender.ranks(answer=True)
    assert record.record == before
    assert outboxes.record_key(before) == record.key


def test_after_a_restart_the_oldest_record_goes_first_however_the_store_ordered_them() -> None:
    """A store gives records by their names; a reader waits for the oldest."""
    ages = [3, 0, 4, 1, 2]
    records = [outgoing(age, created=START - 10 + age) for age in ages]
    for record in records:
        record.stored = True
    sender = Sender(*records)
    order = []
    for _ in records:
        record, relay = sender.put()
        order.append(record.created - START + 10)
        sender.outbox.answered(record, relay, True, sender.now)
        for replica in record.replicas.values():
            replica.stored = True
    assert order == sorted(ages)


def test_tombstones_of_boxes_that_came_together_go_at_times_of_their_own_behind_messages() -> None:
    sender = Sender()
    for number in range(40):
        sender.outbox.erase(outgoing(number).record, 0, "owner", "conversation", START)
        sender.outbox.work()
    began: dict[bytes, int] = {}
    while len(began) < 40:
        while (due := sender.due()) is not None:
            one, relay = due
            began.setdefault(one.key, sender.now - START)
            sender.outbox.sent(one, relay)
            sender.outbox.answered(one, relay, True, sender.now)
        sender.now += 10 * clock.SECOND
    times = sorted(began.values())
    assert times[-1] <= outboxes.ERASE_MOST + 10 * clock.SECOND
    assert outboxes.ERASE_MEAN // 2 < sum(times) // 40 < 2 * outboxes.ERASE_MEAN
    assert len(set(times)) > 20
    sender.outbox.erase(outgoing(41).record, 0, "owner", "conversation", START)
    sender.now += outboxes.ERASE_MOST
    message = outgoing(42, created=sender.now)
    sender.add(message)
    sender.outbox.work()
    due = sender.due()
    assert due is not None
    assert due[0] is message
