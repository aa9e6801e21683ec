"""Run the long checks and write their record to ``docs/release-checks/``.

Usage: ``make check-release``, or ``make check-release ARGS="crashes-50 bench"`` for some of
them, ``ARGS="--skip crashes-500"`` for the others, ``ARGS=--list`` for their names. A record,
named by date and commit, holds each check's command, figures and verdict, once for people
(.md) and once for programs (.json); the pass lines are those of docs/release-checks/README.md.
The exit code is 0 when every check passed.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import check_demo

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "release-checks"
SOURCES = ("protocol", "node", "simulations", "tests")  # of this checkout, whoever installed what

HELD = "--kind held --count 1000 --networks 8 --rate 60"

Judge = Callable[[Mapping[str, Any]], list[str]]
Read = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Check:
    """One long check: a command, its figures, and what they must say.

    ``command`` is ``shoal`` or ``python`` with arguments; ``read`` gets the figures out of what
    it prints, a JSON object unless told otherwise.
    """

    name: str
    title: str
    command: tuple[str, ...]
    judge: Judge
    read: Read = check_demo.last_object


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check did: its figures, the sentences of what was wrong, its length in seconds."""

    check: Check
    result: Mapping[str, Any]
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0


def messages_judge(relays: int, messages: int) -> Judge:
    """Judge a demo run with nothing killed: contract, length, latency against its floor."""

    def judge(result: Mapping[str, Any]) -> list[str]:
        wrong = check_demo.complaints(result, relays, messages)
        if wrong:
            return wrong
        latency = result["latency_ms"]
        ratio = latency["p50"] / latency["floor_p50"]
        if ratio > 1.5:
            wrong.append(f"one-way p50 is {ratio:.2f} times its floor, more than 1.5")
        length = result["setup_s"] + result["messages_s"]
        if length > 480:
            wrong.append(f"it took {length:.0f} s, more than 8 minutes")
        return wrong

    return judge


def kill_judge(relays: int, messages: int) -> Judge:
    """Judge a demo run in which relays were killed: contract, every message within 90 s."""

    def judge(result: Mapping[str, Any]) -> list[str]:
        wrong = check_demo.complaints(result, relays, messages)
        if not wrong and result["latency_ms"]["max"] > 90_000:
            wrong.append(f"the slowest message took {result['latency_ms']['max']} ms, over 90 s")
        return wrong

    return judge


def offline_judge(relays: int, messages: int, file_bytes: int) -> Judge:
    """Judge an offline demo run: everything there, in order, the same, and nothing said early."""

    def judge(result: Mapping[str, Any]) -> list[str]:
        return check_demo.offline_complaints(result, relays, messages, file_bytes)

    return judge


def demo(*arguments: str) -> tuple[str, ...]:
    """Return the arguments of ``shoal`` for a demo that prints JSON."""
    return ("shoal", "demo", *arguments, "--json")


def own_judge(result: Mapping[str, Any]) -> list[str]:
    """Take the sentences of a check of real processes that judges itself."""
    return [str(sentence) for sentence in result["wrong"]]


def crashes(kills: int, pause_s: float) -> Check:
    """T2: so many processes killed at random, while people write every ``pause_s`` or so."""
    asked = ("--kills", str(kills), "--seed", f"{kills} kills", "--pause", str(pause_s))
    return Check(
        f"crashes-{kills}",
        f"{kills} random processes killed while people write",
        ("python", "-m", "processes.crashes", *asked),
        own_judge,
    )


def bench_figures(printed: str) -> Mapping[str, Any]:
    """Return the bench's closing line, and the lines of seeds that broke something."""
    *lines, last = printed.strip().splitlines()
    return {"closing": last, "broken": [line for line in lines if line.startswith("seed ")]}


def bench_judge(result: Mapping[str, Any]) -> list[str]:
    """Judge a run of the bench: no seed breaks anything."""
    if ": 0 broken" in result["closing"] and not result["broken"]:
        return []
    return [f"seeds break something: {result['closing']}"]


def examples_figures(printed: str) -> Mapping[str, Any]:
    """Return pytest's closing line, and the names of the properties that do not hold."""
    *lines, last = printed.strip().splitlines()
    return {"closing": last, "broken": [line for line in lines if line.startswith("FAILED ")]}


def examples_judge(result: Mapping[str, Any]) -> list[str]:
    """Judge a run of the properties: pytest's exit code is judged with every command's."""
    return [f"does not hold: {line.removeprefix('FAILED ')}" for line in result["broken"]]


CHECKS = (
    Check(
        "messages",
        "200 messages each way",
        demo("--relays", "12", "--messages", "200"),
        messages_judge(12, 200),
    ),
    Check(
        "kill",
        "3 of 12 relays killed in the middle",
        demo("--relays", "12", "--messages", "200", "--kill", "3"),
        kill_judge(12, 200),
    ),
    Check(
        "offline",
        "100 messages and a file of 2 MiB for somebody whose node is off",
        demo("--offline", "--relays", "12", "--messages", "100", "--file-bytes", str(2 * 2**20)),
        offline_judge(12, 100, 2 * 2**20),
    ),
    crashes(50, 1.5),
    crashes(500, 4.0),
    Check(
        "power-cut",
        "the power cut at 6,300 moments, and what was not synced lost or torn",
        ("python", "-m", "processes.power_cut"),
        own_judge,
    ),
    Check(
        "survivors",
        "6 of 20 relays killed at once, 2,000 messages for people who are away",
        ("python", "-m", "processes.survivors"),
        own_judge,
    ),
    Check(
        "split",
        "a network split in halves for ten minutes while people write, and healed",
        ("python", "-m", "reliability.split"),
        own_judge,
    ),
    Check(
        "drain",
        "3 of 12 relays leave in good order, then 2 are killed, and one has a full disk",
        (
            *("python", "-m", "processes.survivors", "--network", "lab", "--relays", "12"),
            *("--drained", "3", "--killed", "2", "--full", "1", "--readers", "2"),
        ),
        own_judge,
    ),
    Check(
        "upgrade",
        "12 relays and two people upgraded one by one, from the previous version",
        ("python", "-m", "processes.upgrade"),
        own_judge,
    ),
    Check(
        "wires",
        "the lines of 20 people watched, idle against chatting",
        ("python", "-m", "processes.wires"),
        own_judge,
    ),
    Check(
        "soak",
        "8 relays and 4 people for two hours",
        ("python", "-m", "processes.soak", "--minutes", "120", "--json"),
        own_judge,
    ),
    Check(
        "sybils",
        "lookups in a DHT of 200 relays among Sybils, and in an eclipse",
        ("python", "-m", "sim.t13"),
        own_judge,
    ),
    Check(
        "slow-silent",
        "10,000 connections that never shake hands, and honest peers among them",
        ("python", "-m", "hostile.slow", "--json"),
        own_judge,
    ),
    Check(
        "slow-held",
        "1,000 strangers who hold links, and honest peers among them",
        tuple(f"python -m hostile.slow --json {HELD}".split()),
        own_judge,
    ),
    Check(
        "fuzz",
        "ten million inputs for the decoders, guided by the code that they reach",
        ("python", "-m", "hostile.fuzz", "--json"),
        own_judge,
    ),
    Check(
        "flood",
        "one peer floods a relay in every way, and six people write through it",
        ("python", "-m", "hostile.flood", "--json"),
        own_judge,
    ),
    Check(
        "puts",
        "100,000 hostile puts at one node of the DHT, and at the nearest to each key",
        ("python", "-m", "hostile.puts", "--json"),
        own_judge,
    ),
    Check(
        "examples",
        "a thousand new examples for each property",
        ("python", "-m", "pytest", "-m", "hypothesis", "--hypothesis-profile=explore", "-n", "2"),
        examples_judge,
        examples_figures,
    ),
    Check(
        "bench",
        "10,000 seeds of the bench",
        ("python", str(ROOT / "tools" / "run_bench.py"), "--seeds", "10000"),
        bench_judge,
        bench_figures,
    ),
)


def run(check: Check) -> Outcome:
    """Run ``check``; its progress goes to this process's standard error."""
    program = str(Path(sys.executable).with_name(check.command[0]))
    began = time.monotonic()
    done = subprocess.run(
        (program, *check.command[1:]),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in SOURCES)},
    )
    took = time.monotonic() - began
    wrong = [f"the command ended with {done.returncode}"] if done.returncode else []
    try:
        result = check.read(done.stdout)
    except (ValueError, TypeError) as error:
        return Outcome(check, {}, [*wrong, f"no figures at the end: {error}"], took)
    return Outcome(check, result, check.judge(result) or wrong, took)


def git(*arguments: str) -> str:
    """Return what a git command prints in this checkout."""
    return subprocess.run(
        ("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=True
    ).stdout.strip()


def record(outcomes: list[Outcome], date: datetime.date, commit: str, clean: bool) -> str:
    """Return the record's text (Markdown)."""
    lines = [
        f"# Release check of {date.isoformat()}",
        "",
        f"- commit: `{commit}`{'' if clean else ', with uncommitted changes'}",
        f"- machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
        "",
    ]
    for outcome in outcomes:
        lines += [
            f"## {outcome.check.title}: {'failed' if outcome.wrong else 'passed'}",
            "",
            f"`{spelled(outcome.check)}`, {outcome.took_s:.0f} s",
            "",
            *(f"- {sentence}" for sentence in outcome.wrong),
            *([""] if outcome.wrong else []),
            "```json",
            json.dumps(outcome.result, indent=1, ensure_ascii=False, sort_keys=True),
            "```",
            "",
        ]
    return "\n".join(lines)


def as_json(outcomes: list[Outcome], date: datetime.date, commit: str, clean: bool) -> str:
    """Return the record as JSON."""
    table = {
        "date": date.isoformat(),
        "commit": commit,
        "clean": clean,
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "checks": [
            {
                "name": outcome.check.name,
                "title": outcome.check.title,
                "command": spelled(outcome.check),
                "passed": not outcome.wrong,
                "wrong": outcome.wrong,
                "took_s": round(outcome.took_s),
                "figures": outcome.result,
            }
            for outcome in outcomes
        ],
    }
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"


def spelled(check: Check) -> str:
    """Return a check's command as one would type it in the checkout."""
    return " ".join(check.command).replace(f"{ROOT}{os.sep}", "")


def chosen(arguments: Sequence[str] | None = None) -> list[Check]:
    """Return the checks that the command line asks for; ends the program for ``--list``."""
    names = [check.name for check in CHECKS]
    parser = argparse.ArgumentParser(description="run the long checks and record them")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--skip", action="append", default=[], choices=names, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the checks and end")
    asked = parser.parse_args(arguments)
    if asked.list:
        for check in CHECKS:
            sys.stdout.write(f"{check.name:12}  {check.title}\n")
        parser.exit()
    unknown = sorted({*asked.names} - {*names})
    if unknown:
        parser.error(f"there is no check {unknown[0]}: choose of {', '.join(names)}")
    wanted = asked.names or names
    return [check for check in CHECKS if check.name in wanted and check.name not in asked.skip]


def main() -> int:
    """Run the checks, write the record, return the exit code."""
    checks = chosen()
    outcomes = []
    for number, check in enumerate(checks, 1):
        sys.stderr.write(f"{number}/{len(checks)} {check.name}: {check.title}\n")
        outcomes.append(run(check))
        for sentence in outcomes[-1].wrong:
            sys.stderr.write(f"  {sentence}\n")
        sys.stderr.write(f"  {outcomes[-1].took_s:.0f} s\n")
    commit, clean = git("rev-parse", "--short=12", "HEAD"), not git("status", "--porcelain")
    date = datetime.datetime.now(datetime.UTC).date()
    path = RECORDS / f"{date.isoformat()}-{commit}.md"
    path.write_text(record(outcomes, date, commit, clean))
    path.with_suffix(".json").write_text(as_json(outcomes, date, commit, clean))
    failed = sum(bool(outcome.wrong) for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes) - failed} of {len(outcomes)} passed; {path}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
