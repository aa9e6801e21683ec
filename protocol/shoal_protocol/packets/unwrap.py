"""One hop: take a packet off its outermost layer; spec: packet §4.

::

    length ─ version, reserved ─ key index ─ KEM ─ MAC ─ slot ─ replay tag ─ payload
       └──────────────── any refusal: RemoteProtocolError, nothing changed ──┘      │
                                     ┌───────────────────────────┬──────────────────┤
                                  Forward                     ToClient            Exit

The tag is stored once the MAC holds and the slot makes sense, before the payload is
touched: a packet whose payload fails at its exit is as used up as any other, and draws
silence. Sphinx §3.6; a KEM per hop as in Katzenpost's KEM Sphinx.

A relay with processes for unwrapping does the same in three places, each function once::

    relay: check ──► any process with the key: open_checked ──► relay: accept (replay tag)
"""

from typing import Final

from shoal_protocol.crypto import blake2b, equal
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets import keys, lioness
from shoal_protocol.packets.geometry import (
    GEOMETRY,
    HEADER_LENGTH,
    PACKET_LENGTH,
    PAYLOAD_TAG,
    VERSION,
    Command,
)
from shoal_protocol.values import value

_CLEARS: Final = tuple(bytes((VERSION, index)) + bytes(6) for index in range(256))
_RESERVED_CLEAR: Final = bytes(6)
_RESERVED_SLOT: Final = bytes(4)
_MAC_START: Final = GEOMETRY.clear + GEOMETRY.ciphertext
_SLOTS_START: Final = _MAC_START + GEOMETRY.mac
_STREAM: Final = GEOMETRY.stream
_FORWARD: Final = int(Command.FORWARD)
_EXIT: Final = int(Command.EXIT)
_CLIENT: Final = int(Command.CLIENT)


@value
class Forward:
    """Send ``packet`` (3,072 bytes) to the relay ``next_id`` after ``delay_ms``."""

    next_id: bytes
    delay_ms: int
    packet: bytes


@value
class Exit:
    """Hand ``body`` (2,640 bytes) to this relay's services after ``delay_ms``."""

    body: bytes
    delay_ms: int


@value
class ToClient:
    """Send ``packet`` (3,072 bytes) to the connected client ``client_id`` after ``delay_ms``."""

    client_id: bytes
    delay_ms: int
    packet: bytes


Unwrapped = Forward | Exit | ToClient


@value
class Opened:
    """What a key alone tells of a packet: nothing that the relay remembers has been asked.

    Args:
        tag: 16 bytes, the replay tag.
        asks: what the packet asks of this hop; None when its payload's tag is wrong.
    """

    tag: bytes
    asks: Unwrapped | None


def unwrap(packet: bytes, keyring: keys.MixKeyring) -> Unwrapped:
    """Return what ``packet`` asks of this hop; store its replay tag in ``keyring``.

    Args:
        packet: as it came from a peer, any bytes.
        keyring: this relay's mix keys.

    Raises RemoteProtocolError with one of "packet length", "packet version", "reserved
    bytes", "mix key index", "kem ciphertext", "low-order point", "packet mac", "packet
    command", "replay", "replay filter full", "payload tag". Only the last leaves a trace:
    the packet's replay tag.
    """
    key = check(packet, keyring)
    stream, slot = _open_header(packet, key)
    key.replay_filter.add(stream[keys.REPLAY_TAG])
    return _open_payload(packet, stream, slot)


def check(packet: bytes, keyring: keys.MixKeyring) -> keys.MixKey:
    """Return the key that ``packet`` is for: all that can be refused without a multiplication.

    Raises RemoteProtocolError: "packet length", "packet version", "reserved bytes", "mix key
    index", "kem ciphertext".
    """
    if len(packet) != PACKET_LENGTH:
        raise RemoteProtocolError("packet length")
    if packet[0] != VERSION:
        raise RemoteProtocolError("packet version")
    if packet[2:8] != _RESERVED_CLEAR:
        raise RemoteProtocolError("reserved bytes")
    key = keyring.find(packet[1])
    if key is None:
        raise RemoteProtocolError("mix key index")
    if packet[39] & 0x80:  # the ciphertext's top bit, which X25519 would ignore
        raise RemoteProtocolError("kem ciphertext")
    return key


def open_checked(packet: bytes, key: keys.OpeningKey) -> Opened:
    """Do for a packet that :func:`check` let through what needs no memory.

    Any process that has the key can do it; :func:`accept` comes after it, where the relay
    remembers.

    Raises RemoteProtocolError: "low-order point", "packet mac", "reserved bytes", "packet
    command".
    """
    stream, slot = _open_header(packet, key)
    try:
        return Opened(stream[keys.REPLAY_TAG], _open_payload(packet, stream, slot))
    except RemoteProtocolError:  # is told only to who has not seen the packet before
        return Opened(stream[keys.REPLAY_TAG], None)


def accept(opened: Opened, key: keys.MixKey) -> Unwrapped:
    """Return what an opened packet asks, and store its replay tag: the end of :func:`unwrap`.

    Raises RemoteProtocolError: "replay", "replay filter full", "payload tag".
    """
    key.replay_filter.add(opened.tag)
    if opened.asks is None:
        raise RemoteProtocolError("payload tag")
    return opened.asks


def _open_header(packet: bytes, key: keys.OpeningKey) -> tuple[bytes, bytes]:
    """Return the key stream, and this hop's slot with the next header's slots behind it."""
    ciphertext = packet[8:40]
    stream = keys.derive(key.agree(ciphertext), ciphertext, key.binding)
    slots = packet[_SLOTS_START:HEADER_LENGTH]
    mac = blake2b(packet[:_MAC_START] + slots, digest_size=16, key=stream[:32]).digest()
    if not equal(mac, packet[_MAC_START:_SLOTS_START]):
        raise RemoteProtocolError("packet mac")

    # Little-endian, so that the zeros which move in behind the slots need no bytes.
    opened = (
        int.from_bytes(slots, "little") ^ int.from_bytes(stream[keys.SLOTS_STREAM], "little")
    ).to_bytes(_STREAM, "little")
    command = opened[0]
    if opened[4:8] != _RESERVED_SLOT:
        raise RemoteProtocolError("reserved bytes")
    if not _FORWARD <= command <= _CLIENT or (command == _EXIT and opened[1]):
        raise RemoteProtocolError("packet command")
    return stream, opened


def _open_payload(packet: bytes, stream: bytes, slot: bytes) -> Unwrapped:
    """Decrypt the payload; raises RemoteProtocolError("payload tag")."""
    payload = lioness.decrypt(stream[keys.LIONESS_KEY], packet[HEADER_LENGTH:])
    command, delay_ms = slot[0], slot[2] << 8 | slot[3]
    if command == _EXIT:
        if not equal(payload[:16], PAYLOAD_TAG):
            raise RemoteProtocolError("payload tag")
        return Exit(payload[16:], delay_ms)
    clear = _CLEARS[slot[1]]
    onward = b"".join((clear, slot[40:72], slot[24:40], slot[72:], payload))
    if command == _FORWARD:
        return Forward(slot[8:24], delay_ms, onward)
    return ToClient(slot[8:24], delay_ms, onward)
