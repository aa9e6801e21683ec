"""Reliable exchange with one contact over one session; spec: client §6.

::

    text ──split──► parts ──sequence, seal──► records ──► Outbox ──► inbox of the other
    entry ──open──► parcel ──► acks free our records; a part, once only, ──► message whole?

A part is sealed once and its record put again unchanged, so that relays see one entry
however often it is sent. Sequences and acknowledgements belong to the session; parts that
come twice are dropped. The parts of a message have sequences in a row, so that what can be kept
of half-received messages lies within a window to either side of the first that is missing.
"""

from dataclasses import dataclass, field
from typing import Final

from shoal_protocol.client import parcel
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.sessions.session import Session

WINDOW: Final = parcel.ACK_WINDOW  # how far a sequence may run ahead of the first that is missing


@dataclass(frozen=True, slots=True)
class Whole:
    """A message whose parts are all here."""

    created: int
    text: str


@dataclass(frozen=True, slots=True)
class Received:
    """What one parcel said.

    ``acks`` is what the other side has; ``wants_ack`` whether it asks for an acknowledgement;
    ``whole`` the message that it completes, or None.
    """

    acks: Acks
    wants_ack: bool
    whole: Whole | None


@dataclass(slots=True)
class _Partial:
    created: int
    count: int
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])


class Association:
    """One session's sequences, acknowledgements and half-received messages."""

    def __init__(self, session: Session) -> None:
        self.session: Final = session
        self.confirmed = False  # something came over it from the other side
        self.ack_due: int | None = None  # ns; when an acknowledgement alone is to go
        self.acked = 0  # ns; when acknowledgements last went
        self._next_sequence = 0
        self._come = Acks()
        self._partial: dict[int, _Partial] = {}  # by the sequence of its first part

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
            Part(self._next_sequence + place, created, place, len(pieces), piece)
            for place, piece in enumerate(pieces)
        ]
        self._next_sequence += len(pieces)
        return parts

    def encode(self, part: Part | None) -> bytes:
        """Return a parcel with ``part`` and the present acknowledgements, which count as sent."""
        self.ack_due = None
        return parcel.encode(Parcel(self._come, part))

    def receive(self, data: bytes) -> Received:
        """Take an opened parcel.

        Raises:
            RemoteProtocolError: "parcel" malformed, "window" too far ahead, "parts" unlike
                another part of its message. Nothing has changed then.
        """
        incoming = parcel.decode(data)
        part = incoming.part
        whole = None
        if part is not None and not self._come.covers(part.sequence):
            if part.sequence > self._come.next + WINDOW:
                raise RemoteProtocolError("window")
            whole = self._assemble(part)
            self._note(part.sequence)
        self.confirmed = True
        return Received(incoming.acks, part is not None, whole)

    def _assemble(self, part: Part) -> Whole | None:
        first = part.sequence - part.part
        partial = self._partial.get(first) or _Partial(part.created, part.parts)
        if (partial.created, partial.count) != (part.created, part.parts):
            raise RemoteProtocolError("parts")
        self._partial[first] = partial
        partial.parts[part.part] = part.text
        if len(partial.parts) < part.parts:
            return None
        del self._partial[first]
        data = b"".join(text for _, text in sorted(partial.parts.items()))
        # What is not UTF-8 is shown as such: refusing it would leave a gap for ever.
        return Whole(partial.created, data.decode("utf-8", "replace"))

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
        # A message of which a sequence went to another one never becomes whole.
        passed = [first for first, half in self._partial.items() if first + half.count <= upto]
        for first in passed:
            del self._partial[first]
