"""The demo over stand-in nodes: it must find what was lost, repeated and changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

import standin_node as standin
from shoal_node import demo, demo_texts, fleet


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "PACE_S", 0.01)
    monkeypatch.setattr(demo, "JITTER_S", 0.005)
    monkeypatch.setattr(demo, "LAST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(fleet, "PRELOAD", ["shoal_node.api.server"])


def _step(what: str, total: int) -> Callable[[int], None]:
    return lambda done: None


def test_a_good_network_is_verified() -> None:
    options = demo.Options(relays=4, messages=4, seed="1")
    result = demo.as_json(demo.run(options, _step, standin.run))
    assert (result["sent"], result["delivered"], result["lost"], result["duplicates"]) == (
        8,
        8,
        0,
        0,
    )
    assert result["verified"] is True
    assert result["relays"] == 4 and result["hops"] == 4 and result["packet_bytes"] == 3072
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p95"]
    assert result["latency_ms"]["p95"] <= result["latency_ms"]["max"]
    assert result["latency_ms"]["floor_p50"] == result["floor_p50"] == demo.floor("fast")[0] > 0
    assert result["dht"] == {"announcements": 2, "lookups": 2, "lookup_ms_p50": 10.0}
    assert result["setup_s"] > 0 and result["messages_s"] > 0 and result["first_message_s"] > 0


def test_killed_relays_are_reported() -> None:
    options = demo.Options(relays=6, messages=4, seed="2", kill=2)
    result = demo.run(options, _step, standin.run)
    assert result.killed == 2 and result.verified


def test_lost_and_repeated_messages_are_found() -> None:
    options = demo.Options(relays=4, messages=4, seed="3")
    result = demo.run(options, _step, standin.run_losing)
    left, right = demo_texts.make("3", 4)
    sizes = [len(text.encode()) for text in left[1:] + right]
    lost, twice = sizes.count(1), sizes.count(1500)
    assert lost >= 2 and twice == 2
    assert (result.sent, result.delivered) == (8, 8 - lost)
    assert (result.lost, result.duplicates) == (lost, twice)
    assert result.verified is False


def test_texts_are_repeatable_distinct_and_of_all_lengths() -> None:
    left, right = demo_texts.make("seed", 200)
    assert (left, right) == demo_texts.make("seed", 200)
    assert (left, right) != demo_texts.make("other", 200)
    assert len(set(left + right)) == 400
    sizes = [len(text.encode()) for text in left + right]
    assert min(sizes) == 1 and max(sizes) == 1500
    joined = "".join(left)
    assert "海上生明月" in joined and "🐟" in joined


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_talks_have_their_texts(count: int) -> None:
    left, right = demo_texts.make("seed", count)
    assert len(left) == len(right) == count


def test_percentiles_are_nearest_rank() -> None:
    assert demo.percentile([], 50) is None
    assert demo.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert demo.percentile([1.0, 2.0, 3.0, 4.0], 95) == 4.0
    assert demo.percentile([5.0], 100) == 5.0
