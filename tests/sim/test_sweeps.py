"""Runs of scenarios: the same bytes whoever works, and what was broken off goes on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import polars
import pytest

import shoal_sim
from shoal_node.cli.main import main
from shoal_protocol.errors import UserError
from shoal_sim import runs, scenario, study
from shoal_sim.engines import Crew

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


def bytes_of(directory: Path) -> dict[str, bytes]:
    """Return all Parquet files of a run."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*.parquet"))
    }


def test_one_worker_and_two_write_the_same_bytes(tmp_path: Path) -> None:
    asked = scenario.parse(SWEEP)
    alone = study.sweep(asked, tmp_path / "one", crew=Crew(workers=1), tables=True)
    both = study.sweep(asked, tmp_path / "two", crew=Crew(workers=2), tables=True)
    assert bytes_of(alone.directory) == bytes_of(both.directory)
    assert len(bytes_of(alone.directory)) > 5
    assert alone.directory.name == both.directory.name


def test_another_order_of_sets_writes_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "asked.toml"
    path.write_text(SWEEP)
    program = (
        "import sys; from pathlib import Path; from shoal_sim import study\n"
        "study.sweep(study.load(sys.argv[1]), Path(sys.argv[2]))"
    )
    found = []
    for seed in ("1", "2"):
        under = tmp_path / seed
        subprocess.run(
            [sys.executable, "-c", program, str(path), str(under)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            timeout=120,
        )
        (directory,) = under.iterdir()
        found.append(bytes_of(directory))
    assert found[0] == found[1] != {}


def test_a_sweep_that_is_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    asked = scenario.parse(SWEEP)
    whole = study.sweep(asked, tmp_path / "whole")
    path = tmp_path / "asked.toml"
    path.write_text(SWEEP)
    program = (
        "import os, signal, sys; from pathlib import Path; from shoal_sim import study\n"
        "told = lambda done: os.kill(os.getpid(), signal.SIGKILL) if done == 4 else None\n"
        "study.sweep(study.load(sys.argv[1]), Path(sys.argv[2]), told=told)"
    )
    under = tmp_path / "broken"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path), str(under)], check=False, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL
    (directory,) = under.iterdir()
    left = runs.Run(directory, asked)
    assert left.finished() == {0}
    before = left.part(0).stat().st_mtime_ns
    study.go_on(left)
    assert left.part(0).stat().st_mtime_ns == before
    assert bytes_of(directory) == bytes_of(whole.directory)


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
