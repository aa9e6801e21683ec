"""The layout of a packet, in bytes, as one value; spec: packet §1.

::

    packet 3072 ─┬─ header 416 ─┬─ clear 8: version 1, mix-key index 1, zero 6
                 │              ├─ KEM ciphertext 32: an ephemeral X25519 public key
                 │              ├─ MAC 16
                 │              └─ 5 slots × 72, encrypted once a hop
                 └─ payload 2656 ── zero tag 16 ‖ body 2640, under a wide-block cipher

    slot 72 ── command 1, next key index 1, delay ms 2, zero 4 | next id 16 | MAC 16 | KEM 32

    SURB 464 ── first hop's id 16 | payload key 32 | header 416

The hop that reads a slot shifts the rest up and fills the end with its key stream, so
that the number of slots says nothing. Sphinx: Danezis and Goldberg 2009, §3.
"""

import enum
from dataclasses import dataclass
from typing import Final

from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.errors import LocalProtocolError


@dataclass(frozen=True, slots=True)
class Geometry:
    """Lengths in bytes; the sums are properties. Raises LocalProtocolError if they disagree."""

    packet: int = 3072
    surb: int = 464
    hops: int = 5
    clear: int = 8
    ciphertext: int = 32
    mac: int = 16
    routing: int = 8
    relay_id: int = RELAY_ID_LENGTH
    payload_tag: int = 16
    payload_key: int = 32

    def __post_init__(self) -> None:
        """Check that the parts fill the whole."""
        if self.header + self.payload != self.packet or self.body <= 0:
            raise LocalProtocolError("header and payload do not fill the packet")
        if self.surb != self.relay_id + self.payload_key + self.header:
            raise LocalProtocolError("the parts of a SURB do not fill it")

    @property
    def slot(self) -> int:
        """One hop's routing information."""
        return self.routing + self.relay_id + self.mac + self.ciphertext

    @property
    def slots(self) -> int:
        """All slots."""
        return self.hops * self.slot

    @property
    def stream(self) -> int:
        """The key stream over the slots and the one that moves in behind them."""
        return self.slots + self.slot

    @property
    def header(self) -> int:
        """Everything before the payload."""
        return self.clear + self.ciphertext + self.mac + self.slots

    @property
    def payload(self) -> int:
        """Zero tag and body."""
        return self.packet - self.header

    @property
    def body(self) -> int:
        """What a sender may fill."""
        return self.payload - self.payload_tag

    @property
    def surb_id(self) -> int:
        """What the client knows a reply by: the KEM ciphertext and MAC fields."""
        return self.ciphertext + self.mac


GEOMETRY: Final = Geometry()

VERSION: Final = 1  # the first byte of every packet
MAX_HOPS: Final = GEOMETRY.hops
MAX_DELAY_MS: Final = 2**16 - 1  # what the field can say; networks allow less
PACKET_LENGTH: Final = GEOMETRY.packet
HEADER_LENGTH: Final = GEOMETRY.header
BODY_LENGTH: Final = GEOMETRY.body
SURB_LENGTH: Final = GEOMETRY.surb
SURB_ID_LENGTH: Final = GEOMETRY.surb_id
PAYLOAD_TAG: Final = bytes(GEOMETRY.payload_tag)


class Command(enum.IntEnum):
    """The first byte of a slot. Zero is none, so that a slot of zeros is refused."""

    FORWARD = 1  # to the relay of that id
    EXIT = 2  # here: the payload is for this relay's services
    CLIENT = 3  # to the connected client of that id, a reply along its SURB
