"""``shoal relay self-check``: what it says of a relay that runs, of one that does not, and why."""

import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from api import twin
from cli.running import Running, running_node, shoal, shoal_json
from shoal_node import config, draining, self_check
from shoal_node.api import backend, schema
from shoal_node.self_check import Line

SHOWN_BY_ALL = {"home", "running", "reachable", "network", "clock", "month"}
SHOWN_BY_ALL |= {"disk", "files", "memory", "version"}


@pytest.fixture(name="relay")
def _relay(tmp_path: Path) -> Iterator[Running]:
    data = tmp_path / "relay"
    data.mkdir(mode=0o700)
    with running_node(data, relay=True) as running:
        yield running


def settings(data: Path, text: str = "") -> config.NodeConfig:
    data.mkdir(mode=0o700, exist_ok=True)
    (data / "config.toml").write_text(text)
    return config.load("relay", data, {"listen": ["/ip4/127.0.0.1/tcp/0"]}, {})


def of(data: Path, facts: backend.SelfCheck = twin.CHECK, **status: Any) -> dict[str, Line]:
    """Return the findings about a relay that says ``facts``, by what was checked."""
    said = schema.render(twin.Relay().status()) | {"version": self_check.installed()} | status
    running = self_check.Running(said, schema.render(facts))
    return {line.check: line for line in self_check.check(settings(data), running)}


def test_a_relay_that_runs_is_told_what_is_well_and_exits_0(
    relay: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = shoal(capsys, "relay", "self-check", "--ask", "--data", str(relay.data))
    assert code == 0, out
    dialled = r"OK +reachable +Others, in networks apart, have dialled /ip4/127\.0\.0\.1/tcp/4001\."
    assert re.search(dialled, out)
    assert "asks others to dial it" in err
    found = shoal_json(capsys, "relay", "self-check", "--data", str(relay.data))
    assert found["ok"] is True
    assert {each["check"] for each in found["checks"]} >= SHOWN_BY_ALL
    assert {each["state"] for each in found["checks"]} <= {"ok", "warn"}


def test_without_a_relay_what_can_be_checked_is_and_the_rest_says_to_start_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--data", str(tmp_path / "relay"), "--listen", "/ip4/127.0.0.1/tcp/0")
    found = shoal_json(capsys, "relay", "self-check", *where)
    said = {each["check"]: each for each in found["checks"]}
    assert {*SHOWN_BY_ALL, "port"} == said.keys()
    for name in self_check.NEED_RUNNING:
        assert said[name]["state"] == "warn"
        assert "start the relay" in said[name]["text"]


def test_a_port_that_is_taken_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"/ip4/127.0.0.1/tcp/{other.getsockname()[1]}"
        where = ("--data", str(tmp_path / "relay"), "--listen", listen)
        code, out, _ = shoal(capsys, "relay", "self-check", *where)
    assert code == 1
    assert re.search(f"FAIL +port +{listen} cannot be listened on", out)


def test_a_home_that_others_can_read_fails(tmp_path: Path) -> None:
    data = settings(tmp_path / "relay").data
    data.chmod(0o755)
    line = self_check.check(settings(data), None)[0]
    assert (line.check, line.state) == ("home", "fail")
    assert line.text.endswith(f"`chmod 700 {data}`.")


@pytest.mark.parametrize(
    ("reach", "state", "says"),
    [
        ((True, 0), "ok", "have dialled"),
        ((True, 1), "warn", "not in the last round"),
        ((None, 0), "warn", "Nobody has said yet"),
        ((None, 1), "warn", "one more such round"),
        ((False, 2), "fail", "open its port in the firewall"),
    ],
)
def test_what_dial_back_found_is_said_of_each_address(
    tmp_path: Path, reach: tuple[bool | None, int], state: str, says: str
) -> None:
    one = backend.Reach("/ip6/2a01:4f8:1::2/tcp/4001", *reach)
    line = of(tmp_path / "relay", replace(twin.CHECK, reach=(one,)))["reachable"]
    assert line.state == state
    assert says in line.text and one.address in line.text


@pytest.mark.parametrize(
    ("ahead", "networks", "others", "refused", "state", "says"),
    [
        (0.0, 5, 7, 0, "ok", "as relays of 5 networks say"),
        (-150.0, 5, 7, 0, "ok", "right to within 150 s"),
        (450.0, 5, 7, 0, "fail", "is 450 s behind that of 5 networks"),
        (-300.0, 3, 7, 0, "fail", "is 300 s ahead of that of 3 networks"),
        (None, 2, 7, 9, "ok", "takes 3 to be believed"),
        (None, 0, 0, 9, "warn", "most likely the clock is off"),
        (None, 0, 0, 0, "warn", "timedatectl"),
    ],
)
def test_a_clock_is_judged_by_several_networks_or_not_at_all(
    tmp_path: Path,
    ahead: float | None,
    networks: int,
    others: int,
    refused: int,
    state: str,
    says: str,
) -> None:
    clock = backend.ClockEvidence(ahead, 150.0, 300.0, networks, refused)
    facts = replace(twin.CHECK, clock=clock, others=others)
    line = of(tmp_path / "relay", facts)["clock"]
    assert line.state == state
    assert says in line.text


def test_too_few_files_an_old_version_and_a_spent_month_are_told(tmp_path: Path) -> None:
    facts = replace(twin.CHECK, file_limit=256, newest="99.1.0")
    spent = replace(twin.MONTH, used_gb=490.0)
    lines = of(tmp_path / "relay", facts, month=schema.render(spent))
    assert lines["files"].state == "fail" and "LimitNOFILE" in lines["files"].text
    assert lines["version"].state == "warn" and "run 99.1.0: upgrade" in lines["version"].text
    assert lines["month"].state == "warn"
    older = of(tmp_path / "relay", version="0.0.1")["version"]
    assert older.state == "warn" and older.text.startswith("The relay runs 0.0.1, and ")


def test_a_share_of_a_day_that_is_used_up_is_told_apart_from_a_month(tmp_path: Path) -> None:
    month = schema.render(twin.MONTH) | {"state": "silent"}
    day = of(tmp_path, month=month | {"resumes": "2026-11-24T00:00:00.000000Z"})["month"]
    assert day.state == "warn" and "today's share of it is used up: until 2026-11-24" in day.text
    for resumes in ({"resumes": month["ends"]}, {}):
        whole = of(tmp_path, month=month | resumes)["month"]
        assert whole.state == "warn" and "raise month_gb and reload, or wait" in whole.text


def test_every_finding_is_whole_sentences(tmp_path: Path) -> None:
    lines = [*of(tmp_path / "relay").values(), *self_check.check(settings(tmp_path / "x"), None)]
    for line in lines:
        assert line.text[0].isupper() or line.text[0] in "/0123456789s", asdict(line)
        assert line.text.endswith((".", "?")), asdict(line)


def test_flags_of_the_check_go_with_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = shoal(capsys, "relay", "drain", "--json", "--data", str(tmp_path))
    assert code == 2 and "self-check" in err
    code, _, err = shoal(capsys, "relay", "--cancel", "--data", str(tmp_path))
    assert code == 2 and "drain" in err


def test_a_relay_that_drains_is_had_to_stay_also_while_none_runs(
    relay: Running, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = shoal(capsys, "relay", "drain", "--cancel", "--data", str(relay.data))
    assert code == 0 and "The relay stays" in err
    off = tmp_path / "off"
    off.mkdir(mode=0o700)
    (off / draining.FILE).write_bytes(draining.WORD)
    for said in ("its next start is a relay like any other", "none was asked to leave"):
        code, _, err = shoal(capsys, "relay", "drain", "--cancel", "--data", str(off))
        assert code == 0 and said in err
        assert not (off / draining.FILE).exists()


def test_a_persons_node_is_not_checked(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = shoal(capsys, "relay", "self-check", "--data", str(running.data))
    assert code == 1 and "only a relay checks itself" in err


def test_completion_knows_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = shoal(capsys, "completion", "bash")
    assert code == 0
    assert "self-check" in out and "--ask" in out
