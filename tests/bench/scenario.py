"""What a seed means: how large, how long, which traffic, what is said and when.

::

    seed ─► Scenario ─┬─ world: relays, people, parameters, preset, start
                      ├─ lines: who says what to whom, and when
                      └─ faults: drawn by bench.faults over its length

Three kinds. *chat*: a minute of quick traffic, everything close together. *hours*: slow
traffic, people there for minutes at a time. *days*: the same over days and their borders.
"""

from dataclasses import dataclass, replace
from typing import Final

from shoal_protocol.clock import SECOND
from shoal_protocol.parameters import NetworkParameters, Preset
from shoal_protocol.rng import Rng
from shoal_sim.exact.world import PARAMS
from support import seeded

DAY_S: Final = 86_400
MIDNIGHT: Final = 1_800_057_600 * SECOND  # ns; a border of days, and of epochs
GOSSIP_SHARE: Final = 4  # one seed in so many keeps the directory by gossip
FILE_SHARE: Final = 6  # one seed in so many has files
SIZES: Final = (1, 1500, 1928, 5000, 12_000)  # bytes; a fragment holds 1,928
LETTERS: Final = "abcdefgh 龙🦕"


@dataclass(frozen=True, slots=True)
class Line:
    """One text: said at ``at_s`` seconds, or when its speaker is there again.

    With a file of ``size`` bytes, if that is not 0.
    """

    at_s: float
    speaker: int
    reader: int
    text: str
    size: int = 0

    @property
    def file(self) -> bytes | None:
        """The content of its file."""
        return seeded(f"file {self.text}").bytes(self.size) if self.size else None


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is drawn before the world begins, but for its faults.

    ``away`` are absences: (person, from, to) in seconds. Where relays replicate (``copies``),
    so many of them as ``deaths`` says go for good, with their disks. With ``gossip`` nodes keep
    the directory by themselves; else each publication is carried to all.
    """

    kind: str
    seed: int
    relays: int
    people: int
    params: NetworkParameters
    preset: Preset
    start: int
    length_s: float
    settle_s: float
    lines: tuple[Line, ...]
    away: tuple[tuple[int, float, float], ...]
    copies: bool = False
    deaths: int = 0
    gossip: bool = False


def draw(seed: int) -> Scenario:
    """Return what ``seed`` means."""
    rng = seeded(f"scenario {seed}")
    kind = ("chat",) * 7 + ("hours",) * 2 + ("days",)
    match rng.choice(kind):
        case "chat":
            drawn = _chat(seed, rng)
        case "hours":
            drawn = _long(seed, rng, "hours", length_s=3600 * (1 + rng.below(4)))
        case _:
            drawn = _long(seed, rng, "days", length_s=DAY_S * (1 + rng.below(2)))
    return _files(_directory(drawn))


def _directory(drawn: Scenario) -> Scenario:
    """Let some seeds gossip, as often as their lengths can bear; drawn from a stream of its own."""
    rng, params = seeded(f"gossip scenario {drawn.seed}"), drawn.params
    if rng.below(GOSSIP_SHARE):
        return drawn
    interval_ms = rng.choice((1000, 3000)) if drawn.kind == "chat" else params.lease_s * 1000 // 12
    name = f"{params.name} gossip {interval_ms}"
    return replace(
        drawn, gossip=True, params=replace(params, name=name, gossip_interval_ms=interval_ms)
    )


def _files(drawn: Scenario) -> Scenario:
    """Let some lines of some seeds carry files; drawn from a stream of its own.

    No relay is gone for good there: of fragments there is one copy at first, and its relay may
    take it along before it has handed it on.
    """
    rng = seeded(f"files scenario {drawn.seed}")
    if rng.below(FILE_SHARE) or drawn.kind == "days" or (drawn.copies and drawn.deaths):
        return drawn
    chosen = rng.sample(range(len(drawn.lines)), 1 + rng.below(3))
    sizes = {place: rng.choice(SIZES) for place in chosen}
    lines = (replace(line, size=sizes.get(place, 0)) for place, line in enumerate(drawn.lines))
    return replace(drawn, lines=tuple(lines))


def _chat(seed: int, rng: Rng) -> Scenario:
    length_s = 15.0 + rng.below(25)
    people = 2 + (rng.below(3) == 0) + (rng.below(6) == 0)
    epoch_s = rng.choice((30, 60, 3600, 3600, 3600))
    params = replace(PARAMS, name=f"bench {epoch_s}", epoch_s=epoch_s, lease_s=rng.choice((15, 40)))
    # One world in four begins half a minute before a border of days.
    start = MIDNIGHT - 30 * SECOND if rng.below(4) == 0 else MIDNIGHT + rng.below(DAY_S) * SECOND
    return Scenario(
        "chat",
        seed,
        relays=6 + rng.below(4),
        people=people,
        params=params,
        preset=Preset("bench chat", rate=2.0, mean_delay_ms=15),
        start=start,
        length_s=length_s,
        settle_s=3600,
        lines=_lines(rng, people, length_s, 4 + rng.below(10), whole=True),
        away=(),
        copies=rng.below(3) == 0,
        deaths=rng.below(3),
    )


def _long(seed: int, rng: Rng, kind: str, length_s: float) -> Scenario:
    epoch_s = 3600 if kind == "hours" else 6 * 3600
    params = replace(PARAMS, name=f"bench {kind}", epoch_s=epoch_s, lease_s=epoch_s)
    people, visits = 2, 2 + rng.below(3)
    stay_s = 90.0
    away: list[tuple[int, float, float]] = []
    for person in range(people):
        # There at the beginning, then for short visits at random times.
        times = sorted(rng.uniform() * length_s for _ in range(visits))
        gone = stay_s
        for time in times:
            if time > gone + stay_s:
                away.append((person, gone, time))
                gone = time + stay_s
        away.append((person, gone, length_s))
    return Scenario(
        kind,
        seed,
        relays=6 + rng.below(2),
        people=people,
        params=params,
        preset=Preset("bench slow", rate=0.5, mean_delay_ms=100),
        start=MIDNIGHT - rng.below(round(length_s)) * SECOND,
        length_s=length_s,
        settle_s=4 * 3600,
        lines=_lines(rng, people, length_s, 3 + rng.below(6), whole=False),
        away=tuple(away),
        copies=rng.below(4) == 0,
    )


def _lines(rng: Rng, people: int, length_s: float, count: int, *, whole: bool) -> tuple[Line, ...]:
    """Draw bursts between pairs; in a third of the worlds both begin at once."""
    pairs = [(a, b) for a in range(people) for b in range(people) if a != b]
    lines: list[Line] = []
    if rng.below(3) == 0:
        lines += [_line(rng, len(lines) + i, 1.0, pair) for i, pair in enumerate(pairs)]
    while len(lines) < count:
        pair = rng.choice(pairs)
        at_s = 1 + rng.uniform() * (length_s * 0.8 if whole else length_s - 1)
        for _ in range(1 + (rng.below(3) == 0) * rng.below(5)):
            lines.append(_line(rng, len(lines), at_s, pair))
            at_s += rng.uniform()
    return tuple(sorted(lines, key=lambda line: (line.at_s, line.text)))


def _line(rng: Rng, number: int, at_s: float, pair: tuple[int, int]) -> Line:
    speaker, reader = pair
    long = rng.below(10) == 0
    filler = rng.choice(LETTERS) * (rng.below(4000) if long else rng.below(300))
    return Line(at_s, speaker, reader, f"{number}: {speaker} to {reader} {filler}")
