"""The sender's side: a header over a path, and a forward packet; spec: packet §3.

::

    path  G ── A ── B ── S          slots, outermost first
    G reads │ A │ B │ S │ pad │     pad: random, so that S cannot count the hops behind it
    A reads │ B │ S │ pad │ fill │  fill: what G's key stream left behind
    …

Each hop gets a fresh ephemeral key: its public half is the hop's KEM ciphertext. Built from
the last hop to the first, since each slot holds the next header's MAC (Sphinx §3.3). Unused
slots are random and not zero: Kuhn, Beck and Strufe, "Breaking and (partially) fixing
provably secure onion routing" (2020), §IV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.packets import keys, lioness
from shoal_protocol.packets.geometry import (
    BODY_LENGTH,
    GEOMETRY,
    MAX_HOPS,
    PAYLOAD_TAG,
    VERSION,
    Command,
)
from shoal_protocol.packets.keys import Hop
from shoal_protocol.rng import Rng

_SLOT: Final = GEOMETRY.slot
_SLOTS: Final = GEOMETRY.slots
_STREAM: Final = GEOMETRY.stream
_REST_OF_SLOT: Final = GEOMETRY.relay_id + GEOMETRY.mac + GEOMETRY.ciphertext


@dataclass(frozen=True, slots=True)
class Header:
    """A finished header (416 bytes) and each hop's LIONESS key, first hop first."""

    head: bytes
    payload_keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "Header(…)"


def clear(epoch: int) -> bytes:
    """Return the 8 clear bytes of a packet under the mix key of ``epoch``."""
    return bytes((VERSION, keys.index_of(epoch))) + bytes(GEOMETRY.clear - 2)


def mac(key: bytes, clear_bytes: bytes, ciphertext: bytes, slots: bytes) -> bytes:
    """Return the 16-byte MAC of a header."""
    return crypto.digest(clear_bytes + ciphertext + slots, size=GEOMETRY.mac, key=key)


def routing(command: Command, index: int, delay_ms: int) -> bytes:
    """Return the first 8 bytes of a slot."""
    return bytes((command, index)) + delay_ms.to_bytes(2, "big") + bytes(4)


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def header(path: Sequence[Hop], last_slot: bytes, *, network: bytes, rng: Rng) -> Header:
    """Build the header over ``path``.

    Args:
        path: 1 to 5 hops, the first one's neighbour being the sender.
        last_slot: 72 bytes for the last hop, from :func:`routing` on.
        network: 32 bytes, the hash of the network's parameters.
        rng: gives the ephemeral keys, in order of the path, then the unused slots.

    Raises LocalProtocolError on a path of another length, RemoteProtocolError("low-order
    point") on a mix key that no honest relay has.
    """
    if not 1 <= len(path) <= MAX_HOPS:
        raise LocalProtocolError("a path has 1 to 5 hops")
    ciphertexts: list[bytes] = []
    derived: list[bytes] = []
    for hop in path:
        ephemeral = rng.bytes(crypto.KEY_LENGTH)
        ciphertext = crypto.x25519_public(ephemeral)
        ciphertexts.append(ciphertext)
        dh = crypto.x25519(ephemeral, hop.key)
        derived.append(keys.derive(dh, ciphertext, keys.binding(hop.key, hop.epoch, network)))
    streams = [stream[keys.SLOTS_STREAM] for stream in derived]

    filler = b""
    for stream in streams[:-1]:
        filler = _xor(filler + bytes(_SLOT), stream[_SLOTS - len(filler) :])
    padding = rng.bytes((MAX_HOPS - len(path)) * _SLOT)
    inner = last_slot + padding
    slots = _xor(inner, streams[-1][: len(inner)]) + filler
    for i in range(len(path) - 1, 0, -1):
        tag = mac(derived[i][keys.MAC_KEY], clear(path[i].epoch), ciphertexts[i], slots)
        index = keys.index_of(path[i].epoch)
        slot = routing(Command.FORWARD, index, path[i - 1].delay_ms) + path[i].id + tag
        inner = slot + ciphertexts[i] + slots[:-_SLOT]
        slots = _xor(inner, streams[i - 1][:_SLOTS])
    first = clear(path[0].epoch)
    tag = mac(derived[0][keys.MAC_KEY], first, ciphertexts[0], slots)
    return Header(
        first + ciphertexts[0] + tag + slots,
        tuple(stream[keys.LIONESS_KEY] for stream in derived),
    )


def forward(path: Sequence[Hop], body: bytes, *, network: bytes, rng: Rng) -> bytes:
    """Return a packet for ``path[0]`` whose last hop gets ``body`` for its services.

    Args:
        path: 1 to 5 hops; the last is the relay asked.
        body: exactly 2,640 bytes.
        network: 32 bytes, the hash of the network's parameters.
        rng: the source of everything random in the packet.

    Raises LocalProtocolError on other lengths, RemoteProtocolError("low-order point") on a
    mix key that no honest relay has.
    """
    if len(body) != BODY_LENGTH:
        raise LocalProtocolError("a packet's body has 2,640 bytes")
    if not path:
        raise LocalProtocolError("a path has 1 to 5 hops")
    last_slot = routing(Command.EXIT, 0, path[-1].delay_ms) + rng.bytes(_REST_OF_SLOT)
    built = header(path, last_slot, network=network, rng=rng)
    payload = PAYLOAD_TAG + body
    for key in reversed(built.payload_keys):
        payload = lioness.encrypt(key, payload)
    return built.head + payload
