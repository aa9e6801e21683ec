"""An upgrade of a network that runs: half of it on the previous version, then relay by relay.

``python -m processes.upgrade`` runs it, ``--previous COMMIT`` from another commit than the one
that docs/release-checks/previous-version.txt names: the last whose network people run.

::

    relays 1, 3, 5, person 1 of the previous version │ relays 2, 4, 6, person 2 of this one
        ─► both write to each other, without a pause, all the time
        ─► some messages both ways ─► each old relay in turn: stopped or drained, started
           with this version on what it kept ─► person 1, too
        ─► all of this version: writers end ─► everything is there, once and in order

The previous version is taken out of the repository's history; its processes get its packages
and its own command line (previous.py). Both versions use the libraries that are installed.
"""

import argparse
import dataclasses
import io
import itertools
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from processes import previous, writers
from processes.waiting import until
from processes.writers import Writer
from shoal_node import fleet
from shoal_node.config import NodeConfig
from shoal_node.store import relay_store
from shoal_protocol.errors import UserError
from support import seeded

ROOT: Final = Path(__file__).resolve().parent.parent.parent
NAMED: Final = ROOT / "docs" / "release-checks" / "previous-version.txt"
PACKAGES: Final = ("protocol", "node")
UPGRADED: Final = "upgraded"  # a file in the home of a node that runs this version from now on
PAUSE_S: Final = 0.6  # mean time between two messages of one direction
EACH: Final = 3  # messages each way that must arrive between two steps
STEP_S: Final = 60.0  # until they have
SETTLE_S: Final = 60.0
STOP_S: Final = 30.0  # for a node's end in good order
CALL_S: Final = 30.0


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    previous: str
    relays: int
    mixed: int = 0  # messages that arrived while half of the network was of either version
    acknowledged: int = 0
    lost: int = 0
    boxes_before: int = 0  # that upgraded relays kept when they ended
    boxes_after: int = 0  # that they found when they started
    first_s: float = 0.0  # until both knew each other
    upgrade_s: float = 0.0
    settled_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def named() -> str:
    """The commit that is the previous version."""
    return NAMED.read_text().split()[0]


def take_out(commit: str, target: Path) -> None:
    """Unpack a commit's packages; a shallow clone asks where it came from.

    Raises:
        UserError: neither has such a commit.
    """
    git = ("git", "-C", str(ROOT))
    if subprocess.run(
        (*git, "cat-file", "-e", commit), capture_output=True, check=False
    ).returncode:
        subprocess.run(
            (*git, "fetch", "--quiet", "--depth=1", "origin", commit),
            capture_output=True,
            check=False,
        )
    packed = subprocess.run((*git, "archive", commit, *PACKAGES), capture_output=True, check=False)
    if packed.returncode:
        raise UserError(
            f"The previous version, {commit}, is not in this clone's history: "
            f"{packed.stderr.decode(errors='replace').strip()}."
        )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(target, filter="data")


def main_of(tree: Path, old: frozenset[str], config: NodeConfig) -> int | None:
    """Run a node of a fleet: of the version at ``tree`` if ``old`` names it and for so long."""
    if config.data.name in old and not (config.data / UPGRADED).exists():
        _become(tree, config)
    return fleet.daemon_main(config)


def _become(tree: Path, config: NodeConfig) -> NoReturn:
    """Go on as a node of the version at ``tree``, under the same process id."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert isinstance(parent.sentinel, int)
    os.set_inheritable(parent.sentinel, True)
    argv = ["relay" if config.role == "relay" else "up", "--data", str(config.data)]
    argv += ["--network", config.network]
    if config.role == "person":
        argv += ["--preset", config.preset, "--no-browser"]
    for address in config.listen:
        argv += ["--listen", address]
    for address in config.bootstrap:
        argv += ["--bootstrap", address]
    path = os.pathsep.join(str(tree / package) for package in PACKAGES)
    script = [sys.executable, "-P", previous.__file__, str(parent.sentinel), *argv]
    os.execve(sys.executable, script, {**os.environ, "PYTHONPATH": path})


def run(
    commit: str, seed: str, say: Callable[[str], None], *, relays: int = 6, drained: int = 0
) -> Figures:
    """Run the check.

    Args:
        commit: of the previous version.
        seed: of texts and pace.
        say: told how it goes.
        relays: how many there are; every second is of the previous version at first.
        drained: how many of these hand on what they keep before they end.

    Raises:
        UserError: the network did not form, a node ended by itself, or there is no such commit.
    """
    figures = Figures(commit, relays)
    old = [f"relay-{n}" for n in range(1, relays + 1, 2)] + ["person-1"]
    with tempfile.TemporaryDirectory(prefix="shoal-previous-") as directory:
        tree = Path(directory)
        take_out(commit, tree)
        main = partial(main_of, tree, frozenset(old))
        with fleet.Fleet(relays, 2, main=main) as network:
            network.start()
            network.await_ready()
            _check_versions(network, tree, old)
            began = time.monotonic()
            people = writers.people_of(network)
            writers.introduce([(people[1], people[0])])
            figures.first_s = _since(began)
            say(f"{', '.join(old)} are of the previous version; both know each other")
            letters = [
                Writer(one, other, seeded(f"{seed} {one.name}"), PAUSE_S)
                for one, other in itertools.permutations(people)
            ]
            _more(letters, "half of the network of either version")
            figures.mixed = _arrived(letters)
            began = time.monotonic()
            for number, name in enumerate(old):
                _upgrade(network, name, figures, drain=number < drained)
                _more(letters, f"{name} upgraded")
                say(f"{name} is of this version")
            figures.upgrade_s = _since(began)
            _check_versions(network, tree, [])
            _settle(network, letters, figures)
            say(f"{figures.lost} of {figures.acknowledged} messages lost")
    return figures


def _check_versions(network: fleet.Fleet, tree: Path, old: Sequence[str]) -> None:
    """Every node runs the version that it should, by what its process told at its start."""
    for node in network.nodes:
        told = f"{previous.FROM}{tree}" in node.log.read_text(errors="replace")
        upgraded = (node.data / UPGRADED).exists()
        assert told == (node.name in old or upgraded), f"{node.name} runs another version"
        assert not (upgraded and node.name in old)


def _upgrade(network: fleet.Fleet, name: str, figures: Figures, *, drain: bool) -> None:
    node = next(node for node in network.nodes if node.name == name)
    if drain:
        network.drain([node])
    else:
        network.stop(node, STOP_S)
    relay = node in network.relays
    if relay and not drain:
        figures.boxes_before += _boxes(node)
    (node.data / UPGRADED).touch()
    again = network.restart(node)
    if relay and not drain:
        figures.boxes_after += int(again.client().get("status")["counters"]["boxes kept"])
    until(lambda: bool(again.client().get("status")["ready"]), STEP_S, f"{name} is ready again")


def _boxes(node: fleet.Node) -> int:
    database = sqlite3.connect(node.data / relay_store.FILE)
    try:
        return int(database.execute("SELECT count(*) FROM box").fetchone()[0])
    finally:
        database.close()


def _arrived(letters: Sequence[Writer]) -> int:
    return sum(len(letter.acknowledged) - letter.missing() for letter in letters)


def _more(letters: Sequence[Writer], when: str) -> None:
    """Wait until some messages of each direction that were written from now on have come."""
    wanted = {letter.name: len(letter.acknowledged) + EACH for letter in letters}

    def came() -> bool:
        return all(
            len(letter.acknowledged) - letter.missing() >= wanted[letter.name] for letter in letters
        )

    until(came, STEP_S, f"messages come with {when}")


def _settle(network: fleet.Fleet, letters: Sequence[Writer], figures: Figures) -> None:
    for letter in letters:
        letter.end(CALL_S)
    began = time.monotonic()
    until(lambda: not sum(letter.missing() for letter in letters), SETTLE_S, "everything has come")
    figures.settled_s = _since(began)
    network.check()
    figures.acknowledged = sum(len(letter.acknowledged) for letter in letters)
    figures.lost = sum(letter.missing() for letter in letters)
    for letter in letters:
        figures.wrong += letter.compare()
    if figures.boxes_after < figures.boxes_before:
        figures.wrong.append(
            f"upgraded relays kept {figures.boxes_before} boxes and found {figures.boxes_after}"
        )
    for node in network.nodes:
        for line in node.log.read_text(errors="replace").splitlines():
            if " ERROR " in line or line.startswith("Traceback"):
                figures.wrong.append(f"{node.name}: {line}")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def main() -> int:
    """Run what the command line asks for and print the figures as JSON; 1 if it fails."""
    parser = argparse.ArgumentParser(description="upgrade a network that runs, relay by relay")
    parser.add_argument("--previous", default=named(), metavar="COMMIT")
    parser.add_argument("--relays", type=int, default=12)
    parser.add_argument("--drained", type=int, default=1, help="leave in good order before")
    parser.add_argument("--seed", default="upgrade")
    asked = parser.parse_args()

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    figures = run(asked.previous, asked.seed, say, relays=asked.relays, drained=asked.drained)
    json.dump(dataclasses.asdict(figures), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
