"""What lies in packaging/ and docs/relay.md names what exists: metrics, files, commands."""

import json
import re
import shlex
from itertools import combinations
from typing import Any

import pytest

from relay.test_metrics import BEGIN, PERIOD, Relay
from repo.repository import ROOT
from shoal_node import config
from shoal_node.cli import main

PACKAGING = ROOT / "packaging"
DOCUMENT = (ROOT / "docs/relay.md").read_text()
ALERTS = (PACKAGING / "prometheus/alerts.yml").read_text()
DASHBOARD: dict[str, Any] = json.loads((PACKAGING / "grafana/shoal-relay.json").read_text())
DOCKERFILE = (PACKAGING / "docker/Dockerfile").read_text()
NAME = re.compile(r"\bshoal_[a-z_]+")


def exported() -> set[str]:
    """Every metric that a relay has after a whole day, as a query names it."""
    relay = Relay(now=BEGIN - PERIOD)
    relay.pass_period(100)
    return {sample.name for family in relay.families().values() for sample in family.samples}


def expressions() -> list[str]:
    """Every PromQL expression of alerts and dashboard."""
    alerts = re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables = [one["query"]["query"] for one in DASHBOARD["templating"]["list"][1:]]
    return [*alerts, *panels, *variables]


def test_every_metric_that_alerts_and_dashboard_ask_for_exists() -> None:
    asked = {name for one in expressions() for name in NAME.findall(one)}
    assert asked - exported() == set()
    assert len(asked) > 12


def test_every_metric_stands_in_the_document_and_on_the_dashboard_or_in_an_alert() -> None:
    told = set(re.findall(r"^\| `(shoal_[a-z_]+)", DOCUMENT, re.MULTILINE))
    assert told == exported()
    asked = {name for one in expressions() for name in NAME.findall(one)}
    assert exported() == asked


def test_every_alert_says_when_how_bad_what_and_what_to_do() -> None:
    rules = re.split(r"^ +- alert: ", ALERTS, flags=re.MULTILINE)[1:]
    names = [rule.split("\n", 1)[0] for rule in rules]
    assert len(set(names)) == len(names) > 10
    for rule in rules:
        fields = re.findall(r"^ +(\w+): ", rule.split("\n", 1)[1], re.MULTILINE)
        assert [field for field in fields if field != "for"] == [
            *("expr", "labels"),
            *("summary", "action"),
        ], rule
        assert re.search(r"severity: (page|ticket)}", rule)
        assert "$labels.instance" in rule
    assert all("\t" not in line and not line.endswith(" ") for line in ALERTS.splitlines())


def test_every_expression_closes_what_it_opens() -> None:
    for expression in expressions():
        for opened, closed in ("()", "{}", "[]"):
            assert expression.count(opened) == expression.count(closed), expression
        assert expression.count('"') % 2 == 0, expression


def test_panels_have_a_place_each_and_take_the_chosen_source() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert all(panel["title"] and panel["description"] for panel in panels)
    sources = re.findall(r'"uid": "([^"]+)"', json.dumps(DASHBOARD["panels"]))
    assert set(sources) == {"${datasource}"}


def instructions(stage: int) -> dict[str, list[str]]:
    """The Dockerfile's instructions of one stage, by name, lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    found: dict[str, list[str]] = {}
    for line in filter(None, stages[stage].splitlines()):
        name, _, rest = line.partition(" ")
        found.setdefault(name, []).append(rest)
    return found


def environment(stage: int) -> dict[str, str]:
    return dict(
        part.split("=", 1) for line in instructions(stage)["ENV"] for part in shlex.split(line)
    )


def test_the_image_copies_what_exists_and_what_its_builder_is_sent() -> None:
    ignore = (PACKAGING / "docker/Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    copied = {part for line in instructions(0)["COPY"] for part in line.split()[:-1]}
    assert copied == sent
    assert ignore[1] == "*", "nothing else is sent"
    assert all((ROOT / part).exists() for part in copied)
    wheel = re.search(r"^packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert wheel is not None
    assert all(
        any(package.startswith(part) for part in copied)
        for package in re.findall(r'"([^"]+)"', wheel[1])
    )
    assert "--constraint constraints.txt" in instructions(0)["RUN"][0]


def test_the_image_runs_a_relay_without_privileges_on_a_volume_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    final = instructions(1)
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", final["FROM"][0])
    [user] = final["USER"]
    assert user == "10001:10001"
    assert f"--uid {user.partition(':')[0]}" in final["RUN"][0]
    environ = environment(1)
    assert final["VOLUME"] == [environ["SHOAL_DATA"]]
    assert f"--mode 700 --owner shoal --group shoal {environ['SHOAL_DATA']}" in final["RUN"][0]
    assert final["STOPSIGNAL"] == ["SIGTERM"]
    shoals = {name: text for name, text in environ.items() if name.startswith("SHOAL_")}
    given = config.load("relay", tmp_path, {}, shoals)
    assert given.listen[0] == "/ip4/0.0.0.0/tcp/4001"
    assert final["EXPOSE"] == ["4001/tcp"]


def test_the_images_commands_are_the_programs() -> None:
    final = instructions(1)
    health = final["HEALTHCHECK"][0].partition("CMD ")[2]
    for line in (final["ENTRYPOINT"][0], health):
        program, *argv = json.loads(line)  # the form that gets signals, without a shell
        assert program == "shoal"
        main.build_parser(plugins=False).parse_args(argv)
