"""T13: lookups in a DHT in which Sybils stand, and one in which they grind places around a key.

::

    200 honest relays under the main network's rules ─┬─ Sybils, each in a /16 of its own
                                                      └─ 80 ground around both places of a key
        records put ─► 75 minutes ─► looked for by honest relays ─► share found, of each line

``python -m sim.t13 --networks 2`` prints figures and what is wrong as JSON; seeds are fixed, so
that the same code gives the same figures.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from shoal_sim import scenario
from shoal_sim.exact.model import simulate

GROUND: Final = 20_000  # positions that whoever grinds looks at


@dataclass(frozen=True, slots=True)
class Line:
    """An attack, and the share of lookups that find nevertheless."""

    name: str
    adversary: str
    least: float


LINES: Final = (
    Line("10 % Sybils", 'name = "sybil_directory"\nshare = 0.1', 0.99),
    Line("20 % Sybils", 'name = "sybil_directory"\nshare = 0.2', 0.97),
    Line("33 % Sybils", 'name = "sybil_directory"\nshare = 0.33', 0.90),
    Line("eclipse from ten /16s", f'name = "eclipse_dht"\nground = {GROUND}\nsubnets = 10', 0.90),
)


def shares(line: Line, relays: int, length_s: float, networks: int) -> Iterator[float]:
    """Yield the share of lookups that found, network by network."""
    asked = scenario.parse(
        'question = "How many lookups find?"\n'
        'tier = "exact"\n'
        f'[network]\nnodes = "dht"\nrelays = {relays}\nparameters = "main"\n'
        f"[time]\nlength_s = {length_s}\n"
        f"[adversary]\n{line.adversary}\n"
    )
    for seed in range(1, networks + 1):
        yield simulate(asked, seed).metrics["lookup_found_share"]


def measure(relays: int, length_s: float, networks: int) -> dict[str, Any]:
    """Return the figures of all lines, and a sentence for each that is missed."""
    found: dict[str, Any] = {"relays": relays, "networks": networks}
    wrong: list[str] = []
    for line in LINES:
        each = [round(share, 4) for share in shares(line, relays, length_s, networks)]
        found[line.name] = each
        mean = sum(each) / len(each)
        if mean < line.least:
            wrong.append(f"{line.name}: {mean:.3f} of lookups find, under {line.least}")
    return {**found, "wrong": wrong}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="lookups among Sybils")
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--relays", type=int, default=200)
    parser.add_argument("--hours", type=float, default=1.25)
    asked = parser.parse_args()
    found = measure(asked.relays, 3600 * asked.hours, asked.networks)
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
