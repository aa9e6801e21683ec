"""What a person's node answers of personas, contacts and invites."""

from collections.abc import Sequence

from shoal_node import person_views
from shoal_node.api import backend
from shoal_node.person_driver import PersonDriver
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.personas import Persona
from shoal_protocol.errors import UserError
from shoal_protocol.pseudonyms import address


class PersonContacts(PersonDriver):
    """Personas, whom they know, and who may come."""

    def personas(self) -> Sequence[backend.Persona]:
        """All personas, oldest first."""
        return [self._views.persona(persona) for persona in self.machine.people.personas()]

    async def create_persona(
        self, name: str | None, ephemeral: bool, *, random: bool = False
    ) -> backend.Persona:
        """Make a persona and begin to announce it."""
        try:
            persona = self.machine.people.create(
                self._rng.bytes(32), self._clock.now(), name=name, kept=not ephemeral
            )
        except UserError as error:
            raise backend.Conflict(str(error)) from None
        await self._durable()
        shown = self._views.persona(persona)
        self._events.publish(shown)
        return shown

    async def burn_persona(self, persona_id: str) -> None:
        """Forget the persona, its keys and its conversations."""
        self.machine.people.burn(self._find(persona_id))
        self._events.forget(
            lambda data: persona_id in (getattr(data, "persona", None), getattr(data, "id", None))
        )
        person_views.safety_code.cache_clear()
        await self._durable()
        self._events.publish(backend.Removed(persona_id, None, None))

    def contacts(self, persona_id: str) -> Sequence[backend.Contact]:
        """The persona's contacts, oldest first."""
        persona = self._find(persona_id)
        return [self._views.contact(persona, c) for c in persona.conversations.values()]

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
