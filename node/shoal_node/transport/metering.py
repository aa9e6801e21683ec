"""What a node's traffic weighs on its line: bytes at the sockets, and what TCP and IP add.

::

    Socket.read, Socket.write: n bytes ─► Meter.received, Meter.sent += on_the_wire(n)
    n = frames + their lengths + yamux + Noise;  added: headers of ⌈n / SEGMENT⌉ segments, and acks

A provider bills datagrams, and a program sees streams. So each read and write counts as full
segments under IPv6 with time stamps, acknowledged one by two: more than IPv4 or larger segments
cost. Datagrams that never become a connection (scans, handshakes that nobody finishes) and what
is sent twice for losses are not seen.
"""

from dataclasses import dataclass
from typing import Final

SEGMENT: Final = 1_380  # bytes of a stream in a segment: Ethernet, with room for a tunnel
HEADER: Final = 72  # bytes: IPv6 40, TCP 20, its time stamps 12
CONNECTION: Final = 10 * HEADER  # opening, closing, and a few segments without data
_SEGMENT_COST: Final = HEADER + HEADER // 2  # a header, and half an acknowledgement


def on_the_wire(length: int) -> int:
    """Return what ``length`` bytes of a stream, written or read at once, weigh on the line."""
    return length + -(-length // SEGMENT) * _SEGMENT_COST


@dataclass(slots=True)
class Meter:
    """Bytes of one transport since it started, both as they weigh on the line."""

    received: int = 0
    sent: int = 0

    def connected(self) -> None:
        """Count a connection's beginning and end."""
        self.sent += CONNECTION

    def read(self, length: int) -> None:
        """Count what came from a socket at once."""
        self.received += on_the_wire(length)

    def wrote(self, length: int) -> None:
        """Count what went to a socket at once."""
        self.sent += on_the_wire(length)

    @property
    def moved(self) -> int:
        """Both directions."""
        return self.received + self.sent
