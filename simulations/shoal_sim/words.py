"""Metrics in words: titles with units, numbers as people read them, the answer in a sentence.

::

    latency_p50_ms ─► "latency p50, ms"      0.000123456 ─► "0.0001235"
    summary ─► "sender entropy rises from 6.64 bits (network.people 100) to 9.97 bits (1000)"
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars

from shoal_sim.metrics import CONFIDENCE
from shoal_sim.scenario import Scenario

UNITS: Final[Mapping[str, str]] = {  # the end of a metric's name, the longest first
    "_gb_per_month": "GB a month",
    "_kb_per_s": "kB/s",
    "_per_s": "a second",
    "_bits": "bits",
    "_share": "share",
    "_ms": "ms",
    "_s": "s",
}
# What a report shows when the scenario does not say: of these, those that there are.
USUAL: Final = (
    "sender_entropy_bits",
    "sender_min_entropy_bits",
    "sender_hit_share",
    "latency_p50_ms",
    "round_trip_p50_ms",
    "latency_p95_ms",
    "round_trip_p95_ms",
    "delivered_share",
    "person_gb_per_month",
)
_MOST_SHOWN: Final = 6
KEYS: Final[Mapping[str, str]] = {  # swept keys whose own name says too little
    "adversary.share": "share of relays in one hand",
    "churn.scale_min": "scale of how long relays stay",
    "network.active": "relays that mix",
    "network.people": "people",
    "network.relays": "relays",
    "network.replicas": "replicas, K",
    "time.length_s": "time",
    "traffic.hours": "hours of a day that a person is there",
    "traffic.mean_delay_ms": "mean delay of a mix",
    "traffic.rate": "packets a second, λ",
}
_LONGER: Final = {"ms": (1000.0, "s"), "s": (86_400.0, "days"), "min": (60.0, "hours")}


def split(metric: str) -> tuple[str, str]:
    """Return a metric's name in words and its unit, which may be empty."""
    for end, unit in UNITS.items():
        if metric.endswith(end):
            return metric.removesuffix(end).replace("_", " "), unit
    return metric.replace("_", " "), ""


def title(metric: str) -> str:
    """Return a metric's name in words, with its unit."""
    name, unit = split(metric)
    return f"{name}, {unit}" if unit else name


def key(name: str, values: Iterable[Any]) -> tuple[str, str, float]:
    """Return a swept key in words, its unit, and by what its values are divided to be of it.

    Times are told in the next longer unit where all of them are one of it or longer.
    """
    last = name.split(".")[-1]
    unit = next((unit for unit in _LONGER if last.endswith(f"_{unit}")), "")
    told = KEYS.get(name, last.removesuffix(f"_{unit}").replace("_", " "))
    if unit:
        times, longer = _LONGER[unit]
        if min(values) >= times:
            return told, longer, times
    return told, unit, 1.0


def number(value: float | None) -> str:
    """Return a number with four figures, and none that say nothing."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and abs(value) < 1e-4:
        return f"{value:.3g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def with_interval(row: Mapping[str, Any]) -> str:
    """Return a row of the summary as mean ± half of its interval."""
    if row["low"] is None or row["mean"] is None:
        return number(row["mean"])
    half = (row["high"] - row["low"]) / 2
    if half == 0 or not math.isfinite(half):
        return number(row["mean"])
    digits = max(0, 1 - math.floor(math.log10(half)))
    if digits > 6:
        return number(row["mean"])
    return f"{row['mean']:,.{digits}f} ± {half:,.{digits}f}"


def shown(scenario: Scenario, summary: polars.DataFrame) -> list[str]:
    """Return the metrics that a report shows first, the one that answers at their head."""
    there = summary["metric"].unique(maintain_order=True).to_list()
    asked = [name for name in scenario.show if name in there]
    usual = [name for name in USUAL if name in there]
    return (asked or usual or there)[:_MOST_SHOWN]


def answer(scenario: Scenario, summary: polars.DataFrame) -> str:
    """Return what came out, in a sentence or two: the first metric shown, over the sweep."""
    metric = shown(scenario, summary)[0]
    name, unit = split(metric)
    rows = summary.filter(polars.col("metric") == metric).to_dicts()
    told = [row for row in rows if row["mean"] is not None]
    if not told:
        return f"There was nothing to measure of {name}."
    name = f"{name[:1].upper()}{name[1:]}"
    over = f"over {scenario.seeds} network{'s' if scenario.seeds > 1 else ''}"
    if len(rows) == 1:
        return f"{name} is {_figure(told[0], unit)}, {over}{_kind(told[0])}."
    low, high = min(told, key=_mean), max(told, key=_mean)
    if low["mean"] == high["mean"]:
        return f"{name} is {_figure(low, unit)} in all {len(rows)} configurations, {over}."
    keys = [key for key, _ in scenario.sweep]
    return (
        f"{name} goes from {_figure(low, unit)} ({_where(low, keys)}) to "
        f"{_figure(high, unit)} ({_where(high, keys)}), {over} each{_kind(low)}."
    )


def _mean(row: Mapping[str, Any]) -> float:
    return float(row["mean"])


def _kind(row: Mapping[str, Any]) -> str:
    there = row["low"] is not None and row["high"] != row["low"]
    return f" (± half of the {round(100 * CONFIDENCE)} % interval)" if there else ""


def _figure(row: Mapping[str, Any], unit: str) -> str:
    return f"{with_interval(row)}{f' {unit}' if unit and unit != 'share' else ''}"


def _where(row: Mapping[str, Any], keys: list[str]) -> str:
    return ", ".join(f"{key.split('.')[-1].replace('_', ' ')} {plain(row[key])}" for key in keys)


def plain(value: Any) -> str:
    """Return a swept value as it is read: numbers with their thousands apart."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.10g}"
    return str(value)
