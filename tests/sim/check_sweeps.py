"""Sweeps in processes of their own: the same bytes whoever works; what was broken off goes on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.waiting import Say, until
from shoal_protocol.errors import UserError
from shoal_sim import engines, runs, scenario, study
from shoal_sim.engines import Crew
from sim.test_sweeps import SWEEP

HUNDRED = """
question = "How many bits does a watcher lack?"
seeds = 1
[network]
relays = 6
[time]
length_s = 0.5
[sweep]
"network.people" = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
"traffic.mean_delay_ms" = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
"""
BEFORE = 20  # configurations that are finished when a sweep is stopped
SHOAL = (sys.executable, "-m", "shoal_node.cli.main", "sim")


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


@contextlib.contextmanager
def sweeping(place: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Let ``shoal sim sweep`` run a hundred configurations, in a session of its own.

    Gives the process and the run's directory when ``BEFORE`` are finished; at the end nothing
    of it is left.
    """
    (place / "hundred.toml").write_text(HUNDRED)
    process = subprocess.Popen(
        [*SHOAL, "sweep", "hundred.toml", "--workers", "2", "--out", "broken"],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    directory = place / "broken" / runs.name_of(scenario.parse(HUNDRED))
    parts = directory / "parts"
    try:
        until(lambda: len(list(parts.glob("*.parquet"))) >= BEFORE, 60.0, f"{BEFORE} parts")
        yield process, directory
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def living(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, of = (place / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(int(place.name))
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run that nobody stopped, and how long it took."""
    began = time.monotonic()
    run = study.sweep(scenario.parse(HUNDRED), tmp_path_factory.mktemp("whole"))
    return run.directory, time.monotonic() - began


def test_a_hundred_configurations_killed_in_the_middle_go_on_to_the_same_bytes(
    tmp_path: Path, whole: tuple[Path, float], say: Say
) -> None:
    with sweeping(tmp_path) as (process, directory):
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    left = runs.Run(directory, scenario.parse(HUNDRED))
    done = left.finished()
    assert BEFORE <= len(done) < 100
    assert not left.results.exists()
    written = {number: left.part(number).stat().st_mtime_ns for number in done}
    began = time.monotonic()
    subprocess.run(
        [*SHOAL, "resume", str(directory), "--workers", "2"],
        check=True,
        timeout=120,
        capture_output=True,
    )
    took = time.monotonic() - began
    assert {number: left.part(number).stat().st_mtime_ns for number in done} == written
    assert bytes_of(directory) == bytes_of(whole[0])
    assert len(bytes_of(directory)) == 102  # parts, results, summary
    say(
        f"100 configurations: {whole[1]:.1f} s unbroken in one process; killed at {len(done)} with "
        f"two workers, the other {100 - len(done)} took {took:.1f} s by shoal sim resume"
    )


def test_an_interrupted_sweep_says_how_to_go_on_and_leaves_nobody_working(
    tmp_path: Path, whole: tuple[Path, float], say: Say
) -> None:
    with sweeping(tmp_path) as (process, directory):
        assert len(living(process.pid)) > 2  # workers are there
        os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
        told = process.communicate(timeout=20)[1]
        assert process.returncode == 130
        took = until(lambda: not living(process.pid), 5.0, "all workers have ended")
    done = len(runs.Run(directory, scenario.parse(HUNDRED)).finished())
    assert "Traceback" not in told
    sentence = re.search(r"Interrupted with (\d+) of 100 .*`shoal sim resume (.*)`\.", told)
    assert sentence is not None
    assert int(sentence[1]) == done < 100
    study.go_on(runs.reopen(tmp_path / sentence[2]))
    assert bytes_of(directory) == bytes_of(whole[0])
    say(f"interrupted at {done} of 100: the last worker was gone {took:.1f} s after the command")


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="A worker was killed, as when memory runs out"):
        list(engines.each(die, range(4), Crew(2)))
