"""T12, reduced: a fifth of the flood still fills the node that it is aimed at."""

from hostile import puts


def test_a_flood_of_puts_at_one_node_loses_no_honest_record() -> None:
    figures = puts.flood(20_000, near=False)
    assert figures["wrong"] == [], figures
    assert figures["answers"]["FULL"] > 0
