"""Write client.json: the parcels of docs/spec/client.md §6, from a fixed rng.

Run as ``python tests/vectors/write_client.py``.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.client import parcel
from shoal_protocol.client.association import Association
from shoal_protocol.client.parcel import Acks, Parcel, Part
from shoal_protocol.rng import Rng
from shoal_protocol.sessions.session import Session

PLACE: Final = Path(__file__).with_name("client.json")
CREATED: Final = 1_800_000_000_123_456_789  # ns
TEXT: Final = "你好, shoal 👋 " * 9
FIRST, OTHERS = 40, 64  # bytes of a part, here


def parcels() -> list[dict[str, Any]]:
    """Parcels at the edges of their fields."""
    made = [
        Parcel(Acks(), None),
        Parcel(Acks(9, 0b1011), None),
        Parcel(Acks(2**32 - 1, 2**64 - 1), None),
        Parcel(Acks(), Part(0, CREATED, 0, 1, b"")),
        Parcel(Acks(3, 4), Part(17, CREATED, 2, 5, "part ✓".encode())),
        Parcel(Acks(1, 0), Part(2**32 - 1, 2**64 - 1, 63, 64, b"\xff\xfe")),
    ]
    return [
        {
            "ack_next": one.acks.next,
            "ack_bits": one.acks.bits,
            "part": None
            if one.part is None
            else {
                "sequence": one.part.sequence,
                "created": one.part.created,
                "part": one.part.part,
                "parts": one.part.parts,
                "text": one.part.text.hex(),
            },
            "parcel": parcel.encode(one).hex(),
        }
        for one in made
    ]


def exchange(rng: Rng) -> dict[str, Any]:
    """A text in parts that come in another order, and what is acknowledged after each."""
    root = rng.bytes(32)
    sender = Association(Session(root, initiator=True))
    reader = Association(Session(root, initiator=False))
    parts = sender.parts(TEXT.encode(), FIRST, OTHERS, CREATED)
    order = list(range(len(parts)))
    rng.shuffle(order)
    steps = []
    for sequence in order:
        data = sender.encode(parts[sequence])
        received = reader.receive(data)
        steps.append(
            {
                "parcel": data.hex(),
                "whole": None if received.whole is None else received.whole.text,
                "acknowledgement": reader.encode(None).hex(),
            }
        )
    return {"text": TEXT, "first": FIRST, "others": OTHERS, "steps": steps}


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal client vectors"))
    return {"parcels": parcels(), "exchange": exchange(rng)}


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n")
