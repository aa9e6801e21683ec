"""The conversations of a node in memory: messages, files, search, and contacts' states."""

import base64
import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from shoal_node.api import backend, idempotency, schema
from shoal_protocol.clock import SECOND
from shoal_protocol.files import manifest

IGNORED_FOR: Final = 30 * 86_400 * SECOND

PIECES = 3  # of every file
STATES: tuple[backend.MessageState, ...] = ("stored", "fetched", "read")


def picture_avatar(content: bytes) -> backend.Avatar:
    """An avatar of a picture, as it came."""
    if not content.startswith((b"RIFF", b"\x89PNG", b"\xff\xd8", b"GIF8")):
        raise backend.Unsupported("This is no picture.")
    text = base64.b64encode(content).decode()
    return backend.Avatar("picture", None, f"data:image/webp;base64,{text}")


class Talks:
    """Personas' conversations; the echo is what people at the other end say."""

    events: backend.Hub
    _id: Callable[[str], str]
    _tick: Callable[[], int]
    _later: Callable[[float, Callable[[], None]], None]
    _after: Callable[[float, Callable[[], None]], None]
    _persona: Callable[[str], backend.Persona]

    def __init__(self) -> None:
        self._personas: dict[str, backend.Persona] = {}
        self._contacts: dict[str, backend.Contact] = {}
        self._messages: dict[str, list[backend.Message]] = {}
        self._files: dict[str, backend.FileContent] = {}
        self._read: dict[str, str] = {}  # the last message seen, by conversation
        self._expires_after: dict[str, int | None] = {}
        self._ignored: dict[tuple[str, str], backend.Ignored] = {}
        self._blocked: dict[str, backend.ContactState] = {}  # what a contact was before
        self.trusting = False  # whether names of files are left as they are
        self.slow = False  # whether files that come stop half-way until :meth:`finish`
        self.echo = True  # whether people's nodes deliver and answer

    def _enter(self, contact: backend.Contact) -> backend.Contact:
        self._contacts[contact.id] = contact
        self._messages[contact.conversation] = []
        self.events.publish(contact)
        return contact

    def _forget(self, contact: backend.Contact) -> None:
        del self._contacts[contact.id]
        for message in self._messages.pop(contact.conversation):
            self._files.pop(message.id, None)
        talk = contact.conversation
        self.events.forget(lambda data: getattr(data, "conversation", None) == talk)

    def _contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        self._persona(persona_id)
        contact = self._contacts.get(contact_id)
        if contact is None or contact.persona != persona_id:
            raise backend.NotFound("There is no such contact.")
        return contact

    def _change(self, contact: backend.Contact, **changes: Any) -> backend.Contact:
        changed = self._contacts[contact.id] = replace(contact, **changes)
        self.events.publish(changed)
        return changed

    async def change_contact(
        self, persona_id: str, contact_id: str, change: backend.ContactChange
    ) -> backend.Contact:
        contact = self._contact(persona_id, contact_id)
        if not isinstance(change.alias, backend.Unset):
            theirs = None if contact.name == contact.alias else contact.name
            contact = replace(contact, alias=change.alias, name=change.alias or theirs)
        if not isinstance(change.verified, backend.Unset):
            contact = replace(contact, verified=change.verified)
        return self._change(contact)

    async def accept_contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        contact = self._contact(persona_id, contact_id)
        if contact.state != "request":
            return contact
        return self._change(contact, state="accepted", safety_code="54321 " * 12)

    async def ignore_contact(self, persona_id: str, contact_id: str) -> None:
        contact = self._contact(persona_id, contact_id)
        if contact.state != "request":
            raise backend.Conflict("Only a request can be ignored.")
        until = self._tick() + IGNORED_FOR
        self._ignored[persona_id, contact.pseudonym] = backend.Ignored(contact.pseudonym, until)
        await self.forget_conversation(contact.conversation)

    def ignored(self, persona_id: str) -> Sequence[backend.Ignored]:
        self._persona(persona_id)
        return [one for (persona, _), one in self._ignored.items() if persona == persona_id]

    async def heed(self, persona_id: str, pseudonym: str) -> None:
        self._persona(persona_id)
        if self._ignored.pop((persona_id, pseudonym), None) is None:
            raise backend.NotFound("This persona ignores no such stranger.")

    async def block_contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        contact = self._contact(persona_id, contact_id)
        if contact.state == "blocked":
            return contact
        self._blocked[contact_id] = contact.state
        return self._change(contact, state="blocked")

    async def unblock_contact(self, persona_id: str, contact_id: str) -> backend.Contact:
        contact = self._contact(persona_id, contact_id)
        if contact.state != "blocked":
            return contact
        return self._change(contact, state=self._blocked.pop(contact_id))

    def conversations(self) -> Sequence[backend.Conversation]:
        return [self._conversation(contact) for contact in self._contacts.values()]

    def _conversation(self, c: backend.Contact) -> backend.Conversation:
        history = self._messages[c.conversation]
        ids = [message.id for message in history]
        read = self._read.get(c.conversation)
        seen = ids.index(read) + 1 if read in ids else 0
        return backend.Conversation(
            id=c.conversation,
            persona=c.persona,
            contact=c.id,
            pseudonym=c.pseudonym,
            state=c.state,
            peer=c,
            unread=sum(not message.outgoing for message in history[seen:]),
            last=history[-1] if history else None,
            expires_after=self._expires_after.get(c.conversation),
        )

    def _of(self, conversation_id: str) -> backend.Contact:
        for contact in self._contacts.values():
            if contact.conversation == conversation_id:
                return contact
        raise backend.NotFound("There is no such conversation.")

    async def change_conversation(
        self, conversation_id: str, expires_after: int | None
    ) -> backend.Conversation:
        contact = self._of(conversation_id)
        self._expires_after[conversation_id] = expires_after
        return self._conversation(contact)

    async def forget_conversation(self, conversation_id: str) -> None:
        contact = self._of(conversation_id)
        self._forget(contact)
        self.events.publish(backend.Removed(contact.persona, conversation_id, None))
        if contact.state == "blocked":
            name = f"{contact.id}-again"
            self._blocked[name] = "request"
            bare = replace(contact, name=contact.alias, drawn_name=None, avatar=None)
            bare = replace(bare, verified=False, invited=False, price_bits=None)
            self._enter(replace(bare, id=name, conversation=name))

    def messages(
        self, conversation_id: str, before: str | None, limit: int
    ) -> Sequence[backend.Message]:
        self._of(conversation_id)
        history = self._messages[conversation_id]
        if before is not None:
            history = history[: history.index(self._message(conversation_id, before))]
        return history[-limit:]

    def _message(self, conversation_id: str, message_id: str) -> backend.Message:
        self._of(conversation_id)
        for message in self._messages[conversation_id]:
            if message.id == message_id:
                return message
        raise backend.NotFound("There is no such message.")

    async def mark_read(self, conversation_id: str, message_id: str) -> None:
        self._message(conversation_id, message_id)
        self._read[conversation_id] = message_id
        self.events.publish(self._of(conversation_id))

    async def remove_message(self, conversation_id: str, message_id: str) -> None:
        message = self._message(conversation_id, message_id)
        self._messages[conversation_id].remove(message)
        self._files.pop(message_id, None)
        self.events.forget(lambda data: getattr(data, "id", None) == message_id)
        self.events.publish(backend.Removed(message.persona, conversation_id, message_id))

    async def send(
        self, conversation_id: str, draft: backend.Draft | str, idempotency_key: str | None
    ) -> backend.Message:
        return self._send(conversation_id, draft, None, idempotency_key)

    async def send_file(
        self,
        conversation_id: str,
        draft: backend.Draft | str,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> backend.Message:
        safe = name if self.trusting else manifest.safe_name(name)
        file = backend.File(
            safe, len(content), media_type, "sending", 0, PIECES, media_type == "image/webp"
        )
        sent = backend.FileContent(file, content)
        return self._send(conversation_id, draft, sent, idempotency_key)

    async def send_picture(
        self,
        conversation_id: str,
        draft: backend.Draft,
        content: bytes,
        idempotency_key: str | None,
    ) -> backend.Message:
        picture_avatar(content)
        return await self.send_file(
            conversation_id, draft, content, "picture.webp", "image/webp", idempotency_key
        )

    async def file(self, conversation_id: str, message_id: str) -> backend.FileContent:
        message = self._message(conversation_id, message_id)
        if message.file is None:
            raise backend.NotFound("There is no such file.")
        if not message.outgoing and message.file.state != "whole":
            raise backend.Conflict("The file has not come yet.")
        return backend.FileContent(message.file, self._files[message_id].content)

    async def picture(self, conversation_id: str, message_id: str) -> backend.Picture:
        found = await self.file(conversation_id, message_id)
        if not found.file.picture:
            raise backend.Unsupported("This file is no picture.")
        return backend.Picture(found.content)

    async def search(
        self, text: str, persona_id: str | None, conversation_id: str | None, limit: int
    ) -> Sequence[backend.SearchHit]:
        if persona_id is not None:
            self._persona(persona_id)
        if conversation_id is not None:
            self._of(conversation_id)
        found = [
            backend.SearchHit(message, spans)
            for talk, history in self._messages.items()
            if conversation_id in (None, talk)
            for message in history
            if persona_id in (None, message.persona)
            and (spans := _spans(text.casefold(), message.text.casefold()))
        ]
        return sorted(found, key=lambda hit: hit.message.created, reverse=True)[:limit]

    async def export(self, conversation_id: str, form: str) -> backend.Attachment:
        self._of(conversation_id)
        history = self._messages[conversation_id]
        if form == "json":
            data = json.dumps({"messages": schema.render(history)}).encode()
            return backend.Attachment("conversation.json", "application/json", data)
        lines = "".join(f"{message.sender}: {message.text}\n" for message in history)
        return backend.Attachment("conversation.txt", "text/plain; charset=utf-8", lines.encode())

    def finish(self) -> None:
        """Let every file come to its end."""
        for history in self._messages.values():
            for place, message in enumerate(history):
                if message.file is not None and message.file.state != "whole":
                    whole = replace(message.file, state="whole", done=PIECES)
                    history[place] = replace(message, file=whole)
                    self._publish_status(history[place])

    def _publish_status(self, message: backend.Message) -> None:
        self.events.publish(
            backend.MessageStatus(
                message.id, message.conversation, message.persona, message.status, message.file
            )
        )

    def _send(
        self,
        conversation_id: str,
        given: backend.Draft | str,
        file: backend.FileContent | None,
        idempotency_key: str | None,
    ) -> backend.Message:
        contact = self._of(conversation_id)
        draft = backend.Draft(given) if isinstance(given, str) else given
        history = self._messages[conversation_id]
        made = None if idempotency_key is None else idempotency.message_id(idempotency_key)
        for known in history:
            if known.id == made:
                before = self._files.get(known.id)
                same = (before and before.content) == (file and file.content)
                if known.text != draft.text or not same:
                    raise backend.Conflict("This key was used for another message.")
                return known
        if contact.state == "blocked":
            raise backend.Unprocessable("This contact is blocked.")
        sent = self._made(contact, draft, file, made)
        self._add(sent, file)
        if contact.state == "request":
            self._change(contact, state="accepted")
        if self.echo:
            self._deliver(sent, file)
        return sent

    def _made(
        self,
        contact: backend.Contact,
        draft: backend.Draft,
        file: backend.FileContent | None,
        made: str | None,
    ) -> backend.Message:
        talk = contact.conversation
        persona = self._persona(contact.persona)
        after = draft.expires_after
        if isinstance(after, backend.Unset):
            after = self._expires_after.get(talk)
        reply = None
        if draft.reply_to is not None:
            answered = self._message(talk, draft.reply_to)
            reply = backend.Reply(answered.id, answered.outgoing, answered.text[:120])
        created = self._tick()
        return backend.Message(
            made or self._id("message"),
            talk,
            persona.id,
            persona.pseudonym,
            outgoing=True,
            text=draft.text,
            status="queued",
            request=not self._messages[talk],
            created=created,
            received=None,
            file=None if file is None else file.file,
            reply_to=reply,
            expires_after=after,
            expires=None if after is None else created + after * SECOND,
        )

    def _deliver(self, sent: backend.Message, file: backend.FileContent | None) -> None:
        if file is not None and not self.slow:
            self._later(0.2, self.finish)
        for place, state in enumerate(STATES, 1):
            self._later(0.5 * place, lambda state=state: self._advance(sent, state))  # type: ignore[misc]
        self._later(2.0, lambda: self._echo(sent, file))
        if sent.expires_after is not None:
            self._after(sent.expires_after, lambda: self._expire(sent))

    def _advance(self, sent: backend.Message, state: backend.MessageState) -> None:
        history = self._messages.get(sent.conversation, [])
        for place, message in enumerate(history):
            if message.id == sent.id:
                history[place] = replace(message, status=state)
                self._publish_status(history[place])

    def _expire(self, sent: backend.Message) -> None:
        history = self._messages.get(sent.conversation, [])
        history[:] = [message for message in history if message.id != sent.id]
        self.events.publish(backend.Removed(sent.persona, sent.conversation, sent.id))

    def _echo(self, sent: backend.Message, file: backend.FileContent | None) -> None:
        contacts = [c for c in self._contacts.values() if c.conversation == sent.conversation]
        if not contacts:
            return
        state: backend.FileState = "fetching" if self.slow else "whole"
        echo = replace(
            sent,
            id=self._id("message"),
            sender=contacts[0].pseudonym,
            outgoing=False,
            status="fetched",
            request=False,
            created=self._tick(),
            received=self._tick(),
            file=None if file is None else replace(file.file, state=state, done=1),
            reply_to=backend.Reply(sent.id, True, sent.text[:120]) if sent.reply_to else None,
            expires_after=None,
            expires=None,
        )
        self._add(echo, file)
        self.events.publish(echo)

    def _add(self, message: backend.Message, file: backend.FileContent | None) -> None:
        self._messages[message.conversation].append(message)
        if file is not None:
            self._files[message.id] = file


def _spans(looked_for: str, text: str) -> list[list[int]]:
    """The places of a text in a normal one, in code points; exact where folding keeps lengths."""
    wanted = unicodedata.normalize("NFKC", looked_for)
    found: list[list[int]] = []
    place = text.find(wanted)
    while wanted and place >= 0:
        found.append([place, place + len(wanted)])
        place = text.find(wanted, place + len(wanted))
    return found
