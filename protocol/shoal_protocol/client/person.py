"""A person's node without its sockets: everything between ``send`` and the guard's link.

::

    send_text ─► Correspondence ─► Outbox ─┐
    Announcer, Lookup ─────────────────────┼─► quick slot ──┐
    echo ──────────────────────────────────┘                ├─► Courier ─► SendUp ─► guard
    Reader ────────────────────────────────────► waiting slot┘
    guard ─► packet() ─► Courier ─► what it answered ─► Correspondence ─► MessageChanged

The slots come from the cover schedule and from nothing else: what a person does decides
only what is inside. The driver passes packets and link news in, and sends what comes out.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, assert_never

from shoal_protocol import clock
from shoal_protocol.client import active, paths, state
from shoal_protocol.client import reader as readers
from shoal_protocol.client.active import ActiveSet
from shoal_protocol.client.agreement import Agreement
from shoal_protocol.client.announcer import Announcer
from shoal_protocol.client.association import Association
from shoal_protocol.client.courier import Courier, Question
from shoal_protocol.client.cover import CoverSchedule, SlotClass
from shoal_protocol.client.following import BoxAsked, Following
from shoal_protocol.client.invites import InviteLine
from shoal_protocol.client.outbox import TAKEN_BY, Outbox, Outgoing
from shoal_protocol.client.paths import PathChooser
from shoal_protocol.client.patience import FIRST, Patience
from shoal_protocol.client.people import Changed, People
from shoal_protocol.client.reader import FileGet, Get, InboxGet, Reader, StreamGet
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets.format import SPHINX, PacketFormat
from shoal_protocol.packets.keys import Hop
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.pseudonyms import work
from shoal_protocol.rng import Rng
from shoal_protocol.service import desk, messages, sample
from shoal_protocol.service.messages import EMPTY_RECORD, Reply, RequestType, Status

DELAY_FACTOR: Final = 2  # times the mean of all mixing delays: what they seldom reach together
LOOKUP_PATIENCE: Final = 8 * clock.SECOND  # a DHT operation takes this much longer
DEAF_PACKETS: Final = 32  # sent in a row without any answer, …
DEAF_AFTER: Final = 30 * clock.SECOND  # … for so long: the guard passes nothing on
MAX_LATENCIES: Final = 256  # look-up times kept for the median


@dataclass(frozen=True, slots=True)
class SendUp:
    """Send ``packet`` (3,072 bytes) to the present guard."""

    packet: bytes


Event = SendUp | Changed


HopRole = Literal["guard", "mix", "service"]


@dataclass(frozen=True, slots=True)
class TracedHop:
    """One hop of an envelope as it was built."""

    relay: Descriptor
    role: HopRole
    delay_ms: int


@dataclass(frozen=True, slots=True)
class _Put:
    outgoing: Outgoing
    relay: bytes


@dataclass(frozen=True, slots=True)
class _Read:
    purpose: readers.Purpose


@dataclass(frozen=True, slots=True)
class _Announce:
    announcer: Announcer
    day: int


@dataclass(frozen=True, slots=True)
class _Lookup:
    conversation: str
    day: int


@dataclass(frozen=True, slots=True)
class _Echo:
    pass


@dataclass(frozen=True, slots=True)
class _Compare:
    relay: bytes
    point: bytes


_Purpose = _Put | _Read | _Announce | _Lookup | _Echo | _Compare


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on its way; ``due`` (ns): its answer's time if links took none.

    ``prompt``: it is answered at once, so how long it takes tells how long answers take.
    """

    purpose: _Purpose
    due: int
    prompt: bool


class PersonMachine:
    """One session of a person's node.

    Args:
        client: the 16-byte id under which the guard knows this session.
        now: ns.
        kept: what a store kept of earlier runs.
        packets: their format.

    Raises:
        RemoteProtocolError: a row of ``kept`` is not what was written.
    """

    def __init__(
        self,
        client: bytes,
        *,
        params: NetworkParameters,
        preset: Preset,
        rng: Rng,
        now: int,
        kept: state.Kept | None = None,
        packets: PacketFormat = SPHINX,
    ) -> None:
        self._params = params
        self._preset = preset
        self._rng = rng
        mixing_ms = 2 * params.path_mixes * preset.mean_delay_ms * DELAY_FACTOR
        self._mixing: Final = mixing_ms * clock.MILLISECOND
        self._patience: Final = Patience()
        self.outbox: Final = Outbox(params, self._mixing + FIRST, rng)
        self.reader: Final = Reader(params, preset, self._mixing + FIRST, rng)
        self.journal: Final = state.Journal()
        self.people: Final = People(params, rng, self.outbox, self.reader, self.journal)
        self.people.online = False
        if kept is not None:
            self.people.restore(kept, now)
        self._courier: Courier[_Asked] = Courier(
            client, network=params.hash, rng=rng, packets=packets
        )
        self._cover = CoverSchedule(preset, rng, now)
        self.agreement: Final = Agreement(rng, now) if params.two_sources else None
        self._guard: bytes | None = None
        self._relays: dict[bytes, Descriptor] = {}
        self._askable: dict[bytes, Descriptor] = {}
        self._chooser: PathChooser | None = None
        self._view = 0
        self._view_epoch = 0
        self._classes: tuple[int, ...] = ()
        self.mixing: ActiveSet = active.draw([], (), 0, params)
        self._round_trips = 0
        self._unanswered = 0  # packets since the last answer
        self._heard = now
        self.trace: list[TracedHop] = []
        self.lookup_ms: deque[float] = deque(maxlen=MAX_LATENCIES)
        self.counters: Counter[str] = Counter()

    @property
    def ready(self) -> bool:
        """Whether messages can be sent: a packet has been there and back."""
        return self._chooser is not None and self._round_trips > 0

    def deaf(self, now: int) -> bool:
        """Whether nothing sent through this guard has been answered for long."""
        return self._unanswered >= DEAF_PACKETS and now - self._heard >= DEAF_AFTER

    @property
    def outstanding(self) -> int:
        """Packets that went up and whose reply has not come."""
        return len(self._courier)

    @property
    def relays(self) -> int:
        """Relays that paths are drawn from."""
        return len(self._relays)

    def directory_changed(
        self, relays: Sequence[Descriptor], classes: Sequence[int], now: int
    ) -> None:
        """Take the live relays of the directory's view, and the classes of traffic of all.

        The same again change nothing. What is on its way goes on as it was drawn.
        """
        epoch = clock.index_of(now, self._params.epoch_s)
        usable = {r.relay_id: r for r in paths.usable(relays, now, self._params)}
        drawn_for = (self._view_epoch, self._classes)
        self._view_epoch, self._classes = epoch, tuple(classes)
        if usable != self._relays or drawn_for != (epoch, self._classes):
            self.mixing = active.draw(list(usable.values()), classes, epoch, self._params)
            if self._chooser is not None:
                self._chooser.layers = self.mixing.layers
        if usable != self._relays:
            gone = self._relays.keys() - usable.keys()
            self._relays = usable
            self._choose()
            self.people.followed(usable, now)
            for asked in self._courier.give_up(gone):
                self._lost(asked.purpose, now)

    def guard_up(self, relay_id: bytes, now: int) -> None:
        """Note that the link to this guard is there."""
        self._guard = relay_id
        self._unanswered, self._heard = 0, now
        self._choose()

    def guard_down(self, now: int) -> None:
        """Note that the guard's link is lost: everything outstanding is asked anew."""
        self._guard = None
        self._round_trips = 0
        self._choose()
        for asked in self._courier.reset():
            self._lost(asked.purpose, now)

    def next_deadline(self, now: int) -> int:
        """When :meth:`handle_timer` has work (ns)."""
        if self.people.working(now):
            return now
        overdue = self._courier.next_deadline()
        slot = self._cover.next_deadline()
        return slot if overdue is None else min(slot, overdue)

    def handle_timer(self, now: int) -> list[Event]:
        """Do what is due: a slot, what is overdue, a slice of proof of work."""
        for asked in self._courier.expire(now):
            self.counters["overdue"] += 1
            if asked.prompt:
                self._patience.overdue(now)
            self._lost(asked.purpose, now)
        events: list[Event] = list(self.people.work(now))
        slot = self._cover.draw(now)
        if slot is None:
            return events
        if self._chooser is None:
            return events
        events += self.people.tick(now)
        packet = self._fill(slot, now)
        if packet is not None:
            events.append(SendUp(packet))
        return events

    def packet(self, packet: bytes, now: int) -> list[Event]:
        """Take a packet that the guard delivered; what is wrong is dropped and counted."""
        try:
            asked, reply = self._courier.receive(packet)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return []
        self._round_trips += 1
        self._unanswered, self._heard = 0, now
        if asked.prompt:
            self._patience.answered(now - asked.due)
        return list(self._answered(asked.purpose, reply, now))

    def take_changes(self) -> state.Changes | None:
        """Return what is to be made durable, or None; see :mod:`~shoal_protocol.client.state`."""
        return self.journal.take()

    def committed(self, number: int) -> None:
        """Note that every batch of changes up to ``number`` is durable."""
        self.journal.committed(number)

    def _choose(self) -> None:
        self._view += 1
        guard = self._relays.get(self._guard) if self._guard is not None else None
        self.people.online = guard is not None
        if guard is None:
            self._chooser, self._askable = None, {}
            return
        relays = list(self._relays.values())
        layers = self.mixing.layers
        self._chooser = PathChooser(
            relays, guard, params=self._params, rng=self._rng, layers=layers
        )
        self._askable = {relay.relay_id: relay for relay in self._chooser.services}

    def _fill(self, slot: SlotClass, now: int) -> bytes | None:
        if self._view_epoch != clock.index_of(now, self._params.epoch_s):
            self.directory_changed(list(self._relays.values()), self._classes, now)
        if self._chooser is None:
            return None
        match slot:
            case SlotClass.QUICK:
                packet = self._quick(self._chooser, now)
            case SlotClass.WAITING:
                self.reader.patience = self._mixing + self._patience.margin
                get = self.reader.next_get(self._askable, self._view, self.journal.settled, now)
                packet = None if get is None else self._get(self._chooser, get, now)
            case _:
                assert_never(slot)
        return self._echo(self._chooser, now) if packet is None else packet

    def _quick(self, chooser: PathChooser, now: int) -> bytes | None:
        announcement = self.people.announcement_due(now)
        if announcement is not None:
            announcer, day, record = announcement
            question = Question(RequestType.DHT_PUT, record)
            packet = self._ask_any(chooser, question, _Announce(announcer, day), now)
            if packet is not None:
                announcer.sent(day)
            return packet
        put = self.outbox.next_put(
            self._relays, self._view, set(self._askable), self.journal.durable, now
        )
        lookup = self.people.lookup_due(now)
        # Contacts who are away are looked up for long: half the slots are for what can go.
        if lookup is not None and (put is None or self._rng.below(2)):
            question = Question(RequestType.DHT_GET, lookup.key + bytes(2048 - len(lookup.key)))
            purpose = _Lookup(lookup.conversation, lookup.day)
            packet = self._ask_any(chooser, question, purpose, now)
            if packet is not None:
                self.people.lookup_sent(lookup.conversation)
            return packet
        if put is None:
            return None
        outgoing, relay = put
        assert outgoing.nonce is not None, "what is put has been paid for"
        question = Question(
            RequestType.BOX_PUT if outgoing.by_box else RequestType.INBOX_PUT,
            outgoing.record,
            effort=self._params.put_work_bits,
            nonce=outgoing.nonce,
        )
        asked = _Put(outgoing, relay)
        packet = self._ask(chooser, question, self._relays[relay], asked, 0, now)
        if packet is not None:
            self.outbox.sent(outgoing, relay)
        return packet

    def _ask_any(
        self, chooser: PathChooser, question: Question, purpose: _Purpose, now: int
    ) -> bytes | None:
        service = chooser.any_service()
        if service is None:
            return None
        return self._ask(chooser, question, service, purpose, LOOKUP_PATIENCE, now)

    def _get(self, chooser: PathChooser, get: Get, now: int) -> bytes | None:
        wait = get.question.wait_ms * clock.MILLISECOND
        packet = self._ask(chooser, get.question, get.relay, _Read(get.purpose), wait, now)
        if packet is None:
            self.reader.lost(get.purpose, now)
        return packet

    def _ask(
        self,
        chooser: PathChooser,
        question: Question,
        service: Descriptor,
        purpose: _Purpose,
        more: int,
        now: int,
    ) -> bytes | None:
        """Return the packet of a question; the relay may take ``more`` ns to answer it."""
        trip = chooser.round_trip(service)
        if trip is None:
            return None
        forward = self._hops(trip.forward, self._params.path_mixes, now)
        reply = self._hops(trip.reply, self._params.path_mixes, now)
        drawn = sum(hop.delay_ms for hop in (*forward, *reply)) * clock.MILLISECOND
        asked = _Asked(purpose, now + drawn, isinstance(purpose, _Put | _Echo | _Compare))
        deadline = asked.due + more + self._patience.margin
        try:
            packet = self._courier.ask(question, forward, reply, asked, deadline)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return None
        if isinstance(purpose, _Put):
            self._trace(trip.forward, forward)
        self.counters[question.type.name.lower()] += 1
        self._unanswered += 1
        return packet

    def _echo(self, chooser: PathChooser, now: int) -> bytes | None:
        """Fill a slot with a question that looks, takes and dies as any other does."""
        service = chooser.any_service()
        if service is None:
            return None
        point = None if self.agreement is None else self.agreement.ask(now)
        if point is not None:
            question = Question(RequestType.VIEW, sample.question(point))
            return self._ask(chooser, question, service, _Compare(service.relay_id, point), 0, now)
        question = Question(RequestType.ECHO, EMPTY_RECORD)
        return self._ask(chooser, question, service, _Echo(), 0, now)

    def _hops(self, way: Sequence[Descriptor], mixes: int, now: int) -> list[Hop]:
        delay = self._preset.mean_delay_ms
        return paths.hops(way, mixes, delay, now=now, params=self._params, rng=self._rng)

    def _trace(self, way: Sequence[Descriptor], hops: Sequence[Hop]) -> None:
        middle: list[HopRole] = ["mix"] * (len(way) - 2)
        roles: list[HopRole] = ["guard", *middle, "service"]
        self.trace = [
            TracedHop(relay, role, hop.delay_ms)
            for relay, role, hop in zip(way, roles, hops, strict=True)
        ]

    def _answered(self, purpose: _Purpose, reply: Reply, now: int) -> list[Changed]:
        match purpose:
            case _Put(outgoing, relay):
                if self.outbox.answered(outgoing, relay, reply.status is Status.OK, now):
                    return self.people.stored(outgoing, now)
                if reply.status is Status.TAKEN:
                    outgoing.taken.add(relay)
                    if len(outgoing.taken) == TAKEN_BY:
                        return self.people.taken(outgoing, now)
                return []
            case _Read(get):
                self.reader.answered(get)
                return self._read(get, reply, now)
            case _Announce(announcer, day):
                announcer.answered(day, reply.status is Status.OK, now)
                return []
            case _Lookup(conversation, day):
                found = reply.record if reply.status is Status.OK else None
                took = self.people.looked_up(conversation, day, found, now)
                if took is not None:
                    self.lookup_ms.append(took / clock.MILLISECOND)
                return []
            case _Echo():
                return []
            case _Compare(relay, point):
                self._compare(relay, point, reply)
                return []
            case _:
                assert_never(purpose)

    def _compare(self, relay: bytes, point: bytes, reply: Reply) -> None:
        """Take a sample of a relay's directory; one that refuses or is busy says nothing."""
        if self.agreement is None or reply.status is not Status.OK:
            self.counters["view not told"] += 1
            return
        try:
            self.agreement.answered(relay, point, reply.record, self._relays)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1

    def _read(self, get: readers.Purpose, reply: Reply, now: int) -> list[Changed]:
        if isinstance(get, InboxGet):
            record = get.box.mailbox.answered(get.asked, reply)
            if record is None or get.box.persona is None:
                return []
            bits = self._paid(record, reply)
            return self.people.entry(get.box.persona, get.box.day, record, now, price_bits=bits)
        if isinstance(get, StreamGet):
            following, asked, stream = get.following, get.asked, get.following.stream
            if reply.status is not Status.OK:
                following.empty(asked, now)
                return []
            if isinstance(stream, InviteLine):
                return self._invited(following, stream, asked, reply, now)
            assert isinstance(stream, Association), "there are no others"
            took, changed = self.people.box(stream, asked.index, asked.day, reply.record, now)
            if took:
                following.came(asked, now)
            else:
                following.lost(asked, now)
            return changed
        if isinstance(get, FileGet):
            get.source.answered(get.token, reply)
        return []

    def _paid(self, record: bytes, reply: Reply) -> int:
        """Return the work that an entry paid; what a relay says of it is checked."""
        challenge = desk.put_challenge(record[: messages.ADDRESS_LENGTH], record, self._params.hash)
        try:
            work.check(challenge, reply.nonce, reply.effort)
        except RemoteProtocolError as error:
            self.counters[f"entry {error.reason}"] += 1
            return 0
        return reply.effort

    def _invited(
        self, following: Following, line: InviteLine, asked: BoxAsked, reply: Reply, now: int
    ) -> list[Changed]:
        """Take the box of an invite: a first contact, or what nobody can use."""
        following.lost(asked, now)  # there is no second box; if it was none, it is asked again
        found = self.people.invites.came(line, asked.day, reply.record)
        if found is None:
            return []
        invite, plaintext = found
        return self.people.invited(invite.persona, plaintext, invite.row_id, now)

    def _lost(self, purpose: _Purpose, now: int) -> None:
        match purpose:
            case _Put(outgoing, relay):
                self.outbox.lost(outgoing, relay, now)
            case _Read(get):
                self.reader.lost(get, now)
            case _Announce(announcer, day):
                announcer.answered(day, False, now)
            case _Lookup(conversation, day):
                self.people.looked_up(conversation, day, None, now)
            case _Echo() | _Compare():
                self.counters["echo lost"] += 1
            case _:
                assert_never(purpose)
