"""A process that fills the disk under a relay's store, and finds all of it kept and dropped.

::

    unshare --mount sh -c 'mount -t tmpfs -o size=40m none DIR && python disk_full.py DIR'
"""

import os
import sys
from pathlib import Path

from service.store_contract import DAY, box, do, entry, put, read, scan
from shoal_node.store.relay_store import FILE, RelayStore
from shoal_protocol.errors import StoreFull
from shoal_protocol.parameters import LAB
from shoal_protocol.service import storage
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import Expire, Release
from support import START, seeded

BATCH = 37
ENOUGH = 100_000  # more than fit on any disk that this is run on


def fill(store: RelayStore, first: int) -> int:
    """Put boxes until the disk is full; return how many were acknowledged."""
    for kept in range(0, ENOUGH, BATCH):
        numbers = range(first + kept, first + kept + BATCH)
        puts = [box(number, number.to_bytes(32, "big")) for number in numbers]
        try:
            outcomes = store.execute(puts, START)
        except StoreFull:
            return kept
        assert outcomes == [Status.OK] * BATCH
    raise AssertionError("the disk is not small")


def main(home: Path) -> None:
    """Fill, drop, fill again; print how many boxes fitted each time."""
    store = RelayStore(home / FILE, LAB, seeded("full"))
    number = put(store, entry(1))
    for turn in range(3):
        kept = fill(store, turn * ENOUGH)
        free = os.statvfs(home)
        assert free.f_bavail * free.f_frsize < 2**20
        boxes = [one.record for one in scan(store) if one.item.kind is storage.Kind.BOX]
        assert len(boxes) == kept
        if turn == 0:
            do(store, Release(entry(1).address, number))
            assert read(store) == []
        dropped = 0
        while some := do(store, Expire(START, DAY + LAB.box_days + 1)):
            assert isinstance(some, int)
            dropped += some
        assert dropped == kept
        sys.stdout.write(f"{kept}\n")
    assert store.integrity() == []
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
