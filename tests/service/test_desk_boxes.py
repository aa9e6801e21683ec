"""Boxes at the desk: who may put one, what a reader gets, what a failing store does."""

from dataclasses import replace

import pytest

from service.asker import DAY, RELAY, Asker
from service.served import INSTANCE, Served
from shoal_protocol import clock
from shoal_protocol.errors import StoreError, StoreFailed, StoreFull
from shoal_protocol.parameters import LAB, MAIN, NETWORKS
from shoal_protocol.service.messages import Reply, Status
from shoal_protocol.streams import box
from support import START, seeded


def test_a_box_that_was_put_is_got_by_its_address() -> None:
    served, asker = Served(), Asker()
    record = asker.box()
    assert served.ask(asker, asker.put_box(record)) == Reply(Status.OK)
    assert served.ask(asker, asker.get_box(record[:32])) == Reply(Status.OK, record)
    assert served.ask(asker, asker.get_box(asker.box(index=1)[:32])) == Reply(Status.EMPTY)


def test_a_box_is_handed_to_all_who_wait_for_it() -> None:
    served, writer, readers = Served(), Asker(), [Asker(n) for n in range(1, 4)]
    record = writer.box()
    for reader in readers:
        assert served.go(reader.get_box(record[:32], 5000)) == []
    assert served.go(readers[0].get_box(writer.box(index=1)[:32], 5000)) == []
    written, *read = served.go(writer.put_box(record))
    assert writer.reply(written) == Reply(Status.OK)
    got = [reader.reply(event) for reader, event in zip(readers, read, strict=True)]
    assert got == [Reply(Status.OK, record)] * 3
    assert served.desk.waiting == 1


@pytest.mark.parametrize("together", [True, False])
def test_a_reader_never_falls_between_its_get_and_the_put_behind_it(together: bool) -> None:
    served, asker = Served(), Asker()
    record = asker.box()
    served.take(asker.get_box(record[:32], 5000).encode())
    if not together:
        assert served.commit() == []
    served.take(asker.put_box(record).encode())
    written, read = (asker.reply(event) for event in served.commit())
    assert (written, read) == (Reply(Status.OK), Reply(Status.OK, record))


def test_a_box_whose_wait_ends_is_answered_empty() -> None:
    served, asker = Served(), Asker()
    assert served.go(asker.get_box(asker.box()[:32], 1500)) == []
    served.tick(START)
    served.commit()
    end = START + 1500 * clock.MILLISECOND
    assert served.desk.next_deadline() == end
    assert served.tick(end - 1) == []
    (event,) = served.tick(end)
    assert asker.reply(event) == Reply(Status.EMPTY)


def test_the_first_write_wins_and_the_same_again_is_well() -> None:
    served, asker = Served(), Asker()
    record = asker.box(1)
    assert served.ask(asker, asker.put_box(record)) == Reply(Status.OK)
    assert served.ask(asker, asker.put_box(record, 6)) == Reply(Status.OK)
    assert served.ask(asker, asker.put_box(asker.box(2))) == Reply(Status.TAKEN)
    assert served.ask(asker, asker.get_box(record[:32])).record == record


def test_a_tombstone_takes_a_boxs_place_and_is_what_a_get_answers() -> None:
    served, asker = Served(), Asker()
    grave = asker.stream.tombstone(DAY)
    served.ask(asker, asker.put_box(asker.box()))
    assert served.ask(asker, asker.put_box(grave)) == Reply(Status.OK)
    assert served.ask(asker, asker.put_box(asker.box())) == Reply(Status.TAKEN)
    assert served.ask(asker, asker.get_box(grave[:32])) == Reply(Status.OK, grave)


def test_a_box_is_paid_at_least_the_networks_price() -> None:
    served, asker = Served(), Asker()
    record = asker.box()
    for bits in range(LAB.put_work_bits):
        assert served.ask(asker, asker.put_box(record, bits)) == Reply(Status.REFUSED)
    stolen = replace(asker.put_box(asker.box(index=1)), record=record)
    assert served.ask(asker, stolen) == Reply(Status.REFUSED)
    assert served.desk.counters["refused work"] == LAB.put_work_bits + 1
    assert served.queue == []
    assert served.ask(asker, asker.put_box(record)) == Reply(Status.OK)


def test_a_price_is_looked_at_before_the_rank_and_the_rank_before_the_signature() -> None:
    rng = seeded("ranked before")
    others = [rng.bytes(16) for _ in range(40)]
    asked: list[int] = []

    def relays() -> list[bytes]:
        asked.append(1)
        return others

    served, asker = Served(relays=relays), Asker()
    forged = bytearray(asker.box())
    forged[40] ^= 1
    assert served.ask(asker, asker.put_box(bytes(forged), 0)) == Reply(Status.REFUSED)
    assert asked == []
    assert served.ask(asker, asker.put_box(bytes(forged))) == Reply(Status.NOT_RANKED)
    others.clear()
    others.append(RELAY)
    assert served.ask(asker, asker.put_box(bytes(forged))) == Reply(Status.REFUSED)
    counters = served.desk.counters
    assert (counters["refused work"], counters["refused signature"]) == (1, 1)


def test_a_box_of_another_network_or_with_a_changed_byte_is_refused() -> None:
    served, asker, stranger = Served(), Asker(), Asker("stranger", MAIN)
    assert served.ask(asker, asker.put_box(stranger.box())) == Reply(Status.REFUSED)
    for place in (0, 40, 97, 101, 1000):  # address, signature, day, zero, sealed
        record = bytearray(asker.box())
        record[place] ^= 1
        assert served.ask(asker, asker.put_box(bytes(record))) == Reply(Status.REFUSED)
    assert len(served.store) == 0


@pytest.mark.parametrize(
    ("day", "status"),
    [
        (DAY - 15, Status.REFUSED),
        (DAY - 14, Status.OK),
        (DAY, Status.OK),
        (DAY + 1, Status.OK),
        (DAY + 2, Status.REFUSED),
    ],
)
def test_a_box_is_accepted_from_the_day_before_its_own_to_its_fourteenth_after(
    day: int, status: Status
) -> None:
    served, asker = Served(), Asker()
    assert served.ask(asker, asker.put_box(asker.box(day=day))) == Reply(status)


def test_a_box_is_dropped_after_its_days_and_can_not_be_put_again() -> None:
    served, asker = Served(), Asker()
    put = asker.put_box(asker.box())
    served.ask(asker, put)
    end = (DAY + LAB.box_days + 1) * LAB.day_s * clock.SECOND
    for now, left in ((end - 1, 1), (end + 60 * clock.SECOND, 0)):
        served.tick(now)
        served.commit(now)
        assert len(served.store) == left
    again = replace(put, surb=asker.surb())
    assert served.ask(asker, again, end) == Reply(Status.REFUSED)


def test_the_days_of_a_box_are_those_of_every_network() -> None:
    assert {network.box_days for network in NETWORKS.values()} == {box.DAYS_KEPT}


@pytest.mark.parametrize(
    ("failure", "status"), [(StoreFull, Status.FULL), (StoreFailed, Status.UNAVAILABLE)]
)
def test_a_store_that_fails_acknowledges_nothing(failure: type[StoreError], status: Status) -> None:
    """T15 reduced: a full disk is told as FULL, anything else as UNAVAILABLE; neither as OK."""
    served, asker = Served(), Asker()
    puts = [asker.put_box(asker.box()), asker.put()]
    gets = [asker.get_box(asker.box()[:32], 5000), asker.query(INSTANCE, 9, 5000, floor=9)]
    served.store.failure = failure
    for request in (*gets, *puts):
        assert served.take(request.encode()) == []
    box_got, entry_got, *written = (asker.reply(event) for event in served.commit())
    assert box_got == Reply(Status.UNAVAILABLE)
    assert entry_got == Reply(Status.UNAVAILABLE, instance=INSTANCE)
    assert written == [Reply(status)] * 2
    assert served.desk.waiting == 0
    served.store.failure = None
    assert len(served.store) == 0
    for request in puts:
        assert served.ask(asker, replace(request, surb=asker.surb())) == Reply(Status.OK)


def test_a_full_store_says_so_and_takes_boxes_again_when_there_is_room() -> None:
    served, asker = Served(), Asker()
    served.store.capacity = 0
    assert served.ask(asker, asker.put_box(asker.box())) == Reply(Status.FULL)
    assert served.ask(asker, asker.put()) == Reply(Status.FULL)
    served.store.capacity = 1
    assert served.ask(asker, asker.put_box(asker.box())) == Reply(Status.OK)
    assert served.desk.counters["box full"] == 1
