"""tests/vectors/replication.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

import pytest

from shoal_protocol.parameters import LAB
from shoal_protocol.service import placement, replica_frames
from vectors import write_replication

VECTORS: Final[dict[str, Any]] = json.loads(write_replication.PLACE.read_text())


def test_building_gives_every_byte_of_the_replication_vectors() -> None:
    assert write_replication.make() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["frames"])
def test_a_vectors_replica_frame_is_read_and_written_again(vector: dict[str, str]) -> None:
    data = bytes.fromhex(vector["bytes"])
    frame = replica_frames.CODEC.decode(data)
    assert type(frame).__name__ == vector["frame"]
    assert replica_frames.CODEC.encode(frame) == data


@pytest.mark.parametrize("vector", VECTORS["plans"])
def test_a_vectors_plan_follows_from_two_rankings_by_the_letter_of_the_spec(
    vector: dict[str, Any],
) -> None:
    def ranked(membership: str, count: int) -> list[str]:
        relays = [bytes.fromhex(relay) for relay in vector[membership]]
        address = bytes.fromhex(vector["address"])
        return [relay.hex() for relay in placement.rank(address, relays, count)]

    own = vector["own"]
    before, keepers = ranked("old", LAB.replicas), ranked("new", LAB.replicas)
    assert vector["keepers"] == keepers
    assert vector["newcomers"] == [r for r in keepers if r not in before and r != own]
    assert vector["stranded"] == (own not in ranked("new", LAB.replicas + LAB.replica_slack))
    others = [r for r in before if r in vector["new"] and r != own]
    if vector["stranded"]:
        others += [r for r in keepers if r not in others]
    assert vector["ask"] == others
