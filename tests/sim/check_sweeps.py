"""Sweeps in processes of their own: the same bytes whoever works; what was broken off goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from shoal_sim import runs, scenario, study
from shoal_sim.engines import Crew
from sim.test_sweeps import SWEEP


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
