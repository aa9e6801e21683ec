"""tests/vectors/client.json: building gives these bytes, and parsing takes them."""

import json
from dataclasses import replace
from typing import Any, Final

from shoal_protocol.client import contents, parcel
from shoal_protocol.client.contents import Content
from shoal_protocol.client.lines import IncomingLines
from shoal_protocol.client.parcel import Acks, Kind, Parcel, Part
from vectors import write_client

VECTORS: Final[dict[str, Any]] = json.loads(write_client.PLACE.read_text())


def test_the_writer_gives_the_file() -> None:
    assert write_client.make() == VECTORS


def test_the_parcels_of_the_vectors_are_built_and_parsed() -> None:
    for vector in VECTORS["parcels"]:
        fields = vector["part"]
        part = None
        if fields is not None:
            data = bytes.fromhex(fields["data"])
            part = Part(**{**fields, "kind": Kind(fields["kind"]), "data": data})
        acks, line = Acks(vector["ack_next"], vector["ack_bits"]), bytes.fromhex(vector["line"])
        one = Parcel(acks, line, vector["least"], part, vector["nudge"])
        assert parcel.encode(one).hex() == vector["parcel"]
        assert parcel.decode(bytes.fromhex(vector["parcel"])) == one


def test_the_contents_of_the_vectors_are_read() -> None:
    for vector in VECTORS["messages"]:
        kind, data = vector["kind"], bytes.fromhex(vector["data"])
        if kind == Kind.PROFILE:
            assert contents.write_profile(contents.read_profile(data)) == data
        elif kind == Kind.RECEIPT:
            receipt = contents.read_receipt(data)
            assert receipt is not None
            assert (receipt.number, receipt.created) == (7, write_client.CREATED)
        else:
            assert contents.write(_mirrored(contents.read(kind, data))) == (kind, data)


def _mirrored(content: Content) -> Content:
    """Return a content as its sender has it: whose message it answers is the other way round."""
    reply = content.reply
    if reply is not None:
        reply = replace(reply, outgoing=not reply.outgoing)
    return replace(content, reply=reply)


def test_boxes_in_the_order_of_the_vectors_give_their_acknowledgements() -> None:
    come = Acks()
    for step in VECTORS["acknowledgements"]:
        assert come.within(step["box"]) == step["taken"]
        if step["taken"]:
            come = come.plus(step["box"])
        assert come == Acks(step["next"], step["bits"])
    assert not all(step["taken"] for step in VECTORS["acknowledgements"])


def test_parcels_in_the_order_of_the_vectors_show_their_messages() -> None:
    incoming, shown = IncomingLines(bytes(8), None), list[str]()
    for step in VECTORS["lines"]:
        said = parcel.decode(bytes.fromhex(step["parcel"]))
        incoming.check(said)
        texts = [whole.data.decode() for whole in incoming.take(said, 0)]
        assert texts == step["shown"]
        shown += texts
    first, second, _, last = write_client.TEXTS
    assert shown == [first, second, last]
