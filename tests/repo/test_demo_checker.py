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

OFFLINE: dict[str, Any] = {
    "offline": True,
    "relays": 8,
    "sent": 20,
    "delivered": 20,
    "lost": 0,
    "duplicates": 0,
    "in_order": True,
    "file_bytes": 65536,
    "file_pieces": 80,
    "file_ok": True,
    "honest": True,
    "fetched": 21,
    "read": 21,
    "setup_s": 9.0,
    "send_s": 20.0,
    "first_ms": 2900.0,
    "fetch_messages_s": 14.0,
    "fetch_file_s": 15,
    "settle_s": 1.5,
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


def offline_complaints(result: dict[str, Any]) -> list[str]:
    return check_demo.offline_complaints(result, relays=8, messages=20, file_bytes=65536)


def test_a_good_offline_run_passes() -> None:
    assert offline_complaints(OFFLINE) == []
    assert "20 of 20 messages and a file of 65536 bytes" in check_demo.offline_summary(OFFLINE)


@pytest.mark.parametrize("name", sorted(OFFLINE))
def test_a_missing_figure_of_an_offline_run_is_named(name: str) -> None:
    (wrong,) = offline_complaints({key: value for key, value in OFFLINE.items() if key != name})
    assert wrong.startswith(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fetched", 20),
        ("read", 20),
        ("file_ok", False),
        ("honest", None),
        ("in_order", 0),
        ("fetch_file_s", None),
    ],
)
def test_a_wrong_figure_of_an_offline_run_is_named(name: str, value: object) -> None:
    (wrong,) = offline_complaints({**OFFLINE, name: value})
    assert wrong.startswith(name)
