"""Records on their way: where they are put first, when again, and when they are done."""

from dataclasses import replace

import pytest

from shoal_protocol import clock
from shoal_protocol.client import outbox as outboxes
from shoal_protocol.client.outbox import Outbox, Outgoing, record_key
from shoal_protocol.parameters import LAB
from shoal_protocol.service import placement
from support import START, seeded

PATIENCE = 2 * clock.SECOND
LIFE = clock.seconds(LAB.entry_life_s)
ADDRESS = b"a" * 32
RELAYS = [seeded("relays").bytes(15) + bytes([n]) for n in range(12)]
RANKED = placement.rank(ADDRESS, RELAYS, 12)


def outgoing(number: int = 0, needs_ack: bool = True, created: int = START) -> Outgoing:
    record = ADDRESS + number.to_bytes(8, "big") * 252
    return Outgoing(record_key(record), ADDRESS, record, created, needs_ack)


class Sender:
    """An outbox with a directory, whose PUTs go one at a time."""

    def __init__(self, *records: Outgoing) -> None:
        self.outbox = Outbox(LAB, PATIENCE, seeded())
        self.relays, self.view, self.now = list(RELAYS), 0, START
        self.reachable = set(RELAYS)
        for record in records:
            self.outbox.add(record)

    def due(self) -> tuple[Outgoing, bytes] | None:
        return self.outbox.next_put(self.relays, self.view, self.reachable, self.now)

    def put(self) -> tuple[Outgoing, bytes]:
        """Send what is due."""
        due = self.due()
        assert due is not None
        self.outbox.sent(*due)
        return due

    def ranks(self, answer: bool | None = None) -> list[int]:
        """Send all that is due; return the ranks it went to."""
        ranks = []
        while self.due() is not None:
            record, relay = self.put()
            ranks.append(RANKED.index(relay))
            if answer is not None:
                self.outbox.answered(record, relay, answer, self.now)
        return ranks


def test_the_first_put_goes_to_rank_zero_and_the_rest_to_the_next_replicas() -> None:
    assert Sender(outgoing()).ranks() == [0, 1, 2]


def test_every_records_first_put_goes_before_any_second_one() -> None:
    sender = Sender(outgoing(0), outgoing(1), outgoing(2))
    puts = [sender.put() for _ in range(9)]
    assert [RANKED.index(relay) for _, relay in puts][:3] == [0, 0, 0]
    assert sorted(RANKED.index(relay) for _, relay in puts) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sender.due() is None


def test_a_relay_that_may_not_be_asked_is_skipped_for_the_next_rank() -> None:
    sender = Sender(outgoing())
    sender.reachable.discard(RANKED[0])
    assert sender.ranks() == [1, 2, 3]
    sender = Sender(outgoing())
    sender.reachable = set()
    assert sender.ranks() == []


def test_a_put_without_answer_goes_again_after_growing_times_with_jitter() -> None:
    first_gaps = set()
    for seed in range(8):
        sender = Sender(outgoing())
        sender.outbox = Outbox(LAB, PATIENCE, seeded(seed))
        sender.outbox.add(outgoing())
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


def test_one_stored_replica_makes_a_record_stored_once() -> None:
    sender = Sender(outgoing())
    puts = [sender.put() for _ in range(3)]
    answers = [sender.outbox.answered(*put, True, START) for put in puts]
    assert answers == [True, False, False]
    assert puts[0][0].stored_everywhere


def test_a_replica_that_left_the_directory_is_replaced_by_the_next_rank() -> None:
    sender = Sender(outgoing())
    record, relay = sender.put()
    sender.outbox.answered(record, relay, True, START)
    sender.put()
    sender.relays.remove(RANKED[1])
    sender.view += 1
    assert sender.ranks() == [2, 3]
    assert list(record.replicas) == [RANKED[0], RANKED[2], RANKED[3]]
    assert record.replicas[RANKED[0]].stored
    assert not sender.outbox.answered(record, RANKED[1], True, START)  # too late, and harmless
    sender.outbox.lost(record, RANKED[1], START)


def test_what_is_stored_and_not_acknowledged_is_put_again_later_and_later() -> None:
    sender = Sender(record := outgoing())
    waits = []
    for _ in range(6):
        assert sender.ranks(answer=True) == [0, 1, 2]
        assert sender.outbox.tick(sender.now) == []
        assert record.again is not None
        waits.append((record.again - sender.now) / clock.SECOND)
        sender.now = record.again - 1
        sender.outbox.tick(sender.now)
        assert sender.due() is None
        sender.now += 1
        sender.outbox.tick(sender.now)
    for round_, wait in enumerate(waits):
        assert 0.75 <= wait / (30 * 2**round_) <= 1.25
    assert len(sender.outbox) == 1


def test_an_acknowledged_record_is_done_and_others_stay() -> None:
    sender = Sender(first := outgoing(0), second := outgoing(1))
    sender.put()
    assert sender.outbox.done([first.key, b"unknown"]) == [first]
    assert list(sender.outbox.records()) == [second]
    sender.outbox.answered(first, RANKED[0], True, START)
    assert sender.outbox.done([first.key]) == []


def test_what_needs_no_acknowledgement_is_done_when_it_is_stored_everywhere() -> None:
    sender = Sender(outgoing(needs_ack=False))
    for _ in range(2):
        record, relay = sender.put()
        sender.outbox.answered(record, relay, True, START)
        sender.outbox.tick(START)
        assert len(sender.outbox) == 1
    sender.outbox.answered(*sender.put(), True, START)
    assert sender.outbox.tick(START) == []
    assert len(sender.outbox) == 0


@pytest.mark.parametrize("needs_ack", [True, False])
def test_the_last_unstored_relay_of_few_leaving_settles_a_record(needs_ack: bool) -> None:
    sender = Sender(record := outgoing(needs_ack=needs_ack))
    sender.relays = RANKED[:3]
    for _ in range(2):
        one, relay = sender.put()
        sender.outbox.answered(one, relay, True, START)
    sender.relays = RANKED[:2]
    sender.view += 1
    assert sender.due() is None
    sender.outbox.tick(START)
    assert len(sender.outbox) == needs_ack
    assert (record.again is not None) == needs_ack


def test_a_record_that_outlived_its_entries_is_given_up_and_told_once() -> None:
    sender = Sender(old := outgoing(0), new := outgoing(1, created=START + clock.SECOND))
    sender.ranks(answer=True)
    assert sender.outbox.tick(START + LIFE - 1) == []
    assert sender.outbox.tick(START + LIFE) == [old]
    assert sender.outbox.tick(START + LIFE) == []
    assert list(sender.outbox.records()) == [new]


def test_a_first_put_goes_before_retries_and_a_retry_before_what_is_stored() -> None:
    sender = Sender(stored := outgoing(0))
    sender.outbox.answered(*sender.put(), True, START)
    sender.outbox.add(retried := outgoing(1))
    record, relay = sender.put()
    assert record is retried
    sender.outbox.lost(record, relay, START)
    sender.outbox.add(fresh := outgoing(2))
    sender.now += PATIENCE
    order = [sender.put()[0] for _ in range(8)]
    assert order[0] is fresh
    assert order[-2:] == [stored, stored]


def test_the_same_record_is_put_unchanged_each_time() -> None:
    sender = Sender(record := outgoing())
    before = replace(record).record
    sender.ranks(answer=False)
    sender.now += 60 * clock.SECOND
    sender.ranks(answer=True)
    assert record.record == before
    assert outboxes.record_key(before) == record.key
