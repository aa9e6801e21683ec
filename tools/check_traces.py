"""Check that no committed file names this machine: its paths, its package registry.

Usage: ``python tools/check_traces.py``, in a git checkout. What counts as a trace is read
from the machine, so that no such name has to stand here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_HOSTS = frozenset({"pypi.org", "files.pythonhosted.org", "localhost", "127.0.0.1"})


def pip_settings() -> str:
    """Return everything that pip was told by environment and files, as one text."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    uv = " ".join(value for name, value in os.environ.items() if name.startswith("UV_"))
    npmrc = Path.home() / ".npmrc"
    npm = npmrc.read_text(errors="replace") if npmrc.is_file() else ""
    return "\n".join((told, uv, npm))


def traces() -> set[str]:
    """Return the texts that no committed file may hold."""
    urls = re.findall(r"https?://[^\s'\",]+", pip_settings())
    hosts = {urlsplit(url).hostname or "" for url in urls} - PUBLIC_HOSTS - {""}
    return hosts | {f"{ROOT}/", f"{Path.home()}/"}


def main() -> int:
    """Search every committed file; return the exit code."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"],
        capture_output=True,
        check=True,
    ).stdout
    names = [name for name in listed.decode().split("\0") if name]
    forbidden = traces()
    found = 0
    for name in names:
        text = (ROOT / name).read_bytes().decode(errors="replace")
        for trace in sorted(forbidden):
            if trace in text:
                found += 1
                sys.stderr.write(f"{name} names this machine: {trace}\n")
    sys.stdout.write(f"{len(names)} committed files, {found} traces\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
