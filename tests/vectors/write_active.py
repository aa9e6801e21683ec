"""Write active.json: lots and sets of docs/spec/client.md §1.1.

Run as ``python tests/vectors/write_active.py``.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

from shoal_protocol.client import active
from shoal_protocol.parameters import MAIN

PLACE: Final = Path(__file__).with_name("active.json")
NETWORK: Final = bytes(range(32))
DRAWN: Final = [active.lot(NETWORK, 500_000, bytes([n]) * 16) for n in range(64)]

lots = [
    {"network": NETWORK.hex(), "epoch": epoch, "relay_id": relay.hex(),
     "lot": f"{active.lot(NETWORK, epoch, relay):016x}"}
    for epoch in (0, 500_000, 2**40)
    for relay in (bytes(16), bytes(range(16)))
]  # fmt: skip
sets = [
    {"wanted": wanted, "least": least,
     "layers": active.pick(DRAWN, wanted, replace(MAIN, active_least=least))}
    for wanted, least in ((1, 3), (4, 3), (8, 3), (100, 3), (1, 12), (1, 40))
]  # fmt: skip
found = {"lots": lots, "drawn": [f"{lot:016x}" for lot in DRAWN], "sets": sets}
PLACE.write_text(json.dumps(found, indent=1) + "\n")
