"""What the checks of real processes share; run them by name: ``pytest tests/processes/check_*.py``.

Their names keep them out of ``make test``: they need minutes, and the machine for themselves.
"""

import sys
from collections.abc import Iterator

import pytest

from processes.waiting import Say


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """Print a figure for whoever reads the log."""

    def line(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n    {text}\n")

    yield line
