"""The many-writer inbox of a relay: entries in memory, and GETs that wait for them.

::

    PUT  ──►  entry n at address  ──►  oldest waiting GET with cursor < n  ──►  Reply
    GET  ──►  an entry beyond its cursor now?  yes ──► Reply
                                               no  ──► waits ──(its wait ends)──► EMPTY

Entries are numbered one by one from a base that holds the time at which the inbox began:
a reader sees what it misses, and numbers never come again when an idle inbox is forgotten.
Anybody can put; only the holder of the address's daily key can get (protocol.md, "Periods
are days"). Entries are deduplicated by hash. A full inbox keeps the highest effort (Tor
proposal 327); everything is bounded, and what does not fit is refused with a status.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.service.messages import Reply, Status

NUMBER_BITS: Final = 20  # of an entry's number count entries; the rest, when the inbox began (ms)
MAX_ENTRIES: Final = 65_536  # in all inboxes: 128 MiB of records
MAX_WAITING: Final = 65_536  # GETs in all
MAX_WAITING_HERE: Final = 128  # GETs for one address; the oldest is answered EMPTY beyond it
_STALE: Final = 1024  # answered GETs that may stay in the heap of waits beside as many as wait


@dataclass(frozen=True, slots=True)
class SendReply:
    """A reply that goes out by ``surb`` (464 bytes)."""

    surb: bytes
    reply: Reply


@dataclass(slots=True)
class _Entry:
    number: int
    record: bytes
    effort: int


@dataclass(slots=True, eq=False)
class _Waiting:
    surb: bytes
    cursor: int
    due: int
    answered: bool = False


@dataclass(slots=True)
class _Inbox:
    last: int  # number of the newest entry ever, or where the numbers begin
    entries: OrderedDict[bytes, _Entry] = field(default_factory=OrderedDict[bytes, _Entry])
    waiting: deque[_Waiting] = field(default_factory=deque[_Waiting])


class InboxService:
    """Inboxes of one relay.

    Args:
        params: caps and lifetimes.
        instance: 16 random bytes that name this store; cursors mean nothing elsewhere.
    """

    def __init__(self, params: NetworkParameters, instance: bytes) -> None:
        self._params = params
        self.instance: Final = instance
        self._inboxes: dict[bytes, _Inbox] = {}
        self._waiting = 0
        # All entries live equally long, so the order in which they came is that of their ends.
        self._ends: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()  # by address and hash
        self._waits: list[tuple[int, int, bytes, _Waiting]] = []
        self._sequence = 0
        self._next_base = 0  # ms; above the bases of all inboxes that were forgotten
        self.counters: Counter[str] = Counter()

    @property
    def entries(self) -> int:
        """Entries kept now."""
        return len(self._ends)

    @property
    def waiting(self) -> int:
        """GETs that wait now."""
        return self._waiting

    @property
    def inboxes(self) -> int:
        """Addresses with entries or readers."""
        return len(self._inboxes)

    def put(
        self, address: bytes, record: bytes, effort: int, now: int
    ) -> tuple[Status, list[SendReply]]:
        """Keep ``record`` (2,048 bytes) at ``address``; the same record again changes nothing.

        Returns the status for the writer and what waiting readers get.
        """
        inbox = self._inboxes.get(address) or self._open(address, now)
        name = crypto.digest(record)
        if name in inbox.entries:
            return Status.OK, []
        if not self._make_room(address, inbox, effort):
            self._forget_if_idle(address, inbox)
            return Status.FULL, []
        inbox.last += 1
        entry = inbox.entries[name] = _Entry(inbox.last, record, effort)
        self._ends[address, name] = now + clock.seconds(self._params.entry_life_s)
        self.counters["put"] += 1
        return Status.OK, self._hand_out(inbox, entry)

    def get(
        self, address: bytes, instance: bytes, cursor: int, wait_ms: int, surb: bytes, now: int
    ) -> list[SendReply]:
        """Answer at once or let the GET wait, at most ``get_wait_cap_ms``.

        The caller has verified that the asker holds the key of ``address``.
        """
        if instance != self.instance:
            return [self._reply(surb, Status.WRONG_INSTANCE)]
        inbox = self._inboxes.get(address)
        if inbox is not None:
            entry = self._first_beyond(inbox, cursor)
            if entry is not None:
                return [self._entry_reply(surb, inbox, entry)]
        wait_ms = min(wait_ms, self._params.get_wait_cap_ms)
        if not wait_ms or self._waiting >= MAX_WAITING:
            return [self._reply(surb, Status.EMPTY)]
        if inbox is None:
            inbox = self._open(address, now)
        waiting = _Waiting(surb, cursor, now + wait_ms * clock.MILLISECOND)
        inbox.waiting.append(waiting)
        self._waiting += 1
        self._sequence += 1
        heappush(self._waits, (waiting.due, self._sequence, address, waiting))
        if len(self._waits) > 2 * self._waiting + _STALE:
            self._waits = [wait for wait in self._waits if not wait[3].answered]
            heapify(self._waits)
        if len(inbox.waiting) > MAX_WAITING_HERE:
            oldest = inbox.waiting.popleft()
            return [self._answer(oldest, self._reply(oldest.surb, Status.EMPTY))]
        return []

    def release(self, address: bytes, floor: int) -> None:
        """Drop the entries numbered up to ``floor``: their reader has them and said so."""
        inbox = self._inboxes.get(address)
        if inbox is None:
            return
        read = [name for name, entry in inbox.entries.items() if entry.number <= floor]
        for name in read:
            del inbox.entries[name], self._ends[address, name]
        self._forget_if_idle(address, inbox)

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` has work: the earliest end of a wait or of an entry."""
        while self._waits and self._waits[0][3].answered:
            heappop(self._waits)
        wait = self._waits[0][0] if self._waits else None
        end = next(iter(self._ends.values()), None)
        return min((time for time in (wait, end) if time is not None), default=None)

    def handle_timer(self, now: int) -> list[SendReply]:
        """End the waits that are over, and drop the entries whose life is."""
        replies: list[SendReply] = []
        while self._waits and self._waits[0][0] <= now:
            _, _, address, waiting = heappop(self._waits)
            if waiting.answered:
                continue
            inbox = self._inboxes[address]
            inbox.waiting.remove(waiting)
            replies.append(self._answer(waiting, self._reply(waiting.surb, Status.EMPTY)))
            self._forget_if_idle(address, inbox)
        while self._ends and next(iter(self._ends.values())) <= now:
            (address, name), _ = self._ends.popitem(last=False)
            holder = self._inboxes[address]
            del holder.entries[name]
            self._forget_if_idle(address, holder)
        return replies

    def _open(self, address: bytes, now: int) -> _Inbox:
        """Begin an inbox whose numbers lie above those of any earlier one at this address."""
        base = max(now // clock.MILLISECOND, self._next_base) << NUMBER_BITS
        inbox = self._inboxes[address] = _Inbox(last=base)
        return inbox

    def _make_room(self, address: bytes, inbox: _Inbox, effort: int) -> bool:
        if len(inbox.entries) < self._params.inbox_entries and self.entries < MAX_ENTRIES:
            return True
        if not inbox.entries:
            return False
        name, least = min(inbox.entries.items(), key=lambda item: item[1].effort)
        if least.effort >= effort:
            return False
        del inbox.entries[name], self._ends[address, name]
        self.counters["outbid"] += 1
        return True

    def _hand_out(self, inbox: _Inbox, entry: _Entry) -> list[SendReply]:
        for waiting in inbox.waiting:
            if waiting.cursor < entry.number:
                inbox.waiting.remove(waiting)
                return [self._answer(waiting, self._entry_reply(waiting.surb, inbox, entry))]
        return []

    def _answer(self, waiting: _Waiting, reply: SendReply) -> SendReply:
        waiting.answered = True
        self._waiting -= 1
        return reply

    def _first_beyond(self, inbox: _Inbox, cursor: int) -> _Entry | None:
        return next((e for e in inbox.entries.values() if e.number > cursor), None)

    def _entry_reply(self, surb: bytes, inbox: _Inbox, entry: _Entry) -> SendReply:
        self.counters["got"] += 1
        reply = Reply(
            Status.OK,
            entry.record,
            cursor=entry.number,
            remaining=inbox.last - entry.number,
            instance=self.instance,
        )
        return SendReply(surb, reply)

    def _reply(self, surb: bytes, status: Status) -> SendReply:
        return SendReply(surb, Reply(status, instance=self.instance))

    def _forget_if_idle(self, address: bytes, inbox: _Inbox) -> None:
        if not inbox.entries and not inbox.waiting:
            self._inboxes.pop(address, None)
            self._next_base = max(self._next_base, (inbox.last >> NUMBER_BITS) + 1)
