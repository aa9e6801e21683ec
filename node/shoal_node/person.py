"""A person's node: what drives it, and what it answers to the local API.

::

    PersonDriver ─► PersonContacts ─► PersonTalks ─► PersonNode
    links, clock,    personas,         messages,      settings, path,
    store, events    contacts          files          backup, linkability
"""

import logging
from collections.abc import Sequence
from typing import Final

import trio

from shoal_node import backup as backups
from shoal_node import person_settings
from shoal_node.api import backend
from shoal_node.linkability import Facts, links
from shoal_node.person_settings import StoredSettings
from shoal_node.person_talks import PersonTalks, called
from shoal_protocol.client.personas import Persona
from shoal_protocol.errors import StoreError, UserError
from shoal_protocol.pseudonyms import address

log = logging.getLogger(__name__)

BACKUP_NAME: Final = "shoal.backup"
MAX_BACKUP: Final = 512 * 2**20  # bytes: one that is made is held in memory


class PersonNode(PersonTalks):
    """One person's node; implements ``backend.PersonBackend``."""

    _backing_up = False

    async def begin(self) -> None:
        """Do what the person wants at each unlocking."""
        if self._chosen.fresh_persona:
            try:
                await self.create_persona(None, ephemeral=True)
            except backend.Conflict:
                log.warning("no fresh persona: there are as many as may be")

    @property
    def chosen(self) -> StoredSettings:
        """What the person chose and keeps in the store."""
        return self._chosen

    async def choose(self, settings: StoredSettings) -> None:
        """Keep what the person chose."""
        self._chosen = settings
        self.machine.people.slots = settings.persona_slots
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

    async def backup(self, passphrase: str) -> backend.Attachment:
        """Return everything that is kept, encrypted; its passphrase is stretched in a thread.

        One at a time: each takes 256 MiB, and goes on when whoever asked has gone.
        """
        if self._backing_up:
            raise backend.Unavailable("A backup is being made already: wait until it is there.")
        self._backing_up = True
        try:
            return await self._back_up(passphrase)
        finally:
            self._backing_up = False

    async def _back_up(self, passphrase: str) -> backend.Attachment:
        await self._durable()
        now = self._clock.now()

        def make() -> bytes:
            pieces: list[bytes] = []
            size = 0
            for piece in backups.make(self._store, passphrase, now):
                size += len(piece)
                if size > MAX_BACKUP:
                    raise UserError(
                        f"A backup may have at most {MAX_BACKUP // 2**20} MiB, and this one would "
                        "have more: delete messages with large files, or whole conversations."
                    )
                pieces.append(piece)
            return b"".join(pieces)

        try:
            content = await trio.to_thread.run_sync(make)
        except StoreError as error:
            raise backend.Unavailable(str(error)) from None
        except UserError as error:
            raise backend.Unprocessable(str(error)) from None
        return backend.Attachment(BACKUP_NAME, "application/octet-stream", content)

    def linkability(self) -> Sequence[backend.Link]:
        """What would let an observer take two personas for one person's."""
        facts = [self._facts(persona) for persona in self.machine.people.personas()]
        return [
            backend.Link(link.code, link.personas, link.detail)
            for link in links(facts, self._config.preset)
        ]

    def _facts(self, persona: Persona) -> Facts:
        shown = self._views.persona(persona)
        talks = [one for one in persona.conversations.values() if not one.pending]
        mine = [message for one in talks for message in one.history if message.outgoing]
        name = None
        if shown.name is not None or shown.drawn_name is not None:
            name = called(shown.name, shown.drawn_name)
        files = (self._files.digest(message) for message in mine if message.file is not None)
        return Facts(
            persona.id,
            persona.created,
            name,
            None if persona.profile is None else persona.profile.avatar,
            tuple(address.encode(one.pseudonym) for one in talks),
            tuple(digest for digest in files if digest is not None),
            bool(mine),
        )
