"""What comes for the personas of one node, and what time brings; spec: client §6.

::

    entry ─► cloak ─► first contact ─► handshake ─► Association ─┐
    box ─────────────────────────────────────────► Association ──┴─► parcel ─► history, acks
                                                                         │
    everything that changed ─► Journal ─► store ◄────────────────────────┘

An entry that opens for nobody is dropped and counted: whoever has a pseudonym can put
rubbish into its inbox. What a blocked or ignored stranger sends is dropped, too. Of the work
that an entry paid the most counts that any of its copies shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.client import parcel
from shoal_protocol.client.announcer import Announcer
from shoal_protocol.client.association import UNREADABLE, Association
from shoal_protocol.client.contacts import Contacts
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.outbox import Outgoing
from shoal_protocol.client.personas import Persona, SeenEntry
from shoal_protocol.client.roster import MAX_REQUESTS, Changed
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.pseudonyms import announcement
from shoal_protocol.sessions import cloak, handshake

MAX_SEEN: Final = 4096  # entries remembered, so that copies from other replicas cost nothing
CHEAP: Final = "request price"  # why a request is refused that paid less than all there are
_DAY_LENGTH: Final = 4

__all__ = ["Changed", "DueLookup", "People"]


@dataclass(frozen=True, slots=True)
class DueLookup:
    """A DHT key (32 bytes) to ask for, on behalf of a conversation."""

    conversation: str
    day: int
    key: bytes


class People(Contacts):
    """Personas and correspondences of one node."""

    def working(self, now: int) -> bool:
        """Whether :meth:`work` has a slice of work to do."""
        return (
            self._outbox.working
            or self.transfers.working
            or any(persona.announcer.working(now) for persona in self._personas.values())
        )

    def work(self, now: int) -> list[Changed]:
        """Keep the announcements going, what pays for records, and files that came.

        Messages whose time is over disappear here, without a network, too.
        """
        self._outbox.work()
        whole = self.transfers.work()
        today = clock.index_of(now, self._params.day_s)
        for persona in self._personas.values():
            persona.announcer.work(now)
            persona.expire_ephemerals(today, self._journal)
            persona.keep_prekeys(self._journal)
            persona.expire_ignored(now, self._journal)
        changed = [] if whole is None else self._about(whole)
        lives = (one for _, c in self._conversations.values() for one in c.lives)
        self.lives.look(now, self.online, lives)
        for persona, correspondence in self._conversations.values():
            if correspondence.expiring(now):
                correspondence.disappear(now)
                changed += self._news(persona, correspondence)
        return changed

    def tick(self, now: int) -> list[Changed]:
        """Send acknowledgements that waited long enough; give up what outlived its place."""
        changed: list[Changed] = []
        self.invites.tick(now)
        for _, correspondence in self._conversations.values():
            self._release(correspondence, now)
            self._launch(correspondence, correspondence.due(now), now)
        for message in self.transfers.tick(now):
            changed += self._about(message)
        for outgoing in self._outbox.tick(now):
            known = self._conversations.get(outgoing.conversation)
            if known is not None:
                _, correspondence = known
                self._launch(correspondence, correspondence.expired(outgoing, now), now)
                self._release(correspondence, now)
        for outgoing in self._outbox.told(now):
            known = self._conversations.get(outgoing.conversation)
            if known is not None:
                known[1].spread(outgoing)
        return changed + self._all_news()

    def followed(self, relays: Mapping[bytes, Descriptor], now: int) -> None:
        """Take the relays that the directory lists: who of them can hold what was announced."""
        self._relays = relays
        for persona in self._personas.values():
            persona.announcer.followed(relays, now)

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
        """Return what is to be looked up now, of several what has been due for longest.

        Every fourth attempt asks for yesterday's.
        """
        due = [
            (correspondence.lookup.due, correspondence)
            for _, correspondence in self._conversations.values()
            if correspondence.lookup is not None and not correspondence.lookup.in_flight
        ]
        since, first = min(due, key=lambda one: one[0], default=(now, None))
        if first is None or first.lookup is None or since > now:
            return None
        day = clock.index_of(now, self._params.day_s) - (first.lookup.attempts % 4 == 3)
        key = announcement.lookup_key(first.pseudonym, day, self._params.hash)
        return DueLookup(first.id, day, key)

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
        if known is None or outgoing.erases:
            return []
        persona, correspondence = known
        if outgoing.fragment:
            ready = self.transfers.stored(outgoing)
            if ready is not None:
                correspondence.ready(outgoing.message, now)
                self._release(correspondence, now)
            return []
        correspondence.stored(outgoing)
        return self._news(persona, correspondence)

    def entry(
        self, persona_id: str, day: int, record: bytes, now: int, *, price_bits: int | None = None
    ) -> list[Changed]:
        """Take an entry of a persona's inbox of ``day``.

        Args:
            price_bits: the work that it paid, checked; None if that is not known.
        """
        persona = self._personas.get(persona_id)
        if persona is None:
            return []
        name = crypto.digest(record, size=16)
        bits = price_bits or 0
        known = persona.seen.get(name)
        if known is not None and not (known.refused and bits > known.bits):
            return self._entry_again(persona, known, bits)
        entry = persona.seen[name] = SeenEntry(bits)
        while len(persona.seen) > MAX_SEEN:
            persona.seen.popitem(last=False)
        public = persona.secrets.public
        try:
            plaintext = cloak.open(
                public.pseudonym, public.inbox_root, day, record, self._params.hash
            )
            changed = self._first_contact(persona, day, plaintext[1:], now, price_bits)
        except RemoteProtocolError as error:
            entry.refused = error.reason == CHEAP
            self.counters[error.reason] += 1
            return []
        entry.conversation = changed[-1].conversation
        return changed

    def _entry_again(self, persona: Persona, known: SeenEntry, bits: int) -> list[Changed]:
        """Take another copy of an entry: the relay that gave the first may hide its price."""
        self.counters["entry again"] += 1
        if bits <= known.bits:
            return []
        known.bits = bits
        one = persona.conversations.get(known.conversation)
        if one is None or not one.pending or bits <= (one.price_bits or 0):
            return []
        one.price(bits)
        return [Changed(persona.id, one.id, None)]

    def invited(self, persona: Persona, plaintext: bytes, invite: bytes, now: int) -> list[Changed]:
        """Take the first contact of somebody whom the persona invited; nothing if it is none.

        Args:
            plaintext: what the invite's box holds, 1,928 bytes.
            invite: names the invite, for the counters only.
        """
        keys_at = 1 + _DAY_LENGTH
        day = int.from_bytes(plaintext[1:keys_at], "big")
        try:
            if plaintext[:1] != bytes([cloak.FIRST_CONTACT]):
                raise RemoteProtocolError("invite")
            return self._first_contact(persona, day, plaintext[keys_at:], now, invited=True)
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
            (
                persona
                for persona in self._personas.values()
                if persona.owners.get(association.id, (None, None))[1] is association
            ),
            None,  # both sides of a session may be here, and have one id
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
            self._reader.unfollow(owner.id, association.id)
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
        correspondence.unreadable(association, now)
        return self._settled(correspondence, now)

    def _first_contact(
        self,
        persona: Persona,
        day: int,
        body: bytes,
        now: int,
        price_bits: int | None = None,
        *,
        invited: bool = False,
    ) -> list[Changed]:
        prekeys = persona.secrets.prekeys_of(day)
        if prekeys is None:
            raise RemoteProtocolError("prekeys gone")
        public, data, session = handshake.accept(
            persona.secrets, prekeys, body, seen=persona.ephemerals, rng=self._rng
        )
        ephemeral = body[: crypto.KEY_LENGTH]
        persona.keep_ephemeral(day, ephemeral, self._journal)
        said = parcel.decode(data)
        known = persona.by_pseudonym.get(public.pseudonym)
        if known is not None and known.blocked:
            raise RemoteProtocolError("blocked")
        if known is None and not invited and public.pseudonym in persona.ignored:
            raise RemoteProtocolError("ignored")
        changed: list[Changed] = []
        if known is None and not invited:
            try:
                changed += self._limit_requests(persona, price_bits)
            except RemoteProtocolError:
                persona.drop_ephemeral(day, ephemeral, self._journal)  # a copy may show more work
                raise
        today = clock.index_of(now, self._params.day_s)
        association = Association.begin(session, self._params.hash, day=min(day, today), order=now)
        correspondence = self._correspondence(
            persona, public.pseudonym, requested_by_them=True, now=now
        )
        association.confirmed = True
        persona.heed(public.pseudonym, self._journal)
        if invited:
            correspondence.admit(None, now)
        elif correspondence.pending:
            correspondence.price(price_bits)
        correspondence.adopt(association, public.inbox_root, now)
        self._index(persona, correspondence, now)
        self._give_up(persona, correspondence)
        changed.append(Changed(persona.id, correspondence.id, None))
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
        taken = correspondence.received(association, said, now)
        changed = self._news(persona, correspondence)
        for one in changed:
            message = one.message
            if message is not None and not message.outgoing and not one.removed:
                self.transfers.arrived(correspondence, message)
        self._outbox.done(outgoing.key for outgoing in taken.freed)
        for record in taken.erased:
            self._erase(persona, correspondence, record, now)
        for outgoing in correspondence.missing(association):
            self._outbox.put_again(outgoing, now)
        self._launch(correspondence, taken.records, now)
        return changed

    def _erase(
        self, persona: Persona, correspondence: Correspondence, record: bytes, now: int
    ) -> None:
        """Let relays drop a box of a message that disappears; a crash may take this back."""
        batch = self._journal.number if persona.kept else 0
        self._outbox.erase(record, batch, persona.id, correspondence.id, now)

    def _limit_requests(self, persona: Persona, price_bits: int | None) -> list[Changed]:
        """Make room for a request: the one that paid least gives way, the oldest of equals.

        Raises:
            RemoteProtocolError: :data:`CHEAP`, the new one paid less than all.
        """
        requests = [c for c in persona.conversations.values() if c.state == "request"]
        if len(requests) < MAX_REQUESTS:
            return []
        cheapest = min(requests, key=lambda one: one.price_bits or 0)
        if (price_bits or 0) < (cheapest.price_bits or 0):
            raise RemoteProtocolError(CHEAP)
        self.counters["request given up"] += 1
        return self._forget(persona, cheapest)

    def _about(self, message: Message) -> list[Changed]:
        """Return the change that says that a message's file has come."""
        return [
            Changed(persona.id, correspondence.id, message)
            for persona, correspondence in self._conversations.values()
            if correspondence.history.get(message.id) is not None
        ]
