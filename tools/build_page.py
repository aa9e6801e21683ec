"""Build the web page into the package when its sources changed and Node is there.

::

    node/web ──npm ci, npm run build──> node/shoal_node/page    (in no repository)
      └── node_modules/.shoal-page      checksum of what it was built from

Usage: ``python tools/build_page.py [--quiet]``. Without Node it says in one line what is missing
(not with ``--quiet``) and succeeds, since all but the page works. The build of a wheel runs it too
(``hatch_build.py``). ``SHOAL_PAGE=no`` leaves everything as it is.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
WEB: Final = ROOT / "node" / "web"
PAGE: Final = ROOT / "node" / "shoal_node" / "page"
STAMP: Final = WEB / "node_modules" / ".shoal-page"
INDEX: Final = PAGE / "index.html"
NO_SOURCES: Final = frozenset({"node_modules", "test", "dist"})
OLDEST_NODE: Final = (20, 19)
TIMEOUT: Final = 300  # s for each of the two steps
LOG_LINES: Final = 12  # lines of a failed step that are shown


class PageNotBuilt(Exception):
    """The page could not be built; the text says why in one sentence."""


class NodeMissing(PageNotBuilt):
    """There is no Node, or one that is too old."""


def checksum() -> str:
    """Return the checksum of everything that the page is built from."""
    found = hashlib.sha256()
    for file in sorted(WEB.rglob("*")):
        below = file.relative_to(WEB)
        if file.is_file() and not NO_SOURCES & set(below.parts):
            content = file.read_bytes()
            found.update(f"{below.as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def is_built() -> bool:
    """Whether the page that is there was built from the present sources."""
    return INDEX.is_file() and STAMP.is_file() and STAMP.read_text() == checksum()


def node_version() -> tuple[int, int] | None:
    """Return the version of the Node on the path, None without one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)", told.stdout)
    return None if found is None else (int(found[1]), int(found[2]))


def build() -> bool:
    """Build the page if that is needed; returns whether anything was done.

    Raises:
        NodeMissing: there is no Node, or one that is too old.
        PageNotBuilt: a step failed.
    """
    if os.environ.get("SHOAL_PAGE") == "no" or not WEB.is_dir() or is_built():
        return False
    version = node_version()
    if version is None and INDEX.is_file():
        return False  # it came with the sources, as in an sdist
    oldest = ".".join(map(str, OLDEST_NODE))
    if version is None or version < OLDEST_NODE:
        found = "none" if version is None else ".".join(map(str, version))
        raise NodeMissing(
            f"The web page needs Node {oldest} or newer with npm, and found {found}; "
            "everything else works."
        )
    sys.stderr.write("Building the web page\n")
    sources = checksum()
    if not _has_packages():
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    _run("npm", "run", "build")
    if not INDEX.is_file():
        raise PageNotBuilt(f"The build of the web page made no {INDEX.name}.")
    STAMP.parent.mkdir(exist_ok=True)
    STAMP.write_text(sources)
    return True


def _has_packages() -> bool:
    """Whether npm has installed what package-lock.json names; npm leaves its own copy last."""
    installed = WEB / "node_modules" / ".package-lock.json"
    lock = WEB / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def _run(*command: str) -> None:
    program = shutil.which(command[0]) or command[0]  # npm.cmd on Windows
    try:
        ended = subprocess.run(
            [program, *command[1:]],
            cwd=WEB,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | {"NO_COLOR": "1"},
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise PageNotBuilt(f"`{' '.join(command)}` took more than {TIMEOUT} s.") from None
    if ended.returncode:
        sys.stderr.write("\n".join([*_cause(ended.stdout), ""]))
        raise PageNotBuilt(
            f"`{' '.join(command)}` failed in node/web, with the lines above "
            "(SHOAL_PAGE=no leaves the page out)."
        )


def _cause(output: str) -> list[str]:
    """The lines of a failed step that tell why: from the first error on, without stacks."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    lines = [line for line in plain if line.strip() and not line.lstrip().startswith("at ")]
    first = next((place for place, line in enumerate(lines) if "rror" in line), None)
    return lines[-LOG_LINES:] if first is None else lines[first : first + LOG_LINES]


def main(*, quiet: bool) -> int:
    """Build; return the exit code."""
    try:
        build()
    except NodeMissing as error:
        if not quiet:
            sys.stderr.write(f"{error}\n")
    except PageNotBuilt as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(quiet="--quiet" in sys.argv))
