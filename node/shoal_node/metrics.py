"""A relay's figures for Prometheus, so coarse that they name nobody; docs/relay.md has each one.

::

    the relay ─ facts() ─► Facts, exact ─┬─ public already: told as asked ───────────┐
                                         └─ at instants ► coarse ► Figures, held ────┴─► text
    instants: multiples of the network's lease since 1970, the same for every relay

Whoever reads these figures beside a wire could ask: does this relay's traffic change when that
person comes or goes? So nothing is told per peer, nothing at the time it happens, no count of
clients, no latency, no processor time. What is told is one of four kinds:

    public      in the directory, or seen by anybody who dials: no news
    coarse      a step of a scale so wide that a person moves it by chance only
    whether     something happened at all in a period, of what strangers can cause and see
    noisy       packets of a day, with noise as large as several people's (Dwork et al. 2006)

threat model: "who reads a relay's metrics"
"""

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shoal_node import supervisor
from shoal_node.relay import RelayNode
from shoal_node.volume import GB, Stage
from shoal_protocol.clock import SECOND
from shoal_protocol.directory.traffic import per_second
from shoal_protocol.parameters import PRESETS
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

DAY: Final = 86_400 * SECOND
STEPS: Final = 20  # of a share that is used up: 5 % each
LINK_STEPS: Final = 4
SHORTEST_S: Final = 0.001  # of a sleep
FRESH: Final = SECOND  # how long a text is given out again: asking often costs nothing
MEMORY_STEP: Final = 64 * 2**20  # bytes
EPSILON: Final = 0.3  # of differential privacy, for one person's packets of a day at its guard
ONE_PERSON: Final = 2 * max(preset.rate for preset in PRESETS.values()) * 86_400  # up and down
NOISE: Final = ONE_PERSON / EPSILON  # packets; the scale of Laplace's distribution
PACKET_STEP: Final = 100_000
LIMITS: Final[Mapping[str, tuple[str, ...]]] = {  # by what is counted when it is reached
    "clients": ("client limit", "client gave way"),
    "connections": ("connection limit", "handshake evicted"),
    "packets": ("relay's rate limit", "inbox full"),
    "peer_packets": ("rate limit", "peer's share of the pool full"),
    "pool": ("pool full",),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a relay knows of itself, exactly; none of it is told as it stands."""

    version: str
    ready: bool
    reachable: bool
    relays: int  # in the directory
    linked: int  # of these
    taking: bool  # new work
    draining: bool
    traffic_class: int  # as in the lease
    crossed: int  # packets since the start
    month_limit: int  # bytes; 0 for none
    store_used: int  # bytes
    store_limit: int  # bytes
    refused: Mapping[str, int]  # since the start, by limit
    failures: int  # errors of our own, contained, since the start
    memory: int  # bytes
    disk_free: int  # bytes


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of a period that ended at ``taken`` (ns)."""

    taken: int
    requests_per_s: float
    store_used: float
    linked: float
    reached: Mapping[str, bool]
    failures: int
    memory: int
    disk_free: int


def facts_of(node: RelayNode, home: Path) -> Facts:
    """Return what ``node`` knows of itself now."""
    status, peers = node.status(), node.peers()
    volume = node.volume.volume
    count = status.counters.get
    return Facts(
        version=status.version,
        ready=status.ready,
        reachable=status.reachable,
        relays=status.relays,
        linked=sum(peer.connected for peer in peers),
        taking=status.draining is None and volume.stage is Stage.OPEN,
        draining=status.draining is not None,
        traffic_class=status.traffic_class or 0,
        crossed=count("forwarded", 0) + count("to client", 0) + count("requests", 0),
        month_limit=volume.cap.bytes,
        store_used=count("store bytes", 0),
        store_limit=count("store limit", 0),
        refused={name: sum(count(one, 0) for one in all_) for name, all_ in LIMITS.items()},
        failures=node.failures,
        memory=_memory(),
        disk_free=shutil.disk_usage(home).free,
    )


class Metrics(Collector):
    """One relay's figures.

    Args:
        facts: what it knows now.
        now: the node's clock.
        period_s: the network's lease.
        rng: for noise.
    """

    def __init__(
        self, facts: Callable[[], Facts], *, now: Callable[[], int], period_s: int, rng: Rng
    ) -> None:
        self._facts = facts
        self._now = now
        self._period = period_s * SECOND
        self._rng = rng
        self._last = facts()
        self._began = now() // self._period * self._period
        self._figures: Figures | None = None
        self._day = now() // DAY
        self._day_began: int | None = None  # packets at its beginning; None: the relay came later
        self._day_packets: int | None = None
        self._text: tuple[int, bytes] | None = None  # the last, and when it was made
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def run(self) -> None:
        """Take figures at each instant until cancelled."""
        instant = self.next_instant()
        while True:
            left = instant - self._now()
            if left > 0:  # also after a sleep that fell short by some ns
                await trio.sleep(max(left / SECOND, SHORTEST_S))
                continue
            await supervisor.contain("metrics", self._take)
            instant = self.next_instant()

    async def _take(self) -> None:
        self.take(self._now())

    def next_instant(self) -> int:
        """When figures are taken next, ns."""
        return (self._now() // self._period + 1) * self._period

    def take(self, now: int) -> None:
        """Take the figures of the period that ended last."""
        facts, before = self._facts(), self._last
        self._last = facts
        self._count_day(facts.crossed, now)
        self._figures = Figures(
            taken=now // self._period * self._period,
            requests_per_s=per_second(facts.traffic_class),
            store_used=step(facts.store_used / max(1, facts.store_limit), STEPS),
            linked=step(facts.linked / max(1, facts.relays - 1), LINK_STEPS),
            reached={name: facts.refused[name] > before.refused[name] for name in LIMITS},
            failures=facts.failures,
            memory=-(-facts.memory // MEMORY_STEP) * MEMORY_STEP,
            disk_free=facts.disk_free // GB * GB,
        )

    def text(self) -> bytes:
        """Return everything in Prometheus's text format, version 0.0.4."""
        now = self._now()
        if self._text is None or now - self._text[0] >= FRESH:
            self._text = now, generate_latest(self._registry)
        return self._text[1]

    def collect(self) -> Iterable[Metric]:
        """Give the library all families; those of a period once one has ended."""
        facts = self._facts()
        build = GaugeMetricFamily(
            "shoal_build_info", "The version that runs, as in its descriptor.", labels=["version"]
        )
        build.add_metric([facts.version], 1)
        yield build
        yield _gauge("ready", "Whether the relay knows others and mixes.", facts.ready)
        yield _gauge("reachable", "Whether others can reach the relay.", facts.reachable)
        yield _gauge("relays", "Relays in the directory, this one included.", facts.relays)
        yield _gauge("taking_work", "Whether the relay takes anything new.", facts.taking)
        yield _gauge("draining", "Whether the relay was asked to leave.", facts.draining)
        yield _gauge(
            "start_timestamp_seconds",
            "When the relay started, rounded down to a period.",
            self._began // SECOND,
        )
        if facts.month_limit:
            yield _gauge(
                "month_limit_bytes", "What the relay may move in a month.", facts.month_limit
            )
        if self._figures is not None:
            yield from _of_period(self._figures)
        if self._day_packets is not None:
            yield _gauge(
                "last_day_packets",
                "Packets that crossed the relay on the last whole day (UTC), with noise.",
                self._day_packets,
            )

    def _count_day(self, crossed: int, now: int) -> None:
        """Tell a day's packets, with noise, once that whole day has passed here."""
        day = now // DAY
        if day == self._day:
            return
        self._day_packets = None
        if self._day_began is not None and day == self._day + 1:
            noisy = crossed - self._day_began + laplace(self._rng.uniform(), NOISE)
            self._day_packets = max(0, round(noisy / PACKET_STEP) * PACKET_STEP)
        self._day, self._day_began = day, crossed


def _of_period(figures: Figures) -> Iterable[Metric]:
    yield _gauge(
        "figures_timestamp_seconds",
        "When the figures of the last period were taken.",
        figures.taken // SECOND,
    )
    yield _gauge(
        "requests_per_second",
        "Requests that the relay was asked, as the class in its lease.",
        figures.requests_per_s,
    )
    yield _gauge(
        "store_used_ratio", "Share of the store's limit in use, in steps.", figures.store_used
    )
    yield _gauge(
        "relays_linked_ratio", "Share of the relays with a link, in steps.", figures.linked
    )
    reached = GaugeMetricFamily(
        "shoal_limit_reached",
        "Whether the limit refused anything in the last period.",
        labels=["limit"],
    )
    for name, was in figures.reached.items():
        reached.add_metric([name], float(was))
    yield reached
    yield CounterMetricFamily(
        "shoal_errors", "Errors of the program itself that it contained.", value=figures.failures
    )
    yield _gauge("memory_bytes", "Memory in use, in steps.", figures.memory)
    yield _gauge("disk_free_bytes", "Room on the data directory's disk.", figures.disk_free)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"shoal_{name}", text, value=float(value))


def step(share: float, steps: int) -> float:
    """Round a share down to one of ``steps`` equal parts, at most 1."""
    return min(steps, math.floor(share * steps)) / steps


def laplace(uniform: float, scale: float) -> float:
    """Turn a uniform draw of [0, 1) into one of Laplace's distribution around 0."""
    centred = min(max(uniform, 2**-53), 1 - 2**-53) - 0.5
    return -math.copysign(scale * math.log1p(-2 * abs(centred)), centred)


def _memory() -> int:
    """Return the process's resident memory, bytes; 0 where the system doesn't tell it so."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
