"""T5: a network is split in halves for ten minutes and healed; everything arrives, once, in order.

``python -m reliability.split`` runs it, whole nodes in virtual time, their links in memory.

::

    relays and people, each writes to the next in a ring ─► a random half of both cut off:
        frames wait, dials fail, links die ─► 10 min, all go on writing ─► healed, all write once
            ─► within 5 min every message is there and every node knows all relays

A lease of this network is 20 s, so that each half has long left the other's directory when it is
healed, where on the main network leases outlast the split. There are no groups, so what can fork
is what two people agree on, their sessions: they write to each other in both directions at once.
"""

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from shoal_node.person import PersonNode
from shoal_node.relay import RelayNode
from shoal_protocol.rng import Rng
from support import seeded
from threadless import at_once
from whole_nodes import Lab, accept_all, eventually, lab, received

SPLIT_S: Final = 600.0
HEALED_S: Final = 300.0  # T5's bound
PAUSE_S: Final = 40.0  # between two messages of one person to one other, about


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    seed: str
    relays: int
    people: int
    messages: int = 0
    across: int = 0  # of them written during the split to somebody in the other half
    early: int = 0  # of all written during the split, those that came before it ended
    arrived: int = 0
    arrived_s: float | None = None  # after the healing, until all had come
    directory_s: float | None = None  # after the healing, until all nodes knew all relays
    wrong: list[str] = field(default_factory=list)


class Ring:
    """People in a ring, each of whom writes to both neighbours."""

    def __init__(self, people: Sequence[PersonNode]) -> None:
        self.people = people
        self.sent: dict[tuple[int, int], list[str]] = {}
        self._pseudonyms: list[str] = []

    async def meet(self) -> None:
        """Have all neighbours meet and greet."""
        mine = [await person.create_persona(None, ephemeral=False) for person in self.people]
        self._pseudonyms = [persona.pseudonym for persona in mine]
        for one in range(len(self.people)):
            other = (one + 1) % len(self.people)
            await self.people[one].add_contact(mine[one].id, self._pseudonyms[other])
            await self.write(one, other)
        await eventually(300, lambda: all(len(p.conversations()) == 2 for p in self.people))
        for person in self.people:
            await accept_all(person)
        await eventually(300, lambda: self.came() == len(self.sent))
        for one, other in list(self.sent):
            await self.write(other, one)
        await eventually(300, lambda: self.came() == len(self.sent))

    async def write(self, one: int, other: int) -> None:
        """Have one write to the other."""
        so_far = self.sent.setdefault((one, other), [])
        so_far.append(f"{one} to {other}: {len(so_far)}")
        talks = self.people[one].conversations()
        talk = next(each.id for each in talks if each.pseudonym == self._pseudonyms[other])
        await self.people[one].send(talk, so_far[-1], None)

    async def chat(self, one: int, other: int, rng: Rng) -> None:
        """Have one write to the other now and then, until cancelled."""
        while True:
            await trio.sleep(PAUSE_S * (0.5 + rng.uniform()))
            await self.write(one, other)

    def written(self) -> int:
        """How many messages all have written."""
        return sum(map(len, self.sent.values()))

    def came(self) -> int:
        """How many messages all have seen."""
        return sum(len(received(person)) for person in self.people)

    def wrong(self) -> list[str]:
        """Say what did not come, came twice or out of order."""
        found: list[str] = []
        for (one, other), texts in self.sent.items():
            shown = [message.text for message in received(self.people[other])]
            came = [text for text in shown if text.startswith(f"{one} to ")]
            if came != texts:
                found.append(f"{len(came)} of {len(texts)} from {one} to {other}, or not in order")
        return found


async def run(seed: str, home: Path, *, relays: int, people: int) -> Figures:
    """Split a network of so many, heal it, and see what comes."""
    figures, rng = Figures(seed, relays, people), seeded(f"split {seed}")
    async with lab(home, relays=relays, people=people) as made:
        ring = Ring(made.people)
        await ring.meet()
        island: list[RelayNode | PersonNode] = [
            *rng.sample(made.relays, relays // 2),
            *rng.sample(made.people, people // 2),
        ]
        made.network.partition([node.peer.peer_id for node in island])
        before = ring.written()
        aside = {number for number, person in enumerate(made.people) if person in island}
        across = [pair for pair in ring.sent if (pair[0] in aside) != (pair[1] in aside)]
        started = sum(len(ring.sent[pair]) for pair in across)
        async with trio.open_nursery() as nursery:
            for one, other in ring.sent:
                nursery.start_soon(ring.chat, one, other, rng)
            await trio.sleep(SPLIT_S)
            nursery.cancel_scope.cancel()
        figures.early = ring.came() - before
        figures.across = sum(len(ring.sent[pair]) for pair in across) - started
        made.network.heal()
        healed = trio.current_time()
        for one, other in list(ring.sent):
            await ring.write(one, other)
        figures.messages = ring.written() - before
        await _watch(made, ring, figures, healed)
        await trio.sleep(60)  # for what comes twice
        figures.wrong += ring.wrong()
    return figures


async def _watch(made: Lab, ring: Ring, figures: Figures, healed: float) -> None:
    """Wait for messages and directories, and note when all were there."""
    nodes: list[RelayNode | PersonNode] = [*made.relays, *made.people]
    whole = ring.written()
    while trio.current_time() < healed + 2 * HEALED_S:  # judged by HEALED_S, told beyond it
        since = round(trio.current_time() - healed, 1)
        if figures.arrived_s is None and ring.came() >= whole:
            figures.arrived_s = since
        known = all(node.status().relays == figures.relays for node in nodes)
        if figures.directory_s is None and known:
            figures.directory_s = since
        if figures.arrived_s is not None and figures.directory_s is not None:
            break
        await trio.sleep(1)
    figures.arrived = figures.messages - (whole - ring.came())
    for what, took in (("messages", figures.arrived_s), ("directory", figures.directory_s)):
        if took is None or took > HEALED_S:
            figures.wrong.append(f"the {what} not whole within {HEALED_S:g} s of the healing")


def main() -> int:
    """Run what the command line asks for and print the figures as JSON; 1 if it fails."""
    parser = argparse.ArgumentParser(description="split a network in halves and heal it")
    parser.add_argument("--relays", type=int, default=16)
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--seed", default="split")
    asked = parser.parse_args()
    if asked.people < 3:
        parser.error("a ring has three people or more")
    found: list[Figures] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        for number in range(asked.runs):
            with tempfile.TemporaryDirectory() as home:
                one = functools.partial(
                    run,
                    f"{asked.seed} {number}",
                    Path(home),
                    relays=asked.relays,
                    people=asked.people,
                )
                found.append(trio.run(one, clock=trio.testing.MockClock(autojump_threshold=0)))
                sys.stderr.write(f"{found[-1]}\n")
    wrong = [f"{one.seed}: {sentence}" for one in found for sentence in one.wrong]
    runs = [dataclasses.asdict(one) for one in found]
    json.dump({"runs": runs, "wrong": wrong}, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
