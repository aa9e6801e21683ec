"""Reliable exchange with one contact over one session; spec: client §6.

::

    text ──split──► parts ──sequence, seal──► records ──► Outbox ──► inbox of the other
    entry ──open──► parcel ──► acks free our records; a part, once only, ──► message whole?

A part is sealed once and its record put again unchanged, so that relays see one entry
however often it is sent. Sequences and acknowledgements belong to the session; parts that
come twice are dropped. Everything kept for the other side is bounded.
"""

from dataclasses import dataclass, field
from typing import Final

from shoal_protocol.client import parcel
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.sessions.session import Session

MAX_PARTIAL: Final = parcel.ACK_WINDOW  # messages of which only some parts are here
WINDOW: Final = parcel.ACK_WINDOW  # how far a sequence may run ahead of the first that is missing


@dataclass(frozen=True, slots=True)
class Whole:
    """A message whose parts are all here."""

    number: int
    created: int
    text: str


@dataclass(slots=True)
class _Partial:
    created: int
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])


class Association:
    """One session's sequences, acknowledgements and half-received messages."""

    def __init__(self, session: Session) -> None:
        self.session: Final = session
        self.confirmed = False  # something came over it from the other side
        self.ack_due: int | None = None  # ns; when an acknowledgement alone is to go
        self._next_sequence = 0
        self._next_message = 0
        self._come = Acks()
        self._partial: dict[int, _Partial] = {}

    def parts(self, text: bytes, first: int, others: int, created: int) -> list[Part]:
        """Cut a text into parts with fresh sequences.

        Args:
            first: bytes that the first part may have; others: those of the rest.

        Raises:
            ValueError: it would take more than ``parcel.MAX_PARTS`` parts.
        """
        pieces = parcel.split(text, first, others)
        if len(pieces) > parcel.MAX_PARTS:
            raise ValueError("text too long")
        parts = [
            Part(
                self._next_sequence + place, self._next_message, created, place, len(pieces), piece
            )
            for place, piece in enumerate(pieces)
        ]
        self._next_sequence += len(pieces)
        self._next_message += 1
        return parts

    def encode(self, part: Part | None) -> bytes:
        """Return a parcel with ``part`` and the present acknowledgements, which count as sent."""
        self.ack_due = None
        return parcel.encode(Parcel(self._come, part))

    def receive(self, data: bytes) -> tuple[Acks, bool, Whole | None]:
        """Take an opened parcel.

        Returns:
            What the other side has; whether the parcel asks for an acknowledgement; and
            the message that it completes, or None.

        Raises:
            RemoteProtocolError: "parcel" malformed, "window" too far ahead, "partial" too
                many half messages, "text" not UTF-8. The part is then not acknowledged,
                except one that can never become a text.
        """
        incoming = parcel.decode(data)
        self.confirmed = True
        part = incoming.part
        if part is None:
            return incoming.acks, False, None
        if self._come.covers(part.sequence):
            return incoming.acks, True, None
        if part.sequence > self._come.next + WINDOW:
            raise RemoteProtocolError("window")
        whole = self._assemble(part)
        self._note(part.sequence)
        return incoming.acks, True, whole

    def _assemble(self, part: Part) -> Whole | None:
        partial = self._partial.get(part.message)
        if partial is None:
            if len(self._partial) >= MAX_PARTIAL:
                raise RemoteProtocolError("partial")
            partial = self._partial[part.message] = _Partial(part.created)
        partial.parts[part.part] = part.text
        if len(partial.parts) < part.parts:
            return None
        del self._partial[part.message]
        data = b"".join(text for _, text in sorted(partial.parts.items()))
        # What is not UTF-8 is shown as such: refusing it would leave a gap for ever.
        return Whole(part.message, partial.created, data.decode("utf-8", "replace"))

    def _note(self, sequence: int) -> None:
        upto, bits = self._come.next, self._come.bits
        if sequence == upto:
            upto += 1
            while bits & 1:
                bits >>= 1
                upto += 1
            bits >>= 1
        else:
            bits |= 1 << (sequence - upto - 1)
        self._come = Acks(upto, bits)
