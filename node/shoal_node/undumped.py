"""Keep what a person's process holds in memory out of core dumps and of other programs' sight.

::

    RLIMIT_CORE 0          POSIX: a crash writes no image of the memory
    PR_SET_DUMPABLE 0      Linux: nor does a handler of crashes get one, and programs of the same
                           user can neither trace the process nor read its memory; root still can

Children get the first and, once they run a program of their own, not the second. Swap and an
image of a sleeping machine are the system's: nothing here keeps the memory out of them.
"""

import contextlib
import sys
from typing import Final

PR_SET_DUMPABLE: Final = 4  # prctl(2)


def protect() -> None:
    """Make this process leave no core dump, where the system can be told so."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # Windows has none, and writes no core dumps of its own

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # a C library without prctl
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
