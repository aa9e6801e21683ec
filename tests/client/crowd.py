"""Relays that only the directory knows: descriptors made without keys or signatures."""

from dataclasses import replace
from typing import Final

from shoal_protocol import clock
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.parameters import LAB
from shoal_protocol.rng import Rng
from support import START

EPOCH: Final = clock.index_of(START, LAB.epoch_s)
WIDE: Final = replace(LAB, distinct_subnets=True)  # a lab whose paths keep to distinct subnets


def relay(
    rng: Rng, *addresses: str, family: bytes = b"", epochs: tuple[int, ...] = (EPOCH,)
) -> Descriptor:
    """Return a relay at ``addresses``, /ip4/127.0.0.1 without any."""
    return Descriptor(
        public_key=rng.bytes(32),
        epoch=EPOCH,
        serial=0,
        addresses=addresses or ("/ip4/127.0.0.1/tcp/4001/p2p/x",),
        mix_keys=tuple((epoch, rng.bytes(32)) for epoch in epochs),
        instance=rng.bytes(16),
        capacity=0,
        family=family,
        software="",
        nonce=bytes(8),
        signature=bytes(64),
        data=b"",
    )


def crowd(rng: Rng, count: int) -> list[Descriptor]:
    """Return relays all at one address."""
    return [relay(rng) for _ in range(count)]


def spread(rng: Rng, count: int) -> list[Descriptor]:
    """Return relays of which each has its own /16."""
    return [relay(rng, f"/ip4/20.{number}.0.1/tcp/4001/p2p/x") for number in range(count)]
