"""Starts an unwrapping worker and holds the relay's end of its socket.

::

    relay ── socketpair ── stdin of `python -P -m shoal_node.unwrap_worker`
      │ write: into the socket at once; what it has no room for is written by ``flush``
      └ the end of ``started``: the socket is closed, and the worker ends; killed after 1 s

A new program, not a fork: nothing of the relay's memory or open files is in it but what comes
through the socket. Only the relay holds the other end, so that the worker reads its end when the
relay is gone, however it went.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import trio

COMMAND: Final = (sys.executable, "-P", "-m", "shoal_node.unwrap_worker")
BUFFER: Final = 2**19  # bytes asked of the system for each direction; two batches and more
READ_SIZE: Final = 99_456  # bytes: 32 replies, and below what malloc maps anew each time
END_S: Final = 1.0  # for a worker's end once its socket is closed

AUTO: Final = "auto"
MOST_BY_ITSELF: Final = 2  # workers; two open packets faster than the relay moves them
MOST: Final = 16

Sendable = bytes | bytearray


def workers_of(choice: str, network: str) -> int:
    """Return how many workers a relay starts.

    Args:
        choice: "auto" or a number, 0 to :data:`MOST`.
        network: by its name; in one of a lab many relays share the machine.

    Raises:
        ValueError: ``choice`` is neither, or asks for workers where there can be none.
    """
    possible = os.name == "posix"
    if choice == AUTO:
        if not possible or network != "main":
            return 0
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
        return min(cores - 1, MOST_BY_ITSELF)
    if not (choice.isascii() and choice.isdigit() and int(choice[:9]) <= MOST):
        raise ValueError(f'it is "auto" or a whole number, 0 to {MOST}')
    if choice.strip("0") and not possible:
        raise ValueError("this platform has none; write 0")
    return int(choice)


class SocketLink:
    """The relay's end of a worker's socket.

    Args:
        end: connected; set not to block.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self._end = end
        self._backlog: deque[memoryview] = deque()
        self._backlogged = trio.Event()

    def write(self, data: Sendable) -> None:
        """Write or queue ``data``; a bytearray is overwritten with zeros once it is written.

        Raises OSError: the worker is gone.
        """
        self._backlog.append(memoryview(data))
        self._send()
        if self._backlog:
            self._backlogged.set()

    async def read(self) -> bytes:
        """Return what comes next, b"" at the end; raises OSError."""
        await trio.lowlevel.wait_readable(self._end.fileno())
        return self._end.recv(READ_SIZE)

    async def flush(self) -> None:
        """Write what had to be queued, until cancelled; raises OSError."""
        while True:
            if self._backlog:
                await trio.lowlevel.wait_writable(self._end.fileno())
                self._send()
            else:
                self._backlogged = trio.Event()
                await self._backlogged.wait()

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._backlog:
                rest = self._backlog[0]
                sent = self._end.send(rest)
                if not rest.readonly:
                    rest[:sent] = bytes(sent)
                if sent == len(rest):
                    self._backlog.popleft()
                else:
                    self._backlog[0] = rest[sent:]


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[SocketLink]:
    """Start a worker; it has ended when the context is left.

    Raises:
        OSError: no process can be started.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await trio.lowlevel.open_process(
                COMMAND, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        try:
            yield SocketLink(ours)
        finally:
            ours.close()
            with trio.CancelScope(shield=True):
                with trio.move_on_after(END_S):
                    await process.wait()
                process.kill()
                await process.wait()
