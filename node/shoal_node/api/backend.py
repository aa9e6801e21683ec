"""What the API needs of a running node: three protocols over ``values`` and ``errors``.

::

    Backend                 every node: status, peers, events
    └── Household           a person's process: lock, unlock, panic, settings
          └── person ──►    PersonBackend   while it is unlocked: personas, contacts,
                                            conversations, messages, path

Whoever implements them needs this module alone: the values and errors are named here, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from shoal_node.api import events, values
from shoal_node.api.errors import ApiError as ApiError
from shoal_node.api.errors import BadRequest as BadRequest
from shoal_node.api.errors import Conflict as Conflict
from shoal_node.api.errors import Gone as Gone
from shoal_node.api.errors import Locked as Locked
from shoal_node.api.errors import NotFound as NotFound
from shoal_node.api.errors import TooMany as TooMany
from shoal_node.api.errors import Unauthorized as Unauthorized
from shoal_node.api.errors import Unavailable as Unavailable
from shoal_node.api.errors import Unprocessable as Unprocessable
from shoal_node.api.errors import Unsupported as Unsupported
from shoal_node.api.values import EVENT_TYPES as EVENT_TYPES
from shoal_node.api.values import Attachment as Attachment
from shoal_node.api.values import Avatar as Avatar
from shoal_node.api.values import ClockEvidence as ClockEvidence
from shoal_node.api.values import Contact as Contact
from shoal_node.api.values import ContactState as ContactState
from shoal_node.api.values import Conversation as Conversation
from shoal_node.api.values import Dht as Dht
from shoal_node.api.values import EventData as EventData
from shoal_node.api.values import File as File
from shoal_node.api.values import FileContent as FileContent
from shoal_node.api.values import FileState as FileState
from shoal_node.api.values import HopInfo as HopInfo
from shoal_node.api.values import HopRole as HopRole
from shoal_node.api.values import Ignored as Ignored
from shoal_node.api.values import Invite as Invite
from shoal_node.api.values import Latency as Latency
from shoal_node.api.values import Link as Link
from shoal_node.api.values import LockState as LockState
from shoal_node.api.values import Message as Message
from shoal_node.api.values import MessageState as MessageState
from shoal_node.api.values import MessageStatus as MessageStatus
from shoal_node.api.values import Month as Month
from shoal_node.api.values import NetworkState as NetworkState
from shoal_node.api.values import PeerInfo as PeerInfo
from shoal_node.api.values import Persona as Persona
from shoal_node.api.values import Picture as Picture
from shoal_node.api.values import Reach as Reach
from shoal_node.api.values import Removed as Removed
from shoal_node.api.values import Reply as Reply
from shoal_node.api.values import Role as Role
from shoal_node.api.values import SearchHit as SearchHit
from shoal_node.api.values import SelfCheck as SelfCheck
from shoal_node.api.values import Settings as Settings
from shoal_node.api.values import Status as Status
from shoal_node.api.values import Ticket as Ticket
from shoal_node.api.values import Token as Token
from shoal_node.api.values import Traffic as Traffic

Hub: TypeAlias = events.Hub[EventData]


class Unset:
    """The type of :data:`UNSET`: a field that a change leaves out."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be sent beside a text or a file."""

    text: str
    reply_to: str | None = None  # a message's id
    expires_after: int | Unset | None = UNSET  # s; UNSET: as the conversation says


@dataclass(frozen=True, slots=True)
class PersonaChange:
    """What is to be changed of a persona; UNSET leaves it."""

    name: str | Unset | None = UNSET
    random: bool = False  # draw a name and an avatar
    momo: bool = False  # no name, no avatar
    avatar: bytes | Sequence[int] | Unset | None = UNSET  # a picture's bytes, or four numbers
    receipts: bool | Unset = UNSET


@dataclass(frozen=True, slots=True)
class ContactChange:
    """What is to be changed of a contact; UNSET leaves it."""

    alias: str | Unset | None = UNSET
    verified: bool | Unset = UNSET


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What is to be changed of the settings; UNSET leaves it."""

    preset: values.PresetName | Unset = UNSET
    language: values.Language | Unset = UNSET
    theme: values.Theme | Unset = UNSET
    receipts_default: bool | Unset = UNSET
    fresh_persona: bool | Unset = UNSET
    persona_slots: int | Unset = UNSET


class Backend(Protocol):
    """What every node answers. All methods return at once from memory."""

    @property
    def events(self) -> Hub:
        """The hub on which this node publishes :data:`EventData`."""

    def status(self) -> Status:
        """What the node sees now."""

    def peers(self) -> Sequence[PeerInfo]:
        """The nodes that this one holds, or tries to hold, links to."""

    def drain(self) -> None:
        """Begin to leave the network in good order; NotFound for a person's node."""

    def cancel_drain(self) -> None:
        """Stay after all; NotFound for a person's node."""

    def self_check(self) -> SelfCheck:
        """What a relay knows of its own place; NotFound for a person's node."""

    def check_reach(self) -> None:
        """Ask others anew whether they reach this relay; NotFound for a person's node."""


class PersonBackend(Protocol):
    """What a person's node answers while it is unlocked; ids are opaque text made by the node.

    Every method that takes an id raises :class:`NotFound` when there is no such thing. What
    changes something returns once that is durable.
    """

    async def settle(self) -> None:
        """Return once what the node knows is durable, or after a second: reads come after it."""

    def path(self) -> Sequence[HopInfo]:
        """The hops of the latest envelope in order; empty before the first."""

    def personas(self) -> Sequence[Persona]:
        """All personas, oldest first."""

    async def create_persona(
        self, name: str | None, ephemeral: bool, *, random: bool = False
    ) -> Persona:
        """Make a persona and begin to announce it; raises Conflict when there are too many.

        Args:
            random: draw a name and an avatar; without it and a name it is a momo.
        """

    async def change_persona(self, persona_id: str, change: PersonaChange) -> Persona:
        """Change how a persona shows itself; contacts are told with the next message.

        Raises Unsupported for bytes that are no picture.
        """

    async def burn_persona(self, persona_id: str) -> None:
        """Forget the persona, its keys and its conversations for good."""

    def contacts(self, persona_id: str) -> Sequence[Contact]:
        """The persona's contacts, oldest first."""

    async def add_contact(self, persona_id: str, pseudonym: str) -> Contact:
        """Add a contact by pseudonym; adding the same again returns the one there is.

        Returns at once: looking the pseudonym up happens when the first message is sent.
        Raises Unprocessable for a text that is no pseudonym, or is the persona's own.
        """

    async def use_invite(self, persona_id: str, code: str) -> Contact:
        """Add the contact who made an invite, by its code or link.

        Raises Unprocessable for a text that is none, or of another network, or expired.
        """

    async def change_contact(
        self, persona_id: str, contact_id: str, change: ContactChange
    ) -> Contact:
        """Change what the person says of a contact, here only."""

    async def accept_contact(self, persona_id: str, contact_id: str) -> Contact:
        """Accept a request; an accepted contact stays as it is."""

    async def ignore_contact(self, persona_id: str, contact_id: str) -> None:
        """Forget a request silently; Conflict when it is none."""

    def ignored(self, persona_id: str) -> Sequence[Ignored]:
        """The strangers that the persona ignores, those of longest ago first."""

    async def heed(self, persona_id: str, pseudonym: str) -> None:
        """Ignore a stranger no more; raises NotFound for one that is not ignored."""

    async def block_contact(self, persona_id: str, contact_id: str) -> Contact:
        """Drop whatever comes of this contact, unanswered, from now on."""

    async def unblock_contact(self, persona_id: str, contact_id: str) -> Contact:
        """Undo :meth:`block_contact`."""

    async def invites(self, persona_id: str) -> Sequence[Invite]:
        """The persona's invites, oldest first."""

    async def make_invite(self, persona_id: str) -> Invite:
        """Make an invite; raises Conflict when there are too many."""

    async def cancel_invite(self, persona_id: str, invite_id: str) -> None:
        """Wait for nobody by this invite any more."""

    def conversations(self) -> Sequence[Conversation]:
        """All personas' conversations, oldest first."""

    async def change_conversation(
        self, conversation_id: str, expires_after: int | None
    ) -> Conversation:
        """Set after how many seconds new messages disappear, None for never."""

    async def forget_conversation(self, conversation_id: str) -> None:
        """Forget a conversation and its contact."""

    def messages(self, conversation_id: str, before: str | None, limit: int) -> Sequence[Message]:
        """At most ``limit`` messages, newest last: the last ones, or those before an id."""

    async def mark_read(self, conversation_id: str, message_id: str) -> None:
        """Note that the person saw everything up to a message, and tell it where both want it."""

    async def remove_message(self, conversation_id: str, message_id: str) -> None:
        """Forget a message with its file, here only."""

    async def send(
        self,
        conversation_id: str,
        draft: Draft | str,
        idempotency_key: str | None,
    ) -> Message:
        """Queue a message and return it with status ``queued``; the text is kept exactly.

        The same key with the same conversation and text returns the first call's message
        (see ``idempotency``). Raises Conflict for the same key with anything else,
        Unprocessable for a text that is too long, Unavailable when the queue is full.
        """

    async def send_file(
        self,
        conversation_id: str,
        draft: Draft | str,
        content: bytes,
        name: str,
        media_type: str,
        idempotency_key: str | None,
    ) -> Message:
        """Queue a message with a file; the text may be empty.

        The name is made safe, and a media type that is none becomes
        ``application/octet-stream``. Keys and errors as of :meth:`send`; the same key with
        the same text and content returns the first call's message.
        """

    async def send_picture(
        self, conversation_id: str, draft: Draft, content: bytes, idempotency_key: str | None
    ) -> Message:
        """Queue a message with a picture, decoded and encoded anew without anything beside it.

        Raises Unsupported or Unprocessable for bytes that are no picture, or too large a one.
        """

    async def file(self, conversation_id: str, message_id: str) -> FileContent:
        """Return a message's file: of one's own at any time, of others once it is whole.

        Raises NotFound for a message without a file, Conflict while it is not here.
        """

    async def picture(self, conversation_id: str, message_id: str) -> Picture:
        """Return a message's picture, decoded and encoded anew; errors as of :meth:`file`.

        Raises Unsupported for a file that is no picture.
        """

    async def search(
        self, text: str, persona_id: str | None, conversation_id: str | None, limit: int
    ) -> Sequence[SearchHit]:
        """At most ``limit`` messages that hold ``text``, newest first."""

    async def export(self, conversation_id: str, form: str) -> Attachment:
        """Return a whole conversation as ``json`` or ``text``."""

    async def backup(self, passphrase: str) -> Attachment:
        """Return everything that is kept, encrypted under a passphrase."""

    def linkability(self) -> Sequence[Link]:
        """What would let an observer take two personas for one person's."""


class Household(Backend, Protocol):
    """A person's process, locked or not."""

    @property
    def person(self) -> PersonBackend:
        """The person's node; raises :class:`Locked` while there is none."""

    def lock_state(self) -> LockState:
        """Whether the store is open."""

    async def unlock(self, passphrase: str | None) -> LockState:
        """Open the store and start the person's node; an open one stays as it is.

        An empty home gets a fresh store, under this passphrase or under none. Raises
        Unprocessable for a wrong, missing or unneeded passphrase, TooMany for the next
        attempt too soon.
        """

    async def lock(self) -> LockState:
        """Stop the person's node and forget its keys; ephemeral personas are gone."""

    async def panic(self) -> None:
        """Destroy the store's keys, then the store, then whatever else tells of the person."""

    async def change_passphrase(self, old: str | None, new: str | None) -> LockState:
        """Encrypt the open store under another passphrase, or under none."""

    def settings(self) -> Settings:
        """What the person chose."""

    async def change_settings(self, change: SettingsChange) -> Settings:
        """Change it durably; another preset starts the person's node anew."""
