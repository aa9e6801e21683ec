"""T1 in virtual time: does a person's line tell whether the person chats? ``python -m sim.lines``.

::

    networks of 8 relays and 20 people of the exact tier, ten pairs each
        ─► blocks of 200 s: five pairs chat, the others are idle; then the other way round …
        ─► when a packet goes up or down each person's link
        ─► windows of 50 gaps, idle and chatting ─► can they be told apart?

The machines are those of real nodes, the links are simulated ones that take a fixed time: what
is seen here comes of what the protocol does, and not of a machine that is busy.
``processes.wires`` asks the same of real nodes over real sockets, with the same classifier.
Seeds are fixed, so that the same code gives the same figures.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from processes import windows
from processes.windows import Floats, Windows
from processes.wires import BLOCK_S, BOUND, CALM_S, PATTERN, PAUSE_S, PLANTED, SEEN
from shoal_protocol.clock import SECOND
from shoal_protocol.rng import Rng
from shoal_sim.exact.null import NullFormat
from shoal_sim.exact.people import Person
from shoal_sim.exact.talk import Talks
from shoal_sim.exact.world import World

RELAYS: Final = 8
PEOPLE: Final = 20
LATENCY_MS: Final = 5
MEET_S: Final = 60.0
DIRECTIONS: Final = ("up", "down")


@dataclass(slots=True)
class Turns(Talks):
    """Pairs who write in the blocks in which their half chats, and are silent in the others.

    ``began`` is when the first block begins, ns.
    """

    began: int = 0

    def pause_s(self, person: Person, rng: Rng) -> float:
        """Return the pause before the next text, over blocks in which the pair is silent."""
        pause = rng.exponential(PAUSE_S)
        at = (self.world.now - self.began) / SECOND
        while not chats(int(person.name.removeprefix("person")), at + pause):
            pause = (int((at + pause) // BLOCK_S) + 1) * BLOCK_S - at + rng.exponential(PAUSE_S)
        return pause


def chats(number: int, at_s: float) -> bool:
    """Whether the pair of the person of this number chats; before the first block all do."""
    return at_s < 0 or number // 2 % 2 == PATTERN[int(at_s // BLOCK_S) % len(PATTERN)]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one network: times in s since the first block, person by person."""

    lines: tuple[list[Floats], list[Floats]]  # up, down
    texts: int
    open: int
    latencies_s: Floats


def watch(seed: int, blocks: int, preset: str) -> Seen:
    """Let a network live for so many blocks, and watch its people's links."""
    world = World(
        RELAYS,
        PEOPLE,
        seed=seed,
        preset=preset,
        null=NullFormat(),
        traced=False,
        latency_ms=LATENCY_MS,
    )
    began = world.now + round(MEET_S * SECOND)
    talks = Turns(world, per_hour=math.nan, began=began)
    talks.begin()
    world.run(MEET_S)
    lines: tuple[list[list[int]], list[list[int]]] = (
        [[] for _ in range(PEOPLE)],
        [[] for _ in range(PEOPLE)],
    )

    def tap(now: int, source: bytes, target: bytes, size: int) -> None:
        for way, end in enumerate((source, target)):
            name = world.names.get(end, "")
            if name.startswith("person"):
                lines[way][int(name.removeprefix("person"))].append(now)

    world.links.taps.append(tap)
    talks.end_after(blocks * BLOCK_S)
    world.run(blocks * BLOCK_S)
    world.links.taps.remove(tap)
    world.run(MEET_S, lambda: not talks.open)
    sent = [text for text in talks.texts.values() if text.sent >= began and text.come is not None]
    return Seen(
        (*([(np.array(one) - began) / SECOND for one in way] for way in lines),),  # type: ignore[arg-type]
        len(talks.texts),
        talks.open,
        np.array([((text.come or 0) - text.sent) / SECOND for text in sent]),
    )


def cut(networks: Sequence[Seen], way: int, blocks: int, share: float) -> Windows:
    """Return all windows of a direction; bursts planted into those of people who chat."""
    rng = np.random.default_rng(1)
    parts = []
    for place, seen in enumerate(networks):
        mine, other = seen.lines[way], seen.lines[1 - way]
        for number in range(PEOPLE):
            for block in range(blocks):
                first, last = block * BLOCK_S + CALM_S, (block + 1) * BLOCK_S
                times, others = (
                    line[(line >= first) & (line < last)] for line in (mine[number], other[number])
                )
                chatting = chats(number, first)
                if chatting and share:
                    times = windows.planted(times, share, rng)
                features = windows.features_of(times, [others])
                rows = np.ones(len(features), dtype=np.int64)
                parts.append(
                    Windows(
                        features, rows * chatting, rows * (place * PEOPLE + number), rows * block
                    )
                )
    return Windows.joined(parts)


def measure(networks: int, blocks: int, preset: str, jobs: int) -> dict[str, Any]:
    """Return the figures, and a sentence for each line that is missed."""
    seeds = range(1, networks + 1)
    with ProcessPoolExecutor(jobs) as pool:
        seen = list(pool.map(watch, seeds, [blocks] * networks, [preset] * networks))
    latencies = np.concatenate([one.latencies_s for one in seen])
    found: dict[str, Any] = {
        "preset": preset,
        "networks": networks,
        "blocks": blocks,
        "texts": sum(one.texts for one in seen),
        "lost": sum(one.open for one in seen),
        "latency_s": {
            name: round(float(np.quantile(latencies, share)), 2)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        },
    }
    wrong = [f"{found['lost']} texts did not come"] if found["lost"] else []
    for way, direction in enumerate(DIRECTIONS):
        plain = cut(seen, way, blocks, 0.0)
        verdict = windows.judge(plain, seed=way)
        planted = windows.judge(cut(seen, way, blocks, PLANTED), seed=way)
        found[direction] = {"windows": len(plain.node)} | {
            name: {key: round(value, 4) for key, value in dataclasses.asdict(one).items()}
            for name, one in (("auc", verdict), ("planted", planted))
        }
        if verdict.high > BOUND:
            wrong.append(f"{direction}: idle and chatting are told apart, AUC {verdict.auc:.3f}")
        if planted.auc < SEEN:
            wrong.append(f"{direction}: void, a planted burst is not seen: {planted.auc:.3f}")
    return found | {"wrong": wrong}


def main() -> int:
    """Measure and print; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description="tell who chats by when packets pass")
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    found = measure(asked.networks, asked.blocks, asked.preset, asked.jobs)
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
