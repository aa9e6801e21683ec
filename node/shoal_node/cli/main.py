"""The ``shoal`` command: builds the parser, runs one command, turns errors into exit codes.

::

    exit 0   done
    exit 1   failed: one sentence on standard error
    exit 2   wrong usage, a bad value in the environment or config.toml included
    exit 3   a relay has drained, and some of what it kept stays in its store
    exit 130 interrupted

A module of this package adds its commands with ``add(commands)`` and imports what is heavy
only inside the function that runs: ``shoal --help`` must answer in under 0.3 s. Other
distributions' commands come through the entry-point group ``shoal.commands``; each entry
names such an ``add`` function.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Final, NoReturn

from shoal_node.cli import (
    backup,
    bench,
    chat,
    completion,
    console,
    contact,
    files,
    find,
    lock,
    network,
    node,
    persona,
    relay,
    view,
)
from shoal_node.cli.options import Commands
from shoal_node.usage import LeftBehind, UsageError
from shoal_protocol.errors import UserError

GROUP: Final = "shoal.commands"
INTERRUPTED: Final = 130

_DESCRIPTION: Final = (
    "A peer-to-peer messaging node in which nobody can be singled out. "
    "`shoal demo` shows two people exchanging messages through real relays on this machine."
)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and leave with 2."""
        sentence = message[:1].upper() + message[1:].rstrip(".")
        self.exit(2, f"{self.prog}: {sentence}. Try `{self.prog} --help`.\n")


def build_parser(*, plugins: bool = True) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Args:
        plugins: look for commands of other distributions too.
    """
    parser = Parser(
        prog="shoal",
        description=_DESCRIPTION,
        epilog="Example: shoal demo --relays 8 --messages 5",
    )
    parser.add_argument("--version", action="store_true", help="print the version and leave")
    commands: Commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", parser_class=Parser
    )
    for module in (
        network,
        node,
        relay,
        view,
        persona,
        contact,
        chat,
        files,
        find,
        backup,
        lock,
        bench,
        completion,
    ):
        module.add(commands)
    if plugins:
        for entry in metadata.entry_points(group=GROUP):
            entry.load()(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; returns the exit code."""
    console.prepare()
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.version:
            console.out(metadata.version("shoal"))
            return 0
        if arguments.command is None:
            parser.error("a command is needed")
        return int(arguments.run(arguments) or 0)
    except UsageError as error:
        console.note(f"shoal: {error}")
        return 2
    except LeftBehind as error:
        console.note(f"shoal: {error}")
        return 3
    except UserError as error:
        console.note(f"shoal: {error}")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
