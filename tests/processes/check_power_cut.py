"""T3: the power fails at any moment; what was acknowledged is there, and every store is whole."""

from processes import power_cut
from processes.waiting import Say

SEED = "power"


def test_what_was_acknowledged_outlasts_a_power_cut_and_planted_faults_are_found(say: Say) -> None:
    """T3, with 210 disks and 5 cuts of whole nodes; the release check: 6,000 and 300."""
    figures = power_cut.run(SEED, states=70, steps=120, planted_states=40, cuts=5)
    assert figures.wrong == []
    assert all(figures.planted_found.values()) and len(figures.planted_found) == 7
    say(
        f"{figures.states} disks after power cuts within {figures.records} operations and "
        f"{figures.node_cuts} cuts of whole nodes: nothing acknowledged was missing; "
        f"planted faults seen: {figures.planted_found}"
    )
