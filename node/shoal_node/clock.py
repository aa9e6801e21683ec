"""The node's clock: ``now`` in nanoseconds since the Unix epoch, which never runs backward.

::

    now = wall clock at the start + what trio's clock has counted since

The wall clock is read once: later steps of it (a user, a bad time server, a leap second) move
nothing inside a running node, and under trio's test clocks the node runs in virtual time. The
price is that a machine's sleep may not be counted (Linux: CLOCK_MONOTONIC stands still); a node
that wakes up behind its peers by an epoch finds nobody and must be started anew.
"""

import time

import trio

from shoal_protocol.clock import seconds


class NodeClock:
    """Time for the machines of one node; make it inside ``trio.run``.

    Args:
        start: nanoseconds since the Unix epoch to count from; the wall clock when None.
    """

    __slots__ = ("_last", "_origin", "_start")

    def __init__(self, start: int | None = None) -> None:
        self._start = time.time_ns() if start is None else start
        self._origin = trio.current_time()
        self._last = self._start

    def now(self) -> int:
        """Return the time in ns since the Unix epoch, never less than the call before did."""
        self._last = max(self._last, self._start + seconds(trio.current_time() - self._origin))
        return self._last

    async def sleep_until(self, deadline: int) -> None:
        """Sleep until ``now()`` has reached ``deadline`` (ns); at once if it has passed.

        A float of seconds may fall short by some ns; a driver asks its machine again anyway.
        """
        await trio.sleep(max(0, deadline - self.now()) / 1e9)
