"""The checkout as the tests in this folder read it: files, documents, Markdown tables."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = {
    "shoal_protocol": ROOT / "protocol/shoal_protocol",
    "shoal_node": ROOT / "node/shoal_node",
    "shoal_sim": ROOT / "simulations/shoal_sim",
}
SOURCE_FOLDERS: Final = ("protocol", "node", "simulations", "tests", "tools")


def sources(*folders: str) -> Iterator[Path]:
    """Yield every Python file under the named folders of the checkout."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "__pycache__" not in path.parts:
                yield path


def documents() -> list[Path]:
    """Return every Markdown document of the checkout."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return every Markdown table of ``text``, as rows by column title."""
    found: list[list[dict[str, str]]] = []
    titles: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            titles = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not titles:
            titles = cells
            found.append([])
        elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            found[-1].append(dict(zip(titles, cells, strict=True)))
    return found
