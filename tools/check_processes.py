"""Check that no process of this checkout's ``shoal`` is still running (Linux: reads /proc).

Usage: ``python tools/check_processes.py``. Looks for processes whose interpreter is this
checkout's ``.venv``; the checking process itself excepted.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def leftovers() -> list[tuple[int, str]]:
    """Return (pid, command line) of every process that was started from our ``.venv``."""
    ours = str(ROOT / ".venv") + os.sep
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended while we looked
            continue
        if int(entry.name) != os.getpid() and any(part.startswith(ours) for part in command):
            found.append((int(entry.name), " ".join(command)))
    return found


def main() -> int:
    """Print what is left; return the exit code."""
    left = leftovers()
    for pid, command in left:
        sys.stderr.write(f"still running: {pid} {command}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
