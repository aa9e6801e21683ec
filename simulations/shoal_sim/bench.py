"""How fast the tiers are here, beside what others reach: `shoal sim bench [--json]`.

::

    BENCHES: name ─► measured ─► Speed: value, unit, least, anchor
    million, crowd ─► a process of their own, whose peak of memory is its own as well

A speed is the best of a few runs, by the processor time that this process had (user and system,
all threads): others on the machine make it slower and count for nothing. What runs in a process
of its own, 10^5 and 10^6 nodes, is told in seconds of the wall's clock, its set-up included.
Anchors are figures of other simulators on a machine of two cores.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy

from shoal_protocol.parameters import MAIN, PRESETS
from shoal_sim.exact.chance import FastRng
from shoal_sim.exact.mixnet import Mixnet
from shoal_sim.exact.model import uncollected
from shoal_sim.scenario import parse
from shoal_sim.seeds import numbers
from shoal_sim.vector import mixing
from shoal_sim.vector.latency import Fixed
from shoal_sim.vector.model import simulate
from shoal_sim.vector.stepping import FAST
from shoal_sim.vector.tracing import follow

MILLION: Final = """
question = "How many bits does a watcher of all links lack, at a million people?"
[network]
people = 1_000_000
relays = 10_000
active = "drawn"
"""


@dataclass(frozen=True, slots=True)
class Speed:
    """One line of the table.

    Args:
        least: what it must reach; for seconds and bytes the most.
        anchor: what it is compared with, and whose figure that is.
    """

    id: str
    what: str
    value: float
    unit: str
    least: float
    anchor: str
    most: bool = False

    @property
    def passed(self) -> bool:
        """Whether it is fast, or small, enough."""
        return self.value <= self.least if self.most else self.value >= self.least


def layers(times: int = 3, packets: int = 400_000) -> list[Speed]:
    """Messages through three layers of mixes, with the times of all their hops."""
    people, rate = 10_000, 4.0
    span = mixing.Span(0, round(packets / (people * rate) * mixing.SECOND))
    best = 0.0
    for i in range(times):
        rng, began = numbers(1, "bench", i), time.process_time()
        sent = mixing.senders(people, rate, span, rng)
        there = mixing.layered(people, 3, 10)
        drawn = mixing.layers(there, 3, *sent, 50e6, Fixed(42_000_000), rng)
        best = max(best, len(drawn) / (time.process_time() - began))
    return [
        Speed(
            "vector.layers",
            "messages through three mixes, every hop timed",
            best,
            "messages/s",
            3e6,
            "Nym's SimPy simulator: 6,200 packets/s; MiXiM: 2,300 messages/s with 4 targets",
        )
    ]


def free(times: int = 3, packets: int = 400_000) -> list[Speed]:
    """Requests over G, A, B to S, drawn as people draw them: no relay twice on a way."""
    people, rate = 10_000, 4.0
    span = mixing.Span(0, round(packets / (people * rate) * mixing.SECOND))
    best = 0.0
    for i in range(times):
        rng = numbers(1, "bench", i)
        there = mixing.nodes(people, 100, rng)
        began = time.process_time()
        sent = mixing.senders(people, rate, span, rng)
        drawn = mixing.forward(there, *sent, 50e6, Fixed(42_000_000), rng)
        best = max(best, len(drawn) / (time.process_time() - began))
    return [
        Speed(
            "vector.free",
            "messages over guard, A, B to the relay asked, every hop timed",
            best,
            "messages/s",
            3e6,
            "a numpy prototype of free routes: 480,000 messages/s at 10^6 nodes",
        )
    ]


def entropy(times: int = 3, targets: int = 16) -> list[Speed]:
    """The exact posterior of a watcher of all links, drawing the traffic included."""
    people, rate, delay = 1000, 5.0, 0.25e9
    best, packets = 0.0, 300_000 if FAST else 20_000
    span = mixing.Span(0, round(packets / (people * rate) * mixing.SECOND))
    for i in range(times + FAST):  # the first time the loop is compiled
        rng, began = numbers(1, "bench entropy", i), time.process_time()
        sent = mixing.senders(people, rate, span, rng)
        there = mixing.layered(people, 3, 10)
        drawn = mixing.layers(there, 3, *sent, delay, Fixed(50_000_000), rng)
        chosen = numpy.argsort(drawn.begin, kind="stable")[: targets * 100 : 100]
        follow(drawn.way(there), chosen, drawn.other, people)
        best = max(best, len(drawn) / (time.process_time() - began))
    return [
        Speed(
            "vector.entropy",
            f"messages, entropy of {targets} targets, {'numba' if FAST else 'without numba'}",
            best,
            "messages/s",
            4e5 if FAST else 1e4,
            "MiXiM: 2,300 messages/s with 4 targets; a numba prototype: 420,000 to 750,000",
        )
    ]


def exact(times: int = 3) -> list[Speed]:
    """The protocol's machines under virtual time: packets on links, for 1,000 nodes."""
    best = 0.0
    for i in range(times):
        with uncollected():
            net = crowd(100, 900, "fast", i)
            net.run(1.0)
            before, began = net.links.sent, time.process_time()
            net.run(2.0)
            best = max(best, (net.links.sent - before) / (time.process_time() - began))
    return [
        Speed(
            "exact.hops",
            "hops, null cryptography, 100 relays and 900 people of preset fast",
            best,
            "hops/s",
            6e4,
            "trio under a mock clock: 6,000 to 8,000; SimPy: 86,000 to 690,000 bare events; "
            "a prototype heap of sans-I/O nodes: 63,000 to 160,000",
        )
    ]


def crowd(relays: int, people: int, preset: str, seed: int) -> Mixnet:
    """Return a network of relays and people who send cover."""
    return Mixnet(
        relays,
        people,
        PRESETS[preset],
        params=MAIN,
        chance=lambda name: FastRng(f"bench {seed} {name}"),
    )


def hundred_thousand() -> list[Speed]:
    """A second of 10^5 nodes, in a process of its own."""
    found = _apart("crowd")
    what = f"10^5 nodes of preset balanced, a virtual second, {found['hops']:.0f} hops"
    anchor = "its own speed at 1,000 nodes, above"
    return [
        Speed("exact.crowd.time", what, found["seconds"], "s", 300.0, anchor, most=True),
        Speed("exact.crowd.memory", "the same, at its peak", found["bytes"] / 1e6, "MB", 8000.0,
              anchor, most=True),
    ]  # fmt: skip


def million() -> list[Speed]:
    """A run with a million people, in a process of its own."""
    found = _apart("million")
    anchor = "a numpy prototype of 10^6 nodes and 3 million messages, no entropy: 6.2 s, 672 MB"
    what = f"a million people, 10,000 relays, {found['entropy_bits']:.1f} bits"
    return [
        Speed("vector.million.time", what, found["seconds"], "s", 60.0, anchor, most=True),
        Speed("vector.million.memory", "the same, at its peak", found["bytes"] / 1e6, "MB", 1000.0,
              anchor, most=True),
    ]  # fmt: skip


def _apart(name: str) -> dict[str, float]:
    """Run one of :data:`_APART` in a process of its own and return what it says."""
    told = subprocess.run(  # noqa: S603 - this module, by this interpreter
        [sys.executable, "-m", "shoal_sim.bench", name],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(told.stdout)
    return found


BENCHES: Final[dict[str, Callable[[], list[Speed]]]] = {
    "exact.hops": exact,
    "exact.crowd": hundred_thousand,
    "vector.layers": layers,
    "vector.free": free,
    "vector.entropy": entropy,
    "vector.million": million,
}


def measure(names: Sequence[str] = tuple(BENCHES)) -> list[Speed]:
    """Return the speeds of these benches, one after the other."""
    return [speed for name in names for speed in BENCHES[name]()]


def as_json(speeds: Sequence[Speed]) -> str:
    """Return ``{"speeds": [{id, what, value, unit, least, anchor, most, pass}]}``."""
    rows = [{**asdict(speed), "pass": speed.passed} for speed in speeds]
    return json.dumps({"speeds": rows}, indent=2)


def peak_bytes() -> int:
    """Return the most memory that this process ever held (Linux); 0 where that isn't told."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0][1]) * 1024 if lines else 0


def _million() -> None:
    """Run it here and say what it took."""
    began = time.perf_counter()
    bits = simulate(parse(MILLION), 1).metrics["sender_entropy_bits"]
    took = time.perf_counter() - began
    found = {"seconds": took, "bytes": peak_bytes(), "entropy_bits": bits}
    sys.stdout.write(json.dumps(found) + "\n")


def _crowd() -> None:
    """Run 10^5 nodes here and say what it took."""
    began = time.perf_counter()
    with uncollected():
        net = crowd(1000, 99_000, "balanced", 1)
        net.run(1.0)
    took = time.perf_counter() - began
    found = {"seconds": took, "bytes": peak_bytes(), "hops": net.links.sent}
    sys.stdout.write(json.dumps(found) + "\n")


_APART: Final = {"million": _million, "crowd": _crowd}

if __name__ == "__main__":
    if sys.argv[1:]:
        _APART[sys.argv[1]]()
    else:
        sys.stdout.write(as_json(measure()) + "\n")
