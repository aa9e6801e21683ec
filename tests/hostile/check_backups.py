"""Hostile backups, which open: each is refused whole, or a node begins with what it holds."""

from pathlib import Path

import pytest

from hostile import backups
from shoal_node import backup_file


def test_changed_backups_are_refused_whole_or_a_node_begins_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_file, "MEMORY", 2**16)  # stretch passphrases quickly
    home = backups.Restored(tmp_path)
    assert home.restore(home.frames)
    done = backups.attack(home, 120, seed=17)
    assert min(done["taken"], done["refused"]) > 10, done
