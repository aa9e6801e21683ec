"""The judge of the demo's closing object: it passes what the contract promises and no less."""

import json
from typing import Any

import pytest

import check_demo

GOOD: dict[str, Any] = {
    "relays": 8,
    "hops": 4,
    "packet_bytes": 3072,
    "sent": 10,
    "delivered": 10,
    "lost": 0,
    "duplicates": 0,
    "latency_ms": {"p50": 600, "p95": 900, "max": 1200, "floor_p50": 580},
    "setup_s": 8.0,
    "messages_s": 10.0,
    "dht": {"announcements": 2, "lookups": 2, "lookup_ms_p50": 300},
    "verified": True,
}


def test_a_good_run_passes() -> None:
    assert check_demo.complaints(GOOD, relays=8, messages=5) == []
    assert "10 of 10 delivered" in check_demo.summary(GOOD)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_figure_is_named(name: str) -> None:
    result = {key: value for key, value in GOOD.items() if key != name}
    wrong = check_demo.complaints(result, relays=8, messages=5)
    assert wrong
    assert all(sentence.startswith(name) for sentence in wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lost", 1), ("duplicates", 1), ("verified", "true"), ("delivered", 9), ("hops", 3)],
)
def test_a_wrong_figure_is_named(name: str, value: object) -> None:
    wrong = check_demo.complaints({**GOOD, name: value}, relays=8, messages=5)
    assert len(wrong) == 1
    assert wrong[0].startswith(name)


def test_the_last_line_counts_when_progress_was_printed_before() -> None:
    text = "starting\n" + json.dumps({"sent": 1}) + "\n"
    assert check_demo.last_object(text) == {"sent": 1}
    assert check_demo.last_object(json.dumps(GOOD, indent=1)) == GOOD


@pytest.mark.parametrize("text", ["", "nothing here", "[1]"])
def test_output_without_an_object_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        check_demo.last_object(text)
