"""Measures towns larger than the tests': ``python tests/privacy/measure.py --people 24``.

Prints what a thief of the fullest disk can tell by content and by order, and what relays can
guess while they run: each alone, half of them together, all of them together.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by itself

from privacy import chaining, features, linking
from privacy.features import Seen
from privacy.town import SeeingRelay, Talk, Town
from shoal_protocol.parameters import PRESETS
from support import seeded


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def together(town: Town, relays: Sequence[SeeingRelay]) -> list[Seen]:
    """Return what relays that share their notes saw."""
    rows = {row.address: row for relay in relays for row in town.rows(relay)}
    return [
        Seen(row, chaining.together(relay.sight(address) for relay in relays))
        for address, row in sorted(rows.items())
    ]


def measure(talk: Talk) -> None:
    """Let a town talk, and print what is learnt of it."""
    with tempfile.TemporaryDirectory() as folder:
        town = Town(talk, Path(folder))
        town.close()
        _measure(town)


def _measure(town: Town) -> None:
    fullest = max(town.relays, key=lambda relay: len(town.rows(relay)))
    rows = town.rows(fullest)
    conversations = len({place.conversation for place in town.truth.values()})
    say(f"{town.talk}")
    say(f"{conversations} conversations, {len(town.truth)} boxes, {len(rows)} at the fullest relay")
    for name, of in (("streams", town.stream), ("conversations", town.conversation)):
        truth = [of(row.address) for row in rows]
        found = linking.link(rows, truth, features.CONTENT, seeded(1), data=features.data_of)
        say(f"disk, {name}, content: {found}")
        order = linking.link(rows, truth, features.ORDER, seeded(1), keep=True)
        say(f"disk, {name}, order: {order}")
        sights = [Seen(row, fullest.sight(row.address)) for row in rows]
        process = linking.link(sights, truth, features.PROCESS, seeded(1), keep=True)
        say(f"process, {name}, times and hops: {process}")
    half = town.relays[: len(town.relays) // 2]
    views = {
        "each alone": [together(town, [relay]) for relay in town.relays],
        "half together": [together(town, half)],
        "all together": [together(town, town.relays)],
    }
    for name, view in views.items():
        found_chain = chaining.chain(view, lambda one: town.stream(one.row.address), seeded(1))
        say(f"which box its reader had before, {name}: {found_chain}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="What relays learn of who writes to whom.")
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument("--relays", type=int, default=6)
    parser.add_argument("--messages", type=int, default=204)
    parser.add_argument("--every", type=float, default=0.3, help="seconds between two messages")
    parser.add_argument("--turns", type=int, default=0, help="conversations that talk at a time")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced")
    parser.add_argument("--seed", default="town")
    asked = parser.parse_args(arguments)
    measure(
        Talk(
            people=asked.people,
            relays=asked.relays,
            messages=asked.messages,
            every_s=asked.every,
            turns=asked.turns,
            preset=PRESETS[asked.preset],
            seed=asked.seed,
        )
    )


if __name__ == "__main__":
    main()
