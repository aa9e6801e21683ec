"""What the long checks judge by finds what is planted and lets pass what is not."""

import sys

import numpy as np
import pytest

from processes import slopes, soak, windows
from shoal_protocol.packets import replay
from support import seeded

SAMPLES = 180  # of an hour and a half
RESAMPLES = 80
HOURS = [at * 30 / 3600 for at in range(SAMPLES)]


def _memory(growth: float, seed: str) -> list[float]:
    """Steps that come and go, as allocators make them, over a growth in MiB/h."""
    rng = seeded(seed)
    steps = [0.1 * rng.uniform() for _ in range(SAMPLES // 15 + 1)]
    return [80.0 + growth * hour + steps[at // 15] for at, hour in enumerate(HOURS)]


@pytest.mark.parametrize("growth", [0.0, 2.0])
def test_a_slope_of_memory_is_found_within_its_interval(growth: float) -> None:
    fitted = slopes.fit(HOURS, _memory(growth, f"memory {growth}"), "fit", RESAMPLES)
    assert fitted.low <= fitted.per_hour <= fitted.high
    assert abs(fitted.per_hour - growth) < 0.1
    assert (fitted.low > 1.0) == (growth > 1.0)
    assert (fitted.high < 1.0) == (growth < 1.0)


def test_a_jump_in_the_middle_is_no_slope() -> None:
    values = [80.0 + 5.0 * (hour > 1.3) for hour in HOURS]
    assert slopes.theil_sen(HOURS, values) == 0.0


def test_a_replay_filter_takes_as_much_as_the_soak_computes() -> None:
    tags = 30_000
    filled = replay.ReplayFilter()
    touched = set()
    rng = seeded("tags")
    for _ in range(tags):
        tag = rng.bytes(replay.TAG_LENGTH)
        touched.add(tag[:2])
        filled.add(tag)
    # An object of its own in sixteens, and the tags' buffer in sixteens with a byte to spare.
    empty = -(-sys.getsizeof(bytearray()) // 16) * 16
    found = (len(touched) * (empty + 16) + tags * replay.TAG_LENGTH) / soak.MIB
    assert soak.filter_mib(tags) == pytest.approx(found, rel=0.02)


def _windows(burst: float) -> windows.Windows:
    rng = np.random.default_rng(7)
    parts = []
    for node in range(20):
        for block in range(4):
            chatting = (block + node // 2) % 2
            times = np.cumsum(rng.exponential(0.1, 5 * windows.GAPS + 1))
            if chatting and burst:
                times = windows.planted(times, burst, rng)
            features = windows.features_of(times, [np.cumsum(rng.exponential(0.1, 300))])
            rows = np.ones(len(features), dtype=np.int64)
            parts.append(windows.Windows(features, rows * chatting, rows * node, rows * block))
    return windows.Windows.joined(parts)


def test_windows_of_one_process_are_not_told_apart_and_a_planted_burst_is() -> None:
    same, marked = (windows.judge(_windows(burst), 1, RESAMPLES) for burst in (0.0, 0.03))
    assert same.low < 0.5 < same.high
    assert marked.low > 0.6
