"""Which relays keep a record outlasts a restart: only what lacks copies is put again."""

import pytest

from client.meeting import accept, personas, texts, write
from client.test_outbox import RANKED, RELAYS, UNPAID, Sender, outgoing
from shoal_protocol import clock
from shoal_protocol.client import outbox as outboxes
from shoal_protocol.client import state
from shoal_protocol.client.history import MessageState
from shoal_protocol.client.outbox import NOTE_EVERY, Outgoing
from shoal_sim.exact.people import Person
from shoal_sim.exact.world import World
from support import START

COPIES = UNPAID.replicas
MESSAGES = 40


def restored(*kept_by: bytes, number: int = 0, created: int = START) -> Outgoing:
    """Return a record as a store gives it: some relays keep it."""
    record = outgoing(number, created=created)
    record.kept_by = set(kept_by)
    record.stored = len(kept_by) > 1
    return record


def test_a_record_that_all_its_relays_keep_is_neither_put_nor_paid_for_after_a_restart() -> None:
    sender = Sender()
    sender.outbox.add(record := restored(*RANKED[:COPIES]))
    assert not sender.outbox.working
    assert sender.ranks() == []
    assert record.nonce is None
    assert record.stored_everywhere


def test_a_record_goes_after_a_restart_to_those_relays_alone_that_lack_it() -> None:
    sender = Sender(restored(RANKED[0], RANKED[2]))
    assert sender.ranks() == [1]
    sender = Sender(record := restored(RANKED[1]))
    assert sorted(sender.ranks(answer=True)) == [0, 2]
    assert record.stored


def test_a_directory_that_changed_while_the_node_was_off_draws_the_copies_that_lack_now() -> None:
    sender = Sender()
    sender.relays.remove(RANKED[1])
    sender.outbox.add(record := restored(*RANKED[:COPIES]))
    assert sender.due() is None  # it was ranked now, and is to be paid for
    sender.outbox.work()
    assert sender.ranks(answer=True) == [3]
    sender.relays = list(RELAYS)
    sender.view += 1
    assert sender.ranks() == []  # as the store says, it lies there still
    assert list(record.replicas) == RANKED[:COPIES]


def test_a_directory_that_fills_after_a_restart_costs_no_copies_that_are_there() -> None:
    sender = Sender()
    sender.relays = [RANKED[0]]
    sender.outbox.add(restored(*RANKED[:COPIES]))
    assert sender.ranks() == []
    sender.relays = list(RELAYS)
    sender.view += 1
    assert sender.ranks() == []


def test_a_relay_that_left_and_came_back_is_not_believed_to_keep_anything() -> None:
    sender = Sender(record := outgoing())
    assert sorted(sender.ranks(answer=True)) == [0, 1, 2]
    sender.relays.remove(RANKED[1])
    sender.view += 1
    assert sender.ranks(answer=True) == [3]
    assert record.kept_by == {RANKED[0], RANKED[2], RANKED[3]}
    sender.relays = list(RELAYS)
    sender.view += 1
    assert sender.ranks(answer=True) == [1]


def test_a_record_that_the_reader_did_not_find_is_believed_nowhere() -> None:
    sender = Sender()
    sender.outbox.add(record := restored(*RANKED[:COPIES]))
    assert sender.due() is None
    sender.outbox.put_again(record, sender.now)
    assert record.kept_by == set()
    sender.outbox.work()
    assert sorted(sender.ranks()) == [0, 1, 2]


def test_what_relays_keep_is_told_in_batches_and_of_the_acknowledged_not_at_all() -> None:
    sender = Sender(outgoing(0), outgoing(1), outgoing(2))
    assert sender.outbox.told(sender.now) == []
    sender.ranks(answer=True)
    assert sender.outbox.told(START + NOTE_EVERY - 1) == []  # since the first answer
    first, second, third = sender.outbox.records()
    sender.outbox.done([second.key])
    assert sender.outbox.told(START + NOTE_EVERY) == [first, third]
    assert sender.outbox.told(START + 2 * NOTE_EVERY) == []


def test_a_restart_does_not_put_what_waits_for_days_again_at_once() -> None:
    day = 24 * 3600 * clock.SECOND
    sender = Sender()
    sender.outbox.add(record := restored(*RANKED[:COPIES], created=START - day))
    assert sender.due() is None
    sender.outbox.tick(sender.now)
    assert record.again is not None
    assert record.again - sender.now >= 2 * outboxes.UNSEEN_FIRST * 3 // 4


@pytest.mark.parametrize("day", [0, 1, 13])
def test_a_node_that_is_on_for_an_hour_a_day_puts_again_what_relays_may_have_lost(day: int) -> None:
    record = restored(*RANKED[:COPIES], created=START)
    sender = Sender()
    sender.outbox.add(record)
    begins = START + day * 24 * 3600 * clock.SECOND + 3600 * clock.SECOND
    sender.outbox.next_put(RELAYS, 1, set(RELAYS), 10, begins)
    for minute in range(60):
        sender.outbox.tick(begins + minute * 60 * clock.SECOND)
    assert not any(replica.stored for replica in record.replicas.values())


def test_fresh_messages_are_paid_for_before_what_relays_keep_already() -> None:
    sender = Sender()
    for number in range(5):
        sender.outbox.add(restored(RANKED[0], RANKED[1], number=number))
    sender.outbox.add(fresh := outgoing(9))
    sender.outbox.work()
    due = sender.due()
    assert due is not None
    assert due[0] is fresh


def copies(person: Person) -> list[int]:
    """Return how many relays keep each record, as the disk has it."""
    rows = [state.RECORDS.decode(data) for _, data in person.kept().of(state.RECORD)]
    return [len(r.kept_by) if isinstance(r, state.KeptRecordRow) else 0 for r in rows]


def test_a_node_that_begins_again_puts_nothing_that_its_relays_keep() -> None:
    """A contact is away, its messages wait; the node stops and goes on."""
    world = World(8, 2, seed="restart")
    alice, bob = world.people
    a, b = personas(world)
    write(alice, a, b, "hello")
    assert world.run(60, lambda: texts(b) == ["hello"])
    accept(bob, b)
    write(bob, b, a, "hello")
    assert world.run(60, lambda: texts(a) == ["hello"])
    world.run(20)
    bob.crash()
    for number in range(MESSAGES):
        write(alice, a, b, f"message {number}")
    machine = alice.machine
    assert world.run(60, lambda: machine.outbox.loud == MESSAGES and set(copies(alice)) == {COPIES})
    alice.crash()
    world.run(5)
    alice.start()
    a = alice.machine.people.personas()[0]
    (talk,) = a.conversations.values()
    fresh = write(alice, a, b, "fresh")

    def stored() -> bool:
        message = talk.history.get(fresh.id)
        return message is not None and message.state is MessageState.STORED

    assert world.run(3, stored)
    world.run(30)
    assert alice.machine.counters["box_put"] <= COPIES + 2  # a lost answer costs one
    bob.start()
    b = bob.machine.people.personas()[0]
    wanted = ["hello", *(f"message {number}" for number in range(MESSAGES)), "fresh"]
    assert world.run(60, lambda: texts(b) == wanted)
