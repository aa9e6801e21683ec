"""The personas of one node, their contacts, and what comes for them; spec: client §6.

::

    entry ─► cloak ─► first contact ─► handshake ─► Association ─┐
    box ─────────────────────────────────────────► Association ──┴─► parcel ─► history, acks
                                                                         │
    everything that changed ─► Journal ─► store ◄────────────────────────┘

An entry that opens for nobody is dropped and counted: whoever has a pseudonym can put
rubbish into its inbox.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.client import parcel, state
from shoal_protocol.client.announcer import Announcer
from shoal_protocol.client.association import UNREADABLE, Association
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.keeping import Keeper
from shoal_protocol.client.outbox import MAX_RECORDS, Outbox, Outgoing
from shoal_protocol.client.personas import Persona
from shoal_protocol.client.reader import Reader
from shoal_protocol.client.transfers import Transfers
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake

MAX_PERSONAS: Final = 16
MAX_CONVERSATIONS: Final = 1024  # of one persona, strangers' requests not counted
MAX_REQUESTS: Final = 256  # of strangers whom the person has not answered
MAX_SEEN: Final = 4096  # entries remembered, so that copies from other replicas cost nothing


@dataclass(frozen=True, slots=True)
class Changed:
    """A message is new or moved forward; ``message`` None: the conversation itself changed."""

    persona: str
    conversation: str
    message: Message | None


@dataclass(frozen=True, slots=True)
class DueLookup:
    """A DHT key (32 bytes) to ask for, on behalf of a conversation."""

    conversation: str
    day: int
    key: bytes


class People:
    """Personas and correspondences of one node."""

    def __init__(
        self,
        params: NetworkParameters,
        rng: Rng,
        outbox: Outbox,
        reader: Reader,
        journal: state.Journal,
    ) -> None:
        self._params = params
        self._rng = rng
        self._outbox = outbox
        self._reader = reader
        self._journal = journal
        self.transfers: Final = Transfers(params, rng, outbox, reader, journal)
        self._personas: dict[str, Persona] = {}
        self._conversations: dict[str, tuple[Persona, Correspondence]] = {}
        self.online = True  # relays of the present epoch are known: the clock may be trusted
        self.counters: Counter[str] = Counter()

    def personas(self) -> list[Persona]:
        """Return all personas, oldest first."""
        return list(self._personas.values())

    def persona(self, persona_id: str) -> Persona | None:
        """Return the persona with this id."""
        return self._personas.get(persona_id)

    def conversation(self, conversation_id: str) -> tuple[Persona, Correspondence] | None:
        """Return a conversation and whose it is."""
        return self._conversations.get(conversation_id)

    def create(
        self, root: bytes, now: int, *, name: str | None = None, kept: bool = True
    ) -> Persona:
        """Add a persona with this 32-byte root, announce it and read its inbox.

        Args:
            name: what its owner calls it; it never leaves this machine.
            kept: whether it is made durable.

        Raises:
            UserError: there are :data:`MAX_PERSONAS` already.
        """
        if len(self._personas) >= MAX_PERSONAS:
            raise UserError(f"This node has {MAX_PERSONAS} personas already; burn one first.")
        persona = self._enter(self._rng.bytes(8).hex(), root, now, name, kept)
        if kept:
            row = state.PersonaRow(root, now, name)
            self._journal.put(state.PERSONA, persona.name_bytes, state.PERSONAS.encode(row))
        return persona

    def burn(self, persona: Persona) -> None:
        """Forget a persona with its keys, conversations and everything on its way."""
        del self._personas[persona.id]
        self._reader.remove(persona.id)
        for correspondence in list(persona.conversations.values()):
            self._forget(persona, correspondence)
        if persona.kept:
            persona.forget_rows(self._journal)

    def open_conversation(self, persona: Persona, pseudonym: bytes, now: int) -> Correspondence:
        """Return the persona's conversation with ``pseudonym``, begun now if there is none.

        Raises:
            UserError: it is the persona's own, or there are too many.
        """
        if pseudonym == persona.secrets.pseudonym:
            raise UserError("This is the persona's own pseudonym; write to somebody else.")
        return self._correspondence(persona, pseudonym, requested_by_them=False, now=now)

    def send(
        self,
        correspondence: Correspondence,
        text: str,
        now: int,
        *,
        file: bytes | None = None,
        message_id: str | None = None,
    ) -> Message:
        """Queue a message; raises UserError when it is too long or too much waits.

        Args:
            file: the packed manifest of a file that goes with it.
            message_id: 12 bytes in hex; drawn if it is None.
        """
        if self._outbox.loud >= MAX_RECORDS:
            raise UserError("Too many messages are on their way; try again later.")
        message_id = self._rng.bytes(12).hex() if message_id is None else message_id
        message = correspondence.send(message_id, text, file, now)
        self._release(correspondence, now)
        return message

    def send_file(
        self,
        correspondence: Correspondence,
        text: str,
        content: bytes,
        name: str,
        media_type: str,
        now: int,
        *,
        message_id: str | None = None,
    ) -> Message:
        """Queue a file with a text; arguments and errors as of :meth:`Transfers.send`."""
        message_id = self._rng.bytes(12).hex() if message_id is None else message_id
        return self.transfers.send(correspondence, message_id, text, content, name, media_type, now)

    def working(self, now: int) -> bool:
        """Whether :meth:`work` has a slice of work to do."""
        return (
            self._outbox.working
            or self.transfers.working
            or any(persona.announcer.working(now) for persona in self._personas.values())
        )

    def work(self, now: int) -> list[Changed]:
        """Keep the announcements going, what pays for records, and files that came."""
        self._outbox.work()
        whole = self.transfers.work()
        today = clock.index_of(now, self._params.day_s)
        for persona in self._personas.values():
            persona.announcer.work(now)
            persona.expire_ephemerals(today, self._journal)
            persona.keep_prekeys(self._journal)
        return [] if whole is None else self._about(whole)

    def tick(self, now: int) -> list[Changed]:
        """Send acknowledgements that waited long enough; give up what outlived its place."""
        changed: list[Changed] = []
        for _, correspondence in self._conversations.values():
            self._launch(correspondence, correspondence.due(now), now)
            self._release(correspondence, now)
        for message in self.transfers.tick(now):
            changed += self._about(message)
        for outgoing in self._outbox.tick(now):
            known = self._conversations.get(outgoing.conversation)
            if known is not None:
                persona, correspondence = known
                failed = correspondence.expired(outgoing, now)
                self._give_up(persona, correspondence)
                changed += [Changed(persona.id, correspondence.id, m) for m in failed]
                self._release(correspondence, now)
        return changed

    def announcement_due(self, now: int) -> tuple[Announcer, int, bytes] | None:
        """Return (announcer, day, record) of an announcement that is to be put now.

        One whose prekeys a crash could still take away is not due yet.
        """
        for persona in self._personas.values():
            due = persona.announcer.due(now)
            if due is not None:
                day, record = due
                if not persona.kept or self._journal.durable >= persona.prekey_batches[day]:
                    return persona.announcer, day, record
        return None

    def lookup_due(self, now: int) -> DueLookup | None:
        """Return what is to be looked up now; every fourth attempt asks for yesterday's."""
        today = clock.index_of(now, self._params.day_s)
        for _, correspondence in self._conversations.values():
            lookup = correspondence.lookup
            if lookup is not None and not lookup.in_flight and lookup.due <= now:
                day = today - (lookup.attempts % 4 == 3)
                key = announcement.lookup_key(correspondence.pseudonym, day, self._params.hash)
                return DueLookup(correspondence.id, day, key)
        return None

    def lookup_sent(self, conversation_id: str) -> None:
        """Note that a lookup went out."""
        lookup = self._conversations[conversation_id][1].lookup
        if lookup is not None:
            lookup.in_flight = True

    def looked_up(
        self, conversation_id: str, day: int, record: bytes | None, now: int
    ) -> int | None:
        """Take what a lookup found, or None; returns how long it took in all (ns) if found."""
        known = self._conversations.get(conversation_id)
        if known is None or known[1].lookup is None:
            return None
        correspondence = known[1]
        began = known[1].lookup.began
        if record is not None:
            try:
                found = announcement.open_record(
                    correspondence.pseudonym, record, period=day, network=self._params.hash
                )
                records = correspondence.found(found, now)
            except RemoteProtocolError as error:
                self.counters[error.reason] += 1
            else:
                self._index(*known, now)
                self._launch(correspondence, records, now)
                return now - began
        correspondence.lookup_failed(now)
        return None

    def stored(self, outgoing: Outgoing, now: int) -> list[Changed]:
        """Note that a relay keeps this record."""
        known = self._conversations.get(outgoing.conversation)
        if known is None:
            return []
        persona, correspondence = known
        if outgoing.fragment:
            ready = self.transfers.stored(outgoing)
            if ready is not None:
                correspondence.ready(outgoing.message, now)
                self._release(correspondence, now)
            return []
        moved = correspondence.stored(outgoing)
        return [Changed(persona.id, correspondence.id, message) for message in moved]

    def entry(self, persona_id: str, day: int, record: bytes, now: int) -> list[Changed]:
        """Take an entry of a persona's inbox of ``day``."""
        persona = self._personas.get(persona_id)
        if persona is None:
            return []
        name = crypto.digest(record, size=16)
        if name in persona.seen:
            self.counters["entry again"] += 1
            return []
        persona.seen[name] = None
        while len(persona.seen) > MAX_SEEN:
            persona.seen.popitem(last=False)
        public = persona.secrets.public
        try:
            plaintext = cloak.open(
                public.pseudonym, public.inbox_root, day, record, self._params.hash
            )
            return self._first_contact(persona, day, plaintext[1:], now)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return []

    def box(
        self, association: Association, index: int, day: int, record: bytes, now: int
    ) -> tuple[bool, list[Changed]]:
        """Take box ``index`` of an association's incoming stream.

        Returns whether it was the contact's, and what changed.
        """
        owner = next(
            (p for p in self._personas.values() if association.id in p.owners),
            None,
        )
        if owner is None or not association.expects(index):
            return True, []
        correspondence, _ = owner.owners[association.id]
        try:
            said = association.open(index, day, record, self._rng)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            if error.reason != UNREADABLE:
                return False, []
            self._reader.unfollow(association.id)
            return False, self._renew(owner, correspondence, association, now)
        return True, self._said(owner, correspondence, association, said, now)

    def taken(self, outgoing: Outgoing, now: int) -> list[Changed]:
        """Note that relays keep another box where this one belongs.

        What is written there can be the contact's doing, or ours with a state that was lost
        since: either way nothing more can be said over this session.
        """
        self.counters["taken"] += 1
        known = self._conversations.get(outgoing.conversation)
        if known is None or known[0].owners.get(outgoing.session) is None:
            return []
        persona, correspondence = known
        _, association = persona.owners[outgoing.session]
        return self._renew(persona, correspondence, association, now)

    def _renew(
        self,
        persona: Persona,
        correspondence: Correspondence,
        association: Association,
        now: int,
    ) -> list[Changed]:
        failed = correspondence.unreadable(association, now)
        self._give_up(persona, correspondence)
        self._release(correspondence, now)
        return [Changed(persona.id, correspondence.id, message) for message in failed]

    def restore(self, kept: state.Kept, now: int) -> None:
        """Take up everything where a store left it.

        Raises:
            RemoteProtocolError: a row is not what was written.
        """
        personas = [
            (state.PERSONAS.decode(data), row_id) for row_id, data in kept.of(state.PERSONA)
        ]
        for row, row_id in sorted(personas, key=lambda one: (one[0].created, one[1])):
            self._enter(row_id.hex(), row.root, row.created, row.name, True)
        for row_id, data in kept.of(state.PREKEYS):
            keys = state.PREKEY_DAYS.decode(data)
            persona, day = self._personas[row_id[:8].hex()], int.from_bytes(row_id[8:], "big")
            persona.secrets.restore(Prekeys(day, keys.private, keys.seed))
            persona.prekey_batches[day] = 0
        for row_id, _ in kept.of(state.EPHEMERAL):
            persona, day = self._personas[row_id[:8].hex()], int.from_bytes(row_id[8:12], "big")
            persona.ephemerals.add(day, row_id[12:])
            persona.kept_ephemerals.setdefault(day, []).append(row_id[12:])
        associations: dict[bytes, list[Association]] = {}
        for _, data in kept.of(state.ASSOCIATION):
            one = state.ASSOCIATIONS.decode(data)
            associations.setdefault(one.conversation, []).append(
                Association.restore(one, self._params.hash)
            )
        records: dict[bytes, list[Outgoing]] = {}
        for key, data in kept.of(state.RECORD):
            record = state.RECORDS.decode(data)
            records.setdefault(record.conversation, []).append(self._restored(key, record))
        parts: dict[bytes, list[tuple[bytes, state.PartRow]]] = {}
        for key, data in kept.of(state.PART):
            parts.setdefault(key[:8], []).append((key[8:], state.PARTS.decode(data)))
        messages: dict[str, list[state.MessageRow]] = {}
        for message in kept.messages:
            messages.setdefault(message.conversation, []).append(message)
        opened = [(state.CONVERSATIONS.decode(d), i) for i, d in kept.of(state.CONVERSATION)]
        for talk, row_id in sorted(opened, key=lambda one: (one[0].created, one[1])):
            persona = self._personas[talk.persona.hex()]
            correspondence = self._make(
                persona, row_id, talk.pseudonym, talk.line, talk.requested_by_them, talk.created
            )
            mine = sorted(records.get(row_id, []), key=lambda o: (o.created, o.index))
            correspondence.restore(
                talk,
                associations.get(row_id, []),
                mine,
                messages.get(correspondence.id, []),
                parts.get(row_id, []),
                now,
            )
            self._index(persona, correspondence, now)
            for outgoing in mine:
                outgoing.owner = persona.id
                outgoing.conversation = correspondence.id
                self._outbox.add(outgoing)
            self._release(correspondence, now)
        self.transfers.restore(kept, self._message)

    def _restored(self, key: bytes, row: state.RecordRow) -> Outgoing:
        return Outgoing(
            key,
            row.record,
            row.created,
            needs_ack=row.needs_ack,
            batch=0,
            copies=self._params.replicas,
            first_contact=row.first_contact,
            session=row.session,
            index=row.index,
            message=row.message.hex(),
            stored=row.stored,
        )

    def _enter(
        self, persona_id: str, root: bytes, created: int, name: str | None, kept: bool
    ) -> Persona:
        secrets = PersonaSecrets(root, network=self._params.hash)
        announcer = Announcer(secrets, self._params, self._rng)
        persona = Persona(persona_id, secrets, created, announcer, name, kept)
        self._personas[persona.id] = persona
        self._reader.add(persona.id, secrets, created)
        return persona

    def _first_contact(self, persona: Persona, day: int, body: bytes, now: int) -> list[Changed]:
        prekeys = persona.secrets.prekeys_of(day)
        if prekeys is None:
            raise RemoteProtocolError("prekeys gone")
        public, data, session = handshake.accept(
            persona.secrets, prekeys, body, seen=persona.ephemerals, rng=self._rng
        )
        persona.keep_ephemeral(day, body[: crypto.KEY_LENGTH], self._journal)
        said = parcel.decode(data)
        today = clock.index_of(now, self._params.day_s)
        association = Association.begin(session, self._params.hash, day=min(day, today), order=now)
        correspondence = self._correspondence(
            persona, public.pseudonym, requested_by_them=True, now=now
        )
        association.confirmed = True
        correspondence.adopt(association, public.inbox_root, now)
        self._index(persona, correspondence, now)
        self._give_up(persona, correspondence)
        changed = [Changed(persona.id, correspondence.id, None)]
        return changed + self._said(persona, correspondence, association, said, now)

    def _said(
        self,
        persona: Persona,
        correspondence: Correspondence,
        association: Association,
        said: parcel.Parcel | None,
        now: int,
    ) -> list[Changed]:
        if said is not None:
            try:
                correspondence.check(said)
            except RemoteProtocolError as error:
                self.counters[error.reason] += 1
                said = None
        freed, messages, records = correspondence.received(association, said, now)
        for message in messages:
            if not message.outgoing:
                self.transfers.arrived(correspondence, message)
        self._outbox.done(outgoing.key for outgoing in freed)
        for outgoing in correspondence.missing(association):
            self._outbox.put_again(outgoing, now)
        self._launch(correspondence, records, now)
        return [Changed(persona.id, correspondence.id, message) for message in messages]

    def _correspondence(
        self, persona: Persona, pseudonym: bytes, *, requested_by_them: bool, now: int
    ) -> Correspondence:
        known = persona.by_pseudonym.get(pseudonym)
        if known is not None:
            return known
        if requested_by_them:
            self._limit_requests(persona)
        elif sum(not c.pending for c in persona.conversations.values()) >= MAX_CONVERSATIONS:
            raise UserError(f"A persona may have {MAX_CONVERSATIONS} conversations.")
        made = self._make(
            persona,
            self._rng.bytes(8),
            pseudonym,
            self._rng.bytes(parcel.LINE_LENGTH),
            requested_by_them,
            now,
        )
        made.keep()
        return made

    def _make(
        self,
        persona: Persona,
        row_id: bytes,
        pseudonym: bytes,
        line: bytes,
        requested_by_them: bool,
        created: int,
    ) -> Correspondence:
        correspondence = Correspondence(
            row_id.hex(),
            persona.secrets,
            pseudonym,
            line=line,
            requested_by_them=requested_by_them,
            created=created,
            params=self._params,
            rows=Keeper(self._journal, persona.name_bytes, row_id, kept=persona.kept),
            rng=self._rng,
        )
        persona.conversations[correspondence.id] = correspondence
        persona.by_pseudonym[pseudonym] = correspondence
        self._conversations[correspondence.id] = persona, correspondence
        return correspondence

    def _limit_requests(self, persona: Persona) -> None:
        """Make room for a request: the oldest that the person never answered gives way."""
        pending = [c for c in persona.conversations.values() if c.pending]
        for oldest in pending[: max(0, len(pending) + 1 - MAX_REQUESTS)]:
            self.counters["request given up"] += 1
            self._forget(persona, oldest)

    def _about(self, message: Message) -> list[Changed]:
        """Return the change that says that a message's file has come."""
        return [
            Changed(persona.id, correspondence.id, message)
            for persona, correspondence in self._conversations.values()
            if correspondence.history.get(message.id) is not None
        ]

    def _message(self, message_id: str) -> tuple[Correspondence, Message] | None:
        for _, correspondence in self._conversations.values():
            message = correspondence.history.get(message_id)
            if message is not None:
                return correspondence, message
        return None

    def _forget(self, persona: Persona, correspondence: Correspondence) -> None:
        for message in correspondence.history:
            self.transfers.forget(message)
        for association in correspondence.forget():
            self._reader.unfollow(association.id)
            persona.owners.pop(association.id, None)
        del persona.conversations[correspondence.id]
        del persona.by_pseudonym[correspondence.pseudonym]
        del self._conversations[correspondence.id]
        keys = [o.key for o in self._outbox.records() if o.conversation == correspondence.id]
        self._outbox.done(keys)

    def _give_up(self, persona: Persona, correspondence: Correspondence) -> None:
        associations, records = correspondence.given_up()
        self._outbox.done(outgoing.key for outgoing in records)
        for association in associations:
            self._reader.unfollow(association.id)
            persona.owners.pop(association.id, None)

    def _index(self, persona: Persona, correspondence: Correspondence, now: int) -> None:
        for association in correspondence.associations():
            persona.owners[association.id] = correspondence, association
            self._reader.follow(association, now, stranger=lambda: correspondence.pending)

    def _release(self, correspondence: Correspondence, now: int) -> None:
        """Seal what waits, unless nobody confirms the clock: a box is of the day it is sealed."""
        if self.online:
            self._launch(correspondence, correspondence.release(now), now)

    def _launch(self, correspondence: Correspondence, records: list[Outgoing], now: int) -> None:
        persona, _ = self._conversations[correspondence.id]
        self._give_up(persona, correspondence)
        for outgoing in records:
            outgoing.owner = persona.id
            outgoing.conversation = correspondence.id
            self._outbox.add(outgoing)
            self._reader.stir(outgoing.session, now)
