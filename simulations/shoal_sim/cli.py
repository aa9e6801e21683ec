"""``shoal sim …``: questions to simulated networks, from the command line.

::

    add(commands) ─► parsers, light ─► run: needs the extra ─► commands.py, heavy

The ``shoal`` command finds ``add`` through the entry-point group ``shoal.commands``. What
computes stands in ``commands.py`` and is imported by a command that runs, as ``shoal --help``
must answer at once, and as a node is there without the extra ``sim``.
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]
else:
    Commands = argparse._SubParsersAction

NEEDS: Final = ("numpy", "polars", "matplotlib", "joblib")
RUNS: Final = Path("runs")
_ENGINES: Final = ("loky", "dask", "ray")
_MOST: Final = 100_000


def add(commands: Commands) -> None:
    """Add ``sim`` and its commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sim",
        help="ask simulated networks: anonymity, latency, delivery, under adversaries",
        description="Ask simulated networks, on the protocol code that the node runs.",
        epilog="Example: shoal sim run simulations/scenarios/pool.toml --seeds 20 --workers auto",
    )
    inner: Commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="sim_command", required=True
    )
    one = _command(inner, "run", "run a scenario and write its report", "sim run ask.toml")
    _scenario(one)
    _work(one)
    one = _command(inner, "sweep", "run all configurations of a sweep", "sim sweep ask.toml")
    _scenario(one)
    _work(one)
    one = _command(
        inner,
        "compare",
        "run two scenarios on the same networks and tell how the second differs",
        "sim compare before.toml after.toml --seeds 20",
    )
    _scenario(one)
    one.add_argument("other", metavar="OTHER", type=Path, help="a scenario file")
    _work(one, kept=False)
    one = _command(
        inner,
        "tune",
        "what bandwidth and waiting buy: the preset of most bits",
        "sim tune --gb-per-month 64 --latency-ms 1800 --people 1000",
    )
    one.add_argument(
        "--gb-per-month", metavar="GB", type=_number, required=True, help="up and down together"
    )
    one.add_argument(
        "--latency-ms",
        metavar="MS",
        type=_number,
        required=True,
        help="what 95 %% of messages take at most, one way",
    )
    one.add_argument("--people", metavar="N", type=_whole, default=1000, help="how many are there")
    one.add_argument(
        "--relays",
        metavar="N",
        type=_whole,
        default=100,
        help="of them mix as many as traffic fills",
    )
    _json(one)
    one = _command(
        inner, "predict", "what closed forms say of a scenario, at once", "sim predict ask.toml"
    )
    _scenario(one)
    _json(one)
    one = _command(
        inner,
        "validate",
        "check the simulators against figures of the literature",
        "sim validate --reduced",
    )
    one.add_argument("--reduced", action="store_true", help="draw less: under two minutes")
    one.add_argument(
        "--only", metavar="ID", action="append", help="one target, as 2 or 7; may be repeated"
    )
    _crew(one)
    _json(one)
    one = _command(inner, "report", "write the report of a run anew", "sim report runs/ask-12ab")
    _run(one)
    _json(one)
    one = _command(inner, "resume", "finish a run that was interrupted", "sim resume runs/ask-12ab")
    _run(one)
    one.add_argument("--tables", action="store_true", help="keep the tables of each network too")
    _crew(one)
    _json(one)
    one = _command(inner, "bench", "how fast the tiers are here, beside anchors", "sim bench")
    one.add_argument("names", metavar="NAME", nargs="*", help="some benches alone (default: all)")
    _long(one)
    _json(one)


def missing() -> list[str]:
    """Return the libraries of the extra that aren't installed."""
    return [name for name in NEEDS if importlib.util.find_spec(name) is None]


def _command(commands: Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"Example: shoal {example}",
    )
    parser.set_defaults(run=_runner(name))
    return parser


def _runner(name: str) -> Callable[[argparse.Namespace], int | None]:
    def run(arguments: argparse.Namespace) -> int | None:
        if lacking := missing():
            raise UserError(
                f"`shoal sim` needs {', '.join(lacking)}; install them with: "
                "pip install 'shoal[sim]'."
            )
        try:
            commands = importlib.import_module("shoal_sim.commands")
            answer: int | None = getattr(commands, name)(arguments)
        except KeyboardInterrupt as interrupted:
            # What can be gone on with says how; the rest is begun anew.
            sentence = str(interrupted) or f"shoal: sim {name} was interrupted; nothing is kept."
            sys.stderr.write(f"{sentence}\n")
            raise
        return answer

    return run


def _scenario(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", metavar="SCENARIO", type=Path, help="a TOML file: a question")


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="RUN", type=Path, help="the directory of a run")


def _work(parser: argparse.ArgumentParser, *, kept: bool = True) -> None:
    parser.add_argument(
        "--seeds", metavar="N", type=_whole, help="how many networks (default: the scenario's)"
    )
    if kept:
        parser.add_argument(
            "--out", metavar="DIR", type=Path, default=RUNS, help="where runs are kept (runs)"
        )
        parser.add_argument(
            "--tables", action="store_true", help="keep the tables of each network too"
        )
    _crew(parser)
    _json(parser)


def _long(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--progress",
        action="store_true",
        help="tell how far it is with --json too, and where there is no terminal",
    )


def _crew(parser: argparse.ArgumentParser) -> None:
    _long(parser)
    parser.add_argument(
        "--workers",
        metavar="N",
        type=_workers,
        default=0,
        help="processes, or auto: one for each core (default)",
    )
    parser.add_argument(
        "--engine", choices=_ENGINES, default="loky", help="who runs them (default: loky)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", default="", help="a Dask scheduler, as tcp://host:8786"
    )


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _whole(text: str) -> int:
    digits = text.isascii() and text.isdigit() and len(text) < 9
    if not digits or not 1 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError("it must be a whole number of at least 1")
    return int(text)


def _workers(text: str) -> int:
    if text == "auto":
        return 0
    try:
        return min(_whole(text), 1024)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError("it must be auto or a whole number from 1") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError("it must be a number above 0")
    return value
