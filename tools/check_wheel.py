"""Check that a built wheel holds the three packages, whole, and nothing else.

Usage: ``python tools/check_wheel.py [--page] dist/shoal-….whl``. With ``--page`` the web page
must be inside.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "shoal_protocol": ROOT / "protocol",
    "shoal_node": ROOT / "node",
    "shoal_sim": ROOT / "simulations",
}


PAGE = "shoal_node/page/index.html"


def main(wheel: str, *, page: bool) -> int:
    """Compare the wheel's names with the tree's; return the exit code."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    present = {
        path.relative_to(folder).as_posix()
        for package, folder in FOLDERS.items()
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in sorted(present - packed):
        sys.stderr.write(f"missing from the wheel: {name}\n")
    for name in sorted(packed - present):
        sys.stderr.write(f"in the wheel and not in the tree: {name}\n")
    if page and PAGE not in packed:
        sys.stderr.write(f"the web page is missing: {PAGE}\n")
        return 1
    if packed != present:
        return 1
    sys.stdout.write(f"{Path(wheel).name}: {len(packed)} files\n")
    return 0


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--page"]
    sys.exit(main(given[0], page="--page" in sys.argv))
