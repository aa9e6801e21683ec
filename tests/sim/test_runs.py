"""The directory of a run: what its name covers, what it is refused for, what a kill leaves."""

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars
import pytest

from shoal_node.cli.main import main
from shoal_protocol.errors import UserError
from shoal_sim import runs, scenario, study
from sim.test_plug_in import install

ASKED = """
question = "How many bits does a watcher lack?"
seeds = 1
[network]
relays = 6
people = 10
[time]
length_s = 1.0
"""
SWEPT = ASKED + '[sweep]\n"network.people" = [10, 12]\n'


def test_a_name_changes_with_every_key_and_with_nothing_else() -> None:
    asked = scenario.parse(ASKED)
    name = runs.name_of(asked)
    assert name.startswith("how-many-bits-does-a-watcher-lack-")
    assert runs.name_of(scenario.parse(ASKED + "\n# a remark")) == name
    longer = [replace(asked.time, length_s=2.0), replace(asked.time, warm_up_s=6.0)]
    others = [replace(asked, time=time) for time in longer]
    others += [replace(asked, seeds=2), replace(asked, tier="structures")]
    assert len({name, *map(runs.name_of, others)}) == 5


def test_a_name_changes_with_what_a_file_of_links_holds(tmp_path: Path) -> None:
    measured = tmp_path / "links.csv"
    asked = scenario.parse(f'{ASKED}[links]\nmodel = "file"\nfile = "{measured}"\n')
    with pytest.raises(UserError, match=r"links\.csv can't be read: No such file"):
        runs.name_of(asked)
    measured.write_text("1 2 3\n")
    name = runs.name_of(asked)
    assert runs.name_of(asked) == name
    measured.write_text("1 2 4\n")
    assert runs.name_of(asked) != name


def test_a_name_changes_with_the_sources_of_a_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = replace(scenario.parse(ASKED), adversary=scenario.Adversary("odd"))
    unknown = runs.name_of(asked)
    install(tmp_path, "odd_one", "Odd = 1\n", "odd = odd_one:Odd")
    known = runs.name_of(asked)
    (tmp_path / "odd_one.py").write_text("Odd = 2\n")
    changed = runs.name_of(asked)
    (tmp_path / "odd_one.py").unlink()
    package = tmp_path / "odd_one"
    package.mkdir()
    (package / "__init__.py").write_text("from odd_one.inner import Odd\n")
    (package / "inner.py").write_text("Odd = 1\n")
    of_package = runs.name_of(asked)
    (package / "inner.py").write_text("Odd = 2\n")
    assert len({unknown, known, changed, of_package, runs.name_of(asked)}) == 5


def test_a_name_covers_our_sources_and_the_libraries_that_bytes_come_from() -> None:
    versions = runs.versions()
    assert set(versions["libraries"]) == {"numpy", "polars"}
    names = [name for name, _ in runs.sources("shoal_sim") + runs.sources("shoal_protocol")]
    assert {"shoal_sim/runs.py", "shoal_sim/vector/mixing.py"} < set(names)
    assert "shoal_protocol/relay/mix.py" in names
    assert versions["code"] == runs.code_hash()


def test_half_written_files_are_no_results_and_go_when_a_run_goes_on(tmp_path: Path) -> None:
    asked = scenario.parse(SWEPT)
    whole = study.sweep(asked, tmp_path / "whole")
    run = runs.begin(asked, tmp_path / "broken")
    rows = whole.part(0).read_bytes()
    run.part(0).write_bytes(rows)
    half = run.part(1).with_name("00001.parquet.99.new")
    half.write_bytes(rows[: len(rows) // 2])
    assert run.finished() == {0}
    again = study.go_on(runs.reopen(run.directory))
    assert not half.exists()
    assert again.results.read_bytes() == whole.results.read_bytes()
    assert again.summary.read_bytes() == whole.summary.read_bytes()
    assert polars.read_parquet(again.results)["network.people"].to_list() == [10, 12]


def test_a_run_of_other_code_or_of_another_question_does_not_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs.begin(scenario.parse(ASKED), tmp_path)
    assert runs.reopen(run.directory).scenario == run.scenario
    resolved = run.directory / "scenario.toml"
    text = resolved.read_text()
    resolved.write_text(text.replace("people = 10", "people = 11"))
    with pytest.raises(UserError, match="was run with another scenario"):
        runs.reopen(run.directory)
    resolved.write_text(text)
    versions = run.directory / "versions.json"
    versions.write_text(versions.read_text().replace(runs.code_hash(), "0" * 32))
    older = run.directory.rename(tmp_path / f"{run.directory.name[:-16]}{'0' * 16}")
    with pytest.raises(UserError, match="was run with other code or libraries"):
        runs.reopen(older)
    assert runs.reopen(older, to_go_on=False).scenario == run.scenario
    assert main(["sim", "resume", str(older)]) == 1
    told = capsys.readouterr().err
    assert "`shoal sim run " in told
    assert len(told.strip().splitlines()) == 1


def test_one_process_works_on_a_run_and_one_that_was_killed_on_none(tmp_path: Path) -> None:
    run = runs.begin(scenario.parse(ASKED), tmp_path)
    program = (
        "import sys; from pathlib import Path; from shoal_sim import locks\n"
        "with locks.held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "held\n"
            with pytest.raises(UserError, match=f"^Process {other.pid} works on "):
                runs.begin(run.scenario, tmp_path)
            with pytest.raises(UserError, match=f"^Process {other.pid} works on "):
                study.go_on(run)
        finally:
            other.kill()
    assert study.go_on(run).results.is_file()


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no run: there is no scenario\.toml in it"):
        runs.reopen(tmp_path)


def test_a_place_that_can_not_be_written_to_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "asked.toml"
    path.write_text(ASKED)
    assert main(["sim", "run", str(path), "--out", str(path)]) == 1
    told = capsys.readouterr().err
    assert "can't be written to" in told
    assert "Not a directory" in told
    assert len(told.strip().splitlines()) == 1


def test_a_disk_that_is_full_is_told_in_a_sentence_and_left_as_it_was(tmp_path: Path) -> None:
    frame = polars.DataFrame({"one": range(10_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(UserError, match=r"The run can't be written to .*: File too large\."):
            runs.write_frame(tmp_path / "00000.parquet", frame)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
