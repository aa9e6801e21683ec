"""tests/vectors/packets.json: building gives these bytes, and unwrapping takes them."""

import json
from typing import Any, Final

import pytest

from shoal_protocol import crypto
from shoal_protocol.packets import build, surb
from shoal_protocol.rng import Rng
from vectors import write_packets

VECTORS: Final[dict[str, Any]] = json.loads(write_packets.PLACE.read_text())
NETWORK: Final = bytes.fromhex(VECTORS["network"])
CLIENT: Final = bytes.fromhex(VECTORS["client"])
RELAYS: Final = [
    write_packets.Relay(bytes.fromhex(relay["id"]), bytes.fromhex(relay["private"]))
    for relay in VECTORS["relays"]
]


class Draws:
    """An rng that gives a vector's draws, and no more."""

    def __init__(self, drawn: str) -> None:
        self.left = bytes.fromhex(drawn)
        self.rng: Final = Rng(self._draw)

    def _draw(self, size: int) -> bytes:
        assert size <= len(self.left)
        drawn, self.left = self.left[:size], self.left[size:]
        return drawn


def test_the_writer_gives_the_file() -> None:
    assert write_packets.make() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["forward"], ids=lambda v: f"{v['body_byte']} hops")
def test_a_forward_vector_is_built_and_unwrapped(vector: dict[str, Any]) -> None:
    along = RELAYS[: len(vector["delays_ms"])]
    path = [r.hop(delay) for r, delay in zip(along, vector["delays_ms"], strict=True)]
    body = write_packets.body(vector["body_byte"])
    draws = Draws(vector["draws"])
    packet = bytes.fromhex(vector["packet"])
    assert build.forward(path, body, network=NETWORK, rng=draws.rng) == packet
    assert draws.left == b""
    steps, _ = write_packets.walk(packet, along)
    assert steps == vector["steps"]
    assert steps[-1]["body_blake2b"] == crypto.digest(body).hex()


@pytest.mark.parametrize("vector", VECTORS["reply"], ids=lambda v: f"{v['body_byte']} hops")
def test_a_reply_vector_is_built_unwrapped_and_opened(vector: dict[str, Any]) -> None:
    along = RELAYS[: len(vector["delays_ms"])]
    path = [r.hop(delay) for r, delay in zip(along, vector["delays_ms"], strict=True)]
    body = write_packets.body(vector["body_byte"])
    draws = Draws(vector["draws"])
    block, secret = surb.create(path, CLIENT, network=NETWORK, rng=draws.rng)
    assert (block.hex(), secret.id.hex(), draws.left) == (vector["surb"], vector["id"], b"")
    _, packet = surb.use(block, body)
    assert crypto.digest(packet).hex() == vector["packet_blake2b"]
    steps, arrived = write_packets.walk(packet, along)
    assert steps == vector["steps"]
    assert arrived.hex() == vector["arrived"]
    assert surb.id_of(arrived) == secret.id
    assert surb.open(secret, arrived) == body


def test_the_relays_keys_of_the_vectors_agree() -> None:
    assert [relay.hop(0).key.hex() for relay in RELAYS] == [
        relay["public"] for relay in VECTORS["relays"]
    ]
