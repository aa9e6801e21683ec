"""A handful of relays with mix keys, paths over them, and walks along those paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shoal_protocol import parameters
from shoal_protocol.clock import index_of
from shoal_protocol.packets import keys, unwrap
from shoal_protocol.rng import Rng
from support import START

NETWORK: Final = parameters.LAB.hash
EPOCH: Final = index_of(START, parameters.LAB.epoch_s)
CLIENT: Final = b"a client's own id"[:16]


@dataclass(frozen=True)
class Relay:
    """A relay's id and keyring."""

    id: bytes
    keyring: keys.MixKeyring

    def hop(self, delay_ms: int = 0, epoch: int = EPOCH) -> keys.Hop:
        """Return this relay as a hop of a path."""
        return keys.Hop(self.id, epoch, dict(self.keyring.public())[epoch], delay_ms)

    def key(self, epoch: int = EPOCH) -> keys.MixKey:
        """Return the mix key of ``epoch``."""
        key = self.keyring.find(keys.index_of(epoch))
        assert key is not None
        return key


def relays(count: int, rng: Rng, epoch: int = EPOCH) -> list[Relay]:
    """Return ``count`` relays at ``epoch``."""
    made = [Relay(rng.bytes(16), keys.MixKeyring(NETWORK)) for _ in range(count)]
    for relay in made:
        relay.keyring.advance(epoch, rng)
    return made


def walk(packet: bytes, along: Sequence[Relay]) -> list[unwrap.Unwrapped]:
    """Return what each relay makes of the packet that the one before it sends on."""
    seen: list[unwrap.Unwrapped] = []
    for relay in along:
        seen.append(unwrap.unwrap(packet, relay.keyring))
        if not isinstance(seen[-1], unwrap.Exit):
            packet = seen[-1].packet
    return seen


def flipped(data: bytes, bit: int) -> bytes:
    """Return ``data`` with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
