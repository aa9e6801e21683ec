"""Destroying what a home holds of a person: keys first, then the store, then all the rest.

::

    store.key, store.salt ─► overwritten, synced, unlinked      without them the store is noise
    person.db and its log ─► unlinked
    guards, settings, …   ─► unlinked; what says how to start again stays

Nothing waits for a running node: on POSIX a file that is open is unlinked all the same.
"""

import shutil
from pathlib import Path
from typing import Final

from shoal_node import home, keep
from shoal_node.store import keys

STAYS: Final = frozenset({home.LOCK_FILE, home.API_FILE, home.CONFIG_FILE, home.LOG_FILE})


def destroy_keys(directory: Path) -> None:
    """Destroy what the store's key comes from; raises OSError when a file stays."""
    for name in (keys.KEY_FILE, keys.SALT_FILE):
        keep.destroy(directory / name)
    keep.sync(directory)


def destroy_all(directory: Path) -> None:
    """Destroy keys, store and everything else but what is needed to start again.

    Raises:
        OSError: a file stays.
    """
    destroy_keys(directory)
    entries = sorted(directory.iterdir(), key=lambda one: not one.name.startswith(keys.DATABASE))
    for entry in entries:
        if entry.name in STAYS or entry.is_socket():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    keep.sync(directory)
