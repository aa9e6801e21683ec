"""The document's adversary, installed beside the package as anybody's would be."""

import re
from pathlib import Path

import numpy
import pytest

from shoal_protocol.errors import UserError
from shoal_sim.adversaries import base, judging, registry, watching
from shoal_sim.adversaries.base import Question
from shoal_sim.seeds import numbers
from sim.adversary_support import MILLISECOND, layered

DOCUMENT = Path(__file__).parents[2] / "docs/adversaries.md"
METADATA = "Metadata-Version: 2.1\nName: shoal-timing\nVersion: 1.0\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)


def install(place: Path, module: str, source: str, *entries: str) -> None:
    """Write a distribution as an installer would leave it."""
    (place / f"{module}.py").write_text(source)
    info = place / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA.replace("shoal-timing", module))
    lines = "\n".join(entries)
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}\n")


def test_the_adversary_of_the_document_is_found_and_judged_from_outside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = blocks("python")
    entry = re.search(r'^timing = "(.*)"$', blocks("toml")[0], re.MULTILINE)
    assert entry is not None
    assert len(source.splitlines()) <= 30
    install(tmp_path, "shoal_timing", source, f"timing = {entry[1]}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "timing" in registry.names()
    there, packets = layered(11)
    targets = numpy.flatnonzero((packets.begin > 0) & (packets.begin < 150 * MILLISECOND))[:60]
    watched = watching.watch(
        [packets], there, Question.RECEIVER, targets, delay_ns=20.0 * MILLISECOND
    )
    timing = judging.judge(registry.make("timing", mixes=3), watched, numbers(11, "judge"))
    # Both ends alone tell something of thirty people, and what it believes is so.
    assert timing.entropy_bits < numpy.log2(30) - 0.05
    assert timing.surprise_bits == pytest.approx(timing.entropy_bits, abs=0.2)


def test_a_plug_in_that_takes_a_shipped_name_or_one_taken_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "one_more", "", "churn = one_more:Churn", "mine = one_more:Mine")
    install(
        tmp_path, "two_more", "class No:\n    pass\n", "mine = two_more:Mine", "no = two_more:No"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match="churn is shipped"):
        registry.make("churn")
    with pytest.raises(UserError, match="Two plug-ins call themselves mine"):
        registry.make("mine")
    with pytest.raises(UserError, match="has no prepare and infer"):
        registry.make("no")


class Dreamer(base.Watcher):
    """Names somebody who isn't there."""

    def infer(self, observation: base.Observation, rng: numpy.random.Generator) -> base.Posterior:
        return base.posterior(numpy.array([0]), numpy.array([999]), numpy.array([1.0]))


def test_an_answer_about_nobody_is_refused() -> None:
    there, packets = layered(12)
    watched = watching.watch([packets], there, Question.RECEIVER, numpy.arange(3))
    with pytest.raises(UserError, match="names candidates that there aren't: there are 30"):
        judging.judge(Dreamer(), watched, numbers(12, "judge"))


def test_the_document_names_every_adversary_with_its_keys() -> None:
    text = DOCUMENT.read_text()
    rows = dict(
        re.findall(r"^\| `(\w+)` \| (.*?) \|", text.split("## Those shipped")[1], re.MULTILINE)
    )
    assert set(rows) == set(registry.SHIPPED)
    for name, said in rows.items():
        made = registry.make(name)
        wanted = type(made).__init__.__code__.co_varnames[
            1 : type(made).__init__.__code__.co_argcount
        ] if type(made).__init__ is not object.__init__ else ()  # fmt: skip
        assert set(re.findall(r"`(\w+)`", said)) == set(wanted), name
