"""Half of a network runs the previous version; it is upgraded relay by relay while people write."""

from processes import upgrade
from processes.waiting import Say

SEED = "upgrade"


def test_a_network_half_of_the_previous_version_loses_nothing_while_it_is_upgraded(
    say: Say,
) -> None:
    """Six relays, one by one stopped and started anew; the release check drains one and has 12."""
    figures = upgrade.run(upgrade.named(), SEED, say)
    assert figures.wrong == []
    assert figures.lost == 0
    assert figures.mixed >= 2 * upgrade.EACH
    assert figures.boxes_after >= figures.boxes_before > 0
    say(
        f"{figures.mixed} messages came with half of either version, {figures.acknowledged} in "
        f"all; four nodes upgraded in {figures.upgrade_s} s, with {figures.boxes_after} boxes"
    )
