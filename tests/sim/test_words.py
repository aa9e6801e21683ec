"""Swept keys as plots name them."""

import pytest

from shoal_sim import words


@pytest.mark.parametrize(
    ("key", "values", "told"),
    [
        ("time.length_s", [86_400.0, 2_592_000.0], ("time", "days", 86_400.0)),
        ("time.length_s", [60.0, 86_400.0], ("time", "s", 1.0)),
        ("churn.scale_min", [120.0, 480.0], ("scale of how long relays stay", "hours", 60.0)),
        ("links.latency_ms", [20, 40], ("latency", "ms", 1.0)),
        ("network.relays", [12, 30], ("relays", "", 1.0)),
        ("traffic.preset", ["saver", "fast"], ("preset", "", 1.0)),
    ],
)
def test_a_key_is_told_in_words_with_the_unit_that_its_values_have(
    key: str, values: list[float], told: tuple[str, str, float]
) -> None:
    assert words.key(key, values) == told
