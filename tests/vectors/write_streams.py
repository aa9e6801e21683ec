"""Write streams.json: what docs/spec/streams.md must give, from a fixed rng.

Run as ``python tests/vectors/write_streams.py``. Everything in it is deterministic. A change
is ``[offset, byte]``: the box with that byte put in must be refused for the reason beside it.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.rng import Rng
from shoal_protocol.streams import box
from shoal_protocol.streams.capability import WriteCapability

PLACE: Final = Path(__file__).with_name("streams.json")
NETWORK: Final = bytes(range(32))  # of no table of parameters
DAY: Final = 20_833
LABEL: Final = b"messages"
SEALED: Final = ((0, DAY), (1, DAY), (1, DAY + 1), (300, DAY))  # (index, day)
CHANGES: Final = (  # (reason, offset, bits)
    ("signature", 0, 0x01),
    ("signature", 32, 0x80),
    ("signature", 95, 0x10),
    ("box day", 96, 0x01),
    ("signature", 99, 0x01),
    ("box", 100, 0x01),
    ("box", 100, 0x02),
    ("box", 103, 0x01),
    ("signature", 104, 0x01),
    ("signature", 2047, 0x01),
)


def sealed_box(writer: WriteCapability, index: int, day: int, rng: Rng) -> dict[str, Any]:
    """Return a box with all that its maker and its reader derive."""
    place = writer.at(index)
    plaintext = rng.bytes(box.PLAINTEXT_LENGTH)
    return {
        "index": index,
        "day": day,
        "chain_key": place.dump()[40:].hex(),
        "address": place.address(day).hex(),
        "plaintext": plaintext.hex(),
        "record": place.seal(day, plaintext).hex(),
    }


def refused(record: bytes) -> list[dict[str, Any]]:
    """Return changes to a box, each of one byte, and why a storer refuses the result."""
    return [
        {"reason": reason, "change": [offset, record[offset] ^ bits]}
        for reason, offset, bits in CHANGES
    ]


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal stream vectors"))
    root = rng.bytes(crypto.KEY_LENGTH)
    writer = WriteCapability.from_root(root, NETWORK, LABEL)
    boxes = [sealed_box(writer, index, day, rng) for index, day in SEALED]
    fresh = WriteCapability.create(rng, NETWORK)
    return {
        "network_hash": NETWORK.hex(),
        "root": root.hex(),
        "label": LABEL.hex(),
        "write_capability": writer.dump().hex(),
        "read_capability": writer.read().pack().hex(),
        "boxes": boxes,
        "tombstone": {"index": 1, "day": DAY, "record": writer.at(1).tombstone(DAY).hex()},
        "refused": refused(bytes.fromhex(boxes[0]["record"])),
        "fresh": {"write_capability": fresh.dump().hex(), "address": fresh.address(DAY).hex()},
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
