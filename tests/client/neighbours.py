"""Two nodes' people without a network: what one puts out is handed to the other.

::

    ada ──records whose batch is durable──► bob's shelf ──read()──► bob's people
     └── changes ──commit()──► rows, messages ──restart()──► ada as a store kept her
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.client import state
from shoal_protocol.client.association import Association
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.outbox import Outbox, Outgoing
from shoal_protocol.client.people import People
from shoal_protocol.client.personas import Persona
from shoal_protocol.client.reader import Reader
from shoal_protocol.parameters import LAB, PRESETS
from shoal_protocol.sessions.session import Session
from shoal_protocol.streams import box
from support import START, seeded

PARAMS: Final = replace(LAB, announce_work_bits=1, put_work_bits=0)
TODAY: Final = clock.index_of(START, PARAMS.day_s)
ENTRY_LIFE: Final = clock.seconds(PARAMS.entry_life_s)
BOX_LIFE: Final = clock.seconds(PARAMS.box_days * PARAMS.day_s)
MINUTE: Final = 60 * clock.SECOND

Place = tuple[bytes, int]  # session and index


class Disk:
    """Rows and messages as a store has them."""

    def __init__(self) -> None:
        self.rows: dict[state.Key, bytes] = {}
        self.messages: dict[str, state.MessageRow] = {}

    def commit(self, changes: state.Changes) -> None:
        """Apply a batch."""
        for key, data in changes.rows.items():
            if data is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = data
        for name, row in changes.messages.items():
            if row is None:
                self.messages.pop(name, None)
            else:
                self.messages[name] = row

    def kept(self) -> state.Kept:
        """Return what a node begins from."""
        ordered = sorted(self.messages.values(), key=lambda m: (m.conversation, m.position))
        return state.Kept(dict(self.rows), ordered)

    def count(self, kind: str) -> int:
        """Return how many rows of a kind there are."""
        return sum(key[0] == kind for key in self.rows)


class Neighbour:
    """One node with one persona, and the relays that keep what is for it."""

    def __init__(self, name: str, *, kept: bool = True) -> None:
        self.name: Final = name
        self.runs = 0
        self.disk: Final = Disk()
        self.shelf: dict[Place, bytes] = {}
        self.entries: list[bytes] = []
        self.handed: set[bytes] = set()  # keys of records that were handed on
        self.pick: Callable[[list[int]], int] = min  # which of the boxes that wait is read first
        self._begin(None, START)
        self.persona: Persona = self.people.create(self.rng.bytes(32), START, kept=kept)
        self.commit()

    def _begin(self, kept: state.Kept | None, now: int) -> None:
        self.runs += 1
        self.read_entries = 0  # of this run: a store hands them out until they are released
        self.rng = seeded(f"neighbour {self.name} {self.runs}")
        self.outbox = Outbox(PARAMS, clock.SECOND, self.rng)
        self.reader = Reader(PARAMS, PRESETS["fast"], clock.SECOND, self.rng)
        self.journal = state.Journal()
        self.people = People(PARAMS, self.rng, self.outbox, self.reader, self.journal)
        if kept is not None:
            self.people.restore(kept, now)

    def restart(self, now: int) -> None:
        """Begin again from what the disk holds."""
        self._begin(self.disk.kept(), now)
        self.persona = self.people.personas()[0]

    def commit(self) -> None:
        """Make everything so far durable."""
        changes = self.journal.take()
        if changes is not None:
            self.disk.commit(changes)
            self.journal.committed(changes.number)

    @property
    def pseudonym(self) -> bytes:
        return self.persona.secrets.pseudonym

    def open(self, to: "Neighbour", now: int) -> Correspondence:
        """Return the conversation with somebody, begun if there is none."""
        return self.people.open_conversation(self.persona, to.pseudonym, now)

    def write(self, to: "Neighbour", text: str, now: int) -> Message:
        """Queue a text, and look the contact up if that is to be done."""
        message = self.people.send(self.open(to, now), text, now)
        self.look_up(to, now)
        return message

    def look_up(self, to: "Neighbour", now: int) -> None:
        """Do the look-up that is due, if one is."""
        due = self.people.lookup_due(now)
        if due is not None:
            self.people.lookup_sent(due.conversation)
            self.people.looked_up(due.conversation, due.day, to.announcement(now), now)

    def announcement(self, now: int) -> bytes:
        """Return today's announcement, once its prekeys are durable."""
        today = clock.index_of(now, PARAMS.day_s)
        while (due := self.persona.announcer.due(now)) is None or due[0] != today:
            self.people.work(now)
        self.commit()
        return due[1]

    def accept(self, now: int) -> None:
        """Accept every request."""
        for talk in list(self.persona.conversations.values()):
            if talk.pending:
                self.people.accept(talk, now)

    def outgoing(self) -> list[Outgoing]:
        """Return records that are durable and were not handed on before."""
        durable = self.journal.durable
        fresh = [o for o in self.outbox.records() if o.key not in self.handed]
        fresh = [o for o in fresh if o.batch <= durable]
        self.handed |= {o.key for o in fresh}
        return fresh

    def keep(self, outgoing: Outgoing) -> None:
        """Let this node's relays keep a record for it."""
        if outgoing.first_contact:
            self.entries.append(outgoing.record)
        else:
            self.shelf.setdefault((outgoing.session, outgoing.index), outgoing.record)

    def read(self, now: int) -> None:
        """Take everything that the relays keep and this node expects."""
        day = clock.index_of(now, PARAMS.day_s)
        while self.read_entries < len(self.entries):
            record = self.entries[self.read_entries]
            self.read_entries += 1
            self.people.entry(self.persona.id, self.day_of_entry(record, day), record, now)
        for association in self.associations():
            while (index := self.waiting(association)) is not None:
                if not self.take(association, index, now):
                    break

    def waiting(self, association: Association) -> int | None:
        """Return the index of a box that the relays keep and that is expected."""
        found = [i for s, i in self.shelf if s == association.id and association.expects(i)]
        return self.pick(found) if found else None

    def take(self, association: Association, index: int, now: int) -> bool:
        """Take one box from the relays; whether it could be read."""
        record = self.shelf[association.id, index]
        day = box.header(record).day
        return self.people.box(association, index, day, record, now)[0]

    def day_of_entry(self, record: bytes, today: int) -> int:
        """Return the day whose inbox an entry is in."""
        days = {self.persona.secrets.inbox_key(d).public: d for d in range(today - 5, today + 2)}
        return days.get(record[:32], today)

    def associations(self) -> list[Association]:
        """Return all associations of the persona."""
        return [association for _, association in list(self.persona.owners.values())]

    def talk(self, to: "Neighbour") -> Correspondence:
        """Return the conversation with somebody."""
        return self.persona.by_pseudonym[to.pseudonym]

    def got(self) -> list[str]:
        """Return the texts that came, in the order in which they are shown."""
        talks = self.persona.conversations.values()
        return [m.text for talk in talks for m in talk.history if not m.outgoing]

    def states(self) -> list[MessageState]:
        """Return the states of what was written, in the order in which they are shown."""
        talks = self.persona.conversations.values()
        return [m.state for talk in talks for m in talk.history if m.outgoing]


def sides(name: str = "session", day: int = TODAY) -> tuple[Association, Association]:
    """Return both sides of a session that was just agreed on; the first began it."""
    root = crypto.kdf(b"root", name.encode())
    private = crypto.kdf(b"ephemeral", root)
    begun = Session.begun(root, private)
    answered = Session.answered(root, crypto.x25519_public(private), seeded("answerer"))
    return (
        Association.begin(begun, PARAMS.hash, day=day, order=1),
        Association.begin(answered, PARAMS.hash, day=day, order=1),
    )


def pair() -> tuple[Neighbour, Neighbour]:
    """Return two nodes that have not heard of each other."""
    return Neighbour("ada"), Neighbour("bob")


def met() -> tuple[Neighbour, Neighbour, int]:
    """Return two nodes with one confirmed session, and the time after their greetings."""
    ada, bob = pair()
    ada.write(bob, "hello", START)
    pass_on(ada, bob, START)
    bob.write(ada, "hello", START)
    return ada, bob, settle(ada, bob, START)


def pass_on(sender: Neighbour, reader: Neighbour, now: int) -> list[bytes]:
    """Commit, and hand the reader all that the sender has put out since the last time."""
    sender.commit()
    fresh = sender.outgoing()
    for outgoing in fresh:
        reader.keep(outgoing)
        outgoing.stored = True
    reader.read(now)
    reader.commit()
    return [outgoing.record for outgoing in fresh]


def settle(a: Neighbour, b: Neighbour, now: int, rounds: int = 4, *, accept: bool = True) -> int:
    """Pass everything to and fro, acknowledgements too; returns the time after it.

    Both ``accept`` who asks, as nothing is acknowledged before.
    """
    for _ in range(rounds):
        for one in (a, b):
            if accept:
                one.accept(now)
        for one, other in ((a, b), (b, a)):
            one.look_up(other, now)
        pass_on(a, b, now)
        pass_on(b, a, now)
        now += 20 * clock.SECOND
        a.people.tick(now)
        b.people.tick(now)
    return now
