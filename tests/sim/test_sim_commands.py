"""What ``shoal sim`` prints and gives back, as who types it finds it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shoal_node.cli.main import main
from shoal_sim import cli

SMALL = """
question = "How many bits does a watcher of all links lack?"
seeds = 2
[network]
relays = 10
people = 20
[time]
length_s = 1.0
"""
SWEEP = SMALL + '[sweep]\n"network.people" = [20, 30]\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with two scenarios."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    (tmp_path / "more.toml").write_text(SWEEP.replace("relays = 10", "relays = 14"))
    return tmp_path


def sim(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command: (exit code, standard output, standard error)."""
    capsys.readouterr()
    code = main(["sim", *argv])
    told = capsys.readouterr()
    return code, told.out, told.err


def sim_json(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Run a command that prints one JSON value and nothing else."""
    code, out, err = sim(capsys, *argv, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_two_scenarios_are_compared_network_by_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ("compare", "sweep.toml", "more.toml", "--workers", "1")
    found = sim_json(capsys, *asked)
    rows = found["differences"]
    (pool, _) = [row for row in rows if row["metric"] == "pool_mean"]
    assert pool["difference"] == pytest.approx(pool["b"] - pool["a"])
    assert pool["low"] <= pool["difference"] <= pool["high"]
    assert {row["network.people"] for row in rows} == {20, 30}
    code, out, err = sim(capsys, *asked)
    assert code == 0
    heads = out.splitlines()[0].split()
    assert "differs" in heads and "network.people" not in heads
    assert "the same 2 networks" in err
    code, _, err = sim(capsys, "compare", "small.toml", "more.toml")
    assert (code, err) == (
        1,
        "shoal: The two scenarios have not as many configurations, so they don't pair.\n",
    )


def test_formulas_answer_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = sim_json(capsys, "predict", "sweep.toml")
    few, more = (one["metrics"]["sender_entropy_bits"] for one in found["predictions"])
    assert 0 < few < more
    assert [one["configuration"] for one in found["predictions"]] == [
        {"network.people": 20},
        {"network.people": 30},
    ]


def test_an_unfinished_run_has_no_report_and_a_wrong_place_no_run(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    for command in ("report", "resume"):
        code, out, err = sim(capsys, command, str(here))
        assert (code, out) == (1, "")
        assert err.startswith("shoal: ") and err.count("\n") == 1
    assert main(["sim", "run", "small.toml", "--workers", "1"]) == 0
    (run,) = here.glob("runs/*")
    (run / "summary.parquet").unlink()
    code, _, err = sim(capsys, "report", str(run))
    assert code == 1
    assert "isn't finished; go on with `shoal sim resume" in err
    code, out, _ = sim(capsys, "resume", str(run), "--workers", "1")
    assert code == 0
    assert "How many bits" in out


def test_what_is_asked_wrongly_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, said in (
        (("sweep", "small.toml"), "has no [sweep]"),
        (("bench", "none"), "There is no bench none"),
        (("validate", "--only", "99"), "99"),
        (("run", "none.toml"), "can't be read: No such file"),
    ):
        code, out, err = sim(capsys, *argv)
        assert (code, out, err.count("\n")) == (1, "", 1), err
        assert said in err


def test_without_the_extra_a_command_says_what_to_install() -> None:
    hidden = f"""
import importlib.util, sys
there = importlib.util.find_spec
gone = {cli.NEEDS!r}
importlib.util.find_spec = lambda name, *rest: None if name in gone else there(name, *rest)
from shoal_node.cli.main import main
sys.exit(main(["sim", "run", "small.toml"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", hidden], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "shoal: `shoal sim` needs numpy, polars, matplotlib, joblib; install them with: "
        "pip install 'shoal[sim]'.\n"
    )


@pytest.mark.parametrize("command", ["run", "compare", "validate", "bench", "predict", "tune"])
def test_every_interrupt_is_one_sentence_and_exit_130(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shoal_sim import commands

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, command, interrupted)
    argv = {
        "run": ("run", "small.toml"),
        "compare": ("compare", "small.toml", "small.toml"),
        "validate": ("validate",),
        "bench": ("bench",),
        "predict": ("predict", "small.toml"),
        "tune": ("tune", "--gb-per-month", "64", "--latency-ms", "1800"),
    }[command]
    code, out, err = sim(capsys, *argv)
    assert (code, out) == (130, "")
    assert err == f"shoal: sim {command} was interrupted; nothing is kept.\n"
