"""How frames lie on a stream, per protocol; sans-I/O.

::

    /shoal/packet/1      | packet, 3072 |  packet, 3072 | …                 full inbox: drop, count
    /shoal/directory/1   | length, 4 BE | frame | length, 4 BE | frame | …  full inbox: stop reading
    /shoal/dht/1         the same
    /shoal/replica/1     the same
    /shoal/dialback/1    the same, at most 192 bytes a frame

A length above the limit is the peer's fault and ends the channel before anything is allocated
(katzenpost 58d55b880; py-libp2p GHSA-xqvc-92cf-94j4). spec: transport §2
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError

PACKET: Final = "/shoal/packet/1"
DIRECTORY: Final = "/shoal/directory/1"
DHT: Final = "/shoal/dht/1"
REPLICA: Final = "/shoal/replica/1"
DIALBACK: Final = "/shoal/dialback/1"

PACKET_FRAME: Final = 3_072  # bytes, every frame of PACKET; spec: transport §2
MAX_FRAME: Final = 65_536  # bytes, the longest frame of the others; spec: transport §2
DIALBACK_FRAME: Final = 192  # bytes, the longest frame of DIALBACK; spec: dialback §1
PREFIX_LENGTH: Final = 4  # bytes, big-endian length before a frame of the others


@dataclass(frozen=True, slots=True)
class Framing:
    """The shape of one protocol's stream and the bounds of a channel that speaks it.

    ``fixed`` is the length of every frame in bytes, or None for length-prefixed frames of at
    most ``limit`` bytes. ``outbox`` and ``inbox`` count frames. ``lossy`` says what a full inbox
    does: drop and count, or push back.
    """

    protocol: str
    fixed: int | None
    limit: int
    outbox: int
    inbox: int
    lossy: bool

    def check(self, frame: bytes) -> None:
        """Refuse a frame that this protocol can't carry.

        Raises:
            LocalProtocolError: wrong length.
        """
        if self.fixed is not None:
            if len(frame) != self.fixed:
                raise LocalProtocolError(f"a frame of {self.protocol} is {self.fixed} bytes")
        elif len(frame) > self.limit:
            raise LocalProtocolError(f"a frame of {self.protocol} is at most {self.limit} bytes")

    def encode(self, frame: bytes) -> bytes:
        """Return the bytes of one checked frame on the stream."""
        if self.fixed is not None:
            return frame
        return len(frame).to_bytes(PREFIX_LENGTH, "big") + frame

    def size_of(self, frame: bytes) -> int:
        """Return how many bytes the frame takes on the stream."""
        return len(frame) + (0 if self.fixed is not None else PREFIX_LENGTH)


class Decoder:
    """Cuts a stream into frames; holds at most one unfinished frame between calls."""

    __slots__ = ("_buffer", "_framing")

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._buffer = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether the stream stands inside a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take the stream's next bytes and return the frames that they complete.

        Raises:
            RemoteProtocolError: a length above the limit; the decoder is of no use afterwards.
        """
        self._buffer += data
        buffer, position, frames = self._buffer, 0, list[bytes]()
        while True:
            start, length = position, self._framing.fixed
            if length is None:
                start += PREFIX_LENGTH
                if len(buffer) < start:
                    break
                length = int.from_bytes(buffer[position:start], "big")
                if length > self._framing.limit:
                    raise RemoteProtocolError("frame oversized")
            if len(buffer) < start + length:
                break
            position = start + length
            frames.append(bytes(buffer[start:position]))
        del buffer[:position]
        return frames


FRAMINGS: Final = {
    PACKET: Framing(PACKET, PACKET_FRAME, PACKET_FRAME, outbox=128, inbox=128, lossy=True),
    DIRECTORY: Framing(DIRECTORY, None, MAX_FRAME, outbox=16, inbox=16, lossy=False),
    DHT: Framing(DHT, None, MAX_FRAME, outbox=16, inbox=16, lossy=False),
    REPLICA: Framing(REPLICA, None, MAX_FRAME, outbox=16, inbox=16, lossy=False),
    DIALBACK: Framing(DIALBACK, None, DIALBACK_FRAME, outbox=2, inbox=2, lossy=False),
}


def framing_of(protocol: str) -> Framing:
    """Return the framing of a protocol identifier.

    Raises:
        LocalProtocolError: nobody defined it.
    """
    try:
        return FRAMINGS[protocol]
    except KeyError:
        raise LocalProtocolError(f"no framing is defined for {protocol}") from None
