"""Whole networks of these tests compute lightly what decides nothing in them."""

from collections.abc import Iterator

import pytest

from shoal_sim.exact import light
from shoal_sim.exact.world import World


@pytest.fixture(autouse=True)
def light_arithmetic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the bench's stand-ins where a test has a world; all others compute in earnest."""
    with light.arithmetic(real=getattr(request.module, "World", None) is not World):
        yield
