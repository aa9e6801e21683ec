"""The personas of one node and the people they talk with: who is there, and where it is kept.

::

    persona ─┬─ conversation ─┬─ sessions ─► Reader        what comes and what a person does
             └─ …             └─ records ──► Outbox        stands in contacts.py and people.py
                                  rows ────► Journal ─► store ─► restore()
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from shoal_protocol.client import contents, parcel, state
from shoal_protocol.client.announcer import Announcer
from shoal_protocol.client.association import Association
from shoal_protocol.client.contents import Shown
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.invites import Invites
from shoal_protocol.client.keeping import Keeper
from shoal_protocol.client.lives import Lives
from shoal_protocol.client.outbox import Outbox, Outgoing
from shoal_protocol.client.personas import Persona
from shoal_protocol.client.reader import Reader
from shoal_protocol.client.transfers import Transfers
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.errors import UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys
from shoal_protocol.rng import Rng

MAX_PERSONAS: Final = 16
PERSONAS: Final = 3  # that a node has at most, unless its owner wants more
MAX_CONVERSATIONS: Final = 1024  # of one persona, strangers' requests not counted
MAX_REQUESTS: Final = 256  # of strangers whom the person has not answered


@dataclass(frozen=True, slots=True)
class Changed:
    """A message is new or moved forward; ``message`` None: the conversation itself changed.

    ``removed``: the message, or the conversation, is gone here.
    """

    persona: str
    conversation: str
    message: Message | None
    removed: bool = False


class Roster:
    """Personas and correspondences of one node.

    Args:
        slots: how many personas there may be, 1 to :data:`MAX_PERSONAS`.
    """

    def __init__(
        self,
        params: NetworkParameters,
        rng: Rng,
        outbox: Outbox,
        reader: Reader,
        journal: state.Journal,
        slots: int = PERSONAS,
    ) -> None:
        self._params = params
        self._rng = rng
        self._outbox = outbox
        self._reader = reader
        self._journal = journal
        self.slots = slots  # more than there may be are kept, and none is added
        self.transfers: Final = Transfers(params, rng, outbox, reader, journal)
        self.invites: Final = Invites(params, rng, reader, journal)
        self._personas: dict[str, Persona] = {}
        self._conversations: dict[str, tuple[Persona, Correspondence]] = {}
        self.lives: Final = Lives(journal)
        self.online = True  # relays of the present epoch are known: the clock may be trusted
        self._relays: Mapping[bytes, Descriptor] = {}  # as the directory last listed them
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

    def restore(self, kept: state.Kept, now: int) -> None:
        """Take up everything where a store left it.

        Raises:
            RemoteProtocolError: a row is not what was written.
        """
        self.lives.restore(kept, now)
        self._restore_personas(kept)
        self.invites.restore(kept, self._personas, now)
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
        notices: dict[bytes, list[tuple[str, state.NoticeRow]]] = {}
        for key, data in kept.of(state.NOTICE):
            notice = state.NOTICES.decode(data)
            notices.setdefault(notice.conversation, []).append((key.hex(), notice))
        messages: dict[str, list[state.MessageRow]] = {}
        for message in kept.messages:
            messages.setdefault(message.conversation, []).append(message)
        known = {key: state.CONTACTS.decode(data) for key, data in kept.of(state.CONTACT)}
        opened = [(state.CONVERSATIONS.decode(d), i) for i, d in kept.of(state.CONVERSATION)]
        for talk, row_id in sorted(opened, key=lambda one: (one[0].created, one[1])):
            persona = self._personas[talk.persona.hex()]
            correspondence = self._make(
                persona, row_id, talk.pseudonym, talk.line, talk.requested_by_them, talk.created
            )
            mine = sorted(records.get(row_id, []), key=lambda o: (o.created, o.index))
            if row_id in known:
                correspondence.restore_contact(known[row_id])
            correspondence.restore(
                talk,
                associations.get(row_id, []),
                mine,
                messages.get(correspondence.id, []),
                notices.get(row_id, []),
                parts.get(row_id, []),
                now,
            )
            self._index(persona, correspondence, now)
            for outgoing in mine:
                outgoing.owner = persona.id
                outgoing.conversation = correspondence.id
                self._outbox.add(outgoing)
            self._release(correspondence, now)
        for key, data in kept.of(state.UNWANTED):
            _, correspondence = self._conversations[key[:8].hex()]
            correspondence.unwanted.restore(key[8:], state.UNWANTED_ROWS.decode(data))
        self.transfers.restore(kept, self._message)
        for persona, correspondence in self._conversations.values():
            correspondence.disappear(now)
            self._news(persona, correspondence)

    def _restore_personas(self, kept: state.Kept) -> None:
        personas = [
            (state.PERSONAS.decode(data), row_id) for row_id, data in kept.of(state.PERSONA)
        ]
        shown = {key: state.PROFILES.decode(data) for key, data in kept.of(state.PROFILE)}
        for row, row_id in sorted(personas, key=lambda one: (one[0].created, one[1])):
            persona = self._enter(row_id.hex(), row.root, row.created, row.name, True)
            if row_id in shown:
                one = shown[row_id]
                profile = contents.read_profile(one.profile) if one.profile else None
                persona.shown.profile, persona.shown.receipts = profile, one.receipts
        ignored = [
            (state.IGNORINGS.decode(data).since, key) for key, data in kept.of(state.IGNORED)
        ]
        for since, key in sorted(ignored):
            self._personas[key[:8].hex()].ignored[key[8:]] = since
        for row_id, data in kept.of(state.PREKEYS):
            keys = state.PREKEY_DAYS.decode(data)
            persona, day = self._personas[row_id[:8].hex()], int.from_bytes(row_id[8:], "big")
            persona.secrets.restore(Prekeys(day, keys.private, keys.seed))
            persona.prekey_batches[day] = 0
        for row_id, _ in kept.of(state.EPHEMERAL):
            persona, day = self._personas[row_id[:8].hex()], int.from_bytes(row_id[8:12], "big")
            persona.ephemerals.add(day, row_id[12:])
            persona.kept_ephemerals.setdefault(day, []).append(row_id[12:])

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
            kept_by=set(row.kept_by) if isinstance(row, state.KeptRecordRow) else set(),
        )

    def _enter(
        self, persona_id: str, root: bytes, created: int, name: str | None, kept: bool
    ) -> Persona:
        secrets = PersonaSecrets(root, network=self._params.hash)
        announcer = Announcer(secrets, self._params, self._rng, self._relays)
        persona = Persona(persona_id, secrets, created, announcer, name, kept, Shown())
        self._personas[persona.id] = persona
        self._reader.add(persona.id, secrets)
        return persona

    def _correspondence(
        self, persona: Persona, pseudonym: bytes, *, requested_by_them: bool, now: int
    ) -> Correspondence:
        """Return the conversation with ``pseudonym``, made if there is none; raises UserError."""
        known = persona.by_pseudonym.get(pseudonym)
        if known is not None:
            return known
        if not requested_by_them and len(_talks(persona)) >= MAX_CONVERSATIONS:
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
            persona=persona.id,
            line=line,
            requested_by_them=requested_by_them,
            created=created,
            params=self._params,
            rows=Keeper(
                self._journal,
                persona.name_bytes,
                row_id,
                kept=persona.kept,
                lives=self.lives,
            ),
            rng=self._rng,
            shown=persona.shown,
        )
        persona.conversations[correspondence.id] = correspondence
        persona.by_pseudonym[pseudonym] = correspondence
        self._conversations[correspondence.id] = persona, correspondence
        return correspondence

    def _message(self, message_id: str) -> tuple[Correspondence, Message] | None:
        for _, correspondence in self._conversations.values():
            message = correspondence.history.get(message_id)
            if message is not None:
                return correspondence, message
        return None

    def _forget(self, persona: Persona, correspondence: Correspondence) -> list[Changed]:
        for message in (*correspondence.history, *correspondence.take_news().gone):
            self.transfers.forget(message)
        for association in correspondence.forget():
            self._reader.unfollow(persona.id, association.id)
            persona.owners.pop(association.id, None)
        del persona.conversations[correspondence.id]
        del persona.by_pseudonym[correspondence.pseudonym]
        del self._conversations[correspondence.id]
        keys = [o.key for o in self._outbox.records() if o.conversation == correspondence.id]
        self._outbox.done(keys)
        return [Changed(persona.id, correspondence.id, None, removed=True)]

    def _give_up(self, persona: Persona, correspondence: Correspondence) -> None:
        associations, records = correspondence.given_up()
        self._outbox.done(outgoing.key for outgoing in records)
        for association in associations:
            self._reader.unfollow(persona.id, association.id)
            persona.owners.pop(association.id, None)

    def _index(self, persona: Persona, correspondence: Correspondence, now: int) -> None:
        """Know the conversation's sessions, and read them; those of a request once it is accepted.

        A stranger chooses the session, and so may know at which relay its next box is asked for:
        asking would tell when this node is there.
        """
        for association in correspondence.associations():
            persona.owners[association.id] = correspondence, association
            if not correspondence.pending:
                self._reader.follow(persona.id, association, now)

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
            self._reader.stir(persona.id, outgoing.session, now)

    def _news(self, persona: Persona, correspondence: Correspondence) -> list[Changed]:
        """Return what changed in a conversation since it was asked last."""
        news = correspondence.take_news()
        for message in news.gone:
            self.transfers.forget(message)
        changed = [Changed(persona.id, correspondence.id, m) for m in news.moved]
        if news.itself:
            changed.insert(0, Changed(persona.id, correspondence.id, None))
        return changed + [
            Changed(persona.id, correspondence.id, m, removed=True) for m in news.gone
        ]

    def _all_news(self) -> list[Changed]:
        found: Iterable[tuple[Persona, Correspondence]] = list(self._conversations.values())
        return [changed for known in found for changed in self._news(*known)]


def _talks(persona: Persona) -> list[Correspondence]:
    """Return a persona's conversations that are no strangers' requests."""
    return [c for c in persona.conversations.values() if not c.pending]
