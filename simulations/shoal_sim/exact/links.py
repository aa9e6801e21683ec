"""What lies between nodes: delay, loss, copies, overtaking, and walls.

::

    send(source, target, packet) ─┬─ behind a wall, or lost ─► (nothing)
                                  └─ latency drawn, now and then a long one, or two copies
                                       ─► arrives, if the target still is there

A link draws from its own stream of chance, so what happens on one moves nothing on another.
Overtaking comes of the latencies: a packet that draws a long one is passed by the next.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shoal_protocol.clock import MILLISECOND
from shoal_protocol.rng import Rng
from shoal_sim.exact.engine import Engine
from shoal_sim.seeds import seeded

Deliver = Callable[[bytes, bytes, bytes], None]  # source, target, packet
Send = Callable[[bytes, bytes, bytes, Deliver], None]
Latency = Callable[[bytes, bytes], int]  # source, target: ns
Between = Callable[[str, str], int]  # the same, by names
Tap = Callable[[int, bytes, bytes, int], None]  # ns, source, target, bytes: what a watcher sees


@dataclass(frozen=True, slots=True)
class Weather:
    """How the links are; shares are of packets on one link. Latencies in ms."""

    least_ms: int = 1
    most_ms: int = 1
    loss: float = 0.0
    copies: float = 0.0
    late: float = 0.0  # share that takes up to ``late_ms`` more
    late_ms: int = 0

    @property
    def steady(self) -> bool:
        """Whether every packet comes through and takes the least."""
        return not (self.loss or self.copies or self.late) and self.most_ms == self.least_ms


CALM: Final = Weather()


class Links:
    """All links of a world; nodes are known by ids of 16 bytes."""

    def __init__(self, engine: Engine, seed: str, names: dict[bytes, str]) -> None:
        self._engine = engine
        self._seed = seed
        self.names = names
        self._rngs: dict[tuple[str, str], Rng] = {}
        self._same: int | None = None  # what a packet takes on any link, before weather adds to it
        self._base: Latency  # the same, or what it takes on a link
        self._between: Between
        self._laid = False  # whether something else than the weather says what links take
        self.weather = CALM
        self.side: dict[str, int] = {}  # of a wall, by name; who isn't named stands on side 0
        self.taps: list[Tap] = []  # who see every packet go
        self.sent = 0
        self.lost = 0

    @property
    def weather(self) -> Weather:
        """How the links are now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        self._steady = weather.steady and not self._engine.traced
        if not self._laid:
            self._lay_all(weather.least_ms * MILLISECOND)

    def lay(self, between: Between) -> None:
        """Let links take what lies between their ends, in place of what the weather has."""
        names, self._laid = self.names, True
        self._between = between
        self._same = None
        self._base = lambda source, target: between(names[source], names[target])

    def lay_all(self, took: int) -> None:
        """Let every link take the same, ns."""
        self._laid = True
        self._lay_all(took)

    def cut(self, one: str, other: str) -> bool:
        """Return whether a wall stands between two nodes."""
        return self.side.get(one, 0) != self.side.get(other, 0)

    def latency(self, one: str, other: str) -> int:
        """Draw how long something takes from one node to another, ns."""
        return self._between(one, other) + self._spread(self.chance(one, other))

    def send(self, source: bytes, target: bytes, packet: bytes, deliver: Deliver) -> None:
        """Carry a packet, if it comes through."""
        engine = self._engine
        for tap in self.taps:
            tap(engine.now, source, target, len(packet))
        if self._steady and not self.side:
            self.sent += 1
            took = self._same
            if took is None:
                took = self._base(source, target)
            engine.after(took, "arrives", deliver, source, target, packet)
            return
        weather = self._weather
        one, other = self.names[source], self.names.get(target, "")
        engine.note(f"{one} > {other or 'nobody'}", packet)
        if not other or self.cut(one, other):
            self.lost += 1
            return
        rng = self.chance(one, other)
        if weather.loss and rng.uniform() < weather.loss:
            self.lost += 1
            return
        copies = 2 if weather.copies and rng.uniform() < weather.copies else 1
        base = self._base(source, target)
        for _ in range(copies):
            self.sent += 1
            took = base + self._spread(rng)
            engine.after(took, (one, ">", other, "arrives"), deliver, source, target, packet)

    def _lay_all(self, took: int) -> None:
        self._between = lambda one, other: took
        self._same = took
        self._base = lambda source, target: took

    def _spread(self, rng: Rng) -> int:
        """Draw what a packet takes beyond the least, ns."""
        weather, took = self._weather, 0
        spread = weather.most_ms - weather.least_ms
        if spread:
            took += rng.below(spread * MILLISECOND)
        if weather.late and rng.uniform() < weather.late:
            took += rng.below(weather.late_ms * MILLISECOND)
        return took

    def chance(self, one: str, other: str) -> Rng:
        """Return the stream of the link from one to another."""
        # People's links are named by the person and not by the session's id. Where there are
        # a million links, those that begin at one node share its stream.
        if not self._engine.traced:
            other = ""
        rng = self._rngs.get((one, other))
        if rng is None:
            rng = self._rngs[one, other] = seeded(f"{self._seed} link {one} {other}")
        return rng
