"""A person's personas, contacts and messages as the API shows them.

::

    Persona, Correspondence, Message of the machine ─► backend.Persona, Contact, Message
"""

import functools
from typing import Final

from shoal_node import person_files
from shoal_node.api import backend
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.people import People
from shoal_protocol.client.personas import Persona
from shoal_protocol.pseudonyms import address
from shoal_protocol.sessions import safety


class Views:
    """Shows what the machine knows.

    Args:
        people: whose.
        files: how files are shown.
        network: the network parameters' hash, 32 bytes.
    """

    def __init__(self, people: People, files: person_files.PersonFiles, network: bytes) -> None:
        self._people = people
        self._files = files
        self._network = network

    def persona(self, persona: Persona) -> backend.Persona:
        """Show a persona."""
        return backend.Persona(
            id=persona.id,
            pseudonym=address.encode(persona.secrets.pseudonym),
            created=persona.created,
            name=persona.name,
            ephemeral=not persona.kept,
        )

    def contact(self, persona: Persona, correspondence: Correspondence) -> backend.Contact:
        """Show the contact of a conversation."""
        code = None
        if correspondence.agreed:
            code = safety_code(persona.secrets.pseudonym, correspondence.pseudonym, self._network)
        return backend.Contact(
            id=correspondence.id,
            persona=persona.id,
            conversation=correspondence.id,
            pseudonym=address.encode(correspondence.pseudonym),
            state=contact_state(correspondence),
            safety_code=code,
        )

    def conversation(
        self, persona: Persona, correspondence: Correspondence
    ) -> backend.Conversation:
        """Show a conversation with its contact and its last message."""
        last = next(reversed(list(correspondence.history)), None)
        return backend.Conversation(
            id=correspondence.id,
            persona=persona.id,
            contact=correspondence.id,
            pseudonym=address.encode(correspondence.pseudonym),
            state=contact_state(correspondence),
            peer=self.contact(persona, correspondence),
            last=None if last is None else self.message(persona, correspondence, last),
        )

    def message(
        self,
        persona: Persona,
        correspondence: Correspondence,
        message: Message,
        file: backend.File | None = None,
    ) -> backend.Message:
        """Show a message.

        Args:
            file: its file as it was; as it is if None.
        """
        sender = persona.secrets.pseudonym if message.outgoing else correspondence.pseudonym
        return backend.Message(
            id=message.id,
            conversation=correspondence.id,
            persona=persona.id,
            sender=address.encode(sender),
            outgoing=message.outgoing,
            text=message.text,
            status=STATES[message.state],
            request=message.request,
            created=message.created,
            received=message.received,
            file=self._files.show(message) if file is None else file,
        )

    def message_status(
        self,
        persona: Persona,
        correspondence: Correspondence,
        message: Message,
        file: backend.File | None,
    ) -> backend.MessageStatus:
        """Show that a message, or its file, moved on."""
        return backend.MessageStatus(
            message.id, correspondence.id, persona.id, STATES[message.state], file
        )


STATES: Final[dict[MessageState, backend.MessageState]] = {
    MessageState.QUEUED: "queued",
    MessageState.STORED: "stored",
    MessageState.FETCHED: "fetched",
    MessageState.READ: "read",
    MessageState.FAILED: "failed",
}


def contact_state(correspondence: Correspondence) -> backend.ContactState:
    """Return how far an acquaintance has come."""
    if correspondence.answered:
        return "accepted"
    return "request" if correspondence.requested_by_them else "requested"


@functools.lru_cache(maxsize=1024)
def safety_code(one: bytes, other: bytes, network: bytes) -> str:
    """Return what two people compare; remembered, since it takes a while."""
    return safety.safety_code(one, other, network)
