"""tests/vectors/directory.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shoal_protocol import crypto, identity
from shoal_protocol.directory import descriptor as descriptors
from shoal_protocol.directory import frames
from shoal_protocol.directory import lease as leases
from vectors import write_directory

NETWORK: Final = write_directory.NETWORK
VECTORS: Final[dict[str, Any]] = json.loads(write_directory.PLACE.read_text())


def test_building_gives_every_byte_of_the_vectors() -> None:
    assert write_directory.make() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["relays"])
def test_a_vectors_records_are_read(vector: dict[str, Any]) -> None:
    found = descriptors.decode_descriptor(bytes.fromhex(vector["descriptor"]), NETWORK)
    assert list(found.version) == [vector["epoch"], vector["serial"]]
    assert list(found.addresses) == vector["full_addresses"]
    assert [[epoch, key.hex()] for epoch, key in found.mix_keys] == vector["mix_keys"]
    assert found.instance.hex() == vector["instance"]
    assert found.capacity == vector["capacity"]
    assert found.family.hex() == vector["family"]
    assert found.software == vector["software"]
    lease = leases.decode_lease(bytes.fromhex(vector["lease"]), NETWORK)
    assert lease.version == found.version
    assert lease.until == vector["until"]
    assert lease.traffic == vector["traffic"]
    assert lease.relay_id == found.relay_id == bytes.fromhex(vector["relay_id"])


@pytest.mark.parametrize("vector", VECTORS["relays"])
def test_a_vectors_signatures_hold_under_another_library(vector: dict[str, Any]) -> None:
    for label, key in ((b"relay descriptor", "descriptor"), (b"relay lease", "lease")):
        data = bytes.fromhex(vector[key])
        public = data[64:96]
        message = crypto.kdf(label, bytes.fromhex(VECTORS["network"]), data[64:])
        Ed25519PublicKey.from_public_bytes(public).verify(data[:64], message)
        assert identity.relay_id(identity.peer_id(public)).hex() == vector["relay_id"]


@pytest.mark.parametrize("vector", VECTORS["frames"])
def test_a_vectors_frame_is_read_and_written_again(vector: dict[str, str]) -> None:
    data = bytes.fromhex(vector["bytes"])
    frame = frames.CODEC.decode(data)
    assert type(frame).__name__ == vector["frame"]
    assert frames.CODEC.encode(frame) == data
