"""What tests of commands share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.running import Running, running_node


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A person's node that the commands find by themselves."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "home"))
    with running_node(tmp_path / "home") as found:
        yield found


@pytest.fixture
def peopled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Such a node with personas, contacts and talks: Heron knows Otter, a momo a friend."""
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path / "home"))
    with running_node(tmp_path / "home", peopled=True) as found:
        yield found
