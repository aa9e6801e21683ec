"""T3: the power fails at any moment; what was acknowledged is there, and every store is whole.

``python -m processes.power_cut --json`` runs it.

::

    child writes, tells ──► log of all its writes and syncs ──► cut anywhere
        ──► a disk that a file system may leave then (disk_log) ──► opened, judged

For each kind of file as it is, where nothing may be wrong, and with faults planted, a database or
small files that are not synced or not in time, where something must be, or the check is void.
Whole nodes likewise, their links in memory (power_cut_nodes): a power cut of one of seven, a start
on what is left, and so on, while two people write.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from processes import disk_log, power_cut_child, power_cut_nodes
from processes.disk_log import Disk, Record
from shoal_node import draining, keep
from shoal_node.store.person_store import PersonStore
from shoal_node.store.relay_store import FILE, RelayStore
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB
from shoal_protocol.rng import Rng
from store.acknowledged import Acknowledged
from store.fixtures.write_person_store import SECRET
from support import seeded

PLANTED: Final = {
    "boxes": ("unsynced", "late"),
    "texts": ("unsynced", "late"),
    "small": ("unsynced", "unnamed"),
}
NODE_FAULT: Final = "late"  # the one that is harder to see
NODE_FAULT_CUTS: Final = 20  # at most; it ends with the first that shows the fault
CHILD_S: Final = 1_200.0

Judge = Callable[[Path, bytes, bytes], list[str]]  # home, told until the cut, told in all


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    seed: str
    states: int = 0  # disks that were opened
    records: int = 0  # writes, syncs and names that were logged
    acknowledged: int = 0  # lines told, over all states
    node_cuts: int = 0  # of whole nodes
    node_messages: int = 0  # that people wrote meanwhile
    planted_found: dict[str, int] = field(default_factory=dict)  # states, by kind and fault
    wrong: list[str] = field(default_factory=list)


def boxes(home: Path, told: bytes, _all: bytes) -> list[str]:
    """Judge a relay's store after a cut."""
    noted = Acknowledged()
    for line in told.decode().splitlines():
        noted.note(line)
    try:
        store = RelayStore(home / FILE, LAB, seeded("after"))
    except UserError as error:
        return [str(error)]
    try:
        wrong = store.integrity()
        if not wrong:
            wrong += noted.lost(store)
            torn = noted.inboxes_torn(store)
            wrong += [f"{torn} inboxes are torn"] if torn else []
        return wrong
    finally:
        store.close()


def small(home: Path, told: bytes, whole: bytes) -> list[str]:
    """Judge small files after a cut: each as told last, or as it was being written."""
    wrong: list[str] = []
    before, after = _versions(told), _versions(whole[len(told) :], first=True)
    for name in power_cut_child.SMALL:
        allowed = {one.get(name) for one in (before, after) if name in one} or {None}
        if name not in before:
            allowed.add(None)
        held = keep.read(home / name)
        contents = {
            None if number is None else power_cut_child.content(name, number) for number in allowed
        }
        if held not in contents:
            wrong.append(f"{name} is of none of the versions {allowed}")
    there = int((home / draining.FILE).exists())
    if there not in {before.get("word", 0), after.get("word", before.get("word", 0))}:
        wrong.append(f"the word is {'' if there else 'not '}there")
    return wrong


def _versions(told: bytes, *, first: bool = False) -> dict[str, int]:
    """The last version told of each name, or the first."""
    found: dict[str, int] = {}
    for line in told.decode().splitlines():
        name, number = line.split()
        if not first or name not in found:
            found[name] = int(number)
    return found


def texts(home: Path, told: bytes, _all: bytes) -> list[str]:
    """Judge a person's store after a cut: as told last, or one commit further, and in one piece."""
    last = int(told.split()[-1]) if told else 0
    try:
        store = PersonStore.open(home / power_cut_child.STORE, SECRET)
    except UserError as error:
        return [str(error)]
    try:
        wrong = store.integrity()
        if wrong:
            return wrong
        kept = store.load()
    finally:
        store.close()
    state = kept.rows.get(("conversation", b"c"), bytes(8))
    number = int.from_bytes(state[:8])
    if number not in (last, last + 1):
        return [f"{last} were told, and its state is of {number}"]
    first = max(1, number - power_cut_child.KEPT + 1)
    if kept.messages != [power_cut_child.message(one) for one in range(first, number + 1)]:
        return [f"its state is of {number}, its messages are not"]
    return []


JUDGES: Final[dict[str, Judge]] = {"boxes": boxes, "texts": texts, "small": small}


def logged(kind: str, seed: str, steps: int, fault: str, library: Path) -> list[Record]:
    """Have a child write; returns what it did."""
    with tempfile.TemporaryDirectory() as made:
        home, log = Path(made).resolve() / "home", Path(made) / "log"
        home.mkdir(mode=0o700)
        child = str(Path(power_cut_child.__file__))
        command = [sys.executable, child, kind, str(home), seed, str(steps), fault]
        environment = disk_log.environment(library, home, log)
        subprocess.run(
            command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=CHILD_S
        )
        return [record_at(record, home) for record in disk_log.parse(log.read_bytes())]


def nodes(seed: str, cuts: int, fault: str, library: Path) -> dict[str, Any]:
    """Cut whole nodes; returns what power_cut_nodes says."""
    with tempfile.TemporaryDirectory() as made:
        home, log = Path(made).resolve() / "home", Path(made) / "log"
        home.mkdir(mode=0o700)
        child = str(Path(power_cut_nodes.__file__))
        done = subprocess.run(
            [sys.executable, child, str(home), seed, str(cuts), fault],
            env=disk_log.environment(library, home, log),
            check=True,
            stdout=subprocess.PIPE,
            timeout=CHILD_S,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def record_at(record: Record, home: Path) -> Record:
    """Name paths from the home on, so that logs of two runs are comparable."""
    if record.op not in "CDRU":
        return record
    old = str(home).encode()
    return dataclasses.replace(
        record, a=record.a.replace(old, b"/home", 1), b=record.b.replace(old, b"/home", 1)
    )


def cut(records: list[Record], states: int, judge: Judge, rng: Rng) -> tuple[list[list[str]], int]:
    """Cut at ``states`` places; returns what is wrong after each, and how many lines were told."""
    told = b"".join(record.a for record in records if record.op == "A")
    tells = [number + 1 for number, record in enumerate(records) if record.op == "A"]
    places = sorted(
        rng.choice(tells) if rng.below(2) else rng.below(len(records) + 1) for _ in range(states)
    )
    disk, at, found, lines = Disk(), 0, list[list[str]](), 0
    for place in places:
        for record in records[at:place]:
            disk.apply(record)
        at = place
        lines += disk.told.count(b"\n")
        with tempfile.TemporaryDirectory() as made:
            disk.leave("/home", Path(made), rng)
            found.append(judge(Path(made), disk.told, told))
    return found, lines


def run(seed: str, *, states: int, steps: int, planted_states: int, cuts: int) -> Figures:
    """Cut the power of each kind of writer, as it is and with faults, and of whole nodes."""
    figures = Figures(seed)
    with tempfile.TemporaryDirectory() as made:
        library = disk_log.build(Path(made))
        for kind, judge in JUDGES.items():
            records = logged(kind, seed, steps, "none", library)
            found, told = cut(records, states, judge, seeded(f"{seed} {kind}"))
            figures.states += len(found)
            figures.records += len(records)
            figures.acknowledged += told
            figures.wrong += [f"{kind}: {wrong[0]}" for wrong in found if wrong][:5]
            if not told:
                figures.wrong.append(f"{kind}: nothing was told")
            for fault in PLANTED[kind]:
                records = logged(kind, seed, steps, fault, library)
                found, _ = cut(records, planted_states, judge, seeded(f"{seed} {kind} {fault}"))
                seen = sum(bool(wrong) for wrong in found)
                figures.planted_found[f"{kind} {fault}"] = seen
                if not seen:
                    figures.wrong.append(f"{kind}: void, {fault} was planted and not found")
        found_whole = nodes(seed, cuts, "none", library)
        figures.node_cuts, figures.node_messages = found_whole["cuts"], found_whole["messages"]
        figures.wrong += found_whole["wrong"]
        faulty = bool(nodes(seed, NODE_FAULT_CUTS, NODE_FAULT, library)["wrong"])
        figures.planted_found[f"nodes {NODE_FAULT}"] = int(faulty)
        if not faulty:
            figures.wrong.append(f"nodes: void, {NODE_FAULT} was planted and not found")
    return figures


def main() -> int:
    """Run what the command line asks for and print the figures as JSON; 1 if it fails."""
    parser = argparse.ArgumentParser(description="cut the power at random moments")
    parser.add_argument("--states", type=int, default=2_000, help="disks of each kind")
    parser.add_argument("--steps", type=int, default=300, help="that each writer takes")
    parser.add_argument("--cuts", type=int, default=300, help="of whole nodes")
    parser.add_argument("--seed", default="power cut")
    asked = parser.parse_args()
    figures = run(
        asked.seed, states=asked.states, steps=asked.steps, planted_states=100, cuts=asked.cuts
    )
    json.dump(dataclasses.asdict(figures), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
