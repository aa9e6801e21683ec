"""Messages as a person sees them, and how far each has come.

::

    queued ──one relay keeps every part──► stored ──a part acknowledged──► fetched
       └──outlived its entries──► failed              └──all parts──► read

``read`` says that the whole message stands in the history of the reader's node. States
only ever move forward, and none is shown before the event that it names.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

MAX_MESSAGES: Final = 10_000  # of one conversation; the oldest give way


class MessageState(IntEnum):
    """How far an outgoing message has come; incoming ones are READ."""

    QUEUED = 0
    STORED = 1
    FETCHED = 2
    READ = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Times in ns; ``created`` of incoming ones is a claim."""

    id: str
    outgoing: bool
    text: str
    state: MessageState
    created: int
    received: int | None = None
    request: bool = False


class History:
    """The messages of one conversation in the order in which they came to be here."""

    def __init__(self) -> None:
        self._messages: OrderedDict[str, Message] = OrderedDict()

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, message_id: str) -> Message | None:
        """Return the message with this id."""
        return self._messages.get(message_id)

    def add(self, message: Message) -> None:
        """Append a message."""
        self._messages[message.id] = message
        while len(self._messages) > MAX_MESSAGES:
            self._messages.popitem(last=False)

    def advance(self, message_id: str, state: MessageState) -> Message | None:
        """Move a message forward; returns it when that changed it."""
        message = self._messages.get(message_id)
        if message is None or message.state >= state:
            return None
        message = self._messages[message_id] = replace(message, state=state)
        return message
