"""Desk and store against a model that is too slow and too simple to be wrong.

Requests queue up, time passes, and now and then the queue is committed, or fails; each reply
must come when the model says so, by the block that asked, and with the model's bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.asker import DAY, Asker, paid, record_at
from service.served import INSTANCE, Served
from shoal_protocol import clock
from shoal_protocol.errors import StoreError, StoreFailed, StoreFull
from shoal_protocol.parameters import LAB
from shoal_protocol.service.desk import EXPIRE_INTERVAL, Event, entry_end
from shoal_protocol.service.messages import Reply, Request, RequestType, Status
from shoal_protocol.service.storage import NUMBER_BITS
from support import START

PARAMS = replace(LAB, inbox_entries=3, entry_life_s=40, get_wait_cap_ms=20_000)
ROOM = 9
WRITER = Asker("writer", PARAMS)
GRAVE = 2  # a content that is a tombstone


def _paid(record: bytes, kind: RequestType, bits: int) -> Request:
    request = Request(kind, bytes(464), record)
    return paid(request, bits, PARAMS) if bits else request


BOXES = {
    (index, content, late): _paid(
        WRITER.stream.at(index).tombstone(DAY + late)
        if content == GRAVE
        else WRITER.box(content, index, DAY + late),
        RequestType.BOX_PUT,
        PARAMS.put_work_bits,
    )
    for index in range(2)
    for content in range(3)
    for late in range(2)
}


@dataclass
class Kept:
    """An entry of the model."""

    inbox: int
    number: int
    record: bytes
    effort: int
    nonce: bytes
    expires: int


@dataclass
class Waits:
    """A waiting GET of the model; ``place`` is a box's address or an inbox's index."""

    place: bytes | int
    cursor: int
    surb: bytes
    due: int


Replies = list[tuple[bytes, Reply]]
Step = tuple[Callable[[], Replies], bytes, Reply, Reply]  # what happens, or is answered instead


class DeskModel(RuleBasedStateMachine):
    """Requests, commits, failures and the passing of time, on the desk and on lists."""

    def __init__(self) -> None:
        super().__init__()
        self.served = Served(PARAMS)
        self.served.store.capacity = ROOM
        self.askers = [Asker(n, PARAMS) for n in range(2)]
        self.entry_puts: dict[tuple[int, int, int], Request] = {}
        self.now = START
        self.boxes: dict[bytes, Request] = {}
        self.entries: list[Kept] = []
        self.last: dict[int, int] = {}  # of inboxes with entries
        self.given: dict[int, int] = {0: 0, 1: 0}  # highest number ever
        self.least = 0  # ms; no inbox begins with a base below it
        self.waits: list[Waits] = []
        self.queue: list[Step] = []
        self.expire_at: int | None = 0

    def check(self, events: list[Event], expected: Replies) -> None:
        opened: Replies = []
        for event in events:
            for asker in self.askers:
                if getattr(event, "next_id", None) == asker.guard:
                    opened.append(asker.answer(event))
        assert len(opened) == len(events)
        assert opened == expected

    def ask(self, request: Request, at_once: Reply | None, step: Callable[[], Replies]) -> None:
        events = self.served.take(request.encode(), self.now)
        self.check(events, [] if at_once is None else [(request.surb, at_once)])
        if at_once is None:
            put = request.type in (RequestType.INBOX_PUT, RequestType.BOX_PUT)
            inbox_get = request.type is RequestType.INBOX_GET
            failed = Reply(Status.UNAVAILABLE, instance=INSTANCE if inbox_get else bytes(16))
            self.queue.append((step, request.surb, Reply(Status.FULL) if put else failed, failed))

    def full(self) -> bool:
        return len(self.boxes) + len(self.entries) >= ROOM

    @rule(key=st.sampled_from(sorted(BOXES)), pays=st.sampled_from([True, True, True, False]))
    def put_box(self, key: tuple[int, int, int], pays: bool) -> None:
        request = replace(BOXES[key], surb=self.askers[0].surb())
        if not pays:
            request = replace(request, effort=0, nonce=bytes(8))
        today = clock.index_of(self.now, PARAMS.day_s)
        good = pays and today - 14 <= DAY + key[2] <= today + 1
        address, record = request.record[:32], request.record

        def step() -> Replies:
            there = self.boxes.get(address)
            if there is None and self.full():
                return [(request.surb, Reply(Status.FULL))]
            buried = there is not None and there.record[100] == 1
            if there is not None and there.record != record:
                if not record[100]:
                    return [(request.surb, Reply(Status.TAKEN))]
                if buried:
                    return [(request.surb, Reply(Status.OK))]
            self.boxes[address] = request
            woken = [wait for wait in self.waits if wait.place == address]
            self.waits = [wait for wait in self.waits if wait.place != address]
            got = Reply(Status.OK, record)
            return [(request.surb, Reply(Status.OK)), *((wait.surb, got) for wait in woken)]

        self.ask(request, None if good else Reply(Status.REFUSED), step)

    @rule(
        key=st.sampled_from(sorted(BOXES)),
        wait_ms=st.sampled_from([0, 1, 5_000, 2**32 - 1]),
    )
    def get_box(self, key: tuple[int, int, int], wait_ms: int) -> None:
        address = BOXES[key].record[:32]
        request = self.askers[1].get_box(address, wait_ms)
        due = self.now + min(wait_ms, PARAMS.get_wait_cap_ms) * clock.MILLISECOND

        def step() -> Replies:
            if address in self.boxes:
                return [(request.surb, Reply(Status.OK, self.boxes[address].record))]
            return self.wait(Waits(address, 0, request.surb, due), Reply(Status.EMPTY))

        self.ask(request, None, step)

    @rule(
        inbox=st.integers(0, 1),
        number=st.integers(0, 8),
        effort=st.sampled_from([0, 0, 1, 2]),
    )
    def put_entry(self, inbox: int, number: int, effort: int) -> None:
        key = inbox, number, effort
        if key not in self.entry_puts:
            record = record_at(self.askers[inbox].address, number)
            self.entry_puts[key] = _paid(record, RequestType.INBOX_PUT, effort)
        request = replace(self.entry_puts[key], surb=self.askers[0].surb())
        expires = entry_end(self.now, PARAMS)

        def step() -> Replies:
            here = [entry for entry in self.entries if entry.inbox == inbox]
            if any(entry.record == request.record for entry in here):
                return [(request.surb, Reply(Status.OK))]
            if len(here) == PARAMS.inbox_entries or self.full():
                out = min(here, key=lambda entry: (entry.effort, entry.number), default=None)
                if out is None or out.effort >= effort:
                    return [(request.surb, Reply(Status.FULL))]
                self.entries.remove(out)
            base = max(self.now // clock.MILLISECOND, self.least) << NUMBER_BITS
            n = self.last[inbox] = self.last.get(inbox, base) + 1
            assert n > self.given[inbox], "a number came again"
            self.given[inbox] = n
            self.entries.append(Kept(inbox, n, request.record, effort, request.nonce, expires))
            replies = [(request.surb, Reply(Status.OK))]
            for wait in self.waits:
                if wait.place == inbox and wait.cursor < n:
                    self.waits.remove(wait)
                    price = effort, request.nonce
                    got = Reply(Status.OK, request.record, n, 0, INSTANCE, *price)
                    return [*replies, (wait.surb, got)]
            return replies

        self.ask(request, None, step)

    @rule(
        inbox=st.integers(0, 1),
        behind=st.integers(-2, 3),
        released=st.integers(0, 3),
        wait_ms=st.sampled_from([0, 1, 5_000, 2**32 - 1]),
        own=st.sampled_from([True, True, True, False]),
    )
    def get_entry(self, inbox: int, behind: int, released: int, wait_ms: int, own: bool) -> None:
        cursor = max(0, self.given[inbox] - behind)
        floor = max(0, cursor - released) if released else 0
        instance = INSTANCE if own else b"j" * 16
        request = self.askers[inbox].query(instance, cursor, wait_ms, floor)
        due = self.now + min(wait_ms, PARAMS.get_wait_cap_ms) * clock.MILLISECOND

        def step() -> Replies:
            self.entries = [e for e in self.entries if e.inbox != inbox or e.number > floor]
            self.forget_idle()
            beyond = [e for e in self.entries if e.inbox == inbox and e.number > cursor]
            if beyond:
                one = beyond[0]
                left = self.last[inbox] - one.number
                price = one.effort, one.nonce
                got = Reply(Status.OK, one.record, one.number, left, INSTANCE, *price)
                return [(request.surb, got)]
            empty = Reply(Status.EMPTY, instance=INSTANCE)
            return self.wait(Waits(inbox, cursor, request.surb, due), empty)

        wrong = Reply(Status.WRONG_INSTANCE, instance=INSTANCE)
        self.ask(request, None if own else wrong, step)

    def wait(self, wait: Waits, empty: Reply) -> Replies:
        if wait.due <= self.now:
            return [(wait.surb, empty)]
        self.waits.append(wait)
        return []

    def forget_idle(self) -> None:
        busy = {entry.inbox for entry in self.entries}
        for inbox in self.last.keys() - busy:
            self.least = max(self.least, (self.last.pop(inbox) >> NUMBER_BITS) + 1)

    @rule()
    def commit(self) -> None:
        expected: Replies = []
        for step, *_ in self.queue:
            expected += step()
        self.queue.clear()
        self.check(self.served.commit(self.now), expected)

    @rule(failure=st.sampled_from([StoreFull, StoreFailed]))
    def fail(self, failure: type[StoreError]) -> None:
        self.served.store.failure = failure
        place = 0 if failure is StoreFull else 1
        expected = [(surb, failed[place]) for _, surb, *failed in self.queue if surb]
        self.queue.clear()
        if self.expire_at is None:
            self.expire_at = self.now + EXPIRE_INTERVAL
        self.check(self.served.commit(self.now), expected)
        self.served.store.failure = None

    @rule(ms=st.sampled_from([1, 700, 6_000, 21_000, 45_000, 86_400_000, 14 * 86_400_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms * clock.MILLISECOND
        over = [wait for wait in self.waits if wait.due <= self.now]
        self.waits = [wait for wait in self.waits if wait.due > self.now]
        over.sort(key=lambda wait: wait.due)
        expected = [
            (wait.surb, Reply(Status.EMPTY, instance=INSTANCE))
            if isinstance(wait.place, int)
            else (wait.surb, Reply(Status.EMPTY))
            for wait in over
        ]
        self.check(self.served.tick(self.now), expected)
        if self.expire_at is not None and self.expire_at <= self.now:
            self.expire_at = None
            until, today = self.now, clock.index_of(self.now, PARAMS.day_s)

            def step() -> Replies:
                self.expire_at = self.now + EXPIRE_INTERVAL
                self.entries = [entry for entry in self.entries if entry.expires > until]
                self.forget_idle()
                for address, put in list(self.boxes.items()):
                    if int.from_bytes(put.record[96:100], "big") + 14 < today:
                        del self.boxes[address]
                return []

            self.queue.append((step, b"", Reply(Status.OK), Reply(Status.OK)))

    @invariant()
    def counts_and_deadline_agree(self) -> None:
        assert len(self.served.store) == len(self.boxes) + len(self.entries)
        assert self.served.desk.waiting == len(self.waits)
        times = [wait.due for wait in self.waits]
        if self.expire_at is not None:
            times.append(self.expire_at)
        assert self.served.desk.next_deadline() == min(times, default=None)


TestDeskModel = DeskModel.TestCase
TestDeskModel.settings = settings(max_examples=60, stateful_step_count=40)
