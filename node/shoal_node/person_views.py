"""A person's personas, contacts and messages as the API shows them.

::

    Persona, Correspondence, Message of the machine ─► backend.Persona, Contact, Message

Shown names that look alike are found among the contacts of one persona; a tag is four letters
from both pseudonyms, the same at both ends, so that two contacts of one name can be told apart.
"""

import functools
from dataclasses import replace
from typing import Final, Literal

from shoal_node import lookalikes, names, person_files
from shoal_node.api import backend
from shoal_node.person_avatars import Avatars
from shoal_protocol import crypto
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.client.history import Message, MessageState
from shoal_protocol.client.personas import Persona
from shoal_protocol.pseudonyms import address
from shoal_protocol.sessions import safety

REPLY_LENGTH: Final = 120  # code points of what is answered
TAG_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # none that looks like a digit


class Views:
    """Shows what the machine knows.

    Args:
        files: how files are shown.
        avatars: how avatars are shown.
        network: the network parameters' hash, 32 bytes.
    """

    def __init__(self, files: person_files.PersonFiles, avatars: Avatars, network: bytes) -> None:
        self._files = files
        self._avatars = avatars
        self._network = network

    def persona(self, persona: Persona) -> backend.Persona:
        """Show a persona."""
        profile = persona.profile
        return backend.Persona(
            id=persona.id,
            pseudonym=_address(persona.secrets.pseudonym),
            created=persona.created,
            name=None if profile is None else profile.name,
            drawn_name=None if profile is None else profile.drawn_name,
            avatar=None if profile is None else self._avatars.own(profile.avatar),
            ephemeral=not persona.kept,
            receipts=persona.receipts,
        )

    def contact(self, persona: Persona, correspondence: Correspondence) -> backend.Contact:
        """Show the contact of a conversation."""
        return self.contacts(persona, [correspondence])[0]

    def contacts(
        self, persona: Persona, correspondences: list[Correspondence]
    ) -> list[backend.Contact]:
        """Show contacts of one persona."""
        groups: dict[str, list[str]] = {}
        for one in persona.conversations.values():
            name = shown_name(one)
            if name is not None:
                groups.setdefault(_skeleton(name), []).append(one.id)
        return [self._contact(persona, one, groups) for one in correspondences]

    def _contact(
        self, persona: Persona, one: Correspondence, groups: dict[str, list[str]]
    ) -> backend.Contact:
        own = persona.secrets.pseudonym
        profile = one.profile
        name = shown_name(one)
        alike = [] if name is None else groups.get(_skeleton(name), [])
        return backend.Contact(
            id=one.id,
            persona=persona.id,
            conversation=one.id,
            pseudonym=_address(one.pseudonym),
            state=contact_state(one),
            safety_code=safety_code(own, one.pseudonym, self._network) if one.agreed else None,
            name=one.alias or (None if profile is None else profile.name),
            drawn_name=None if profile is None else profile.drawn_name,
            avatar=None if profile is None else self._avatars.theirs(profile.avatar),
            alias=one.alias,
            verified=one.verified,
            tag=tag(own, one.pseudonym, self._network),
            invited=one.invited,
            price_bits=one.price_bits,
            withheld=one.pending and one.agreed and not any(not m.outgoing for m in one.history),
            lookalikes=tuple(other for other in alike if other != one.id),
            poses_as=_posing(persona, one),
        )

    def conversations(self, persona: Persona) -> list[backend.Conversation]:
        """Show all conversations of a persona, oldest first."""
        talks = list(persona.conversations.values())
        peers = self.contacts(persona, talks)
        return [self._conversation(persona, *pair) for pair in zip(talks, peers, strict=True)]

    def conversation(
        self, persona: Persona, correspondence: Correspondence
    ) -> backend.Conversation:
        """Show a conversation with its contact and its last message."""
        peer = self.contact(persona, correspondence)
        return self._conversation(persona, correspondence, peer)

    def _conversation(
        self, persona: Persona, correspondence: Correspondence, peer: backend.Contact
    ) -> backend.Conversation:
        last = next(reversed(correspondence.history), None)
        return backend.Conversation(
            id=correspondence.id,
            persona=persona.id,
            contact=correspondence.id,
            pseudonym=peer.pseudonym,
            state=peer.state,
            peer=peer,
            unread=correspondence.unread,
            last=None if last is None else self.message(persona, correspondence, last),
            expires_after=correspondence.expires_s,
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
            sender=_address(sender),
            outgoing=message.outgoing,
            text=message.text,
            status=STATES[message.state],
            request=message.request,
            created=message.created,
            received=message.received,
            file=self._files.show(message) if file is None else file,
            reply_to=_reply(correspondence, message),
            expires_after=message.expires_s,
            expires=message.expires,
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


def contact_state(one: Correspondence) -> backend.ContactState:
    """Return what a contact is; whoever made the invite that was used has accepted by it."""
    return "accepted" if one.invited and one.state == "requested" else one.state


def shown_name(correspondence: Correspondence) -> str | None:
    """Return what a contact is shown as, for comparing; None for one without a name."""
    if correspondence.alias is not None:
        return correspondence.alias
    profile = correspondence.profile
    if profile is None or (profile.name is None and profile.drawn_name is None):
        return None
    return names.shown(profile.name, profile.drawn_name, "en")


def _reply(correspondence: Correspondence, message: Message) -> backend.Reply | None:
    reply = message.reply
    if reply is None:
        return None
    answered = None if reply.message is None else correspondence.history.get(reply.message)
    if answered is None:
        return backend.Reply(None, reply.outgoing, None)
    return backend.Reply(answered.id, reply.outgoing, answered.text[:REPLY_LENGTH])


def unquoted(message_id: str, data: backend.EventData) -> backend.EventData:
    """Return an event without the words of a message that is gone, where it quotes them."""
    if not isinstance(data, backend.Message) or data.reply_to is None:
        return data
    if data.reply_to.id != message_id:
        return data
    return replace(data, reply_to=backend.Reply(None, data.reply_to.outgoing, None))


def _posing(persona: Persona, one: Correspondence) -> Literal["me", "momo"] | None:
    """Return whom a contact's own words pass for; None where the person gave it a name."""
    if one.alias is not None or one.profile is None or one.profile.name is None:
        return None
    mine = persona.profile
    own: set[str] = set()
    if mine is not None and (mine.name is not None or mine.drawn_name is not None):
        own = {names.shown(mine.name, mine.drawn_name, each) for each in names.LANGUAGES}
    return lookalikes.poses_as(one.profile.name, own)


_address = functools.lru_cache(maxsize=8192)(address.encode)
_skeleton = functools.lru_cache(maxsize=8192)(lookalikes.skeleton)


@functools.lru_cache(maxsize=4096)
def tag(one: bytes, other: bytes, network: bytes) -> str:
    """Return the four letters of two pseudonyms, the same in either order."""
    first, second = sorted((one, other))
    number = int.from_bytes(crypto.kdf(b"contact tag", first, second, network, size=8), "big")
    letters = ""
    for _ in range(4):
        number, place = divmod(number, len(TAG_LETTERS))
        letters += TAG_LETTERS[place]
    return letters


def forget() -> None:
    """Forget every name and pseudonym that was shown."""
    for remembered in (_address, _skeleton, tag, safety_code):
        remembered.cache_clear()


@functools.lru_cache(maxsize=1024)
def safety_code(one: bytes, other: bytes, network: bytes) -> str:
    """Return what two people compare; remembered, since it takes a while."""
    return safety.safety_code(one, other, network)
