"""The questions that are shipped can be asked, and the document's lines run."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from shoal_sim import scenario, study

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "simulations/scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_question_is_well_formed(path: Path) -> None:
    asked = scenario.load(path)
    assert asked.question.endswith("?")
    assert sum(1 for _ in asked.configurations()) > 1


def test_a_shipped_question_is_answered() -> None:
    asked = scenario.load(ROOT / "simulations/scenarios/pool.toml")
    short = replace(asked, sweep=(("network.people", (30, 90)),))
    frame = study.run(short, seeds=1)
    few, many = frame["sender_entropy_bits"]
    assert 0 < few < many


def test_the_lines_in_the_document_are_python(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/simulations.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in lines.splitlines() if line and not line.startswith("#")]) <= 5
    monkeypatch.chdir(ROOT)
    small = lines.replace("shoal_sim.load(", "_small(shoal_sim.load)(")
    told: dict[str, object] = {"_small": _small}
    exec(compile(small, "docs/simulations.md", "exec"), told)
    assert "sender_entropy_bits" in told["frame"].columns  # type: ignore[attr-defined]


def _small(load: object) -> object:
    def read(path: str) -> scenario.Scenario:
        return replace(scenario.load(path), sweep=(("network.people", (30,)),))

    return read
