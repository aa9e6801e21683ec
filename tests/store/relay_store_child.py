"""A process that writes into a relay's store and tells on standard output what is durable.

::

    python relay_store_child.py DIR SEED

One line for each thing that :meth:`RelayStore.execute` has done: ``box ADDRESS DIGEST``,
``entry ADDRESS DIGEST`` or ``released ADDRESS``, addresses and names in hex. It goes on until
it is killed.
"""

import sys
from pathlib import Path

from shoal_node.store.relay_store import FILE, RelayStore
from shoal_protocol import crypto
from shoal_protocol.parameters import LAB
from shoal_protocol.rng import Rng
from shoal_protocol.service import storage
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import Operation, PutBox, PutEntry, Release

NOW = 1_800_000_000 * 10**9
DAY = NOW // (86_400 * 10**9)
PLACES = 400  # addresses that are drawn from, so that boxes meet boxes


def draw(rng: Rng) -> Operation:
    """Return a random PUT or Release."""
    address = rng.below(PLACES).to_bytes(32, "big")
    record = address + rng.bytes(2016)
    match rng.below(8):
        case 0:
            return PutBox(address, DAY, True, record, 0, bytes(8))
        case 1 | 2:
            name = storage.name_of(record)
            return PutEntry(address, name, record, 0, bytes(8), NOW * 2)
        case 3:
            return Release(address, storage.MAX_NUMBER)
        case _:
            return PutBox(address, DAY, False, record, 0, bytes(8))


def told(operation: Operation, outcome: object) -> str | None:
    """Return the line that acknowledges an operation, if it changed anything."""
    match operation:
        case PutBox(address=address, record=record, tombstone=tombstone) if outcome is Status.OK:
            kind = "grave" if tombstone else "box"
            return f"{kind} {address.hex()} {storage.name_of(record).hex()}"
        case PutEntry(address=address, name=name):
            return f"entry {address.hex()} {name.hex()}"
        case Release(address=address):
            return f"released {address.hex()}"
        case _:
            return None


def main() -> None:
    """Write batches until killed."""
    rng = Rng(crypto.seeded_source(sys.argv[2].encode()))
    store = RelayStore(Path(sys.argv[1]) / FILE, LAB, rng)
    while True:
        operations = [draw(rng) for _ in range(1 + rng.below(40))]
        outcomes = store.execute(operations, NOW)
        lines = map(told, operations, outcomes)
        sys.stdout.write("".join(f"{line}\n" for line in lines if line))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
