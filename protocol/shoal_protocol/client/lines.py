"""Messages in the order of their numbers, however their parts come; spec: client §6.

::

    part (line, number) ──► kept, durable ──► all parts here, and its turn? ──► shown, once
                                  │                     ▲
                                  └── number below "next": had it already ──► dropped

A line is one numbering by one sender: who loses what a conversation was numbered by begins
another. A sender says below which number nothing comes any more, so that what it gave up
holds nothing back.
"""

from dataclasses import dataclass, field
from typing import Final

from shoal_protocol.client import state
from shoal_protocol.client.parcel import Parcel, Part
from shoal_protocol.errors import RemoteProtocolError

MAX_LINES: Final = 16  # of one contact; the oldest is forgotten
MAX_AHEAD: Final = 1024  # numbers beyond the one that is shown next
MAX_PARTS: Final = 1024  # kept of one contact: more than all windows of an honest one hold


@dataclass(frozen=True, slots=True)
class Whole:
    """A message whose turn has come; ``data`` is what :mod:`contents` reads."""

    created: int
    number: int
    kind: int
    data: bytes


@dataclass(slots=True)
class _Message:
    created: int
    kind: int
    count: int
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])


@dataclass(slots=True)
class _Line:
    next: int
    messages: dict[int, _Message] = field(default_factory=dict[int, _Message])


class IncomingLines:
    """The lines of one contact.

    Args:
        conversation: 8 bytes, what rows are named by.
        journal: where parts are made durable; None when nothing of it is to be kept.
    """

    def __init__(self, conversation: bytes, journal: state.Journal | None) -> None:
        self._conversation: Final = conversation
        self._journal = journal
        self._lines: dict[bytes, _Line] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def rows(self) -> tuple[state.LineRow, ...]:
        """Return the lines as the conversation's row holds them, oldest first."""
        return tuple(state.LineRow(name, line.next) for name, line in self._lines.items())

    def restore(self, rows: tuple[state.LineRow, ...]) -> None:
        """Take the lines of a conversation's row."""
        for row in rows:
            self._lines[row.line] = _Line(row.next)

    def restore_part(self, key: bytes, row: state.PartRow) -> None:
        """Take a part's row; ``key`` is line 8, number 4, part 2."""
        line = self._lines.get(key[:8])
        if line is not None:
            number = int.from_bytes(key[8:12], "big")
            message = line.messages.setdefault(number, _Message(row.created, row.kind, row.parts))
            message.parts[int.from_bytes(key[12:], "big")] = row.data

    def check(self, incoming: Parcel) -> None:
        """Refuse what no honest contact sends.

        Raises:
            RemoteProtocolError: "parts", a part unlike another of its message or one too
                many; "number", one too far ahead.
        """
        part = incoming.part
        if part is None:
            return
        if sum(len(m.parts) for one in self._lines.values() for m in one.messages.values()) >= (
            MAX_PARTS
        ):
            raise RemoteProtocolError("parts")
        line = self._lines.get(incoming.line)
        if line is None:
            if part.number - incoming.least > MAX_AHEAD:
                raise RemoteProtocolError("number")
            return
        if part.number > max(line.next, incoming.least) + MAX_AHEAD:
            raise RemoteProtocolError("number")
        known = line.messages.get(part.number)
        if known is not None and (known.created, known.kind, known.count) != (
            part.created,
            part.kind,
            part.parts,
        ):
            raise RemoteProtocolError("parts")

    def take(self, incoming: Parcel) -> list[Whole]:
        """Take a parcel that :meth:`check` let pass; return the messages whose turn has come."""
        line = self._lines.get(incoming.line)
        if line is None:
            line = self._lines[incoming.line] = _Line(incoming.least)
            self._limit()
        part = incoming.part
        if part is not None and part.number >= line.next:
            self._keep(incoming.line, line, part)
        shown = self._due(incoming.line, line)
        while line.next < incoming.least:
            upcoming = min((n for n in line.messages if n < incoming.least), default=None)
            line.next = incoming.least if upcoming is None else upcoming
            if upcoming is not None and not self._is_whole(line, upcoming):
                self._forget(incoming.line, line, upcoming)
                line.next += 1
            shown += self._due(incoming.line, line)
        return shown

    def clear(self) -> None:
        """Forget all parts."""
        for name, line in self._lines.items():
            for number in list(line.messages):
                self._forget(name, line, number)

    def _keep(self, name: bytes, line: _Line, part: Part) -> None:
        message = line.messages.setdefault(
            part.number, _Message(part.created, part.kind, part.parts)
        )
        if part.part in message.parts:
            return
        message.parts[part.part] = part.data
        if self._journal is not None:
            row = state.PartRow(part.created, part.kind, part.parts, part.data)
            self._journal.put(
                state.PART, self._key(name, part.number, part.part), state.PARTS.encode(row)
            )

    def _due(self, name: bytes, line: _Line) -> list[Whole]:
        shown: list[Whole] = []
        while self._is_whole(line, line.next):
            message = line.messages[line.next]
            data = b"".join(piece for _, piece in sorted(message.parts.items()))
            shown.append(Whole(message.created, line.next, message.kind, data))
            self._forget(name, line, line.next)
            line.next += 1
        return shown

    @staticmethod
    def _is_whole(line: _Line, number: int) -> bool:
        message = line.messages.get(number)
        return message is not None and len(message.parts) == message.count

    def _forget(self, name: bytes, line: _Line, number: int) -> None:
        message = line.messages.pop(number)
        if self._journal is not None:
            for part in message.parts:
                self._journal.delete(state.PART, self._key(name, number, part))

    def _key(self, name: bytes, number: int, part: int) -> bytes:
        return self._conversation + name + number.to_bytes(4, "big") + part.to_bytes(2, "big")

    def _limit(self) -> None:
        while len(self._lines) > MAX_LINES:
            name = next(iter(self._lines))
            line = self._lines[name]
            for number in list(line.messages):
                self._forget(name, line, number)
            del self._lines[name]
