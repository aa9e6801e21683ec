"""Two sides of one ratchet for tests, made from seeds, and what tests do to them."""

import dataclasses
from typing import Any

from shoal_protocol import crypto
from shoal_protocol.sessions.ratchet import Ratchet
from support import seeded

RNG = seeded("ratchet tests")


def pair(seed: int | str = 0) -> tuple[Ratchet, Ratchet]:
    """Return the initiator's and the answerer's side of one session."""
    rng = seeded(f"pair {seed}")
    root, private = rng.bytes(32), rng.bytes(32)
    public = crypto.x25519_public(private)
    return Ratchet.initiator(root, private), Ratchet.answerer(root, public, rng)


def talk(one: Ratchet, other: Ratchet, rounds: int = 1) -> None:
    """Let both sides send and read one message a round, so that both take their steps."""
    for _ in range(rounds):
        assert other.open(one.seal(b"to", RNG), RNG) == b"to"
        assert one.open(other.seal(b"fro", RNG), RNG) == b"fro"


def lying(side: Ratchet, **changes: Any) -> Ratchet:
    """Return a copy of ``side`` whose next header says something else; its keys are right.

    ``number``, ``previous``: as in the sending chain; ``public``: the ratchet key.
    """
    copy = Ratchet.load(side.dump())
    if "public" in changes:
        copy._public = changes.pop("public")
    copy._sending = dataclasses.replace(copy._sending, **changes)
    return copy
