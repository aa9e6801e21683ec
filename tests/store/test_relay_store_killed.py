"""A relay killed at any moment has all that it acknowledged, and a database that is whole."""

import subprocess
import sys
from pathlib import Path

from service.store_contract import scan
from shoal_node.store.relay_store import FILE, RelayStore
from shoal_protocol.parameters import LAB
from shoal_protocol.service.storage import Kind
from store import relay_store_child
from store.acknowledged import Acknowledged
from support import seeded

KILLS = 5


def run_and_kill(home: Path, seed: int, lines: int, noted: Acknowledged) -> None:
    """Let a child write until it has told ``lines`` lines, and kill it at once."""
    command = [sys.executable, str(Path(relay_store_child.__file__)), str(home), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(lines):
            noted.note(child.stdout.readline())
        child.kill()
        for line in child.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                noted.note(line)  # told before the kill came
    assert child.returncode < 0


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    rng, noted = seeded("kills"), Acknowledged()
    instances = set()
    for kill in range(KILLS):
        run_and_kill(tmp_path, kill, 1 + rng.below(400), noted)
        store = RelayStore(tmp_path / FILE, LAB, seeded("after"))
        assert store.integrity() == []
        assert noted.lost(store) == []
        assert noted.inboxes_torn(store) == 0
        counted = scan(store)
        entries = sum(one.item.kind is Kind.ENTRY for one in counted)
        assert (store.usage.boxes, store.usage.entries) == (len(counted) - entries, entries)
        instances.add(store.instance)
        store.close()
    assert len(instances) == 1
    assert len(noted.boxes) + len(noted.graves) > 50
    assert len(noted.entries) > 5
