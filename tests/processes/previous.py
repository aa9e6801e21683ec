"""A node of another version, run in place of a fleet's process: ``python -P previous.py FD ARGV``.

::

    fleet's process ──execve──► this file, with the other version's packages on its path
                                    ├── reads FD, which ends when the fleet's process does
                                    └── shoal ARGV, the other version's

Nothing but that version's own command line is used of it: what an operator's unit file holds.
"""

import os
import signal
import sys
import threading
from pathlib import Path

import shoal_node
import shoal_protocol
from shoal_node.cli import main

END_S = 3.0  # for a clean end when the fleet has died
FROM = "The code is that of "


def _end_with(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(END_S)
    os._exit(1)


if __name__ == "__main__":
    for package in (shoal_node, shoal_protocol):
        assert package.__file__ is not None
        sys.stderr.write(f"{FROM}{Path(package.__file__).parent.parent}\n")
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.exit(main.main(sys.argv[2:]))
