"""Twins of nodes as processes: a node's API and page, without a network."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
SERVE: Final = HERE.parent / "api/serve_twin.py"
HOSTILE: Final = HERE / "serve_hostile.py"


@contextlib.contextmanager
def twin(*arguments: str, script: Path = SERVE) -> Iterator[str]:
    """The address, with its token, of a twin that runs until the context is left."""
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        link = process.stdout.readline().strip()
        assert link.startswith("http://127.0.0.1:"), "the twin did not start"
        yield link
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
