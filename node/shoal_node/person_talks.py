"""What a person's node answers of conversations: messages, files, search."""

from collections.abc import Callable, Sequence

import trio

from shoal_node.api import backend, idempotency
from shoal_node.person_contacts import PersonContacts
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.people import Changed
from shoal_protocol.client.personas import Persona
from shoal_protocol.errors import StoreError, UserError
from shoal_protocol.files import manifest as manifests


class PersonTalks(PersonContacts):
    """Conversations and what was said in them."""

    def conversations(self) -> Sequence[backend.Conversation]:
        """All personas' conversations, oldest first."""
        return [
            self._views.conversation(persona, c)
            for persona in self.machine.people.personas()
            for c in persona.conversations.values()
        ]

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        """At most ``limit`` messages, newest last."""
        persona, correspondence = self._conversation(conversation_id)
        found = list(correspondence.history)
        if before is not None:
            ids = [message.id for message in found]
            if before not in ids:
                raise backend.NotFound("There is no such message in this conversation.")
            found = found[: ids.index(before)]
        return [self._views.message(persona, correspondence, message) for message in found[-limit:]]

    async def send(
        self, conversation_id: str, draft: backend.Draft | str, idempotency_key: str | None
    ) -> backend.Message:
        """Queue a message."""
        text = _text(draft)
        persona, correspondence = self._conversation(conversation_id)
        message_id, known = self._named(
            idempotency_key, conversation_id, lambda one: one.file is None and one.text == text
        )
        if known is None:
            try:
                known = self.machine.people.send(
                    correspondence, text, self._clock.now(), message_id=message_id
                )
            except UserError as error:
                raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._views.message(persona, correspondence, known)

    async def send_file(
        self,
        conversation_id: str,
        draft: backend.Draft | str,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> backend.Message:
        """Queue a message with a file."""
        text = _text(draft)
        persona, correspondence = self._conversation(conversation_id)
        digest = manifests.content_digest(content)
        message_id, message = self._named(
            idempotency_key,
            conversation_id,
            lambda one: one.text == text and self._files.digest(one) == digest,
        )
        if message is None:
            now = self._clock.now()
            try:
                message = self.machine.people.send_file(
                    correspondence, text, content, name, media_type, now, message_id=message_id
                )
            except UserError as error:
                raise backend.Unprocessable(str(error)) from None
            self._files.follow(Changed(persona.id, correspondence.id, message), now)
        await self._durable()
        return self._views.message(persona, correspondence, message)

    async def file(self, conversation_id: str, message_id: str) -> backend.FileContent:
        """Return the file of a message."""
        _, correspondence = self._conversation(conversation_id)
        message = correspondence.history.get(message_id)
        if message is None:
            raise backend.NotFound("There is no such message in this conversation.")
        file = self._files.show(message)
        if file is None:
            raise backend.NotFound("This message has no file.")
        if file.state == "failed" and not message.outgoing:
            raise backend.Conflict("This file cannot be had: the relays do not have all of it.")
        if file.state != "whole" and not message.outgoing:
            raise backend.Conflict(
                f"This file is still on its way: {file.done} of {file.total} pieces are here."
            )
        content = await self._content(message_id)
        if len(content) != file.size:  # it became whole just now
            await self._durable()
            content = await self._content(message_id)
        if len(content) != file.size:
            raise backend.NotFound("This file is no longer on this node.")
        return backend.FileContent(file, content)

    async def _content(self, message_id: str) -> bytes:
        content = self.machine.people.transfers.content(message_id)
        if content is not None:
            return content
        try:
            return await trio.to_thread.run_sync(self._store.file, bytes.fromhex(message_id))
        except StoreError as error:
            raise backend.Unavailable(str(error)) from None

    def _named(
        self, key: str | None, conversation_id: str, same: Callable[[Message], bool]
    ) -> tuple[str | None, Message | None]:
        """Return the id that ``key`` gives a message, and the message that has it already.

        Raises Conflict when that is another one, and Unavailable when nothing new can be kept.
        """
        message_id = None if key is None else idempotency.message_id(key)
        known = None if message_id is None else self._sent(message_id)
        if known is not None:
            if known[1].id != conversation_id or not same(known[2]):
                raise backend.Conflict("This Idempotency-Key was used for another message.")
            return message_id, known[2]
        if self._commits.warning is not None:
            raise backend.Unavailable(self._commits.warning)
        return message_id, None

    def _sent(self, message_id: str) -> tuple[Persona, Correspondence, Message] | None:
        for persona in self.machine.people.personas():
            for correspondence in persona.conversations.values():
                message = correspondence.history.get(message_id)
                if message is not None:
                    return persona, correspondence, message
        return None

    def _conversation(self, conversation_id: str) -> tuple[Persona, Correspondence]:
        known = self.machine.people.conversation(conversation_id)
        if known is None:
            raise backend.NotFound("There is no such conversation on this node.")
        return known


def _text(draft: backend.Draft | str) -> str:
    return draft if isinstance(draft, str) else draft.text
