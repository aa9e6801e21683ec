"""Write invites.json: what docs/spec/invites.md must give, from a fixed rng.

Run as ``python tests/vectors/write_invites.py``. Everything in it is deterministic.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.client import invites
from shoal_protocol.rng import Rng
from shoal_protocol.streams import box

PLACE: Final = Path(__file__).with_name("invites.json")
NETWORK: Final = bytes(range(32))  # of no table of parameters
DAY: Final = 20_833


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal invite vectors"))
    made: list[dict[str, Any]] = []
    for _ in range(3):
        secret, plaintext = rng.bytes(16), rng.bytes(box.PLAINTEXT_LENGTH)
        writer = invites.capability(secret, NETWORK)
        made.append(
            {
                "secret": secret.hex(),
                "reader": writer.read().pack().hex(),
                "addresses": [writer.address(DAY + day).hex() for day in range(8)],
                "plaintext": plaintext.hex(),
                "record": writer.seal(DAY, plaintext).hex(),
            }
        )
    return {"network": NETWORK.hex(), "day": DAY, "invites": made}


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
