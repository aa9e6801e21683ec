"""The API on a Unix socket: a file that only its owner can reach.

::

    DIR/        mode 0700, made when it is not there, refused when others can enter it
      PATH      mode 0600; one that nobody listens at any more is replaced

Whoever may open the socket still needs the token. The folder's mode is what keeps others out
on platforms that ignore a socket's own.
"""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path
from typing import Final

import trio

from shoal_protocol.errors import UserError

BACKLOG: Final = 64  # connections that wait to be accepted


def listen(path: Path) -> trio.SocketListener:
    """Listen at ``path``.

    Raises:
        UserError: the folder is others' as well, or the path is in use, or it is not possible.
    """
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(path.parent)
        _remove_dead(path)
        found.bind(str(path))
        path.chmod(0o600)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"The API cannot listen at {path}: {reason}.") from None
    except UserError:
        found.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(found))


def _check_folder(folder: Path) -> None:
    told = folder.stat()
    if told.st_uid != os.geteuid() or stat.S_IMODE(told.st_mode) & 0o077:
        raise UserError(
            f"The API cannot listen in {folder}: only you may be able to enter it (`chmod 700`)."
        )


def _remove_dead(path: Path) -> None:
    """Remove a socket that a node left which was killed."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "")


def remove(path: Path) -> None:
    """Remove the socket's file in the end."""
    with contextlib.suppress(OSError):
        path.unlink()
