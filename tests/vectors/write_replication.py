"""Write replication.json: what docs/spec/replication.md must give, from a fixed rng.

Run as ``python tests/vectors/write_replication.py``; the same code gives the same bytes.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.parameters import LAB
from shoal_protocol.rng import Rng
from shoal_protocol.service import replica_frames, replica_walk
from shoal_protocol.service.replica_frames import Answer, Ask, Frame, Named, Offer, Push, Pushed

PLACE: Final = Path(__file__).with_name("replication.json")


def frames(rng: Rng) -> list[dict[str, str]]:
    """One frame of each kind, small and with numbers at their ends."""
    items = tuple(Named(kind, rng.bytes(32), rng.bytes(16)) for kind in range(3))
    pushed = (
        Pushed(0, rng.bytes(2048), 12, rng.bytes(8), 0),
        Pushed(2, rng.bytes(2048), 0, bytes(8), 1_800_000_000 * 10**9),
    )
    made: list[Frame] = [
        Ask(0, items),
        Offer(2**32 - 1, items[:1]),
        Push(7, pushed),
        Answer(7, bytes(range(6))),
    ]
    return [
        {"frame": type(frame).__name__, "bytes": replica_frames.CODEC.encode(frame).hex()}
        for frame in made
    ]


def plans(rng: Rng) -> list[dict[str, Any]]:
    """What becomes of items when two relays leave and two join."""
    relays = [rng.bytes(16) for _ in range(12)]
    own, old, new = relays[3], frozenset(relays[:10]), frozenset(relays[2:])
    made = list[dict[str, Any]]()
    while len(made) < 6:
        address = rng.bytes(32)
        plan = replica_walk.plan_for(address, own, old, new, LAB)
        if plan is None or plan.stranded != (len(made) % 2 == 1):
            continue
        made.append(
            {
                "own": own.hex(),
                "old": sorted(relay.hex() for relay in old),
                "new": sorted(relay.hex() for relay in new),
                "address": address.hex(),
                "ask": [relay.hex() for relay in plan.ask],
                "newcomers": [relay.hex() for relay in plan.newcomers],
                "keepers": [relay.hex() for relay in plan.keepers],
                "stranded": plan.stranded,
            }
        )
    return made


def make() -> dict[str, Any]:
    """Return all vectors."""
    rng = Rng(crypto.seeded_source(b"replication vectors"))
    return {"frames": frames(rng), "plans": plans(rng)}


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
