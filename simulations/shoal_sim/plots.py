"""A run's figures as SVG: each metric over what was swept, intervals as bands.

::

    summary ─┬─ numbers swept ───► lines over the key of most values, one for each of the rest
             ├─ words swept ─────► points with bars
             └─ nothing swept ───► a point for each network, mean and band

The same summary gives the same bytes: ids come from a salt, and no date is written.
"""

import io
import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import matplotlib
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from shoal_sim import words
from shoal_sim.metrics import CONFIDENCE
from shoal_sim.scenario import Scenario

# Okabe and Ito's colours, which the colour-blind tell apart, in Shoal's order; then dashes.
COLOURS: Final = ("#0d6a76", "#d55e00", "#e56b9a", "#0072b2", "#e69f00", "#009e73", "#56b4e9")
MARKS: Final = ("o", "s", "^", "D", "v", "P", "X")
INK: Final = "#10313a"
SOFT: Final = "#5d747c"
GRID: Final = "#d5e4e5"
_WIDE: Final = 30.0  # greatest over least from which an axis is logarithmic
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def draw(
    scenario: Scenario,
    rows: polars.DataFrame,
    summary: polars.DataFrame,
    metric: str,
    *,
    small: bool = False,
) -> bytes:
    """Return one metric of a run as an SVG file.

    Args:
        rows: a row for each configuration and network.
        summary: mean and interval of each metric of each configuration.
        small: half as wide, for letters that can be read beside another.
    """
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": metric}):
        figure = Figure(figsize=(5.0, 3.3) if small else (7.2, 4.0), layout="constrained")
        axes = figure.add_subplot()
        told = summary.filter((polars.col("metric") == metric) & polars.col("mean").is_not_null())
        told = told.filter(polars.col("mean").is_finite())
        keys = [name for name, _ in scenario.sweep]
        if keys and len(told):
            _swept(axes, told, keys)
        elif not keys:
            _networks(axes, rows, told, metric)
        axes.set_ylabel(textwrap.fill(words.capital(words.title(metric)), 34))
        _upright(axes, told, metric)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        return out.getvalue()


def over(summary: polars.DataFrame, keys: Sequence[str]) -> str:
    """Return the swept key that the plots lie over: the number with most values, else the first."""
    numeric = [key for key in keys if summary[key].dtype.is_numeric()]
    return max(numeric or keys[:1], key=lambda key: summary[key].n_unique())


def _swept(axes: Axes, told: polars.DataFrame, keys: Sequence[str]) -> None:
    key = over(told, keys)
    rest = [name for name in keys if name != key]
    numeric = told[key].dtype.is_numeric()
    title, unit, divisor = words.key(key, told[key])
    if numeric:
        told = told.with_columns(polars.col(key) / divisor)
    names = told[key].unique(maintain_order=True).to_list()
    groups = told.partition_by(rest, maintain_order=True) if rest else [told]
    for number, group in enumerate(groups):
        if numeric:
            group = group.sort(key)
        colour = COLOURS[number % len(COLOURS)]
        mark, dash = MARKS[number % len(MARKS)], ("-", "--", ":")[number // len(COLOURS) % 3]
        label = ", ".join(_value(name, group[name][0], told, alone=len(rest) == 1) for name in rest)
        mean = group["mean"].to_list()
        low = [b if a is None else a for a, b in zip(group["low"].to_list(), mean, strict=True)]
        high = [b if a is None else a for a, b in zip(group["high"].to_list(), mean, strict=True)]
        if numeric:
            x = group[key].to_list()
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, mean, dash, color=colour, marker=mark, markersize=5, label=label)
            continue
        shift = (number - (len(groups) - 1) / 2) * min(0.16, 0.6 / len(groups))
        x = [names.index(value) + shift for value in group[key].to_list()]
        bars = [
            [m - a for m, a in zip(mean, low, strict=True)],
            [b - m for m, b in zip(mean, high, strict=True)],
        ]
        axes.errorbar(
            x, mean, bars, fmt=mark, color=colour, markersize=7, capsize=4, lw=1.4, label=label
        )
    axes.set_xlabel(words.capital(f"{title}, {unit}" if unit else title))
    if not numeric:
        axes.set_xticks(range(len(names)), [str(name) for name in names])
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.grid(visible=False, axis="x")
    elif min(names) > 0 and max(names) / min(names) >= _WIDE:
        axes.set_xscale("log")
        axes.minorticks_off()
        if len(names) <= 8:
            axes.set_xticks(sorted(names), [words.plain(name) for name in sorted(names)])
    elif len(names) <= 8:
        axes.set_xticks(sorted(names), [words.plain(name) for name in sorted(names)])
    if rest:
        _legend(axes, len(groups), words.key(rest[0], told[rest[0]])[0] if len(rest) == 1 else "")


def _legend(axes: Axes, lines: int, title: str) -> None:
    """Put the legend beside the lines, where it covers none."""
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=1 + lines // 16,
        title=words.capital(textwrap.fill(title, 22)),
        title_fontsize=9,
        alignment="left",
    )


def _networks(axes: Axes, rows: polars.DataFrame, told: polars.DataFrame, metric: str) -> None:
    values = rows[metric].to_list()
    axes.plot(rows["seed"].to_list(), values, "o", color=COLOURS[0], markersize=5, alpha=0.8)
    for row in told.to_dicts():
        if row["low"] is not None:
            axes.axhspan(row["low"], row["high"], color=COLOURS[0], alpha=0.15, linewidth=0)
        axes.axhline(row["mean"], color=COLOURS[0], linewidth=1.4)
    axes.set_xlabel(f"Network (seed); line: mean, band: its {round(100 * CONFIDENCE)} % interval")
    if len(values) <= 20:
        axes.set_xticks(rows["seed"].to_list())


def _upright(axes: Axes, told: polars.DataFrame, metric: str) -> None:
    """Choose the upright axis: from 0 where that says something, logarithmic where it must."""
    means = [abs(value) for value in told["mean"].to_list()]
    if not means:
        axes.text(0.5, 0.5, "nothing to measure", transform=axes.transAxes, ha="center")
        return
    least, most = min(means), max(means)
    if least > 0 and most / least >= 100 and not metric.endswith("_bits"):
        axes.set_yscale("log")
    elif (
        least == 0
        and metric.endswith("_share")
        and most / min(filter(None, means), default=1) >= 100
    ):
        # Decades down to the least that is above 0, which stands below them.
        decade = 10.0 ** math.floor(math.log10(min(filter(None, means))))
        axes.set_yscale("symlog", linthresh=decade, linscale=0.5)
        axes.set_ylim(bottom=0)
    elif most and (least / most < 0.6 or len(set(means)) == 1):
        axes.set_ylim(bottom=0)
    if math.isclose(least, most):
        axes.margins(y=0.3)
    reach = 4 * most
    if most and told["high"].drop_nulls().filter(told["high"].drop_nulls() > reach).len():
        # So few networks that intervals would leave means no room: those run out of the picture.
        axes.set_ylim(top=1.5 * most)
        if axes.get_ylim()[0] < -0.5 * most:
            axes.set_ylim(bottom=-0.5 * most if min(told["mean"].to_list()) < 0 else 0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.number(value)))
    for tick in itertools.chain(axes.get_yticklabels(), axes.get_xticklabels()):
        tick.set_fontsize(9)


def _value(name: str, value: Any, told: polars.DataFrame, *, alone: bool) -> str:
    """Return a value of a swept key for the legend; its title names a key that is ``alone``."""
    title, unit, divisor = words.key(name, told[name])
    number = words.plain(value / divisor if divisor != 1 else value)
    return f"{'' if alone else f'{title} '}{number}{f' {unit}' if unit else ''}"
