"""What a relay does with what other relays hand on to it: everything that a PUT meets, again.

::

    Ask ───► Missing ─────────────────────────────────────► HELD | ABSENT
    Offer ─► ranked? ─► promised to another? ─► Missing ──► HELD | ABSENT, and promised to you
                 └ no: UNRANKED      └ yes: LATER
    Push ──► promised to you? ─► day, price, signature ──► PutBox, PutEntry ──► HELD, committed
                 └ no: LATER                └ no: REFUSED, or the frame is an error

An item is promised to one peer at a time and for a while, so that of two who offer it one
pushes it. Nothing is verified, hashed or looked up beyond a peer's allowance; everything that
is kept for a peer is bounded. spec: replication §4
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.directory.allowance import Allowance
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import work
from shoal_protocol.service import desk, placement, replica_frames, storage
from shoal_protocol.service.desk import Access
from shoal_protocol.service.messages import Status
from shoal_protocol.service.replica_events import Event, Limits, SendFrame
from shoal_protocol.service.replica_frames import Answer, Ask, Offer, Push, Pushed, Request, State
from shoal_protocol.service.storage import Item, Kind, Operation, PutBox, PutEntry
from shoal_protocol.streams import box

_PUT: Final[dict[object, State]] = {Status.OK: State.HELD, Status.FULL: State.FULL}
_WHOLE: Final = -1  # in place of an item's: the outcome is about all items of the request


@dataclass(slots=True)
class _Peer:
    frames: Allowance
    items: Allowance
    serving: int = 0
    promises: int = 0


@dataclass(slots=True)
class _Serving:
    """A request that waits for the store."""

    peer: bytes
    request: Request
    items: tuple[Item, ...]
    states: list[State]
    asked: list[int] = field(default_factory=list[int])  # places that a Missing is about
    left: int = 0  # outcomes to come


class Intake:
    """The receiving side of one relay's replication.

    Args:
        own_id: this relay's id, 16 bytes.
        ticket: gives a number that no other Access of this relay has.
    """

    def __init__(
        self, own_id: bytes, params: NetworkParameters, limits: Limits, ticket: Callable[[], int]
    ) -> None:
        self._own_id = own_id
        self._params = params
        self._limits = limits
        self._ticket = ticket
        self._peers: dict[bytes, _Peer] = {}
        self._promises: dict[Item, tuple[bytes, int]] = {}  # to whom, and till when (ns)
        self._serving: dict[int, tuple[_Serving, int]] = {}  # by ticket, with the place

    def admit(self, peer: bytes, size: int, now: int) -> None:
        """Count a frame of ``size`` bytes before it is decoded.

        Raises:
            RemoteProtocolError: "flood"; the driver reads this peer more slowly.
        """
        state = self._peer(peer, now)
        if size > replica_frames.MAX_FRAME:
            raise RemoteProtocolError("frame size")
        if state.frames.left(now) < 1:
            raise RemoteProtocolError("flood")
        state.frames.spend(1, now)

    def take(
        self, peer: bytes, request: Request, relays: Collection[bytes], now: int
    ) -> list[Event]:
        """Begin to answer a request of ``peer``, whose frame was admitted.

        Args:
            peer: a relay of the present directory.
            request: decoded.
            relays: the present directory's ids, own included.
            now: ns.

        Raises:
            RemoteProtocolError: "flood"; or "replica items", "replica kind", "box",
                "signature", "work": what no honest relay sends. Nothing has changed.
        """
        state = self._peer(peer, now)
        if state.serving >= self._limits.serving:
            raise RemoteProtocolError("flood")
        items = replica_frames.items_of(request)
        serving = _Serving(peer, request, items, [State.LATER] * len(items))
        if state.items.left(now) < 1:
            return [_answer(serving)]
        state.items.spend(len(items), now)
        match request:
            case Ask():
                serving.asked = list(range(len(items)))
                return self._look(serving)
            case Offer():
                self._sift(serving, relays, now)
                return self._look(serving)
            case Push():
                state.items.spend(len(items), now)
                return self._put(serving, request, now)

    def keep_only(self, relays: Collection[bytes]) -> None:
        """Forget the peers that are in the directory no longer, and what was promised to them."""
        self._peers = {peer: state for peer, state in self._peers.items() if peer in relays}
        for item in [i for i, (peer, _) in self._promises.items() if peer not in self._peers]:
            del self._promises[item]

    def waits_for(self, ticket: int) -> bool:
        """Whether an Access is this side's."""
        return ticket in self._serving

    def stored(self, ticket: int, outcome: storage.Outcome, now: int) -> list[Event]:
        """Go on with what the store has answered."""
        serving, place = self._serving.pop(ticket)
        if place == _WHOLE:
            assert isinstance(outcome, tuple)
            self._looked(serving, {item for item in outcome if isinstance(item, Item)}, now)
        else:
            put = outcome.status if isinstance(outcome, storage.PutEntryOutcome) else outcome
            serving.states[place] = _PUT.get(put, State.REFUSED)
            self._forget_promise(serving.items[place])
        return self._one_less(serving)

    def store_failed(self, ticket: int) -> list[Event]:
        """Go on without: what the store couldn't do is offered again later."""
        serving, place = self._serving.pop(ticket)
        if place != _WHOLE:
            self._forget_promise(serving.items[place])
        return self._one_less(serving)

    def _sift(self, serving: _Serving, relays: Collection[bytes], now: int) -> None:
        """Mark what an Offer names and this relay doesn't rank for or has been promised."""
        reach = self._params.replicas + self._params.replica_slack
        for place, item in enumerate(serving.items):
            if not placement.ranks(self._own_id, item.address, relays, reach):
                serving.states[place] = State.UNRANKED
            elif self._promised_to(item, now) in (None, serving.peer):
                serving.asked.append(place)

    def _look(self, serving: _Serving) -> list[Event]:
        if not serving.asked:
            return [_answer(serving)]
        items = tuple(serving.items[place] for place in serving.asked)
        return [self._access(serving, _WHOLE, storage.Missing(items))]

    def _looked(self, serving: _Serving, missing: set[Item], now: int) -> None:
        until = now + clock.seconds(self._limits.promise_s)
        for place in serving.asked:
            item = serving.items[place]
            if item not in missing:
                serving.states[place] = State.HELD
            elif isinstance(serving.request, Ask) or self._promise(item, serving.peer, until, now):
                serving.states[place] = State.ABSENT

    def _put(self, serving: _Serving, request: Push, now: int) -> list[Event]:
        # All is verified before anything is accessed: a refused frame changes nothing.
        operations: list[tuple[int, Operation]] = []
        for place, pushed in enumerate(request.records):
            if self._promised_to(serving.items[place], now) != serving.peer:
                continue
            operation = self._check(serving.items[place], pushed, now)
            if operation is None:
                serving.states[place] = State.REFUSED
            else:
                operations.append((place, operation))
        until = now + clock.seconds(self._limits.promise_s)
        for place, _ in operations:
            self._promises[serving.items[place]] = serving.peer, until
        if not operations:
            return [_answer(serving)]
        return [self._access(serving, place, operation) for place, operation in operations]

    def _check(self, item: Item, pushed: Pushed, now: int) -> Operation | None:
        """Return how a pushed record is kept, or None when its time is over or not come."""
        params = self._params
        if pushed.effort or item.kind is not Kind.ENTRY:
            if item.kind is not Kind.ENTRY and pushed.effort < params.put_work_bits:
                raise RemoteProtocolError("work")
            challenge = desk.put_challenge(item.address, pushed.record, params.hash)
            work.check(challenge, pushed.nonce, pushed.effort)
        elif any(pushed.nonce):
            raise RemoteProtocolError("work")
        if item.kind is Kind.ENTRY:
            most = clock.seconds(params.entry_life_s + params.clock_skew_s)
            if not now < pushed.expires <= now + most:
                return None
            return PutEntry(
                item.address, item.name, pushed.record, pushed.effort, pushed.nonce, pushed.expires
            )
        head = box.header(pushed.record)
        if head.tombstone != (item.kind is Kind.TOMBSTONE) or pushed.expires:
            raise RemoteProtocolError("replica kind")
        today = clock.index_of(now, params.day_s)
        if not today - box.DAYS_KEPT <= head.day <= today + box.DAYS_AHEAD:
            return None
        box.verify(pushed.record, head, params.hash)
        return PutBox(
            item.address, head.day, head.tombstone, pushed.record, pushed.effort, pushed.nonce
        )

    def _peer(self, peer: bytes, now: int) -> _Peer:
        state = self._peers.get(peer)
        if state is None:
            limits = self._limits
            state = self._peers[peer] = _Peer(
                Allowance(limits.frame_rate, limits.frame_burst, now),
                Allowance(limits.item_rate, limits.item_burst, now),
            )
        return state

    def _promised_to(self, item: Item, now: int) -> bytes | None:
        promise = self._promises.get(item)
        if promise is None or promise[1] <= now:
            return None
        return promise[0]

    def _promise(self, item: Item, peer: bytes, until: int, now: int) -> bool:
        if self._promised_to(item, now) not in (None, peer):
            return False
        self._forget_promise(item)
        state = self._peers.get(peer)
        if state is None:
            return False
        if state.promises >= self._limits.promises:
            self._forget_over(now)
            if state.promises >= self._limits.promises:
                return False
        state.promises += 1
        self._promises[item] = peer, until
        return True

    def _forget_promise(self, item: Item) -> None:
        promise = self._promises.pop(item, None)
        state = self._peers.get(promise[0]) if promise else None
        if state is not None:
            state.promises -= 1

    def _forget_over(self, now: int) -> None:
        for item in [item for item, (_, until) in self._promises.items() if until <= now]:
            self._forget_promise(item)

    def _access(self, serving: _Serving, place: int, operation: Operation) -> Access:
        if not serving.left and serving.peer in self._peers:
            self._peers[serving.peer].serving += 1
        serving.left += 1
        ticket = self._ticket()
        self._serving[ticket] = serving, place
        return Access(ticket, operation)

    def _one_less(self, serving: _Serving) -> list[Event]:
        serving.left -= 1
        if serving.left:
            return []
        state = self._peers.get(serving.peer)
        if state is None:
            return []
        state.serving = max(0, state.serving - 1)
        return [_answer(serving)]


def _answer(serving: _Serving) -> SendFrame:
    answer = Answer(serving.request.number, bytes(serving.states))
    return SendFrame(serving.peer, replica_frames.CODEC.encode(answer), answer=True)
