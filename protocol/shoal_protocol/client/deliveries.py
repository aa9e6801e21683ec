"""How far each outgoing message of a conversation has come; spec: client §6.

::

    numbered ─► records tracked ─► all stored: STORED ─► all acknowledged,
                                                         and all messages before: FETCHED

The contact shows messages in the order of their numbers, so one that came whole is fetched
only when nothing before it is missing. Notices are followed like messages.
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol.client.history import History, Message, MessageState, Notice
from shoal_protocol.client.outbox import Outgoing

Sent = Message | Notice


@dataclass(slots=True)
class _Progress:
    """Records of one message that are not stored, and not acknowledged, yet."""

    unstored: set[bytes]
    unread: set[bytes]


class Deliveries:
    """The outgoing messages of one conversation that are neither fetched nor failed."""

    def __init__(self, history: History) -> None:
        self._history: Final = history
        self._unfinished: dict[int, str] = {}  # number: message id
        self._progress: dict[str, _Progress] = {}
        self._whole: set[int] = set()  # numbers that the contact has, behind one that it lacks

    def least(self, otherwise: int) -> int:
        """Return the lowest number that may still come, ``otherwise`` when nothing is open."""
        return min(self._unfinished, default=otherwise)

    def begin(self, message: Sent) -> None:
        """Take a message that has its number."""
        self._unfinished[message.number] = message.id

    def track(self, message: Sent, records: list[Outgoing]) -> None:
        """Note which records a message went into."""
        self._progress[message.id] = _Progress(
            {outgoing.key for outgoing in records if not outgoing.stored},
            {outgoing.key for outgoing in records},
        )

    def untrack(self, message: Sent) -> None:
        """Note that a message is to be written anew."""
        self._progress.pop(message.id, None)

    def open(self, message: Sent) -> bool:
        """Whether a message has a number and is neither fetched nor failed."""
        return self._unfinished.get(message.number) == message.id

    def stored(self, outgoing: Outgoing) -> list[Message]:
        """Note that a relay keeps a record; returns the message that moved, if one did."""
        progress = self._progress.get(outgoing.message)
        if progress is None:
            return []
        progress.unstored.discard(outgoing.key)
        return [] if progress.unstored else self._advance(outgoing.message, MessageState.STORED)

    def acknowledged(self, outgoing: Outgoing) -> list[Message]:
        """Note that the contact has a record; returns the messages that moved."""
        progress = self._progress.get(outgoing.message)
        if progress is None:
            return []
        progress.unstored.discard(outgoing.key)
        progress.unread.discard(outgoing.key)
        if progress.unread:
            return []
        del self._progress[outgoing.message]
        message = self._history.find(outgoing.message)
        if message is None:
            return []
        self._whole.add(message.number)
        fetched = self.show_fetched()
        if message.number in self._whole:
            return self._advance(message.id, MessageState.STORED)
        return fetched

    def begin_anew(self) -> list[Sent]:
        """Forget how far everything has come; returns what is neither fetched nor failed."""
        self._progress.clear()
        self._whole.clear()
        found = [self._history.find(message_id) for message_id in self._unfinished.values()]
        return [message for message in found if message is not None]

    def failed(self, message: Sent) -> list[Message]:
        """Give a message up; returns it if that moved it."""
        self._unfinished.pop(message.number, None)
        self._progress.pop(message.id, None)
        return self._advance(message.id, MessageState.FAILED)

    def show_fetched(self) -> list[Message]:
        """Move to FETCHED what the contact has and shows: all up to the first that it lacks."""
        changed: list[Message] = []
        for number, message_id in sorted(self._unfinished.items()):
            if number not in self._whole:
                break
            self._whole.discard(number)
            del self._unfinished[number]
            changed += self._advance(message_id, MessageState.FETCHED)
        return changed

    def _advance(self, message_id: str, to: MessageState) -> list[Message]:
        changed = self._history.advance(message_id, to)
        return [] if changed is None else [changed]
