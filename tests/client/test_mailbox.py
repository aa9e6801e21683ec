"""Mailboxes: gaps are filled, what is gone is skipped, and a store that lies stays bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol import clock
from shoal_protocol.client import mailbox as mailboxes
from shoal_protocol.client.courier import Question
from shoal_protocol.client.mailbox import Asked, Mailbox
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms.blinding import SigningSecret
from shoal_protocol.service import messages
from shoal_protocol.service.memory_store import MemoryStore
from shoal_protocol.service.messages import Reply, Request, Status
from shoal_protocol.service.storage import Entry, Expire, GetEntry, Operation, PutEntry, Release
from support import START, seeded

RELAY = b"r" * 16
INSTANCE = b"i" * 16
SURB = bytes(464)
BASE = START // clock.MILLISECOND << 20


def make() -> Mailbox:
    key = SigningSecret(b"k" * 32).blind(b"inbox", 7, network=LAB.hash)
    return Mailbox(key, network=LAB.hash, rng=seeded())


def ask(box: Mailbox, wait_ms: int = 0, settled: bool = True) -> tuple[Question, Asked]:
    return box.ask(RELAY, INSTANCE, wait_ms, settled, START)


def record(number: int) -> bytes:
    return number.to_bytes(4, "big") * 512


def got(number: int, remaining: int = 0) -> Reply:
    return Reply(Status.OK, record(number), BASE + number, remaining, INSTANCE)


def answer(box: Mailbox, reply: Reply) -> tuple[int, bytes | None]:
    """Ask and be answered; return the cursor asked beyond, from the base, and the entry."""
    question, asked = ask(box)
    return max(question.cursor - BASE, -1), box.answered(asked, reply)


class Store:
    """A real store that the mailbox reads."""

    def __init__(self) -> None:
        self.store = MemoryStore(LAB, INSTANCE)
        self.now = START

    def put(self, box: Mailbox, number: int) -> None:
        expires = self.now + clock.seconds(LAB.entry_life_s)
        name = number.to_bytes(16, "big")
        put = PutEntry(box.address, name, record(number), 0, bytes(8), expires)
        self.store.execute([put], self.now)

    def expire(self) -> None:
        self.store.execute([Expire(self.now, 0)], self.now)

    def get(self, question: Question) -> Reply:
        request = Request(question.type, SURB, question.record, 0, question.cursor, question.floor)
        address = messages.decode_query(request, RELAY, LAB.hash).address
        operations: list[Operation] = [
            Release(address, question.floor),
            GetEntry(address, question.cursor),
        ]
        _, found = self.store.execute(operations, self.now)
        if not isinstance(found, Entry):
            return Reply(Status.EMPTY)
        remaining = found.last - found.number
        return Reply(Status.OK, found.record, found.number, remaining, INSTANCE)

    def read(self, box: Mailbox, settled: bool = True) -> list[bytes]:
        """Ask until nothing more is to be had."""
        entries: list[bytes] = []
        while True:
            question, asked = ask(box, settled=settled)
            reply = self.get(question)
            entry = box.answered(asked, reply)
            if entry is not None:
                entries.append(entry)
            elif reply.status is Status.EMPTY:
                return entries


def test_gets_are_signed_for_the_store_asked_and_never_the_same_twice() -> None:
    box = make()
    nonces = set()
    for wait in (0, 5, 60_000):
        question, asked = ask(box, wait)
        request = Request(question.type, SURB, question.record, wait, question.cursor)
        query = messages.decode_query(request, RELAY, LAB.hash)
        assert (query.address, query.instance) == (box.address, INSTANCE)
        nonces.add(query.nonce)
        assert asked == Asked(RELAY, INSTANCE, 0, None)
    assert len(nonces) == 3
    assert box.outstanding(RELAY) == 3
    assert (box.outstanding(b"?" * 16), box.last_asked(b"?" * 16)) == (0, 0)


def test_everything_put_is_read_once() -> None:
    box, store = make(), Store()
    for number in range(40):
        store.put(box, number)
    assert store.read(box) == [record(number) for number in range(40)]
    assert store.read(box) == []
    store.put(box, 40)
    assert store.read(box) == [record(40)]


def test_a_floor_is_never_told_before_all_is_durable() -> None:
    box, store = make(), Store()
    for number in range(5):
        store.put(box, number)
    assert len(store.read(box, settled=False)) == 5
    assert ask(box, settled=False)[0].floor == 0
    again = store.read(make(), settled=False)  # by a node that crashed here
    assert len(again) == 5
    told = ask(box)[0].floor
    assert told - BASE == 5
    store.put(box, 5)
    assert store.read(box, settled=False) == [record(5)]
    assert ask(box, settled=False)[0].floor == told
    assert store.read(make(), settled=False) == [record(5)]
    assert ask(box)[0].floor - BASE == 6


def test_entries_that_the_store_speaks_of_are_asked_for_by_gets_side_by_side() -> None:
    box = make()
    assert answer(box, got(1, remaining=3)) == (-1, record(1))
    assert box.hungry(RELAY)
    asked = [ask(box) for _ in range(4)]
    assert [question.cursor - BASE for question, _ in asked] == [1, 2, 3, 4]
    assert not box.hungry(RELAY)
    for number in (3, 4, 2):
        assert box.answered(asked[number - 2][1], got(number)) == record(number)
    assert answer(box, got(5))[0] == 4


def test_a_gap_is_asked_for_and_a_lost_get_is_asked_again() -> None:
    """Entry 2 was handed out to a GET whose answer was lost: entry 3 shows the gap."""
    box = make()
    answer(box, got(1))
    first, second = ask(box), ask(box)
    assert box.answered(second[1], got(3)) == record(3)
    box.lost(first[1])
    assert box.hungry(RELAY)
    question, asked = ask(box)
    assert (question.cursor - BASE, asked.missing) == (1, BASE + 2)
    assert not box.hungry(RELAY)
    box.lost(asked)
    assert box.hungry(RELAY)
    assert answer(box, got(2, remaining=1)) == (1, record(2))
    assert not box.hungry(RELAY)
    assert answer(box, got(4))[0] == 3


def test_numbers_gone_by_expiry_are_skipped() -> None:
    box, store = make(), Store()
    for number in range(10):
        store.put(box, number)
        store.now += clock.SECOND
    question, asked = ask(box)
    box.answered(asked, store.get(question))
    store.now = START + clock.seconds(LAB.entry_life_s) + 4 * clock.SECOND
    store.expire()
    assert store.read(box) == [record(number) for number in range(5, 10)]
    assert not box.hungry(RELAY)


def test_an_inbox_that_began_anew_is_read_from_its_new_numbers() -> None:
    box, store = make(), Store()
    for number in range(3):
        store.put(box, number)
    assert len(store.read(box)) == 3
    store.now += clock.seconds(LAB.entry_life_s)
    store.expire()
    for number in range(10, 13):
        store.put(box, number)
    assert store.read(box) == [record(number) for number in range(10, 13)]
    assert not box.hungry(RELAY)


def test_a_restarted_store_is_read_from_its_beginning() -> None:
    box = make()
    answer(box, got(1))
    old = ask(box)
    fresh = Reply(Status.WRONG_INSTANCE, instance=b"n" * 16)
    assert answer(box, fresh)[1] is None
    question, asked = ask(box)
    assert (question.cursor, asked.instance) == (0, b"n" * 16)
    assert box.outstanding(RELAY) == 2
    assert box.answered(old[1], got(9)) is None  # of the store that is no more
    entry = Reply(Status.OK, record(1), BASE + 1, 0, b"n" * 16)
    assert box.answered(asked, entry) == record(1)
    assert box.outstanding(RELAY) == 0


def test_an_entry_at_or_below_the_cursor_is_not_believed() -> None:
    box = make()
    answer(box, got(5))
    for number in (5, 4, 0):
        _, asked = ask(box)
        assert box.answered(asked, got(number)) is None


def test_two_answers_with_one_number_give_one_entry() -> None:
    box = make()
    answer(box, got(1))
    first, second = ask(box), ask(box)
    assert box.answered(first[1], got(2)) == record(2)
    assert box.answered(second[1], got(2)) is None


@pytest.mark.parametrize("number", [2**64 - 1, 2**64 - 1024, 2**63])
def test_the_highest_numbers_and_counts_stop_nothing(number: int) -> None:
    """Ledger: attacker-chosen duration overflows (CVE-2026-33040), here a number."""
    box = make()
    for remaining in (0, 2**32 - 1):
        _, asked = ask(box)
        box.answered(asked, Reply(Status.OK, record(0), number, remaining, INSTANCE))
        question, _ = ask(box)
        assert question.cursor < 2**64


replies = st.builds(
    Reply,
    st.sampled_from([Status.OK] * 6 + [Status.WRONG_INSTANCE, Status.EMPTY, Status.REFUSED]),
    st.sampled_from([record(n) for n in range(3)]),
    st.one_of(
        st.integers(0, 2**64 - 1),
        st.integers(BASE, BASE + 5000),
        st.integers(2**64 - 3000, 2**64 - 1),
    ),
    st.sampled_from([0, 1, 500, 2**32 - 1]),
    st.sampled_from([INSTANCE, b"j" * 16]),
)


@given(st.lists(st.tuples(replies, st.integers(0, 5)), max_size=150))
@settings(max_examples=60)
def test_a_store_that_lies_stays_bounded_and_breaks_nothing(
    lies: list[tuple[Reply, int]],
) -> None:
    box = make()
    asked: list[Asked] = []
    for reply, place in lies:
        for _ in range(2):
            question, one = ask(box, 60_000)
            asked.append(one)
            assert len(question.record) == 2048
        chosen = asked.pop(place % len(asked))
        if reply.status is Status.REFUSED:
            box.lost(chosen)
        else:
            box.answered(chosen, reply)
        box.hungry(RELAY)
        assert box.outstanding(RELAY) == len(asked)
        (store,) = box._stores.values()
        assert len(store.here) <= 4 * mailboxes.MAX_MISSING
        assert len(store.asked) <= len(lies) * 2
    for one in asked:
        box.lost(one)
    assert box.outstanding(RELAY) == 0


def test_a_store_that_always_promises_more_is_bounded_over_many_answers() -> None:
    box, rng = make(), seeded("promises")
    last = BASE
    for _ in range(5000):
        _, asked = ask(box)
        last = asked.cursor + 1 + rng.below(1024)
        box.answered(asked, Reply(Status.OK, record(1), last, 2**32 - 1, INSTANCE))
    (store,) = box._stores.values()
    assert len(store.here) <= 4 * mailboxes.MAX_MISSING
    assert len(store.asked) == 0
