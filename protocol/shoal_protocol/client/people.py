"""The personas of one node, their contacts, and what comes for them; spec: client §6.

::

    entry ─► cloak ─┬─ first contact ─► handshake ─► Association ─┬─► parcel ─► history, acks
                    └─ session ─► SessionIndex ─► Association ────┘
                           └─ unknown tag: kept a while, its first contact may come later

An entry that opens for nobody is dropped and counted: whoever has a pseudonym can put
rubbish into its inbox.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.client.announcer import Announcer
from shoal_protocol.client.association import Association, Received
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.outbox import MAX_RECORDS, Outbox, Outgoing
from shoal_protocol.client.reader import Reader
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.pseudonyms.persona import PersonaSecrets
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, handshake
from shoal_protocol.sessions.session import SessionIndex

MAX_PERSONAS: Final = 16
MAX_CONVERSATIONS: Final = 1024  # of one persona, strangers' requests not counted
MAX_REQUESTS: Final = 256  # of strangers whom the person has not answered
MAX_UNKNOWN: Final = 256  # session entries kept until their first contact comes
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


@dataclass(slots=True, eq=False)
class Persona:
    """One persona of this node."""

    id: str
    secrets: PersonaSecrets
    created: int
    announcer: Announcer
    conversations: dict[str, Correspondence] = field(default_factory=dict[str, Correspondence])
    by_pseudonym: dict[bytes, Correspondence] = field(default_factory=dict[bytes, Correspondence])
    sessions: SessionIndex = field(default_factory=SessionIndex)
    owners: dict[bytes, tuple[Correspondence, Association]] = field(
        default_factory=dict[bytes, tuple[Correspondence, Association]]  # by session id
    )
    ephemerals: handshake.SeenEphemerals = field(default_factory=handshake.SeenEphemerals)
    unknown: deque[tuple[bytes, bytes]] = field(  # digests of entries, and their bodies
        default_factory=lambda: deque[tuple[bytes, bytes]](maxlen=MAX_UNKNOWN)
    )
    seen: OrderedDict[bytes, bytes] = field(  # digests of entries: session id, or empty
        default_factory=OrderedDict[bytes, bytes]
    )


class People:
    """Personas and correspondences of one node."""

    def __init__(self, params: NetworkParameters, rng: Rng, outbox: Outbox, reader: Reader) -> None:
        self._params = params
        self._rng = rng
        self._outbox = outbox
        self._reader = reader
        self._personas: dict[str, Persona] = {}
        self._conversations: dict[str, tuple[Persona, Correspondence]] = {}
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

    def create(self, root: bytes, now: int) -> Persona:
        """Add a persona with this 32-byte root, announce it and read its inbox.

        Raises:
            UserError: there are :data:`MAX_PERSONAS` already.
        """
        if len(self._personas) >= MAX_PERSONAS:
            raise UserError(f"This node has {MAX_PERSONAS} personas already; burn one first.")
        secrets = PersonaSecrets(root, network=self._params.hash)
        announcer = Announcer(secrets, self._params, self._rng)
        persona = Persona(self._rng.bytes(8).hex(), secrets, now, announcer)
        self._personas[persona.id] = persona
        self._reader.add(persona.id, secrets, now)
        return persona

    def burn(self, persona: Persona) -> None:
        """Forget a persona with its keys, conversations and everything on its way."""
        del self._personas[persona.id]
        self._reader.remove(persona.id)
        for correspondence in persona.conversations.values():
            del self._conversations[correspondence.id]
        self._outbox.done([o.key for o in self._outbox.records() if o.owner == persona.id])

    def open_conversation(self, persona: Persona, pseudonym: bytes, now: int) -> Correspondence:
        """Return the persona's conversation with ``pseudonym``, begun now if there is none.

        Raises:
            UserError: it is the persona's own, or there are too many.
        """
        if pseudonym == persona.secrets.pseudonym:
            raise UserError("This is the persona's own pseudonym; write to somebody else.")
        return self._correspondence(persona, pseudonym, requested_by_them=False, now=now)

    def send_text(self, correspondence: Correspondence, text: str, now: int) -> Message:
        """Queue a text; raises UserError when it is too long or too much waits."""
        if len(self._outbox) >= MAX_RECORDS:
            raise UserError("Too many messages are on their way; try again later.")
        message = Message(self._rng.bytes(12).hex(), True, text, MessageState.QUEUED, created=now)
        correspondence.send(message)
        self._launch(correspondence, correspondence.release(now))
        return message

    def working(self, now: int) -> bool:
        """Whether :meth:`work` has a slice of proof of work to do."""
        return any(persona.announcer.working(now) for persona in self._personas.values())

    def work(self, now: int) -> None:
        """Keep the announcements going."""
        today = clock.index_of(now, self._params.day_s)
        for persona in self._personas.values():
            persona.announcer.work(now)
            persona.ephemerals.expire(today)

    def tick(self, now: int) -> list[Changed]:
        """Send acknowledgements that waited long enough; give up what outlived its entries."""
        changed: list[Changed] = []
        for _, correspondence in self._conversations.values():
            self._launch(correspondence, correspondence.due_acknowledgements(now))
        for outgoing in self._outbox.tick(now):
            known = self._conversations.get(outgoing.conversation)
            if known is not None:
                persona, correspondence = known
                failed = correspondence.failed(outgoing.key, now)
                changed += [Changed(persona.id, correspondence.id, m) for m in failed]
                self._launch(correspondence, correspondence.release(now))
        return changed

    def announcement_due(self, now: int) -> tuple[Announcer, int, bytes] | None:
        """Return (announcer, day, record) of an announcement that is to be put now."""
        for persona in self._personas.values():
            due = persona.announcer.due(now)
            if due is not None:
                return persona.announcer, *due
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
                self._index(*known)
                self._launch(correspondence, records)
                return now - began
        correspondence.lookup_failed(now)
        return None

    def stored(self, outgoing: Outgoing) -> list[Changed]:
        """Note that a relay keeps this record."""
        known = self._conversations.get(outgoing.conversation)
        if known is None:
            return []
        persona, correspondence = known
        moved = correspondence.stored(outgoing.key)
        return [Changed(persona.id, correspondence.id, message) for message in moved]

    def entry(self, persona_id: str, day: int, record: bytes, now: int) -> list[Changed]:
        """Take an entry of a persona's inbox of ``day``."""
        persona = self._personas.get(persona_id)
        if persona is None:
            return []
        name = crypto.digest(record, size=16)
        session_id = persona.seen.get(name)
        if session_id is not None:
            self.counters["entry again"] += 1
            if session_id in persona.owners:
                correspondence, association = persona.owners[session_id]
                correspondence.repeated(association, now)
            return []
        persona.seen[name] = b""
        while len(persona.seen) > MAX_SEEN:
            persona.seen.popitem(last=False)
        public = persona.secrets.public
        try:
            plaintext = cloak.open(
                public.pseudonym, public.inbox_root, day, record, self._params.hash
            )
            if plaintext[0] == cloak.FIRST_CONTACT:
                return self._first_contact(persona, day, name, plaintext[1:], now)
            return self._session(persona, name, plaintext[1:], now)
        except RemoteProtocolError as error:
            self.counters[error.reason] += 1
            return []

    def _first_contact(
        self, persona: Persona, day: int, name: bytes, body: bytes, now: int
    ) -> list[Changed]:
        prekeys = persona.secrets.prekeys_of(day)
        if prekeys is None:
            raise RemoteProtocolError("prekeys gone")
        public, data, session = handshake.accept(
            persona.secrets, prekeys, body, seen=persona.ephemerals
        )
        association = Association(session)
        received = association.receive(data)
        correspondence = self._correspondence(
            persona, public.pseudonym, requested_by_them=True, now=now
        )
        persona.seen[name] = session.id
        correspondence.adopt(association, public.inbox_root)
        self._index(persona, correspondence)
        changed = [Changed(persona.id, correspondence.id, None)]
        changed += self._parcel(persona, correspondence, association, received, now)
        for waiting in [persona.unknown.popleft() for _ in range(len(persona.unknown))]:
            try:
                changed += self._session(persona, *waiting, now)
            except RemoteProtocolError as error:
                self.counters[error.reason] += 1
        return changed

    def _session(self, persona: Persona, name: bytes, body: bytes, now: int) -> list[Changed]:
        if persona.sessions.find(body) is None:
            persona.unknown.append((name, body))
            self.counters["session tag"] += 1
            return []
        session, data = persona.sessions.open(body)
        persona.seen[name] = session.id
        correspondence, association = persona.owners[session.id]
        received = association.receive(data)
        return self._parcel(persona, correspondence, association, received, now)

    def _parcel(
        self,
        persona: Persona,
        correspondence: Correspondence,
        association: Association,
        received: Received,
        now: int,
    ) -> list[Changed]:
        freed, messages, records = correspondence.received(association, received, now)
        self._outbox.done(freed)
        self._launch(correspondence, records)
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
        correspondence = Correspondence(
            self._rng.bytes(8).hex(),
            persona.secrets,
            pseudonym,
            requested_by_them=requested_by_them,
            created=now,
            params=self._params,
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

    def _forget(self, persona: Persona, correspondence: Correspondence) -> None:
        for association in [*correspondence.given_up(), *correspondence.associations()]:
            persona.sessions.remove(association.session)
            persona.owners.pop(association.session.id, None)
        del persona.conversations[correspondence.id]
        del persona.by_pseudonym[correspondence.pseudonym]
        del self._conversations[correspondence.id]
        keys = [o.key for o in self._outbox.records() if o.conversation == correspondence.id]
        self._outbox.done(keys)

    def _index(self, persona: Persona, correspondence: Correspondence) -> None:
        for association in correspondence.given_up():
            persona.sessions.remove(association.session)
            persona.owners.pop(association.session.id, None)
        for association in correspondence.associations():
            persona.sessions.add(association.session)
            persona.owners[association.session.id] = correspondence, association

    def _launch(self, correspondence: Correspondence, records: list[Outgoing]) -> None:
        persona, _ = self._conversations[correspondence.id]
        for outgoing in records:
            outgoing.owner = persona.id
            outgoing.conversation = correspondence.id
            self._outbox.add(outgoing)
