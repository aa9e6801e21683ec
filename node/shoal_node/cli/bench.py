"""``shoal bench``: the benchmarks, each beside its floor or peer, as ratios."""

import argparse

from shoal_node.cli import console, options
from shoal_node.usage import UsageError


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
    parser.add_argument(
        "--full", action="store_true", help="longer, with more: storage of a million boxes"
    )
    options.add_json(parser)


def _bench(arguments: argparse.Namespace) -> None:
    from shoal_node.bench import suite

    names = list(suite.BENCHMARKS) if arguments.name is None else [arguments.name]
    if names[0] not in suite.BENCHMARKS:
        known = ", ".join(suite.BENCHMARKS)
        raise UsageError(f"bench: there is no {names[0][:40]}; there are {known}.")
    figures: dict[str, dict[str, float]] = {}
    for name in names:
        console.note(f"Measuring {name} …")
        for group, values in suite.run(name, full=arguments.full).items():
            figures.setdefault(group, {}).update(values)
    if arguments.json:
        console.out_json(figures)
        return
    rows = [
        (f"{group}.{key}", f"{value:,.4g}")
        for group, values in figures.items()
        for key, value in values.items()
    ]
    console.table(rows)
