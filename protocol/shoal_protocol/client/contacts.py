"""What a person does: personas, messages, and what is to become of contacts; spec: client §6.

::

    create, show, burn                        a persona
    open, accept, block, unblock, forget      a contact; a request that is forgotten is ignored
    send, mark read, delete                   a message

Each returns what followers are to be told, or the thing that it made.
"""

from typing import Final

from shoal_protocol.client import contents, state
from shoal_protocol.client.contents import Profile
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.outbox import MAX_RECORDS
from shoal_protocol.client.personas import Persona
from shoal_protocol.client.roster import MAX_PERSONAS, Changed, Roster
from shoal_protocol.errors import UserError
from shoal_protocol.streams.capability import WriteCapability

MAX_BLOCKED: Final = 1024  # contacts of one persona


class Contacts(Roster):
    """A roster with what its person does."""

    def create(
        self,
        root: bytes,
        now: int,
        *,
        name: str | None = None,
        kept: bool = True,
        profile: Profile | None = None,
        receipts: bool = False,
    ) -> Persona:
        """Add a persona with this 32-byte root, announce it and read its inbox.

        Args:
            name: what its owner calls it; it never leaves this machine.
            kept: whether it is made durable.
            profile: what it shows to its contacts.
            receipts: whether these are told what was read, and believed.

        Raises:
            UserError: there are as many as may be already, or the profile is none.
        """
        contents.write_profile(profile)
        most = min(self.slots, MAX_PERSONAS)
        if len(self._personas) >= most:
            raise UserError(
                f"This node has {len(self._personas)} personas already; burn one first."
            )
        persona = self._enter(self._rng.bytes(8).hex(), root, now, name, kept)
        persona.shown.profile, persona.shown.receipts = profile, receipts
        if kept:
            row = state.PersonaRow(root, now, name)
            self._journal.put(state.PERSONA, persona.name_bytes, state.PERSONAS.encode(row))
        persona.keep_shown(self._journal)
        return persona

    @property
    def ephemeral(self) -> int:
        """How many personas are never made durable."""
        return sum(not persona.kept for persona in self._personas.values())

    def burn(self, persona: Persona) -> list[Changed]:
        """Forget a persona with its keys, conversations and everything on its way."""
        del self._personas[persona.id]
        self._reader.remove(persona.id)
        self.invites.forget(persona)
        gone: list[Changed] = []
        for correspondence in list(persona.conversations.values()):
            gone += self._forget(persona, correspondence)
        self._outbox.forget(persona.id)
        if persona.kept:
            persona.forget_rows(self._journal)
        return gone

    def set_profile(self, persona: Persona, profile: Profile | None) -> None:
        """Show this to the contacts, each with the next message to it; None: nothing.

        An earlier one that waits for a contact goes nowhere any more.

        Raises:
            UserError: no profile can be like that.
        """
        contents.write_profile(profile)
        persona.shown.profile = profile
        persona.keep_shown(self._journal)
        self._reconsider(persona)

    def set_receipts(self, persona: Persona, receipts: bool) -> None:
        """Tell contacts what was read, and believe what they tell, or neither."""
        persona.shown.receipts = receipts
        persona.keep_shown(self._journal)
        self._reconsider(persona)

    def open_conversation(self, persona: Persona, pseudonym: bytes, now: int) -> Correspondence:
        """Return the persona's conversation with ``pseudonym``, begun now if there is none.

        Whoever was ignored no longer is.

        Raises:
            UserError: it is the persona's own, or there are too many.
        """
        if pseudonym == persona.secrets.pseudonym:
            raise UserError("This is the persona's own pseudonym; write to somebody else.")
        found = self._correspondence(persona, pseudonym, requested_by_them=False, now=now)
        persona.heed(pseudonym, self._journal)
        return found

    def send(
        self,
        correspondence: Correspondence,
        text: str,
        now: int,
        *,
        file: bytes | None = None,
        message_id: str | None = None,
        reply_to: str | None = None,
        expires_s: int | None = None,
    ) -> Message:
        """Queue a message; raises UserError when it is too long or too much waits.

        Args:
            file: the packed manifest of a file that goes with it.
            message_id: 12 bytes in hex; drawn if it is None.
            reply_to, expires_s: as of :meth:`Correspondence.send`.
        """
        if self._outbox.loud >= MAX_RECORDS:
            raise UserError("Too many messages are on their way; try again later.")
        message_id = self._rng.bytes(12).hex() if message_id is None else message_id
        message = correspondence.send(
            message_id, text, file, now, reply_to=reply_to, expires_s=expires_s
        )
        self._taken_up(correspondence, now)
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
        reply_to: str | None = None,
        expires_s: int | None = None,
    ) -> Message:
        """Queue a file with a text; arguments and errors as of :meth:`Transfers.send`."""
        message_id = self._rng.bytes(12).hex() if message_id is None else message_id
        message = self.transfers.send(
            correspondence,
            message_id,
            text,
            content,
            name,
            media_type,
            now,
            reply_to=reply_to,
            expires_s=expires_s,
        )
        self._taken_up(correspondence, now)
        return message

    def open_invited(
        self, persona: Persona, pseudonym: bytes, invite: WriteCapability, now: int
    ) -> Correspondence:
        """Return the conversation with whom an invite is of; the first contact goes by it.

        Args:
            invite: at the box in which the first contact is to lie.

        Raises:
            UserError: it is the persona's own, it is blocked, or there are too many.
        """
        correspondence = self.open_conversation(persona, pseudonym, now)
        if correspondence.blocked:
            raise UserError("This contact is blocked; unblock it first.")
        correspondence.admit(invite, now)
        self._taken_up(correspondence, now)
        return correspondence

    def accept(self, correspondence: Correspondence, now: int) -> list[Changed]:
        """Accept a request: what waits is read now, and the contact learns that it came."""
        correspondence.accept(now)
        self._taken_up(correspondence, now)
        return self._settled(correspondence, now)

    def ignore(self, correspondence: Correspondence, now: int) -> list[Changed]:
        """Forget a request without a word; who sent it asks in vain for a month.

        What a stranger sent is sent again on its own until its days are over: without a memory
        of it the request would be back. Adding the contact oneself, or inviting it, ends this.

        Raises:
            UserError: it is no request.
        """
        if correspondence.state != "request":
            raise UserError("Only a request can be ignored.")
        return self.forget(correspondence, now)

    def heed(self, persona: Persona, pseudonym: bytes) -> None:
        """Ignore a stranger (32 bytes) no more: what it sends from now on asks as any other's."""
        persona.heed(pseudonym, self._journal)

    def block(self, correspondence: Correspondence, now: int) -> list[Changed]:
        """Hear and say no more, until :meth:`unblock`.

        Raises:
            UserError: :data:`MAX_BLOCKED` are blocked already.
        """
        persona, _ = self._conversations[correspondence.id]
        if sum(c.blocked for c in persona.conversations.values()) >= MAX_BLOCKED:
            raise UserError(f"A persona may block {MAX_BLOCKED} contacts.")
        correspondence.block()
        return self._settled(correspondence, now)

    def unblock(self, correspondence: Correspondence, now: int) -> list[Changed]:
        """Hear the contact again."""
        correspondence.unblock(now)
        return self._settled(correspondence, now)

    def forget(self, correspondence: Correspondence, now: int) -> list[Changed]:
        """Delete a conversation with all that is known of the contact; a request is ignored.

        Who is blocked stays blocked: a conversation is left without a word, under another id,
        with the name that the person gave it, so that it can be known and unblocked.
        """
        persona, _ = self._conversations[correspondence.id]
        if correspondence.state == "request":
            persona.ignore(correspondence.pseudonym, now, self._journal)
        gone = self._forget(persona, correspondence)
        if not correspondence.blocked:
            return gone
        left = self._correspondence(
            persona, correspondence.pseudonym, requested_by_them=True, now=now
        )
        left.alias = correspondence.alias
        left.block()
        return gone + self._news(persona, left)

    def set_alias(self, correspondence: Correspondence, alias: str | None) -> list[Changed]:
        """Call the contact by a name of one's own; raises UserError."""
        correspondence.name(alias)
        return self._news(*self._conversations[correspondence.id])

    def set_verified(self, correspondence: Correspondence, verified: bool) -> list[Changed]:
        """Note whether the safety code was compared."""
        correspondence.verify(verified)
        return self._news(*self._conversations[correspondence.id])

    def set_expiry(self, correspondence: Correspondence, expires_s: int | None) -> list[Changed]:
        """Let new messages disappear after so long, None: never; raises UserError."""
        correspondence.expire_after(expires_s)
        return self._news(*self._conversations[correspondence.id])

    def mark_read(self, correspondence: Correspondence, message_id: str, now: int) -> list[Changed]:
        """Note that the person has seen all up to this message; raises UserError."""
        correspondence.mark_read(message_id, now)
        return self._settled(correspondence, now)

    def delete_message(self, correspondence: Correspondence, message_id: str) -> list[Changed]:
        """Delete a message here only; raises UserError when there is none."""
        correspondence.remove(message_id)
        return self._news(*self._conversations[correspondence.id])

    def _taken_up(self, correspondence: Correspondence, now: int) -> None:
        """Read what a contact writes, who may have been a stranger till now."""
        self._index(*self._conversations[correspondence.id], now)

    @staticmethod
    def _reconsider(persona: Persona) -> None:
        for correspondence in persona.conversations.values():
            correspondence.reconsider()

    def _settled(self, correspondence: Correspondence, now: int) -> list[Changed]:
        known = self._conversations[correspondence.id]
        self._give_up(*known)
        self._release(correspondence, now)
        return self._news(*known)
