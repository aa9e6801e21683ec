"""The questions that are shipped can be asked, and the document's lines run."""

import re
from dataclasses import fields, replace
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


def small(one: scenario.Scenario) -> scenario.Scenario:
    """Return a configuration of a small network and a short time."""
    whole = one.tier == "exact"
    network = replace(
        one.network,
        people=min(one.network.people, 30),
        relays=min(one.network.relays, 9 if whole else 12),
    )
    time = replace(one.time, length_s=min(one.time.length_s, 60.0 if whole else 86_400.0))
    return replace(one, network=network, time=time)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_question_is_answered_in_small(path: Path) -> None:
    asked = scenario.load(path)
    _, last = list(asked.configurations())[-1]
    found = study.run(small(last), seeds=1)
    assert set(asked.show) <= set(found.columns)
    assert found[asked.show[0]].is_finite().all()


def test_more_people_hide_each_other_better() -> None:
    asked = scenario.load(ROOT / "simulations/scenarios/pool.toml")
    short = replace(asked, sweep=(("network.people", (30, 90)),))
    frame = study.run(short, seeds=1)
    few, many = frame["sender_entropy_bits"]
    assert 0 < few < many


def test_the_document_answers_every_shipped_question_with_a_picture() -> None:
    text = (ROOT / "docs/simulations.md").read_text(encoding="utf-8")
    for path in FILES:
        assert f"simulations/scenarios/{path.name}" in text, path.name
    pictures = re.findall(r"!\[[^]]+\]\((figures/[a-z-]+\.svg)\)", text)
    assert all((ROOT / "docs" / picture).is_file() for picture in pictures)


def test_the_document_names_every_key() -> None:
    text = (ROOT / "docs/simulations.md").read_text(encoding="utf-8")
    table = text.split("## Keys")[1].split("\n## ")[0]
    told = set(re.findall(r"`([a-z_.]+)`", table))
    for name, kind in scenario.TABLES.items():
        for field in fields(kind):
            assert {field.name, f"{name}.{field.name}"} & told, f"{name}.{field.name}"


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
