"""T4: six of twenty relays die at once while the readers are away; or some leave, others are full.

``python -m processes.survivors`` runs it.

::

    20 relays (K = 5), writers and readers know each other ─► readers stop
        ─► 2,000 messages are stored, and copied K times ─► drain of some ─► writers stop
        ─► kill −9 of 6 relays at once ─► readers start
        ─► all that a living relay keeps must come, 99.5 % of all within 120 s
                └─ 60 s later, if anything is missing ─► writers start

Nobody but the relays that live has anything to give for the first minute. The messages go to
many readers in parallel, since one reads at the pace of its slots: 2 to 3 boxes a second with
this preset, and 2,000 messages are 2,800 boxes. A box that no living relay keeps any more is
counted from the stores that the kills have left, expected for fewer than one message in 2,000;
it holds up what was written after it until its writer is back and puts it again.
"""

import argparse
import dataclasses
import json
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from processes import writers
from processes.waiting import pause, until
from processes.writers import Person
from shoal_node import fleet, home
from shoal_node.store import relay_store
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import LAB, LAB5
from support import seeded

PER_CONVERSATION: Final = 50  # messages; a window holds 63
CONVERSATIONS: Final = 2  # of one reader
STORED_S: Final = 300.0  # until every message is stored
COPIED_S: Final = 120.0  # until the relays copy no more
STILL_S: Final = 5.0  # without a new copy: they have finished
WRITERS_S: Final = 60.0  # after the readers, if anything is missing, the writers start
ARRIVED_S: Final = 120.0  # T4's bound
LATEST_S: Final = 300.0  # until when it is watched how many come after it
REPLICAS: Final = LAB.replicas  # of every network here, at least
SHARE: Final = 0.995  # of all, within it


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    seed: str
    relays: int
    killed: int
    messages: int
    drained: int = 0
    full: int = 0  # relays with a disk that takes nothing new from the start
    setup_s: float = 0.0
    stored_s: float = 0.0
    copies: float = 0.0  # of a box, in the mean, when the relays were killed
    copied_s: float = 0.0
    alone: int = 0  # came before any writer was there again
    writers_s: float | None = None  # when they were started again
    drained_s: float | None = None  # until all who were asked to go had gone
    arrived: int = 0  # within T4's bound
    came: int = 0  # in the end
    came_s: float = 0.0
    half_s: float = 0.0
    boxes: int = 0
    boxes_lost: int = 0  # kept by none of the living
    duplicates: int = 0
    relay_mb: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation: who writes, who reads, what."""

    writer: Person
    reader: Person
    texts: tuple[str, ...]

    def write(self) -> None:
        """Hand all texts to the writer's node."""
        client = self.writer.client()
        conversation = self.writer.conversations[self.reader.name]
        for text in self.texts:
            client.post("conversations", conversation, "messages", body={"text": text})

    def unstored(self) -> int:
        """How many of the writer's messages no relay keeps yet."""
        mine = [m for m in self.writer.history(self.reader.name) if m["outgoing"]]
        return sum(m["status"] == "queued" for m in mine)

    def came(self) -> list[str]:
        """What the reader's history holds of the texts; nothing while its node starts."""
        try:
            found = self.reader.history(self.writer.name)
        except UserError:
            return []
        return [m["text"] for m in found if m["text"] in self.texts]


def run(
    seed: str,
    say: Callable[[str], None],
    *,
    relays: int = 20,
    killed: int = 6,
    drained: int = 0,
    full: int = 0,
    readers: int = 20,
    network_name: str = LAB5.name,
) -> Figures:
    """Run the check.

    Args:
        seed: of who is killed, drained, full.
        say: told how it goes.
        relays: how many there are.
        killed: how many die.
        drained: how many hand on what they keep, and go, before others die.
        full: how many have a full disk all the time, and stay.
        readers: their nodes; each reads from two writers', which are half as many.
        network_name: whose parameters hold; how many replicas there are.

    Raises:
        UserError: the network did not form, or a node ended by itself.
    """
    messages = readers * CONVERSATIONS * PER_CONVERSATION
    figures = Figures(seed, relays, killed, messages, drained, full)
    count = max(CONVERSATIONS, readers // 2)  # of writers
    began = time.monotonic()
    with fleet.Fleet(relays, count + readers, network=network_name) as network:
        network.start()
        network.await_ready()
        chosen = seeded(f"{seed} killed").sample(network.relays, killed + drained + full)
        dead, going = chosen[:killed], chosen[killed : killed + drained]
        for node in chosen[killed + drained :]:
            _fill(node)
        talks = _introduce(network, count)
        figures.setup_s = _since(began)
        say(f"{len(talks)} conversations have begun after {figures.setup_s} s")
        for node in network.people[count:]:
            network.stop(node)
        _store(network, talks, figures)
        for node in chosen[killed + drained :]:
            if not any("store is full" in line for line in node.client().get("status")["warnings"]):
                figures.wrong.append(f"{node.name} was not full")
        say(f"{figures.messages} messages stored in {figures.stored_s} s, {figures.copies} copies")
        if going:
            began = time.monotonic()
            network.drain(going)
            figures.drained_s = _since(began)
            say(f"{drained} relays have gone after {figures.drained_s} s")
        for node in network.people[:count]:
            network.stop(node)
        figures.relay_mb = max(node.rss_mb() or 0.0 for node in network.relays)
        for node in dead:
            network.kill(node)
        for node in network.people[count:]:
            network.relaunch(node)
        _read(network, talks, figures, lambda: _start(network, count, figures))
        say(
            f"{figures.arrived} of {figures.messages} came in time, {figures.came} "
            f"after {figures.came_s} s"
        )
        alive = [node for node in network.relays if node not in (*dead, *going)]
        for node in alive:
            network.kill(node)
        _count_boxes([*dead, *going], alive, figures)
    _judge(figures)
    return figures


def _start(network: fleet.Fleet, count: int, figures: Figures) -> None:
    """Let the writers be there again, to put what no living relay keeps."""
    for node in network.people[:count]:
        network.relaunch(node)
    figures.alone = figures.came


def _fill(node: fleet.Node) -> None:
    """Have a relay find its disk full: its operator allows less than there is."""
    (node.data / home.CONFIG_FILE).write_text("[limits]\ndisk_gb = 0.0001\n")
    assert node.process.pid is not None
    os.kill(node.process.pid, signal.SIGHUP)

    def full() -> bool:
        counters = node.client().get("status")["counters"]
        return int(counters["store limit"]) == 10**5

    until(full, STORED_S, "the relay has read its limits")


def _introduce(network: fleet.Fleet, count: int) -> list[Talk]:
    people = writers.people_of(network)
    talks = []
    for place, reader in enumerate(people[count:]):
        for number in range(CONVERSATIONS):
            writer = people[(place + number) % count]
            texts = tuple(f"{writer.name} to {reader.name}: {n}" for n in range(PER_CONVERSATION))
            talks.append(Talk(writer, reader, texts))
    writers.introduce([(talk.writer, talk.reader) for talk in talks])
    for talk in talks:  # who is not answered is a stranger, and read now and then only
        conversation = talk.reader.conversations[talk.writer.name]
        body = {"text": "hello to you"}
        talk.reader.client().post("conversations", conversation, "messages", body=body)
    until(lambda: all(_is_read(talk) for talk in talks), writers.FIRST_S, "first messages are read")
    return talks


def _is_read(talk: Talk) -> bool:
    """Whether both have what the other said first, and know it."""
    ends = (talk.writer.history(talk.reader.name), talk.reader.history(talk.writer.name))
    return all(
        len(end) == 2 and end[place]["status"] in writers.THERE for place, end in enumerate(ends)
    )


def _store(network: fleet.Fleet, talks: Sequence[Talk], figures: Figures) -> None:
    before = _kept(network)
    began = time.monotonic()
    for talk in talks:
        talk.write()
    until(lambda: sum(talk.unstored() for talk in talks) == 0, STORED_S, "all are stored")
    figures.stored_s = _since(began)
    began = last = time.monotonic()
    kept = _kept(network)
    while time.monotonic() - last < STILL_S and time.monotonic() - began < COPIED_S:
        pause(0.5)
        now = _kept(network)
        if now != kept:
            kept, last = now, time.monotonic()
    figures.copied_s = round(last - began, 1)
    figures.copies = round((kept - before) / figures.messages, 2)


def _kept(network: fleet.Fleet) -> int:
    """Boxes that all relays keep together."""
    return sum(
        int(node.client().get("status")["counters"]["boxes kept"]) for node in network.relays
    )


def _read(
    network: fleet.Fleet, talks: Sequence[Talk], figures: Figures, back: Callable[[], None]
) -> None:
    began = time.monotonic()
    while True:
        network.check()
        came = [talk.came() for talk in talks]
        took = _since(began)
        figures.came = sum(len(set(texts)) for texts in came)
        figures.duplicates = sum(map(len, came)) - figures.came
        if took <= ARRIVED_S:
            figures.arrived = figures.came
        if figures.came * 2 >= figures.messages and not figures.half_s:
            figures.half_s = took
        if figures.came == figures.messages or took > LATEST_S:
            break
        if took > WRITERS_S and figures.writers_s is None:
            figures.writers_s = took
            back()
        pause(0.5)
    figures.came_s = took
    if figures.writers_s is None:
        figures.alone = figures.came
    for talk, texts in zip(talks, came, strict=True):
        if texts != list(talk.texts[: len(texts)]):
            figures.wrong.append(f"{talk.writer.name}: out of order")


def _count_boxes(dead: Sequence[fleet.Node], alive: Sequence[fleet.Node], figures: Figures) -> None:
    lives = _addresses(alive)
    gone = _addresses(dead).keys() - lives.keys()
    figures.boxes = len(lives) + len(gone)
    figures.boxes_lost = len(gone)


def _addresses(nodes: Sequence[fleet.Node]) -> Counter[bytes]:
    """Addresses of the boxes that these relays' stores hold."""
    found: Counter[bytes] = Counter()
    for node in nodes:
        database = sqlite3.connect(node.data / relay_store.FILE)
        found.update(row[0] for row in database.execute("SELECT address FROM box"))
        database.close()
    return found


def _judge(figures: Figures) -> None:
    if figures.arrived < SHARE * figures.messages:
        figures.wrong.append(f"{figures.arrived} of {figures.messages} within {ARRIVED_S:g} s")
    if not figures.boxes_lost and figures.arrived < figures.messages:
        figures.wrong.append("a living relay keeps every box, and not every message came in time")
    if figures.killed < REPLICAS and figures.boxes_lost:
        figures.wrong.append(f"{figures.boxes_lost} boxes are gone, few relays are")
    if figures.duplicates:
        figures.wrong.append(f"{figures.duplicates} came twice")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def main() -> int:
    """Run what the command line asks for and print the figures as JSON; 1 if it fails."""
    parser = argparse.ArgumentParser(description="kill relays at once while the readers are away")
    parser.add_argument("--relays", type=int, default=20)
    parser.add_argument("--killed", type=int, default=6)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--seed", default="survivors")
    parser.add_argument("--network", default=LAB5.name)
    parser.add_argument("--drained", type=int, default=0, help="leave in good order before")
    parser.add_argument("--full", type=int, default=0, help="have full disks")
    asked = parser.parse_args()

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    figures = run(
        asked.seed,
        say,
        relays=asked.relays,
        killed=asked.killed,
        readers=asked.readers,
        network_name=asked.network,
        drained=asked.drained,
        full=asked.full,
    )
    json.dump(dataclasses.asdict(figures), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
