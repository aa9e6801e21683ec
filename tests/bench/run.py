"""Run seeds of the bench: ``python -m bench.run --seed N`` or ``--seeds 100 --first N --jobs 2``.

::

    seed ─► Scenario, Plan ─► World runs its length with faults ─► mended ─► settles ─► judged

One line a seed that breaks something, and how to run it again exactly; a last line with
counts. ``--seed`` runs one and says more: ``--show`` its plan, ``--trace`` every event.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from bench import scenario as scenarios
from bench.directory_oracle import DirectoryJudge
from bench.faults import Plan
from bench.oracle import Judge
from bench.speakers import Speaker
from shoal_sim.exact import kem, light
from shoal_sim.exact.board import Board
from shoal_sim.exact.engine import Broken
from shoal_sim.exact.gossip import Gossip
from shoal_sim.exact.people import Person
from shoal_sim.exact.relays import Relay
from shoal_sim.exact.world import World
from support import seeded

LOOKS = 10  # at the bounds while the faults last
LOOK_S = 5.0  # between two looks at whether the world has settled


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: ``broken`` says what did not hold, or None."""

    seed: int
    kind: str
    broken: str | None
    trace: str
    events: int
    virtual_s: float
    settled_s: float
    messages: int
    agreed_s: float = 0.0  # until directories kept by gossip agreed
    gossip: bool = False


class Run:
    """One seed's world with all that acts on it."""

    def __init__(
        self,
        seed: int,
        *,
        relay: type[Relay] = Relay,
        person: type[Person] = Person,
        gossip: type[Gossip] = Gossip,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.scenario = scenarios.draw(seed)
        self.judge = Judge()
        self.world = World(
            self.scenario.relays,
            self.scenario.people,
            seed=f"bench {seed}",
            preset=self.scenario.preset,
            params=self.scenario.params,
            start=self.scenario.start,
            calm=False,
            copies=self.scenario.copies,
            watcher=self.judge,
            board=gossip if self.scenario.gossip else Board,
            relay=relay,
            person=person,
            log=log,
        )
        self.judge.world = self.world
        self.plan = Plan(self.scenario, self.world)
        if isinstance(self.world.board, Gossip):
            self.judge.directory = DirectoryJudge(self.world, self.world.board)
            self.judge.directory.liar = self.plan.liar
        self.speakers = [Speaker(self.world, n, self.judge) for n in range(self.scenario.people)]
        for number, speaker in enumerate(self.speakers):
            speaker.plan([line for line in self.scenario.lines if line.speaker == number])

    def go(self) -> float:
        """Run to the end; returns how long it took to settle, in virtual seconds.

        Raises:
            Broken: something that must hold did not.
        """
        with (
            kem.drawn_from(seeded(f"{self.world.seed} encapsulation").bytes),
            light.arithmetic(real=self.scenario.seed % light.REAL_SHARE == 0),
        ):
            return self._go()

    def _go(self) -> float:
        self.world.begin()
        self.plan.begin()
        for _ in range(LOOKS):
            self.world.run(self.scenario.length_s / LOOKS)
            self.judge.bounds()
        self.plan.mend()
        mended = self.world.engine.seconds()
        end = mended + self.scenario.settle_s
        settled, agreed = None, False
        while self.world.engine.seconds() < end:
            agreed = self._agreed(self.world.engine.seconds() - mended)
            if settled is None and self._done():
                settled = self.world.engine.seconds() - mended
            if settled is not None and agreed:
                break
            self.world.run(LOOK_S)
        self.judge.bounds()
        self.judge.finish()
        if not self._done():
            raise self.world.engine.broken("somebody has not said everything")
        if not agreed:
            raise self.world.engine.broken("directories do not agree")
        return self.world.engine.seconds() - mended if settled is None else settled

    def _agreed(self, mended_s: float) -> bool:
        """Judge the directories; return whether they agree, which the board sees to by itself."""
        return self.judge.directory is None or self.judge.directory.look(mended_s)

    def _done(self) -> bool:
        return all(speaker.silent for speaker in self.speakers) and self.judge.done()


def run(
    seed: int,
    *,
    relay: type[Relay] = Relay,
    person: type[Person] = Person,
    gossip: type[Gossip] = Gossip,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Run one seed."""
    one = Run(seed, relay=relay, person=person, gossip=gossip, log=log)
    broken, settled = None, 0.0
    try:
        settled = one.go()
    except Broken as error:
        broken = str(error)
    engine = one.world.engine
    return Result(
        seed,
        one.scenario.kind,
        broken,
        engine.trace,
        engine.events,
        engine.seconds(),
        settled,
        one.judge.counters["read"],
        (one.judge.directory.agreed_at or 0.0) if one.judge.directory else 0.0,
        one.scenario.gossip,
    )


def replay(seed: int) -> str:
    """Return the command that runs a seed again."""
    return f"tools/run_bench.py --seed {seed} --show"


def run_many(seeds: Sequence[int], jobs: int) -> int:
    """Run seeds, print those that break something; returns how many do."""
    began, broken, slowest = time.monotonic(), 0, 0.0
    gossip, agreed = 0, 0.0
    messages, kinds = 0, dict.fromkeys(("chat", "hours", "days"), 0)
    with ProcessPoolExecutor(jobs) as pool:
        for seed, future in [(seed, pool.submit(run, seed)) for seed in seeds]:
            error = future.exception()
            if error is not None:
                broken += 1
                say(f"seed {seed}: {type(error).__name__}: {error}; again: {replay(seed)}")
                continue
            result = future.result()
            slowest = max(slowest, result.settled_s)
            messages += result.messages
            gossip += result.gossip
            agreed = max(agreed, result.agreed_s)
            kinds[result.kind] += 1
            if result.broken is not None:
                broken += 1
                say(f"seed {seed} ({result.kind}): {result.broken}; again: {replay(seed)}")
    took = time.monotonic() - began
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    say(
        f"{len(seeds)} seeds from {seeds[0]}: {broken} broken; {messages} messages; {counts}; "
        f"slowest settled in {slowest:.0f} virtual s; {gossip} with gossip, slowest agreed in "
        f"{agreed:.0f}; {took:.0f} s in all"
    )
    return broken


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 1 when something broke."""
    parser = argparse.ArgumentParser(description="Run the deterministic bench.")
    parser.add_argument("--seed", type=int, help="run this one and say how it went")
    parser.add_argument("--seeds", type=int, default=100, help="how many to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--show", action="store_true", help="with --seed: the plan of faults")
    parser.add_argument("--trace", action="store_true", help="with --seed: everything")
    asked = parser.parse_args(arguments)
    if asked.seed is None:
        return min(1, run_many(range(asked.first, asked.first + asked.seeds), asked.jobs))
    if asked.show:
        one = Run(asked.seed)
        for line in [str(one.scenario.kind), *map(str, one.scenario.lines), *one.plan.describe()]:
            say(line[:120])
    began = time.monotonic()
    result = run(asked.seed, log=say if asked.trace else None)
    say(f"{result}; {time.monotonic() - began:.1f} s")
    return 0 if result.broken is None else 1


if __name__ == "__main__":
    sys.exit(main())
