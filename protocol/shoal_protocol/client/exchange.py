"""The sessions of one conversation, and the records that go over them; spec: client §6.

::

    numbered, waiting ─► (lookup) ─► first contact ─► association ─► boxes ─► Outbox
                        announcement    handshake       window     seal
    parcel ─► acks, lines ─► what came whole ─► Correspondence

Both sides may begin at once: each side's session works, and texts go over the confirmed
one with the least id, so that both settle on the same. When a message written over a session
outlives its relays unread, nothing more is written over it: what the contact has not
acknowledged is written anew, under the same numbers, over another session or after a new
first contact. Numbers make the contact show it once. A box without a message that nobody
acknowledges is renewed as one that was taken back, so that it leaves no gap.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import parcel
from shoal_protocol.client.association import ASIDE, WINDOW, Association
from shoal_protocol.client.deliveries import Deliveries, Sent
from shoal_protocol.client.following import EDGE_LEAST_S
from shoal_protocol.client.history import History, Message, Notice
from shoal_protocol.client.keeping import Keeper
from shoal_protocol.client.lines import IncomingLines, Whole
from shoal_protocol.client.outbox import Outgoing, record_key
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.client.sending import Lookup, Sending
from shoal_protocol.client.unwanted import Unwanted
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.announcement import Announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake, ratchet
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability

ACK_LEAST: Final = 1500 * clock.MILLISECOND  # an acknowledgement waits for a message to ride on
ACK_MORE: Final = 1500 * clock.MILLISECOND  # mean of a random wait beyond, so that none is timed
EDGE_S: Final = 3600  # that a contact's clock may be behind
RENEW_LEAST: Final = 3600 * clock.SECOND  # between two sessions begun because one broke
MAX_ASSOCIATIONS: Final = 8
INVITED: Final = 1  # index of a first contact that goes by a box of an invite
_DAY_LENGTH: Final = 4

# A message is cut in one way whatever it goes over, so that parts of two times fit together.
_PART: Final = ratchet.CAPACITY - parcel.HEAD_LENGTH
_FIRST: Final = handshake.CAPACITY - parcel.HEAD_LENGTH  # a longer one follows its first contact
_FIRST_INVITED: Final = handshake.SHORT_CAPACITY - parcel.HEAD_LENGTH
MAX_CONTENT: Final = (WINDOW - ASIDE) * _PART  # bytes


@dataclass(slots=True)
class News:
    """What changed in a conversation: messages that moved or came, those that are gone."""

    moved: list[Message] = field(default_factory=list[Message])
    gone: list[Message] = field(default_factory=list[Message])
    itself: bool = False  # the conversation, or what is known of the contact


@dataclass(frozen=True, slots=True)
class Taken:
    """What a parcel brought: records that the contact has, records to go, boxes taken back."""

    freed: list[Outgoing]
    records: list[Outgoing]
    erased: list[bytes]


class Exchange(ABC):
    """The sessions with the holder of ``pseudonym`` (32 bytes).

    Args:
        conversation_id: 8 bytes in hex.
        line: 8 random bytes that name the numbering of what goes out.
        rows: what makes changes durable.
    """

    def __init__(
        self,
        conversation_id: str,
        me: PersonaSecrets,
        pseudonym: bytes,
        *,
        line: bytes,
        params: NetworkParameters,
        rows: Keeper,
        rng: Rng,
    ) -> None:
        self.id: Final = conversation_id
        self.pseudonym: Final = pseudonym
        self.lookup: Lookup | None = None
        self.blocked = False
        self._me = me
        self._line = line
        self._params = params
        self._rng = rng
        self._rows: Final = rows
        self.history: Final = History(conversation_id, rows.journal)
        self._lines = IncomingLines(bytes.fromhex(conversation_id), rows.journal)
        self.unwanted: Final = Unwanted(params, rows)
        self._next_number = 0
        self._inbox_root: bytes | None = None
        self._invite: WriteCapability | None = None  # by which the first contact goes
        self._sendings: dict[bytes, Sending] = {}
        self._given_up: tuple[list[Association], list[Outgoing]] = ([], [])
        self._renew = False  # a new session is wanted, though nothing waits for one
        self._renewed = -RENEW_LEAST  # ns; when one was last asked for
        self._waiting: deque[Sent] = deque()
        self._deliveries = Deliveries(self.history)
        self._news = News()

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether this is a stranger's request that the person has not answered."""

    @abstractmethod
    def keep(self) -> None:
        """Make the conversation's row durable."""

    @abstractmethod
    def _arrived(self, whole: Whole, now: int) -> None:
        """Take a message that came whole and in its turn."""

    @abstractmethod
    def _heard(self, now: int) -> None:
        """Note that a box of the contact came, and what it acknowledged is taken."""

    def _let_end(self, now: int) -> None:
        """Forget what waits for its turn and whose time is over."""
        for whole in self._lines.expire(self._rows.lives.time(now)):
            self.unwanted.add(whole.number, whole.created, whole.came)

    @abstractmethod
    def _unsaid(self, message: Sent) -> None:
        """Note that something that waited goes nowhere any more."""

    @property
    def agreed(self) -> bool:
        """Whether a session with the contact exists."""
        return bool(self._sendings)

    @property
    def queued(self) -> int:
        """Messages that are not on their way yet."""
        return len(self._waiting)

    def take_news(self) -> News:
        """Return, once, what changed."""
        news, self._news = self._news, News()
        return news

    def lookup_failed(self, now: int) -> None:
        """Ask again later: the announcement was not found, or no answer came."""
        if self.lookup is not None:
            self.lookup.failed(self._rng, now)

    def found(self, announcement: Announcement, now: int) -> list[Outgoing]:
        """Begin a session with the first message that waits, unless one began meanwhile.

        Raises:
            RemoteProtocolError: the announced keys are unusable; nothing has changed.
        """
        if self.blocked or self._best() is not None or not (self._waiting or self._renew):
            self.lookup = None
            return self.release(now)
        message = self._waiting[0] if self._waiting else None
        first, rest = None, list[Part]()
        invite = self._invite
        if message is not None:
            rest = self._cut(message)
            place = _FIRST if invite is None else _FIRST_INVITED
            if len(rest) == 1 and len(rest[0].data) <= place:
                first, rest = rest[0], []
        contact, session = handshake.initiate(
            self._me,
            announcement,
            parcel.encode(Parcel(Acks(), self._line, self._least, first, nudge=first is None)),
            rng=self._rng,
            short=invite is not None,
        )
        self.lookup = None
        self._renew = False
        self._invite = None
        self._inbox_root = announcement.inbox_root
        if message is not None:
            self._waiting.popleft()
        # The contact's clock may be behind: around midnight its first box may be yesterday's.
        day = clock.index_of(now - clock.seconds(EDGE_S), self._params.day_s)
        association = Association.begin(session, self._me.network, day=day, order=now)
        sending = self._add(association, now)
        body = bytes([cloak.FIRST_CONTACT]) + contact
        if invite is None:
            record = cloak.seal(
                self.pseudonym,
                announcement.inbox_root,
                announcement.day,
                body,
                self._rng,
                self._params.hash,
            )
        else:
            day_of_keys = announcement.day.to_bytes(_DAY_LENGTH, "big")
            today = clock.index_of(now, self._params.day_s)
            record = invite.seal(today, body[:1] + day_of_keys + contact)
        sending.contact = self._outgoing(
            association,
            record,
            now,
            message,
            index=0 if invite is None else INVITED,
            first_contact=True,
        )
        records = [sending.contact]
        if message is not None:
            records += [self._box(sending, part, message, now) for part in rest]
            self._deliveries.track(message, records)
        self.keep()
        return [*records, *self.release(now)]

    def adopt(self, association: Association, inbox_root: bytes, now: int) -> None:
        """Take a session that the contact began.

        A contact that begins one where another worked has lost that one, and one that never
        confirmed ours may have left it: what it has not acknowledged is written anew. Where
        both began at once that is a message written twice, and shown once.
        """
        self._inbox_root = inbox_root
        self.lookup = None
        self._renew = False
        for sending in self._sendings.values():
            if sending.association.broken:
                continue
            if sending.association.confirmed:
                sending.association.broken = True
                self._rows.association(sending.association)
            self._requeue(sending, stay=True)
        self._add(association, now)
        self.keep()

    def given_up(self) -> tuple[list[Association], list[Outgoing]]:
        """Return, once, associations that gave way to newer ones, and records that go nowhere."""
        given_up, self._given_up = self._given_up, ([], [])
        return given_up

    def associations(self) -> list[Association]:
        """Return the associations with this contact, oldest first."""
        return [sending.association for sending in self._sendings.values()]

    def release(self, now: int) -> list[Outgoing]:
        """Make records of what the window allows; a message goes as a whole or waits."""
        out: list[Outgoing] = []
        latest = clock.index_of(now + clock.seconds(EDGE_LEAST_S), self._params.day_s)
        for sending in self._sendings.values():
            if sending.association.overtaken(latest):
                self._break(sending, now)
        best = self._best()
        while best is not None and self._waiting:
            parts = self._cut(self._waiting[0])
            if len(parts) > best.association.room:
                break
            message = self._waiting.popleft()
            records = [self._box(best, part, message, now) for part in parts]
            self._deliveries.track(message, records)
            out += records
        if out:
            self.keep()
        return out

    def due(self, now: int) -> list[Outgoing]:
        """Make records of acknowledgements that found no message to ride on, and of nudges.

        A stranger whose request was not answered gets neither.
        """
        out: list[Outgoing] = []
        self.unwanted.age(now)
        if self.pending or self.blocked:
            return out
        for sending in self._sendings.values():
            association = sending.association
            if association.owes and association.ack_due is None:
                self._owe(association, now)  # it was owed when the node stopped, or asked
            if association.ack_due is not None and association.ack_due <= now:
                if association.may_tell:
                    out.append(self._box(sending, None, None, now))
            elif association.may_nudge and sending.wants_nudge(
                bool(self._waiting) and sending is self._best(), now
            ):
                sending.nudges += 1
                sending.heard = now
                out.append(self._box(sending, None, None, now, nudge=True))
        return out

    def check(self, said: Parcel) -> None:
        """Refuse a parcel that no honest contact sends; raises RemoteProtocolError."""
        self._lines.check(said)

    def received(self, association: Association, said: Parcel | None, now: int) -> Taken:
        """Take a parcel that :meth:`check` let pass; None is a box that said nothing readable.

        What came and what moved is among :meth:`take_news`.
        """
        sending = self._sendings[association.id]
        sending.heard = now
        sending.nudges = 0
        freed: list[Outgoing] = []
        erased: list[bytes] = []
        if sending.contact is not None:
            freed.append(sending.contact)
            sending.contact = None
        if said is not None:
            association.acknowledged(said.acks)
            freed += [o for index, o in sending.on_way.items() if association.peer.covers(index)]
            if said.wants_ack:
                self._owe(association, now)
        for outgoing in freed:
            if self._disappears(outgoing):
                day = box.header(outgoing.record).day
                erased.append(association.take_back(outgoing.index, day))
            self._acknowledged(sending, outgoing)
        association.let_go()
        self._heard(now)
        self._let_end(now)
        for whole in [] if said is None else self._lines.take(said, self._rows.lives.time(now)):
            self._arrived(whole, now)
        self._rows.association(association)
        self.keep()
        return Taken(freed, self.release(now), erased)

    def unreadable(self, association: Association, now: int) -> None:
        """Note that the contact's boxes don't open any more: one side's state is an older one.

        What is not acknowledged goes over another session, and the contact is asked for one.
        """
        if association.broken and (self.pending or self._renew or self._best() is not None):
            return  # another takes its place, once there is something to say
        self._break(self._sendings[association.id], now)
        if self.pending:
            return  # a stranger is owed nothing; an answer begins another
        # If ours is the older one, what it numbers next has numbers that were used before. All
        # that is not read goes under the new line: what the contact holds of the old may lack one.
        self._line = self._rng.bytes(parcel.LINE_LENGTH)
        for sending in self._sendings.values():
            self._requeue(sending, stay=True)
        self._wait_for(self._deliveries.begin_anew())
        self._begin_anew(now)
        if self.lookup is not None:
            self.lookup.due = max(self.lookup.due, self._renewed + RENEW_LEAST)
            self._renewed = self.lookup.due

    def missing(self, association: Association) -> list[Outgoing]:
        """Return records that the contact looked for and did not find, though later ones came."""
        sending = self._sendings[association.id]
        gaps = association.peer.gaps()
        return [sending.on_way[index] for index in gaps if index in sending.on_way]

    def stored(self, outgoing: Outgoing) -> None:
        """Note that a relay keeps this record."""
        self._rows.record(outgoing)
        self._news.moved += self._deliveries.stored(outgoing)

    def spread(self, outgoing: Outgoing) -> None:
        """Make durable which relays keep this record."""
        self._rows.record(outgoing)

    def expired(self, outgoing: Outgoing, now: int) -> list[Outgoing]:
        """Note that a record outlived its place unread; returns what takes its place.

        A box without a message is renewed: whether it was read nobody says, and the contact
        would wait for it. Otherwise the rest of what the session had on its way is written
        anew over another; records that thereby go nowhere are among :meth:`given_up`.
        """
        sending = self._sendings.get(outgoing.session)
        self._rows.forget_record(outgoing)
        if sending is None:
            return []
        quiet = not outgoing.needs_ack and not outgoing.first_contact
        association = sending.association
        if quiet and (association.broken or association.holds(outgoing.index)):
            sending.on_way.pop(outgoing.index, None)
            return [] if association.broken else [self._renewal(sending, outgoing, now)]
        self._break(sending, now)
        return []

    def _renewal(self, sending: Sending, outgoing: Outgoing, now: int) -> Outgoing:
        """Return a box taken back in the place of a quiet one, of no later day than the next."""
        begun = now - self._life  # what is older is renewed as well, or ends the session
        on_way = sending.on_way.items()
        later = [o for index, o in on_way if index > outgoing.index and o.created > begun]
        day = min(
            [clock.index_of(now, self._params.day_s), *(box.header(o.record).day for o in later)]
        )
        created = min([now, *(o.created for o in later)])
        association = sending.association
        record = association.renew(outgoing.index, day)
        self._rows.association(association)
        renewed = self._outgoing(association, record, created, None, index=outgoing.index)
        sending.on_way[outgoing.index] = renewed
        return renewed

    def _disappears(self, outgoing: Outgoing) -> bool:
        """Whether a box is to be taken back once the contact has it."""
        session = self._sendings[outgoing.session].association
        if outgoing.first_contact or not session.holds(outgoing.index):
            return False
        if not outgoing.message:
            return outgoing.fleeting
        message = self.history.find(outgoing.message)
        if isinstance(message, Notice):
            return not message.data
        return message is not None and message.expires_s is not None

    @property
    def _life(self) -> int:
        """How long relays keep a box, ns."""
        return clock.seconds(self._params.box_days * self._params.day_s)

    def _begin_anew(self, now: int) -> None:
        """Ask the contact for another session, even with nothing to say."""
        self._renew = True
        self.keep()
        self._look_up(now)

    def _queue(self, message: Sent, now: int) -> None:
        self._next_number = message.number + 1
        self._deliveries.begin(message)
        self._waiting.append(message)
        self.keep()
        self._look_up(now)

    @property
    def _least(self) -> int:
        return self._deliveries.least(self._next_number)

    def _owe(self, association: Association, now: int) -> None:
        if association.ack_due is None:
            association.owes = True
            association.ack_due = now + ACK_LEAST + round(self._rng.exponential(ACK_MORE))

    def _look_up(self, now: int) -> None:
        wanted = (self._waiting or self._renew) and not self.blocked
        if wanted and self._best() is None and self.lookup is None:
            self.lookup = Lookup(due=now, began=now)

    def _add(self, association: Association, now: int) -> Sending:
        """Add an association; with too many, the oldest is given up."""
        if len(self._sendings) >= (1 if self.pending else MAX_ASSOCIATIONS):
            self._leave(next(iter(self._sendings)))
        sending = self._sendings[association.id] = Sending(association, heard=now)
        self._rows.association(association)
        return sending

    def _leave(self, session: bytes) -> None:
        """Give a session up: it is read no more, and its messages wait for another."""
        sending = self._sendings.pop(session)
        self._requeue(sending)
        self._given_up[0].append(sending.association)
        self._rows.forget_association(sending.association)

    def _break(self, sending: Sending, now: int) -> None:
        """Write over this association no more; what was not acknowledged waits for another."""
        sending.association.broken = True
        self._rows.association(sending.association)
        self._requeue(sending)
        for message in [m for m in self._waiting if m.created + self._life <= now]:
            self._waiting.remove(message)
            self._news.moved += self._deliveries.failed(message)
            self._unsaid(message)
        self._news.moved += self._deliveries.show_fetched()
        self._look_up(now)

    def _requeue(self, sending: Sending, *, stay: bool = False) -> None:
        """Let the messages of a session wait for another.

        What is to ``stay`` goes on its way all the same, belonging to no message: a contact
        that still reads the session would else wait for ever at the first box that never came.
        """
        gone = list(sending.records())
        if not stay:
            sending.on_way.clear()
            sending.contact = None
            self._given_up[1].extend(gone)
        back: list[Sent] = []
        for outgoing in gone:
            message = self.history.find(outgoing.message)
            if stay:
                outgoing.fleeting = self._disappears(outgoing)
                outgoing.message, outgoing.needs_ack = "", outgoing.first_contact
                self._rows.record(outgoing)
            else:
                self._rows.forget_record(outgoing)
            if message is not None and self._deliveries.open(message):
                self._deliveries.untrack(message)
                back.append(message)
        self._wait_for(back)

    def _wait_for(self, messages: Iterable[Sent]) -> None:
        """Let messages wait again, all in the order of their numbers.

        What is gone here can't be written anew: its number is given up if none before it is in
        use, and else goes without a word, or the contact would wait for it with what follows.
        """
        waiting = {message.number: message for message in (*self._waiting, *messages)}
        self._waiting = deque(message for _, message in sorted(waiting.items()))
        while self._waiting:
            first = self._waiting[0]
            if not isinstance(first, Notice) or first.data or first.number > self._least:
                break
            self._deliveries.failed(self._waiting.popleft())

    def _best(self) -> Sending | None:
        """Return what new texts go over: the confirmed session with the least id, if any."""
        return min(
            (sending for sending in self._sendings.values() if not sending.association.broken),
            key=lambda s: (not s.association.confirmed, s.association.id),
            default=None,
        )

    @staticmethod
    def _cut(message: Sent) -> list[Part]:
        kind, content = message.written()
        pieces = parcel.split(content, _PART)
        return [
            Part(kind, message.number, message.created, place, len(pieces), piece)
            for place, piece in enumerate(pieces)
        ]

    def _box(
        self,
        sending: Sending,
        part: Part | None,
        message: Sent | None,
        now: int,
        *,
        nudge: bool = False,
    ) -> Outgoing:
        association = sending.association
        said = Parcel(association.come, self._line, self._least, part, nudge)
        day = clock.index_of(now, self._params.day_s)
        index, record = association.seal(said, day, self._rng)
        outgoing = self._outgoing(association, record, now, message, index=index)
        sending.on_way[index] = outgoing
        self._rows.association(association)
        return outgoing

    def _outgoing(
        self,
        association: Association,
        record: bytes,
        now: int,
        message: Sent | None,
        *,
        index: int = 0,
        first_contact: bool = False,
    ) -> Outgoing:
        outgoing = Outgoing(
            record_key(record),
            record,
            now,
            needs_ack=message is not None or first_contact,
            batch=self._rows.batch,
            copies=self._params.replicas,
            first_contact=first_contact,
            session=association.id,
            index=index,
            message="" if message is None else message.id,
        )
        self._rows.record(outgoing)
        return outgoing

    def _acknowledged(self, sending: Sending, outgoing: Outgoing) -> None:
        self._rows.forget_record(outgoing)
        if not outgoing.first_contact:
            del sending.on_way[outgoing.index]
        self._news.moved += self._deliveries.acknowledged(outgoing)
