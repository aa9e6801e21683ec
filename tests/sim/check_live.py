"""The same small network twice: real processes over libp2p, and machines under virtual time.

::

    shoal demo --relays 8 ─► 60 texts, by the clock of this machine ┐
    World(8, 2) × 6 ───────► some 360, by virtual time               ┴─► all come, as fast

Both have eight relays, two people at preset fast, links of a millisecond or less, texts at the
demo's pace, and time from when a node takes a text until the other has it. In virtual time
nothing takes a processor's time; here two cores carry ten nodes, or do more than that. So a real
median may be no faster than chance allows, and slower by ``SLOWER`` too. Chance is the binomial
of order statistics: of n draws, how many are below a quantile.

Needs a minute and the machine for itself: ``pytest tests/sim/check_live.py``.
"""

import json
import math
import subprocess
import sys
from typing import Final

import numpy

from processes.waiting import Say
from shoal_node.demo import JITTER_S, PACE_S
from shoal_protocol.clock import MILLISECOND
from shoal_protocol.rng import Rng
from shoal_sim.exact import kem, light
from shoal_sim.exact.model import uncollected
from shoal_sim.exact.null import NullFormat
from shoal_sim.exact.people import Person
from shoal_sim.exact.talk import Talks
from shoal_sim.exact.world import PARAMS, World
from shoal_sim.metrics import Floats
from shoal_sim.seeds import seeded

RELAYS: Final = 8
TEXTS: Final = 30  # each way
NETWORKS: Final = 6
SLOWER: Final = 1.6  # by a processor that has other things to do
SURE: Final = 3.29  # standard deviations: 99.9 %
BEFORE_S: Final = 5.0  # virtual, until somebody speaks
LATEST_S: Final = 600.0  # virtual


class Paced(Talks):
    """People who talk as those of the demo do: evenly jittered, so that no text waits for one."""

    def pause_s(self, person: Person, rng: Rng) -> float:
        """Return how long a person has nothing to say, s."""
        return PACE_S + JITTER_S * (2 * rng.uniform() - 1)


def simulated(seed: int) -> list[float | None]:
    """Return how long each text was on its way, ms, the first being the request; None: lost."""
    with (
        uncollected(),
        kem.drawn_from(seeded(f"{seed} encapsulation").bytes),
        light.arithmetic(real=False),
    ):
        world = World(
            RELAYS, 2, seed=seed, preset="fast", params=PARAMS, null=NullFormat(), traced=False
        )
        world.run(BEFORE_S)
        talks = Paced(world, per_hour=math.nan)
        talks.begin()
        talks.end_after(TEXTS * PACE_S)
        world.run(TEXTS * PACE_S)
        world.run(LATEST_S, lambda: not talks.open)
    assert all(text.copies == 1 for text in talks.texts.values())
    return [
        None if text.come is None else (text.come - text.sent) / MILLISECOND
        for text in talks.texts.values()
    ]


def around(values: Floats, share: float, draws: int) -> tuple[float, float]:
    """Return between what a quantile of ``draws`` draws lies by chance, of these values."""
    half = SURE * math.sqrt(share * (1 - share) / draws)
    ends = numpy.clip((share - half, share + half), 0.0, 1.0)
    low, high = numpy.quantile(values, ends)
    return float(low), float(high)


def test_chance_is_as_wide_as_it_is() -> None:
    rng = numpy.random.default_rng(1)
    values = rng.exponential(300.0, 100_000)
    low, high = around(values, 0.5, 60)
    medians = numpy.median(rng.exponential(300.0, (10_000, 60)), axis=1)
    assert 0.995 < ((low < medians) & (medians < high)).mean() < 0.9999


def test_real_processes_deliver_as_much_as_virtual_time_says_and_about_as_fast(say: Say) -> None:
    program = [sys.executable, "-m", "shoal_node.cli.main", "demo", "--preset", "fast", "--json"]
    ended = subprocess.run(
        [*program, "--relays", str(RELAYS), "--messages", str(TEXTS)],
        check=True,
        timeout=180,
        stdout=subprocess.PIPE,
        text=True,
    )
    live = json.loads(ended.stdout.splitlines()[-1])
    texts = [text for seed in range(1, NETWORKS + 1) for text in simulated(seed)]
    came = numpy.array([text for text in texts if text is not None])
    say(
        f"live: {live['delivered']} of {live['sent']} texts, p50 {live['latency_ms']['p50']:.0f} "
        f"ms, p95 {live['latency_ms']['p95']:.0f} ms"
    )
    say(
        f"exact: {len(came)} of {len(texts)} texts in {NETWORKS} networks, "
        f"p50 {numpy.quantile(came, 0.5):.0f} ms, p95 {numpy.quantile(came, 0.95):.0f} ms"
    )
    assert live["delivered"] == live["sent"] == 2 * TEXTS
    assert live["verified"]
    assert len(came) == len(texts) > NETWORKS * TEXTS
    for share, name in ((0.5, "p50"), (0.95, "p95")):
        low, high = around(came, share, live["sent"])
        say(f"{name}: chance allows {low:.0f} to {high:.0f} ms, a busy machine {SLOWER} × as much")
        assert low <= live["latency_ms"][name] <= SLOWER * high
