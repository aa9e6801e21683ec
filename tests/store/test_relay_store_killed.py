"""A relay killed at any moment has all that it acknowledged, and a database that is whole."""

import subprocess
import sys
from pathlib import Path

from service.store_contract import do, scan
from shoal_node.store.relay_store import FILE, RelayStore
from shoal_protocol.parameters import LAB
from shoal_protocol.service.storage import Item, Kind, Missing
from store import relay_store_child
from support import seeded

KILLS = 5


class Acknowledged:
    """What a store has told that it keeps."""

    def __init__(self) -> None:
        self.boxes: dict[bytes, str] = {}
        self.graves: set[bytes] = set()
        self.entries: dict[bytes, set[bytes]] = {}

    def note(self, line: str) -> None:
        match line.split():
            case ["box", address, name]:
                self.boxes[bytes.fromhex(address)] = name
            case ["grave", address, _]:
                self.boxes.pop(bytes.fromhex(address), None)
                self.graves.add(bytes.fromhex(address))
            case ["entry", address, name]:
                self.entries.setdefault(bytes.fromhex(address), set()).add(bytes.fromhex(name))
            case ["released", address]:
                self.entries.pop(bytes.fromhex(address), None)
            case other:
                raise AssertionError(other)

    def lost(self, store: RelayStore) -> list[str]:
        """Return which boxes ``store`` doesn't have; a tombstone that wasn't told may be there."""
        kept = {
            one.item.address: one.item for one in scan(store) if one.item.kind is not Kind.ENTRY
        }
        lost = [f"box {at.hex()}" for at, name in self.boxes.items() if at not in kept]
        for address, name in self.boxes.items():
            item = kept.get(address)
            if item is not None and item.kind is Kind.BOX and item.name.hex() != name:
                lost.append(f"other box {address.hex()}")
        for address in self.graves:
            if address not in kept or kept[address].kind is not Kind.TOMBSTONE:
                lost.append(f"tombstone {address.hex()}")
        return lost

    def inboxes_torn(self, store: RelayStore) -> int:
        """Return in how many inboxes some entries are gone and not all.

        An inbox of which all is gone was released by a batch that the kill kept from being told.
        """
        torn = 0
        for address, names in list(self.entries.items()):
            items = tuple(Item(Kind.ENTRY, address, name) for name in names)
            missing = do(store, Missing(items))
            assert isinstance(missing, tuple)
            torn += 0 < len(missing) < len(items)
            if len(missing) == len(items):
                del self.entries[address]
        return torn


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
