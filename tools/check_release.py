"""Run the long checks and write their record to ``docs/release-checks/``.

Usage: ``make check-release``. A record is named by date and commit and holds each check's
command, figures and verdict; the pass lines are those of docs/release-checks/README.md. The
exit code is 0 when every check passed.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import check_demo

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "release-checks"

Judge = Callable[[Mapping[str, Any]], list[str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One long check: a ``shoal`` command that prints a JSON object, and what it must say."""

    title: str
    command: tuple[str, ...]
    judge: Judge


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
    return ("demo", *arguments, "--json")


CHECKS = (
    Check(
        "200 messages each way",
        demo("--relays", "12", "--messages", "200"),
        messages_judge(12, 200),
    ),
    Check(
        "3 of 12 relays killed in the middle",
        demo("--relays", "12", "--messages", "200", "--kill", "3"),
        kill_judge(12, 200),
    ),
    Check(
        "100 messages and a file of 2 MiB for somebody whose node is off",
        demo("--offline", "--relays", "12", "--messages", "100", "--file-bytes", str(2 * 2**20)),
        offline_judge(12, 100, 2 * 2**20),
    ),
)


def run(check: Check) -> Outcome:
    """Run ``check``; its progress goes to this process's standard error."""
    shoal = str(Path(sys.executable).with_name("shoal"))
    began = time.monotonic()
    done = subprocess.run((shoal, *check.command), stdout=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode != 0:
        return Outcome(check, {}, [f"the command ended with {done.returncode}"], took)
    try:
        result = check_demo.last_object(done.stdout)
    except (ValueError, TypeError) as error:
        return Outcome(check, {}, [f"no JSON object at the end: {error}"], took)
    return Outcome(check, result, check.judge(result), took)


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
            f"`shoal {' '.join(outcome.check.command)}`, {outcome.took_s:.0f} s",
            "",
            *(f"- {sentence}" for sentence in outcome.wrong),
            *([""] if outcome.wrong else []),
            "```json",
            json.dumps(outcome.result, indent=1, ensure_ascii=False, sort_keys=True),
            "```",
            "",
        ]
    return "\n".join(lines)


def main() -> int:
    """Run all checks, write the record, return the exit code."""
    parser = argparse.ArgumentParser(description="run the long checks and record them")
    parser.add_argument("--only", type=int, metavar="N", help="run only the Nth check, from 1")
    only = parser.parse_args().only
    chosen = CHECKS if only is None else CHECKS[only - 1 : only]
    outcomes = []
    for number, check in enumerate(chosen, 1):
        sys.stderr.write(f"{number}/{len(chosen)} {check.title}\n")
        outcomes.append(run(check))
        for sentence in outcomes[-1].wrong:
            sys.stderr.write(f"  {sentence}\n")
    commit = git("rev-parse", "--short=12", "HEAD")
    date = datetime.datetime.now(datetime.UTC).date()
    path = RECORDS / f"{date.isoformat()}-{commit}.md"
    path.write_text(record(outcomes, date, commit, clean=not git("status", "--porcelain")))
    failed = sum(bool(outcome.wrong) for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes) - failed} of {len(outcomes)} passed; {path}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
