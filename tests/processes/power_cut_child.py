"""A process that writes to its home and tells on standard output what is durable.

::

    python power_cut_child.py boxes|texts|small DIR SEED STEPS FAULT

``boxes`` writes into a relay's store (store.relay_store_child); ``texts`` into a person's, a
message and a state with its number in each commit; ``small`` writes small files as ``keep`` does,
each with its number inside. FAULT is what is planted: ``none``; ``unsynced``, a
database that is never synced, or files; ``late``, a database that syncs at checkpoints alone;
``unnamed``, files whose directory is not synced.
"""

import os
import sys
from pathlib import Path

from shoal_node import draining, keep
from shoal_node.store.person_store import PersonStore
from shoal_node.store.relay_store import FILE, RelayStore
from shoal_protocol import crypto
from shoal_protocol.client.state import Journal, MessageRow
from shoal_protocol.parameters import LAB
from shoal_protocol.rng import Rng
from store import relay_store_child
from store.fixtures.write_person_store import SECRET

STORE, KEPT = "person.db", 50  # messages that are not deleted yet
LEVELS = {"unsynced": "OFF", "late": "NORMAL"}  # of PRAGMA synchronous
SMALL = ("relay", "volume", "secret")


def _nothing(_what: object) -> None:
    """Sync nothing."""


def content(name: str, number: int) -> bytes:
    """What the small file ``name`` holds in its version ``number``; of changing length."""
    head = f"{name} {number} ".encode()
    return head + crypto.digest(head) * (1 + number * 7 % 40)


def boxes(home: Path, rng: Rng, steps: int, fault: str) -> None:
    """Write batches, and tell each."""
    store = RelayStore(home / FILE, LAB, rng)
    if fault != "none":
        store._db.execute(f"PRAGMA synchronous = {LEVELS[fault]}")
    for _ in range(steps):
        operations = [relay_store_child.draw(rng) for _ in range(1 + rng.below(40))]
        outcomes = store.execute(operations, relay_store_child.NOW)
        lines = map(relay_store_child.told, operations, outcomes)
        sys.stdout.write("".join(f"{line}\n" for line in lines if line))
        sys.stdout.flush()
    os._exit(0)  # as a cut: nothing is tidied


def texts(home: Path, rng: Rng, steps: int, fault: str) -> None:
    """Commit messages one by one with what follows from each, and tell it."""
    store = PersonStore.open(home / STORE, SECRET)
    if fault != "none":
        store._connection.execute(f"PRAGMA synchronous = {LEVELS[fault]}")
    journal = Journal()
    for number in range(1, steps + 1):
        journal.message(message(number))
        journal.put("conversation", b"c", number.to_bytes(8) * (1 + number * 7 % 100))
        if number > KEPT:
            journal.delete_message(str(number - KEPT))
        changes = journal.take()
        assert changes is not None
        store.commit([changes])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if rng.below(10) == 0:
            store.tidy()
    os._exit(0)  # as a cut: nothing is tidied


def message(number: int) -> MessageRow:
    """A message, of changing length."""
    text = f"text {number} " * (1 + number * 13 % 200)
    return MessageRow(str(number), "c", number, True, number, text, 0, 1, None, False, None)


def small(home: Path, rng: Rng, steps: int, fault: str) -> None:
    """Write small files anew and anew, and a word that comes and goes."""
    if fault == "unsynced":
        setattr(os, "fsync", _nothing)  # noqa: B010  the fault
    elif fault == "unnamed":
        setattr(keep, "sync", _nothing)  # noqa: B010  the fault
    for number in range(1, steps + 1):
        name = SMALL[rng.below(len(SMALL))]
        write = keep.replace_secret if name == "secret" else keep.write
        write(home / name, content(name, number))
        told = f"{name} {number}"
        if rng.below(3) == 0:
            keep.write(home / draining.FILE, draining.WORD)
            told += "\nword 1"
        elif rng.below(3) == 0:
            draining.forget(home)
            told += "\nword 0"
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


def main() -> None:
    """Do what the command line says."""
    kind, home, seed, steps, fault = sys.argv[1:]
    rng = Rng(crypto.seeded_source(seed.encode()))
    write = {"boxes": boxes, "texts": texts, "small": small}[kind]
    write(Path(home), rng, int(steps), fault)


if __name__ == "__main__":
    main()
