"""A relay's store on a file system that is really full: a small one in memory, mounted here."""

import os
import subprocess
import sys
from pathlib import Path

from processes import disk_full
from processes.waiting import Say

SIZES = ("14m", "40m")


def test_a_relays_store_on_a_full_disk_keeps_drops_and_recovers(tmp_path: Path, say: Say) -> None:
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    tests = Path(disk_full.__file__).parent.parent
    for size in SIZES:
        mount = f"mount -t tmpfs -o size={size} none {tmp_path}"
        if subprocess.run(["unshare", "--mount", *own, "sh", "-c", mount], check=False).returncode:
            say("this machine lets nobody mount a small disk: left to one that does")
            return
        run = f"{mount} && exec {sys.executable} {disk_full.__file__} {tmp_path}"
        done = subprocess.run(
            ["unshare", "--mount", *own, "sh", "-c", run],
            env={**os.environ, "PYTHONPATH": str(tests)},
            check=True,
            capture_output=True,
            text=True,
        )
        kept = [int(line) for line in done.stdout.split()]
        say(f"a disk of {size}: {', '.join(map(str, kept))} boxes")
        assert min(kept) > 100
