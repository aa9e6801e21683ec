"""T2: random processes are killed while three people write to each other; nothing is lost."""

from processes import crashes
from processes.waiting import Say

KILLS = 15  # the release check makes it 50 and 500
SEED = "crashes"


def test_what_was_acknowledged_arrives_once_and_in_order_whoever_is_killed(say: Say) -> None:
    """T2, with 15 kills; every store is intact afterwards."""
    figures = crashes.run(KILLS, SEED, say)
    assert figures.wrong == []
    assert (figures.lost, figures.unread) == (0, 0)
    assert figures.delivered == figures.acknowledged > 0
    say(
        f"{figures.relays_killed} relays and {figures.people_killed} people's nodes killed in "
        f"{figures.chaos_s:.0f} s, {figures.at_once} times two at once; {figures.acknowledged} "
        f"messages acknowledged, all there {figures.settled_s} s after the last start"
    )
