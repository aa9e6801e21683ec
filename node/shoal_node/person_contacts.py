"""What a person's node answers of personas, contacts and invites."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import trio

from shoal_node import invite_qr, names, person_avatars, person_views, pictures
from shoal_node.api import backend
from shoal_node.person_driver import PersonDriver
from shoal_protocol import clock
from shoal_protocol.client import contents
from shoal_protocol.client.contents import Profile
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.invites import OpenInvite, capability
from shoal_protocol.client.personas import IGNORED_S, Persona
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import address, invite

MAX_QR_CODES: Final = 1024


class PersonContacts(PersonDriver):
    """Personas and whom they know."""

    def personas(self) -> Sequence[backend.Persona]:
        """All personas, oldest first."""
        return [self._views.persona(persona) for persona in self.machine.people.personas()]

    async def create_persona(
        self, name: str | None, ephemeral: bool, *, random: bool = False
    ) -> backend.Persona:
        """Make a persona and begin to announce it."""
        profile = None if name is None else Profile(name=name)
        if random:
            profile = self._drawn()
        _check(profile)
        try:
            persona = self.machine.people.create(
                self._rng.bytes(32),
                self._clock.now(),
                kept=not ephemeral,
                profile=profile,
                receipts=self._chosen.receipts_default,
            )
        except UserError as error:
            raise backend.Conflict(str(error)) from None
        return await self._persona_changed(persona)

    async def change_persona(
        self, persona_id: str, change: backend.PersonaChange
    ) -> backend.Persona:
        """Change how a persona shows itself."""
        avatar = change.avatar
        if isinstance(avatar, bytes):
            self._find(persona_id)
            try:
                made = await pictures.avatar(avatar)
            except pictures.PictureRefused as error:
                raise backend.Unsupported(str(error)) from None
            avatar = person_avatars.own_picture(made)
        elif avatar is not None and not isinstance(avatar, backend.Unset):
            avatar = person_avatars.drawn(bytes(avatar))
        persona = self._find(persona_id)
        profile = Profile() if persona.profile is None or change.momo else persona.profile
        if change.random:
            profile = self._drawn()
        if not isinstance(change.name, backend.Unset):
            profile = replace(profile, name=change.name, drawn_name=None)
        if not isinstance(avatar, backend.Unset):
            profile = replace(profile, avatar=avatar)
        _check(profile)
        if profile != (persona.profile or Profile()):
            self.machine.people.set_profile(persona, None if profile.empty else profile)
        if not isinstance(change.receipts, backend.Unset):
            self.machine.people.set_receipts(persona, change.receipts)
        return await self._persona_changed(persona)

    def _drawn(self) -> Profile:
        avatar = person_avatars.drawn(self._rng.bytes(4))
        return Profile(drawn_name=names.draw(self._rng), avatar=avatar)

    async def _persona_changed(self, persona: Persona) -> backend.Persona:
        await self._durable()
        shown = self._views.persona(persona)
        self._events.publish(shown)
        return shown

    async def burn_persona(self, persona_id: str) -> None:
        """Forget the persona, its keys and its conversations."""
        gone = self.machine.people.burn(self._find(persona_id))
        self._events.forget(
            lambda data: persona_id in (getattr(data, "persona", None), getattr(data, "id", None))
        )
        person_views.forget()
        self._tell(gone)
        await self._durable()
        self._events.publish(backend.Removed(persona_id, None, None))

    def contacts(self, persona_id: str) -> Sequence[backend.Contact]:
        """The persona's contacts, oldest first."""
        persona = self._find(persona_id)
        return self._views.contacts(persona, list(persona.conversations.values()))

    async def add_contact(self, persona_id: str, pseudonym: str) -> backend.Contact:
        """Add a contact by pseudonym, or return the one there is."""
        persona = self._find(persona_id)
        try:
            public = address.decode(pseudonym)
            correspondence = self.machine.people.open_conversation(
                persona, public, self._clock.now()
            )
        except UserError as error:
            raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._views.contact(persona, correspondence)

    async def use_invite(self, persona_id: str, code: str) -> backend.Contact:
        """Add the contact who made an invite, accepted at once."""
        persona, now = self._find(persona_id), self._clock.now()
        try:
            found = invite.decode(code)
            found.check(self._params.hash, clock.index_of(now, self._params.day_s))
            stream = capability(found.secret, self._params.hash)
            one = self.machine.people.open_invited(persona, found.pseudonym, stream, now)
        except UserError as error:
            raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._views.contact(persona, one)

    async def invites(self, persona_id: str) -> Sequence[backend.Invite]:
        """The persona's invites, oldest first."""
        found = self.machine.people.invites.of(self._find(persona_id))
        return [await self._shown_invite(one) for one in found]

    async def make_invite(self, persona_id: str) -> backend.Invite:
        """Make an invite."""
        persona = self._find(persona_id)
        try:
            made = self.machine.people.invites.make(persona, self._clock.now())
        except UserError as error:
            raise backend.Conflict(str(error)) from None
        await self._durable()
        return await self._shown_invite(made)

    async def cancel_invite(self, persona_id: str, invite_id: str) -> None:
        """Wait for nobody by this invite any more."""
        known = {one.id: one for one in self.machine.people.invites.of(self._find(persona_id))}
        if invite_id not in known:
            raise backend.NotFound("There is no such invite of this persona.")
        self.machine.people.invites.withdraw(known[invite_id])
        await self._durable()

    async def _shown_invite(self, one: OpenInvite) -> backend.Invite:
        """Show an invite; its QR code is made once, in a thread, since it takes a while."""
        if one.id not in self._qr_codes:
            if len(self._qr_codes) >= MAX_QR_CODES:
                self._qr_codes.clear()
            self._qr_codes[one.id] = await trio.to_thread.run_sync(invite_qr.svg, one.code)
        qr = self._qr_codes[one.id]
        code = invite.encode(one.code)
        return backend.Invite(one.id, code, one.code.link, qr, one.expires, one.used)

    async def change_contact(
        self, persona_id: str, contact_id: str, change: backend.ContactChange
    ) -> backend.Contact:
        """Change what the person says of a contact."""
        persona, one = self._contact_of(persona_id, contact_id)
        people = self.machine.people
        if change.verified is True and not one.agreed:
            raise backend.Conflict("There is no safety code to compare yet.")
        try:
            if not isinstance(change.alias, backend.Unset):
                self._tell(people.set_alias(one, change.alias))
            if not isinstance(change.verified, backend.Unset):
                self._tell(people.set_verified(one, change.verified))
        except UserError as error:
            raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._views.contact(persona, one)

    async def accept_contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        """Accept a request."""
        persona, one = self._contact_of(persona_id, contact_id)
        if one.state == "blocked":
            raise backend.Conflict("This contact is blocked: unblock it first.")
        if one.state == "request":
            self._tell(self.machine.people.accept(one, self._clock.now()))
        await self._durable()
        return self._views.contact(persona, one)

    async def ignore_contact(self, persona_id: str, contact_id: str) -> None:
        """Forget a request silently."""
        _, one = self._contact_of(persona_id, contact_id)
        try:
            gone = self.machine.people.ignore(one, self._clock.now())
        except UserError as error:
            raise backend.Conflict(str(error)) from None
        self._tell(gone)
        await self._durable()

    def ignored(self, persona_id: str) -> Sequence[backend.Ignored]:
        """The strangers that the persona ignores, those of longest ago first."""
        persona, now = self._find(persona_id), self._clock.now()
        over = {key: since + clock.seconds(IGNORED_S) for key, since in persona.ignored.items()}
        return [
            backend.Ignored(address.encode(key), until)
            for key, until in over.items()
            if now < until
        ]

    async def heed(self, persona_id: str, pseudonym: str) -> None:
        """Ignore a stranger no more."""
        persona = self._find(persona_id)
        try:
            key = address.decode(pseudonym)
        except UserError:
            key = b""
        if key not in persona.ignored:
            raise backend.NotFound("This persona ignores no such stranger.")
        self.machine.people.heed(persona, key)
        await self._durable()

    async def block_contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        """Drop whatever comes of this contact."""
        persona, one = self._contact_of(persona_id, contact_id)
        try:
            if not one.blocked:
                self._tell(self.machine.people.block(one, self._clock.now()))
        except UserError as error:
            raise backend.Conflict(str(error)) from None
        await self._durable()
        return self._views.contact(persona, one)

    async def unblock_contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        """Hear a contact again."""
        persona, one = self._contact_of(persona_id, contact_id)
        if one.blocked:
            self._tell(self.machine.people.unblock(one, self._clock.now()))
        await self._durable()
        return self._views.contact(persona, one)

    def _find(self, persona_id: str) -> Persona:
        persona = self.machine.people.persona(persona_id)
        if persona is None:
            raise backend.NotFound("There is no such persona on this node.")
        return persona

    def _contact_of(self, persona_id: str, contact_id: str) -> tuple[Persona, Correspondence]:
        persona = self._find(persona_id)
        correspondence = persona.conversations.get(contact_id)
        if correspondence is None:
            raise backend.NotFound("There is no such contact of this persona.")
        return persona, correspondence


def _check(profile: Profile | None) -> None:
    try:
        contents.write_profile(profile)
    except UserError as error:
        raise backend.Unprocessable(str(error)) from None
