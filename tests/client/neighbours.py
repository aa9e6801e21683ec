"""Two nodes' people without a network: what one puts out is handed to the other."""

from dataclasses import replace
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.outbox import Outbox, Outgoing
from shoal_protocol.client.people import People, Persona
from shoal_protocol.client.reader import Reader
from shoal_protocol.parameters import LAB, PRESETS
from support import START, seeded

PARAMS: Final = replace(LAB, announce_work_bits=1)
LIFE: Final = clock.seconds(PARAMS.entry_life_s)


class Neighbour:
    """One node with one persona."""

    def __init__(self, name: str) -> None:
        self.rng = seeded(f"neighbour {name}")
        self.outbox = Outbox(PARAMS, clock.SECOND, self.rng)
        self.reader = Reader(PARAMS, PRESETS["fast"], self.rng)
        self.people = People(PARAMS, self.rng, self.outbox, self.reader)
        self.persona: Persona = self.people.create(self.rng.bytes(32), START)
        self.taken: set[bytes] = set()  # keys of records that were handed on

    @property
    def pseudonym(self) -> bytes:
        return self.persona.secrets.pseudonym

    def write(self, to: "Neighbour", text: str, now: int) -> Message:
        """Queue a text, and look the contact up if that is to be done."""
        talk = self.people.open_conversation(self.persona, to.pseudonym, now)
        message = self.people.send_text(talk, text, now)
        self.look_up(to, now)
        return message

    def look_up(self, to: "Neighbour", now: int) -> None:
        """Do the look-up that is due, if one is."""
        due = self.people.lookup_due(now)
        if due is not None:
            self.people.lookup_sent(due.conversation)
            self.people.looked_up(due.conversation, due.day, to.announcement(now), now)

    def announcement(self, now: int) -> bytes:
        """Return today's announcement of the persona."""
        self.persona.announcer.work(now)
        while (due := self.persona.announcer.due(now)) is None:
            self.persona.announcer.work(now)
        return due[1]

    def outgoing(self) -> list[Outgoing]:
        """Return the records that were not handed on before; bare acknowledgements are done."""
        fresh = [o for o in self.outbox.records() if o.key not in self.taken]
        self.taken |= {outgoing.key for outgoing in fresh}
        self.outbox.done([outgoing.key for outgoing in fresh if not outgoing.needs_ack])
        return fresh

    def take(self, record: bytes, now: int) -> None:
        """Take an entry out of today's inbox."""
        self.people.entry(self.persona.id, clock.index_of(now, PARAMS.day_s), record, now)

    def talk(self, to: "Neighbour") -> Correspondence:
        """Return the conversation with somebody."""
        return self.persona.by_pseudonym[to.pseudonym]

    def got(self) -> list[str]:
        """Return the texts that came, in the order of arrival."""
        talks = self.persona.conversations.values()
        return [m.text for talk in talks for m in talk.history if not m.outgoing]


def pair() -> tuple[Neighbour, Neighbour]:
    """Return two nodes that have not heard of each other."""
    return Neighbour("ada"), Neighbour("bob")


def pass_on(sender: Neighbour, reader: Neighbour, now: int) -> list[bytes]:
    """Hand the reader all that the sender has put out since the last time."""
    records = [outgoing.record for outgoing in sender.outgoing()]
    for record in records:
        reader.take(record, now)
    return records


def settle(a: Neighbour, b: Neighbour, now: int, rounds: int = 4) -> int:
    """Pass everything to and fro, acknowledgements too; returns the time after it."""
    for _ in range(rounds):
        pass_on(a, b, now)
        pass_on(b, a, now)
        now += 3 * clock.SECOND
        a.people.tick(now)
        b.people.tick(now)
    return now
