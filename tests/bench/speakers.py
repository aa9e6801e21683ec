"""Who sits before the nodes: people that say their lines, and again what a crash took.

::

    line's time ─► waits ─► asked of the node ─► answered: it is durable
                     ▲           │ the node crashes first
                     └───────────┴── after its start, unless its history shows the text

Requests are accepted a little after they came: nobody learns before that what has come.
Nobody says again what stands in their history, and what is said again is said in other words:
so every text must come exactly once, and one that a crash took never.
A person has one persona, made in the first run that lets it become durable.
"""

from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.oracle import Judge
from bench.scenario import Line
from shoal_protocol.client.people import Changed
from shoal_protocol.client.personas import Persona
from shoal_protocol.clock import SECOND, seconds

HESITATES: Final = 2 * SECOND  # before a request is accepted

if TYPE_CHECKING:
    from shoal_sim.exact.people import Person
    from shoal_sim.exact.world import World


class Speaker:
    """One person's lines."""

    def __init__(self, world: "World", number: int, judge: Judge) -> None:
        self._world = world
        self._judge = judge
        self.person: Person = world.people[number]
        self.person.begun = self.begun
        self.person.told = self._told
        self._waits: deque[Line] = deque()
        self._asked: list[Line] = []
        self.to_come = 0  # lines whose time has not come

    def plan(self, lines: list[Line]) -> None:
        """Say ``lines`` when their times come."""
        self.to_come = len(lines)
        for line in lines:
            due = partial(self._due, line)
            self._world.engine.after(seconds(line.at_s), f"{self.person.name} has a line", due)

    @property
    def silent(self) -> bool:
        """Whether everything has been said and answered."""
        return not self.to_come and not self._waits and not self._asked

    def begun(self) -> None:
        """Take up after a start: what the history lacks is said again, in its order."""
        kept = set(self._judge.promised(self.person))
        lost = [
            replace(line, text=f"{line.text} (run {self.person.runs})")
            for line in self._asked
            if line.text not in kept
        ]
        self._asked = []
        self._waits.extendleft(reversed(lost))
        for persona in self.person.machine.people.personas():
            for talk in persona.conversations:
                self._accept_later(talk)
        if not self.person.machine.people.personas():
            self.person.later(SECOND // 10, "makes a persona", self._make)
        else:
            self._known(self.person.machine.people.personas()[0])
        self._say()

    def _make(self) -> None:
        machine, person = self.person.machine, self.person
        root = person.rng.bytes(32)
        person.do(lambda: machine.people.create(root, person.now()), self._known)

    def _known(self, persona: Persona) -> None:
        """Let others have the pseudonym, now that it cannot be lost."""
        self._judge.pseudonyms[persona.secrets.pseudonym] = self.person.name

    def _told(self, change: Changed) -> None:
        known = self.person.machine.people.conversation(change.conversation)
        if known is not None and known[1].pending:
            self._accept_later(change.conversation)

    def _accept_later(self, conversation: str) -> None:
        self.person.later(HESITATES, "accepts a request", partial(self._accept, conversation))

    def _accept(self, conversation: str) -> None:
        person, people = self.person, self.person.machine.people
        known = people.conversation(conversation)
        if known is not None and known[1].pending:
            person.do(lambda: people.accept(known[1], person.now()), lambda _: None)

    def _due(self, line: Line) -> None:
        self.to_come -= 1
        self._waits.append(line)
        if self.person.up and len(self._waits) == 1:
            self._say()

    def _say(self) -> None:
        """Say all that waits; come again if the pseudonym is not known yet."""
        person = self.person
        known = {name: pseudonym for pseudonym, name in self._judge.pseudonyms.items()}
        while self._waits and person.up:
            line = self._waits[0]
            other = known.get(f"person{line.reader}")
            if other is None or person.name not in known:
                person.later(SECOND, "waits for a pseudonym", self._say)
                return
            self._waits.popleft()
            self._asked.append(line)
            self._judge.said(line.text, person.name, f"person{line.reader}", line.file)
            self._speak(line, other)

    def _speak(self, line: Line, other: bytes) -> None:
        person, people = self.person, self.person.machine.people
        persona = people.personas()[0]

        def call() -> object:
            talk = people.open_conversation(persona, other, person.now())
            if line.file is not None:
                name = f"{line.size} bytes.bin"
                return people.send_file(
                    talk, line.text, line.file, name, "application/octet-stream", person.now()
                )
            return people.send(talk, line.text, person.now())

        person.do(call, lambda _: self._answered(line))

    def _answered(self, line: Line) -> None:
        self._asked.remove(line)
