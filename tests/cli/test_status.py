"""``shoal status``: what people and operators read of crowd, preset and traffic."""

import re
from pathlib import Path

import pytest

from cli.running import Running, running_node, shoal, shoal_json


def rows(out: str) -> dict[str, str]:
    """Return a printed table's texts by their names."""
    lines = [line for line in out.splitlines() if not line.startswith("!")]
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in lines)


@pytest.mark.usefixtures("running")
def test_a_person_reads_crowd_entropy_and_what_the_preset_costs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = shoal(capsys, "status")
    shown = rows(out)
    assert code == 0
    assert shown["live crowd"] == "about 2 people at balanced's pace, as relays say"
    assert shown["entropy"] == "0.6 bits of a message's sender: as among 1.49 people"
    assert shown["preset"] == "fast: 10 packets a second each way, 30 ms at each mix"
    assert shown["slots"] == "67% quick; of the others up to 50 wait for this node's messages"
    assert shown["bandwidth"] == "30.7 KB/s up, 30.7 KB/s down, 5.3 GB a day"
    assert shown["latency"] == "630 ms p50, 980 ms p95 one way over links of 42 ms"
    assert "traffic" not in shown
    assert out.splitlines()[-1] == "! Two people are no crowd."


def test_status_json_has_the_traffic_as_one_object(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    status = shoal_json(capsys, "status")
    assert status["traffic"] == {
        "preset": "fast",
        "packets_per_s": 10.0,
        "mean_delay_ms": 30,
        "quick_share": 0.667,
        "waiting_gets": 50,
        "up_kb_per_s": 30.72,
        "down_kb_per_s": 30.72,
        "gb_per_day": 5.31,
        "link_ms": 42.0,
        "latency_ms": {"p50": 630.0, "p95": 980.0},
    }
    assert (status["crowd"], status["entropy_bits"]) == (2, 0.58)
    assert status["traffic_class"] is None
    assert running.node.role == "person"


def test_a_relays_operator_reads_its_class_of_traffic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_node(tmp_path, relay=True):
        out = shoal(capsys, "status", "--data", str(tmp_path))[1]
        status = shoal_json(capsys, "status", "--data", str(tmp_path))
    assert rows(out)["traffic"] == "class 14: about 2.5 requests a second"
    assert rows(out)["entropy"] == "unknown"
    assert rows(out)["month"] == "12.500 GB of 500 GB moved, until 2026-12-01"
    assert (status["traffic_class"], status["traffic"]) == (14, None)
    assert status["month"] == {
        "limit_gb": 500.0,
        "used_gb": 12.5,
        "ends": "2026-12-01T00:00:00.000000Z",
        "state": "open",
        "resumes": None,
    }
