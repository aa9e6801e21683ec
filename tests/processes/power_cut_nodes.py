"""Whole nodes whose power is cut, in virtual time: what people were told is kept is there after.

::

    python power_cut_nodes.py HOME SEED CUTS FAULT        logged by disk_log, LOG in its environment

    two people write over five relays ─► power of one of the seven cut, most often a person's
        ─► its home as a disk may leave it ─► started on that ─► … ─► all came, once, in order

The nodes' links are in memory, and each cut falls on an instant of virtual time, often the one
at which a message was taken or shown. FAULT is what is planted: ``none``; ``unsynced``, people's
databases that are never synced; ``late``, that sync at checkpoints alone. It prints one JSON
object.
"""

import functools
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
import trio
import trio.testing

from processes import disk_log
from shoal_node import keep
from shoal_node.person import PersonNode
from shoal_node.relay import RelayNode
from shoal_node.store import person_store
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng
from support import seeded
from threadless import at_once
from whole_nodes import Lab, accept_all, eventually, lab, meet, received

RELAYS, NAMES = 5, ("person-0", "person-1")
ARRIVED_S = 900.0  # virtual


class Cuts:
    """The talk of two people, and the cuts in it."""

    def __init__(self, made: Lab, home: Path, log: Path, rng: Rng) -> None:
        self.wrong: list[str] = []
        self.cuts = 0
        self.sent: dict[str, list[str]] = {name: [] for name in NAMES}
        self.people: dict[str, PersonNode] = dict(zip(NAMES, made.people, strict=True))
        self.relays: dict[str, RelayNode] = {
            f"relay-{number}": relay for number, relay in enumerate(made.relays)
        }
        self._made = made
        self._home = home
        self._log = log
        self._read = 0
        self._disk = disk_log.Disk()
        self._rng = rng

    async def write(self, name: str) -> None:
        """Have somebody write; it counts as taken once the call has returned."""
        person, text = self.people[name], f"{name} {len(self.sent[name])}"
        await person.send(person.conversations()[0].id, text, None)
        self.sent[name].append(text)

    def seen(self, name: str) -> tuple[list[str], list[str]]:
        """What somebody wrote, and what was shown to them."""
        person = self.people[name]
        (talk,) = person.conversations()
        mine = [m.text for m in person.messages(talk.id, None, 1000) if m.outgoing]
        return mine, [m.text for m in received(person)]

    def _follow(self) -> None:
        """Bring the disk to this instant."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        for record in disk_log.parse(data):
            self._disk.apply(record)

    async def cut(self, name: str) -> None:
        """Cut the power of one node now, and start it on what its disk may hold."""
        self.cuts += 1
        told = self.seen(name) if name in NAMES else ([], [])
        home = self._home / name
        self._follow()
        with tempfile.TemporaryDirectory() as left:
            self._disk.leave(str(home), Path(left), self._rng)
            await self._made.stop(self.people[name] if name in NAMES else self.relays[name])
            _replace(home, Path(left))
        if name not in NAMES:
            self.relays[name] = await self._made.relay(name=name)
            return
        self.people[name] = await self._made.person(name)
        if not self.people[name].conversations():
            self.wrong.append(f"{name} has no conversation after a cut")
            return
        for what, before, after in zip(("wrote", "saw"), told, self.seen(name), strict=True):
            if after[: len(before)] != before:
                self.wrong.append(f"{name}: of {len(before)} messages {what} {len(after)} are left")

    def all_came(self) -> bool:
        """Whether each has seen what the other wrote."""
        one, other = NAMES
        pairs = ((one, other), (other, one))
        return all(len(self.seen(to)[1]) >= len(self.sent[by]) + 1 for by, to in pairs)

    def judge(self) -> None:
        """Look whether all came, once and in order."""
        for by, to in (NAMES, NAMES[::-1]):
            came = [text for text in self.seen(to)[1] if text.startswith("person")]
            if came != self.sent[by]:
                self.wrong.append(f"{to} saw {len(came)} of {len(self.sent[by])}, or not in order")


def _replace(home: Path, left: Path) -> None:
    """Put what was left into a home, durably, in the place of all that is there."""
    for path in home.iterdir():
        path.unlink()
    for path in left.iterdir():
        with open(home / path.name, "wb", opener=_private) as file:
            file.write(path.read_bytes())
            file.flush()
            os.fsync(file.fileno())
    keep.sync(home)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


async def begin(made: Lab) -> None:
    """Have the two meet and greet."""
    one, other = made.people
    contact, _ = await meet(one, other, ephemeral=False)
    await one.send(contact.conversation, "hello", None)
    await eventually(60, lambda: bool(other.conversations()))
    await accept_all(other)
    await eventually(60, lambda: len(received(other)) == 1)
    await other.send(other.conversations()[0].id, "hello back", None)
    await eventually(60, lambda: len(received(one)) == 1)


async def run(home: Path, log: Path, seed: str, cuts: int) -> dict[str, object]:
    """Cut so often, or until something is wrong; returns the figures."""
    rng = seeded(f"cuts {seed}")
    async with lab(home, relays=RELAYS, people=len(NAMES)) as made:
        await begin(made)
        talk = Cuts(made, home, log, rng)
        while talk.cuts < cuts and not talk.wrong:
            for _ in range(rng.below(4)):
                await talk.write(rng.choice(NAMES))
            if rng.below(2):
                await trio.sleep(rng.uniform() * 20)
            victim = rng.choice([*NAMES, *NAMES, *NAMES, *talk.relays])
            try:
                await talk.cut(victim)
            except UserError as error:
                talk.wrong.append(f"{victim} does not start: {error}")
        if not talk.wrong:
            with trio.move_on_after(ARRIVED_S):
                await eventually(ARRIVED_S * 2, talk.all_came)
            await trio.sleep(60)  # for what comes twice
            talk.judge()
    count = sum(map(len, talk.sent.values()))
    return {"cuts": talk.cuts, "messages": count, "wrong": talk.wrong}


def main() -> None:
    """Do what the command line says."""
    home, seed, cuts, fault = sys.argv[1:]
    log = Path(os.environ["SHOAL_DISK_LOG"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", at_once)
        if fault != "none":
            level = {"unsynced": "OFF", "late": "NORMAL"}[fault]
            habits = (one.replace("= FULL", f"= {level}") for one in person_store._HABITS)
            patch.setattr(person_store, "_HABITS", tuple(habits))
        figures = trio.run(
            functools.partial(run, Path(home), log, seed, int(cuts)),
            clock=trio.testing.MockClock(autojump_threshold=0),
        )
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
