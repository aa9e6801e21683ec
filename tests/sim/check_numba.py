"""With numba and without it the watcher's posterior is the same, bit for bit.

Not of `make test`, which installs no numba: `pytest tests/sim/check_numba.py`.
"""

import numpy
import pytest

from shoal_sim.seeds import numbers
from shoal_sim.vector import mixing, stepping, tracing
from shoal_sim.vector.latency import Fixed


def test_numba_is_installed_where_this_runs() -> None:
    assert stepping.FAST


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", [0.0, 0.03])
@pytest.mark.parametrize("back", [False, True])
def test_both_loops_give_the_same_bits(seed: int, loss: float, back: bool) -> None:
    rng = numbers(seed, "check numba")
    there = mixing.nodes(60, 12, rng, corrupt=(1, 5) if seed % 2 else ())
    sent = mixing.senders(60, 8.0, mixing.Span(0, 3_000_000_000), rng)
    packets = mixing.forward(there, *sent, 80e6, Fixed(9_000_000, 3_000), rng, loss=loss)
    way = packets.way(there, places=seed < 2)
    way = way.backwards() if back else way
    targets = numpy.flatnonzero(packets.arrived)[:: 1 + seed]
    window = (-2_500_000_000, -500_000_000) if back else (500_000_000, 2_500_000_000)
    found = [
        tracing.follow(way, targets, packets.person, 60, window=window, compiled=compiled)
        for compiled in (True, False)
    ]
    assert found[0].tobytes() == found[1].tobytes()
    assert found[0].sum() > 10


def test_more_packets_on_links_than_there_was_room_for_are_followed() -> None:
    rng = numbers(9, "check numba")
    there = mixing.layered(100, 3, 2)
    sent = mixing.senders(100, 100.0, mixing.Span(0, 500_000_000), rng)
    packets = mixing.layers(there, 3, *sent, 20e6, Fixed(400_000_000), rng)
    targets = numpy.arange(5)
    found = [
        tracing.follow(packets.way(there), targets, packets.other, 100, compiled=compiled)
        for compiled in (True, False)
    ]
    assert len(packets) > 4096
    assert found[0].tobytes() == found[1].tobytes()
