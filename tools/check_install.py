"""Check that a wheel alone, in an environment of its own, gives a working node with its page.

Usage: ``python tools/check_install.py dist/shoal-….whl``. Installs it as pipx would, starts a
small lab with the ``shoal`` that came of it, and asks each file of the page from the node.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 180.0  # s until the lab is up


def main(wheel: str) -> int:
    """Install, start, ask; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="shoal-install-") as name:
        place = Path(name)
        venv.create(place / "venv", with_pip=True)
        programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pip = ("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
        constraints = str(ROOT / "constraints.txt")
        command = [str(programs / "python"), *pip, "-c", constraints, wheel]
        subprocess.run(command, check=True)
        files = _ask(place, programs / "shoal")
    if not any(path.endswith(".js") for path in files):
        sys.stderr.write(f"the page has no script: {sorted(files)}\n")
        return 1
    sys.stdout.write(f"{Path(wheel).name}, installed: a lab and {len(files)} files of its page\n")
    return 0


def _ask(place: Path, shoal: Path) -> set[str]:
    """Start a lab in ``place``, far from the checkout; return the paths that its page needs."""
    lab = subprocess.Popen(
        [shoal, "lab", "--relays", "4", "--people", "1", "--json"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert lab.stdout is not None
        person = json.loads(lab.stdout.readline())["people"][0]
        host = urlsplit(person["url"]).netloc
        page = _get(host, "/").decode()
        found = set(re.findall(r'(?:src|href)="(/[^"]+)"', page))
        for path in found:
            _get(host, path)
        return found
    finally:
        lab.send_signal(signal.SIGINT)
        lab.wait(PATIENCE)


def _get(host: str, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
