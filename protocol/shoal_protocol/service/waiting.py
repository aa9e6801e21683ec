"""GETs that wait at a relay until what they ask for comes or their time is over.

::

    add ──► waits at (kind, address) ──┬─ all_at(box) ─────────► every one, the box has come
               │                       ├─ oldest_below(inbox, n) ► one, entry n has come
               │                       └─ handle_timer ────────► its wait has ended
               └─ too many: the oldest here, or in all the newcomer, gives way

Which answer one gets is the desk's business. Everything is bounded: a person who comes back
has its own old GETs give way, and readers never keep writers out.
"""

from collections import deque
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

from shoal_protocol.service.storage import Kind

MAX_WAITING: Final = 65_536  # GETs in all
MAX_WAITING_HERE: Final = 128  # GETs at one address; the oldest gives way beyond it
_STALE: Final = 1024  # answered GETs that may stay in the heap of waits beside as many as wait


@dataclass(slots=True, eq=False)
class WaitingGet:
    """One GET that waits.

    Args:
        kind: BOX or ENTRY, what it asks for.
        address: where, 32 bytes.
        surb: 464 bytes, by which it is answered.
        cursor: of an inbox: only an entry beyond this number is an answer.
        due: ns, when it is answered EMPTY.
        answered: it waits no more.
    """

    kind: Kind
    address: bytes
    surb: bytes
    cursor: int
    due: int
    answered: bool = False


class WaitingGets:
    """All GETs that wait at one relay."""

    def __init__(self) -> None:
        self._places: dict[tuple[Kind, bytes], deque[WaitingGet]] = {}
        self._heap: list[tuple[int, int, WaitingGet]] = []
        self._sequence = 0
        self._count = 0
        self.due: int | None = None  # ns, when the first wait ends; only this class sets it

    def __len__(self) -> int:
        """How many wait now."""
        return self._count

    def add(self, get: WaitingGet) -> WaitingGet | None:
        """Let ``get`` wait; return the one that gives way for it, or itself, if one must."""
        if self._count >= MAX_WAITING:
            return get
        place = self._places.setdefault((get.kind, get.address), deque())
        place.append(get)
        self._count += 1
        self._sequence += 1
        heappush(self._heap, (get.due, self._sequence, get))
        if len(self._heap) > 2 * self._count + _STALE:
            self._heap = [wait for wait in self._heap if not wait[2].answered]
            heapify(self._heap)
        self.due = self._heap[0][0]
        if len(place) > MAX_WAITING_HERE:
            return self._answer(place.popleft())
        return None

    def all_at(self, address: bytes) -> list[WaitingGet]:
        """Take every GET of the box at ``address``, the oldest first."""
        place = self._places.pop((Kind.BOX, address), ())
        return [self._answer(get) for get in place]

    def oldest_below(self, address: bytes, number: int) -> WaitingGet | None:
        """Take the oldest GET of the inbox at ``address`` whose cursor is below ``number``."""
        for get in self._places.get((Kind.ENTRY, address), ()):
            if get.cursor < number:
                self._remove(get)
                return self._answer(get)
        return None

    def handle_timer(self, now: int) -> list[WaitingGet]:
        """Take the GETs whose wait is over."""
        over: list[WaitingGet] = []
        while self._heap and self._heap[0][0] <= now:
            get = self._heap[0][2]
            self._remove(get)
            over.append(self._answer(get))
        return over

    def _remove(self, get: WaitingGet) -> None:
        place = self._places[get.kind, get.address]
        place.remove(get)
        if not place:
            del self._places[get.kind, get.address]

    def _answer(self, get: WaitingGet) -> WaitingGet:
        get.answered = True
        self._count -= 1
        heap = self._heap
        while heap and heap[0][2].answered:
            heappop(heap)
        self.due = heap[0][0] if heap else None
        return get
