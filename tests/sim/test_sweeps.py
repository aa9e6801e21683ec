"""Runs of scenarios, from Python and from the command line."""

import re
from pathlib import Path

import polars
import pytest

import shoal_sim
from shoal_node.cli.main import main
from shoal_protocol.errors import UserError
from shoal_sim import scenario

SWEEP = """
question = "How many bits does a watcher of all links lack?"
seeds = 2
[network]
relays = 10
[time]
length_s = 2.0
[sweep]
"network.people" = [20, 30, 40]
"""


def test_a_researcher_asks_in_five_lines(tmp_path: Path) -> None:
    path = tmp_path / "asked.toml"
    path.write_text(SWEEP)
    frame = shoal_sim.run(shoal_sim.load(path), seeds=1)
    assert isinstance(frame, polars.DataFrame)
    assert frame["network.people"].to_list() == [20, 30, 40]
    assert (frame["sender_entropy_bits"] > 0).all()


def test_the_command_runs_a_file_and_tells_what_is_wrong_with_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asked.toml").write_text(SWEEP)
    assert main(["sim", "run", "asked.toml", "--workers", "1"]) == 0
    assert "How many bits" in capsys.readouterr().out
    (report,) = tmp_path.glob("runs/*/report.html")
    page = report.read_text()
    assert "<svg" in page
    assert not re.findall(r"(?:src|href)=[\"']https?:", page)
    (tmp_path / "wrong.toml").write_text(SWEEP.replace("relays", "relais"))
    assert main(["sim", "run", "wrong.toml"]) == 1
    told = capsys.readouterr().err
    assert "line 5: network.relais is unknown" in told
    assert len(told.strip().splitlines()) == 1


def test_tiers_that_are_swept_by_mistake_are_told() -> None:
    with pytest.raises(UserError, match="sweeps no key"):
        scenario.parse(SWEEP.replace('"network.people"', '"people"'))
