"""What the checks over real interfaces share; run them by ``tools/in-namespaces``.

Their names keep them out of ``make test``: namespaces need Linux, and root or the right to have
them.
"""

import os
import sys
from collections.abc import Iterator

import pytest

from network.namespaces import Internet
from processes.waiting import Say


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """Print a figure for whoever reads the log."""

    def line(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n    {text}\n")

    yield line


@pytest.fixture
def internet() -> Iterator[Internet]:
    """A small Internet for one check."""
    assert "SHOAL_NAMESPACES" in os.environ, (
        "run these by tools/in-namespaces .venv/bin/python -m pytest tests/network/check_*.py"
    )
    with Internet() as found:
        yield found
