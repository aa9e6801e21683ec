"""T1: does a person's line tell whether the person chats? ``python -m processes.wires``.

::

    8 relays, 20 people on machines of their own (network namespaces), ten pairs
        ─► blocks of 200 s: five pairs chat, the others are idle; then the other way round …
        ─► the people's ports watched: time, direction, TCP payload's length of each segment
        ─► windows of 50 gaps, up and down, idle and chatting ─► can they be told apart?

Each person is in both states, and in each block there are both, so that the machine's load and
each node's ways are in both. Who chats sends every four seconds or so and gets as much. A check
of the check: the same windows with a packet that follows at once on 2 % of those of people who
chat must be told apart, or this run has shown nothing.

Where nothing leaks, a direction's upper bound comes above 0.54 in about 6 of 100 runs: the
standard error of an AUC over 1,300 windows of each kind is 0.0113, and 2,000 of each, for
``--windows 2000``, make it 1 in 100. All of it costs a core's half for 35 minutes. Where others
want the cores, packets wait for them and the planted burst is no longer seen.
"""

import argparse
import dataclasses
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Final

import numpy as np

from network.namespaces import HUB, ROOT, Host, Internet, Node
from processes import windows, wire_capture, writers
from processes.waiting import pause, until
from processes.windows import Floats
from processes.writers import Person, Writer
from shoal_node.transport.framing import PACKET_FRAME
from shoal_protocol.parameters import PRESETS
from support import seeded

RELAYS: Final = 8
PEOPLE: Final = 20
WINDOWS: Final = 1_300  # of each state in each direction
BLOCK_S: Final = 200.0
CALM_S: Final = 20.0  # of a block's beginning, in which what was before may go on
PATTERN: Final = (0, 1, 1, 0, 1, 0, 0, 1)  # which half chats: no drift favours one (Thue, Morse)
PAUSE_S: Final = 4.0  # mean time between two messages of one person who chats
CALL_S: Final = 30.0
SETTLE_S: Final = 120.0
READY_S: Final = 120.0
PORT: Final = 4001
BOUND: Final = 0.54  # of the AUC, at the upper end of its interval
PLANTED: Final = 0.02
SEEN: Final = 0.65  # AUC that the planted burst must have
OVERHEAD: Final = 30  # bytes around a packet: yamux 12, Noise 18
WHOLE: Final = 0.98  # of segments that bear packets bear nothing else; directory frames may join
DIRECTIONS: Final = ("up", "down")


@dataclass(slots=True)
class Figures:
    """What a run saw."""

    preset: str
    windows: dict[str, dict[str, int]] = field(default_factory=dict)  # direction, state
    auc: dict[str, dict[str, float]] = field(default_factory=dict)
    planted: dict[str, dict[str, float]] = field(default_factory=dict)
    packets_a_second: dict[str, float] = field(default_factory=dict)  # of one line
    frame_bytes: int = 0  # of the TCP payload that bears one packet
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)  # of those without packets
    whole_share: float = 0.0  # of segments that bear packets, bear these and nothing else
    blocks: int = 0
    minutes: float = 0.0
    dropped: int = 0  # segments that the kernel had no room for
    acknowledged: int = 0
    lost: int = 0
    load: float = 0.0  # of the machine
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of time: ns since the epoch, and which half of the people chatted."""

    first: int
    last: int
    chatting: int


@dataclass(frozen=True, slots=True)
class Segments:
    """All that was seen of one line, in the order of time."""

    at: Floats  # s
    down: windows.Ints
    far: windows.Ints
    length: windows.Ints

    @staticmethod
    def read(path: Path, people: int) -> "list[Segments]":
        """One for each port that was watched."""
        raw = np.fromfile(
            path,
            dtype=np.dtype(
                {
                    "names": ["at", "place", "down", "far", "length"],
                    "formats": ["<u8", "<u2", "u1", "<u4", "<u4"],
                    "offsets": [0, 8, 10, 12, 16],
                    "itemsize": wire_capture.RECORD.size,
                }
            ),
        )
        lines = []
        for place in range(people):
            mine = raw[raw["place"] == place]
            mine = mine[np.argsort(mine["at"], kind="stable")]
            lines.append(
                Segments(
                    mine["at"] / 1e9,
                    mine["down"].astype(np.int64),
                    mine["far"].astype(np.int64),
                    mine["length"].astype(np.int64),
                )
            )
        return lines


def run(
    say: Callable[[str], None],
    *,
    preset: str = "balanced",
    wanted: int = WINDOWS,
    people: int = PEOPLE,
    keep: Path | None = None,
) -> Figures:
    """Run the check, in namespaces.

    Args:
        say: told how it goes.
        preset: the people's.
        wanted: windows of each state.
        people: how many, a multiple of four.
        keep: where what was captured stays, and the blocks beside it as JSON.
    """
    figures = Figures(preset)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wires-") as directory, Internet() as internet:
        root = Path(directory)
        captured = keep or root / "captured"
        hosts = list(internet.spread(RELAYS + people))
        _, nodes = _start(hosts, root, preset)
        names = [f"p{number}" for number in range(people)]
        everybody = [_person(name, node) for name, node in zip(names, nodes, strict=True)]
        pairs = list(zip(everybody[::2], everybody[1::2], strict=True))
        writers.introduce(pairs)
        say(f"{len(hosts)} machines, {len(pairs)} pairs know each other")
        hub = Host(HUB, None, None)
        ports = [f"port{RELAYS + number}" for number in range(people)]
        internet.hosts.append(hub)  # its process ends with the others
        argv = [sys.executable, wire_capture.__file__, str(captured), *ports]
        capture = hub.start(argv, root / "capture.log")
        blocks, letters = _chat(pairs, people, wanted, preset, say)
        figures.load = round(os.getloadavg()[1], 2)
        capture.terminate()
        capture.wait(CALL_S)
        figures.dropped = int((root / "capture.log").read_text().split()[-1])
        _settle(letters, figures)
        figures.blocks = len(blocks)
        lines = Segments.read(captured, people)
    if keep is not None:
        told = [dataclasses.asdict(block) for block in blocks]
        keep.with_suffix(".json").write_text(json.dumps(told))
    judge(figures, lines, blocks)
    figures.minutes = round((time.monotonic() - began) / 60, 1)
    return figures


def _start(hosts: Sequence[Host], root: Path, preset: str) -> tuple[list[Node], list[Node]]:
    """Start a relay on each of the first hosts, and people on the others."""
    lab = ("--network", "lab")
    relays: list[Node] = []
    for number, host in enumerate(hosts[:RELAYS]):
        known = [part for node in relays[:3] for part in ("--bootstrap", node.address)]
        relays.append(host.node("relay", root / f"r{number}", *lab, *known, *host.listen(PORT)))
    known = [part for node in relays[:3] for part in ("--bootstrap", node.address)]
    people = [
        host.node("up", root / f"p{number}", *lab, *known, "--preset", preset, "--no-browser")
        for number, host in enumerate(hosts[RELAYS:])
    ]
    for node in (*relays, *people):
        until(lambda node=node: bool(node.client().get("status")["ready"]), READY_S, "all ready")  # type: ignore[misc]
    return relays, people


def _person(name: str, node: Node) -> Person:
    persona = node.client().post("personas", body={})
    return Person(name, node.data, persona["id"], persona["pseudonym"])


def _chat(
    pairs: Sequence[tuple[Person, Person]],
    people: int,
    wanted: int,
    preset: str,
    say: Callable[[str], None],
) -> tuple[list[Block], list[Writer]]:
    """Let halves chat in turn until there are windows enough; the blocks, all writers."""
    blocks: list[Block] = []
    letters: list[Writer] = []
    needed = _blocks_for(wanted, people, preset)
    for number in range(needed):
        half = PATTERN[number % len(PATTERN)]
        began = time.time_ns()
        talking = [
            Writer(one, other, seeded(f"wires {number} {one.name}"), PAUSE_S, f" of {number}")
            for place, pair in enumerate(pairs)
            if place % 2 == half
            for one, other in permutations(pair)
        ]
        pause(BLOCK_S)
        blocks.append(Block(began + round(CALM_S * 1e9), time.time_ns(), half))
        for letter in talking:
            letter.end(CALL_S)
        letters += talking
        sent = sum(len(letter.acknowledged) for letter in talking)
        say(f"block {number + 1} of {needed}: {sent} messages; load {os.getloadavg()[0]:.1f}")
    return blocks, letters


def _blocks_for(wanted: int, people: int, preset: str) -> int:
    """How many blocks give so many windows of each state: an even number, four at least."""
    of_one = int((BLOCK_S - CALM_S) * PRESETS[preset].rate / windows.GAPS - 0.5)
    needed = -(-wanted // (of_one * people // 2))
    return max(4, needed + needed % 2)


def _settle(letters: Sequence[Writer], figures: Figures) -> None:
    """Whether all that was written has come: else it was no chat."""
    directions: dict[str, list[Writer]] = {}
    for letter in letters:
        directions.setdefault(letter.name, []).append(letter)
    figures.acknowledged = sum(len(letter.acknowledged) for letter in letters)

    def missing() -> int:
        total = 0
        for mine in directions.values():
            there = Counter(
                m["text"] for m in mine[0].target.history(mine[0].source.name) if not m["outgoing"]
            )
            total += (Counter(t for letter in mine for t in letter.acknowledged) - there).total()
        return total

    began = time.monotonic()
    while (left := missing()) and time.monotonic() - began < SETTLE_S:
        pause(2.0)
    figures.lost = left
    if left:
        figures.wrong.append(f"{left} of {figures.acknowledged} messages did not come")


def judge(figures: Figures, lines: Sequence[Segments], blocks: Sequence[Block]) -> None:
    """Fill in what the lines tell, and what is wrong with it."""
    _sizes(figures, lines)
    if figures.whole_share < WHOLE:
        figures.wrong.append(f"only {figures.whole_share:.1%} of what bears packets is of one size")
    for place, direction in enumerate(DIRECTIONS):
        plain = _windows(lines, blocks, place, 0.0)
        marked = _windows(lines, blocks, place, PLANTED)
        figures.windows[direction] = {
            "idle": int((plain.chatting == 0).sum()),
            "chatting": int((plain.chatting == 1).sum()),
        }
        figures.packets_a_second[direction] = round(
            statistics.fmean(windows.GAPS / float(np.exp(row)) for row in plain.features[:, 0]),
            2,
        )
        for found, into, name in (
            (plain, figures.auc, direction),
            (marked, figures.planted, direction),
        ):
            verdict = windows.judge(found, seed=place)
            into[name] = {key: round(v, 4) for key, v in dataclasses.asdict(verdict).items()}
        if figures.auc[direction]["high"] > BOUND:
            figures.wrong.append(
                f"{direction}: idle and chatting are told apart, AUC {figures.auc[direction]}"
            )
        if figures.planted[direction]["auc"] < SEEN:
            figures.wrong.append(
                f"{direction}: void, a planted burst is not seen: {figures.planted[direction]}"
            )
    if figures.dropped:
        figures.wrong.append(f"{figures.dropped} segments were not captured")


def _sizes(figures: Figures, lines: Sequence[Segments]) -> None:
    """Of which lengths the segments are that bear packets, and what else passes."""
    lengths: Counter[int] = Counter()
    for line in lines:
        lengths.update(line.length[line.length >= PACKET_FRAME].tolist())
    figures.frame_bytes = lengths.most_common(1)[0][0]
    whole = sum(count for length, count in lengths.items() if _is_whole(length))
    figures.whole_share = round(whole / lengths.total(), 4)
    for way, direction in enumerate(DIRECTIONS):
        others: Counter[int] = Counter()
        for line in lines:
            mine = line.length[line.down == way]
            others.update(mine[mine < PACKET_FRAME].tolist())
        figures.sizes[direction] = {str(size): count for size, count in others.most_common(20)}


def _is_whole(length: int) -> bool:
    """Whether a segment is some packets with their frames' heads, and nothing else."""
    return length % PACKET_FRAME <= OVERHEAD * (length // PACKET_FRAME)


def _windows(
    lines: Sequence[Segments], blocks: Sequence[Block], way: int, share: float
) -> windows.Windows:
    """All windows of one direction; bursts planted into those of people who chat."""
    rng = np.random.default_rng(1)
    parts = []
    for node, line in enumerate(lines):
        packets = line.length // PACKET_FRAME
        for number, block in enumerate(blocks):
            inside = (line.at >= block.first / 1e9) & (line.at <= block.last / 1e9)
            mine = inside & (packets > 0)
            here, there = mine & (line.down == way), mine & (line.down != way)
            times = np.repeat(line.at[here], packets[here])
            chats = node // 2 % 2 == block.chatting
            if chats and share:
                times = windows.planted(times, share, rng)
            small = inside & (packets == 0)
            features = windows.features_of(
                times,
                [
                    np.repeat(line.at[there], packets[there]),
                    line.at[small & (line.down == way)],
                    line.at[small & (line.down != way)],
                ],
            )
            rows = np.ones(len(features), dtype=np.int64)
            parts.append(windows.Windows(features, rows * chats, rows * node, rows * number))
    return windows.Windows.joined([part for part in parts if len(part.node)])


def main() -> int:
    """Run what the command line asks for and print the figures as JSON; 1 if it fails."""
    parser = argparse.ArgumentParser(description="tell who chats by what is on the wire")
    parser.add_argument("--windows", type=int, default=WINDOWS, help="of each state")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--keep", type=Path, help="keep what was captured in this file")
    asked = parser.parse_args()
    if "SHOAL_NAMESPACES" not in os.environ:
        inside = [str(ROOT / "tools" / "in-namespaces"), sys.executable, "-m", "processes.wires"]
        os.execv(inside[0], [*inside, *sys.argv[1:]])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)

    def say(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    figures = run(
        say, preset=asked.preset, wanted=asked.windows, people=asked.people, keep=asked.keep
    )
    json.dump(dataclasses.asdict(figures), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
