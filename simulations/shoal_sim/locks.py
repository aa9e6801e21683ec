"""One process at a time works on a run's directory.

::

    held(directory) ── lock of the system on its file "lock", with our number in it
        ├─ free, or of a process that is no more ─► ours until the block or the process ends
        └─ another's ─────────────────────────────► UserError that names it

The system's lock goes when its process does, however it ended, so none is ever left behind. Its
file stays: whoever removed it could take away one that somebody just locked.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shoal_protocol.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FILE: Final = "lock"
_BEYOND: Final = 1 << 30  # what is locked: Windows lets nobody read what another locked
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)  # Windows has none, and inherits nothing by itself


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold a directory, which exists.

    Raises:
        UserError: another process holds it.
        OSError: nothing can be written there.
    """
    file = os.open(directory / FILE, os.O_RDWR | os.O_CREAT | _CLOEXEC, 0o644)
    try:
        try:
            _lock(file)
        except OSError:
            whose = os.read(file, 20).decode("ascii", "replace").strip() or "another"
            raise UserError(
                f"Process {whose} works on {directory}; when it has ended, "
                f"`shoal sim resume {directory}` goes on with what is left."
            ) from None
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(file)  # and the lock with it


def _lock(file: int) -> None:
    """Lock a file at once. Raises OSError: another has it."""
    if sys.platform == "win32":
        os.lseek(file, _BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(file, 0, os.SEEK_SET)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
