"""T3: the power fails at any moment; what was acknowledged is there, and every store is whole."""

from processes import power_cut
from processes.waiting import Say

SEED = "power"


def test_what_was_acknowledged_outlasts_a_power_cut_and_planted_faults_are_found(say: Say) -> None:
    """T3, with 400 disks; the release check makes it 6,000."""
    figures = power_cut.run(SEED, states=200, steps=120, planted_states=30)
    assert figures.wrong == []
    assert all(figures.planted_found.values()) and len(figures.planted_found) == 4
    say(
        f"{figures.states} disks after power cuts within {figures.records} writes, syncs and "
        f"names: nothing acknowledged was missing; planted faults seen: {figures.planted_found}"
    )
