"""Print Shoal's packet benchmarks beside sphinxmix's, as ratios.

Usage: ``python tools/compare_peers.py --sphinxmix .venv-peers/bin/python``, from the
environment that has ``shoal``. Both are measured by turns on the same machine in one run, and
the best of the rounds counts, so that a ratio means something on a shared one.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TURNS = 2
GOAL = 2.5  # times faster than the faster of sphinxmix's groups


def output(command: list[str]) -> dict[str, Any]:
    """Run ``command`` and return the JSON object that it prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    value = json.loads(done.stdout)
    if not isinstance(value, dict):
        raise TypeError("a benchmark prints one JSON object")
    return value


def ours() -> dict[str, float]:
    """Return Shoal's microseconds for an unwrap and for building over three hops."""
    shoal = str(Path(sys.executable).with_name("shoal"))
    return {
        "unwrap_us": output([shoal, "bench", "unwrap", "--json"])["unwrap"]["us"],
        "build3_us": output([shoal, "bench", "build3", "--json"])["build3"]["us"],
    }


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the least of each figure over ``rounds``."""
    return {name: min(each[name] for each in rounds) for name in rounds[0]}


def main() -> int:
    """Measure, print a table and one JSON object."""
    parser = argparse.ArgumentParser(description="Shoal's packets beside sphinxmix's")
    parser.add_argument("--sphinxmix", required=True, help="interpreter that has sphinxmix")
    arguments = parser.parse_args()
    shoal_rounds: list[dict[str, float]] = []
    peer_rounds: dict[str, list[dict[str, float]]] = {}
    for _ in range(TURNS):
        peer = output([arguments.sphinxmix, str(HERE / "bench_sphinxmix.py")])
        for group, figures in peer.items():
            peer_rounds.setdefault(group, []).append(figures)
        shoal_rounds.append(ours())
    shoal = best(shoal_rounds)
    peers = {group: best(rounds) for group, rounds in peer_rounds.items()}
    sys.stdout.write(f"{'':24}{'unwrap':>12}{'build, 3 hops':>16}\n")
    for name, row in {"shoal": shoal, **{f"sphinxmix {g}": r for g, r in peers.items()}}.items():
        sys.stdout.write(f"{name:24}{row['unwrap_us']:9.1f} µs{row['build3_us']:13.1f} µs\n")
    ratios = {
        figure: min(row[figure] for row in peers.values()) / shoal[figure] for figure in shoal
    }
    sys.stdout.write(
        f"{'times faster':24}{ratios['unwrap_us']:12.2f}{ratios['build3_us']:16.2f}"
        f"   (goal {GOAL}, against the faster group)\n"
    )
    sys.stdout.write(json.dumps({"shoal": shoal, "sphinxmix": peers, "faster": ratios}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
