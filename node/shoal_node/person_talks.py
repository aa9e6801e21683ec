"""What a person's node answers of conversations: messages, files, pictures, search."""

import heapq
from collections.abc import Callable, Sequence
from typing import Final

import trio

from shoal_node import export, names, pictures, search
from shoal_node.api import backend, idempotency
from shoal_node.person_contacts import PersonContacts
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message
from shoal_protocol.client.people import Changed
from shoal_protocol.client.personas import Persona
from shoal_protocol.errors import StoreError, UserError
from shoal_protocol.files import manifest as manifests

PICTURE_NAME: Final = "picture.webp"
SEARCH_SLICE: Final = 50_000  # letters looked through before other tasks have their turn: 5 ms
EXPORT_SLICE: Final = 200  # messages gathered before other tasks have their turn: 5 ms
EXPORT_TEXT: Final = "text"


class PersonTalks(PersonContacts):
    """Conversations and what was said in them."""

    def conversations(self) -> Sequence[backend.Conversation]:
        """All personas' conversations, oldest first."""
        return [
            shown
            for persona in self.machine.people.personas()
            for shown in self._views.conversations(persona)
        ]

    async def change_conversation(
        self, conversation_id: str, expires_after: int | None
    ) -> backend.Conversation:
        """Set after how many seconds new messages disappear."""
        persona, one = self._conversation(conversation_id)
        try:
            self._tell(self.machine.people.set_expiry(one, expires_after))
        except UserError as error:
            raise backend.Unprocessable(str(error)) from None
        await self._durable()
        return self._views.conversation(persona, one)

    async def forget_conversation(self, conversation_id: str) -> None:
        """Forget a conversation and its contact."""
        _, one = self._conversation(conversation_id)
        self._tell(self.machine.people.forget(one, self._clock.now()))
        await self._durable()

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        """At most ``limit`` messages, newest last."""
        persona, correspondence = self._conversation(conversation_id)
        found: list[Message] = []
        passed = before is None
        for message in reversed(correspondence.history):
            if passed:
                found.append(message)
                if len(found) == limit:
                    break
            passed = passed or message.id == before
        if not passed:
            raise backend.NotFound("There is no such message in this conversation.")
        return [self._views.message(persona, correspondence, one) for one in reversed(found)]

    async def mark_read(self, conversation_id: str, message_id: str) -> None:
        """Note that the person saw everything up to a message."""
        _, one = self._conversation(conversation_id)
        self._found(one, message_id)
        self._tell(self.machine.people.mark_read(one, message_id, self._clock.now()))
        await self._durable()

    async def remove_message(self, conversation_id: str, message_id: str) -> None:
        """Forget a message with its file, here only."""
        _, one = self._conversation(conversation_id)
        self._found(one, message_id)
        self._tell(self.machine.people.delete_message(one, message_id))
        await self._durable()

    async def send(
        self, conversation_id: str, draft: backend.Draft | str, idempotency_key: str | None
    ) -> backend.Message:
        """Queue a message."""
        draft = _draft(draft)
        persona, correspondence = self._conversation(conversation_id)
        message_id, known = self._named(
            idempotency_key,
            conversation_id,
            lambda one: one.file is None and one.text == draft.text,
        )
        if known is None:
            try:
                known = self.machine.people.send(
                    correspondence,
                    draft.text,
                    self._clock.now(),
                    message_id=message_id,
                    reply_to=draft.reply_to,
                    expires_s=_expiry(draft),
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
        draft = _draft(draft)
        persona, correspondence = self._conversation(conversation_id)
        digest = manifests.content_digest(content)
        message_id, message = self._named(
            idempotency_key,
            conversation_id,
            lambda one: one.text == draft.text and self._files.digest(one) == digest,
        )
        if message is None:
            now = self._clock.now()
            try:
                message = self.machine.people.send_file(
                    correspondence,
                    draft.text,
                    content,
                    name,
                    media_type,
                    now,
                    message_id=message_id,
                    reply_to=draft.reply_to,
                    expires_s=_expiry(draft),
                )
            except UserError as error:
                raise backend.Unprocessable(str(error)) from None
            self._files.follow(Changed(persona.id, correspondence.id, message), now)
        await self._durable()
        return self._views.message(persona, correspondence, message)

    async def send_picture(
        self,
        conversation_id: str,
        draft: backend.Draft,
        content: bytes,
        idempotency_key: str | None,
    ) -> backend.Message:
        """Queue a message with a picture, made anew first."""
        self._conversation(conversation_id)
        picture = await _made_anew(content)
        return await self.send_file(
            conversation_id, draft, picture, PICTURE_NAME, pictures.MEDIA_TYPE, idempotency_key
        )

    async def file(self, conversation_id: str, message_id: str) -> backend.FileContent:
        """Return the file of a message."""
        _, correspondence = self._conversation(conversation_id)
        message = self._found(correspondence, message_id)
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

    async def picture(self, conversation_id: str, message_id: str) -> backend.Picture:
        """Return the picture of a message, made anew here, whoever made it before."""
        found = await self.file(conversation_id, message_id)
        if not found.file.picture:
            raise backend.Unsupported("This file is no picture that can be shown.")
        return backend.Picture(await _made_anew(found.content))

    async def _content(self, message_id: str) -> bytes:
        content = self.machine.people.transfers.content(message_id)
        if content is not None:
            return content
        try:
            return await trio.to_thread.run_sync(self._store.file, bytes.fromhex(message_id))
        except StoreError as error:
            raise backend.Unavailable(str(error)) from None

    async def search(
        self, text: str, persona_id: str | None, conversation_id: str | None, limit: int
    ) -> Sequence[backend.SearchHit]:
        """At most ``limit`` messages that hold ``text``, newest first."""
        if persona_id is not None:
            self._find(persona_id)
        talks = [
            (persona, one)
            for persona in self.machine.people.personas()
            for one in persona.conversations.values()
            if persona_id in (None, persona.id) and conversation_id in (None, one.id)
        ]
        if conversation_id is not None and not talks:
            raise backend.NotFound("There is no such conversation here.")
        needle = search.needle(text)
        best: list[tuple[int, int, Persona, Correspondence, Message, list[tuple[int, int]]]] = []
        looked = letters = 0
        for persona, one in talks:
            for message in list(one.history):
                looked += 1
                letters += 64 + len(message.text)
                if letters >= SEARCH_SLICE:
                    letters = 0
                    await trio.lowlevel.checkpoint()
                spans = needle.spans(message.text)
                if not spans:
                    continue
                heapq.heappush(best, (_time(message), looked, persona, one, message, spans))
                if len(best) > limit:
                    heapq.heappop(best)
        found = sorted(best, key=lambda hit: hit[:2], reverse=True)
        return [
            backend.SearchHit(self._views.message(persona, one, message), spans)
            for _, _, persona, one, message, spans in found
            if one.history.get(message.id) is not None  # it may have gone meanwhile
        ]

    async def export(self, conversation_id: str, form: str) -> backend.Attachment:
        """Return a whole conversation as JSON or text; what goes meanwhile is not in it."""
        persona, one = self._conversation(conversation_id)
        shown, peer = self._views.persona(persona), self._views.contact(persona, one)
        you = export.Who(called(shown.name, shown.drawn_name), shown.pseudonym)
        contact = export.Who(called(peer.name, peer.drawn_name), peer.pseudonym)
        said: list[tuple[str, backend.Message]] = []
        for number, message in enumerate(list(one.history), start=1):
            if number % EXPORT_SLICE == 0:
                await trio.lowlevel.checkpoint()
            if one.history.get(message.id) is not None:
                said.append((message.id, self._views.message(persona, one, message)))
        whole = [shown for message_id, shown in said if one.history.get(message_id) is not None]
        now = self._clock.now()
        if form == EXPORT_TEXT:
            data = await trio.to_thread.run_sync(export.as_text, you, contact, whole, now)
            return backend.Attachment("conversation.txt", "text/plain; charset=utf-8", data)
        data = await trio.to_thread.run_sync(export.as_json, you, contact, whole, now)
        return backend.Attachment("conversation.json", "application/json", data)

    def _named(
        self, key: str | None, conversation_id: str, same: Callable[[Message], bool]
    ) -> tuple[str | None, Message | None]:
        """Return the id that ``key`` gives a message, and the message that has it already.

        Raises Conflict when that is another one, or is gone, and Unavailable when nothing new
        can be kept.
        """
        message_id = None if key is None else idempotency.message_id(key)
        known = None if message_id is None else self._sent(message_id)
        if known is not None:
            if known[0].id != conversation_id or not same(known[1]):
                raise backend.Conflict("This Idempotency-Key was used for another message.")
            return message_id, known[1]
        if message_id is not None and self.is_gone(message_id):
            raise backend.Conflict(
                "The message of this Idempotency-Key was sent, and is here no more."
            )
        if self._commits.warning is not None:
            raise backend.Unavailable(self._commits.warning)
        return message_id, None

    def _sent(self, message_id: str) -> tuple[Correspondence, Message] | None:
        for persona in self.machine.people.personas():
            for correspondence in persona.conversations.values():
                message = correspondence.history.get(message_id)
                if message is not None:
                    return correspondence, message
        return None

    def _conversation(self, conversation_id: str) -> tuple[Persona, Correspondence]:
        known = self.machine.people.conversation(conversation_id)
        if known is None:
            raise backend.NotFound("There is no such conversation on this node.")
        return known

    def _found(self, correspondence: Correspondence, message_id: str) -> Message:
        message = correspondence.history.get(message_id)
        if message is None:
            raise backend.NotFound("There is no such message in this conversation.")
        return message


def _draft(given: backend.Draft | str) -> backend.Draft:
    return backend.Draft(given) if isinstance(given, str) else given


def _expiry(draft: backend.Draft) -> int | None:
    """Return what the machine is told: None as is usual in the conversation, 0 never."""
    if isinstance(draft.expires_after, backend.Unset):
        return None
    return draft.expires_after or 0


def _time(message: Message) -> int:
    return message.created if message.received is None else message.received


def called(name: str | None, drawn: Sequence[int] | None) -> str:
    """Return what somebody is called, in English."""
    return names.shown(name, None if drawn is None else (drawn[0], drawn[1]), "en")


async def _made_anew(content: bytes) -> bytes:
    try:
        return (await pictures.sanitize(content)).content
    except pictures.PictureRefused as error:
        raise backend.Unsupported(str(error)) from None
