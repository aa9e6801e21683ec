"""Messages in the order of their numbers, however their parts come; spec: client §6.

::

    part (line, number) ──► kept, durable ──► all parts here, and its turn? ──► shown, once
                                  │                     ▲
                                  └── number below "next": had it already ──► dropped

A line is one numbering by one sender: who loses what a conversation was numbered by begins
another. A sender says below which number nothing comes any more, so that what it gave up
holds nothing back. A message that disappears lives from when the last of its parts came, shown
or not: one whose life is over behind a gap leaves its number, and not a word.
"""

from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import contents, state
from shoal_protocol.client.parcel import Kind, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError

MAX_LINES: Final = 16  # of one contact; the oldest is forgotten
MAX_AHEAD: Final = 1024  # numbers beyond the one that is shown next
MAX_PARTS: Final = 1024  # kept of one contact: more than all windows of an honest one hold


@dataclass(frozen=True, slots=True)
class Whole:
    """A message whose turn has come; ``data`` is what :mod:`contents` reads.

    ``came`` (ns): when the last of its parts did.
    """

    created: int
    came: int
    number: int
    kind: int
    data: bytes


@dataclass(slots=True)
class _Message:
    created: int
    kind: int
    count: int
    came: int = 0
    ends: int | None = None  # when it is to be forgotten, once it is whole
    parts: dict[int, bytes] = field(default_factory=dict[int, bytes])

    @property
    def data(self) -> bytes:
        return b"".join(piece for _, piece in sorted(self.parts.items()))

    @property
    def empty(self) -> bool:
        """Whether it holds a number and nothing else, as what ended behind a gap."""
        return self.kind == Kind.RECEIPT and self.parts == {0: b""}

    def time(self) -> None:
        """Note when it ends, if it does and is whole."""
        self.ends = None
        if self.kind == Kind.RICH and len(self.parts) == self.count:
            life = contents.read(self.kind, self.data).expires_s
            self.ends = None if life is None else self.came + clock.seconds(life)


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
        self._ends: int | None = None  # the soonest end of a message whose turn has not come

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
            came = row.came if isinstance(row, state.TimedPartRow) else row.created
            message.came = max(message.came, came)
            message.time()
            if message.ends is not None:
                self._ends = min(message.ends, message.ends if self._ends is None else self._ends)

    @property
    def fleeting(self) -> bool:
        """Whether a durable message is to be forgotten whose turn has not come."""
        return self._journal is not None and self._ends is not None

    def expiring(self, now: int) -> bool:
        """Whether the time of such a message is over."""
        return self._ends is not None and self._ends <= now

    def expire(self, now: int) -> list[Whole]:
        """Forget what is written in those whose time is over; their numbers stay.

        Returns what went, without its words.
        """
        gone: list[Whole] = []
        for name, number, message in self._waiting():
            if message.ends is not None and message.ends <= now:
                self._forget(name, self._lines[name], number)
                part = Part(Kind.RECEIPT, number, message.created, 0, 1, b"")
                self._keep(name, self._lines[name], part, now)
                gone.append(Whole(message.created, message.came, number, message.kind, b""))
        self._time()
        return gone

    def sooner(self, by: int) -> None:
        """Let all that waits count as come ``by`` ns earlier."""
        for name, number, message in self._waiting():
            message.came = max(message.came - by, 0)
            message.time()
            for place, data in message.parts.items():
                part = Part(message.kind, number, message.created, place, message.count, data)
                self._put(name, part, message.came)
        self._time()

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
        if known is None or known.empty:
            return
        if (known.created, known.kind, known.count) != (part.created, part.kind, part.parts):
            raise RemoteProtocolError("parts")

    def take(self, incoming: Parcel, now: int) -> list[Whole]:
        """Take a parcel that :meth:`check` let pass; return the messages whose turn has come.

        Args:
            now: when it came, ns.
        """
        line = self._lines.get(incoming.line)
        if line is None:
            line = self._lines[incoming.line] = _Line(incoming.least)
            self._limit()
        part = incoming.part
        if part is not None and part.number >= line.next:
            self._keep(incoming.line, line, part, now)
        shown = self._due(incoming.line, line)
        while line.next < incoming.least:
            upcoming = min((n for n in line.messages if n < incoming.least), default=None)
            line.next = incoming.least if upcoming is None else upcoming
            if upcoming is not None and not self._is_whole(line, upcoming):
                self._forget(incoming.line, line, upcoming)
                line.next += 1
            shown += self._due(incoming.line, line)
        self._time()
        return shown

    def clear(self) -> None:
        """Forget all parts."""
        for name, line in self._lines.items():
            for number in list(line.messages):
                self._forget(name, line, number)
        self._time()

    def _waiting(self) -> list[tuple[bytes, int, _Message]]:
        return [
            (name, number, message)
            for name, line in self._lines.items()
            for number, message in line.messages.items()
        ]

    def _time(self) -> None:
        ends = [m.ends for _, _, m in self._waiting() if m.ends is not None]
        self._ends = min(ends, default=None)

    def _keep(self, name: bytes, line: _Line, part: Part, now: int) -> None:
        message = line.messages.setdefault(
            part.number, _Message(part.created, part.kind, part.parts)
        )
        if part.part in message.parts:
            return
        message.parts[part.part] = part.data
        message.came = max(message.came, now)
        message.time()
        self._put(name, part, now)

    def _put(self, name: bytes, part: Part, came: int) -> None:
        if self._journal is not None:
            row = state.TimedPartRow(part.created, part.kind, part.parts, part.data, came)
            self._journal.put(
                state.PART, self._key(name, part.number, part.part), state.PARTS.encode(row)
            )

    def _due(self, name: bytes, line: _Line) -> list[Whole]:
        shown: list[Whole] = []
        while self._is_whole(line, line.next):
            message = line.messages[line.next]
            shown.append(
                Whole(message.created, message.came, line.next, message.kind, message.data)
            )
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
