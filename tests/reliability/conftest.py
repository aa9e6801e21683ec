"""Whole networks of these tests compute lightly what decides nothing in them: half their cost.

Replays (T9) are of packets, so their curves and ciphers are the real ones.
"""

from collections.abc import Iterator

import pytest

from shoal_sim.exact import light


@pytest.fixture(autouse=True)
def light_arithmetic(request: pytest.FixtureRequest) -> Iterator[None]:
    """Use the bench's stand-ins, but for tests of replays."""
    with light.arithmetic(real="t09" in request.node.path.name):
        yield
