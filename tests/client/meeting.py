"""People of a calm world who know each other: what the tests of whole machines need."""

from shoal_protocol.client.history import Message
from shoal_protocol.client.personas import Persona
from shoal_sim.exact.people import Person
from shoal_sim.exact.world import World


def personas(world: World) -> list[Persona]:
    """Give everybody a persona."""
    made: list[Persona] = []
    for person in world.people:
        made.append(create(person))
    return made


def create(person: Person) -> Persona:
    """Give one a persona."""
    root = person.rng.bytes(32)
    made: list[Persona] = []
    person.do(lambda: made.append(person.machine.people.create(root, person.now())), lambda _: None)
    return made[0]


def write(sender: Person, own: Persona, to: Persona, text: str) -> Message:
    """Send a text; returns the message as it is queued."""
    people, sent = sender.machine.people, list[Message]()

    def say() -> None:
        talk = people.open_conversation(own, to.secrets.pseudonym, sender.now())
        sent.append(people.send(talk, text, sender.now()))

    sender.do(say, lambda _: None)
    return sent[0]


def accept(person: Person, persona: Persona) -> None:
    """Let somebody accept every request that a persona got."""

    def do() -> None:
        for talk in list(persona.conversations.values()):
            if talk.pending:
                person.machine.people.accept(talk, person.now())

    person.do(do, lambda _: None)


def welcome(person: Person, persona: Persona) -> None:
    """Let somebody accept every request to a persona as it comes."""
    person.told = lambda _: accept(person, persona)


def incoming(persona: Persona) -> list[Message]:
    """Return what came for a persona, as it is shown."""
    return [m for c in persona.conversations.values() for m in c.history if not m.outgoing]


def texts(persona: Persona) -> list[str]:
    """Return the texts that came for a persona."""
    return [message.text for message in incoming(persona)]


def outgoing(persona: Persona) -> list[Message]:
    """Return what a persona sent."""
    return [m for c in persona.conversations.values() for m in c.history if m.outgoing]


def balanced(world: World) -> bool:
    """Whether every packet up drew one down, or waits for it; none is on the last link."""
    up, down = world.crossings["person", "relay"], world.crossings["relay", "person"]
    return up == down + sum(person.machine.outstanding for person in world.people)
