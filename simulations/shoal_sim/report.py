"""The report of a run: one HTML file that needs nothing else, for people.

::

    question ─► answer ─► plots ─► table ─► all figures ─► scenario ─► how to run it again

Plots stand in it as SVG, so it can be mailed, printed and kept. It has no script, loads
nothing, and says the same whenever it is written.
"""

import html
import json
import re
from collections.abc import Sequence
from typing import Any, Final

import polars

from shoal_sim import plots, runs, words
from shoal_sim.metrics import CONFIDENCE
from shoal_sim.runs import Run
from shoal_sim.scenario import Scenario

_TIERS: Final = {
    "exact": "exact: the protocol's own machines under virtual time",
    "vector": "vector: packets and relays as arrays, validated by <code>shoal sim validate</code>",
    "structures": "structures: paths, DHT, storage and occasions as arrays, validated alike",
}
_STYLE: Final = """
:root { color-scheme: light dark; --ground: #eef5f5; --card: #fff; --line: #d5e4e5;
  --ink: #10313a; --soft: #466069; --sea: #0d6a76; --sea-pale: #d5ecec; --pink: #f597b4;
  --rose: #e56b9a; --blue: #0072b2 }
@media screen and (prefers-color-scheme: dark) {
  :root { --ground: #0b1d23; --card: #122a31; --line: #294850; --ink: #e2f0f0; --soft: #a3bcc1;
    --sea: #5fc6d1; --sea-pale: #1b3e45; --pink: #f597b4; --rose: #f08fb3; --blue: #4da6e0 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 2.2rem 1.2rem 3rem }
header { border-left: 5px solid var(--pink); padding-left: 1.1rem; margin-bottom: 1.6rem }
.kind { color: var(--soft); font-size: .85rem; letter-spacing: .03em; margin: 0 }
h1 { font-size: clamp(1.4rem, 3.2vw, 2.15rem); line-height: 1.2; margin: .2rem 0 .7rem;
  text-wrap: balance; overflow-wrap: anywhere }
.answer { font-size: 1.13rem; margin: 0; max-width: 62ch }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .7rem; break-after: avoid }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr));
  gap: 1rem }
figure, .card { margin: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; padding: .9rem 1rem; min-width: 0 }
figure:first-child, figure:last-child:nth-child(even) { grid-column: 1 / -1 }
figure svg { width: 100%; height: auto; display: block; margin: 0 auto }
figure:not(:first-child) svg { max-width: 600px }
figcaption { font-weight: 600; margin-bottom: .4rem }
.scroll { overflow-x: auto; padding: 0 }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .45rem .8rem; border-bottom: 1px solid var(--line) }
td { white-space: nowrap }
th { color: var(--soft); font-weight: 600; font-size: .82rem; vertical-align: bottom;
  min-width: 5.5rem }
th:first-child, td:first-child { text-align: left }
tr:last-child td { border-bottom: 0 }
small { color: var(--soft); font-size: .84rem }
details { margin-top: 1rem } summary { cursor: pointer; color: var(--sea); font-weight: 600 }
pre { overflow-x: auto; margin: 0; font: .84rem/1.5 ui-monospace, "SF Mono", Menlo, monospace }
code { background: var(--sea-pale); border-radius: 4px; padding: .05em .3em; font-size: .9em }
pre code { background: none; padding: 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0 }
dt { color: var(--soft) } dd { margin: 0; min-width: 0; overflow-wrap: anywhere }
@media print { body { background: #fff; font-size: 11pt } main { max-width: none; padding: 0 }
  figure, .card, tr { break-inside: avoid } .scroll { overflow: visible }
  th, td { padding: .25rem .4rem; font-size: 8pt; min-width: 0 }
  pre { white-space: pre-wrap } details::details-content { content-visibility: visible } }
"""
# Colours of plots that turn with those of the page.
_TURNING: Final = {
    plots.INK: "ink",
    plots.SOFT: "soft",
    plots.GRID: "line",
    "#ffffff": "card",
    plots.COLOURS[0]: "sea",
    plots.COLOURS[2]: "rose",
    plots.COLOURS[3]: "blue",
}


def write(run: Run) -> None:
    """Draw a finished run's plots and write its report."""
    rows, summary = polars.read_parquet(run.results), polars.read_parquet(run.summary)
    shown = words.shown(run.scenario, summary)
    drawn = {
        name: plots.draw(run.scenario, rows, summary, name, small=place > 0)
        for place, name in enumerate(shown)
    }
    for name, svg in drawn.items():
        runs.write(run.directory / "plots" / f"{name}.svg", svg)
    runs.write(run.report, page(run, summary, drawn).encode())


def page(run: Run, summary: polars.DataFrame, drawn: dict[str, bytes]) -> str:
    """Return the page: ``drawn`` are the SVG files of the metrics that it shows first."""
    asked = run.scenario
    keys = [name for name, _ in asked.sweep]
    networks = f"{asked.seeds} network{'s' if asked.seeds > 1 else ''}"
    cases = summary["configuration"].n_unique()
    configurations = f" for each of {cases} configurations" if cases > 1 else ""
    figures = "\n".join(
        f"<figure><figcaption>{_text(words.capital(words.title(name)))}</figcaption>\n"
        f"{_inline(svg, name)}</figure>"
        for name, svg in drawn.items()
    )
    everything = summary["metric"].unique(maintain_order=True).to_list()
    versions = json.loads((run.directory / "versions.json").read_bytes())
    libraries = ", ".join(f"{name} {of}" for name, of in versions["libraries"].items())
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{_text(asked.question)}</title>
<style>{_STYLE}</style>
<main>
<header>
<p class="kind">A question to Shoal's simulated network</p>
<h1>{_text(asked.question)}</h1>
<p class="answer">{_text(words.answer(asked, summary))}</p>
</header>
<div class="plots">
{figures}
</div>
<h2>In figures</h2>
<div class="card scroll">{_table(summary, keys, list(drawn))}</div>
<p><small>{_explained(asked, networks, configurations)}</small></p>
<details><summary>All metrics</summary>
<div class="card scroll">{_long(summary, keys, everything)}</div></details>
<h2>What was asked</h2>
<div class="card"><dl>
<dt>Tier</dt><dd>{_TIERS[asked.tier]}</dd>
<dt>Networks</dt><dd>{networks}{configurations}</dd>
<dt>Adversary</dt><dd>{_adversary(run)}</dd>
</dl></div>
<details><summary>The scenario, every key with its value</summary>
<div class="card"><pre><code>{_text(runs.as_toml(asked))}</code></pre></div></details>
<h2>Run it again</h2>
<div class="card"><pre><code>shoal sim run scenario.toml --workers auto</code></pre></div>
<div class="card"><dl>
<dt>Code</dt><dd><code>{versions["code"]}</code> (hash of all sources)</dd>
<dt>Versions</dt><dd>Python {versions["python"]}, {libraries}</dd>
<dt>Seeds</dt><dd>1 to {asked.seeds}, one a network, the same in every configuration</dd>
</dl></div>
<p><small><code>scenario.toml</code> stands beside this page, with the figures as Parquet
(<code>results.parquet</code>, <code>summary.parquet</code>) and the plots as SVG. The same
code gives the same bytes, on one worker or many.</small></p>
</main>
</html>
"""


def _explained(asked: Scenario, networks: str, configurations: str) -> str:
    """Return what figures and bands are, in words."""
    if asked.seeds == 1:
        return f"Of {networks}{configurations}: without intervals, which need two networks."
    return (
        f"Means over {networks}{configurations}, each drawn anew. ± is half of the interval in "
        f"which the mean lies with {round(100 * CONFIDENCE)} % confidence (Student's t over "
        "networks); bands and bars in plots are the same intervals. A figure without ± was "
        "the same in all networks."
    )


def _table(summary: polars.DataFrame, keys: Sequence[str], shown: Sequence[str]) -> str:
    """Return a row for each configuration, a column for each metric."""
    parts = summary.partition_by("configuration", maintain_order=True)
    swept = [words.head(key, (part[key][0] for part in parts)) for key in keys]
    head = [_head(told, unit) for told, unit, _ in swept]
    head += [_head(*words.split(name)) for name in shown]
    body = []
    for place, part in enumerate(parts):
        by_name = {row["metric"]: row for row in part.to_dicts()}
        cells = [values[place] for _, _, values in swept]
        body.append([*cells, *(words.with_interval(by_name[name]) for name in shown)])
    return _html_table(head, body)


def _long(summary: polars.DataFrame, keys: Sequence[str], names: Sequence[str]) -> str:
    """Return a row for each metric, a column for each configuration (the first dozen)."""
    parts = summary.partition_by("configuration", maintain_order=True)[:12]
    heads = ["metric"] + [
        ", ".join(words.at_key(key, part[key][0], summary[key]) for key in keys) or "mean"
        for part in parts
    ]
    found = [{row["metric"]: row for row in part.to_dicts()} for part in parts]
    body = [[words.title(name), *(words.with_interval(of[name]) for of in found)] for name in names]
    return _html_table([_text(head) for head in heads], body)


def _html_table(head: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(str(cell))}</td>" for cell in row) + "</tr>" for row in body
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def _head(name: str, unit: str) -> str:
    return f"{_text(name)}<br><small>{_text(unit)}</small>" if unit else _text(name)


def _adversary(run: Run) -> str:
    adversary = run.scenario.adversary
    if adversary.name == "none":
        return (
            "who watches all links and holds no relay" if run.scenario.tier == "vector" else "none"
        )
    keys = ", ".join(f"{key} = {value}" for key, value in adversary.keys)
    return f"<code>{_text(adversary.name)}</code>{f' with {_text(keys)}' if keys else ''}"


def _inline(svg: bytes, metric: str) -> str:
    """Return an SVG file as an element of a page: named for who can't see it, ids of its own."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{metric}-", text)
    for colour, name in _TURNING.items():
        text = text.replace(colour, f"var(--{name})")
    label = html.escape(words.capital(words.title(metric)), quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _text(text: str) -> str:
    return html.escape(text, quote=False)
