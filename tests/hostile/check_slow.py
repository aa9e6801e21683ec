"""T11, reduced: strangers who hold connections keep no honest peer out; ``slow`` has it whole."""

import pytest
import trio

from hostile import slow


@pytest.mark.parametrize(("kind", "count", "rate"), [("silent", 1_000, 500.0), ("held", 560, 80.0)])
def test_slow_connections_keep_no_honest_peer_out(kind: str, count: int, rate: float) -> None:
    figures = trio.run(slow.attack, kind, count, rate, 2, 14.0)
    assert figures["wrong"] == [], figures
