"""Whole networks of these tests compute lightly what decides nothing in them: half their cost.
What the library draws for encapsulation comes from the test's name, so that a run is the same
every time.

Replays (T9) are of packets, so their curves and ciphers are the real ones.
"""

from collections.abc import Iterator

import pytest

from shoal_sim.exact import kem, light
from support import seeded


@pytest.fixture(autouse=True)
def light_arithmetic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the bench's stand-ins, but for tests of replays."""
    chance = seeded(f"{request.node.name} encapsulation").bytes
    with light.arithmetic(real="t09" in request.node.path.name), kem.drawn_from(chance):
        yield
