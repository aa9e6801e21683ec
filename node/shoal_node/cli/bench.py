"""``shoal bench``: the benchmarks, each beside its floor or peer, as ratios."""

import argparse
from typing import Any

from shoal_node.cli import console, options


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "bench",
        _bench,
        "measure this machine: each figure beside its floor, as a ratio",
        "shoal bench unwrap --json",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="one benchmark (default: all)")
    options.add_json(parser)


def _bench(arguments: argparse.Namespace) -> None:
    from shoal_node.bench import suite

    figures: dict[str, Any] = suite.run(arguments.name)
    if arguments.json:
        console.out_json(figures)
        return
    rows = [
        (f"{name}.{key}", f"{value:,.4g}" if isinstance(value, float) else str(value))
        for name, group in figures.items()
        if isinstance(group, dict)
        for key, value in group.items()
    ]
    console.table(rows)
