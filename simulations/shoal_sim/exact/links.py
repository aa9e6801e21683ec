"""What lies between nodes: delay, loss, copies, overtaking, and walls.

::

    send(source, target, packet) ─┬─ behind a wall, or lost ─► (nothing)
                                  └─ latency drawn, now and then a long one, or two copies
                                       ─► arrives, if the target still is there

A link draws from its own stream of chance, so what happens on one moves nothing on another.
Overtaking comes of the latencies: a packet that draws a long one is passed by the next.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shoal_protocol.clock import MILLISECOND
from shoal_protocol.rng import Rng
from shoal_sim.exact.engine import Engine
from shoal_sim.seeds import seeded

Deliver = Callable[[bytes, bytes, bytes], None]  # source, target, packet


@dataclass(frozen=True, slots=True)
class Weather:
    """How the links are; shares are of packets on one link. Latencies in ms."""

    least_ms: int = 1
    most_ms: int = 1
    loss: float = 0.0
    copies: float = 0.0
    late: float = 0.0  # share that takes up to ``late_ms`` more
    late_ms: int = 0


CALM: Final = Weather()


class Links:
    """All links of a world; nodes are known by ids of 16 bytes."""

    def __init__(self, engine: Engine, seed: str, names: dict[bytes, str]) -> None:
        self._engine = engine
        self._seed = seed
        self._names = names
        self._rngs: dict[tuple[str, str], Rng] = {}
        self.weather = CALM
        self.side: dict[str, int] = {}  # of a wall, by name; who isn't named stands on side 0
        self.lose: Callable[[bytes, bytes], bool] = lambda source, target: False
        self.counters: Counter[str] = Counter()

    def cut(self, one: str, other: str) -> bool:
        """Return whether a wall stands between two nodes."""
        return self.side.get(one, 0) != self.side.get(other, 0)

    def latency(self, one: str, other: str) -> int:
        """Draw how long something takes from one node to another, ns."""
        weather, rng = self.weather, self._rng(one, other)
        spread = weather.most_ms - weather.least_ms
        took = weather.least_ms * MILLISECOND
        if spread:
            took += rng.below(spread * MILLISECOND)
        if weather.late and rng.uniform() < weather.late:
            took += rng.below(weather.late_ms * MILLISECOND)
        return took

    def send(self, source: bytes, target: bytes, packet: bytes, deliver: Deliver) -> None:
        """Carry a packet, if it comes through."""
        one, other = self._names[source], self._names.get(target, "")
        self._engine.note(f"{one} > {other or 'nobody'}", packet)
        if not other or self.cut(one, other) or self.lose(source, target):
            self.counters["lost"] += 1
            return
        weather, rng = self.weather, self._rng(one, other)
        if weather.loss and rng.uniform() < weather.loss:
            self.counters["lost"] += 1
            return
        copies = 2 if weather.copies and rng.uniform() < weather.copies else 1
        for _ in range(copies):
            self.counters["sent"] += 1
            self._engine.after(
                self.latency(one, other),
                f"{one} > {other} arrives",
                lambda: deliver(source, target, packet),
            )

    def _rng(self, one: str, other: str) -> Rng:
        # People's links are named by the person and not by the session's id.
        rng = self._rngs.get((one, other))
        if rng is None:
            rng = self._rngs[one, other] = seeded(f"{self._seed} link {one} {other}")
        return rng
