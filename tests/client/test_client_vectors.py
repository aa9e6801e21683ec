"""tests/vectors/client.json: building gives these bytes, and parsing takes them."""

import json
from typing import Any, Final

from shoal_protocol.client import parcel
from shoal_protocol.client.association import Association
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.sessions.session import Session
from vectors import write_client

VECTORS: Final[dict[str, Any]] = json.loads(write_client.PLACE.read_text())


def test_the_writer_gives_the_file() -> None:
    assert write_client.make() == VECTORS


def test_the_parcels_of_the_vectors_are_built_and_parsed() -> None:
    for vector in VECTORS["parcels"]:
        fields = vector["part"]
        part = None
        if fields is not None:
            part = Part(**{**fields, "text": bytes.fromhex(fields["text"])})
        one = Parcel(Acks(vector["ack_next"], vector["ack_bits"]), part)
        assert parcel.encode(one).hex() == vector["parcel"]
        assert parcel.decode(bytes.fromhex(vector["parcel"])) == one


def test_the_exchange_of_the_vectors_gives_its_text_and_acknowledgements() -> None:
    reader = Association(Session(bytes(32), initiator=False))
    vector = VECTORS["exchange"]
    for step in vector["steps"]:
        whole = reader.receive(bytes.fromhex(step["parcel"])).whole
        assert (None if whole is None else whole.text) == step["whole"]
        assert reader.encode(None).hex() == step["acknowledgement"]
    assert vector["steps"][-1]["whole"] == vector["text"]
