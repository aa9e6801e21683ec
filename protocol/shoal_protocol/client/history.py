"""Messages as a person sees them, and how far each has come.

::

    queued ──two relays keep each part──► stored ──all acknowledged──► fetched ──receipt──► read
       └──outlived its boxes──► failed

``fetched`` says that the whole message stands in the history of the reader's node; one that
came before another that was sent earlier is *stored* until that one has come. ``read`` says
that the contact's person has seen it, if both tell each other such things. States only ever
move forward, and none is shown before the event that it names.

A notice is numbered and goes its way like a message, and is never shown. One without data
stands for a message that was deleted here while it was on its way.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from shoal_protocol.client import contents, state
from shoal_protocol.client.contents import Content, Reply
from shoal_protocol.client.parcel import Kind
from shoal_protocol.client.state import Journal, MessageRow

MAX_MESSAGES: Final = 10_000  # of one conversation; the oldest that are finished give way


class MessageState(IntEnum):
    """How far an outgoing message has come; incoming ones are FETCHED."""

    QUEUED = 0
    STORED = 1
    FETCHED = 2
    READ = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Times in ns; ``created`` of incoming ones is a claim.

    ``number`` is its place in its sender's line; ``file`` a packed manifest. ``reply`` says
    what it answers. It disappears at ``expires``, ``expires_s`` after it was sent or came.
    """

    id: str
    outgoing: bool
    text: str
    state: MessageState
    created: int
    number: int = 0
    received: int | None = None
    request: bool = False
    file: bytes | None = None
    reply: Reply | None = None
    expires_s: int | None = None
    expires: int | None = None

    @property
    def content(self) -> Content:
        """What it shows."""
        return Content(self.text, self.file, self.reply, self.expires_s)

    def written(self) -> tuple[int, bytes]:
        """Return the kind and the bytes that go to the contact."""
        return contents.write(self.content)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something numbered that is never shown; ``data`` empty: what is gone here.

    Where its number is still wanted that goes as a receipt that says nothing.
    """

    id: str
    number: int
    created: int
    kind: int
    data: bytes

    def written(self) -> tuple[int, bytes]:
        """Return the kind and the bytes that go to the contact."""
        return (self.kind, self.data) if self.data else (Kind.RECEIPT, b"")


class History:
    """The messages of one conversation, in the order in which they are shown.

    Args:
        conversation: its id, hex.
        journal: where messages are made durable; None when they are not to be kept.
    """

    def __init__(self, conversation: str, journal: Journal | None) -> None:
        self._conversation: Final = conversation
        self._journal = journal
        self._messages: dict[str, Message] = {}
        self._positions: dict[str, int] = {}
        self._notices: dict[str, Notice] = {}
        self._deadlines: list[tuple[int, str]] = []  # a heap; some are of messages that are gone
        self._next = 0

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    def __reversed__(self) -> Iterator[Message]:
        return reversed(self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, message_id: str) -> Message | None:
        """Return the message with this id."""
        return self._messages.get(message_id)

    def find(self, message_id: str) -> Message | Notice | None:
        """Return the message or notice with this id."""
        return self._messages.get(message_id) or self._notices.get(message_id)

    def position(self, message_id: str) -> int:
        """Return the place of a message that is here; they grow in the order of showing."""
        return self._positions[message_id]

    def numbered(self, *, outgoing: bool, number: int, created: int) -> Message | None:
        """Return the message of one side with this number and time, the youngest first."""
        for message in reversed(self):
            if (message.outgoing, message.number, message.created) == (outgoing, number, created):
                return message
        return None

    def sent_before(self, number: int, created: int) -> Message | None:
        """Return the youngest of one's own up to this number and time; it may itself be gone."""
        for message in reversed(self):
            if message.outgoing and message.number <= number and message.created <= created:
                return message
        return None

    def unread(self, below: int) -> int:
        """Return how many messages came at positions from ``below`` on."""
        count = 0
        for message in reversed(self):
            if self._positions[message.id] < below:
                break
            count += not message.outgoing
        return count

    def begin_at(self, position: int) -> None:
        """Give what comes positions from ``position`` on: lower ones were used, and are gone."""
        self._next = max(self._next, position)

    def add(self, message: Message) -> list[Message]:
        """Append a message; beyond :data:`MAX_MESSAGES` the oldest finished one gives way.

        One's own that are still to be fetched or to fail stay, or nothing would ever come of
        them. Returns those that gave way.
        """
        self._place(message, self._next)
        self._keep(message)
        gone: list[Message] = []
        while len(self._messages) > MAX_MESSAGES:
            finished = (m for m in self if not _unfinished(m) and m.id != message.id)
            oldest = next(finished, None)
            if oldest is None:
                break
            self.remove(oldest.id)
            gone.append(oldest)
        return gone

    def announce(self, notice: Notice) -> None:
        """Take a notice."""
        self._notices[notice.id] = notice
        if self._journal is not None:
            row = state.NoticeRow(
                bytes.fromhex(self._conversation),
                notice.kind,
                notice.number,
                notice.created,
                notice.data,
            )
            self._journal.put(state.NOTICE, bytes.fromhex(notice.id), state.NOTICES.encode(row))

    def restore(self, row: MessageRow) -> Message:
        """Append a message that a store kept; returns it."""
        reply = None if row.reply is None else state.REPLIES.decode(row.reply)
        message = Message(
            row.id,
            row.outgoing,
            row.text,
            MessageState(row.state),
            row.created,
            row.number,
            row.received,
            row.request,
            row.file,
            None
            if reply is None
            else Reply(reply.outgoing, reply.number, reply.created, reply.message.hex() or None),
            row.expires_s,
            row.expires,
        )
        self._place(message, row.position)
        return message

    def restore_notice(self, notice_id: str, row: state.NoticeRow) -> Notice:
        """Take a notice that a store kept; returns it."""
        notice = Notice(notice_id, row.number, row.created, row.kind, row.data)
        self._notices[notice_id] = notice
        return notice

    def advance(self, message_id: str, state: MessageState) -> Message | None:
        """Move a message forward; returns it when that changed it.

        A notice that came to its end is forgotten.
        """
        if message_id in self._notices:
            if state >= MessageState.FETCHED:
                self.forget_notice(message_id)
            return None
        message = self._messages.get(message_id)
        if message is None or message.state >= state:
            return None
        message = self._messages[message_id] = replace(message, state=state)
        self._keep(message)
        return message

    def number(self, message_id: str, number: int) -> Message | None:
        """Give a message its number; returns it."""
        message = self._messages.get(message_id)
        if message is not None:
            message = self._messages[message_id] = replace(message, number=number)
            self._keep(message)
        return message

    def showed(self, created: int, number: int, content: Content) -> bool:
        """Whether a message that came is here: it was numbered in a line that its sender left."""
        return any(
            not message.outgoing
            and (message.number, message.created, message.text, message.file)
            == (number, created, content.text, content.file)
            for message in self._messages.values()
        )

    @property
    def fleeting(self) -> bool:
        """Whether a message that is durable is to disappear."""
        return self._journal is not None and bool(self._deadlines)

    def sooner(self, by: int) -> None:
        """Let every message that disappears do so ``by`` ns sooner."""
        self._deadlines = []
        for message in list(self):
            if message.expires is not None:
                message = replace(message, expires=max(message.expires - by, 0))
                self._place(message, self._positions[message.id])
                self._keep(message)

    def expiring(self, now: int) -> bool:
        """Whether the time of a message may be over."""
        return bool(self._deadlines) and self._deadlines[0][0] <= now

    def due(self, now: int) -> list[Message]:
        """Return the messages whose time to disappear has come."""
        due: list[Message] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            message = self._messages.get(heapq.heappop(self._deadlines)[1])
            if message is not None:
                due.append(message)
        return due

    def remove(self, message_id: str) -> None:
        """Forget a message."""
        del self._messages[message_id], self._positions[message_id]
        if self._journal is not None:
            self._journal.delete_message(message_id)

    def forget_notice(self, notice_id: str) -> None:
        """Forget a notice."""
        del self._notices[notice_id]
        if self._journal is not None:
            self._journal.delete(state.NOTICE, bytes.fromhex(notice_id))

    def clear(self) -> None:
        """Forget every message."""
        for message_id in list(self._messages):
            self.remove(message_id)
        for notice_id in list(self._notices):
            self.forget_notice(notice_id)

    def _place(self, message: Message, position: int) -> None:
        self._messages[message.id] = message
        self._positions[message.id] = position
        self._next = max(self._next, position + 1)
        if message.expires is not None:
            heapq.heappush(self._deadlines, (message.expires, message.id))

    def _keep(self, message: Message) -> None:
        if self._journal is None:
            return
        reply = message.reply
        packed: bytes | None = None
        if reply is not None:
            name = bytes.fromhex(reply.message or "")
            packed = state.REPLIES.encode(
                state.ReplyRow(reply.outgoing, reply.number, reply.created, name)
            )
        self._journal.message(
            MessageRow(
                id=message.id,
                conversation=self._conversation,
                position=self._positions[message.id],
                outgoing=message.outgoing,
                number=message.number,
                text=message.text,
                state=message.state,
                created=message.created,
                received=message.received,
                request=message.request,
                file=message.file,
                reply=packed,
                expires_s=message.expires_s,
                expires=message.expires,
            )
        )


def _unfinished(message: Message) -> bool:
    return message.outgoing and message.state < MessageState.FETCHED
