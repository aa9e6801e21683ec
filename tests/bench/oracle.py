"""What must hold of people's histories, judged as things land on disks and are shown.

::

    said(text) ─► lands on the speaker's disk: promised ─► … ─► lands on the reader's disk, once
                                                               └─► stored, fetched

Of each incoming message: somebody said it, to this reader, and has it on disk; it is there
once, and behind what that speaker said before it. No relay is given what its writer's disk
never held: what goes out before it is durable is found when it arrives. Of each outgoing one:
its state goes forward; *stored* means that some relay's disk holds every part of it, *fetched*
that the reader's disk does. Nothing fails and nothing disappears. A relay acknowledges what its
disk has, and begins with all of it.
At the end everything promised has been read.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.directory_oracle import DirectoryJudge
from shoal_protocol.client import state
from shoal_protocol.client.history import MessageState
from shoal_protocol.clock import SECOND
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.sending import FileSender
from shoal_protocol.service import storage
from shoal_protocol.service.messages import Status
from shoal_protocol.service.storage import (
    Operation,
    Outcome,
    PutBox,
    PutEntry,
    PutEntryOutcome,
    Release,
)
from shoal_protocol.streams.capability import WriteCapability
from shoal_sim.exact.watch import Watcher

if TYPE_CHECKING:
    from shoal_protocol.client.people import Changed
    from shoal_protocol.client.state import Changes, MessageRow
    from shoal_sim.exact.nodes import Node
    from shoal_sim.exact.people import Person
    from shoal_sim.exact.relays import Relay
    from shoal_sim.exact.world import World

MOST_PARTS: Final = 1024  # rows of parts whose message is not whole, of one person
MOST_RATCHET: Final = 262_144  # bytes of one session's row
MOST_EVENTS: Final = 20_000  # in the world's heap


@dataclass(frozen=True, slots=True)
class Said:
    """A text, whose it is and for whom; names of people. ``file`` is the content of its file."""

    speaker: str
    reader: str
    file: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Taken:
    """A record that a relay's disk took, to its end (ns); ``number`` is an entry's."""

    ends: int
    number: int = 0


class Judge(Watcher):
    """Holds a world to what must hold; raises Broken where it does not."""

    def __init__(self) -> None:
        self.world: World
        self.directory: DirectoryJudge | None = None
        self.texts: dict[str, Said] = {}
        self.pseudonyms: dict[bytes, str] = {}
        self.counters: Counter[str] = Counter()
        self._talks: dict[tuple[str, str], str] = {}  # (person, conversation): the other
        self._places: dict[tuple[str, str], int] = {}  # (speaker, text): place in its history
        self._read: dict[tuple[str, str], str] = {}  # (reader, text): message id
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}  # (reader, speaker): places
        self._told: dict[tuple[str, str], int] = {}  # (person, message id): state shown
        self._durable: set[bytes] = set()  # names of records that a person's disk held once
        self._kept_by: dict[str, dict[bytes, _Taken]] = {}  # by relay and record
        self._fragments: dict[str, list[bytes]] = {}  # by text: the records of its file

    def said(self, text: str, speaker: str, reader: str, file: bytes | None = None) -> None:
        """Note that somebody sits down to say something."""
        self.texts[text] = Said(speaker, reader, file)

    def promised(self, person: "Person") -> list[str]:
        """Return the texts that this person's disk holds as said, in their order."""
        rows = [row for row in person.messages.values() if row.outgoing]
        return [row.text for row in sorted(rows, key=lambda row: row.position)]

    def lands(self, person: "Person", changes: "Changes") -> None:
        """Judge a transaction before it is applied."""
        for (kind, row_id), data in changes.rows.items():
            if kind == state.RECORD and data is not None:
                self._durable.add(storage.name_of(state.RECORDS.decode(data).record))
            if kind == state.CONVERSATION and data is not None:
                row = state.CONVERSATIONS.decode(data)
                other = self.pseudonyms.get(row.pseudonym)
                if other is None:
                    raise self._broken(person, "talks to somebody who does not exist")
                self._talks[person.name, row_id.hex()] = other
        for message_id, message in changes.messages.items():
            if message is None:
                raise self._broken(person, f"loses message {message_id}")
            before = person.messages.get(message_id)
            if before is None:
                self._new(person, message)
            else:
                self._moves(person, before, message)

    def landed(self, person: "Person", changes: "Changes") -> None:
        """Judge what states say, after it is applied."""
        for (kind, row_id), data in changes.rows.items():
            if kind == state.UPLOAD and data is not None:
                self._uploads(person, row_id, data)
        for message in changes.messages.values():
            if message is not None and message.outgoing:
                self._true(person, message)

    def shown(self, person: "Person", event: "Changed") -> None:
        """Judge what a person is told: nothing that isn't on disk, and never backward."""
        if event.message is None:
            return
        message = event.message
        row = person.messages.get(message.id)
        if row is None or row.state < message.state:
            raise self._broken(person, f"is told of {message.text[:20]!r} before it is durable")
        key = (person.name, message.id)
        if message.state < self._told.get(key, 0):
            raise self._broken(person, f"is told that {message.text[:20]!r} went backward")
        self._told[key] = message.state

    def asked(self, relay: "Relay", operation: Operation) -> None:
        """Judge that a record which comes to a relay is one that its writer cannot lose."""
        match operation:
            case PutBox(tombstone=False, record=record) | PutEntry(record=record):
                if storage.name_of(record) not in self._durable:
                    raise self._broken(relay, "is given a record that no person's disk has held")
            case _:
                pass

    def executed(self, relay: "Relay", operation: Operation, outcome: Outcome) -> None:
        """Note what a relay has from here on, and what it lets go."""
        kept = self._kept_by.setdefault(relay.name, {})
        match operation, outcome:
            case PutBox(tombstone=False, record=record, day=day), Status.OK:
                params = self.world.params
                ends = (day + params.box_days + 1) * params.day_s * SECOND
                kept[record] = _Taken(ends)
            case PutEntry(record=record, expires=expires), PutEntryOutcome(Status.OK, number):
                kept.setdefault(record, _Taken(expires, number))
            case Release(address, floor), _:
                for record, one in list(kept.items()):
                    if record.startswith(address) and one.number and one.number <= floor:
                        del kept[record]
            case PutBox(address=address, tombstone=True), _:
                for record in [record for record in kept if record.startswith(address)]:
                    del kept[record]
            case _:
                pass

    def answers(self, relay: "Relay", operation: Operation, outcome: Outcome) -> None:
        """Judge that what a relay acknowledges is on its disk."""
        match operation, outcome:
            case PutBox(tombstone=False, record=record), Status.OK:
                if record in self._kept_by.get(relay.name, {}) and not relay.keeps(record):
                    raise self._broken(relay, "acknowledges a record that its disk lacks")
            case _:
                pass

    def begins(self, relay: "Relay") -> None:
        """Judge that a relay has all that its disk took in earlier runs."""
        for record, one in self._kept_by.get(relay.name, {}).items():
            if relay.now() < one.ends and not relay.keeps(record):
                raise self._broken(relay, "took a record and has lost it")

    def published(self, relay: "Relay", descriptor: bytes, lease: bytes) -> None:
        """Note what a relay says of itself."""
        if self.directory is not None:
            self.directory.published(relay, descriptor, lease)

    def learned(self, node: "Node") -> None:
        """Judge a node's directory."""
        if self.directory is not None:
            self.directory.learned(node)

    def refused(self, node: "Node", sender: "Node", reason: str) -> None:
        """Judge that nobody sends what nobody may."""
        if self.directory is not None:
            self.directory.refused(node, sender, reason)

    def done(self) -> bool:
        """Return whether everything promised has been read and is known to be."""
        return all(
            row.state == MessageState.FETCHED and self._whole(row.text)
            for person in self.world.people
            for row in person.messages.values()
            if row.outgoing
        )

    def finish(self) -> None:
        """Judge the end of a run."""
        for person in self.world.people:
            for text in self.promised(person):
                said = self.texts[text]
                if (said.reader, text) not in self._read:
                    raise self._broken(person, f"{text[:20]!r} has not come to {said.reader}")
                if not self._whole(text):
                    raise self._broken(person, f"the file of {text[:20]!r} has not come")
            late = [r for r in person.messages.values() if r.state != MessageState.FETCHED]
            if late:
                one = late[0]
                what = MessageState(one.state).name
                raise self._broken(person, f"{one.text[:20]!r} came, and is {what} still")
        self.bounds()

    def bounds(self) -> None:
        """Judge what is kept: nothing grows without end."""
        world = self.world
        if self.directory is not None:
            self.directory.bounds()
        for person in world.people:
            parts = sum(key[0] == state.PART for key in person.rows)
            if parts > MOST_PARTS:
                raise self._broken(person, f"keeps {parts} parts")
            largest = max((len(data) for data in person.rows.values()), default=0)
            if largest > MOST_RATCHET:
                raise self._broken(person, f"keeps a row of {largest} bytes")
        gets = sum(person.preset.outstanding_gets + 8 for person in world.people)
        runs = sum(person.runs for person in world.people)
        for relay in world.relays:
            if relay.up and relay.machine.desk.waiting > gets * runs:
                raise self._broken(relay, f"{relay.machine.desk.waiting} GETs wait")
        if len(world.engine) > MOST_EVENTS:
            raise world.engine.broken(f"{len(world.engine)} events wait")

    def rows_left(self, person: "Person") -> Counter[str]:
        """Return how many rows of each kind a person's disk holds."""
        return Counter(kind for kind, _ in person.rows)

    def _new(self, person: "Person", message: "MessageRow") -> None:
        said = self.texts.get(message.text)
        other = self._talks.get((person.name, message.conversation), "nobody")
        if said is None:
            raise self._broken(person, f"has {message.text[:20]!r}, which nobody said")
        if message.outgoing:
            if (said.speaker, said.reader) != (person.name, other):
                raise self._broken(person, f"says {message.text[:20]!r} to {other}")
            if (person.name, message.text) in self._places:
                raise self._broken(person, f"says {message.text[:20]!r} twice")
            self._places[person.name, message.text] = message.position
            return
        if (said.speaker, said.reader) != (other, person.name):
            raise self._broken(person, f"has {message.text[:20]!r} from {other}")
        if (person.name, message.text) in self._read:
            raise self._broken(person, f"has {message.text[:20]!r} twice")
        place = self._places.get((other, message.text))
        if place is None:
            raise self._broken(person, f"has {message.text[:20]!r}, which {other} has not")
        if (message.file is None) != (said.file is None):
            raise self._broken(person, f"has {message.text[:20]!r} with another file")
        if said.file is None:  # a message with a file goes when that is stored, behind later ones
            last = self._newest.get((person.name, other), (-1, -1))
            if message.position <= last[1] or place <= last[0]:
                raise self._broken(person, f"has {message.text[:20]!r} out of its order")
            self._newest[person.name, other] = (place, message.position)
        self._read[person.name, message.text] = message.id
        self.counters["read"] += 1

    def _moves(self, person: "Person", before: "MessageRow", after: "MessageRow") -> None:
        if (before.text, before.position, before.outgoing, before.conversation) != (
            after.text,
            after.position,
            after.outgoing,
            after.conversation,
        ):
            raise self._broken(person, f"has {before.text[:20]!r} changed into another")
        if after.state < before.state:
            raise self._broken(person, f"has {after.text[:20]!r} go backward")

    def _true(self, person: "Person", message: "MessageRow") -> None:
        said = self.texts[message.text]
        match MessageState(message.state):
            case MessageState.FAILED:
                raise self._broken(person, f"has {message.text[:20]!r} fail")
            case MessageState.FETCHED:
                if (said.reader, message.text) not in self._read:
                    raise self._broken(
                        person, f"believes {message.text[:20]!r} read; {said.reader} has it not"
                    )
            case MessageState.STORED:
                self._file_true(person, message, said)
                for (kind, _), data in person.rows.items():
                    if kind == state.RECORD:
                        row = state.RECORDS.decode(data)
                        if row.message.hex() == message.id and not self._kept(said, row):
                            raise self._broken(
                                person, f"believes {message.text[:20]!r} stored; no relay has it"
                            )

    def _uploads(self, person: "Person", row_id: bytes, data: bytes) -> None:
        """Note the fragments of a file whose way up is durable."""
        message = person.messages.get(row_id.hex())
        if message is None or message.file is None or message.text in self._fragments:
            return
        network = self.world.params.hash
        sender = FileSender(
            manifests.decode(message.file, network),
            person.file(row_id),
            WriteCapability.load(state.UPLOADS.decode(data).writer, network),
        )
        records = [sender.record(index) for index in range(sender.layout.total)]
        self._fragments[message.text] = records
        self._durable.update(storage.name_of(record) for record in records)

    def _file_true(self, person: "Person", message: "MessageRow", said: Said) -> None:
        """Judge that of a message that is stored each fragment is, too."""
        if said.file is None or self._whole(message.text):
            return
        for record in self._fragments.get(message.text, [b""]):
            if not any(relay.keeps(record) for relay in self.world.relays):
                what = f"believes the file of {message.text[:20]!r} stored; a fragment is nowhere"
                raise self._broken(person, what)

    def _whole(self, text: str) -> bool:
        """Return whether the file of a text, if it has one, is on its reader's disk."""
        said = self.texts[text]
        if said.file is None:
            return True
        reader = next(p for p in self.world.people if p.name == said.reader)
        message_id = self._read.get((said.reader, text))
        return message_id is not None and reader.file(bytes.fromhex(message_id)) == said.file

    def _kept(self, said: Said, row: state.RecordRow) -> bool:
        """Return whether a relay's disk holds a record, or its reader's what it said."""
        if any(relay.keeps(row.record) for relay in self.world.relays):
            return True
        reader = next(p for p in self.world.people if p.name == said.reader)
        return row.first_contact and any(
            kind == state.ASSOCIATION and row_id.endswith(row.session)
            for kind, row_id in reader.rows
        )

    def _broken(self, who: object, what: str) -> AssertionError:
        name = getattr(who, "name", "")
        return self.world.engine.broken(f"{name} {what}")
