"""What goes wrong in a run, all of it drawn from the seed before the run begins.

::

    Plan ─┬─ crashes at a time, or at the n-th time that a node passes a step; down a while
          ├─ weather: loss, copies, overtaking, long latencies
          ├─ walls between two halves, healed later
          ├─ disks that are slow, full, or fail for a while
          ├─ guards that are cut off; where relays replicate, one or two gone for good
          ├─ gossip: channels that break or fall silent, liars, a version signed twice
          └─ clocks: a few seconds off, up to an epoch; steps that the next start finds

At the end of the scenario's length everything is mended: weather, walls, disks and clocks,
and who is down starts. From then on there must be progress.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.liars import Liar
from shoal_protocol.clock import SECOND, seconds
from shoal_protocol.errors import StoreFailed
from shoal_protocol.rng import Rng
from shoal_sim.exact.carriers import CRASH_NOTICED
from shoal_sim.exact.gossip import Gossip
from shoal_sim.exact.links import Weather
from support import seeded

if TYPE_CHECKING:
    from bench.scenario import Scenario
    from shoal_sim.exact.nodes import Node
    from shoal_sim.exact.people import Person
    from shoal_sim.exact.relays import Relay
    from shoal_sim.exact.world import World

STEPS: Final = {
    "relay": (
        ("packet goes", 300),
        ("packet went before a commit", 100),
        ("commit begins", 60),
        ("committed", 60),
        ("answered", 60),
        ("one of a batch is answered", 60),
    ),
    "person": (
        ("packet goes", 80),
        ("packet went before a commit", 8),
        ("packet went before a commit", 50),
        ("commit begins", 40),
        ("committed", 40),
        ("answered", 40),
    ),
}
SMALL_SKEW_S: Final = 5
ALLOWED_SKEW_S: Final = 250  # within what the directory bears


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: what it does at ``at_s`` seconds."""

    at_s: float
    name: str
    act: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A crash when ``node`` passes ``step`` for the ``count``-th time."""

    node: str
    step: str
    count: int
    down_s: float


class Plan:
    """The faults of one run."""

    def __init__(self, scenario: "Scenario", world: "World") -> None:
        self._scenario = scenario
        self._world = world
        self._rng = seeded(f"faults {scenario.seed}")
        self.faults: list[Fault] = []
        self.triggers: list[Trigger] = []
        self.over = False
        self._absent: set[str] = set()
        self.liar: Liar | None = None
        self._draw(self._rng)
        if isinstance(world.board, Gossip):
            self._draw_gossip(seeded(f"gossip faults {scenario.seed}"), world.board)
        world.crashes_at = self._crashes_at

    def describe(self) -> list[str]:
        """Return a line for each fault, by time."""
        lines = [f"{f.at_s:10.1f} s  {f.name}" for f in sorted(self.faults, key=lambda f: f.at_s)]
        return lines + [
            f"   crash of {t.node} at {t.step!r}, time {t.count}, {t.down_s:.1f} s"
            for t in self.triggers
        ]

    def begin(self) -> None:
        """Put the faults into the world's heap."""
        for fault in self.faults:
            self._world.engine.after(seconds(fault.at_s), fault.name, fault.act)

    def mend(self) -> None:
        """Let nothing be wrong any more."""
        world = self._world
        self.over = True
        self._absent.clear()
        world.links.weather = Weather(5, 40)
        self._heal()
        world.board.mend()
        for node in world.nodes():
            node.disk.most_ms = min(node.disk.most_ms, 20)
            node.disk.fails = False
            node.wall_offset = 0
            if node.up and abs(node.offset) > SMALL_SKEW_S * SECOND:
                node.crash()
        for relay in world.relays:
            relay.store.failure = None
            relay.store.capacity = 1 << 20
        world.begin()

    def _draw(self, rng: Rng) -> None:
        scenario, world = self._scenario, self._world
        length = scenario.length_s
        world.board.delay_ms = rng.choice((0, 200, 1500))
        for node in world.nodes():
            node.disk.most_ms = rng.choice((0, 5, 20, 60, 400, 1500))
            if rng.below(3) == 0:
                node.wall_offset = seconds((rng.uniform() * 2 - 1) * SMALL_SKEW_S)
        if rng.below(2) == 0:
            slow = world.people if rng.below(2) == 0 else [rng.choice(world.people)]
            for person in slow:
                person.disk.most_ms = 4000  # packets can be faster by far
        self._weather(rng, 0.0)
        for _ in range(rng.below(3)):
            self._weather(rng, rng.uniform() * length)
        for number, start, end in scenario.away:
            self._away(world.people[number], start, end)
        nodes = [*world.relays, *world.people, *world.people]
        for _ in range(rng.below(4)):
            self._crash(rng, rng.choice(nodes), length)
        for _ in range(rng.below(5)):
            self._trigger(rng, rng.choice(nodes), length)
        if rng.below(4) == 0:
            self._wall(rng, length)
        for _ in range(rng.below(3)):
            self._disk(rng, rng.choice(nodes), length)
        for _ in range(rng.below(3)):
            self._cut(rng, length)
        for _ in range(rng.below(3)):
            self._clock(rng, rng.choice(nodes), length)
        if scenario.copies:
            for relay in rng.sample(world.relays, scenario.deaths):
                self._death(rng, relay, length)
        for person in world.people:
            if rng.below(2) == 0:
                self._early(rng, person, length)

    def _add(self, at_s: float, name: str, act: Callable[[], None]) -> None:
        self.faults.append(Fault(at_s, name, act))

    def _weather(self, rng: Rng, at_s: float) -> None:
        least = rng.choice((1, 10, 50))
        weather = Weather(
            least,
            least + rng.choice((1, 40, 150)),
            loss=rng.choice((0.0, 0.0, 0.002, 0.0065, 0.03)),  # 0.0065: 5 % of eight links
            copies=rng.choice((0.0, 0.0, 0.02, 0.1)),
            late=rng.choice((0.0, 0.05)),
            late_ms=rng.choice((200, 3000)),
        )
        self._add(at_s, f"{weather}", lambda: self._set(weather))

    def _set(self, weather: Weather) -> None:
        self._world.links.weather = weather

    def _stop(self, node: "Node", down_s: float) -> None:
        if not node.up or self.over:
            return
        node.crash()
        self._restart(node, down_s)

    def _restart(self, node: "Node", down_s: float) -> None:
        runs = node.runs

        def start() -> None:
            absent = node.name in self._absent or node in self._dead()
            if not node.up and node.runs == runs and not absent:
                node.start()

        self._world.engine.after(seconds(down_s), f"{node.name} may start", start)

    def _dead(self) -> list["Relay"]:
        return [relay for relay in self._world.relays if relay.gone]

    def _death(self, rng: Rng, relay: "Relay", length: float) -> None:
        def die() -> None:
            relay.gone = True
            if relay.up:
                relay.crash()

        self._add(rng.uniform() * length, f"{relay.name} is gone for good", die)

    def _early(self, rng: Rng, person: "Person", length: float) -> None:
        """Crash somebody just after a packet went ahead of what is being written."""
        step = "packet went before a commit"
        self.triggers.append(Trigger(person.name, step, 1 + rng.below(20), self._down(rng, length)))

    def _crash(self, rng: Rng, node: "Node", length: float) -> None:
        at_s, down_s = rng.uniform() * length, self._down(rng, length)
        self._add(at_s, f"{node.name} crashes, {down_s:.1f} s", lambda: self._stop(node, down_s))

    def _down(self, rng: Rng, length: float) -> float:
        return rng.choice((0.01, 1.0, rng.uniform() * length * 0.3))

    def _away(self, node: "Node", start: float, end: float) -> None:
        def leave() -> None:
            if self.over:
                return
            self._absent.add(node.name)
            if node.up:
                node.crash()

        def come() -> None:
            self._absent.discard(node.name)
            if not node.up:
                node.start()

        self._add(start, f"{node.name} leaves", leave)
        if end < self._scenario.length_s:
            self._add(end, f"{node.name} comes back", come)

    def _trigger(self, rng: Rng, node: "Node", length: float) -> None:
        step, most = rng.choice(STEPS[node.name.rstrip("0123456789")])
        self.triggers.append(Trigger(node.name, step, 1 + rng.below(most), self._down(rng, length)))

    def _crashes_at(self, node: "Node", step: str) -> bool:
        if self.over:
            return False
        for trigger in self.triggers:
            if (trigger.node, trigger.step, trigger.count) == (node.name, step, node.steps[step]):
                self._restart(node, trigger.down_s)
                return True
        return False

    def _wall(self, rng: Rng, length: float) -> None:
        at_s = rng.uniform() * length * 0.8
        sides = {node.name: rng.below(2) for node in self._world.nodes()}
        self._add(at_s, "a wall", lambda: self._raise(sides))
        self._add(at_s + rng.uniform() * length * 0.4, "the wall falls", self._heal)

    def _raise(self, sides: dict[str, int]) -> None:
        if self.over:
            return
        self._world.links.side = sides
        self._world.board.parted()
        for person in self._world.people:
            if person.up and not self._world.reaches(person, person.guard):
                person.link_broke(wall=True)

    def _heal(self) -> None:
        self._world.links.side = {}
        for node in self._world.nodes():
            self._world.board.compare(node)

    def _disk(self, rng: Rng, node: "Node", length: float) -> None:
        at_s, lasts = rng.uniform() * length, rng.uniform() * length * 0.3
        what = rng.choice(("fails", "is full", "is slow"))
        crashes, down_s = rng.below(2) == 0, self._down(rng, length)
        relay = next((one for one in self._world.relays if one is node), None)
        disk = node.disk

        def begin() -> None:
            if self.over:
                return
            if what == "is slow":
                disk.most_ms = 3000
            elif relay is None:
                disk.fails = True
            elif what == "fails":
                relay.store.failure = StoreFailed
            else:
                relay.store.capacity = len(relay.store)

        def end() -> None:
            if crashes:
                self._stop(node, down_s)
            disk.fails = False
            disk.most_ms = min(disk.most_ms, 20)
            if relay is not None:
                relay.store.failure = None
                relay.store.capacity = 1 << 20

        self._add(at_s, f"disk of {node.name} {what}", begin)
        self._add(at_s + lasts, f"disk of {node.name} is well again, crash: {crashes}", end)

    def _cut(self, rng: Rng, length: float) -> None:
        person = rng.choice(self._world.people)
        self._add(rng.uniform() * length, f"{person.name} loses its guard", person.lose_guard)

    def _clock(self, rng: Rng, node: "Node", length: float) -> None:
        """Step a wall clock; the node finds it when it starts next, soon."""
        epoch_s = self._scenario.params.epoch_s
        most = rng.choice((SMALL_SKEW_S, min(ALLOWED_SKEW_S, epoch_s), epoch_s))
        if node.name.startswith("relay"):
            most = min(most, ALLOWED_SKEW_S, epoch_s)
        offset = seconds((rng.uniform() * 2 - 1) * most)
        at_s, down_s = rng.uniform() * length, self._down(rng, length)

        def step() -> None:
            if not self.over:
                node.wall_offset = offset
                self._stop(node, down_s)

        self._add(at_s, f"clock of {node.name} goes {offset / SECOND:+.1f} s off", step)

    def _draw_gossip(self, rng: Rng, gossip: Gossip) -> None:
        """Draw what goes wrong with the directory, from a stream of its own."""
        scenario, world = self._scenario, self._world
        length, liar = scenario.length_s, Liar(rng)
        self.liar = liar
        for _ in range(rng.below(6)):
            what, pick = rng.choice(("breaks", "is silent")), rng.below(1 << 16)
            name = f"a channel of the directory {what}"
            self._add(rng.uniform() * length, name, partial(self._channel, gossip, what, pick))
        for _ in range(2 + rng.below(10)):
            node = rng.choice(world.relays)
            lie = partial(self._lie, gossip, liar, node)
            self._add(rng.uniform() * length, f"{node.name} is told lies", lie)
        spare = scenario.params.epoch_s < 3600 or (scenario.copies and scenario.deaths < 2)
        if spare and rng.below(2) == 0:
            relay, down_s = rng.choice(world.relays), self._down(rng, min(length, 60.0))
            twice = partial(self._twice, gossip, relay, down_s)
            self._add(rng.uniform() * length, f"{relay.name} signs a version twice", twice)

    def _channel(self, gossip: Gossip, what: str, pick: int) -> None:
        ends = gossip.ends()
        if self.over or not ends:
            return
        end = ends[pick % len(ends)]
        if what == "breaks":
            end.fail(CRASH_NOTICED)
        else:
            end.turn_mute()

    def _lie(self, gossip: Gossip, liar: Liar, relay: "Relay") -> None:
        part = gossip.parts.get(relay.name)
        if not self.over and part is not None and part.up:
            part.hear_liar(liar.frames())

    def _twice(self, gossip: Gossip, relay: "Relay", down_s: float) -> None:
        if relay.up and not self.over:
            self._stop(relay, down_s)
            gossip.lose_version(relay)
