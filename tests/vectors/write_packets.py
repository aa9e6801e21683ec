"""Write packets.json: what docs/spec/packet.md must give, from a fixed rng.

Run as ``python tests/vectors/write_packets.py``. ``draws`` are all the random bytes that a
builder took, in order, so that another implementation can build the same packets.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.packets import build, geometry, keys, surb, unwrap
from shoal_protocol.rng import Rng

PLACE: Final = Path(__file__).with_name("packets.json")
NETWORK: Final = bytes(range(32))  # of no table of parameters
EPOCH: Final = 500_000
CLIENT: Final = bytes(range(16))


@dataclass(frozen=True)
class Relay:
    """A relay with one mix key, which it holds in the clear: vectors are no secrets."""

    id: bytes
    private: bytes

    def keyring(self) -> keys.MixKeyring:
        """Return a keyring that has seen nothing."""
        keyring = keys.MixKeyring(NETWORK)
        keyring.advance(EPOCH, Rng(lambda size: self.private[:size]))
        return keyring

    def hop(self, delay_ms: int) -> keys.Hop:
        """Return this relay as a hop."""
        return keys.Hop(self.id, EPOCH, crypto.x25519_public(self.private), delay_ms)


class Recorder:
    """An rng that remembers what it gave."""

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self.drawn = b""
        self.rng: Final = Rng(self._draw)

    def _draw(self, size: int) -> bytes:
        drawn = self._rng.bytes(size)
        self.drawn += drawn
        return drawn


def body(number: int) -> bytes:
    """Return the body of vector ``number``: one byte, repeated."""
    return bytes((number,)) * geometry.BODY_LENGTH


def walk(packet: bytes, along: Sequence[Relay]) -> tuple[list[dict[str, Any]], bytes]:
    """Return what each hop reads and makes, and the packet that leaves the last one."""
    steps: list[dict[str, Any]] = []
    for relay in along:
        match unwrap.unwrap(packet, relay.keyring()):
            case unwrap.Forward(next_id, delay_ms, packet):
                step = {"command": "forward", "next_id": next_id.hex()}
            case unwrap.ToClient(client_id, delay_ms, packet):
                step = {"command": "client", "next_id": client_id.hex()}
            case unwrap.Exit(delivered, delay_ms):
                step = {"command": "exit", "body_blake2b": crypto.digest(delivered).hex()}
                packet = b""
        onward = {"packet_blake2b": crypto.digest(packet).hex()} if packet else {}
        steps.append({**step, "delay_ms": delay_ms, **onward})
    return steps, packet


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal packet vectors"))
    relays = [Relay(rng.bytes(16), rng.bytes(32)) for _ in range(geometry.MAX_HOPS)]
    forwards: list[dict[str, Any]] = []
    replies: list[dict[str, Any]] = []
    for length in range(1, geometry.MAX_HOPS + 1):
        along = relays[:length]
        delays = [rng.below(1000) for _ in along]
        path = [relay.hop(delay) for relay, delay in zip(along, delays, strict=True)]
        recorder = Recorder(rng)
        packet = build.forward(path, body(length), network=NETWORK, rng=recorder.rng)
        forwards.append(
            {
                "delays_ms": delays,
                "body_byte": length,
                "draws": recorder.drawn.hex(),
                "packet": packet.hex(),
                "steps": walk(packet, along)[0],
            }
        )
        recorder = Recorder(rng)
        block, secret = surb.create(path, CLIENT, network=NETWORK, rng=recorder.rng)
        packet = surb.use(block, body(length))[1]
        steps, arrived = walk(packet, along)
        replies.append(
            {
                "delays_ms": delays,
                "body_byte": length,
                "draws": recorder.drawn.hex(),
                "surb": block.hex(),
                "id": secret.id.hex(),
                "packet_blake2b": crypto.digest(packet).hex(),
                "steps": steps,
                "arrived": arrived.hex(),
            }
        )
    return {
        "network": NETWORK.hex(),
        "epoch": EPOCH,
        "client": CLIENT.hex(),
        "relays": [
            {"id": r.id.hex(), "private": r.private.hex(), "public": r.hop(0).key.hex()}
            for r in relays
        ],
        "forward": forwards,
        "reply": replies,
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n")
