"""T8: one peer floods a relay in every way it can, while people talk through that relay.

::

    quiet │ mac │ quiet │ strangers │ quiet │ replay │ quiet │ torrent │ quiet │ requests │ …
    ──────┴─────┴───────┴───────────┴───────┴────────┴───────┴─────────┴───────┴──────────┴──►
    people write all the time; a message counts to the phase in which it was sent

All are real processes on loopback: relays, of which one is flooded, people in pairs, and the
flooder (``hostile.flooder``), which stands for another machine, and hence gets only what processor
the others leave. How fast it was is told; how much of it cost the relay a scalar
multiplication is read from the relay's own counters. Usage: ``python -m hostile.flood --json``.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from hostile.flooder import KINDS
from hostile.slow import resident
from processes.waiting import pause
from shoal_node import demo, fleet
from shoal_protocol.errors import UserError
from shoal_protocol.relay.limits import Limits

TESTS: Final = Path(__file__).parent.parent  # from where a process finds these modules
RELAYS: Final = 4
MEMORY: Final = 64 * 2**20  # bytes that the relay may grow by
SLOWER: Final = 2.0  # times the p95 of quiet phases
SETTLE_S: Final = 1.0  # from the start of a phase: what is sent then counts to none
PACE_S: Final = 1.2  # between one person's messages: faster, and they wait for each other
ARRIVED_S: Final = 60.0  # until the last message has come
TEXTS: Final = 5_000  # that a person has to send, at most
OPENED: Final = (  # reasons for which a packet is dropped once its key was agreed on
    "packet mac",
    "packet command",
    "replay",
    "replay filter full",
    "payload tag",
    "delay over the cap",
    "hop to oneself",
)
PASSED: Final = ("forwarded", "to client", "requests")
BUCKET: Final = Limits()


class Writer:
    """One side of a talk, who writes at an even pace until told to stop."""

    def __init__(self, person: demo.Person) -> None:
        self.person = person
        self._stop = threading.Event()
        self._failed: list[UserError] = []
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and raise the UserError that ended it before, if one did."""
        self._stop.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def _write(self) -> None:
        try:
            for text in self.person.texts[len(self.person.sent) :]:
                if self._stop.wait(PACE_S * random.uniform(0.5, 1.5)):
                    return
                self.person.send(text)
        except UserError as error:
            self._failed.append(error)


class Flooder:
    """The flooder's process."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            ("nice", "-n", "19", sys.executable, "-m", "hostile.flooder", address),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=TESTS,
        )
        self._said()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, kind: str, seconds: float) -> None:
        """Flood for so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {seconds}\n")

    def end(self) -> dict[str, Any]:
        """Return what it did, once it is done."""
        return self._said()

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


def counters(node: fleet.Node) -> Counter[str]:
    """Return what a relay has counted."""
    return Counter(node.client().get("status")["counters"])


def watch(pid: int, seconds: float) -> int:
    """Let time pass; returns the most memory that a process had, in bytes."""
    most, until = 0, time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        most = max(most, resident(pid))
        pause(min(left, 0.1))
    return most


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def phase(victim: fleet.Node, flooder: Flooder, kind: str, seconds: float) -> dict[str, Any]:
    """Let one phase pass, ``quiet`` or a kind of flood; returns its figures."""
    pid = victim.process.pid
    assert pid is not None
    before, began, spent = counters(victim), time.time(), processor(pid)
    if kind != "quiet":
        flooder.begin(kind, seconds)
    memory = watch(pid, seconds)
    figures = {"kind": kind, "sent": {}, "links": 0} | (flooder.end() if kind != "quiet" else {})
    counted = counters(victim) - before
    return figures | {
        "began": began,
        "ended": time.time(),
        "processor_s": processor(pid) - spent,
        "memory": memory,
        "multiplied": sum(counted[reason] for reason in (*OPENED, *PASSED)),
        "counted": {k: n for k, n in counted.items() if "bytes" not in k and k != "store limit"},
    }


def of_phases(
    phases: Iterable[dict[str, Any]], latencies: Sequence[tuple[int, float]]
) -> list[float]:
    """Return the latencies (ms) of messages that were sent in phases."""
    spans = [(one["began"] + SETTLE_S, one["ended"]) for one in phases]
    return [ms for sent, ms in latencies if any(a <= sent / 1e9 < b for a, b in spans)]


def judged(
    kind: str, phases: Sequence[dict[str, Any]], latencies: Sequence[tuple[int, float]]
) -> dict[str, Any]:
    """Return the figures of all phases of one kind."""
    mine = [one for one in phases if one["kind"] == kind]
    ms = of_phases(mine, latencies)
    length = sum(one["ended"] - one["began"] for one in mine)
    sent: Counter[str] = Counter()
    counted: Counter[str] = Counter()
    for one in mine:
        sent.update(one["sent"])
        counted.update(one["counted"])
    return {
        "seconds": round(length, 1),
        "messages": len(ms),
        "ms_p50": demo.percentile(ms, 50),
        "ms_p95": demo.percentile(ms, 95),
        "sent_per_s": {name.split("/")[2]: round(n / length) for name, n in sent.items()},
        "links": sum(one["links"] for one in mine),
        "core": round(sum(one["processor_s"] for one in mine) / length, 2),
        "multiplied_per_s": round(sum(one["multiplied"] for one in mine) / length, 1),
        "counted": dict(counted.most_common(12)),
    }


def complaints(kinds: dict[str, dict[str, Any]], *, latency: bool) -> list[str]:
    """Return what must not be, a sentence each."""
    wrong = []
    quiet = kinds["quiet"]
    for kind, figures in kinds.items():
        if kind == "quiet":
            continue
        slowest = SLOWER * (quiet["ms_p95"] or 0.0)
        if latency and not (figures["ms_p95"] or 0.0) <= slowest:
            wrong.append(f"{kind}: p95 is {figures['ms_p95']} ms, more than {slowest:.0f}")
        extra = figures["multiplied_per_s"] - quiet["multiplied_per_s"]
        most = BUCKET.peer_rate + BUCKET.peer_burst / figures["seconds"] * figures["rounds"]
        if extra > 1.1 * most:
            wrong.append(f"{kind}: {extra:.0f} packets a second were unwrapped, of {most:.0f}")
    return wrong


def attack(
    kinds: Sequence[str], rounds: int, seconds: float, *, pairs: int, latency: bool
) -> dict[str, Any]:
    """Flood a relay in each way ``rounds`` times; returns figures, and under ``wrong`` what fails.

    Args:
        seconds: of a phase.
        pairs: of people.
        latency: whether to judge it, which takes some hundred messages.
    """
    with fleet.Fleet(RELAYS, 2 * pairs) as network:
        network.start()
        network.await_ready()
        victim, talks, writers = network.relays[0], list[demo.Talk](), list[Writer]()
        for number in range(pairs):
            who = [
                demo.person(name, node, [f"{name} says {one} times." for one in range(TEXTS)])
                for name, node in zip("AB", network.people[2 * number :], strict=False)
            ]
            talks.append(demo.Talk(who[0], who[1], "flood"))
            talks[-1].introduce()
            writers += map(Writer, who)
        with Flooder(victim.client().api.addrs[0]) as flooder:
            for writer in writers:
                writer.start()
            phases = [phase(victim, flooder, "quiet", seconds)]
            for _ in range(rounds):
                for kind in kinds:
                    phases.append(phase(victim, flooder, kind, seconds))
                    phases.append(phase(victim, flooder, "quiet", seconds))
            for writer in writers:
                writer.stop()
        network.check()
        lost = doubled = 0
        latencies = list[tuple[int, float]]()
        for talk in talks:
            left, right = talk.people
            _await(left, right)
            _await(right, left)
            for found in (demo.compare(left, right), demo.compare(right, left)):
                lost, doubled = lost + found.lost, doubled + found.duplicates
                latencies += found.latencies
    figures = {
        kind: judged(kind, phases, latencies) | {"rounds": rounds} for kind in ("quiet", *kinds)
    }
    grown = max(one["memory"] for one in phases) - phases[0]["memory"]
    wrong = complaints(figures, latency=latency)
    if lost or doubled:
        wrong.append(f"{lost} messages were lost and {doubled} came twice")
    if grown > MEMORY:
        wrong.append(f"the relay grew by {grown / 2**20:.0f} MiB")
    return {
        "messages": len(latencies),
        "lost": lost,
        "duplicates": doubled,
        "memory_bytes": grown,
        "kinds": figures,
        "wrong": wrong,
    }


def _await(reader: demo.Person, sender: demo.Person) -> None:
    """Wait until everything has come, for a while."""
    until = time.monotonic() + ARRIVED_S
    while len(reader.arrived) < len(sender.sent) and time.monotonic() < until:
        reader.look(None)
        pause(0.2)


def main() -> int:
    """Run the attack and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0, help="of a phase")
    parser.add_argument("--pairs", type=int, default=3, help="of people")
    parser.add_argument("--json", action="store_true", help="print one object")
    given = parser.parse_args()
    figures = attack(given.kinds, given.rounds, given.seconds, pairs=given.pairs, latency=True)
    sys.stdout.write(json.dumps(figures, indent=None if given.json else 2) + "\n")
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
