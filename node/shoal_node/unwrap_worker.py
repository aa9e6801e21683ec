"""Opens a relay's packets on another core: a process that remembers nothing of them.

::

    python -P -m shoal_node.unwrap_worker         stdin: a socket, and nothing else is open
    socket ─► records (unwrap_records.py) ─► Opener ─► replies ─► socket
                                             └─ mix keys, in memory alone, while the relay has them

It has no replay filter, no pool, no clock and no random source; what it tells is what any
process with the key would. It writes no file and no log, leaves no core dump, and ends when the
socket does: also when the relay was killed. Ctrl-C and signals that a terminal or a service
manager sends to the whole group are the relay's business. spec: mix §5
"""

import contextlib
import signal
import socket
import sys
from typing import Final

from shoal_node import undumped
from shoal_node.unwrap_records import (
    HEAD,
    READY,
    Kind,
    length_of,
    open_packet,
    read_key,
)
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.packets.geometry import PACKET_LENGTH
from shoal_protocol.packets.keys import OpeningKey

READ_SIZE: Final = 262_144  # bytes asked of the socket at once
_IGNORED: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_LIMITS: Final = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_NOFILE": 8, "RLIMIT_NPROC": 0}


class Opener:
    """What a worker does, without its socket."""

    def __init__(self) -> None:
        self.keys: Final[dict[int, OpeningKey]] = {}
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take the relay's next bytes; return the replies to the packets that they complete.

        Raises:
            LocalProtocolError: these are no records.
        """
        buffer, start, replies = self._buffer, 0, list[bytes]()
        buffer += data
        while len(buffer) - start >= HEAD.size:
            end = start + length_of(buffer[start : start + HEAD.size])
            if len(buffer) < end:
                break
            replies += self._do(start, end)
            start = end
        del buffer[:start]
        return b"".join(replies)

    def _do(self, start: int, end: int) -> list[bytes]:
        kind, index, _ = HEAD.unpack_from(self._buffer, start)
        body = start + HEAD.size
        if kind == Kind.OPEN:
            cuts = range(body, end, PACKET_LENGTH)
            with memoryview(self._buffer) as view:
                return [open_packet(bytes(view[at : at + PACKET_LENGTH]), self.keys) for at in cuts]
        self.keys.pop(index, None)  # the cipher library wipes it with its last reference
        if kind == Kind.KEY:
            self.keys[index] = read_key(self._buffer, body)
            self._buffer[body:end] = bytes(end - body)
        return []


def limit_itself() -> None:
    """Take from this process what opening packets doesn't need."""
    for name in _IGNORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(ImportError):
        import resource  # Windows has none

        for name, most in _LIMITS.items():
            with contextlib.suppress(AttributeError, ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (most, most))
    with contextlib.suppress(MemoryError):  # ctypes, where memory may not be made executable
        undumped.protect()


def serve(link: socket.socket) -> None:
    """Answer until the relay closes its end, or is gone."""
    opener, buffer = Opener(), bytearray(READ_SIZE)
    view = memoryview(buffer)
    link.sendall(READY)
    while size := link.recv_into(buffer):
        replies = opener.feed(view[:size])
        view[:size] = bytes(size)
        if replies:
            link.sendall(replies)


def main() -> int:
    """Be the process."""
    limit_itself()
    try:
        serve(socket.socket(fileno=sys.stdin.fileno()))
    except (OSError, LocalProtocolError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
