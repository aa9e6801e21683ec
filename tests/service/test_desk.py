"""The desk: one reply to every request that has a reply block, whatever it asked."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.asker import RELAY as OWN
from service.asker import Asker, record_at
from shoal_protocol import clock
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms import work
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.service import desk, placement
from shoal_protocol.service.desk import DhtGet, DhtPut, ServiceDesk
from shoal_protocol.service.inbox import InboxService
from shoal_protocol.service.messages import BODY_LENGTH, Reply, Request, RequestType, Status
from support import START, seeded

INSTANCE = b"i" * 16


def make(relays: list[bytes] | None = None) -> ServiceDesk:
    known = [OWN] if relays is None else relays
    return ServiceDesk(OWN, params=LAB, relays=lambda: known, store=InboxService(LAB, INSTANCE))


def ask(service: ServiceDesk, asker: Asker, request: Request, now: int = START) -> Reply:
    """Ask for what is answered at once."""
    (event,) = service.request(request.encode(), now)
    return asker.reply(event)


def test_what_was_put_is_got() -> None:
    service, asker = make(), Asker()
    assert ask(service, asker, asker.put()).status is Status.OK
    reply = ask(service, asker, asker.query(INSTANCE))
    assert reply.status is Status.OK
    assert reply.record == record_at(asker.address)
    assert reply.instance == INSTANCE
    assert ask(service, asker, asker.query(INSTANCE, reply.cursor)).status is Status.EMPTY
    assert service.counters == {"inbox_put": 1, "inbox_get": 2}


def test_a_get_that_waits_is_answered_by_the_put_it_waited_for() -> None:
    service, asker = make(), Asker()
    assert service.request(asker.query(INSTANCE, wait_ms=5000).encode(), START) == []
    events = service.request(asker.put().encode(), START + clock.SECOND)
    written, read = (asker.reply(event) for event in events)
    assert (written.status, written.record) == (Status.OK, bytes(2048))
    assert (read.status, read.record) == (Status.OK, record_at(asker.address))


def test_a_get_whose_wait_ends_is_answered_empty_once() -> None:
    service, asker = make(), Asker()
    assert service.request(asker.query(INSTANCE, wait_ms=5000).encode(), START) == []
    assert service.next_deadline() == START + 5 * clock.SECOND
    (event,) = service.handle_timer(START + 5 * clock.SECOND)
    assert asker.reply(event).status is Status.EMPTY
    assert service.next_deadline() is None
    assert service.handle_timer(START + 600 * clock.SECOND) == []


def test_entries_that_the_reader_has_are_dropped_when_it_says_so() -> None:
    service, asker = make(), Asker()
    for number in range(3):
        ask(service, asker, asker.put(number))
    first = ask(service, asker, asker.query(INSTANCE))
    second = ask(service, asker, asker.query(INSTANCE, first.cursor, floor=first.cursor))
    assert (second.cursor, second.remaining) == (first.cursor + 1, 1)
    again = ask(service, asker, asker.query(INSTANCE))
    assert again == second
    other = ask(service, asker, asker.query(b"j" * 16, second.cursor, floor=second.cursor))
    assert other.status is Status.WRONG_INSTANCE
    assert ask(service, asker, asker.query(INSTANCE)) == second


def test_an_echo_is_answered_at_once_and_leaves_nothing() -> None:
    service, asker = make(), Asker()
    echo = Request(RequestType.ECHO, asker.surb(), bytes(2048))
    assert ask(service, asker, echo) == Reply(Status.OK)
    assert service.next_deadline() is None


def test_a_get_of_somebody_elses_inbox_is_refused() -> None:
    service, asker, thief = make(), Asker(), Asker("thief")
    ask(service, asker, asker.put())
    stolen = asker.query(INSTANCE).record[:64] + thief.query(INSTANCE).record[64:]
    reply = ask(service, thief, Request(RequestType.INBOX_GET, thief.surb(), stolen))
    assert reply == Reply(Status.REFUSED)
    assert service.counters["refused signature"] == 1


def test_a_get_for_another_relays_store_is_told_of_this_one() -> None:
    service, asker = make(), Asker()
    ask(service, asker, asker.put())
    reply = ask(service, asker, asker.query(b"j" * 16))
    assert reply == Reply(Status.WRONG_INSTANCE, instance=INSTANCE)


def test_an_entry_goes_only_to_relays_that_rank_for_it() -> None:
    rng = seeded("ranks")
    relays = [OWN, *(rng.bytes(16) for _ in range(19))]
    service, asker = make(relays), Asker()
    reach = LAB.replicas + LAB.replica_slack
    seen = set()
    for number in range(60):
        address = rng.bytes(32)
        reply = ask(service, asker, asker.put(number, address))
        ranked = OWN in placement.rank(address, relays, reach)
        assert reply.status is (Status.OK if ranked else Status.NOT_RANKED)
        seen.add(reply.status)
    assert seen == {Status.OK, Status.NOT_RANKED}


def paid(asker: Asker, bits: int, number: int = 0) -> Request:
    put = asker.put(number)
    challenge = desk.put_challenge(put.record[:32], put.record, LAB.hash)
    return replace(put, effort=bits, nonce=work.solve(challenge, bits, start=number))


def test_work_that_was_done_is_taken_and_work_that_was_not_is_refused() -> None:
    service, asker = make(), Asker()
    good = paid(asker, 8)
    assert ask(service, asker, good).status is Status.OK
    other = asker.put(1)
    stolen = replace(other, effort=16, nonce=good.nonce)
    assert ask(service, asker, stolen).status is Status.REFUSED
    assert ask(service, asker, replace(paid(asker, 8, 2), effort=64)).status is Status.REFUSED
    assert ask(service, asker, replace(paid(asker, 8, 3), effort=255)).status is Status.REFUSED
    assert service.counters["refused work"] == 3


def test_dht_operations_are_handed_on_and_answered_when_they_end() -> None:
    service, asker = make(), Asker()
    put, get = asker.surb(), asker.surb()
    events = service.request(
        Request(RequestType.DHT_PUT, put, record_at(b"r" * 32)).encode(), START
    )
    assert events == [DhtPut(put, record_at(b"r" * 32))]
    events = service.request(
        Request(RequestType.DHT_GET, get, b"k" * 32 + bytes(2016)).encode(), START
    )
    assert events == [DhtGet(get, b"k" * 32)]
    for block, reply in ((put, Reply(Status.OK)), (get, Reply(Status.NOT_FOUND))):
        (event,) = service.finish(block, reply)
        assert asker.reply(event) == reply


def test_dht_operations_under_way_are_bounded() -> None:
    service, asker = make(), Asker()
    body = Request(RequestType.DHT_GET, asker.surb(), b"k" * 32 + bytes(2016)).encode()
    for _ in range(desk.MAX_LOOKUPS):
        assert isinstance(service.request(body, START)[0], DhtGet)
    beyond = Request(RequestType.DHT_PUT, asker.surb(), record_at(b"r" * 32))
    assert ask(service, asker, beyond) == Reply(Status.UNAVAILABLE)
    service.finish(asker.surb(), Reply(Status.NOT_FOUND))
    assert isinstance(service.request(body, START)[0], DhtGet)


@given(st.binary(min_size=0, max_size=2176), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_a_malformed_request_still_gets_exactly_one_refusal(junk: bytes, kind: int) -> None:
    service, asker = make(), Asker()
    block = asker.surb()
    body = bytes([kind, 7]).ljust(32, b"\0") + block + junk.ljust(2144, b"\1")
    (event,) = service.request(body[:BODY_LENGTH], START)
    assert asker.reply(event) == Reply(Status.REFUSED)
    assert service.counters == {"refused request": 1}


@given(st.binary(min_size=464, max_size=464), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_reply_block_of_rubbish_draws_nothing_and_stops_nothing(
    block: bytes, well_formed: bool
) -> None:
    """Some 1 in 2^56 random blocks look like one; the packet then dies at its first hop."""
    service, asker = make(), Asker()
    body = replace(asker.put(), surb=block).encode()
    if not well_formed:
        body = b"\0" + body[1:]
    assert service.request(body, START) == []
    assert service.counters["refused surb"] == 1
    assert ask(service, asker, asker.put(1)).status is Status.OK


def test_a_waiting_get_with_a_block_of_rubbish_draws_nothing_and_stops_nothing() -> None:
    service, asker = make(), Asker()
    bad = replace(asker.query(INSTANCE, wait_ms=1000), surb=bytes(464))
    assert service.request(bad.encode(), START) == []
    assert service.handle_timer(START + clock.SECOND) == []
    assert ask(service, asker, asker.put()).status is Status.OK


@pytest.mark.parametrize("seed", range(4))
def test_every_request_with_a_block_draws_exactly_one_reply(seed: int) -> None:
    service, asker, rng = make(), Asker(seed), seeded(seed)
    asked, now = 0, START
    events: list[desk.Event] = []
    pending: list[desk.Event] = []
    for number in range(200):
        request = (
            asker.put(number % 40),
            asker.query(INSTANCE, cursor=rng.below(2), wait_ms=rng.below(3000)),
            asker.query(b"?" * 16),
            Request(RequestType.DHT_GET, asker.surb(), b"k" * 32 + bytes(2016)),
        )[rng.below(4)]
        asked += 1
        for event in service.request(request.encode(), now):
            (events if isinstance(event, SendPacket) else pending).append(event)
        now += rng.below(clock.SECOND)
        events += service.handle_timer(now)
    for operation in pending:
        assert isinstance(operation, DhtGet)
        events += service.finish(operation.surb, Reply(Status.NOT_FOUND))
    events += service.handle_timer(now + 60 * clock.SECOND)
    for event in events:
        asker.reply(event)  # fails for a second answer to one block
    assert len(events) == asked
