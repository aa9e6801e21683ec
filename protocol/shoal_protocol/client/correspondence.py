"""One persona's conversation with one contact: what is said, and what each knows; spec: client §6.

::

    request ──accept, or answer──► accepted ◄──a box comes── requested
       └── block ──► blocked ◄── block ──┘                (unblock leads back)

    text ─► numbered ─► Exchange ─► records          profile, receipt ─► numbered, not shown
    what came whole ─► history, or profile of the contact, or what it has read
    its time is over, or the person says so ─► gone from history and store

Nothing tells a stranger that a request was seen, before the person accepts or answers it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from shoal_protocol import crypto
from shoal_protocol.client import contents
from shoal_protocol.client.association import Association
from shoal_protocol.client.contents import Content, Profile, Reply, Shown
from shoal_protocol.client.exchange import MAX_CONTENT, Exchange
from shoal_protocol.client.history import Message, MessageState, Notice
from shoal_protocol.client.keeping import Keeper
from shoal_protocol.client.lines import Whole
from shoal_protocol.client.lives import Fleeting
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.client.parcel import Kind
from shoal_protocol.client.sending import Sending
from shoal_protocol.client.state import (
    ContactRow,
    ConversationRow,
    MessageRow,
    NoticeRow,
    PartRow,
)
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.streams.capability import WriteCapability

MAX_WAITING: Final = 1024  # texts that wait for a contact's keys or window
MAX_ALIAS: Final = 256  # bytes of UTF-8
HELD: Final = 2**32 - 1  # number of a message that has none yet: its file is on its way
_DIGEST: Final = 16  # bytes
_UNKNOWN: Final = bytes(_DIGEST)  # which profile the contact was told of last

ContactState = Literal["requested", "request", "accepted", "blocked"]


class Correspondence(Exchange):
    """A persona's conversation with the holder of ``pseudonym`` (32 bytes).

    Args:
        conversation_id: 8 bytes in hex.
        persona: whose it is; 8 bytes in hex.
        line: 8 random bytes that name the numbering of what goes out.
        rows: what makes changes durable.
        shown: what the persona tells its contacts, as it is now.
    """

    def __init__(
        self,
        conversation_id: str,
        me: PersonaSecrets,
        pseudonym: bytes,
        *,
        persona: str,
        line: bytes,
        requested_by_them: bool,
        created: int,
        params: NetworkParameters,
        rows: Keeper,
        rng: Rng,
        shown: Shown,
    ) -> None:
        super().__init__(
            conversation_id, me, pseudonym, line=line, params=params, rows=rows, rng=rng
        )
        self.persona: Final = persona
        self.created: Final = created
        self.kept: Final = rows.kept  # whether what happens here is made durable
        self.requested_by_them = requested_by_them
        self.answered = False  # both sides have sent something, or the person has accepted
        self.alias: str | None = None  # what the person calls the contact; it stays here
        self.verified = False
        self.invited = False  # the contact came, or was come to, by an invite
        self.price_bits: int | None = None  # work that a request's first contact paid
        self.expires_s: int | None = None  # after which new messages disappear
        self._shown = shown
        self._profile: Profile | None = None
        self._told = b""  # digest of the profile that the contact was told last
        self._read = 0  # positions below were read here
        self._receipted = 0  # positions below the contact was told of, or never will be
        self._seen = 0  # positions below were read by the contact …
        self._seen_number = -1  # … of messages up to this number: a file's comes late
        self._receipt = ""  # the notice that tells of it, while it is on its way

    @property
    def pending(self) -> bool:
        """Whether this is a stranger's request that the person has not answered."""
        return self.requested_by_them and not self.answered

    @property
    def state(self) -> ContactState:
        """What the contact is to the person."""
        if self.blocked:
            return "blocked"
        if self.answered:
            return "accepted"
        return "request" if self.requested_by_them else "requested"

    @property
    def profile(self) -> Profile | None:
        """What the contact shows of itself; None: nothing, or nobody has accepted it."""
        return self._profile if self.answered else None

    @property
    def unread(self) -> int:
        """Messages that came after the last that was marked read."""
        return self.history.unread(self._read)

    def send(
        self,
        message_id: str,
        text: str,
        file: bytes | None,
        now: int,
        *,
        reply_to: str | None = None,
        expires_s: int | None = None,
    ) -> Message:
        """Queue a message; :meth:`release` makes records of it.

        Args:
            reply_to: id of the message here that it answers.
            expires_s: after how many seconds it disappears; None as is usual in this
                conversation, 0 never.

        Raises:
            UserError: too long, too many wait, blocked, or no such message is answered.
        """
        content = self._content(text, file, reply_to, expires_s)
        if len(self._waiting) >= MAX_WAITING:
            raise UserError("Too many messages wait for this contact; try again later.")
        self._new(message_id)
        self._accept()
        self._tell_profile(now)
        message = self._made(message_id, content, self._next_number, now)
        self._queue(message, now)
        return message

    def hold(
        self,
        message_id: str,
        text: str,
        file: bytes,
        now: int,
        *,
        reply_to: str | None = None,
        expires_s: int | None = None,
    ) -> Message:
        """Show a message whose file is on its way; :meth:`ready` lets it go.

        Args and errors as of :meth:`send`.
        """
        content = self._content(text, file, reply_to, expires_s)
        self._new(message_id)
        self._accept()
        message = self._made(message_id, content, HELD, now)
        self.keep()
        return message

    def ready(self, message_id: str, now: int) -> None:
        """Number a message that was held, and queue it."""
        if self.history.get(message_id) is None:
            return  # it was deleted, or its time is over
        self._tell_profile(now)
        message = self.history.number(message_id, self._next_number)
        if message is not None:
            self._queue(message, now)

    def accept(self, now: int) -> None:
        """Take a stranger's request: what came is acknowledged from now on.

        Where no session is left, as after a block, the contact is asked for another: what it
        writes over the old one is not heard.
        """
        self._accept()
        self.keep()
        if self.answered and self._best() is None:
            self._begin_anew(now)
        self._look_up(now)
        self._tell_read(now)

    def admit(self, invite: WriteCapability | None, now: int) -> None:
        """Take the contact as accepted, since one has invited the other.

        Args:
            invite: where the first contact goes; None when it came.
        """
        self.answered = self.invited = self._news.itself = True
        if invite is not None and not self.agreed:
            self._invite = invite
            self._begin_anew(now)
        self.keep()

    def price(self, bits: int | None) -> None:
        """Note what work a first contact paid."""
        if bits is not None and bits > (self.price_bits or 0):
            self.price_bits = bits
            self.keep()

    def block(self) -> None:
        """Hear and say no more: sessions are left, what waits goes nowhere."""
        self.blocked = True
        for session in list(self._sendings):
            self._leave(session)
        self.lookup = None
        self._touch()

    def unblock(self, now: int) -> None:
        """Hear the contact again; one that was accepted is asked for a new session."""
        self.blocked = False
        self._touch()
        if self.answered and not self.agreed:
            self._begin_anew(now)

    def name(self, alias: str | None) -> None:
        """Call the contact by a name of one's own; None takes it back.

        Raises:
            UserError: it is too long, or can't be printed.
        """
        if alias is not None:
            alias = contents.plain(alias)
            if not alias or len(alias.encode()) > MAX_ALIAS:
                raise UserError(f"A contact's name has 1 to {MAX_ALIAS} bytes.")
        self.alias = alias
        self._touch()

    def verify(self, verified: bool) -> None:
        """Note whether the person has compared the safety code."""
        self.verified = verified
        self._touch()

    def expire_after(self, expires_s: int | None) -> None:
        """Let new messages disappear so many seconds after they were sent; None: never.

        Raises:
            UserError: too short or too long a time.
        """
        contents.check_expiry(expires_s)
        self.expires_s = expires_s
        self._touch()

    def mark_read(self, message_id: str, now: int) -> None:
        """Note that the person has seen all up to this message.

        Raises:
            UserError: there is no such message.
        """
        if self.history.get(message_id) is None:
            raise UserError("There is no such message in this conversation.")
        place = self.history.position(message_id) + 1
        if place <= self._read:
            return
        self._read = place
        if not self._shown.receipts:
            self._receipted = place
        self._touch()
        self._tell_read(now)

    def reconsider(self) -> None:
        """Say nothing that waits and is not so any more: a profile, or a receipt."""
        for one in [one for one in self._waiting if isinstance(one, Notice) and one.data]:
            if one.kind == Kind.PROFILE or not self._shown.receipts:
                gone = replace(one, data=b"")
                self.history.announce(gone)
                self._wait_for([gone])
                self._unsaid(one)

    def remove(self, message_id: str) -> None:
        """Delete a message here. One that is on its way goes on; one that waits does not.

        Raises:
            UserError: there is no such message.
        """
        message = self.history.get(message_id)
        if message is None:
            raise UserError("There is no such message in this conversation.")
        self.history.remove(message.id)
        self._news.gone.append(message)
        if not message.outgoing:
            self.unwanted.add(message.number, message.created, message.received or 0)
        if not message.outgoing or not self._deliveries.open(message):
            return
        kind, _ = message.written()
        notice = Notice(message.id, message.number, message.created, kind, b"")
        self.history.announce(notice)
        if any(one.id == message.id for one in self._waiting):
            self._wait_for([notice])

    @property
    def lives(self) -> tuple[Fleeting, ...]:
        """What holds things that are to disappear: shown, and waiting for their turn."""
        return self.history, self._lines

    def expiring(self, now: int) -> bool:
        """Whether the time of a message may be over, shown or waiting for its turn."""
        time = self._rows.lives.time(now)
        return self.history.expiring(time) or self._lines.expiring(time)

    def disappear(self, now: int) -> None:
        """Delete every message whose time is over."""
        time = self._rows.lives.time(now)
        self._let_end(now)
        for message in self.history.due(time):
            self.remove(message.id)

    def forget(self) -> list[Association]:
        """Delete everything that is kept of this conversation; returns its associations."""
        gone = [*self.given_up()[0], *self.associations()]
        self.history.clear()
        for sending in self._sendings.values():
            for outgoing in sending.records():
                self._rows.forget_record(outgoing)
        self._lines.clear()
        self.unwanted.clear()
        for association in gone:
            self._rows.forget_association(association)
        self._rows.forget_conversation()
        return gone

    def keep(self) -> None:
        """Make the conversation's rows durable."""
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
        self._rows.contact(
            ContactRow(
                alias=self.alias,
                verified=self.verified,
                invited=self.invited,
                blocked=self.blocked,
                price_bits=self.price_bits,
                expires_s=self.expires_s,
                profile=b"" if self._profile is None else contents.write_profile(self._profile),
                told=self._told,
                read=self._read,
                receipted=self._receipted,
                seen=self._seen,
                invite=b"" if self._invite is None else self._invite.dump(),
            )
        )

    def restore_contact(self, row: ContactRow) -> None:
        """Take what a store kept of the contact."""
        self.alias, self.verified, self.invited = row.alias, row.verified, row.invited
        self.blocked, self.price_bits, self.expires_s = row.blocked, row.price_bits, row.expires_s
        self._profile = contents.read_profile(row.profile) if row.profile else None
        self._told, self._read = row.told, row.read
        self._receipted, self._seen = row.receipted, row.seen
        if row.invite:
            self._invite = WriteCapability.load(row.invite, self._params.hash)

    def restore(
        self,
        row: ConversationRow,
        associations: list[Association],
        records: list[Outgoing],
        messages: Sequence[MessageRow],
        notices: Sequence[tuple[str, NoticeRow]],
        parts: list[tuple[bytes, PartRow]],
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
        open_messages: list[Message | Notice] = []
        for kept in messages:
            message = self.history.restore(kept)
            finished = not message.outgoing or message.state >= MessageState.FETCHED
            if not finished and message.number != HELD:
                open_messages.append(message)
            said = message.state is MessageState.READ or kept.position == self._seen - 1
            if message.outgoing and said:
                self._seen_number = max(self._seen_number, message.number)
        self.history.begin_at(max(self._read, self._receipted, self._seen))
        for notice_id, notice_row in notices:
            notice = self.history.restore_notice(notice_id, notice_row)
            open_messages.append(notice)
            if notice.kind == Kind.RECEIPT and notice.data:
                self._receipt = notice.id
        for one in open_messages:
            self._deliveries.begin(one)
            if one.id in sealed:
                self._deliveries.track(one, sealed[one.id])
        self._wait_for([one for one in open_messages if one.id not in sealed])
        if self._invite is not None and not self.agreed:
            self._renew = True
        self._look_up(now)

    @property
    def _tells(self) -> bool:
        """Whether receipts go to the contact, and those that come are believed."""
        return self._shown.receipts and self.answered and not self.blocked

    def _touch(self) -> None:
        self._news.itself = True
        self.keep()

    def _accept(self) -> None:
        if not self.answered and self.requested_by_them:
            self.answered = self._news.itself = True

    def _content(
        self, text: str, file: bytes | None, reply_to: str | None, expires_s: int | None
    ) -> Content:
        """Return what is to be said; raises UserError."""
        if self.blocked:
            raise UserError("This contact is blocked; unblock it first.")
        reply: Reply | None = None
        if reply_to is not None:
            answered = self.history.get(reply_to)
            if answered is None:
                raise UserError("There is no such message in this conversation.")
            if answered.number == HELD:
                raise UserError("The file of this message is on its way; answer it later.")
            reply = Reply(answered.outgoing, answered.number, answered.created, answered.id)
        expires_s = self.expires_s if expires_s is None else expires_s or None
        contents.check_expiry(expires_s)
        content = Content(text, file, reply, expires_s)
        if len(contents.write(content)[1]) > MAX_CONTENT:
            raise UserError(f"A message may have at most {MAX_CONTENT} bytes of text.")
        return content

    def _new(self, message_id: str) -> None:
        """Refuse an id that a message has, or one that is gone and still on its way."""
        if self.history.find(message_id) is not None:
            raise UserError("This message was sent already.")

    def _made(self, message_id: str, content: Content, number: int, now: int) -> Message:
        message = Message(
            message_id,
            True,
            content.text,
            MessageState.QUEUED,
            created=now,
            number=number,
            file=content.file,
            reply=content.reply,
            expires_s=content.expires_s,
            expires=contents.deadline(self._rows.lives.time(now), content.expires_s),
        )
        self._news.gone += self.history.add(message)
        return message

    def _arrived(self, whole: Whole, now: int) -> None:
        if whole.kind == Kind.PROFILE:
            self._profile = contents.read_profile(whole.data)
            self._news.itself = True
        elif whole.kind == Kind.RECEIPT:
            self._receipt_came(whole.data)
        elif whole.kind in (Kind.TEXT, Kind.RICH):
            content = contents.read(whole.kind, whole.data)
            if len(self._lines) == 1 or not (
                self.history.showed(whole.created, whole.number, content)
                or self.unwanted.holds(whole.number, whole.created)
            ):
                self._show(whole, content, now)

    def _show(self, whole: Whole, content: Content, now: int) -> None:
        reply = content.reply
        if reply is not None:
            answered = self.history.numbered(
                outgoing=reply.outgoing, number=reply.number, created=reply.created
            )
            reply = replace(reply, message=None if answered is None else answered.id)
        message = Message(
            self._rng.bytes(12).hex(),
            outgoing=False,
            text=content.text,
            state=MessageState.FETCHED,
            created=whole.created,
            number=whole.number,
            received=now,
            request=self.requested_by_them
            and not self.invited
            and not any(not m.outgoing for m in self.history),
            file=content.file,
            reply=reply,
            expires_s=content.expires_s,
            expires=contents.deadline(whole.came, content.expires_s),
        )
        self._news.gone += self.history.add(message)
        self._news.moved.append(message)

    def _heard(self, now: int) -> None:
        if not self.answered and not self.requested_by_them:
            self.answered = self._news.itself = True
        self._news.moved += [
            read
            for message in self._news.moved
            if message.outgoing and message.state is MessageState.FETCHED
            for read in self._read_by_them(message)
        ]
        self._tell_read(now)

    def _read_by_them(self, message: Message) -> list[Message]:
        if self.history.get(message.id) is None:
            return []
        unseen = self.history.position(message.id) >= self._seen
        if not self._tells or unseen or message.number > self._seen_number:
            return []
        read = self.history.advance(message.id, MessageState.READ)
        return [] if read is None else [read]

    def _receipt_came(self, data: bytes) -> None:
        """Take the contact's word for what it has read, when both tell each other."""
        receipt = contents.read_receipt(data)
        if receipt is None or not self._tells or receipt.number >= self._next_number:
            return
        message = self.history.sent_before(receipt.number, receipt.created)
        if message is None:
            return
        self._seen = max(self._seen, self.history.position(message.id) + 1)
        self._seen_number = max(self._seen_number, receipt.number)
        for one in list(self.history):
            if one.outgoing and one.state is MessageState.FETCHED:
                self._news.moved += self._read_by_them(one)

    def _unsaid(self, message: Message | Notice) -> None:
        if isinstance(message, Notice) and message.kind == Kind.PROFILE:
            self._told = _UNKNOWN  # the next message brings the profile of then
            self.keep()

    def _tell_profile(self, now: int) -> None:
        """Let the persona's profile go to an accepted contact that was not told of it."""
        if not self.answered:
            return
        data = contents.write_profile(self._shown.profile)
        told = b"" if data == contents.NO_PROFILE else crypto.digest(data, size=_DIGEST)
        if told != self._told:
            self._told = told
            self._notify(Kind.PROFILE, data, now)

    def _tell_read(self, now: int) -> None:
        """Tell what was read since the last receipt, once that has come."""
        if not self._tells or self._receipted >= self._read:
            return
        told = self.history.find(self._receipt)
        if isinstance(told, Notice) and told.data:
            return
        self._receipt = ""
        for message in reversed(self.history):
            place = self.history.position(message.id)
            if place < self._receipted:
                break
            if place < self._read and not message.outgoing:
                data = contents.write_receipt(message.number, message.created)
                self._receipt = self._notify(Kind.RECEIPT, data, now)
                break
        self._receipted = self._read
        self.keep()

    def _notify(self, kind: Kind, data: bytes, now: int) -> str:
        """Queue something numbered that is never shown; returns its id."""
        notice = Notice(self._rng.bytes(12).hex(), self._next_number, now, kind, data)
        self.history.announce(notice)
        self._queue(notice, now)
        return notice.id
