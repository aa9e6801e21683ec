"""One persona's exchange with one contact: from a text to records and back; spec: client §6.

::

    text ─► numbered, waiting ─► (lookup) ─► first contact ─► association ─► boxes ─► Outbox
                                announcement    handshake       window     seal

Both sides may begin at once: each side's session works, and texts go over the confirmed
one with the least id, so that both settle on the same. When something written over a
session outlives its relays unread, nothing more is written over it: what the contact has not
acknowledged is written anew, under the same numbers, over another session or after a new
first contact. Numbers make the contact show it once.
"""

from collections import deque
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import parcel, state
from shoal_protocol.client.association import ASIDE, WINDOW, Association
from shoal_protocol.client.deliveries import Deliveries
from shoal_protocol.client.following import EDGE_LEAST_S
from shoal_protocol.client.history import History, Message, MessageState
from shoal_protocol.client.keeping import Keeper
from shoal_protocol.client.lines import IncomingLines, Whole
from shoal_protocol.client.outbox import Outgoing, record_key
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.client.sending import Lookup, Sending
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.announcement import Announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake, ratchet

ACK_LEAST: Final = 1500 * clock.MILLISECOND  # an acknowledgement waits for a message to ride on
ACK_MORE: Final = 1500 * clock.MILLISECOND  # mean of a random wait beyond, so that none is timed
EDGE_S: Final = 3600  # that a contact's clock may be behind
RENEW_LEAST: Final = 3600 * clock.SECOND  # between two sessions begun because one broke
MAX_WAITING: Final = 1024  # texts that wait for a contact's keys or window
MAX_ASSOCIATIONS: Final = 8
STRANGER_ACKS: Final = 8  # made alone for a request, while the stranger acknowledges none of them
HELD: Final = 2**32 - 1  # number of a message that has none yet: its file is on its way

# A message is cut in one way whatever it goes over, so that parts of two times fit together.
_PART: Final = ratchet.CAPACITY - parcel.HEAD_LENGTH
_FIRST: Final = handshake.CAPACITY - parcel.HEAD_LENGTH  # a longer one follows its first contact
MAX_CONTENT: Final = (WINDOW - ASIDE) * _PART  # bytes


class Correspondence:
    """A persona's conversation with the holder of ``pseudonym`` (32 bytes).

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
        requested_by_them: bool,
        created: int,
        params: NetworkParameters,
        rows: Keeper,
        rng: Rng,
    ) -> None:
        self.id: Final = conversation_id
        self.pseudonym: Final = pseudonym
        self.created: Final = created
        self.kept: Final = rows.kept  # whether what happens here is made durable
        self.requested_by_them = requested_by_them
        self.answered = False  # both sides have sent something
        self.lookup: Lookup | None = None
        self._me = me
        self._line = line
        self._params = params
        self._rng = rng
        self._rows: Final = rows
        self.history: Final = History(conversation_id, rows.journal)
        self._lines = IncomingLines(bytes.fromhex(conversation_id), rows.journal)
        self._next_number = 0
        self._inbox_root: bytes | None = None
        self._sendings: dict[bytes, Sending] = {}
        self._given_up: tuple[list[Association], list[Outgoing]] = ([], [])
        self._renew = False  # a new session is wanted, though nothing waits for one
        self._renewed = -RENEW_LEAST  # ns; when one was last asked for
        self._waiting: deque[Message] = deque()
        self._deliveries = Deliveries(self.history)

    @property
    def pending(self) -> bool:
        """Whether this is a stranger's request that the person has not answered."""
        return self.requested_by_them and not self.answered

    @property
    def agreed(self) -> bool:
        """Whether a session with the contact exists."""
        return bool(self._sendings)

    @property
    def queued(self) -> int:
        """Messages that are not on their way yet."""
        return len(self._waiting)

    def send(self, message_id: str, text: str, file: bytes | None, now: int) -> Message:
        """Queue a message; :meth:`release` makes records of it.

        Raises:
            UserError: too long, or too many wait.
        """
        self._check_length(text, file)
        if len(self._waiting) >= MAX_WAITING:
            raise UserError("Too many messages wait for this contact; try again later.")
        number = self._next_number
        message = Message(
            message_id, True, text, MessageState.QUEUED, created=now, number=number, file=file
        )
        self.history.add(message)
        self.answered = self.answered or self.requested_by_them
        self._queue(message, now)
        return message

    def hold(self, message_id: str, text: str, file: bytes, now: int) -> Message:
        """Show a message whose file is on its way; :meth:`ready` lets it go.

        Raises:
            UserError: too long.
        """
        self._check_length(text, file)
        message = Message(
            message_id, True, text, MessageState.QUEUED, created=now, number=HELD, file=file
        )
        self.answered = self.answered or self.requested_by_them
        self.history.add(message)
        self.keep()
        return message

    def ready(self, message_id: str, now: int) -> None:
        """Number a message that was held, and queue it."""
        message = self.history.number(message_id, self._next_number)
        if message is not None:
            self._queue(message, now)

    def lookup_failed(self, now: int) -> None:
        """Ask again later: the announcement was not found, or no answer came."""
        if self.lookup is not None:
            self.lookup.failed(self._rng, now)

    def found(self, announcement: Announcement, now: int) -> list[Outgoing]:
        """Begin a session with the first message that waits, unless one began meanwhile.

        Raises:
            RemoteProtocolError: the announced keys are unusable; nothing has changed.
        """
        if self._best() is not None or not (self._waiting or self._renew):
            self.lookup = None
            return self.release(now)
        message = self._waiting[0] if self._waiting else None
        first, rest = None, list[Part]()
        if message is not None:
            rest = self._cut(message)
            if len(rest) == 1 and len(rest[0].data) <= _FIRST:
                first, rest = rest[0], []
        contact, session = handshake.initiate(
            self._me,
            announcement,
            parcel.encode(Parcel(Acks(), self._line, self._least, first, nudge=first is None)),
            rng=self._rng,
        )
        self.lookup = None
        self._renew = False
        self._inbox_root = announcement.inbox_root
        if message is not None:
            self._waiting.popleft()
        # The contact's clock may be behind: around midnight its first box may be yesterday's.
        day = clock.index_of(now - clock.seconds(EDGE_S), self._params.day_s)
        association = Association.begin(session, self._me.network, day=day, order=now)
        sending = self._add(association, now)
        record = cloak.seal(
            self.pseudonym,
            announcement.inbox_root,
            announcement.day,
            bytes([cloak.FIRST_CONTACT]) + contact,
            self._rng,
            self._params.hash,
        )
        sending.contact = self._outgoing(association, record, now, message, first_contact=True)
        records = [sending.contact]
        if message is not None:
            records += [self._box(sending, part, message, now) for part in rest]
            self._deliveries.track(message, records)
        self.keep()
        return [*records, *self.release(now)]

    def adopt(self, association: Association, inbox_root: bytes, now: int) -> None:
        """Take a session that the contact began.

        A contact that begins one where another worked has lost that one: what it has not
        acknowledged is written anew.
        """
        self._inbox_root = inbox_root
        self.lookup = None
        self._renew = False
        for sending in self._sendings.values():
            if sending.association.confirmed and not sending.association.broken:
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
        """Make records of acknowledgements that found no message to ride on, and of nudges."""
        out: list[Outgoing] = []
        for sending in self._sendings.values():
            association = sending.association
            if association.owes and association.ack_due is None:
                self._owe(association, now)  # it was owed when the node stopped
            if association.ack_due is not None and association.ack_due <= now:
                heard = len(sending.on_way) < STRANGER_ACKS or not self.pending
                if association.may_tell and heard:
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

    def received(
        self, association: Association, said: Parcel | None, now: int
    ) -> tuple[list[Outgoing], list[Message], list[Outgoing]]:
        """Take a parcel that :meth:`check` let pass; None is a box that said nothing readable.

        Returns:
            Records that the contact has; messages that are new or moved forward; records
            that may go now.
        """
        sending = self._sendings[association.id]
        sending.heard = now
        sending.nudges = 0
        changed: list[Message] = []
        freed: list[Outgoing] = []
        if sending.contact is not None:
            freed.append(sending.contact)
            sending.contact = None
        if said is not None:
            association.acknowledged(said.acks)
            freed += [o for index, o in sending.on_way.items() if association.peer.covers(index)]
            if said.wants_ack:
                self._owe(association, now)
            for whole in self._lines.take(said):
                if len(self._lines) == 1 or not self.history.showed(whole):
                    changed.append(self._arrived(whole, now))
        for outgoing in freed:
            changed += self._acknowledged(sending, outgoing)
        self._rows.association(association)
        self.keep()
        return freed, changed, self.release(now)

    def unreadable(self, association: Association, now: int) -> list[Message]:
        """Note that the contact's boxes don't open any more: one side's state is an older one.

        What is not acknowledged goes over another session, and the contact is asked for one.
        Returns messages that failed.
        """
        if association.broken and (self.pending or self._renew or self._best() is not None):
            return []  # another takes its place, once there is something to say
        failed = self._break(self._sendings[association.id], now)
        if self.pending:
            return failed  # a stranger is owed nothing; an answer begins another
        # If ours is the older one, what it numbers next has numbers that were used before. All
        # that is not read goes under the new line: what the contact holds of the old may lack one.
        self._line = self._rng.bytes(parcel.LINE_LENGTH)
        for sending in self._sendings.values():
            self._requeue(sending, stay=True)
        self._wait_for(self._deliveries.begin_anew())
        self._renew = True
        self.keep()
        self._look_up(now)
        if self.lookup is not None:
            self.lookup.due = max(self.lookup.due, self._renewed + RENEW_LEAST)
            self._renewed = self.lookup.due
        return failed

    def missing(self, association: Association) -> list[Outgoing]:
        """Return records that the contact looked for and did not find, though later ones came."""
        sending = self._sendings[association.id]
        gaps = association.peer.gaps()
        return [sending.on_way[index] for index in gaps if index in sending.on_way]

    def stored(self, outgoing: Outgoing) -> list[Message]:
        """Note that a relay keeps this record."""
        self._rows.record(outgoing)
        return self._deliveries.stored(outgoing)

    def expired(self, outgoing: Outgoing, now: int) -> list[Message]:
        """Note that a record outlived its place unread; returns messages that failed.

        The rest of what the session had on its way is written anew over another; records
        that thereby go nowhere are among :meth:`given_up`.
        """
        sending = self._sendings.get(outgoing.session)
        self._rows.forget_record(outgoing)
        if sending is None:
            return []
        return self._break(sending, now)

    def forget(self) -> list[Association]:
        """Delete everything that is kept of this conversation; returns its associations."""
        gone = [*self.given_up()[0], *self.associations()]
        self.history.clear()
        for sending in self._sendings.values():
            for outgoing in sending.records():
                self._rows.forget_record(outgoing)
        self._lines.clear()
        for association in gone:
            self._rows.forget_association(association)
        self._rows.forget_conversation()
        return gone

    def keep(self) -> None:
        """Make the conversation's row durable."""
        self._rows.conversation(
            pseudonym=self.pseudonym,
            created=self.created,
            requested_by_them=self.requested_by_them,
            answered=self.answered,
            inbox_root=self._inbox_root,
            line=self._line,
            next_number=self._next_number,
            lines=self._lines.rows(),
        )

    def restore(
        self,
        row: state.ConversationRow,
        associations: list[Association],
        records: list[Outgoing],
        messages: list[state.MessageRow],
        parts: list[tuple[bytes, state.PartRow]],
        now: int,
    ) -> None:
        """Take up where a store left this conversation."""
        self.answered = row.answered
        self._inbox_root = row.inbox_root
        self._next_number = row.next_number
        self._lines.restore(row.lines)
        for key, part in parts:
            self._lines.restore_part(key, part)
        for association in sorted(associations, key=lambda a: a.order):
            self._sendings[association.id] = Sending(association, heard=now)
        sealed: dict[str, list[Outgoing]] = {}
        for outgoing in records:
            sending = self._sendings[outgoing.session]
            if outgoing.first_contact:
                sending.contact = outgoing
            else:
                sending.on_way[outgoing.index] = outgoing
            if outgoing.message:
                sealed.setdefault(outgoing.message, []).append(outgoing)
        for kept in messages:
            message = self.history.restore(kept)
            if not message.outgoing or message.state >= MessageState.READ or message.number == HELD:
                continue
            self._deliveries.begin(message)
            if message.id in sealed:
                self._deliveries.track(message, sealed[message.id])
            else:
                self._waiting.append(message)
        self._look_up(now)

    @staticmethod
    def _check_length(text: str, file: bytes | None) -> None:
        if len(parcel.content(text, file)[1]) > MAX_CONTENT:
            raise UserError(f"A message may have at most {MAX_CONTENT} bytes of text.")

    def _queue(self, message: Message, now: int) -> None:
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
        if (self._waiting or self._renew) and self._best() is None and self.lookup is None:
            self.lookup = Lookup(due=now, began=now)

    def _add(self, association: Association, now: int) -> Sending:
        """Add an association; with too many, the oldest is given up."""
        if len(self._sendings) >= (1 if self.pending else MAX_ASSOCIATIONS):
            oldest = self._sendings.pop(next(iter(self._sendings)))
            self._requeue(oldest)
            self._given_up[0].append(oldest.association)
            self._rows.forget_association(oldest.association)
        sending = self._sendings[association.id] = Sending(association, heard=now)
        self._rows.association(association)
        return sending

    def _break(self, sending: Sending, now: int) -> list[Message]:
        """Write over this association no more; what was not acknowledged waits for another."""
        sending.association.broken = True
        self._rows.association(sending.association)
        self._requeue(sending)
        life = clock.seconds(self._params.box_days * self._params.day_s)
        failed: list[Message] = []
        for message in [m for m in self._waiting if m.created + life <= now]:
            self._waiting.remove(message)
            failed += self._deliveries.failed(message)
        failed += self._deliveries.show_read()
        self._look_up(now)
        return failed

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
        back: list[Message] = []
        for outgoing in gone:
            message = self.history.get(outgoing.message)
            if stay:
                outgoing.message, outgoing.needs_ack = "", outgoing.first_contact
                self._rows.record(outgoing)
            else:
                self._rows.forget_record(outgoing)
            if message is not None and message.state < MessageState.READ:
                self._deliveries.untrack(message)
                back.append(message)
        self._wait_for(back)

    def _wait_for(self, messages: list[Message]) -> None:
        """Let messages wait again, all in the order of their numbers."""
        waiting = {message.number: message for message in (*self._waiting, *messages)}
        self._waiting = deque(message for _, message in sorted(waiting.items()))

    def _best(self) -> Sending | None:
        """Return what new texts go over: the confirmed session with the least id, if any."""
        return min(
            (sending for sending in self._sendings.values() if not sending.association.broken),
            key=lambda s: (not s.association.confirmed, s.association.id),
            default=None,
        )

    @staticmethod
    def _cut(message: Message) -> list[Part]:
        kind, content = parcel.content(message.text, message.file)
        pieces = parcel.split(content, _PART)
        return [
            Part(kind, message.number, message.created, place, len(pieces), piece)
            for place, piece in enumerate(pieces)
        ]

    def _box(
        self,
        sending: Sending,
        part: Part | None,
        message: Message | None,
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
        message: Message | None,
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

    def _acknowledged(self, sending: Sending, outgoing: Outgoing) -> list[Message]:
        self._rows.forget_record(outgoing)
        if not outgoing.first_contact:
            del sending.on_way[outgoing.index]
        return self._deliveries.acknowledged(outgoing)

    def _arrived(self, whole: Whole, now: int) -> Message:
        request = self.requested_by_them and not any(not m.outgoing for m in self.history)
        message = Message(
            self._rng.bytes(12).hex(),
            outgoing=False,
            text=whole.text,
            state=MessageState.READ,
            created=whole.created,
            number=whole.number,
            received=now,
            request=request,
            file=whole.file,
        )
        self.answered = self.answered or not self.requested_by_them
        self.history.add(message)
        return message
