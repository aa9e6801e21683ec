"""The API's table: every route with its types, what it takes and what answers it.

::

    Endpoint(method, path, handler, body, query, answer)
        ├── app       parses query and body by their types, calls the handler, renders
        ├── openapi   describes it
        └── guard     bounds its body: JSON of 64 KiB, a file's bytes, a picture's

The events' WebSocket is the one route beside, with ``Since`` and :class:`EventFrame`.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shoal_node.api import backend, bodies, guard, handlers
from shoal_node.api.handlers import Call
from shoal_protocol.files.layout import MAX_FILE_LENGTH

BASE: Final = "/api/v1"

JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"
PICTURE_TYPE: Final = "image/webp"
PROBLEM_TYPE: Final = "application/problem+json"

Handler = Callable[[Call], Awaitable[object]]

_FILE: Final = guard.BodyRule(
    (BYTES_TYPE.encode(),),
    MAX_FILE_LENGTH,
    f"A file may have at most {MAX_FILE_LENGTH // 2**20} MiB.",
)
_PICTURE: Final = guard.BodyRule(
    (b"image/webp", b"image/png", b"image/jpeg", b"image/gif"),
    MAX_FILE_LENGTH,
    f"A picture may have at most {MAX_FILE_LENGTH // 2**20} MiB.",
)
_AVATAR: Final = guard.BodyRule(
    guard.JSON_BODY.media_types,
    bodies.MAX_AVATAR + guard.MAX_BODY,
    f"A picture may have at most {bodies.MAX_AVATAR // 2**20} MiB in base64.",
)


@dataclass(frozen=True, slots=True)
class EventFrame:
    """One frame of the events' WebSocket."""

    seq: int
    type: str
    data: backend.EventData


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the API's table."""

    method: str
    path: str  # below BASE
    summary: str
    handler: Handler
    answer: Any = None  # type of the answer, None for no content
    status: int = 200
    body: type | None = None  # bytes: as they come
    query: type = bodies.NoQuery
    takes: guard.BodyRule = guard.JSON_BODY
    sent_as: tuple[str, ...] = (BYTES_TYPE,)  # media types of an answer that is bytes


PANIC: Final = "/panic"
_PERSONA: Final = "/personas/{persona}"
_CONTACT: Final = _PERSONA + "/contacts/{contact}"
_TALK: Final = "/conversations/{conversation}"
_MESSAGE: Final = _TALK + "/messages/{message}"

_NODE: Final = (
    Endpoint("GET", "/status", "What the node sees", handlers.status, backend.Status),
    Endpoint("GET", "/peers", "Nodes linked to", handlers.peers, Sequence[backend.PeerInfo]),
    Endpoint(
        "POST",
        "/drain",
        "Have a relay hand on what it keeps and end; its status says how far it is",
        handlers.drain,
        status=202,
        body=bodies.NoBody,
    ),
    Endpoint(
        "DELETE",
        "/drain",
        "Have a relay that drains stay; its status says when it does",
        handlers.cancel_drain,
        status=202,
    ),
    Endpoint("GET", "/self-check", "A relay's own place", handlers.self_check, backend.SelfCheck),
    Endpoint(
        "POST",
        "/self-check",
        "Have a relay ask others anew whether they reach it",
        handlers.check_reach,
        status=202,
        body=bodies.NoBody,
    ),
    Endpoint(
        "GET", "/path", "Hops of the latest envelope", handlers.path, Sequence[backend.HopInfo]
    ),
    Endpoint("GET", "/lock", "Whether the store is open", handlers.lock_state, backend.LockState),
    Endpoint(
        "POST",
        "/unlock",
        "Open the store; attempts are limited",
        handlers.unlock,
        backend.LockState,
        body=bodies.Unlock,
    ),
    Endpoint(
        "POST",
        "/lock",
        "Close the store and forget its keys",
        handlers.lock,
        backend.LockState,
        body=bodies.NoBody,
    ),
    Endpoint(
        "POST",
        PANIC,
        "Destroy the store, its keys first, and end the node",
        handlers.panic,
        status=204,
        body=bodies.Panic,
    ),
    Endpoint(
        "POST",
        "/passphrase",
        "Set, change or remove the store's passphrase",
        handlers.change_passphrase,
        backend.LockState,
        body=bodies.NewPassphrase,
    ),
    Endpoint(
        "POST",
        "/tickets",
        "A one-time ticket for the token, good for a minute unless told otherwise",
        handlers.issue_ticket,
        backend.Ticket,
        status=201,
        body=bodies.NewTicket,
    ),
    Endpoint(
        "POST",
        "/ticket",
        "Redeem a ticket for the token, which this call needs not",
        handlers.redeem_ticket,
        backend.Token,
        body=bodies.TicketToRedeem,
    ),
    Endpoint("GET", "/settings", "What the person chose", handlers.settings, backend.Settings),
    Endpoint(
        "PATCH",
        "/settings",
        "Change settings",
        handlers.change_settings,
        backend.Settings,
        body=bodies.SettingsPatch,
    ),
)

_PEOPLE: Final = (
    Endpoint("GET", "/personas", "All personas", handlers.personas, Sequence[backend.Persona]),
    Endpoint(
        "POST",
        "/personas",
        "Make a persona",
        handlers.create_persona,
        backend.Persona,
        status=201,
        body=bodies.NewPersona,
    ),
    Endpoint(
        "PATCH",
        _PERSONA,
        "Change how a persona shows itself",
        handlers.change_persona,
        backend.Persona,
        body=bodies.PersonaPatch,
        takes=_AVATAR,
    ),
    Endpoint("DELETE", _PERSONA, "Burn a persona", handlers.burn_persona, status=204),
    Endpoint(
        "GET",
        f"{_PERSONA}/contacts",
        "A persona's contacts",
        handlers.contacts,
        Sequence[backend.Contact],
    ),
    Endpoint(
        "POST",
        f"{_PERSONA}/contacts",
        "Add a contact by pseudonym or invite",
        handlers.add_contact,
        backend.Contact,
        status=201,
        body=bodies.NewContact,
    ),
    Endpoint(
        "PATCH",
        _CONTACT,
        "Change what is said of a contact, here only",
        handlers.change_contact,
        backend.Contact,
        body=bodies.ContactPatch,
    ),
    Endpoint(
        "POST",
        f"{_CONTACT}/accept",
        "Accept a request",
        handlers.accept_contact,
        backend.Contact,
        body=bodies.NoBody,
    ),
    Endpoint(
        "POST",
        f"{_CONTACT}/ignore",
        "Forget a request silently",
        handlers.ignore_contact,
        status=204,
        body=bodies.NoBody,
    ),
    Endpoint(
        "GET",
        f"{_PERSONA}/ignored",
        "Strangers whose requests are ignored",
        handlers.ignored,
        Sequence[backend.Ignored],
    ),
    Endpoint(
        "DELETE",
        f"{_PERSONA}/ignored/{{pseudonym}}",
        "Ignore a stranger no more",
        handlers.heed,
        status=204,
    ),
    Endpoint(
        "POST",
        f"{_CONTACT}/block",
        "Drop whatever comes of a contact",
        handlers.block_contact,
        backend.Contact,
        body=bodies.NoBody,
    ),
    Endpoint(
        "POST",
        f"{_CONTACT}/unblock",
        "Take in what comes of a contact again",
        handlers.unblock_contact,
        backend.Contact,
        body=bodies.NoBody,
    ),
    Endpoint(
        "GET",
        f"{_PERSONA}/invites",
        "A persona's invites",
        handlers.invites,
        Sequence[backend.Invite],
    ),
    Endpoint(
        "POST",
        f"{_PERSONA}/invites",
        "Make an invite",
        handlers.make_invite,
        backend.Invite,
        status=201,
        body=bodies.NoBody,
    ),
    Endpoint(
        "DELETE",
        f"{_PERSONA}/invites/{{invite}}",
        "Cancel an invite",
        handlers.cancel_invite,
        status=204,
    ),
    Endpoint(
        "GET",
        "/linkability",
        "What would link two personas",
        handlers.linkability,
        Sequence[backend.Link],
    ),
    Endpoint(
        "POST",
        "/backup",
        "Everything that is kept, encrypted",
        handlers.backup,
        backend.Attachment,
        body=bodies.NewBackup,
    ),
)

_TALKS: Final = (
    Endpoint(
        "GET",
        "/conversations",
        "All conversations",
        handlers.conversations,
        Sequence[backend.Conversation],
    ),
    Endpoint(
        "PATCH",
        _TALK,
        "When new messages disappear",
        handlers.change_conversation,
        backend.Conversation,
        body=bodies.ConversationPatch,
    ),
    Endpoint(
        "DELETE",
        _TALK,
        "Forget a conversation and its contact",
        handlers.forget_conversation,
        status=204,
    ),
    Endpoint(
        "GET",
        f"{_TALK}/messages",
        "Messages, newest last",
        handlers.messages,
        Sequence[backend.Message],
        query=bodies.Page,
    ),
    Endpoint(
        "POST",
        f"{_TALK}/messages",
        "Send a message; idempotent by Idempotency-Key",
        handlers.send,
        backend.Message,
        status=202,
        body=bodies.NewMessage,
    ),
    Endpoint(
        "POST",
        f"{_TALK}/read",
        "Mark everything up to a message as read",
        handlers.mark_read,
        status=204,
        body=bodies.ReadUpTo,
    ),
    Endpoint("DELETE", _MESSAGE, "Forget a message, here", handlers.remove_message, status=204),
    Endpoint(
        "POST",
        f"{_TALK}/files",
        "Send a file, the body, with a text or none; idempotent by Idempotency-Key",
        handlers.send_file,
        backend.Message,
        status=202,
        body=bytes,
        query=bodies.NewFile,
        takes=_FILE,
    ),
    Endpoint(
        "POST",
        f"{_TALK}/pictures",
        "Send a picture, the body, encoded anew; idempotent by Idempotency-Key",
        handlers.send_picture,
        backend.Message,
        status=202,
        body=bytes,
        query=bodies.NewPicture,
        takes=_PICTURE,
    ),
    Endpoint(
        "GET",
        f"{_MESSAGE}/file",
        "The bytes of a message's file",
        handlers.file,
        backend.FileContent,
    ),
    Endpoint(
        "GET",
        f"{_MESSAGE}/picture",
        "A message's picture, encoded anew",
        handlers.picture,
        backend.Picture,
    ),
    Endpoint(
        "GET",
        f"{_TALK}/export",
        "A conversation to be saved",
        handlers.export,
        backend.Attachment,
        query=bodies.ExportForm,
        sent_as=("text/plain", JSON_TYPE),
    ),
    Endpoint(
        "GET",
        "/search",
        "Messages that hold a text, newest first",
        handlers.search,
        Sequence[backend.SearchHit],
        query=bodies.Query,
    ),
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (*_NODE, *_PEOPLE, *_TALKS)

TOKENLESS: Final = (f"{BASE}/ticket",)

_OTHER_BODIES: Final = tuple(
    (re.compile(re.sub(r"\{\w+\}", "[^/]+", BASE + row.path)), row.takes)
    for row in ENDPOINTS
    if row.takes is not guard.JSON_BODY
)


def body_rule(path: str) -> guard.BodyRule:
    """Return what the body of a call to ``path`` may be."""
    for pattern, rule in _OTHER_BODIES:
        if pattern.fullmatch(path):
            return rule
    return guard.JSON_BODY
