"""The desk: one reply to every request that has a reply block, whatever it asked."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.asker import DAY, Asker, paid, record_at
from service.asker import RELAY as OWN
from service.served import INSTANCE, Served
from shoal_protocol import clock
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.parameters import LAB
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.service import desk, placement, storage
from shoal_protocol.service.desk import Access, DhtGet, DhtPut
from shoal_protocol.service.messages import BODY_LENGTH, Reply, Request, RequestType, Status
from shoal_protocol.service.storage import Expire, GetBox, GetEntry, Release
from support import START, seeded


def test_what_was_put_is_got() -> None:
    served, asker = Served(), Asker()
    assert served.ask(asker, asker.put()) == Reply(Status.OK)
    reply = served.ask(asker, asker.query(INSTANCE))
    assert reply.status is Status.OK
    assert reply.record == record_at(asker.address)
    assert reply.instance == INSTANCE
    empty = served.ask(asker, asker.query(INSTANCE, reply.cursor))
    assert empty == Reply(Status.EMPTY, instance=INSTANCE)
    counters = served.desk.counters
    assert (counters["inbox_put"], counters["inbox_get"]) == (1, 2)
    assert (counters["entry ok"], counters["entry got"]) == (1, 1)


def test_nothing_is_acknowledged_before_the_store_has_it() -> None:
    served, asker = Served(), Asker()
    assert served.take(asker.put().encode()) == []
    assert served.take(asker.query(INSTANCE).encode()) == []
    assert [type(access.operation).__name__ for access in served.queue] == ["PutEntry", "GetEntry"]
    written, read = (asker.reply(event) for event in served.commit())
    assert (written.status, read.record) == (Status.OK, record_at(asker.address))


def test_a_get_that_waits_is_answered_by_the_put_it_waited_for() -> None:
    served, asker = Served(), Asker()
    assert served.go(asker.query(INSTANCE, wait_ms=5000)) == []
    events = served.go(asker.put(), START + clock.SECOND)
    written, read = (asker.reply(event) for event in events)
    assert (written.status, written.record) == (Status.OK, bytes(2048))
    assert (read.status, read.record) == (Status.OK, record_at(asker.address))


@pytest.mark.parametrize("together", [True, False])
def test_a_get_that_finds_nothing_waits_for_a_put_that_was_queued_behind_it(
    together: bool,
) -> None:
    """Whether one transaction does both or two: the reader never falls between them."""
    served, asker = Served(), Asker()
    served.take(asker.query(INSTANCE, wait_ms=5000).encode())
    if not together:
        batch, served.queue[:] = served.queue[:], []
        outcomes = served.store.execute([access.operation for access in batch], START)
        served.take(asker.put().encode())
        assert served.split(served.desk.stored(batch[0].ticket, outcomes[0], START)) == []
    else:
        served.take(asker.put().encode())
    written, read = (asker.reply(event) for event in served.commit())
    assert (written.status, read.record) == (Status.OK, record_at(asker.address))
    assert served.desk.waiting == 0


def test_a_repeated_put_wakes_no_reader_and_a_new_one_does() -> None:
    served, asker = Served(), Asker()
    for _ in range(2):
        assert served.go(asker.query(INSTANCE, wait_ms=5000)) == []
    assert len(served.go(asker.put(0))) == 2
    assert len(served.go(asker.put(0))) == 1
    assert len(served.go(asker.put(1))) == 2
    assert served.desk.waiting == 0


def test_a_reply_says_what_its_entry_paid_whether_its_get_waited_or_not() -> None:
    served, asker = Served(), Asker()
    assert served.go(asker.query(INSTANCE, wait_ms=5000)) == []
    put = paid(asker.put(), 9)
    _, waited = (asker.reply(event) for event in served.go(put))
    later = served.ask(asker, asker.query(INSTANCE))
    for reply in (waited, later):
        assert (reply.status, reply.effort, reply.nonce) == (Status.OK, 9, put.nonce)
    free = served.ask(asker, asker.put(1))
    assert (free.effort, free.nonce) == (0, bytes(8))
    unpaid = served.ask(asker, asker.query(INSTANCE, later.cursor))
    assert (unpaid.status, unpaid.effort, unpaid.nonce) == (Status.OK, 0, bytes(8))


@given(st.integers(0, 2**62))
def test_an_entrys_end_tells_the_hour_of_its_coming_and_no_more(late: int) -> None:
    now, life = START + late, LAB.entry_life_s * clock.SECOND
    end = desk.entry_end(now, LAB)
    assert end % (3600 * clock.SECOND) == 0
    assert now + life - 3600 * clock.SECOND < end <= now + life
    assert desk.entry_end(now, replace(LAB, entry_life_s=40)) > now + 38 * clock.SECOND


def test_a_get_whose_wait_ends_is_answered_empty_once() -> None:
    served, asker = Served(), Asker()
    served.tick(START)
    served.commit()
    assert served.go(asker.query(INSTANCE, wait_ms=5000)) == []
    assert served.desk.next_deadline() == START + 5 * clock.SECOND
    (event,) = served.tick(START + 5 * clock.SECOND)
    assert asker.reply(event) == Reply(Status.EMPTY, instance=INSTANCE)
    assert served.desk.next_deadline() == START + desk.EXPIRE_INTERVAL
    assert served.tick(START + 600 * clock.SECOND) == []


def test_a_wait_is_over_by_its_time_though_the_store_was_slow() -> None:
    served, asker = Served(), Asker()
    served.take(asker.query(INSTANCE, wait_ms=5000).encode())
    (event,) = served.commit(START + 5 * clock.SECOND)
    assert asker.reply(event).status is Status.EMPTY
    served.take(asker.query(INSTANCE, wait_ms=5000).encode())
    assert served.commit(START + 4 * clock.SECOND) == []
    assert len(served.tick(START + 5 * clock.SECOND)) == 1


def test_a_wait_is_capped_whatever_was_asked() -> None:
    """Ledger: attacker-chosen duration overflows (CVE-2026-33040)."""
    served, asker = Served(), Asker()
    served.tick(START)
    served.go(asker.query(INSTANCE, wait_ms=2**32 - 1))
    served.go(asker.get_box(asker.address, 2**32 - 1))
    end = START + LAB.get_wait_cap_ms * clock.MILLISECOND
    assert served.tick(end - 1) == []
    assert len(served.tick(end)) == 2


def test_entries_that_the_reader_has_are_dropped_when_it_says_so() -> None:
    served, asker = Served(), Asker()
    for number in range(3):
        served.ask(asker, asker.put(number))
    first = served.ask(asker, asker.query(INSTANCE))
    second = served.ask(asker, asker.query(INSTANCE, first.cursor, floor=first.cursor))
    assert (second.cursor, second.remaining) == (first.cursor + 1, 1)
    again = served.ask(asker, asker.query(INSTANCE))
    assert again == second
    other = served.ask(asker, asker.query(b"j" * 16, second.cursor, floor=second.cursor))
    assert other == Reply(Status.WRONG_INSTANCE, instance=INSTANCE)
    assert served.ask(asker, asker.query(INSTANCE)) == second


def test_numbers_that_no_store_can_give_are_cut_before_it_sees_them() -> None:
    served, asker = Served(), Asker()
    served.take(asker.query(INSTANCE, 2**64 - 1, floor=2**64 - 1).encode())
    most = storage.MAX_NUMBER
    assert [access.operation for access in served.queue] == [
        Release(asker.address, most),
        GetEntry(asker.address, most),
    ]


def test_an_echo_is_answered_at_once_and_leaves_nothing() -> None:
    served, asker = Served(), Asker()
    (event,) = served.take(Request(RequestType.ECHO, asker.surb(), bytes(2048)).encode())
    assert asker.reply(event) == Reply(Status.OK)
    assert served.queue == []


def test_a_get_of_somebody_elses_inbox_is_refused() -> None:
    served, asker, thief = Served(), Asker(), Asker("thief")
    served.ask(asker, asker.put())
    stolen = asker.query(INSTANCE).record[:64] + thief.query(INSTANCE).record[64:]
    reply = served.ask(thief, Request(RequestType.INBOX_GET, thief.surb(), stolen))
    assert reply == Reply(Status.REFUSED)
    assert served.desk.counters["refused signature"] == 1


@pytest.mark.parametrize("kind", ["entry", "box"])
def test_what_is_put_goes_only_to_relays_that_rank_for_it(kind: str) -> None:
    rng = seeded("ranks")
    relays = [OWN, *(rng.bytes(16) for _ in range(19))]
    served, asker = Served(relays=lambda: relays), Asker()
    reach = LAB.replicas + LAB.replica_slack
    seen = set()
    for number in range(40):
        box = asker.put_box(asker.box(index=number))
        put = box if kind == "box" else asker.put(number, rng.bytes(32))
        reply = served.ask(asker, put)
        ranked = OWN in placement.rank(put.record[:32], relays, reach)
        assert reply == Reply(Status.OK if ranked else Status.NOT_RANKED)
        seen.add(reply.status)
    assert seen == {Status.OK, Status.NOT_RANKED}


def test_work_that_was_done_is_taken_and_work_that_was_not_is_refused() -> None:
    served, asker = Served(), Asker()
    good = paid(asker.put(), 8)
    assert served.ask(asker, good).status is Status.OK
    stolen = replace(asker.put(1), effort=16, nonce=good.nonce)
    assert served.ask(asker, stolen).status is Status.REFUSED
    for number, claimed in ((2, 64), (3, 255)):
        claim = replace(paid(asker.put(number), 8), effort=claimed)
        assert served.ask(asker, claim).status is Status.REFUSED
    assert served.desk.counters["refused work"] == 3


def test_dht_operations_are_handed_on_and_answered_when_they_end() -> None:
    served, asker = Served(), Asker()
    put, get = asker.surb(), asker.surb()
    events = served.go(Request(RequestType.DHT_PUT, put, record_at(b"r" * 32)))
    assert events == [DhtPut(put, record_at(b"r" * 32))]
    events = served.go(Request(RequestType.DHT_GET, get, b"k" * 32 + bytes(2016)))
    assert events == [DhtGet(get, b"k" * 32)]
    for block, reply in ((put, Reply(Status.OK)), (get, Reply(Status.NOT_FOUND))):
        (event,) = served.desk.finish(block, reply)
        assert asker.reply(event) == reply


def test_dht_operations_under_way_are_bounded() -> None:
    served, asker = Served(), Asker()
    body = Request(RequestType.DHT_GET, asker.surb(), b"k" * 32 + bytes(2016)).encode()
    for _ in range(desk.MAX_LOOKUPS):
        assert isinstance(served.take(body)[0], DhtGet)
    beyond = Request(RequestType.DHT_PUT, asker.surb(), record_at(b"r" * 32))
    assert served.ask(asker, beyond) == Reply(Status.UNAVAILABLE)
    served.desk.finish(asker.surb(), Reply(Status.NOT_FOUND))
    assert isinstance(served.take(body)[0], DhtGet)


def test_accesses_under_way_are_bounded() -> None:
    """A store that stands still holds no more than its share of requests."""
    served, asker = Served(), Asker()
    body = replace(asker.put(), surb=bytes(464)).encode()
    for _ in range(desk.MAX_ACCESSES):
        assert served.take(body) == []
    beyond = [asker.put(1), asker.put_box(asker.box()), asker.get_box(asker.address)]
    for request in beyond:
        (event,) = served.take(request.encode())
        assert asker.reply(event) == Reply(Status.UNAVAILABLE)
    (event,) = served.take(asker.query(INSTANCE, 9, floor=9).encode())
    assert asker.reply(event) == Reply(Status.UNAVAILABLE, instance=INSTANCE)
    assert len(served.queue) == desk.MAX_ACCESSES
    served.commit()
    assert served.ask(asker, asker.put(1)).status is Status.OK


def test_an_access_is_answered_once_and_by_its_own_outcome() -> None:
    served, asker = Served(), Asker()
    served.take(asker.get_box(b"a" * 32).encode())
    served.take(asker.get_box(b"b" * 32).encode())
    first, second = served.queue
    assert len(served.desk.stored(first.ticket, None, START)) == 1
    for ticket in (first.ticket, second.ticket + 1):
        with pytest.raises(LocalProtocolError, match="once"):
            served.desk.stored(ticket, None, START)
        with pytest.raises(LocalProtocolError, match="once"):
            served.desk.store_failed(ticket, START)
    with pytest.raises(LocalProtocolError, match="another operation"):
        served.desk.stored(second.ticket, Status.OK, START)


def test_accesses_that_a_driver_lost_are_given_up_when_a_later_one_is_answered() -> None:
    """A failure that the driver contained costs the requests it hit, not those after them."""
    served, asker = Served(), Asker()
    served.tick(START)
    for request in (asker.put(), asker.query(INSTANCE, wait_ms=5000), asker.get_box(b"a" * 32)):
        served.take(request.encode())
    last = served.queue[-1]
    put, got, box = (asker.reply(e) for e in served.desk.stored(last.ticket, None, START))
    assert put == Reply(Status.UNAVAILABLE)
    assert got == Reply(Status.UNAVAILABLE, instance=INSTANCE)
    assert box == Reply(Status.EMPTY)
    assert served.desk.counters["store lost"] == 3
    assert served.desk.next_deadline() == START + desk.EXPIRE_INTERVAL
    served.queue.clear()
    assert served.ask(asker, asker.put()).status is Status.OK


def test_the_store_is_told_once_a_minute_to_drop_what_is_over() -> None:
    served = Served()
    assert served.desk.next_deadline() == 0
    now = START
    for _ in range(3):
        served.tick(now)
        (access,) = served.queue
        assert access.operation == Expire(now, DAY)
        assert served.desk.next_deadline() is None
        assert served.tick(now + desk.EXPIRE_INTERVAL) == []
        assert len(served.queue) == 1
        served.commit(now)
        assert served.desk.next_deadline() == now + desk.EXPIRE_INTERVAL
        now += desk.EXPIRE_INTERVAL


def test_a_look_that_did_not_drop_it_all_is_soon_followed_by_the_next() -> None:
    served = Served()
    served.tick(START)
    (access,) = served.queue
    served.desk.stored(access.ticket, storage.MAX_EXPIRED, START)
    assert served.desk.next_deadline() == START + desk.EXPIRE_AGAIN


def test_after_a_failure_the_store_is_told_again() -> None:
    served = Served()
    served.tick(START)
    (access,) = served.queue
    assert served.desk.store_failed(access.ticket, START) == []
    assert served.desk.next_deadline() == START + desk.EXPIRE_INTERVAL


@given(st.binary(min_size=0, max_size=2176), st.integers(0, 8))
@settings(max_examples=100)
def test_a_malformed_request_still_gets_exactly_one_refusal(junk: bytes, kind: int) -> None:
    served, asker = Served(), Asker()
    block = asker.surb()
    body = bytes([kind, 7]).ljust(32, b"\0") + block + junk.ljust(2144, b"\1")
    (event,) = served.take(body[:BODY_LENGTH])
    assert asker.reply(event) == Reply(Status.REFUSED)
    assert served.desk.counters == {"refused request": 1}


@given(st.binary(min_size=464, max_size=464), st.booleans())
@settings(max_examples=100)
def test_a_reply_block_of_rubbish_draws_nothing_and_stops_nothing(
    block: bytes, well_formed: bool
) -> None:
    """Some 1 in 2^56 random blocks look like one; the packet then dies at its first hop."""
    served, asker = Served(), Asker()
    body = replace(asker.put(), surb=block).encode()
    if not well_formed:
        body = b"\0" + body[1:]
    assert served.go(body) == []
    assert served.desk.counters["refused surb"] == 1
    assert served.ask(asker, asker.put(1)).status is Status.OK


def test_a_waiting_get_with_a_block_of_rubbish_draws_nothing_and_stops_nothing() -> None:
    served, asker = Served(), Asker()
    for bad in (asker.query(INSTANCE, wait_ms=1000), asker.get_box(b"b" * 32, 1000)):
        assert served.go(replace(bad, surb=bytes(464))) == []
    assert served.tick(START + clock.SECOND) == []
    assert served.desk.waiting == 0
    assert served.ask(asker, asker.put()).status is Status.OK


@pytest.mark.parametrize("seed", range(4))
def test_every_request_with_a_block_draws_exactly_one_reply(seed: int) -> None:
    served, asker, rng = Served(), Asker(seed), seeded(seed)
    boxes = [asker.box(content, index) for content in range(2) for index in range(3)]
    boxes.append(asker.stream.tombstone(DAY))
    asked, now = 0, START
    events: list[desk.Event] = []
    for number in range(200):
        box = boxes[rng.below(len(boxes))]
        request = (
            asker.put(number % 40),
            asker.query(INSTANCE, cursor=1, wait_ms=rng.below(3000), floor=rng.below(2)),
            asker.query(b"?" * 16),
            asker.put_box(box),
            asker.put_box(box, 0),
            asker.get_box(box[:32], rng.below(3000)),
            Request(RequestType.ECHO, asker.surb(), bytes(2048)),
            Request(RequestType.DHT_PUT, asker.surb(), record_at(b"r" * 32)),
            Request(RequestType.DHT_GET, asker.surb(), b"k" * 32 + bytes(2016)),
        )[rng.below(9)]
        asked += 1
        events += served.take(request.encode(), now)
        now += rng.below(clock.SECOND)
        events += served.tick(now)
        if rng.below(3) == 0:
            events += served.commit(now)
    events += served.commit(now) + served.tick(now + 60 * clock.SECOND)
    for event in events[:]:
        if isinstance(event, DhtGet | DhtPut):
            events.remove(event)
            events += served.desk.finish(event.surb, Reply(Status.NOT_FOUND))
    for event in events:
        asker.reply(event)  # fails for a second answer to one block
    assert len(events) == asked
    assert all(isinstance(event, SendPacket) for event in events)


def test_what_another_relay_handed_on_goes_to_those_who_wait_for_it() -> None:
    served, asker = Served(), Asker()
    record = asker.box()
    served.go(asker.get_box(record[:32], 5000))
    served.go(asker.query(INSTANCE, wait_ms=5000))
    other = Served()
    operations = []
    for request in (asker.put_box(record), asker.put()):
        (access,) = other.desk.request(request.encode(), START)
        assert isinstance(access, Access)
        assert not isinstance(access.operation, GetBox)
        operations.append(access.operation)
    replies = []
    for operation in operations:
        assert isinstance(operation, storage.PutBox | storage.PutEntry)
        (outcome,) = served.store.execute([operation], START)
        replies += [asker.reply(event) for event in served.desk.arrived(operation, outcome)]
    assert [reply.record for reply in replies] == [record, record_at(asker.address)]
    assert served.desk.waiting == 0
