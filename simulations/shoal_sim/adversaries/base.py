"""What an adversary is given, what it may do, and what it answers.

::

    Plan ◄── prepare(surface, rng)          before the run: whom it corrupts, adds, stops
      │
      └─► run ──► Observation ──► infer(observation, rng) ──► Posterior
                   links, events,                               target, candidate, weight
                   views of corrupt relays
          run ──► truth, another table, which no adversary is handed

Nodes are numbered, people first: 0 … people-1 are people, the next ``relays`` are relays. An
event is a packet that enters a link, seen by whoever watches the wire: when, which link, how
many bytes, which way. What only a relay knows (that the packet which came in as this event
left as that one) is in a ``View``, and views are given of relays that the plan corrupts.

An adversary is found by the entry-point group ``shoal.adversaries`` (``registry.py``); how to
write one is told in docs/adversaries.md.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Final, Protocol, TypeAlias, runtime_checkable

import numpy
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[numpy.int64]
Small: TypeAlias = NDArray[numpy.int32]
Floats: TypeAlias = NDArray[numpy.float64]

UP: Final = 0  # direction: from the link's first end to its second
DOWN: Final = 1
NOBODY: Final = -1  # a guess or an index that is none


class Question(Enum):
    """What is asked of each target, and what the candidates of the answer are."""

    RECEIVER = "receiver"  # target: an event that entered the network; candidates: nodes
    SENDER = "sender"  # target: an event that left the network; candidates: nodes
    PARTNERS = "partners"  # target: a person; candidates: people it talks to
    OWNER = "owner"  # target: a pseudonym, by its number; candidates: people


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most that a key may be, both allowed: ``Annotated[float, Range(0, 1)]``."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Links:
    """The wires, which everybody who watches them knows: whose they are and how long.

    ``first`` and ``second`` are node numbers, ``latency_ns`` one way; all of one length.
    """

    first: Small
    second: Small
    latency_ns: Ints

    def __post_init__(self) -> None:
        _of_one_length(first=self.first, second=self.second, latency_ns=self.latency_ns)


@dataclass(frozen=True, slots=True)
class Events:
    """Packets on wires, in the order of their times.

    Args:
        time_ns: when the packet enters the link.
        link: its number in ``Links``.
        size: bytes.
        direction: ``UP`` or ``DOWN``.
    """

    time_ns: Ints
    link: Small
    size: Small
    direction: NDArray[numpy.int8]

    def __post_init__(self) -> None:
        _of_one_length(
            time_ns=self.time_ns, link=self.link, size=self.size, direction=self.direction
        )
        if (self.time_ns[1:] < self.time_ns[:-1]).any():
            raise ValueError("events must be in the order of their times")

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True, slots=True)
class View:
    """What one corrupt relay knows beside its wires.

    Args:
        relay: its node number.
        arrived, left: numbers of events; ``left[i]`` is the packet that came as ``arrived[i]``,
            ``NOBODY`` if it went no further, as at the relay that is asked.
        label: for what went no further, the number of the pseudonym, box or key that it
            named; ``NOBODY`` else.
    """

    relay: int
    arrived: Ints
    left: Ints
    label: Ints

    def __post_init__(self) -> None:
        _of_one_length(arrived=self.arrived, left=self.left, label=self.label)


@dataclass(frozen=True, slots=True)
class Observation:
    """All that an adversary is given.

    Args:
        people, relays: how many nodes of each kind.
        links, events: the wires that it watches, and what passed.
        question, targets: what it is asked, of which events, people or pseudonyms.
        mean_delay_ns: of a mix; public, as the network's parameters are.
        views: of relays that it holds, by its plan.
        own: events that are its own packets.
        held: events that it blocks: they left where they came from, and got nowhere.
        shown_at, shown: occasions at which a pseudonym was seen to act: times (ns, ascending)
            and numbers of pseudonyms, as a store or a talkative friend tells.
    """

    people: int
    relays: int
    links: Links
    events: Events
    question: Question
    targets: Ints
    mean_delay_ns: float = 0.0
    views: tuple[View, ...] = ()
    own: Ints = field(default_factory=lambda: numpy.empty(0, dtype=numpy.int64))
    held: Ints = field(default_factory=lambda: numpy.empty(0, dtype=numpy.int64))
    shown_at: Ints = field(default_factory=lambda: numpy.empty(0, dtype=numpy.int64))
    shown: Ints = field(default_factory=lambda: numpy.empty(0, dtype=numpy.int64))

    def __post_init__(self) -> None:
        _of_one_length(shown_at=self.shown_at, shown=self.shown)

    def ends(self) -> tuple[Small, Small]:
        """Return from which node to which each event goes."""
        first, second = self.links.first[self.events.link], self.links.second[self.events.link]
        up = self.events.direction == UP
        return numpy.where(up, first, second), numpy.where(up, second, first)

    def arrivals(self) -> Ints:
        """Return when each event reaches its other end, ns."""
        return self.events.time_ns + self.links.latency_ns[self.events.link]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the adversary believes, in long form: rows of (target, candidate, weight).

    ``target`` counts in ``Observation.targets``; ``candidate`` is a node or person, as the
    question says. Weights are finite and not negative; those of one target sum to 1, or the
    target has no row: then the adversary says nothing, and anybody may be the one.
    """

    target: Ints
    candidate: Ints
    weight: Floats

    def __post_init__(self) -> None:
        _of_one_length(target=self.target, candidate=self.candidate, weight=self.weight)
        if not numpy.isfinite(self.weight).all() or (self.weight < 0).any():
            raise ValueError("weights must be finite and not negative")
        sums = numpy.bincount(self.target, self.weight) if len(self.target) else self.weight
        if not numpy.isclose(sums[sums > 0], 1.0, atol=1e-6).all():
            raise ValueError("the weights of one target must sum to 1")

    def of(self, target: int) -> tuple[Ints, Floats]:
        """Return the candidates of one target and their weights, the likeliest first."""
        rows = numpy.flatnonzero((self.target == target) & (self.weight > 0))
        order = rows[numpy.argsort(-self.weight[rows], kind="stable")]
        return self.candidate[order], self.weight[order]

    def guesses(self, targets: int) -> Ints:
        """Return the likeliest candidate of each target, the first of equals, or ``NOBODY``."""
        best = numpy.full(targets, NOBODY, dtype=numpy.int64)
        order = numpy.lexsort((self.candidate, -self.weight, self.target))
        order = order[self.weight[order] > 0]
        who, at = numpy.unique(self.target[order], return_index=True)
        best[who] = self.candidate[order[at]]
        return best

    def dense(self, targets: int, candidates: int) -> Floats:
        """Return a matrix (targets, candidates); a target without a row is uniform."""
        table = numpy.zeros((targets, candidates))
        numpy.add.at(table, (self.target, self.candidate), self.weight)
        table[table.sum(axis=1) == 0] = 1 / candidates
        return table


@dataclass(frozen=True, slots=True)
class Surface:
    """What an adversary knows before the run: public numbers, no secrets."""

    people: int
    relays: int
    length_ns: int
    mean_delay_ns: float = 0.0
    dht_k: int = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What an adversary does; a run that cannot do one of these refuses the adversary.

    Args:
        corrupt: relays (numbers from 0 among relays) whose views it gets.
        added: identities that it adds to the directory; corrupt as well.
        ground: positions in the DHT that it looks at, to be nearest to a key.
        joined: how many of them join, the nearest; 0 for twice as many as keep a record.
        subnets: in how many /16s what it adds or grinds is hosted; 0 for one each.
        ghosts: whether its identities in the DHT name keys that nobody has, in place of each other.
        blocked: (relay, from ns, to ns, share): what of others' packets to this relay it
            holds back meanwhile.
        stopped: (relay, from ns, to ns): relays that it takes off the network.
    """

    corrupt: tuple[int, ...] = ()
    added: int = 0
    ground: int = 0
    joined: int = 0
    subnets: int = 0
    ghosts: bool = False
    blocked: tuple[tuple[int, int, int, float], ...] = ()
    stopped: tuple[tuple[int, int, int], ...] = ()


@runtime_checkable
class Adversary(Protocol):
    """A plug-in: made with its keys of the scenario, then asked twice.

    Its keys are its parameters by name, with types and ranges as they are annotated. ``answers``
    says which questions it can be asked; one without it is asked who sent and who gets.
    """

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Say before the run what it will do."""
        ...

    def infer(self, observation: Observation, rng: numpy.random.Generator) -> Posterior:
        """Say after the run what it believes of each target."""
        ...


PACKETS: Final = (Question.SENDER, Question.RECEIVER)


class Watcher:
    """An adversary that only looks: the base of those without a plan."""

    answers: ClassVar[tuple[Question, ...]] = PACKETS

    def prepare(self, surface: Surface, rng: numpy.random.Generator) -> Plan:
        """Do nothing."""
        return Plan()


def posterior(target: Ints, candidate: Ints, weight: Floats) -> Posterior:
    """Return the posterior of weights that do not sum to 1 yet.

    Rows of one target and candidate are added up; rows of weight 0 and targets whose weights
    are all 0 are left out.
    """
    if len(target) == 0:
        return Posterior(numpy.empty(0, numpy.int64), numpy.empty(0, numpy.int64), numpy.empty(0))
    keep = weight > 0
    pairs = numpy.stack([target[keep], candidate[keep]]).astype(numpy.int64)
    (who, whom), inverse = numpy.unique(pairs, axis=1, return_inverse=True)
    total = numpy.bincount(inverse.ravel(), weight[keep], minlength=len(who))
    sums = numpy.bincount(who, total) if len(who) else total
    return Posterior(who, whom, total / sums[who])


def from_table(table: Floats) -> Posterior:
    """Return the posterior of a matrix (targets, candidates) of weights."""
    target, candidate = numpy.nonzero(table > 0)
    return posterior(
        target.astype(numpy.int64), candidate.astype(numpy.int64), table[target, candidate]
    )


def _of_one_length(**columns: NDArray[numpy.generic]) -> None:
    """Refuse columns of unequal length."""
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"{', '.join(columns)} must be of one length")
