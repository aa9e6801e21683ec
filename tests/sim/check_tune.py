"""The vector tier confirms what `shoal sim tune` finds: neighbours within the budget hide less.

Not of `make test`, as it draws networks: `pytest tests/sim/check_tune.py`.
"""

from dataclasses import replace

import numpy
import pytest

from shoal_protocol.parameters import PRESETS, Preset
from shoal_sim import metrics, scenario, tuning
from shoal_sim.tuning import BUDGETS
from shoal_sim.vector import model

NETWORKS = 6
PEOPLE, RELAYS = 300, 12  # all mix
LOWER = {0.25: 0.2, 4.0: 3.0, 10.0: 8.0}  # the next preferred numbers down
SHORTER = {500: 400, 50: 40, 30: 25}


def drawn(preset: Preset) -> list[float]:
    """Return the bits of the sender in each network."""
    asked = scenario.parse(
        f"""
        question = "how many bits"
        tier = "vector"
        [network]
        people = {PEOPLE}
        relays = {RELAYS}
        [traffic]
        rate = {preset.rate}
        mean_delay_ms = {preset.mean_delay_ms}
        """
    )
    found = [model.simulate(asked, seed).metrics for seed in range(NETWORKS)]
    return [one["sender_entropy_bits"] for one in found]


@pytest.mark.parametrize("name", list(BUDGETS))
def test_neighbours_within_the_budget_have_fewer_bits_when_drawn(name: str) -> None:
    preset = PRESETS[name]
    best = drawn(preset)
    said = tuning.bits(preset, PEOPLE, RELAYS)[0]
    assert said == pytest.approx(float(numpy.mean(best)), abs=0.35)
    for near in (
        replace(preset, rate=LOWER[preset.rate]),
        replace(preset, mean_delay_ms=SHORTER[preset.mean_delay_ms]),
    ):
        less = numpy.array(best) - numpy.array(drawn(near))
        low, _ = metrics.interval(less, 0.95)
        assert low > 0, (near, less)
