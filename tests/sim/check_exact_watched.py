"""A watcher has as many bits of the exact tier's machines as of the vector tier's arrays."""

import math
from dataclasses import replace

import numpy
import pytest

from shoal_sim import scenario
from shoal_sim.exact import model as exact
from shoal_sim.vector import model as vector

ASKED = """
question = "How many bits does a watcher lack?"
tier = "exact"
[network]
relays = 10
people = 24
[traffic]
quick_share = 1.0
[time]
length_s = 1.3
"""
ERRORS = 4.0  # standard errors of the difference: 1 in 16,000 by chance


@pytest.mark.parametrize(
    "more",
    [
        '[adversary]\nname = "global_passive"\n',
        '[adversary]\nname = "corrupt_relays"\nshare = 0.3\n',
        '[links]\nmodel = "coordinates"\nloss = 0.02\n[adversary]\nname = "global_passive"\n',
    ],
)
def test_both_tiers_tell_the_same_of_a_watcher(more: str) -> None:
    asked = scenario.parse(ASKED + more)
    found = {
        "exact": [exact.simulate(asked, seed).metrics for seed in range(1, 9)],
        "vector": [
            vector.simulate(replace(asked, tier="vector"), seed).metrics for seed in range(1, 25)
        ],
    }
    for who in ("sender", "receiver", "adversary_sender", "adversary_receiver"):
        for what in ("entropy_bits", "min_entropy_bits", "surprise_bits"):
            name = f"{who}_{what}"
            figures = {tier: numpy.array([one[name] for one in found[tier]]) for tier in found}
            apart = figures["exact"].mean() - figures["vector"].mean()
            error = math.sqrt(sum(one.var(ddof=1) / len(one) for one in figures.values()))
            assert abs(apart) < ERRORS * error, f"{name}: {apart:.2f} apart, {error:.2f}"
            assert error < 0.2
