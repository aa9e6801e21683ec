"""Where requests that came through the onion are taken and their replies made.

::

    request body ──decode──► BOX_PUT, INBOX_PUT: price, rank, signature ─┐
                      │      BOX_GET, INBOX_GET: signature ──────────────┴─► Access
                      │      DHT_PUT, DHT_GET ──► DhtPut, DhtGet ──(driver)──► finish()
                      │      ECHO, VIEW ──► SendPacket
                      └─ malformed: one REFUSED reply, counted

    Access ──(driver: one transaction for many)──► stored()  ─┬─► SendPacket
                                                 │            └─ nothing there: the GET waits
                                                 └► store_failed() ──► UNAVAILABLE or FULL

Every request whose payload was whole draws exactly one reply, whatever it asked, so that
what goes down to a person tells nothing about how it went. Accesses are executed and
answered strictly in their order: a GET that found nothing waits before any PUT behind it is
known to be kept, and no reader falls between the two. What was acknowledged is on the disk.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, assert_never

from shoal_protocol import clock
from shoal_protocol.directory.allowance import Allowance
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.packets.format import SPHINX, PacketFormat
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.service import messages, placement, sample, storage
from shoal_protocol.service.messages import Reply, Request, RequestType, Status
from shoal_protocol.service.storage import (
    Entry,
    Expire,
    GetBox,
    GetEntry,
    Kind,
    Operation,
    Outcome,
    PutBox,
    PutEntry,
    PutEntryOutcome,
    Release,
)
from shoal_protocol.service.waiting import WaitingGet, WaitingGets
from shoal_protocol.streams import box
from shoal_protocol.values import value

MAX_LOOKUPS: Final = 256  # DHT operations under way at once; beyond it the answer is UNAVAILABLE
MAX_ACCESSES: Final = 4096  # at the store under way; the same beyond it
SAMPLES_A_SECOND: Final = 16  # samples of the directory: each looks at all relays
SAMPLES_AT_ONCE: Final = 64
EXPIRE_INTERVAL: Final = 60 * clock.SECOND  # between two looks for what is over
END_STEP_S: Final = 3600  # an entry's end tells no more of when it came
EXPIRE_AGAIN: Final = clock.SECOND  # when one look has not dropped it all

_COUNTED: Final = {asked: asked.name.lower() for asked in RequestType}


@value
class DhtPut:
    """The driver stores ``record`` and calls :meth:`ServiceDesk.finish` with ``surb``."""

    surb: bytes
    record: bytes


@value
class DhtGet:
    """The driver looks ``key`` (32 bytes) up and calls :meth:`ServiceDesk.finish`."""

    surb: bytes
    key: bytes


@value
class Access:
    """The driver has the store execute ``operation``, in the order of tickets.

    Then it calls :meth:`ServiceDesk.stored` or :meth:`ServiceDesk.store_failed`, once for
    each ticket and in their order too. One that is passed over is lost, and answered so.
    """

    ticket: int
    operation: Operation


Event = SendPacket | DhtPut | DhtGet | Access


@value
class _Pending:
    operation: Operation
    surb: bytes | None = None  # nobody is answered without one
    due: int = 0  # of a GET: ns, until when it may wait


def put_challenge(address: bytes, record: bytes, network: bytes) -> bytes:
    """Return the 32 bytes that the work of an INBOX_PUT or BOX_PUT is over."""
    return work.challenge(b"put", network, address, record)


def entry_end(now: int, params: NetworkParameters) -> int:
    """Return when an entry that comes ``now`` is dropped (ns): at a full hour.

    Where entries live for less than a day, at a full 24th of their life.
    """
    step = clock.seconds(min(END_STEP_S, max(1, params.entry_life_s // 24)))
    end = now + clock.seconds(params.entry_life_s)
    return end - end % step


class ServiceDesk:
    """The services of one relay.

    Args:
        own_id: this relay's id, 16 bytes.
        relays: gives the ids of the relays in the directory now, own included.
        instance: 16 bytes, that of the store behind the driver.
        packets: their format.
    """

    def __init__(
        self,
        own_id: bytes,
        *,
        params: NetworkParameters,
        relays: Callable[[], Iterable[bytes]],
        instance: bytes,
        packets: PacketFormat = SPHINX,
    ) -> None:
        self._own_id = own_id
        self._packets = packets
        self._params = params
        self._relays = relays
        self._instance = instance
        self._lookups = 0
        self._samples: Allowance | None = None
        self._waiting = WaitingGets()
        self._pending: dict[int, _Pending] = {}  # by ticket, in order
        self._next_ticket = 0
        self._expire_at: int | None = 0  # None while the store is at it
        self.counters: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """GETs that wait now."""
        return len(self._waiting)

    def request(self, body: bytes, now: int) -> list[Event]:
        """Take the body of one packet that ended here."""
        try:
            request = messages.decode_request(body)
            self.counters[_COUNTED[request.type]] += 1
            return self._serve(request, now)
        except RemoteProtocolError as error:
            self.counters[f"refused {error.reason}"] += 1
            return self._answer(messages.surb_of(body), Reply(Status.REFUSED))

    def finish(self, surb: bytes, reply: Reply) -> list[Event]:
        """Answer a DHT operation that the driver has done."""
        self._lookups -= 1
        return self._answer(surb, reply)

    def stored(self, ticket: int, outcome: Outcome, now: int) -> list[Event]:
        """Go on with an access that the store has done, durably.

        Raises LocalProtocolError when ``ticket`` is answered already, or by the outcome of
        another operation.
        """
        pending, events = self._turn(ticket, now)
        return events + self._go_on(pending, outcome, now)

    def store_failed(self, ticket: int, now: int, *, full: bool = False) -> list[Event]:
        """Answer an access that did not happen: FULL to a PUT on a full disk, else UNAVAILABLE.

        Raises LocalProtocolError when ``ticket`` is answered already.
        """
        pending, events = self._turn(ticket, now)
        self.counters["store full" if full else "store failed"] += 1
        if full and isinstance(pending.operation, PutBox | PutEntry):
            return events + self._acknowledge(pending, Status.FULL)
        return events + self._give_up(pending, now)

    def arrived(self, put: PutBox | PutEntry, outcome: Outcome) -> list[Event]:
        """Hand what the store has kept to those who wait for it.

        A driver calls it itself for what another relay handed on, in the order in which the
        store has done that and the accesses. A box goes to all; a new entry to the oldest
        whose cursor is below it, and a repeated one, numbered 0, to nobody.
        """
        events: list[Event] = []
        match put, outcome:
            case PutBox(address=address, record=record), Status.OK:
                for get in self._waiting.all_at(address):
                    events += self._answer(get.surb, self._box_reply(record))
            case PutEntry() as entry, PutEntryOutcome(number=number):
                one = self._waiting.oldest_below(entry.address, number)
                if one is not None:
                    reply = self._entry_reply(
                        Entry(number, entry.record, number, entry.effort, entry.nonce)
                    )
                    events += self._answer(one.surb, reply)
            case _:
                pass
        return events

    def next_deadline(self) -> int | None:
        """When :meth:`handle_timer` has work."""
        wait, expire = self._waiting.due, self._expire_at
        if wait is None or expire is None:
            return expire if wait is None else wait
        return wait if wait < expire else expire

    def handle_timer(self, now: int) -> list[Event]:
        """Answer the GETs whose wait is over, and have the store drop what is over."""
        events: list[Event] = []
        for get in self._waiting.handle_timer(now):
            events += self._answer(get.surb, self._empty(get.kind))
        if self._expire_at is not None and self._expire_at <= now:
            self._expire_at = None
            today = clock.index_of(now, self._params.day_s)
            events.append(self._access(_Pending(Expire(now, today))))
        return events

    def _serve(self, request: Request, now: int) -> list[Event]:
        match request.type:
            case RequestType.INBOX_PUT:
                return self._put_entry(request, now)
            case RequestType.INBOX_GET:
                return self._get_entry(request, now)
            case RequestType.BOX_PUT:
                return self._put_box(request, now)
            case RequestType.BOX_GET:
                address = request.record[: messages.ADDRESS_LENGTH]
                return self._ask(GetBox(address), request, now)
            case RequestType.ECHO:
                return self._answer(request.surb, Reply(Status.OK))
            case RequestType.VIEW:
                return self._answer(request.surb, self._sample(request.record, now))
            case RequestType.DHT_PUT | RequestType.DHT_GET:
                if self._lookups >= MAX_LOOKUPS:
                    return self._answer(request.surb, Reply(Status.UNAVAILABLE))
                self._lookups += 1
                if request.type is RequestType.DHT_PUT:
                    return [DhtPut(request.surb, request.record)]
                return [DhtGet(request.surb, request.record[: messages.DHT_KEY_LENGTH])]
            case _:
                assert_never(request.type)

    def _sample(self, record: bytes, now: int) -> Reply:
        if self._samples is None:
            self._samples = Allowance(SAMPLES_A_SECOND, SAMPLES_AT_ONCE, now)
        if self._samples.left(now) < 1:
            return Reply(Status.UNAVAILABLE)
        self._samples.spend(1, now)
        found = sample.draw(self._relays(), record[: sample.POINT_LENGTH])
        return Reply(Status.OK, sample.encode(found))

    def _put_entry(self, request: Request, now: int) -> list[Event]:
        record = request.record
        address = self._check_price(request, 0)
        if not self._ranks(address):
            return self._answer(request.surb, Reply(Status.NOT_RANKED))
        expires = entry_end(now, self._params)
        name = storage.name_of(record)
        put = PutEntry(address, name, record, request.effort, request.nonce, expires)
        return self._ask(put, request, now)

    def _put_box(self, request: Request, now: int) -> list[Event]:
        """Price and rank come before the signature, which costs the most to check."""
        record = request.record
        address = self._check_price(request, self._params.put_work_bits)
        if not self._ranks(address):
            return self._answer(request.surb, Reply(Status.NOT_RANKED))
        today = clock.index_of(now, self._params.day_s)
        head = box.check(record, today, self._params.hash)
        put = PutBox(address, head.day, head.tombstone, record, request.effort, request.nonce)
        return self._ask(put, request, now)

    def _get_entry(self, request: Request, now: int) -> list[Event]:
        query = messages.decode_query(request, self._own_id, self._params.hash)
        if query.instance != self._instance:
            reply = Reply(Status.WRONG_INSTANCE, instance=self._instance)
            return self._answer(request.surb, reply)
        events: list[Event] = []
        if request.floor and len(self._pending) < MAX_ACCESSES:
            floor = min(request.floor, storage.MAX_NUMBER)
            events.append(self._access(_Pending(Release(query.address, floor))))
        cursor = min(request.cursor, storage.MAX_NUMBER)
        return events + self._ask(GetEntry(query.address, cursor), request, now)

    def _check_price(self, request: Request, least: int) -> bytes:
        """Return the address of a PUT that is paid; raises RemoteProtocolError("work")."""
        address = request.record[: messages.ADDRESS_LENGTH]
        if request.effort < least:
            raise RemoteProtocolError("work")
        if request.effort:
            challenge = put_challenge(address, request.record, self._params.hash)
            work.check(challenge, request.nonce, request.effort)
        return address

    def _ranks(self, address: bytes) -> bool:
        reach = self._params.replicas + self._params.replica_slack
        return placement.ranks(self._own_id, address, self._relays(), reach)

    def _ask(self, operation: Operation, request: Request, now: int) -> list[Event]:
        if len(self._pending) >= MAX_ACCESSES:
            self.counters["store busy"] += 1
            return self._answer(request.surb, self._unavailable(operation))
        wait_ms = min(request.wait_ms, self._params.get_wait_cap_ms)
        due = now + wait_ms * clock.MILLISECOND
        return [self._access(_Pending(operation, request.surb, due))]

    def _access(self, pending: _Pending) -> Access:
        ticket = self._next_ticket
        self._next_ticket += 1
        self._pending[ticket] = pending
        return Access(ticket, pending.operation)

    def _turn(self, ticket: int, now: int) -> tuple[_Pending, list[Event]]:
        """Return what ``ticket`` stands for, and the answers of those that were passed over.

        A driver that failed in between, and was contained, has lost those: nobody waits
        for ever, and what comes later goes on.
        """
        if ticket not in self._pending:
            raise LocalProtocolError("an access is answered once")
        events: list[Event] = []
        while (first := next(iter(self._pending))) != ticket:
            self.counters["store lost"] += 1
            events += self._give_up(self._pending.pop(first), now)
        return self._pending.pop(ticket), events

    def _give_up(self, pending: _Pending, now: int) -> list[Event]:
        if isinstance(pending.operation, Expire):
            self._expire_at = now + EXPIRE_INTERVAL
        return self._answer(pending.surb, self._unavailable(pending.operation))

    def _go_on(self, pending: _Pending, outcome: Outcome, now: int) -> list[Event]:
        match pending.operation, outcome:
            case (PutBox() as put, Status() as status):
                return self._acknowledge(pending, status) + self.arrived(put, outcome)
            case (PutEntry() as put, PutEntryOutcome(status)):
                return self._acknowledge(pending, status) + self.arrived(put, outcome)
            case GetBox(), bytes():
                return self._answer(pending.surb, self._box_reply(outcome))
            case GetBox(address), None:
                return self._wait(Kind.BOX, address, 0, pending, now)
            case GetEntry(), Entry():
                return self._answer(pending.surb, self._entry_reply(outcome))
            case GetEntry(address, cursor), None:
                return self._wait(Kind.ENTRY, address, cursor, pending, now)
            case Release(), None:
                return []
            case Expire(), int(dropped):
                self.counters["expired"] += dropped
                more = dropped >= storage.MAX_EXPIRED
                self._expire_at = now + (EXPIRE_AGAIN if more else EXPIRE_INTERVAL)
                return []
            case _:
                raise LocalProtocolError("this is the outcome of another operation")

    def _acknowledge(self, pending: _Pending, status: Status) -> list[Event]:
        kind = "box" if isinstance(pending.operation, PutBox) else "entry"
        self.counters[f"{kind} {status.name.lower()}"] += 1
        return self._answer(pending.surb, Reply(status))

    def _wait(
        self, kind: Kind, address: bytes, cursor: int, pending: _Pending, now: int
    ) -> list[Event]:
        assert pending.surb is not None
        if pending.due <= now:
            return self._answer(pending.surb, self._empty(kind))
        gone = self._waiting.add(WaitingGet(kind, address, pending.surb, cursor, pending.due))
        return [] if gone is None else self._answer(gone.surb, self._empty(kind))

    def _box_reply(self, record: bytes) -> Reply:
        self.counters["box got"] += 1
        return Reply(Status.OK, record)

    def _entry_reply(self, entry: Entry) -> Reply:
        self.counters["entry got"] += 1
        return Reply(
            Status.OK,
            entry.record,
            cursor=entry.number,
            remaining=min(entry.last - entry.number, messages.MAX_REMAINING),
            instance=self._instance,
            effort=entry.effort,
            nonce=entry.nonce if entry.effort else bytes(len(entry.nonce)),
        )

    def _empty(self, kind: Kind) -> Reply:
        if kind is Kind.ENTRY:
            return Reply(Status.EMPTY, instance=self._instance)
        return Reply(Status.EMPTY)

    def _unavailable(self, operation: Operation) -> Reply:
        if isinstance(operation, GetEntry):
            return Reply(Status.UNAVAILABLE, instance=self._instance)
        return Reply(Status.UNAVAILABLE)

    def _answer(self, surb: bytes | None, reply: Reply) -> list[Event]:
        if surb is None:
            return []
        try:
            next_id, packet = self._packets.use(surb, reply.encode())
        except RemoteProtocolError as error:
            self.counters[f"refused {error.reason}"] += 1
            return []
        return [SendPacket(next_id, packet)]
