"""A person's node: what drives it, and what it answers to the local API.

::

    PersonDriver ─► PersonContacts ─► PersonTalks ─► PersonNode
    links, clock,    personas,         messages,      settings, path,
    store, events    contacts          files          backup, linkability
"""

from collections.abc import Sequence

from shoal_node import person_settings
from shoal_node.api import backend
from shoal_node.person_settings import StoredSettings
from shoal_node.person_talks import PersonTalks


class PersonNode(PersonTalks):
    """One person's node; implements ``backend.PersonBackend``."""

    async def begin(self) -> None:
        """Do what the person wants at each unlocking."""
        if self._chosen.fresh_persona:
            await self.create_persona(None, ephemeral=True)

    @property
    def chosen(self) -> StoredSettings:
        """What the person chose and keeps in the store."""
        return self._chosen

    async def choose(self, settings: StoredSettings) -> None:
        """Keep what the person chose."""
        self._chosen = settings
        person_settings.keep(settings, self.machine.journal)
        await self._durable()

    def path(self) -> Sequence[backend.HopInfo]:
        """The hops of the latest envelope that carried something of this person's."""
        return [
            backend.HopInfo(
                position=place,
                role=hop.role,
                relay=hop.relay.relay_id.hex(),
                address=hop.relay.addresses[0],
                delay_ms=hop.delay_ms,
            )
            for place, hop in enumerate(self.machine.trace, start=1)
        ]
