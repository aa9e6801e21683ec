"""Options that several commands share, and how a command is added."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shoal_node import home

if TYPE_CHECKING:
    from shoal_node.api.client import Client

    Commands = argparse._SubParsersAction[Any]
else:
    Commands = argparse._SubParsersAction

PRESETS: Final = ("saver", "balanced", "fast")
Run = Callable[[argparse.Namespace], int | None]


def command(
    commands: Commands, name: str, run: Run | None, summary: str, example: str
) -> argparse.ArgumentParser:
    """Add the command ``name``; ``run`` is None for one that has commands of its own."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[:1].upper() + summary[1:] + ".",
        epilog=f"Example: {example}",
    )
    if run is not None:
        parser.set_defaults(run=run)
    return parser


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        default=None,
        help="the node's home (default: SHOAL_DATA, or the platform's data directory)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def data_path(arguments: argparse.Namespace) -> Path:
    """The home that the command line, the environment or the platform names."""
    if arguments.data is not None:
        return Path(arguments.data)
    named = os.environ.get("SHOAL_DATA")
    return Path(named) if named else home.default_path()


def client(arguments: argparse.Namespace) -> "Client":
    """A client of the running node; raises UserError when there is none."""
    from shoal_node.api.client import Client

    return Client.of(data_path(arguments))


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    return bounded(1, 1_000_000)(text)


def bounded(least: int, most: int) -> Callable[[str], int]:
    """An argparse type: a whole number from ``least`` to ``most``."""

    def check(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) < 10
        if not digits or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"it must be a whole number, {least} to {most}")
        return int(text)

    return check


def seconds(text: str) -> float:
    """An argparse type: a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError("it must be a number of seconds above 0")
    return value


_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LEAST_EXPIRY: Final = 5  # s
MOST_EXPIRY: Final = 4 * 604_800  # s


def expiry(text: str) -> int:
    """An argparse type: a time such as 30s, 5m, 2h, 1d or 4w, in seconds."""
    unit = _UNITS.get(text[-1:], 0)
    digits = text[:-1] if unit else text
    good = digits.isascii() and digits.isdigit() and len(digits) < 10
    value = int(digits) * (unit or 1) if good else 0
    if not LEAST_EXPIRY <= value <= MOST_EXPIRY:
        raise argparse.ArgumentTypeError("it must be a time such as 30s, 5m, 2h, 1d or 4w")
    return value
