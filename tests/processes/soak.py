"""T23: a network that runs for two hours: does memory grow, do descriptors, is anything lost?

``python -m processes.soak --minutes 120 --json`` runs it; ``--out FILE`` is written every two
minutes, so that a run that is ended early still tells.

::

    8 relays, 4 people ─► all know all ─► everybody writes to everybody, a minute apart or so
        ─► every 30 s: resident memory, open descriptors, counters, log lines of each process
        ─► writers end ─► everything has come ─► slopes of what was seen after the warm-up

Anonymous memory is judged (statm: resident − shared), since a page that is copied after the
fork counts before and after. Two things of a relay grow by design, within bounds that two hours
don't reach, and are taken off as they are computed from what the relay counts:

- replay filters, for as long as a mix key is held, an epoch and the next: by the packets moved.
  What an ended filter frees is used again rather than given back, so the most until then counts;
- SQLite's cache of the store's pages: the bytes of the store, up to the 16 MiB of the cache.

The slope of all memory stands beside it.

The warm-up is a quarter of the run. In it tables of fixed size fill (the allocators' arenas,
limiters, latencies of the last so many packets), and parts that are imported when first needed
are.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import re
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from processes import slopes, writers
from processes.waiting import pause
from processes.writers import Writer
from shoal_node import fleet
from shoal_node.store import relay_schema
from shoal_protocol.packets import replay
from shoal_protocol.parameters import LAB
from support import seeded

RELAYS: Final = 8
PEOPLE: Final = 4
PRESET: Final = "balanced"
PAUSE_S: Final = 60.0  # mean time between two messages of one direction
SAMPLE_S: Final = 30.0
WRITE_S: Final = 120.0  # between two writings of what was seen so far
WARM_UP: Final = 0.25  # of the run
CALL_S: Final = 60.0  # until a writer's last call is answered
SETTLE_S: Final = 120.0  # until everything has come
MIB: Final = 2**20
PAGES: Final = relay_schema.CACHE_LENGTH / MIB  # of a relay's store in memory at most
GROWTH: Final = 1.0  # MiB/h that memory may grow by, at the upper end of the interval
DESCRIPTORS: Final = 1.0  # an hour that a process may open without closing them
MOVED: Final = ("forwarded", "to client", "requests")  # counters of packets that left a pool
LEVELS: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})
BUG: Final = re.compile(r"[A-Z]\w*")  # a counter named for an error's type, not for a reason
TABLES: Final = 2**16  # of a replay filter
EMPTY: Final = 8 * TABLES / MIB  # MiB of one without tags
DISTINCT: Final = 40  # different log lines that are kept


@dataclass(slots=True)
class Samples:
    """What was seen of one process, sample by sample."""

    role: str
    hours: list[float] = field(default_factory=list)  # since all were ready
    rss_mib: list[float] = field(default_factory=list)
    own_mib: list[float] = field(default_factory=list)  # anonymous
    filters_mib: list[float] = field(default_factory=list)  # replay filters, computed
    pages_mib: list[float] = field(default_factory=list)  # SQLite's cache, computed
    descriptors: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)  # packets that a relay took


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    minutes: float
    ran_minutes: float = 0.0
    warm_up_minutes: float = 0.0
    acknowledged: int = 0
    lost: int = 0
    settled_s: float = 0.0
    packets_a_second: float = 0.0  # that one relay moved, in the mean
    slopes: dict[str, dict[str, float]] = field(default_factory=dict)  # MiB/h by role
    processes: dict[str, dict[str, float]] = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)  # lines of WARNING and above
    errors: dict[str, int] = field(default_factory=dict)  # counters of contained bugs
    counters: dict[str, dict[str, int]] = field(default_factory=dict)  # all, by role
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def filter_mib(tags: float) -> float:
    """MiB of a replay filter's tables with so many random tags, beyond an empty filter's.

    A table is a bytearray of 64 bytes and, rounded to sixteens, a byte more than its tags.
    """
    touched = TABLES * -math.expm1(-tags / TABLES)
    return (touched * (64 + replay.TAG_LENGTH) + replay.TAG_LENGTH * tags) / MIB


class Watch:
    """Samples of every process of a network.

    Args:
        network: whose processes.
        began: when it was ready, monotonic seconds.
    """

    def __init__(self, network: fleet.Fleet, began: float) -> None:
        self._network = network
        self._began = began
        self._epochs: dict[str, Counter[int]] = {}  # packets taken, by name and epoch
        self.seen: dict[str, Samples] = {
            node.name: Samples("relay" if node in network.relays else "person")
            for node in network.nodes
        }
        self.counters: dict[str, Counter[str]] = {}

    def look(self) -> None:
        """Take a sample of each.

        Raises:
            UserError: a node has ended by itself.
        """
        self._network.check()
        for node in self._network.nodes:
            found = self.seen[node.name]
            status = node.client().get("status")
            self.counters[node.name] = Counter(status["counters"])
            pages = Path(f"/proc/{node.process.pid}/statm").read_text().split()
            resident, shared = int(pages[1]), int(pages[2])
            page = resource.getpagesize() / MIB
            found.hours.append((time.monotonic() - self._began) / 3600)
            found.rss_mib.append(round(resident * page, 3))
            found.own_mib.append(round((resident - shared) * page, 3))
            found.descriptors.append(len(os.listdir(f"/proc/{node.process.pid}/fd")))
            if found.role == "relay":
                self._filters(node.name, found)
                stored = self.counters[node.name]["store bytes"] / MIB
                found.pages_mib.append(round(min(stored, PAGES), 3))

    def _filters(self, name: str, found: Samples) -> None:
        moved = sum(self.counters[name][key] for key in MOVED)
        epoch = int(time.time()) // LAB.epoch_s
        by_epoch = self._epochs.setdefault(name, Counter())
        by_epoch[epoch] += moved - (found.moved[-1] if found.moved else 0)
        found.moved.append(moved)
        held = sum(filter_mib(by_epoch[each]) for each in (epoch - 1, epoch))
        held += EMPTY * (2 + (epoch > min(by_epoch)))  # a third key with the first change
        before = found.filters_mib[-1] if found.filters_mib else 0.0
        found.filters_mib.append(round(max(held, before), 3))

    def logged(self) -> Counter[str]:
        """Lines of WARNING and above, and traces, without their times."""
        found: Counter[str] = Counter()
        for node in self._network.nodes:
            for line in node.log.read_text(errors="replace").splitlines():
                words = line.split(maxsplit=3)
                if len(words) == 4 and words[2] in LEVELS:
                    found[f"{words[2]} {words[3][:160]}"] += 1
                elif line.startswith("Traceback"):
                    found["Traceback"] += 1
        return found


def judge(figures: Figures, seen: Mapping[str, Samples]) -> None:
    """Fill in the slopes of what was seen after the warm-up, and what is wrong with them."""
    warm = figures.warm_up_minutes / 60
    for role in ("relay", "person"):
        nodes = {name: each for name, each in seen.items() if each.role == role}
        series = {}
        for name, each in nodes.items():
            first = next((i for i, at in enumerate(each.hours) if at >= warm), len(each.hours))
            hours, own = each.hours[first:], each.own_mib[first:]
            filters = each.filters_mib[first:] or [0.0] * len(hours)
            pages = each.pages_mib[first:] or [0.0] * len(hours)
            judged = [a - b - c for a, b, c in zip(own, filters, pages, strict=True)]
            if len(hours) < 2:
                return
            series[name] = (hours, judged, own, each.rss_mib[first:])
            opened = slopes.theil_sen(hours, [float(n) for n in each.descriptors[first:]])
            growth = slopes.theil_sen(hours, judged)
            figures.processes[name] = {
                "mib_per_hour": round(growth, 3),
                "whole_mib_per_hour": round(slopes.theil_sen(hours, own), 3),
                "mib": own[-1],
                "filters_mib": filters[-1],
                "pages_mib": pages[-1],
                "descriptors_per_hour": round(opened, 2),
                "descriptors": each.descriptors[-1],
                "most_descriptors": max(each.descriptors),
            }
            if opened > DESCRIPTORS:
                figures.wrong.append(f"{name} opens {opened:.1f} descriptors an hour")
        hours = next(iter(series.values()))[0]
        mean = [statistics.fmean(row) for row in zip(*(s[1] for s in series.values()), strict=True)]
        whole = [
            statistics.fmean(row) for row in zip(*(s[2] for s in series.values()), strict=True)
        ]
        fitted = slopes.fit(hours, mean, f"soak {role}")
        figures.slopes[role] = {
            "mib_per_hour": round(fitted.per_hour, 3),
            "low": round(fitted.low, 3),
            "high": round(fitted.high, 3),
            "of_all_memory": round(slopes.theil_sen(hours, whole), 3),
        }
        if fitted.high >= GROWTH:
            figures.wrong.append(
                f"a {role}'s memory grows by {fitted.per_hour:.2f} MiB/h, at most {fitted.high:.2f}"
            )


def run(minutes: float, say: Callable[[str], None], write: Callable[[Figures], None]) -> Figures:
    """Run the check.

    Args:
        minutes: from when all know each other.
        say: told how it goes.
        write: given what was seen so far, now and then.

    Raises:
        UserError: the network did not form, or a node ended by itself.
    """
    figures = Figures(minutes, warm_up_minutes=minutes * WARM_UP)
    with fleet.Fleet(RELAYS, PEOPLE, preset=PRESET) as network:
        network.start()
        network.await_ready()
        people = writers.people_of(network)
        writers.introduce(list(itertools.combinations(people, 2)))
        say(f"{RELAYS} relays and {PEOPLE} people know each other")
        letters = [
            Writer(one, other, seeded(f"soak {one.name} {other.name}"), PAUSE_S)
            for one in people
            for other in people
            if one is not other
        ]
        began = time.monotonic()
        watch = Watch(network, began)
        wrote = began
        for number in range(1, int(minutes * 60 / SAMPLE_S) + 1):
            watch.look()
            now = time.monotonic()
            if now - wrote >= WRITE_S:
                wrote = now
                _sum_up(figures, watch, letters, began)
                write(figures)
                say(_line(figures))
            pause(max(0.0, began + number * SAMPLE_S - time.monotonic()))
        for letter in letters:
            letter.end(CALL_S)
        settling = time.monotonic()
        while any(letter.missing() for letter in letters):
            if time.monotonic() - settling > SETTLE_S:
                break
            pause(1.0)
        figures.settled_s = round(time.monotonic() - settling, 1)
        watch.look()
        _sum_up(figures, watch, letters, began)
        figures.lost = sum(letter.missing() for letter in letters)
        if figures.lost:
            figures.wrong.append(f"{figures.lost} of {figures.acknowledged} messages are lost")
        for letter in letters:
            figures.wrong += letter.compare()
    write(figures)
    return figures


def _sum_up(figures: Figures, watch: Watch, letters: Sequence[Writer], began: float) -> None:
    figures.wrong = []
    figures.ran_minutes = round((time.monotonic() - began) / 60, 2)
    figures.acknowledged = sum(len(letter.acknowledged) for letter in letters)
    figures.samples = {name: dataclasses.asdict(each) for name, each in watch.seen.items()}
    for role in ("relay", "person"):
        names = [name for name, each in watch.seen.items() if each.role == role]
        total = sum((watch.counters[name] for name in names), Counter[str]())
        figures.counters[role] = dict(total.most_common())
        for name, count in total.items():
            if BUG.fullmatch(name):
                figures.errors[name] = count
    moved = [each.moved[-1] - each.moved[0] for each in watch.seen.values() if each.moved]
    figures.packets_a_second = round(statistics.fmean(moved) / (figures.ran_minutes * 60), 1)
    logged = watch.logged()
    figures.logged = dict(logged.most_common(DISTINCT))
    judge(figures, watch.seen)
    figures.wrong += [f"logged {count} times: {line}" for line, count in figures.logged.items()]
    figures.wrong += [f"counted {count} times: {name}" for name, count in figures.errors.items()]


def _line(figures: Figures) -> str:
    grows = ", ".join(
        f"{role} {each['mib_per_hour']:+.2f} ({each['low']:+.2f} to {each['high']:+.2f}) MiB/h"
        for role, each in figures.slopes.items()
    )
    own = {
        role: statistics.fmean(
            each["own_mib"][-1] for each in figures.samples.values() if each["role"] == role
        )
        for role in ("relay", "person")
    }
    return (
        f"{figures.ran_minutes:.0f} min: relays {own['relay']:.1f}, people {own['person']:.1f} "
        "MiB; "
        f"{grows or 'warming up'}; {figures.acknowledged} messages, "
        f"{figures.packets_a_second} packets/s a relay; "
        f"{sum(figures.logged.values())} lines logged, {sum(figures.errors.values())} errors"
    )


def main() -> int:
    """Run what the command line asks for; 1 if it fails."""
    parser = argparse.ArgumentParser(description="run a network for hours and see what grows")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--out", type=Path, help="write what was seen so far here, now and then")
    parser.add_argument("--json", action="store_true", help="print all figures in the end")
    asked = parser.parse_args()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def write(figures: Figures) -> None:
        if asked.out is not None:
            new = asked.out.with_suffix(".new")
            new.write_text(json.dumps(dataclasses.asdict(figures), indent=1))
            new.replace(asked.out)

    figures = run(asked.minutes, say, write)
    if asked.json:
        told = dataclasses.asdict(figures)
        del told["samples"]  # thousands of numbers; --out keeps them
        json.dump(told, sys.stdout, indent=1)
        sys.stdout.write("\n")
    for sentence in figures.wrong:
        say(sentence)
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
