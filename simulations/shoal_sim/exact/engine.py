"""Virtual time: events in the order of (ns, sequence number), and a trace of what happened.

::

    at(ns, name, action, …) ──────────────► heap ─┬─ the earlier ─► name into the trace ─► action(…)
    after(delay, …) ─► not before its last ─► lane ─┘

Integers and the sequence number make the order total; nothing else decides it, so a run is a
function of its seed. The hash over all names and notes shows it; runs that are large and need
not show it do without. What takes equally long each time, as packets on links do, comes in order:
it waits in a lane, which is a queue, and so no heap grows with what is under way.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.clock import SECOND

MAX_AT_ONCE: Final = 20_000  # events at one ns: a machine that asks for its timer without end
MAX_EVENTS: Final = 3_000_000  # in one run, unless the engine is told another number

Name = str | tuple[str, ...]  # of an event; put together only where a trace wants it
_Entry = tuple[int, int, Name, Callable[..., None], tuple[Any, ...]]


class Broken(AssertionError):
    """Something that must hold does not; the message says what, and when."""


class Engine:
    """The time of one world.

    Args:
        start: ns since the Unix epoch.
        log: gets a line for each event and note, or None.
        traced: whether names and notes are hashed.
        most: events after which a run has no end.
    """

    def __init__(
        self,
        start: int,
        log: Callable[[str], None] | None = None,
        *,
        traced: bool = True,
        most: int = MAX_EVENTS,
    ) -> None:
        self.start: Final = start
        self.traced: Final = traced
        self._most: Final = most
        self.now = start
        self.events = 0
        self._at_once = 0
        self._heap: list[_Entry] = []
        self._lane: deque[_Entry] = deque()  # sorted, as the heap is
        self._sequence = 0
        self._past: list[str] = []  # names of events since the last note
        self._hash = crypto.blake2b(digest_size=16)
        self._log = log

    def __len__(self) -> int:
        return len(self._heap) + len(self._lane)

    @property
    def trace(self) -> str:
        """Hash of everything so far, hex."""
        self._hash_past()
        return self._hash.hexdigest()

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return (self.now - self.start) / SECOND

    def at(self, when: int, name: Name, action: Callable[..., None], *arguments: Any) -> None:
        """Do ``action`` at ``when`` (ns), or now if that has passed."""
        self._sequence += 1
        when = when if when > self.now else self.now
        heapq.heappush(self._heap, (when, self._sequence, name, action, arguments))

    def after(self, delay: int, name: Name, action: Callable[..., None], *arguments: Any) -> None:
        """Do ``action`` ``delay`` ns from now; quickest where ``delay`` mostly is the same."""
        self._sequence += 1
        when, lane = self.now + delay, self._lane
        if not lane or lane[-1][0] <= when:
            lane.append((when, self._sequence, name, action, arguments))
        else:
            heapq.heappush(self._heap, (when, self._sequence, name, action, arguments))

    def note(self, text: str, data: bytes = b"") -> None:
        """Put what happened into the trace."""
        if not self.traced:
            return
        self._past.append(text)
        self._hash_past()
        self._hash.update(data)
        if self._log is not None:
            self._log(
                f"{self.seconds():12.3f}  {text} {crypto.blake2b(data, digest_size=4).hexdigest()}"
            )

    def broken(self, what: str) -> Broken:
        """Return the error that says ``what``, to be raised."""
        return Broken(f"at {self.seconds():.3f} s: {what}")

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let ``seconds`` pass, or less if ``until`` holds; return whether it does.

        Raises:
            Broken: time stands still, or there is no end of events.
        """
        end = self.now + round(seconds * SECOND)
        if self._go_on(end, until):
            return True
        if until is not None and until():
            return True
        self._hash_past()
        self.now = max(self.now, end)
        return until is not None and until()

    def _go_on(self, end: int, until: Callable[[], bool] | None) -> bool:
        """Let happen what is due by ``end``; return whether ``until`` stopped it before."""
        heap, lane, pop, flow = self._heap, self._lane, heapq.heappop, self._lane.popleft
        traced, most = self.traced, self._most
        now, at_once, events = self.now, self._at_once, self.events
        try:
            while heap or lane:
                flows = lane and not (heap and heap[0] < lane[0])
                if (lane if flows else heap)[0][0] > end:
                    break
                if until is not None and until():
                    return True
                when, _, name, action, arguments = flow() if flows else pop(heap)
                if when != now:
                    self.now = now = when
                    at_once = 0
                else:
                    at_once += 1
                events += 1
                if at_once > MAX_AT_ONCE or events > most:
                    raise self.broken(f"no end of events, the last is {name}")
                if traced:
                    self._past.append(name if isinstance(name, str) else " ".join(name))
                action(*arguments)
        finally:
            self._at_once, self.events = at_once, events
        return False

    def _hash_past(self) -> None:
        """Put the names of events since the last note into the trace."""
        self._hash.update(f"{self.now} {'|'.join(self._past)} ".encode())
        self._past.clear()
