"""A question asked: load it, run it over networks and configurations, compare two.

::

    load(path) ─► Scenario ─ run ─► frame: a row for each configuration and network
                                └─► summarise ─► mean and interval of each metric
    compare(a, b): the same networks twice, differences network by network

A configuration's networks are drawn with seeds 1, 2, … and every configuration has the same
ones. So two of them differ in what was asked and not in luck, and their differences network
by network are less uncertain than either figure (common random numbers).
"""

import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars

from shoal_protocol.errors import UserError
from shoal_sim import engines, metrics, runs, scenario
from shoal_sim.engines import ALONE, Crew
from shoal_sim.results import Results
from shoal_sim.runs import Run
from shoal_sim.scenario import Scenario, load

TIERS: dict[str, str] = {  # tier: the module whose simulate(scenario, seed) answers
    "exact": "shoal_sim.exact.model",
    "vector": "shoal_sim.vector.model",
    "structures": "shoal_sim.vector.structures",
}
Told = Callable[[int], None]  # how many networks are done
_FIRST: Final = ("configuration", "seed")


@dataclass(frozen=True, slots=True)
class _Task:
    """One network of one configuration, for whoever works."""

    module: str
    scenario: Scenario
    seed: int
    tables: bool


def networks(asked: Scenario) -> int:
    """Return how many networks a scenario runs, of all its configurations."""
    return asked.seeds * sum(1 for _ in asked.configurations())


def run(
    asked: Scenario | Path | str,
    *,
    seeds: int | None = None,
    crew: Crew = ALONE,
    told: Told | None = None,
) -> polars.DataFrame:
    """Run a scenario, or a file of one, and return its rows; nothing is written.

    Args:
        seeds: how many networks; the scenario says it else.
        crew: who works.
        told: is called with the number of networks that are done.

    Returns:
        a row for each configuration and network: ``configuration``, ``seed``, the swept keys,
        then the metrics of the tier.

    Raises:
        UserError: what is asked can't be run.
    """
    what = asked if isinstance(asked, Scenario) else load(asked)
    what = what if seeds is None else replace(what, seeds=seeds)
    todo = list(enumerate(what.configurations()))
    parts = [
        _rows(number, keys, found)
        for number, keys, found in _finished(what, todo, crew, told or _silent, tables=False)
    ]
    return polars.concat(parts, how="diagonal")


def sweep(
    asked: Scenario,
    under: Path,
    *,
    crew: Crew = ALONE,
    told: Told | None = None,
    tables: bool = False,
    opened: Callable[[Run], None] | None = None,
) -> Run:
    """Run a scenario into its directory under ``under``, going on where it was left.

    Args:
        tables: keep the tables of each network too.
        opened: is called with the run before the work begins.
    """
    return go_on(
        runs.begin(asked, under), crew=crew, told=told, tables=tables, opened=opened or _unseen
    )


def go_on(
    run: Run,
    *,
    crew: Crew = ALONE,
    told: Told | None = None,
    tables: bool = False,
    opened: Callable[[Run], None] | None = None,
) -> Run:
    """Finish a run: the configurations that have no part yet, then what is made of all parts.

    Raises:
        UserError: another process works on it, or what is asked can't be run.
    """
    with runs.held(run):
        (opened or _unseen)(run)
        _complete(run, crew, told or _silent, tables=tables)
    return run


def _complete(run: Run, crew: Crew, tell: Told, *, tables: bool) -> None:
    asked, done = run.scenario, run.finished()
    everything = list(enumerate(asked.configurations()))
    left = [one for one in everything if one[0] not in done]
    before = (len(everything) - len(left)) * asked.seeds
    tell(before)
    working = _finished(asked, left, crew, lambda count: tell(before + count), tables=tables)
    for number, keys, found in working:
        for seed, result in enumerate(found, start=1):
            for name, frame in result.tables.items():
                if tables:
                    runs.write_frame(run.table(number, seed, name), frame)
        runs.write_frame(run.part(number), _rows(number, keys, found))
    parts = [polars.read_parquet(run.part(number)) for number, _ in everything]
    rows = polars.concat(parts, how="diagonal")
    runs.write_frame(run.results, rows)
    runs.write_frame(run.summary, summarise(rows, [name for name, _ in asked.sweep]))


def _finished(
    asked: Scenario,
    todo: Sequence[tuple[int, tuple[dict[str, Any], Scenario]]],
    crew: Crew,
    tell: Told,
    *,
    tables: bool,
) -> Iterator[tuple[int, dict[str, Any], list[Results]]]:
    """Yield each configuration with its results, when all of its networks are done."""
    tasks = [
        _Task(TIERS[one.tier], one, seed, tables)
        for _, (_, one) in todo
        for seed in range(1, asked.seeds + 1)
    ]
    results = engines.each(_simulate, tasks, crew)
    count = 0
    try:
        for number, (keys, _) in todo:
            found: list[Results] = []
            for result in itertools.islice(results, asked.seeds):
                found.append(result)
                count += 1
                tell(count)
            yield number, keys, found
    finally:
        results.close()  # type: ignore[attr-defined]  # a generator


def _simulate(task: _Task) -> Results:
    module = importlib.import_module(task.module)
    found: Results = module.simulate(task.scenario, task.seed)
    return found if task.tables else Results(found.metrics)


def _rows(number: int, keys: Mapping[str, Any], found: Sequence[Results]) -> polars.DataFrame:
    """Return the rows of one configuration."""
    head = {"configuration": polars.Int32, "seed": polars.Int32}
    names = list(dict.fromkeys(name for result in found for name in result.metrics))
    columns: dict[str, Any] = {
        "configuration": [number] * len(found),
        "seed": list(range(1, len(found) + 1)),
        **{key: [value] * len(found) for key, value in keys.items()},
        **{name: [float(one.metrics.get(name, _NAN)) for one in found] for name in names},
    }
    return polars.DataFrame(
        columns, schema_overrides={**head, **dict.fromkeys(names, polars.Float64)}
    )


def summarise(rows: polars.DataFrame, keys: Sequence[str] = ()) -> polars.DataFrame:
    """Return the mean over networks of each metric of each configuration, and its interval.

    Returns:
        ``configuration``, the swept keys, ``metric``, ``mean``, ``low``, ``high`` (Student's
        t over networks, ``metrics.CONFIDENCE``; null where one network was run), ``networks``.
    """
    found: list[dict[str, Any]] = []
    for part in rows.partition_by("configuration", maintain_order=True):
        head = part.row(0, named=True)
        for name in measured(rows, keys):
            values = part[name].drop_nulls().drop_nans().to_numpy()
            low, high = metrics.interval(values)
            told = len(values) > 1
            found.append(
                {
                    "configuration": head["configuration"],
                    **{key: head[key] for key in keys},
                    "metric": name,
                    "mean": float(values.mean()) if len(values) else None,
                    "low": low if told else None,
                    "high": high if told else None,
                    "networks": len(values),
                }
            )
    schema = dict.fromkeys(("mean", "low", "high"), polars.Float64)
    return polars.DataFrame(found, schema_overrides=schema, infer_schema_length=None)


def measured(rows: polars.DataFrame, keys: Sequence[str] = ()) -> list[str]:
    """Return the names of the metrics of a frame of rows."""
    return [name for name in rows.columns if name not in (*_FIRST, *keys)]


def compare(
    one: Scenario,
    other: Scenario,
    *,
    crew: Crew = ALONE,
    told: Told | None = None,
) -> polars.DataFrame:
    """Run two scenarios on the same networks and return how the second differs.

    Both are run with the number of networks of the first; sweeps are compared configuration
    by configuration.

    Returns:
        a row for each configuration and metric that both have: means ``a`` and ``b``,
        ``difference`` b − a with ``low`` and ``high`` (Student's t over differences network by
        network), ``apart``: whether the interval leaves out 0.

    Raises:
        UserError: they have not as many configurations.
    """
    if one.seeds < 2:
        raise UserError("Two scenarios are compared over two networks at least: seeds = 2 or more.")
    second = replace(other, seeds=one.seeds)
    if networks(one) != networks(second):
        raise UserError("The two scenarios have not as many configurations, so they don't pair.")
    tell = told or _silent
    a = run(one, crew=crew, told=tell)
    b = run(second, crew=crew, told=lambda count: tell(networks(one) + count))
    keys = dict(one.sweep)
    both = [
        name for name in measured(a, list(keys)) if name in measured(b, list(dict(other.sweep)))
    ]
    parts = zip(
        a.partition_by("configuration", maintain_order=True),
        b.partition_by("configuration", maintain_order=True),
        strict=True,
    )
    found: list[dict[str, Any]] = []
    for left, right in parts:
        head = left.row(0, named=True)
        for name in both:
            differences = (right[name] - left[name]).to_numpy()
            low, high = metrics.interval(differences)
            found.append(
                {
                    "configuration": head["configuration"],
                    **{key: head[key] for key in keys},
                    "metric": name,
                    "a": left[name].mean(),
                    "b": right[name].mean(),
                    "difference": float(differences.mean()),
                    "low": low,
                    "high": high,
                    "apart": bool(low > 0 or high < 0),
                }
            )
    return polars.DataFrame(found, infer_schema_length=None)


def resolved(path: Path | str, *, seeds: int | None = None) -> Scenario:
    """Return a scenario of a file, with another number of networks if one is given."""
    asked = scenario.load(path)
    return asked if seeds is None else replace(asked, seeds=seeds)


def _silent(count: int) -> None:
    """Tell nobody."""


def _unseen(run: Run) -> None:
    """Tell nobody."""


_NAN: Final = float("nan")
