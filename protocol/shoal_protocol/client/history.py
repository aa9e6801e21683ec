"""Messages as a person sees them, and how far each has come.

::

    queued ──two relays keep each part──► stored ──a part acknowledged──► fetched
       └──outlived its boxes──► failed                └──all parts──► read

``read`` says that the whole message stands in the history of the reader's node; one that came
before another that was sent earlier is *fetched* until that one has come. States only ever
move forward, and none is shown before the event that it names.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from shoal_protocol.client.lines import Whole
from shoal_protocol.client.state import Journal, MessageRow

MAX_MESSAGES: Final = 10_000  # of one conversation; the oldest that are finished give way


class MessageState(IntEnum):
    """How far an outgoing message has come; incoming ones are READ."""

    QUEUED = 0
    STORED = 1
    FETCHED = 2
    READ = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Times in ns; ``created`` of incoming ones is a claim.

    ``number`` is its place in its sender's line; ``file`` a packed manifest.
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


class History:
    """The messages of one conversation, in the order in which they are shown.

    Args:
        conversation: its id, hex.
        journal: where messages are made durable; None when they are not to be kept.
    """

    def __init__(self, conversation: str, journal: Journal | None) -> None:
        self._conversation: Final = conversation
        self._journal = journal
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._positions: dict[str, int] = {}
        self._next = 0

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, message_id: str) -> Message | None:
        """Return the message with this id."""
        return self._messages.get(message_id)

    def add(self, message: Message) -> None:
        """Append a message; beyond :data:`MAX_MESSAGES` the oldest finished one gives way.

        One's own that are still to be read or to fail stay, or nothing would ever come of them.
        """
        self._place(message, self._next)
        self._keep(message)
        while len(self._messages) > MAX_MESSAGES:
            finished = (m.id for m in self if not _unfinished(m) and m.id != message.id)
            oldest = next(finished, None)
            if oldest is None:
                break
            self._remove(oldest)

    def restore(self, row: MessageRow) -> Message:
        """Append a message that a store kept; returns it."""
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
        )
        self._place(message, row.position)
        return message

    def advance(self, message_id: str, state: MessageState) -> Message | None:
        """Move a message forward; returns it when that changed it."""
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

    def showed(self, whole: Whole) -> bool:
        """Whether a message that came is here: it was numbered in a line that its sender left."""
        return any(
            not message.outgoing
            and (message.number, message.created, message.text, message.file)
            == (whole.number, whole.created, whole.text, whole.file)
            for message in self._messages.values()
        )

    def clear(self) -> None:
        """Forget every message."""
        for message_id in list(self._messages):
            self._remove(message_id)

    def _place(self, message: Message, position: int) -> None:
        self._messages[message.id] = message
        self._positions[message.id] = position
        self._next = max(self._next, position + 1)

    def _remove(self, message_id: str) -> None:
        del self._messages[message_id], self._positions[message_id]
        if self._journal is not None:
            self._journal.delete_message(message_id)

    def _keep(self, message: Message) -> None:
        if self._journal is not None:
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
                )
            )


def _unfinished(message: Message) -> bool:
    return message.outgoing and message.state < MessageState.READ
