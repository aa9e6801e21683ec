"""tests/vectors/service.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

import pytest

from shoal_protocol.pseudonyms import work
from shoal_protocol.pseudonyms.blinding import SigningSecret
from shoal_protocol.pseudonyms.persona import inbox_address
from shoal_protocol.service import desk, messages, placement
from shoal_protocol.service.messages import Reply, Request, RequestType, Status
from shoal_protocol.streams import box
from vectors import write_service

NETWORK: Final = write_service.NETWORK
VECTORS: Final[dict[str, Any]] = json.loads(write_service.PLACE.read_text())


def test_the_writer_gives_the_file() -> None:
    assert write_service.make() == VECTORS


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: str(vector["name"]))
def test_a_request_of_the_vectors_is_built_and_parsed(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["body"])
    request = Request(
        RequestType(vector["type"]),
        bytes.fromhex(vector["surb"]),
        bytes.fromhex(vector["record"]),
        vector["wait_ms"],
        vector["cursor"],
        vector["floor"],
        vector["effort"],
        bytes.fromhex(vector["nonce"]),
    )
    assert request.encode() == body
    assert messages.decode_request(body) == request
    if request.effort:
        challenge = desk.put_challenge(request.record[:32], request.record, NETWORK)
        work.check(challenge, request.nonce, request.effort)
    if request.type is RequestType.BOX_PUT:
        head = box.check(request.record, write_service.DAY, NETWORK)
        assert head.tombstone is vector["name"].endswith("tombstone")
    if request.type is RequestType.INBOX_GET:
        messages.decode_query(request, write_service.RELAY, NETWORK)


@pytest.mark.parametrize("vector", VECTORS["replies"], ids=lambda vector: str(vector["name"]))
def test_a_reply_of_the_vectors_is_built_and_parsed(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["body"])
    reply = Reply(
        Status(vector["status"]),
        bytes.fromhex(vector["record"]),
        vector["cursor"],
        vector["remaining"],
        bytes.fromhex(vector["instance"]),
        vector["effort"],
        bytes.fromhex(vector["nonce"]),
    )
    assert reply.encode() == body
    assert messages.decode_reply(body) == reply


def test_the_get_record_of_the_vectors_is_signed_by_the_days_key() -> None:
    vector = VECTORS["get_record"]
    root = SigningSecret(bytes.fromhex(vector["inbox_root_seed"]))
    assert inbox_address(root.public, vector["day"], NETWORK).hex() == vector["address"]
    record = bytes.fromhex(vector["record"])
    request = Request(
        RequestType.INBOX_GET,
        bytes(464),
        record,
        *(vector[name] for name in ("wait_ms", "cursor", "floor")),
    )
    query = messages.decode_query(request, write_service.RELAY, NETWORK)
    assert (query.address.hex(), query.instance.hex(), query.nonce.hex()) == (
        vector["address"],
        vector["instance"],
        vector["nonce"],
    )


def test_the_placement_of_the_vectors_is_everybodys() -> None:
    vector = VECTORS["placement"]
    relays = {bytes.fromhex(relay) for relay in vector["relays"]}
    for one in vector["addresses"]:
        ranked = placement.rank(bytes.fromhex(one["address"]), relays, 5)
        assert [relay.hex() for relay in ranked] == one["ranked"]
