"""``shoal lock``, ``unlock`` and ``panic``: close, open and erase the store of a running node.

An erased node ends, so that the system takes its memory back.
"""

import argparse
import sys
from pathlib import Path

from shoal_node.cli import console, options
from shoal_node.usage import UsageError
from shoal_protocol.errors import UserError

WORD = "erase"
MAX_LINE = 4096  # bytes of a passphrase's line


def add(commands: options.Commands) -> None:
    """Add the commands."""
    lock = options.command(
        commands,
        "lock",
        _lock,
        "close the store and forget its keys; ephemeral personas are gone",
        "shoal lock",
    )
    unlock = options.command(
        commands,
        "unlock",
        _unlock,
        "open a locked store; asks for its passphrase, or reads a line of standard input",
        "shoal unlock",
    )
    unlock.add_argument(
        "--passphrase-file", metavar="F", type=Path, help="file whose first line is the passphrase"
    )
    panic = options.command(
        commands,
        "panic",
        _panic,
        "erase everything of the person on this machine, at once and for good",
        f"shoal panic --confirm {WORD}",
    )
    panic.add_argument("--confirm", metavar="WORD", help=f"must be {WORD}")
    for parser in (lock, unlock, panic):
        options.add_data(parser)
        options.add_json(parser)


def _lock(arguments: argparse.Namespace) -> None:
    _show(arguments, options.client(arguments).post("lock", body={}))


def _unlock(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    state = client.get("lock")
    if state["state"] == "open":
        _show(arguments, state)
        return
    asked = state["passphrase"] or arguments.passphrase_file is not None
    body = {"passphrase": _passphrase(arguments.passphrase_file)} if asked else {}
    _show(arguments, client.post("unlock", body=body))


def _passphrase(file: Path | None) -> str:
    if file is not None:
        from shoal_node.store import keys

        return keys.passphrase_of(file)
    if sys.stdin.isatty():
        import getpass

        line = getpass.getpass("Passphrase: ", sys.stderr)
    else:
        line = sys.stdin.readline(MAX_LINE).rstrip("\r\n")
    if not line:
        raise UserError("The passphrase is missing.")
    return line


def _panic(arguments: argparse.Namespace) -> None:
    if arguments.confirm != WORD:
        raise UsageError(f"panic: this erases everything; say so with --confirm {WORD}.")
    options.client(arguments).post("panic", body={"confirm": WORD})
    if arguments.json:  # the node ends, and says nothing of its lock any more
        console.out_json({"state": "empty", "passphrase": False})
    else:
        console.out("Everything was erased, and the node ends: `shoal up` starts afresh.")


def _show(arguments: argparse.Namespace, state: dict[str, object]) -> None:
    if arguments.json:
        console.out_json(state)
    else:
        console.out(str(state["state"]))
