"""The inbox service against a model that is too slow and too simple to be wrong."""

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shoal_protocol import clock
from shoal_protocol.parameters import LAB
from shoal_protocol.service.inbox import InboxService, SendReply
from shoal_protocol.service.messages import Reply, Status
from support import START

PARAMS = replace(LAB, inbox_entries=3, entry_life_s=40, get_wait_cap_ms=20_000)
INSTANCE = b"i" * 16
ADDRESSES = [bytes([n]) * 32 for n in range(2)]


@dataclass(frozen=True)
class Kept:
    """An entry of the model."""

    address: bytes
    number: int
    record: bytes
    effort: int
    expires: int


@dataclass(frozen=True)
class Waits:
    """A waiting GET of the model."""

    address: bytes
    cursor: int
    surb: bytes
    due: int


class InboxModel(RuleBasedStateMachine):
    """Puts, gets and the passing of time, on the service and on two lists."""

    def __init__(self) -> None:
        super().__init__()
        self.service = InboxService(PARAMS, INSTANCE)
        self.now = START
        self.entries: list[Kept] = []
        self.waits: list[Waits] = []
        self.last: dict[bytes, int] = {}  # of inboxes that are not idle
        self.numbers: dict[bytes, set[int]] = {address: set() for address in ADDRESSES}
        self.surbs = 0
        self.least = 0  # ms; no inbox begins with a base below it

    def at(self, address: bytes) -> list[Kept]:
        return [entry for entry in self.entries if entry.address == address]

    def reply(self, entry: Kept) -> Reply:
        return Reply(
            Status.OK,
            entry.record,
            entry.number,
            self.last[entry.address] - entry.number,
            INSTANCE,
        )

    def open(self, address: bytes) -> None:
        self.last.setdefault(address, max(self.now // clock.MILLISECOND, self.least) << 20)

    def forget_idle(self) -> None:
        busy = {entry.address for entry in self.entries} | {wait.address for wait in self.waits}
        for address, last in self.last.items():
            if address not in busy:
                self.least = max(self.least, (last >> 20) + 1)
        self.last = {address: last for address, last in self.last.items() if address in busy}

    @rule(
        address=st.sampled_from(ADDRESSES),
        number=st.integers(0, 8),
        effort=st.sampled_from([0, 0, 1, 2]),
    )
    def put(self, address: bytes, number: int, effort: int) -> None:
        record = bytes([number]) * 2048
        got = self.service.put(address, record, effort, self.now)
        if any(entry.record == record for entry in self.at(address)):
            assert got == (Status.OK, [])
            return
        if len(self.at(address)) == PARAMS.inbox_entries:
            least = min(self.at(address), key=lambda entry: (entry.effort, entry.number))
            if least.effort >= effort:
                assert got == (Status.FULL, [])
                return
            self.entries.remove(least)
        self.open(address)
        self.last[address] += 1
        assert self.last[address] not in self.numbers[address], "a number came again"
        self.numbers[address].add(self.last[address])
        expires = self.now + PARAMS.entry_life_s * clock.SECOND
        entry = Kept(address, self.last[address], record, effort, expires)
        self.entries.append(entry)
        for wait in self.waits:
            if wait.address == address and wait.cursor < entry.number:
                self.waits.remove(wait)
                assert got == (Status.OK, [SendReply(wait.surb, self.reply(entry))])
                return
        assert got == (Status.OK, [])

    @rule(
        address=st.sampled_from(ADDRESSES),
        behind=st.integers(-2, 3),
        wait_ms=st.sampled_from([0, 1, 5_000, 2**32 - 1]),
        own=st.sampled_from([True, True, True, False]),
    )
    def get(self, address: bytes, behind: int, wait_ms: int, own: bool) -> None:
        cursor = max(0, self.last.get(address, 0) - behind)
        self.surbs += 1
        surb = self.surbs.to_bytes(464, "big")
        instance = INSTANCE if own else b"j" * 16
        got = self.service.get(address, instance, cursor, wait_ms, surb, self.now)
        beyond = [entry for entry in self.at(address) if entry.number > cursor]
        if not own:
            assert got == [SendReply(surb, Reply(Status.WRONG_INSTANCE, instance=INSTANCE))]
        elif beyond:
            assert got == [SendReply(surb, self.reply(beyond[0]))]
        elif not wait_ms:
            assert got == [SendReply(surb, Reply(Status.EMPTY, instance=INSTANCE))]
        else:
            assert got == []
            self.open(address)
            wait = min(wait_ms, PARAMS.get_wait_cap_ms) * clock.MILLISECOND
            self.waits.append(Waits(address, cursor, surb, self.now + wait))

    @rule(address=st.sampled_from(ADDRESSES), behind=st.integers(-1, 4))
    def release(self, address: bytes, behind: int) -> None:
        floor = max(0, self.last.get(address, 0) - behind)
        self.entries = [e for e in self.entries if e.address != address or e.number > floor]
        self.forget_idle()
        self.service.release(address, floor)

    @rule(ms=st.sampled_from([1, 700, 6_000, 21_000, 45_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms * clock.MILLISECOND
        over = [wait for wait in self.waits if wait.due <= self.now]
        self.waits = [wait for wait in self.waits if wait.due > self.now]
        self.entries = [entry for entry in self.entries if entry.expires > self.now]
        self.forget_idle()
        replies = self.service.handle_timer(self.now)
        assert sorted(send.surb for send in replies) == sorted(wait.surb for wait in over)
        assert {send.reply for send in replies} <= {Reply(Status.EMPTY, instance=INSTANCE)}

    @invariant()
    def counts_and_deadline_agree(self) -> None:
        assert self.service.entries == len(self.entries)
        assert self.service.waiting == len(self.waits)
        assert self.service.inboxes == len(self.last)
        times = [entry.expires for entry in self.entries] + [wait.due for wait in self.waits]
        assert self.service.next_deadline() == min(times, default=None)


TestInboxModel = InboxModel.TestCase
TestInboxModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
