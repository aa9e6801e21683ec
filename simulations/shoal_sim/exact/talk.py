"""People of a world who talk in pairs, and when each text came.

::

    2k ── asks, with the first text ──► 2k+1 accepts ──► both write, at exponential intervals
                                                          └─► Texts: sent, come, fetched (ns)

A text counts from when its writer's node takes it until the reader's disk holds it: what
``shoal demo`` measures of real nodes.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from shoal_protocol.client.history import MessageState
from shoal_protocol.clock import seconds
from shoal_protocol.rng import Rng
from shoal_sim.seeds import seeded

if TYPE_CHECKING:
    from shoal_protocol.client.people import Changed
    from shoal_protocol.client.personas import Persona
    from shoal_sim.exact.people import Person
    from shoal_sim.exact.world import World

_HOUR: Final = 3600


@dataclass(slots=True)
class Text:
    """One text's times, ns; None for what has not happened."""

    sent: int
    come: int | None = None
    fetched: int | None = None
    copies: int = 0  # times that it was shown to its reader


@dataclass(slots=True)
class Talks:
    """All that people of a world say to each other.

    Args:
        per_hour: texts that a person writes in an hour, in the mean.
    """

    world: "World"
    per_hour: float
    texts: dict[str, Text] = field(default_factory=dict[str, Text])
    _ends: int | None = None
    _pairs: int = 0
    _met: int = 0

    def begin(self) -> None:
        """Let pairs meet now and write until they are told when to end."""
        people = self.world.people
        for one, other in zip(people[::2], people[1::2], strict=False):
            self._pairs += 1
            _Pair(self, one, other)

    def end_after(self, length_s: float) -> None:
        """Let everybody write for ``length_s`` more."""
        self._ends = self.world.now + seconds(length_s)

    @property
    def met(self) -> bool:
        """Whether all who were asked have accepted."""
        return self._met == self._pairs

    def accepted(self) -> None:
        """Note that somebody did."""
        self._met += 1

    @property
    def open(self) -> int:
        """Texts on their way."""
        return sum(text.come is None for text in self.texts.values())

    def writes(self, person: "Person", rng: Rng, say: "_Say") -> None:
        """Write again after a pause, until the end."""
        pause = seconds(self.pause_s(person, rng))
        if self._ends is None or self.world.now + pause < self._ends:
            person.later(pause, "has something to say", lambda: say.next(rng))

    def pause_s(self, person: "Person", rng: Rng) -> float:
        """Return how long a person has nothing to say, s: exponential."""
        return rng.exponential(_HOUR / self.per_hour)


class _Pair:
    """Two people: the first asks, the second accepts."""

    def __init__(self, talks: Talks, asks: "Person", asked: "Person") -> None:
        self._talks: Final = talks
        one, other = _persona(asks), _persona(asked)
        first = _Say(talks, asks, other.secrets.pseudonym)
        self._answers = _Say(talks, asked, one.secrets.pseudonym)
        for person, say in ((asks, first), (asked, self._answers)):
            person.told = lambda change, person=person: self._told(person, change)  # type: ignore[misc]
            person.begun = say.goes_on
        first.next(seeded(f"{talks.world.seed} {asks.name} talks"))

    def _told(self, person: "Person", change: "Changed") -> None:
        message = change.message
        if message is None:
            return
        text = self._talks.texts.get(message.text)
        if text is None:
            return
        if message.outgoing:
            if message.state >= MessageState.FETCHED and text.fetched is None:
                text.fetched = self._talks.world.now
            return
        if text.come is None:
            text.come = self._talks.world.now
            text.copies += 1
        if message.request:
            self._accept(person)

    def _accept(self, person: "Person") -> None:
        people = person.machine.people
        persona = people.personas()[0]
        for talk in list(persona.conversations.values()):
            if talk.pending:
                person.do(lambda talk=talk: people.accept(talk, person.now()), lambda _: None)  # type: ignore[misc]
                rng = seeded(f"{self._talks.world.seed} {person.name} talks")
                self._talks.writes(person, rng, self._answers)
                self._talks.accepted()


class _Say:
    """One's own side of a talk."""

    def __init__(self, talks: Talks, person: "Person", to: bytes) -> None:
        self._talks: Final = talks
        self._person: Final = person
        self._to: Final = to  # the other's pseudonym
        self._said = 0
        self._rng: Rng | None = None

    def goes_on(self) -> None:
        """Go on after a start of the node."""
        if self._rng is not None:
            self._talks.writes(self._person, self._rng, self)

    def next(self, rng: Rng) -> None:
        """Say something now, and go on."""
        person, people = self._person, self._person.machine.people
        self._rng = rng
        self._said += 1
        text = f"{person.name} {self._said}"
        self._talks.texts[text] = Text(self._talks.world.now)

        def call() -> object:
            talk = people.open_conversation(people.personas()[0], self._to, person.now())
            return people.send(talk, text, person.now())

        person.do(call, lambda _: None)
        self._talks.writes(person, rng, self)


def _persona(person: "Person") -> "Persona":
    made: list[Persona] = []
    root = person.rng.bytes(32)
    people = person.machine.people
    person.do(lambda: made.append(people.create(root, person.now())), lambda _: None)
    return made[0]
