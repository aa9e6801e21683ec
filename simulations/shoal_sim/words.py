"""Metrics in words: titles with units, numbers as people read them, the answer in a sentence.

::

    latency_p50_ms ─► "median latency, ms"      0.000123456 ─► "0.0001235"
    summary ─► "Sender entropy rises from 6.64 bits (100 people) to 9.97 bits (1,000 people)."
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars

from shoal_sim.metrics import CONFIDENCE
from shoal_sim.scenario import Scenario

UNITS: Final[Mapping[str, str]] = {  # the end of a metric's name, the longest first
    "_gb_per_month": "GB a month",
    "_kb_per_s": "kB/s",
    "_per_s": "a second",
    "_bits": "bits",
    "_share": "",
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
NAMES: Final[Mapping[str, str]] = {  # metrics whose own name says too little, without units
    "alone_alike_share": "share of people left alone, alike",
    "alone_spread_share": "share of people left alone, spread",
    "delivered_share": "share delivered",
    "each_bit_gb_per_month": "traffic for each bit",
    "eclipsed_share": "share of lookups eclipsed",
    "followed_people_share": "share of people followed",
    "lookup_calls": "calls of a lookup",
    "lookup_found_share": "share of lookups that find",
    "lookup_rounds": "rounds of a lookup",
    "lookup_s": "time of a lookup",
    "path_all_corrupt_share": "share of paths of corrupt relays alone",
    "path_both_ends_share": "share of paths with both ends corrupt",
    "path_mixes_corrupt_share": "share of paths with all mixes corrupt",
    "person_gb_per_month": "traffic of a person",
    "person_kb_per_s": "traffic of a person",
    "pool_mean": "packets in a mix's pool",
    "predicted_bits": "sender entropy by the closed form",
    "record_keepers": "honest keepers of a record",
    "relay_kb_per_s": "traffic of a relay",
    "storage_lost_share": "share of mail lost",
    "storage_made": "copies made anew",
    "storage_unreadable_share": "share of mail that can't be read",
    "suspects_alike": "suspects, where all are online alike",
    "suspects_spread": "suspects, where people differ",
}
_GUESSES: Final[Mapping[str, str]] = {  # of a sender, receiver or owner: metrics.Guess
    "entropy_bits": "{} entropy",
    "min_entropy_bits": "{} min-entropy",
    "guess_share": "probability of the best guess at the {}",
    "hit_share": "share of {}s guessed right",
    "surprise_bits": "surprise at the {}",
}
_GUESS: Final = re.compile(rf"(adversary_|)(sender|receiver|owner)_({'|'.join(_GUESSES)})\Z")
_QUANTILE: Final = re.compile(r"(.+)_p(\d+)\Z")
_COUNTED: Final = ("network.people", "network.relays")  # keys of which one says "100 people"
KEYS: Final[Mapping[str, str]] = {  # swept keys whose own name says too little
    "adversary.share": "share of relays in one hand",
    "adversary.subnets": "/16s in one hand",
    "churn.scale_min": "scale of how long relays stay",
    "network.active": "relays that mix",
    "network.parameters": "rules of the network",
    "network.people": "people",
    "network.relays": "relays",
    "network.replicas": "replicas, K",
    "time.length_s": "time",
    "traffic.hours": "hours of a day that a person is there",
    "traffic.mean_delay_ms": "mean delay",
    "traffic.rate": "packets a second, λ",
}
_LONGER: Final = {"ms": (1000.0, "s"), "s": (86_400.0, "days"), "min": (60.0, "hours")}


def split(metric: str) -> tuple[str, str]:
    """Return a metric's name in words and its unit, which may be empty."""
    end, unit = next((pair for pair in UNITS.items() if metric.endswith(pair[0])), ("", ""))
    if metric in NAMES:
        return NAMES[metric], unit
    if guess := _GUESS.match(metric):
        adversary, whose, what = guess.groups()
        seen = f" {'by' if unit != 'bits' else 'to'} the adversary" if adversary else ""
        return _GUESSES[what].format(whose) + seen, unit
    name = metric.removesuffix(end)
    if quantile := _QUANTILE.match(name):
        of = quantile[1].replace("_", " ")
        return (
            f"median {of}" if quantile[2] == "50" else f"{quantile[2]} % quantile of {of}"
        ), unit
    for last, word in {"_mean": "mean", "_max": "greatest"}.items():
        if name.endswith(last):
            return f"{word} {name.removesuffix(last).replace('_', ' ')}", unit
    name = name.replace("_", " ")
    return (f"{name}, as a share" if end == "_share" else name), unit


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
        return f"There was nothing to measure: no {name}."
    return f"{capital(name)} {_course(scenario, summary, told, unit)}. {_sure(scenario, told)}"


def _course(
    scenario: Scenario, summary: polars.DataFrame, told: Sequence[Mapping[str, Any]], unit: str
) -> str:
    """Return how a metric goes over the sweep: where it is least and where it is most."""
    keys = [key for key, _ in scenario.sweep]
    means = [float(row["mean"]) for row in told]
    low, high = told[means.index(min(means))], told[means.index(max(means))]
    if len(told) == 1 or low["mean"] == high["mean"]:
        alike = f" in all {len(told)} configurations" if len(told) > 1 else ""
        return f"is {figure(told[0], unit)}{alike}"

    def at(row: Mapping[str, Any]) -> str:
        values = (at_key(key, row[key], summary[key]) for key in keys)
        return f"{figure(row, unit)} ({', '.join(values)})"

    if len(keys) == 1 and summary[keys[0]].dtype.is_numeric():
        along = sorted(told, key=lambda row: float(row[keys[0]]))
        over = [float(row["mean"]) for row in along]
        if over in (sorted(over), sorted(over, reverse=True)):
            verb = "rises" if over[0] < over[-1] else "falls"
            return f"{verb} from {at(along[0])} to {at(along[-1])}"
    return f"lies between {at(low)} and {at(high)}"


def _sure(scenario: Scenario, told: Sequence[Mapping[str, Any]]) -> str:
    """Return how sure figures are, in a sentence."""
    if scenario.seeds == 1:
        return "That is one network, which says nothing of how much networks differ."
    halves = [_half(row) for row in told]
    each = " each" if len(told) > 1 else ""
    sentence = f"Means over {scenario.seeds} networks{each}"
    if any(half > 0 for half in halves):
        sentence += f"; ± is half of the {round(100 * CONFIDENCE)} % interval"
    if any(half > abs(row["mean"]) for half, row in zip(halves, told, strict=True)):
        sentence += ", which so few networks leave wide: run more, with --seeds"
    return f"{sentence}."


def _half(row: Mapping[str, Any]) -> float:
    return 0.0 if row["low"] is None else (float(row["high"]) - float(row["low"])) / 2


def figure(row: Mapping[str, Any], unit: str) -> str:
    """Return a row of the summary with its interval and its unit."""
    return f"{with_interval(row)}{f' {unit}' if unit else ''}"


def at_key(name: str, value: Any, values: Iterable[Any]) -> str:
    """Return a configuration's value of a swept key: "100 people", "mean delay of 50 ms"."""
    told, unit, divisor = key(name, values)
    if isinstance(value, bool | str):
        return f"{told} {value}"
    amount = plain(value / divisor if divisor != 1 else value)
    if name in _COUNTED:
        return f"{amount} {told if value != 1 else {'people': 'person'}.get(told, told[:-1])}"
    if amount == "1" and unit in ("days", "hours"):
        unit = unit[:-1]
    between = " of" if unit and " of " not in told else ":"
    return f"{told}{between} {amount}{f' {unit}' if unit else ''}"


def head(name: str, values: Iterable[Any]) -> tuple[str, str, list[str]]:
    """Return a swept key for a table: in words, its unit, and ``values`` in it."""
    there = list(values)
    told, unit, divisor = key(name, there)
    return told, unit, [plain(each / divisor if divisor != 1 else each) for each in there]


def capital(text: str) -> str:
    """Return a text that begins with a capital."""
    return text[:1].upper() + text[1:]


def plain(value: Any) -> str:
    """Return a swept value as it is read: numbers with their thousands apart."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,.10g}"
    return str(value)
