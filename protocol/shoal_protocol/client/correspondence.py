"""One persona's exchange with one contact: from a text to records and back; spec: client §6.

::

    text ─► waiting ─► (lookup) ─► first contact ─► association ─► parts ─► records ─► Outbox
                        announcement    handshake      window       seal, cloak

Both sides may begin at once: each side's session works, and texts go over the confirmed
one with the least id, so that both settle on the same. A session in which a part outlived
its entries unread has a gap for ever: nothing more is written over it, and if there is no
other a new first contact is made.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import parcel
from shoal_protocol.client.association import WINDOW, Association, Received, Whole
from shoal_protocol.client.history import History, Message, MessageState
from shoal_protocol.client.outbox import Outgoing, record_key
from shoal_protocol.client.parcel import Acks, Part
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.announcement import Announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake
from shoal_protocol.sessions import session as sessions

ACK_LEAST: Final = 1500 * clock.MILLISECOND  # an acknowledgement waits for a message to ride on
ACK_MORE: Final = 1500 * clock.MILLISECOND  # mean of a random wait beyond, so that none is timed
ACK_AGAIN: Final = 20 * clock.SECOND  # before what comes again is acknowledged again
LOOKUP_FIRST: Final = clock.SECOND
LOOKUP_LONGEST: Final = 60 * clock.SECOND
MAX_WAITING: Final = 1024  # texts that wait for a contact's keys or window
MAX_ASSOCIATIONS: Final = 8
MAX_TEXT: Final = (parcel.MAX_PARTS - 1) * (sessions.CAPACITY - parcel.HEAD_LENGTH)  # bytes

_FIRST_PART: Final = handshake.CAPACITY - parcel.HEAD_LENGTH
_OTHER_PARTS: Final = sessions.CAPACITY - parcel.HEAD_LENGTH


@dataclass(slots=True)
class _Sending:
    """One association with what it has on its way and what waits for its window."""

    association: Association
    held: deque[tuple[Part, str]] = field(default_factory=deque[tuple[Part, str]])  # of message
    on_way: dict[int, bytes] = field(default_factory=dict[int, bytes])  # sequence: record key
    peer_has: int = 0  # every sequence below it has come to the contact
    broken: bool = False  # a sequence of ours will never come


@dataclass(slots=True)
class _Progress:
    """Parts of one outgoing message that are not stored, and not acknowledged, yet."""

    unstored: set[tuple[bytes, int]]
    unread: set[tuple[bytes, int]]


@dataclass(slots=True)
class Lookup:
    """When the contact's announcement is to be asked for next."""

    due: int
    began: int
    attempts: int = 0
    in_flight: bool = False


class Correspondence:
    """A persona's conversation with the holder of ``pseudonym`` (32 bytes)."""

    def __init__(
        self,
        conversation_id: str,
        me: PersonaSecrets,
        pseudonym: bytes,
        *,
        requested_by_them: bool,
        created: int,
        params: NetworkParameters,
        rng: Rng,
    ) -> None:
        self.id: Final = conversation_id
        self.pseudonym: Final = pseudonym
        self.created: Final = created
        self.requested_by_them = requested_by_them
        self.answered = False  # both sides have sent something
        self.history: Final = History()
        self.lookup: Lookup | None = None
        self._me = me
        self._params = params
        self._rng = rng
        self._inbox_root: bytes | None = None
        self._sendings: dict[bytes, _Sending] = {}
        self._given_up: list[Association] = []
        self._waiting: deque[Message] = deque()
        self._progress: dict[str, _Progress] = {}
        self._records: dict[bytes, tuple[str, bytes, int]] = {}

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
        """Texts that are not wholly on their way yet."""
        return len(self._waiting) + sum(len(s.held) for s in self._sendings.values())

    def send(self, message: Message) -> None:
        """Queue a text; :meth:`release` makes records of it.

        Raises:
            UserError: too long, or too many wait.
        """
        if len(message.text.encode()) > MAX_TEXT:
            raise UserError(f"A message may have at most {MAX_TEXT} bytes of text.")
        if len(self._waiting) >= MAX_WAITING:
            raise UserError("Too many messages wait for this contact; try again later.")
        self.history.add(message)
        self._waiting.append(message)
        self.answered = self.answered or self.requested_by_them
        self._look_up(message.created)

    def lookup_failed(self, now: int) -> None:
        """Ask again later: the announcement was not found, or no answer came."""
        if self.lookup is None:
            return
        growth = min(self.lookup.attempts, 16)
        pause = LOOKUP_FIRST * 3**growth // 2**growth
        self.lookup.in_flight = False
        self.lookup.attempts += 1
        self.lookup.due = now + round(min(pause, LOOKUP_LONGEST) * (0.5 + self._rng.uniform()))

    def found(self, announcement: Announcement, now: int) -> list[Outgoing]:
        """Begin a session with the first text that waits, unless one began meanwhile.

        Raises:
            RemoteProtocolError: the announced keys are unusable; nothing has changed.
        """
        if self._best() is not None or not self._waiting:
            self.lookup = None
            return self.release(now)
        message = self._waiting[0]
        text = message.text.encode()
        contact, session = handshake.initiate(
            self._me, announcement, self._first_parcel(message, text), rng=self._rng
        )
        self.lookup = None
        self._inbox_root = announcement.inbox_root
        self._waiting.popleft()
        association = Association(session)
        sending = self._add(association)
        first, *rest = association.parts(text, _FIRST_PART, _OTHER_PARTS, message.created)
        self._track(message, sending, [first, *rest])
        sending.held.extend((part, message.id) for part in rest)
        record = self._cloak(bytes([cloak.FIRST_CONTACT]) + contact, announcement.day)
        return [self._way(sending, first, message.id, record, now), *self.release(now)]

    def adopt(self, association: Association, inbox_root: bytes) -> None:
        """Take a session that the contact began."""
        self._inbox_root = inbox_root
        self.lookup = None
        self._add(association)

    def given_up(self) -> list[Association]:
        """Return, once, the associations that gave way to newer ones; their keys may go."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def associations(self) -> list[Association]:
        """Return the associations with this contact, oldest first."""
        return [sending.association for sending in self._sendings.values()]

    def release(self, now: int) -> list[Outgoing]:
        """Make records of what the windows allow."""
        out: list[Outgoing] = []
        for sending in self._sendings.values():
            self._fill_window(sending, now, out)
        best = self._best()
        while best is not None and self._waiting and not best.held:
            message = self._waiting.popleft()
            text = message.text.encode()
            parts = best.association.parts(text, _OTHER_PARTS, _OTHER_PARTS, message.created)
            self._track(message, best, parts)
            best.held.extend((part, message.id) for part in parts)
            self._fill_window(best, now, out)
        return out

    def due_acknowledgements(self, now: int) -> list[Outgoing]:
        """Make records of the acknowledgements that found no message to ride on."""
        out: list[Outgoing] = []
        for sending in self._sendings.values():
            due = sending.association.ack_due
            if due is not None and due <= now:
                record = self._seal(sending.association, None, now)
                out.append(Outgoing(record_key(record), record[:32], record, now, needs_ack=False))
        return out

    def received(
        self, association: Association, received: Received, now: int
    ) -> tuple[list[bytes], list[Message], list[Outgoing]]:
        """Take what came in a parcel over one of the associations.

        Returns:
            Keys of records that the contact has; messages that are new or moved forward;
            records that may go now.
        """
        sending = self._sendings[association.session.id]
        acks = received.acks
        if received.wants_ack:
            self._owe(association, now)
        changed: list[Message] = []
        freed = [key for sequence, key in sending.on_way.items() if acks.covers(sequence)]
        for key in freed:
            changed += self._acknowledged(sending, key)
        sending.peer_has = max(sending.peer_has, acks.next)
        if received.whole is not None:
            changed.append(self._arrived(received.whole, now))
        return freed, changed, self.release(now)

    def repeated(self, association: Association, now: int) -> None:
        """Note that an entry came again: acknowledge again, if the last time was long ago.

        Copies come from other replicas at once; one that comes later says that the
        acknowledgement was lost on the relays that kept it.
        """
        if now - association.acked >= ACK_AGAIN:
            self._owe(association, now)

    def stored(self, key: bytes) -> list[Message]:
        """Note that a relay keeps the record with this key."""
        message_id, session_id, sequence = self._records.get(key, ("", b"", 0))
        progress = self._progress.get(message_id)
        if progress is None:
            return []
        progress.unstored.discard((session_id, sequence))
        return [] if progress.unstored else self._advance(message_id, MessageState.STORED)

    def failed(self, key: bytes, now: int) -> list[Message]:
        """Note that the record with this key outlived its entries unread."""
        message_id, session_id, sequence = self._records.pop(key, ("", b"", 0))
        self._progress.pop(message_id, None)
        changed = self._advance(message_id, MessageState.FAILED)
        sending = self._sendings.get(session_id)
        if sending is not None:
            del sending.on_way[sequence]
            changed += self._break(sending)
            self._look_up(now)
        return changed

    def _owe(self, association: Association, now: int) -> None:
        if association.ack_due is None:
            association.ack_due = now + ACK_LEAST + round(self._rng.exponential(ACK_MORE))

    def _look_up(self, now: int) -> None:
        if self._waiting and self._best() is None and self.lookup is None:
            self.lookup = Lookup(due=now, began=now)

    def _add(self, association: Association) -> _Sending:
        """Add an association; with too many, the oldest is given up."""
        if len(self._sendings) >= MAX_ASSOCIATIONS:
            oldest = self._sendings.pop(next(iter(self._sendings)))
            self._break(oldest)
            self._given_up.append(oldest.association)
        sending = self._sendings[association.session.id] = _Sending(association)
        return sending

    def _break(self, sending: _Sending) -> list[Message]:
        """Write over this association no more; what is wholly held waits for another.

        Returns:
            The message of which only some parts went, failed.
        """
        sending.broken = True
        held, sending.held = sending.held, deque()
        changed: list[Message] = []
        waiting: list[Message] = []
        for message_id in dict.fromkeys(message_id for _, message_id in held):
            self._progress.pop(message_id, None)
            message = self.history.get(message_id)
            if message_id == held[0][1] and held[0][0].part > 0:
                changed += self._advance(message_id, MessageState.FAILED)
            elif message is not None:
                waiting.append(message)
        self._waiting.extendleft(reversed(waiting))
        return changed

    @staticmethod
    def _first_parcel(message: Message, text: bytes) -> bytes:
        pieces = parcel.split(text, _FIRST_PART, _OTHER_PARTS)
        first = Part(0, message.created, 0, len(pieces), pieces[0])
        return parcel.encode(parcel.Parcel(Acks(), first))

    def _best(self) -> _Sending | None:
        """Return what new texts go over: the confirmed session with the least id, if any."""
        return min(
            (sending for sending in self._sendings.values() if not sending.broken),
            key=lambda s: (not s.association.confirmed, s.association.session.id),
            default=None,
        )

    def _fill_window(self, sending: _Sending, now: int, out: list[Outgoing]) -> None:
        limit = sending.peer_has + WINDOW
        while sending.held and sending.held[0][0].sequence < limit:
            part, message_id = sending.held.popleft()
            record = self._seal(sending.association, part, now)
            out.append(self._way(sending, part, message_id, record, now))

    def _seal(self, association: Association, part: Part | None, now: int) -> bytes:
        association.acked = now
        body = association.session.seal(association.encode(part))
        return self._cloak(bytes([cloak.SESSION]) + body, clock.index_of(now, self._params.day_s))

    def _cloak(self, plaintext: bytes, day: int) -> bytes:
        assert self._inbox_root is not None, "a session comes with its inbox root"
        return cloak.seal(
            self.pseudonym, self._inbox_root, day, plaintext, self._rng, self._params.hash
        )

    def _way(
        self, sending: _Sending, part: Part, message_id: str, record: bytes, now: int
    ) -> Outgoing:
        key = record_key(record)
        sending.on_way[part.sequence] = key
        self._records[key] = message_id, sending.association.session.id, part.sequence
        return Outgoing(key, record[:32], record, now, needs_ack=True)

    def _track(self, message: Message, sending: _Sending, parts: list[Part]) -> None:
        session_id = sending.association.session.id
        places = {(session_id, part.sequence) for part in parts}
        self._progress[message.id] = _Progress(set(places), places)

    def _acknowledged(self, sending: _Sending, key: bytes) -> list[Message]:
        message_id, session_id, sequence = self._records.pop(key)
        del sending.on_way[sequence]
        progress = self._progress.get(message_id)
        if progress is None:
            return []
        progress.unstored.discard((session_id, sequence))
        progress.unread.discard((session_id, sequence))
        if progress.unread:
            return self._advance(message_id, MessageState.FETCHED)
        del self._progress[message_id]
        return self._advance(message_id, MessageState.READ)

    def _advance(self, message_id: str, state: MessageState) -> list[Message]:
        changed = self.history.advance(message_id, state)
        return [] if changed is None else [changed]

    def _arrived(self, whole: Whole, now: int) -> Message:
        request = self.requested_by_them and not any(not m.outgoing for m in self.history)
        message = Message(
            self._rng.bytes(12).hex(),
            outgoing=False,
            text=whole.text,
            state=MessageState.READ,
            created=whole.created,
            received=now,
            request=request,
        )
        self.answered = self.answered or not self.requested_by_them
        self.history.add(message)
        return message
