"""``shoal backup`` and ``shoal restore``: an encrypted copy of what the store keeps, and back.

::

    running node ──POST /backup──► pieces ──► FILE, new, readable by its owner only
    FILE ──► DIR/person.db, made or added to, while no node runs in DIR

A backup is never written over a file, and goes away again when it did not come whole.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from shoal_node.cli import console, files, options
from shoal_protocol.errors import UserError

MAX_LINE: Final = 4096  # bytes of a passphrase's line
TIMEOUT: Final = 600.0  # s for a piece of a backup: the whole is made before the first is sent
_HELP: Final = "file whose first line is the backup's passphrase (default: asked for)"


def add(commands: options.Commands) -> None:
    """Add the commands."""
    backup = options.command(
        commands,
        "backup",
        _backup,
        "write personas, contacts and messages to a file, encrypted under a passphrase",
        "shoal backup home.shoal-backup",
    )
    backup.add_argument("file", metavar="FILE", type=Path, help="a new file")
    restore = options.command(
        commands,
        "restore",
        _restore,
        "bring back a backup, into a new home or one whose node does not run; nothing that is "
        "there is changed, and nothing that was burnt or deleted there comes back",
        "shoal restore home.shoal-backup --data DIR",
    )
    restore.add_argument("file", metavar="FILE", type=Path, help="a backup")
    restore.add_argument(
        "--passphrase-file",
        metavar="F",
        type=Path,
        help="file whose first line is the store's passphrase; a new home's store gets it",
    )
    for parser in (backup, restore):
        parser.add_argument("--backup-passphrase-file", metavar="F", type=Path, help=_HELP)
        options.add_data(parser)
        options.add_json(parser)


def _backup(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    path: Path = arguments.file
    if path.exists():
        raise UserError(f"{path} is there already: name another file.")
    passphrase = _passphrase(arguments.backup_passphrase_file, again=True)
    size = _write(path, client.save("backup", body={"passphrase": passphrase}, timeout=TIMEOUT))
    if arguments.json:
        console.out_json({"file": str(path), "size": size})
    else:
        console.out(f"{console.clean(str(path))}  {files.size(size)}")
        console.note("Without the passphrase nobody can read it, you included.")
        console.note(
            "It keeps what you burn or delete from now on: make another one then, and destroy it."
        )


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a new file; returns its bytes. Nothing of it stays if it does not come whole."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    size, whole = 0, False
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        whole = True
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        if not whole:
            with contextlib.suppress(OSError):
                path.unlink()
    return size


def _restore(arguments: argparse.Namespace) -> None:
    from shoal_node import backup, home
    from shoal_node.api.schema import timestamp
    from shoal_node.store import keys

    if not arguments.file.is_file():
        raise UserError(f"{arguments.file} is not there.")
    own = arguments.passphrase_file
    store_passphrase = None if own is None else keys.passphrase_of(own)
    passphrase = _passphrase(arguments.backup_passphrase_file, again=False)
    with home.Home(options.data_path(arguments)) as place:
        fresh = not keys.decided(place.path)
        found = backup.restore_home(
            arguments.file, passphrase, place.path, store_passphrase, time.time_ns()
        )
    made = timestamp(found.created)
    if arguments.json:
        console.out_json(
            {
                "created": made,
                "personas": found.personas,
                "conversations": found.conversations,
                "messages": found.messages,
                "files": found.files,
                "forgotten": found.forgotten,
                "expired": found.over,
            }
        )
        return
    counts = {
        "persona": found.personas,
        "conversation": found.conversations,
        "message": found.messages,
        "file": found.files,
    }
    console.out(", ".join(f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items()) + ".")
    if fresh:
        console.note(f"As of {made[:16]}: what was burnt or deleted elsewhere since is back, too.")
    if found.forgotten:
        console.note(f"{found.forgotten} were burnt or deleted since, and stay so.")
    if found.over:
        console.note(f"{found.over} messages have disappeared since, and stay so.")
    if store_passphrase is None and not keys.locked(options.data_path(arguments)):
        console.note("The store has no passphrase: whoever has this disk can read it.")


def _passphrase(file: Path | None, *, again: bool) -> str:
    if file is not None:
        from shoal_node.store import keys

        return keys.passphrase_of(file)
    if sys.stdin.isatty():
        import getpass

        line = getpass.getpass("Passphrase of the backup: ", sys.stderr)
        if again and getpass.getpass("The same again: ", sys.stderr) != line:
            raise UserError("The two are not the same; nothing was written.")
    else:
        line = sys.stdin.readline(MAX_LINE).rstrip("\r\n")
    if not line:
        raise UserError("The passphrase is missing.")
    return line
