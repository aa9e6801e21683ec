"""Whole networks of these tests compute lightly what decides nothing, by their names' chance."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from shoal_sim.exact import kem, light
from shoal_sim.exact.world import World
from support import seeded


@pytest.fixture(autouse=True)
def light_arithmetic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the bench's stand-ins where a test has a world; all others compute in earnest."""
    whole = getattr(request.module, "World", None) is World
    chance = seeded(f"{request.node.name} encapsulation").bytes
    with light.arithmetic(real=not whole), kem.drawn_from(chance) if whole else nullcontext():
        yield
