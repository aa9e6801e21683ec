"""Inboxes: numbering, waiting, deduplication, bounds."""

from dataclasses import replace

import pytest

from shoal_protocol import clock
from shoal_protocol.parameters import LAB
from shoal_protocol.service import inbox
from shoal_protocol.service.inbox import NUMBER_BITS, InboxService, SendReply
from shoal_protocol.service.messages import Reply, Status
from support import START, seeded

INSTANCE = b"i" * 16
ADDRESS = b"a" * 32
MINUTE = 60_000  # ms
LIFE = clock.seconds(LAB.entry_life_s)
SMALL = replace(LAB, inbox_entries=4)


def record(number: int) -> bytes:
    return number.to_bytes(4, "big") * 512


def surb(number: int) -> bytes:
    return number.to_bytes(4, "big") * 116


def store(params: object = LAB) -> InboxService:
    assert isinstance(params, type(LAB))
    return InboxService(params, INSTANCE)


def put(service: InboxService, number: int, now: int = START, effort: int = 0) -> Status:
    return service.put(ADDRESS, record(number), effort, now)[0]


def get(
    service: InboxService, cursor: int = 0, wait_ms: int = 0, name: int = 0, now: int = START
) -> list[SendReply]:
    return service.get(ADDRESS, INSTANCE, cursor, wait_ms, surb(name), now)


def read(service: InboxService, now: int = START) -> list[Reply]:
    """Get everything that is there, one entry after the other."""
    replies: list[Reply] = []
    while True:
        cursor = replies[-1].cursor if replies else 0
        (send,) = get(service, cursor, now=now)
        if send.reply.status is Status.EMPTY:
            return replies
        replies.append(send.reply)


def test_entries_come_in_the_order_of_their_numbers_which_have_no_gaps() -> None:
    service = store()
    for number in range(10):
        assert put(service, number) is Status.OK
    replies = read(service)
    assert [reply.record for reply in replies] == [record(number) for number in range(10)]
    base = START // clock.MILLISECOND << NUMBER_BITS
    assert [reply.cursor for reply in replies] == list(range(base + 1, base + 11))
    assert [reply.remaining for reply in replies] == list(range(9, -1, -1))
    assert {reply.instance for reply in replies} == {INSTANCE}


def test_a_get_hands_out_the_first_entry_beyond_its_cursor_each_time_it_is_asked() -> None:
    service = store()
    put(service, 0)
    assert get(service) == get(service)


def test_the_same_record_again_changes_nothing() -> None:
    service = store()
    assert [put(service, 7) for _ in range(5)] == [Status.OK] * 5
    assert service.entries == 1
    assert len(read(service)) == 1
    assert service.put(b"b" * 32, record(7), 0, START)[0] is Status.OK
    assert service.entries == 2


def test_a_repeated_put_wakes_no_reader_and_a_new_one_does() -> None:
    service = store()
    put(service, 0)
    (first,) = get(service)
    assert get(service, first.reply.cursor, MINUTE) == []
    assert service.put(ADDRESS, record(0), 0, START) == (Status.OK, [])
    _, replies = service.put(ADDRESS, record(1), 0, START)
    assert [send.reply.record for send in replies] == [record(1)]


def test_an_entry_is_handed_to_one_waiting_get_only_the_oldest_first() -> None:
    service = store()
    for name in range(3):
        assert get(service, wait_ms=MINUTE, name=name) == []
    answered = []
    for number in range(3):
        _, replies = service.put(ADDRESS, record(number), 0, START)
        assert len(replies) == 1
        answered.append((replies[0].surb, replies[0].reply.record))
    assert answered == [(surb(n), record(n)) for n in range(3)]
    assert service.waiting == 0
    assert service.put(ADDRESS, record(3), 0, START) == (Status.OK, [])


def test_a_get_is_not_woken_by_entries_below_its_cursor() -> None:
    service = store()
    put(service, 0)
    (first,) = get(service)
    far = first.reply.cursor + 2
    assert get(service, far, MINUTE, name=1) == []
    assert get(service, first.reply.cursor, MINUTE, name=2) == []
    assert service.put(ADDRESS, record(1), 0, START)[1][0].surb == surb(2)
    assert service.put(ADDRESS, record(2), 0, START)[1] == []
    assert service.put(ADDRESS, record(3), 0, START)[1][0].surb == surb(1)


def test_a_wait_ends_empty_at_its_time_and_not_before() -> None:
    service = store()
    assert get(service, wait_ms=1500) == []
    end = START + 1500 * clock.MILLISECOND
    assert service.next_deadline() == end
    assert service.handle_timer(end - 1) == []
    assert service.handle_timer(end) == [SendReply(surb(0), Reply(Status.EMPTY, instance=INSTANCE))]
    assert (service.waiting, service.next_deadline()) == (0, None)


def test_a_wait_is_capped_whatever_was_asked() -> None:
    """Ledger: attacker-chosen duration overflows (CVE-2026-33040)."""
    service = store()
    get(service, wait_ms=2**32 - 1)
    assert service.next_deadline() == START + LAB.get_wait_cap_ms * clock.MILLISECOND


def test_a_get_that_does_not_wait_is_answered_empty_at_once() -> None:
    service = store()
    (send,) = get(service)
    assert send.reply == Reply(Status.EMPTY, instance=INSTANCE)
    assert service.next_deadline() is None


def test_the_next_deadline_is_that_of_the_first_wait_or_entry_still_there() -> None:
    service = store()
    put(service, 0)
    assert service.next_deadline() == START + LIFE
    (first,) = get(service)
    get(service, first.reply.cursor, 3000, name=1)
    get(service, first.reply.cursor, 1000, name=2)
    assert service.next_deadline() == START + clock.SECOND
    service.put(ADDRESS, record(1), 0, START)  # answers the older one
    assert service.next_deadline() == START + clock.SECOND
    service.put(ADDRESS, record(2), 0, START)
    assert service.next_deadline() == START + LIFE


def test_an_entry_lives_its_three_days_and_no_longer() -> None:
    service = store()
    put(service, 0)
    put(service, 1, START + clock.SECOND)
    service.handle_timer(START + LIFE - 1)
    assert len(read(service)) == 2
    service.handle_timer(START + LIFE)
    assert [reply.record for reply in read(service)] == [record(1)]
    service.handle_timer(START + LIFE + clock.SECOND)
    assert (service.entries, service.next_deadline()) == (0, None)


def test_an_entry_that_was_outbid_and_put_again_lives_from_then_on() -> None:
    service = store(replace(LAB, inbox_entries=1))
    put(service, 0)
    put(service, 1, effort=1)
    again = START + clock.SECOND
    assert put(service, 0, again, effort=2) is Status.OK
    service.handle_timer(START + LIFE)
    assert service.entries == 1
    service.handle_timer(again + LIFE)
    assert service.entries == 0


def test_an_idle_inbox_is_forgotten_and_its_numbers_never_come_again() -> None:
    service = store()
    for number in range(50):
        put(service, number)
    last = read(service)[-1].cursor
    now = START + LIFE
    service.handle_timer(now)
    assert (service.inboxes, service.entries) == (0, 0)
    put(service, 0, now)
    (again,) = read(service, now)
    assert again.cursor > last
    assert again.cursor >> NUMBER_BITS == now // clock.MILLISECOND


def test_a_forgotten_inbox_answers_a_reader_that_still_has_its_old_cursor() -> None:
    service = store()
    put(service, 0)
    (first,) = get(service)
    now = START + LIFE
    service.handle_timer(now)
    assert get(service, first.reply.cursor, MINUTE, now=now) == []
    _, replies = service.put(ADDRESS, record(1), 0, now + clock.SECOND)
    assert [send.reply.record for send in replies] == [record(1)]


def test_reading_and_refusals_leave_no_inbox_behind() -> None:
    service = store(replace(LAB, inbox_entries=0))
    get(service, wait_ms=1000)
    assert service.inboxes == 1
    service.handle_timer(START + clock.SECOND)
    assert put(service, 0) is Status.FULL
    get(service)
    assert service.inboxes == 0


def test_entries_that_were_read_make_room_and_come_no_more() -> None:
    service = store(SMALL)
    for number in range(4):
        put(service, number)
    assert put(service, 4) is Status.FULL
    cursors = [reply.cursor for reply in read(service)]
    service.release(ADDRESS, cursors[1])
    assert service.entries == 2
    assert put(service, 4) is Status.OK
    assert [reply.record for reply in read(service)] == [record(n) for n in (2, 3, 4)]
    assert read(service)[-1].cursor == cursors[3] + 1
    service.release(ADDRESS, 2**64 - 1)
    service.release(b"?" * 32, 2**64 - 1)
    assert (service.entries, service.inboxes, service.next_deadline()) == (0, 0, None)


def test_another_instance_is_told_this_one_and_does_not_wait() -> None:
    service = store()
    put(service, 0)
    (send,) = service.get(ADDRESS, b"j" * 16, 0, MINUTE, surb(0), START)
    assert send.reply == Reply(Status.WRONG_INSTANCE, instance=INSTANCE)
    assert service.waiting == 0


def test_a_full_inbox_keeps_the_highest_effort() -> None:
    service = store(SMALL)
    for number, effort in enumerate((3, 1, 2, 1)):
        assert put(service, number, effort=effort) is Status.OK
    assert put(service, 10, effort=0) is Status.FULL
    assert put(service, 11, effort=1) is Status.FULL
    assert put(service, 12, effort=2) is Status.OK  # outbids the older of the two of effort 1
    assert put(service, 13, effort=2) is Status.OK
    assert put(service, 14, effort=2) is Status.FULL
    assert [reply.record for reply in read(service)] == [record(n) for n in (0, 2, 12, 13)]
    assert service.entries == 4


def test_a_refused_entry_takes_no_number_and_an_outbid_one_leaves_a_gap() -> None:
    service = store(SMALL)
    for number in range(4):
        put(service, number, effort=1)
    put(service, 4)
    put(service, 5, effort=2)
    base = START // clock.MILLISECOND << NUMBER_BITS
    assert [reply.cursor - base for reply in read(service)] == [2, 3, 4, 5]


def test_entries_in_all_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_ENTRIES", 6)
    service = store(SMALL)
    for number in range(12):
        service.put(bytes([number % 3]) * 32, record(number), 0, START)
    assert service.entries == 6
    assert service.put(ADDRESS, record(0), 64, START)[0] is Status.FULL
    assert service.put(bytes(32), record(50), 1, START)[0] is Status.OK  # outbids its own
    assert (service.entries, service.inboxes) == (6, 3)


def test_beyond_the_waits_of_one_address_the_oldest_is_answered_empty() -> None:
    service = store()
    for name in range(inbox.MAX_WAITING_HERE):
        assert get(service, wait_ms=MINUTE, name=name) == []
    (send,) = get(service, wait_ms=MINUTE, name=1000)
    assert (send.surb, send.reply.status) == (surb(0), Status.EMPTY)
    assert service.waiting == inbox.MAX_WAITING_HERE
    _, replies = service.put(ADDRESS, record(0), 0, START)
    assert replies[0].surb == surb(1)


def test_beyond_the_waits_in_all_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING", 3)
    service = store()
    for name in range(3):
        address = bytes([name]) * 32
        assert service.get(address, INSTANCE, 0, MINUTE, surb(name), START) == []
    (send,) = get(service, wait_ms=MINUTE, name=3)
    assert send.reply.status is Status.EMPTY
    assert service.waiting == 3
    assert put(service, 0) is Status.OK  # readers never keep writers out


def test_a_flood_of_gets_at_one_address_leaves_only_what_waits() -> None:
    """A GET that is pushed out is remembered no longer, though its wait had long to go."""
    service = store()
    for name in range(20_000):
        get(service, wait_ms=MINUTE, name=name)
    assert service.waiting == inbox.MAX_WAITING_HERE
    assert len(service._waits) <= 2 * inbox.MAX_WAITING_HERE + 1024 + 1


def test_a_hundred_thousand_random_puts_stay_within_the_bounds() -> None:
    rng = seeded("flood")
    service = store(replace(LAB, inbox_entries=64))
    addresses = [rng.bytes(32) for _ in range(200)]
    now = START
    for number in range(100_000):
        address = addresses[rng.below(200)] if number % 2 else rng.bytes(32)
        service.put(address, number.to_bytes(8, "big"), number % 5, now)
        now += 10 * clock.MILLISECOND
    assert service.entries <= inbox.MAX_ENTRIES
    assert service.inboxes <= service.entries
    assert service.counters["put"] - service.counters["outbid"] == service.entries
    service.handle_timer(now + LIFE)
    assert (service.entries, service.inboxes, service.next_deadline()) == (0, 0, None)
