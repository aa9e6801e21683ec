"""What ``shoal sim`` does, and prints; ``cli.py`` has the parsers, and imports this late.

::

    run, sweep, resume ─► study ─► a run's directory, with plots and report
    compare ─► pairs · predict, tune ─► formulas · validate ─► targets · bench ─► speeds

Data goes to standard output, sentences and progress to standard error.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import polars

from shoal_protocol.errors import UserError
from shoal_sim import metrics, predictions, runs, study, tuning, words
from shoal_sim.engines import Crew
from shoal_sim.progress import Progress
from shoal_sim.runs import Run

_CONFIDENCE: Final = f"{round(100 * metrics.CONFIDENCE)} %"


def run(arguments: argparse.Namespace) -> int | None:
    """``run``: a scenario, a sweep included, into its directory."""
    asked = study.resolved(arguments.scenario, seeds=arguments.seeds)
    return _run(runs.begin(asked, arguments.out), arguments)


def sweep(arguments: argparse.Namespace) -> int | None:
    """``sweep``: the same, of a scenario that has one."""
    asked = study.resolved(arguments.scenario, seeds=arguments.seeds)
    if not asked.sweep:
        raise UserError(
            f'{arguments.scenario} has no [sweep]; add one, as "network.people" = [100, 1000].'
        )
    return _run(runs.begin(asked, arguments.out), arguments)


def resume(arguments: argparse.Namespace) -> int | None:
    """``resume``: what is left of a run."""
    return _run(runs.reopen(arguments.directory), arguments)


def report(arguments: argparse.Namespace) -> int | None:
    """``report``: plots and page anew."""
    run = runs.reopen(arguments.directory, to_go_on=False)
    if not run.summary.is_file():
        raise UserError(
            f"{run.directory} isn't finished; go on with `shoal sim resume {run.directory}`."
        )
    _write_report(run)
    _tell(run, as_json=arguments.json)
    return None


def compare(arguments: argparse.Namespace) -> int | None:
    """``compare``: two scenarios on the same networks."""
    one = study.resolved(arguments.scenario, seeds=arguments.seeds)
    other = study.resolved(arguments.other)
    with _progress("networks", 2 * study.networks(one), arguments) as progress:
        frame = study.compare(one, other, crew=_crew(arguments), told=progress)
    rows = frame.to_dicts()
    if arguments.json:
        _out_json({"a": one.question, "b": other.question, "differences": rows})
        return None
    keys = [name for name, _ in one.sweep]
    heads = [", ".join(filter(None, words.head(key, values)[:2])) for key, values in one.sweep]
    cells = [[*heads, "metric", "a", "b", "b − a", f"{_CONFIDENCE} interval", "differs"]]
    for row in rows:
        if row["a"] == row["b"] and row["low"] == row["high"] == 0:
            continue
        cells.append(
            [
                *(str(row[key]) for key in keys),
                words.title(row["metric"]),
                words.number(row["a"]),
                words.number(row["b"]),
                words.number(row["difference"]),
                f"{words.number(row['low'])} to {words.number(row['high'])}",
                "yes" if row["apart"] else "",
            ]
        )
    _table(cells)
    _note(f"Both on the same {one.seeds} networks; a metric that is equal in all is left out.")
    return None


def predict(arguments: argparse.Namespace) -> int | None:
    """``predict``: closed forms."""
    asked = study.resolved(arguments.scenario)
    found = [(keys, predictions.predict(one)) for keys, one in asked.configurations()]
    if arguments.json:
        rows = [
            {
                "configuration": keys,
                "metrics": {name: predictions.rounded(value) for name, value in values.items()},
            }
            for keys, values in found
        ]
        _out_json({"question": asked.question, "predictions": rows})
        return None
    for keys, values in found:
        if keys:
            _out(", ".join(f"{key} = {value}" for key, value in keys.items()))
        _table([[words.title(name), words.number(value)] for name, value in values.items()])
    _note("Closed forms, without adversaries' views, churn and losses; `shoal sim run` draws them.")
    return None


def tune(arguments: argparse.Namespace) -> int | None:
    """``tune``: a budget in, a preset out."""
    budget = tuning.Budget(arguments.gb_per_month, arguments.latency_ms)
    found = tuning.tune(budget, arguments.people, arguments.relays)
    preset, near = found.preset, tuning.nearest(found.preset)
    if arguments.json:
        values = dataclasses.asdict(found)
        values["preset"] |= {"outstanding_gets": preset.outstanding_gets}
        _out_json({**values, "nearest_preset": near.name})
        return None
    quick = preset.quick_share * found.gb_per_month
    _table(
        [
            ["packets up a second (rate)", f"{preset.rate:g}"],
            ["mean delay at each mix", f"{preset.mean_delay_ms} ms"],
            ["share of quick slots", str(Fraction(preset.quick_share).limit_denominator(10))],
            [
                "mean wait of a GET",
                f"{preset.get_wait_mean_ms / 1000:g} s, {preset.outstanding_gets} at once",
            ],
            ["bits of who sent it, to a watcher of all links", words.number(found.bits)],
            [
                "pool at a mix",
                f"{words.number(found.pool)} packets at {found.active} of "
                f"{arguments.relays} relays",
            ],
            [
                f"of {budget.gb_per_month:g} GB a month",
                f"{words.number(found.gb_per_month)}: {words.number(quick)} in quick slots, "
                f"{words.number(found.gb_per_month - quick)} in waiting ones",
            ],
            [
                f"of {budget.latency_ms:g} ms in 95 %",
                f"{found.p95_ms:.0f}, and {found.p50_ms:.0f} in half; the mean is "
                f"{found.slot_ms:.0f} for a slot, {found.mixes_ms:.0f} in mixes, "
                f"{found.links_ms:.0f} on links",
            ],
        ]
    )
    _note(
        f"The node's nearest preset is {near.name}: {near.rate:g} packets a second, "
        f"{near.mean_delay_ms} ms."
    )
    return None


def validate(arguments: argparse.Namespace) -> int | None:
    """``validate``: figures of the literature; fails when one is missed."""
    from shoal_sim.validation import suite
    from shoal_sim.validation.target import Effort

    effort = Effort.REDUCED if arguments.reduced else Effort.FULL
    ids = arguments.only or ()
    with _progress("targets", len(suite.chosen(ids)), arguments) as progress:
        outcomes = suite.measure(effort, ids=ids, crew=_crew(arguments), told=progress)
    rows = suite.as_rows(outcomes)
    failed = [row["id"] for row in rows if not row["pass"]]
    if arguments.json:
        _out_json({"targets": rows})
    else:
        cells = [["target", "what", "expected", "ours", f"{_CONFIDENCE} interval", "", "source"]]
        cells += [
            [
                row["id"],
                row["what"],
                words.number(row["expected"]),
                words.number(row["value"]),
                " to ".join("?" if end is None else words.number(end) for end in row["interval"]),
                "pass" if row["pass"] else "FAIL",
                row["source"],
            ]
            for row in rows
        ]
        _table(cells)
    if failed:
        _note(f"shoal: {len(failed)} of {len(rows)} figures are missed: {', '.join(failed)}.")
        return 1
    _note(f"All {len(rows)} figures are met.")
    return None


def bench(arguments: argparse.Namespace) -> int | None:
    """``bench``: speeds beside their anchors."""
    from shoal_sim import bench as benches

    names = arguments.names or list(benches.BENCHES)
    for name in names:
        if name not in benches.BENCHES:
            raise UserError(f"There is no bench {name}; there are {', '.join(benches.BENCHES)}.")
    speeds = []
    with _progress("benches", len(names), arguments) as progress:
        for done, name in enumerate(names, start=1):
            speeds += benches.measure([name])
            progress(done)
    if arguments.json:
        _out(benches.as_json(speeds))
        return None
    cells = [["bench", "what", "here", "asked", "anchor"]]
    for one in speeds:
        asked = f"{'at most' if one.most else 'at least'} {one.least:,.6g}"
        cells.append([one.id, one.what, f"{one.value:,.4g} {one.unit}", asked, one.anchor])
    _table(cells)
    return None


def _run(run: Run, arguments: argparse.Namespace) -> int | None:
    """Finish a run and tell of it; say how to go on when it is interrupted."""
    total = study.networks(run.scenario)
    try:
        with _progress("networks", total, arguments) as progress:
            study.go_on(run, crew=_crew(arguments), told=progress, tables=arguments.tables)
        _write_report(run)
    except KeyboardInterrupt:
        done, all_of = len(run.finished()), sum(1 for _ in run.scenario.configurations())
        raise KeyboardInterrupt(
            f"Interrupted with {done} of {all_of} configurations done; go on with "
            f"`shoal sim resume {run.directory}`."
        ) from None
    _tell(run, as_json=arguments.json)
    return None


def _write_report(run: Run) -> None:
    from shoal_sim import report

    report.write(run)


def _tell(run: Run, *, as_json: bool) -> None:
    summary = polars.read_parquet(run.summary)
    keys = [name for name, _ in run.scenario.sweep]
    if as_json:
        _out_json(
            {
                "question": run.scenario.question,
                "answer": words.answer(run.scenario, summary),
                "directory": str(run.directory),
                "report": str(run.report),
                "networks": run.scenario.seeds,
                "configurations": [
                    {
                        "keys": {key: part[key][0] for key in keys},
                        "metrics": {
                            row["metric"]: {
                                "mean": predictions.rounded(row["mean"]),
                                "low": predictions.rounded(row["low"]),
                                "high": predictions.rounded(row["high"]),
                            }
                            for row in part.to_dicts()
                        },
                    }
                    for part in summary.partition_by("configuration", maintain_order=True)
                ],
            }
        )
        return
    _out(run.scenario.question)
    _out(words.answer(run.scenario, summary))
    _out()
    shown = words.shown(run.scenario, summary)
    parts = summary.partition_by("configuration", maintain_order=True)
    swept = [words.head(key, (part[key][0] for part in parts)) for key in keys]
    heads = [", ".join(filter(None, told[:2])) for told in swept]
    cells = [[*heads, *(words.title(name) for name in shown)]]
    for place, part in enumerate(parts):
        by_name = {row["metric"]: row for row in part.to_dicts()}
        head = [values[place] for _, _, values in swept]
        cells.append([*head, *(words.with_interval(by_name[name]) for name in shown)])
    _table(cells)
    _out()
    _note(f"Report: {run.report}")


def _progress(what: str, total: int, arguments: argparse.Namespace) -> Progress:
    """Return who tells how far a command is: nobody where JSON is asked for, and not progress."""
    return Progress(what, total, arguments.progress or (False if arguments.json else None))


def _crew(arguments: argparse.Namespace) -> Crew:
    return Crew(arguments.workers, arguments.engine, arguments.scheduler)


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [cell.ljust(room) for cell, room in zip(row, widths, strict=True)]
        _out("  ".join(padded).rstrip())


def _out(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _out_json(value: Any) -> None:
    _out(json.dumps(value, ensure_ascii=False))


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
