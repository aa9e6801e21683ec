"""Check that stopping a demo leaves no process behind (Linux: reads /proc).

Usage: ``python tools/check_processes.py [--interrupt]``. Without the flag: no process of this
checkout's ``.venv`` runs now, the checking one and its ancestors excepted. With it: start a
demo, stop it at several moments as Ctrl-C does (SIGINT to it alone, and to its process group)
and as a crash does (SIGKILL), and look each time.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 20.0  # for orderly shutdown on a busy machine
MOMENTS_S = (0.5, 3.0, 8.0)  # importing, forming, exchanging


def ancestors() -> set[int]:
    """Return the pids of this process and of those that led to it."""
    found, pid = set[int](), os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        status = Path(f"/proc/{pid}/stat").read_text()
        pid = int(status.rpartition(")")[2].split()[1])
    return found


def leftovers() -> list[tuple[int, str]]:
    """Return (pid, command line) of every process that was started from our ``.venv``."""
    ours = str(ROOT / ".venv") + os.sep
    excepted = ancestors()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended while we looked
            continue
        if int(entry.name) not in excepted and any(part.startswith(ours) for part in command):
            found.append((int(entry.name), " ".join(command).strip()))
    return found


def settled() -> list[tuple[int, str]]:
    """Return what is left once everything had its time to end."""
    until = time.monotonic() + PATIENCE_S
    while (left := leftovers()) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def interrupt(after_s: float, number: signal.Signals, group: bool) -> list[str]:
    """Start a demo, stop it after ``after_s`` seconds; return a sentence for each fault."""
    what = f"{number.name}{' to the group' if group else ''} after {after_s} s"
    demo = subprocess.Popen(
        [str(ROOT / ".venv/bin/shoal"), "demo", "--relays", "5", "--messages", "50", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = demo.communicate(timeout=after_s)
        return [f"the demo ended before {what}: {errors[-500:]}"]
    except subprocess.TimeoutExpired:
        if group:
            os.killpg(demo.pid, number)
        else:
            demo.send_signal(number)
    wrong = []
    try:
        _, errors = demo.communicate(timeout=PATIENCE_S)
        if "Traceback" in errors:
            wrong.append(f"{what}: it printed a traceback\n{errors[-2000:]}")
    except subprocess.TimeoutExpired:
        wrong.append(f"{what}: the demo did not end within {PATIENCE_S:.0f} s")
        demo.kill()
        demo.communicate()
    wrong += [f"{what}: still running: {pid} {command}" for pid, command in settled()]
    return wrong


def main() -> int:
    """Look, or stop demos and look; print what is left; return the exit code."""
    parser = argparse.ArgumentParser(description="no process is left behind")
    parser.add_argument("--interrupt", action="store_true", help="stop demos at several moments")
    if not parser.parse_args().interrupt:
        wrong = [f"still running: {pid} {command}" for pid, command in settled()]
    else:
        wrong = [
            sentence
            for after_s in MOMENTS_S
            for sentence in interrupt(after_s, signal.SIGINT, group=after_s != MOMENTS_S[1])
        ]
        wrong += interrupt(MOMENTS_S[-1], signal.SIGKILL, group=False)
    for sentence in wrong:
        sys.stderr.write(sentence + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
