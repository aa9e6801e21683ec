"""Events to local subscribers: a bounded ring to resume from, a bounded buffer for each.

::

    publish ──> ring of the last 1,024 ──> subscribe(since) replays, then follows
           └──> buffer of each subscriber; a full one is dropped, and told so by its end

Sequence numbers begin at the microsecond in which the node started, so that a number from
an earlier run always lies before the ring and is answered by "gone", never by a silent
gap. They stay below 2^53, so that JavaScript keeps them exact.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import trio

from shoal_protocol.clock import SECOND

T = TypeVar("T")

RING_LENGTH: Final = 1024  # events
BUFFER_LENGTH: Final = 256  # events for one subscriber
MAX_SUBSCRIBERS: Final = 32

_MICROSECOND: Final = SECOND // 1_000_000  # ns


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """``data`` and its place in this node's sequence of events."""

    seq: int
    data: T


class NotKept(Exception):
    """``since`` lies before the ring or after the newest event: read everything anew."""


class TooManySubscribers(Exception):
    """:data:`MAX_SUBSCRIBERS` follow already."""


class Hub(Generic[T]):
    """Publishes events to any number of followers up to :data:`MAX_SUBSCRIBERS`.

    Args:
        now: the time at which the node starts, in ns.
    """

    def __init__(self, now: int) -> None:
        self._ring: deque[Event[T]] = deque(maxlen=RING_LENGTH)
        self._last = now // _MICROSECOND
        self._followers: dict[trio.MemorySendChannel[Event[T]], None] = {}
        self.dropped = 0  # subscribers that were too slow

    @property
    def last(self) -> int:
        """The sequence number of the newest event, or the one before the first."""
        return self._last

    def publish(self, data: T) -> Event[T]:
        """Give ``data`` the next number, keep it in the ring, hand it to every subscriber.

        Never waits: a subscriber whose buffer is full is dropped and counted.
        """
        self._last += 1
        event = Event(self._last, data)
        self._ring.append(event)
        for follower in tuple(self._followers):
            try:
                follower.send_nowait(event)
            except trio.WouldBlock:
                self.dropped += 1
                self._forget(follower)
        return event

    def forget(self, matches: Callable[[T], bool]) -> None:
        """Drop the events that match from the ring: nobody who resumes gets them any more."""
        kept = [event for event in self._ring if not matches(event.data)]
        if len(kept) < len(self._ring):
            self._ring = deque(kept, maxlen=RING_LENGTH)

    def amend(self, amended: Callable[[T], T]) -> None:
        """Keep what ``amended`` makes of each event of the ring, under the same number."""
        self._ring = deque(
            (Event(event.seq, amended(event.data)) for event in self._ring), maxlen=RING_LENGTH
        )

    def _forget(self, follower: trio.MemorySendChannel[Event[T]]) -> None:
        self._followers.pop(follower, None)
        follower.close()

    @asynccontextmanager
    async def subscribe(self, since: int | None = None) -> AsyncIterator[AsyncIterator[Event[T]]]:
        """Follow the events after ``since``, or after now; the iterator ends when too slow.

        Raises NotKept when events after ``since`` are no longer in the ring, and
        TooManySubscribers.
        """
        if since is None:
            since = self._last
        oldest = self._ring[0].seq if self._ring else self._last + 1
        if not oldest - 1 <= since <= self._last:
            raise NotKept
        if len(self._followers) >= MAX_SUBSCRIBERS:
            raise TooManySubscribers
        kept = [event for event in self._ring if event.seq > since]
        send, receive = trio.open_memory_channel[Event[T]](BUFFER_LENGTH)
        self._followers[send] = None

        async def follow() -> AsyncGenerator[Event[T], None]:
            for event in kept:
                yield event
            async for event in receive:
                yield event

        iterator = follow()
        try:
            yield iterator
        finally:
            self._forget(send)
            receive.close()
            await iterator.aclose()
