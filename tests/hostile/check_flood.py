"""T8, reduced: two seconds of two floods; ``flood`` has it whole, with its latencies."""

from hostile import flood


def test_a_flood_at_one_relay_loses_no_message_and_costs_its_share_of_scalar_products() -> None:
    figures = flood.attack(("strangers", "requests"), 1, 2.0, pairs=1, latency=False)
    assert figures["wrong"] == [], figures
    assert figures["kinds"]["strangers"]["counted"]["rate limit"] > 0, figures
