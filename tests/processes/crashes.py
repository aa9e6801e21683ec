"""Random kills of real processes while people write: ``python -m processes.crashes --kills 50``.

::

    relays, people start ─► all know all ─► writers write
        ─► [kill −9 of one node or two, of any role, at any moment ─► start again after 0–10 s] × n
        ─► writers end ─► settles ─► histories and states compared
        ─► kill −9 of everybody ─► every store checked

Fifty kills take 3 minutes, five hundred half an hour. Who is killed, when, and for how long
is drawn from one seed; what the machine makes of it is not. A node may be killed while it
starts. Passes when no acknowledged message is lost, none is there twice, order holds in each
direction, no state has lied, and every store is sound.
"""

import argparse
import dataclasses
import itertools
import json
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from processes import writers
from processes.waiting import PAUSE_S as LOOK_PAUSE_S
from processes.waiting import pause
from processes.writers import Person, Writer
from shoal_node import fleet
from shoal_node.cli.chat import history
from shoal_node.store import keys, relay_store
from shoal_node.store.person_store import PersonStore
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng
from support import seeded

RELAYS: Final = 8
PEOPLE: Final = 3
PAUSE_S: Final = 1.5  # mean time between two messages of one direction
GAP_S: Final = 4.0  # mean time between two kills
DOWN_S: Final = 10.0  # the longest time before a killed node starts again
PERSON_SHARE: Final = 0.4  # of kills
PAIR_SHARE: Final = 0.2  # of kills that take two at once
LOOK_S: Final = 0.5  # between two looks at the states
SETTLE_S: Final = 120.0  # until everything has arrived, after the last node is back
BEHIND_S: Final = 0.5  # and so much longer for each message that had to come then
READ_S: Final = 60.0  # and until the writers' nodes know
SAY_S: Final = 20.0  # between two lines about how it goes
CALL_S: Final = 60.0  # until the last call is answered


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    seed: str
    kills: int
    relays_killed: int = 0
    people_killed: int = 0
    at_once: int = 0  # kills of two
    while_starting: int = 0
    ports_taken: int = 0  # starts at a port that some connection had meanwhile
    acknowledged: int = 0
    delivered: int = 0
    lost: int = 0
    again: dict[str, int] = field(default_factory=dict)  # calls made again, by reason
    chaos_s: float = 0.0
    behind: int = 0  # messages that had to come when the last node was back
    settled_s: float = 0.0
    read_s: float = 0.0
    unread: int = 0
    logged: dict[str, int] = field(default_factory=dict)  # what nodes complained of
    wrong: list[str] = field(default_factory=list)


class Killer:
    """Kills nodes and starts them again, as the seed says.

    Args:
        network: whose nodes.
        rng: of victims and times.
        figures: counts.
    """

    def __init__(self, network: fleet.Fleet, rng: Rng, figures: Figures) -> None:
        self._network = network
        self._rng = rng
        self._figures = figures
        self._down: dict[str, float] = {}  # name: when it starts again
        self._next = time.monotonic() + rng.exponential(GAP_S)
        self.killed = 0

    def done(self) -> bool:
        """Whether all kills are made and everybody is up."""
        return self.killed >= self._figures.kills and not self._down

    def step(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        for node in self._network.nodes:
            if self._down.get(node.name, now + 1) <= now:
                del self._down[node.name]
                self._network.relaunch(node)
            elif node.name not in self._down and _port_taken(node):
                self._figures.ports_taken += 1
                self._network.relaunch(node)
        if now >= self._next and self.killed < self._figures.kills:
            self._next = now + self._rng.exponential(GAP_S)
            self._strike(now)
        self._network.check()

    def _strike(self, now: float) -> None:
        count = 2 if self._rng.uniform() < PAIR_SHARE else 1
        count = min(count, self._figures.kills - self.killed)
        victims: list[fleet.Node] = []
        for _ in range(count):
            people = self._rng.uniform() < PERSON_SHARE
            nodes = self._network.people if people else self._network.relays
            up = [n for n in nodes if n.name not in self._down and n not in victims]
            if up:
                victims.append(self._rng.choice(up))
        for node in victims:
            if not node.answers:
                self._figures.while_starting += 1
            if node in self._network.people:
                self._figures.people_killed += 1
            else:
                self._figures.relays_killed += 1
        for node in victims:
            self._network.kill(node)
            self._down[node.name] = now + self._rng.uniform() * DOWN_S
        self._figures.at_once += len(victims) == 2
        self.killed += len(victims)


def _port_taken(node: fleet.Node) -> bool:
    """Whether a relay could not start again because its port serves somebody's connection."""
    if node.process.exitcode != 1:
        return False
    port = node.config.listen[0].rpartition("/")[2] if node.config.listen else "no port"
    return port in node.log.read_text(errors="replace").splitlines()[-1]


def run(kills: int, seed: str, say: Callable[[str], None], *, pause_s: float = PAUSE_S) -> Figures:
    """Run the check.

    Args:
        kills: how many processes are killed.
        seed: of who and when.
        say: told how it goes.
        pause_s: mean time between two messages of one direction. Over half an hour a short one
            is more than people can read who are down for half of the time, and measures a queue.

    Raises:
        UserError: the network did not form, or a node ended by itself.
    """
    figures = Figures(seed, kills)
    with fleet.Fleet(RELAYS, PEOPLE) as network:
        network.start()
        network.await_ready()
        people = writers.people_of(network)
        writers.introduce(list(itertools.combinations(people, 2)))
        say(f"{RELAYS} relays and {PEOPLE} people know each other")
        letters = [
            Writer(one, other, seeded(f"{seed} {one.name} {other.name}"), pause_s)
            for one in people
            for other in people
            if one is not other
        ]
        began = time.monotonic()
        _kill(network, letters, figures, say)
        for letter in letters:
            letter.end(CALL_S)
        network.await_ready()
        figures.chaos_s = round(time.monotonic() - began, 1)
        _settle(network, letters, figures, say)
        told = {
            (person.data, conversation): history(person.client(), conversation)
            for person in people
            for conversation in person.conversations.values()
        }
        for node in network.nodes:
            network.kill(node)
        _check_stores(network, figures)
        _check_durable(people, told, figures)
        figures.logged = dict(_logged(network))
    return figures


def _kill(
    network: fleet.Fleet, letters: list[Writer], figures: Figures, say: Callable[[str], None]
) -> None:
    killer = Killer(network, seeded(f"{figures.seed} kills"), figures)
    looked = told = 0.0
    while not killer.done():
        killer.step()
        now = time.monotonic()
        if now >= looked + LOOK_S:
            looked = now
            for letter in letters:
                letter.look()
        if now >= told + SAY_S:
            told = now
            taken = sum(len(letter.acknowledged) for letter in letters)
            left = (figures.kills - killer.killed) * GAP_S / (1 + PAIR_SHARE) / 60
            say(
                f"{killer.killed} of {figures.kills} killed, {taken} messages acknowledged; "
                f"about {left:.0f} minutes to go"
            )
        pause()


def _settle(
    network: fleet.Fleet, letters: list[Writer], figures: Figures, say: Callable[[str], None]
) -> None:
    figures.behind = _count(letters, Writer.missing)
    within_s = SETTLE_S + BEHIND_S * figures.behind
    figures.settled_s = _await(letters, Writer.missing, within_s, "has to come", figures, say)
    figures.read_s = _await(
        letters, Writer.unread, READ_S, "is to be known as fetched", figures, say
    )
    network.check()
    figures.acknowledged = sum(len(letter.acknowledged) for letter in letters)
    figures.lost = _count(letters, Writer.missing)
    figures.delivered = figures.acknowledged - figures.lost
    figures.unread = _count(letters, Writer.unread)
    for letter in letters:
        figures.wrong += letter.compare()
    figures.again = dict(sum((letter.counters for letter in letters), Counter[str]()))
    say(f"{figures.lost} of {figures.acknowledged} messages lost; settled in {figures.settled_s} s")


def _await(
    letters: list[Writer],
    what: Callable[[Writer], int],
    within_s: float,
    name: str,
    figures: Figures,
    say: Callable[[str], None],
) -> float:
    """Wait until nothing is left to count; returns the seconds, or complains."""
    began = told = looked = time.monotonic()
    while left := _count(letters, what):
        now = time.monotonic()
        if now - began > within_s:
            figures.wrong.append(f"not within {within_s:g} s: {left} {name}")
            break
        if now - told > SAY_S:
            told = now
            lines = [f"{letter.name}: {what(letter)}" for letter in letters if what(letter)]
            say(f"after {now - began:.0f} s {name}: {', '.join(lines)}")
        pause(max(LOOK_PAUSE_S, 2 * (now - looked)))  # long histories are not all that nodes do
        looked = time.monotonic()
    return round(time.monotonic() - began, 1)


def _count(letters: list[Writer], what: Callable[[Writer], int]) -> int:
    return sum(what(letter) for letter in letters)


def _check_stores(network: fleet.Fleet, figures: Figures) -> None:
    """Every store that a kill has left is sound."""
    for node in network.relays:
        database = sqlite3.connect(node.data / relay_store.FILE)
        try:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check")]
        except sqlite3.Error as error:
            found = [str(error)]
        finally:
            database.close()
        figures.wrong += [f"{node.name}: {line}" for line in found if line != "ok"]
    for node in network.people:
        try:
            store = PersonStore.open(node.data / keys.DATABASE, keys.secret_of(node.data, None))
        except UserError as error:
            figures.wrong.append(f"{node.name}: {error}")
            continue
        figures.wrong += [f"{node.name}: {line}" for line in store.integrity()]
        store.close()


def _check_durable(
    people: list[Person], told: dict[tuple[Any, str], list[dict[str, Any]]], figures: Figures
) -> None:
    """What the API has told is on the disk of a node that was killed."""
    for person in people:
        store = PersonStore.open(person.data / keys.DATABASE, keys.secret_of(person.data, None))
        kept = {message.id: message.text for message in store.load().messages}
        store.close()
        for (data, conversation), messages in told.items():
            if data != person.data:
                continue
            gone = [m["id"] for m in messages if kept.get(m["id"]) != m["text"]]
            if gone:
                figures.wrong.append(
                    f"{person.name}: {len(gone)} messages of {conversation} that were shown "
                    "are not in its store"
                )


def _logged(network: fleet.Fleet) -> Counter[str]:
    """Count what nodes log as errors, and traces."""
    found: Counter[str] = Counter()
    for node in network.nodes:
        for line in node.log.read_text(errors="replace").splitlines():
            words = line.split(maxsplit=3)
            if len(words) == 4 and words[2] in ("ERROR", "CRITICAL"):
                found[words[3][:100]] += 1
            elif line.startswith("Traceback"):
                found["Traceback"] += 1
    return found


def main() -> int:
    """Run what the command line asks for and print the figures as JSON; 1 if it fails."""
    parser = argparse.ArgumentParser(description="kill random processes while people write")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", default="crashes")
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="s between messages, mean")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    figures = run(asked.kills, asked.seed, say, pause_s=asked.pause)
    json.dump(dataclasses.asdict(figures), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
