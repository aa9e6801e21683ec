"""The offline demo over stand-in nodes: it must find what was lost, changed, and said too early."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

import standin_node as standin
from shoal_node import demo_offline, demo_texts, fleet


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo_offline, "_PAUSE", 0.02)
    monkeypatch.setattr(demo_offline, "STALL_S", 1.0)
    monkeypatch.setattr(demo_offline, "SETTLE_S", 1.0)
    monkeypatch.setattr(fleet, "PRELOAD", ["shoal_node.api.server"])


def _step(what: str, total: int) -> Callable[[int], None]:
    return lambda done: None


def _run(main: fleet.Main, *, seed: str = "1") -> demo_offline.Result:
    options = demo_offline.Options(relays=4, messages=5, file_bytes=3000, seed=seed)
    return demo_offline.run(options, _step, main)


def test_everything_that_was_sent_to_a_node_that_was_off_is_verified() -> None:
    result = asdict(_run(standin.run))
    expected = {
        "offline": True,
        "relays": 4,
        "sent": 5,
        "delivered": 5,
        "lost": 0,
        "duplicates": 0,
        "in_order": True,
        "file_bytes": 3000,
        "file_pieces": 2,
        "file_ok": True,
        "honest": True,
        "fetched": 6,
        "read": 6,
        "verified": True,
        "data": None,
    }
    assert {name: result[name] for name in expected} == expected
    seconds = "setup_s send_s send_messages_s first_ms fetch_messages_s fetch_file_s settle_s"
    assert all(result[name] >= 0 for name in seconds.split())


def test_what_is_lost_repeated_or_spoilt_is_found() -> None:
    result = _run(standin.run_losing)
    sizes = [len(text.encode()) for text in demo_texts.make("1", 5)[0]]
    lost, twice = sizes.count(1), sizes.count(1500)
    assert lost >= 1 and twice == 1
    assert (result.sent, result.delivered, result.lost) == (5, 5 - lost, lost)
    assert result.duplicates == twice
    assert (result.in_order, result.file_ok, result.verified) == (False, False, False)


def test_a_node_that_says_too_early_that_a_message_was_read_is_found() -> None:
    result = _run(standin.run_lying)
    assert (result.delivered, result.file_ok) == (5, True)
    assert (result.honest, result.verified) == (False, False)


def test_the_file_is_the_same_for_the_same_seed() -> None:
    assert demo_offline.file_content("a", 100) == demo_offline.file_content("a", 100)
    assert demo_offline.file_content("a", 100) != demo_offline.file_content("b", 100)
    assert demo_offline.file_content("a", 0) == b""
