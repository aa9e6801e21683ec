"""tests/vectors/streams.json: building gives these bytes, and readers and storers take them."""

import json
from typing import Any, Final

import pytest

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import ReadCapability, WriteCapability
from vectors import write_streams

NETWORK: Final = write_streams.NETWORK
VECTORS: Final[dict[str, Any]] = json.loads(write_streams.PLACE.read_text())


def reader() -> ReadCapability:
    """Return the vectors' read capability."""
    return ReadCapability.parse(bytes.fromhex(VECTORS["read_capability"]), NETWORK)


def test_building_gives_every_byte_of_the_vectors() -> None:
    assert write_streams.make() == VECTORS


def test_the_vectors_capabilities_are_parsed_to_the_same_bytes() -> None:
    assert reader().pack().hex() == VECTORS["read_capability"]
    for name in (VECTORS["write_capability"], VECTORS["fresh"]["write_capability"]):
        assert WriteCapability.load(bytes.fromhex(name), NETWORK).dump().hex() == name


def test_the_vectors_boxes_are_kept_by_storers_and_opened_by_readers() -> None:
    for item in VECTORS["boxes"]:
        record, day = bytes.fromhex(item["record"]), item["day"]
        address = bytes.fromhex(item["address"])
        assert box.check(record, day, NETWORK) == box.BoxHeader(address, day, tombstone=False)
        place = reader().at(item["index"])
        assert place.address(day) == address
        assert place.open(record, day).hex() == item["plaintext"]


def test_the_vectors_boxes_follow_from_the_specs_steps() -> None:
    """With no call into the module under test but for blinding, which has its own vectors."""
    public = bytes.fromhex(VECTORS["read_capability"])[:32]
    root, label = bytes.fromhex(VECTORS["root"]), bytes.fromhex(VECTORS["label"])
    chains = [crypto.kdf(b"stream chain", root, label, NETWORK)]
    seed = crypto.kdf(b"stream seed", root, label, NETWORK)
    assert crypto.ed25519_public(seed) == public
    for _ in range(max(item["index"] for item in VECTORS["boxes"])):
        chains.append(crypto.kdf(b"box chain", chains[-1]))
    for item in VECTORS["boxes"]:
        record, chain = bytes.fromhex(item["record"]), chains[item["index"]]
        day = item["day"].to_bytes(4, "big")
        assert chain.hex() == item["chain_key"]
        name = b"box" + crypto.kdf(b"box label", chain)
        address = blinding.blind_public(public, name, item["day"], network=NETWORK)
        assert record[:32] == address
        message = crypto.kdf(b"box", NETWORK, address, day + b"\0", crypto.digest(record[104:]))
        crypto.ed25519_verify(address, message, record[32:96])
        key = crypto.kdf(b"box key", chain, public, day, NETWORK)
        plaintext = crypto.aead_open(key, bytes(12), record[104:], address + day + b"\0")
        assert plaintext.hex() == item["plaintext"]


def test_the_vectors_tombstone_takes_the_place_of_its_box() -> None:
    item = VECTORS["tombstone"]
    record = bytes.fromhex(item["record"])
    assert box.check(record, item["day"], NETWORK).tombstone
    assert record[:32].hex() == VECTORS["boxes"][1]["address"]
    with pytest.raises(RemoteProtocolError, match="tombstone"):
        reader().at(item["index"]).open(record, item["day"])


def test_the_vectors_changed_boxes_are_refused_for_the_reasons_given() -> None:
    for item in VECTORS["refused"]:
        record = bytearray.fromhex(VECTORS["boxes"][0]["record"])
        offset, value = item["change"]
        record[offset] = value
        with pytest.raises(RemoteProtocolError) as caught:
            box.check(bytes(record), write_streams.DAY, NETWORK)
        assert caught.value.reason == item["reason"]
