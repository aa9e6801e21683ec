"""The API's table: every route with its types, what it takes and what answers it.

::

    Endpoint(method, path, handler, body, query, answer)
        ├── app       parses query and body by their types, calls the handler, renders
        ├── openapi   describes it
        └── guard     bounds its body: JSON of 64 KiB, or a file's bytes

The events' WebSocket is the one route beside, with :class:`Since` and :class:`EventFrame`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from shoal_node.api import backend, guard
from shoal_protocol.files.layout import MAX_FILE_LENGTH
from shoal_protocol.files.manifest import ANY_MEDIA_TYPE
from shoal_protocol.wire import Range, Size

BASE: Final = "/api/v1"
MAX_TEXT: Final = 32_768  # bytes of UTF-8; the node may allow less
MAX_FILE_TEXT: Final = 4096  # bytes of UTF-8 of a text that goes with a file, in the query
MAX_PAGE: Final = 500  # messages in one answer

JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"
PROBLEM_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class NewPersona:
    """A persona to make; both fields may be left out."""

    name: Annotated[str, Size(1, 64)] | None = None
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact to add by pseudonym."""

    pseudonym: Annotated[str, Size(1, 512)]


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to send; the text is kept exactly."""

    text: Annotated[str, Size(1, MAX_TEXT)]


@dataclass(frozen=True, slots=True)
class NewFile:
    """What goes with a file: its name, made safe by the node, and perhaps a text."""

    name: Annotated[str, Size(1, 255)]
    media_type: Annotated[str, Size(1, 128)] = ANY_MEDIA_TYPE
    text: Annotated[str, Size(0, MAX_FILE_TEXT)] = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Which messages: at most ``limit``, those before the message ``before`` if given."""

    before: Annotated[str, Size(1, 128)] | None = None
    limit: Annotated[int, Range(1, MAX_PAGE)] = 100


@dataclass(frozen=True, slots=True)
class Since:
    """From which event on: the ``seq`` of the last one seen."""

    since: Annotated[int, Range(0, 2**53 - 1)] | None = None


@dataclass(frozen=True, slots=True)
class NoQuery:
    """A call without parameters."""


@dataclass(frozen=True, slots=True)
class EventFrame:
    """One frame of the events' WebSocket."""

    seq: int
    type: str
    data: backend.EventData


@dataclass(frozen=True, slots=True)
class Call:
    """One parsed request, as a handler sees it."""

    node: backend.Backend
    person: backend.PersonBackend | None
    ids: Mapping[str, str]
    query: Any
    body: Any
    key: str | None  # Idempotency-Key

    @property
    def owner(self) -> backend.PersonBackend:
        """The person's node; raises NotFound on a relay."""
        if self.person is None:
            raise backend.NotFound("This node is a relay: it has no personas.")
        return self.person


Handler = Callable[[Call], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the API's table."""

    method: str
    path: str  # below BASE
    summary: str
    handler: Handler
    answer: Any  # type of the answer, None for no content
    status: int = 200
    body: type | None = None  # bytes: as they come, up to MAX_FILE_LENGTH
    query: type = NoQuery


async def _status(call: Call) -> object:
    return call.node.status()


async def _peers(call: Call) -> object:
    return call.node.peers()


async def _path(call: Call) -> object:
    return call.owner.path()


async def _personas(call: Call) -> object:
    return call.owner.personas()


async def _create_persona(call: Call) -> object:
    return await call.owner.create_persona(call.body.name, call.body.ephemeral)


async def _burn_persona(call: Call) -> object:
    await call.owner.burn_persona(call.ids["persona"])
    return None


async def _contacts(call: Call) -> object:
    return call.owner.contacts(call.ids["persona"])


async def _add_contact(call: Call) -> object:
    return await call.owner.add_contact(call.ids["persona"], call.body.pseudonym)


async def _conversations(call: Call) -> object:
    return call.owner.conversations()


async def _messages(call: Call) -> object:
    return call.owner.messages(call.ids["conversation"], call.query.before, call.query.limit)


async def _send(call: Call) -> object:
    return await call.owner.send(call.ids["conversation"], call.body.text, call.key)


async def _send_file(call: Call) -> object:
    query: NewFile = call.query
    return await call.owner.send_file(
        call.ids["conversation"], query.text, call.body, query.name, query.media_type, call.key
    )


async def _file(call: Call) -> object:
    return await call.owner.file(call.ids["conversation"], call.ids["message"])


ENDPOINTS: Final = (
    Endpoint("GET", "/status", "What the node sees", _status, backend.Status),
    Endpoint("GET", "/peers", "Nodes linked to", _peers, Sequence[backend.PeerInfo]),
    Endpoint("GET", "/path", "Hops of the latest envelope", _path, Sequence[backend.HopInfo]),
    Endpoint("GET", "/personas", "All personas", _personas, Sequence[backend.Persona]),
    Endpoint(
        "POST",
        "/personas",
        "Make a persona",
        _create_persona,
        backend.Persona,
        status=201,
        body=NewPersona,
    ),
    Endpoint("DELETE", "/personas/{persona}", "Burn a persona", _burn_persona, None, status=204),
    Endpoint(
        "GET",
        "/personas/{persona}/contacts",
        "A persona's contacts",
        _contacts,
        Sequence[backend.Contact],
    ),
    Endpoint(
        "POST",
        "/personas/{persona}/contacts",
        "Add a contact",
        _add_contact,
        backend.Contact,
        status=201,
        body=NewContact,
    ),
    Endpoint(
        "GET",
        "/conversations",
        "All conversations",
        _conversations,
        Sequence[backend.Conversation],
    ),
    Endpoint(
        "GET",
        "/conversations/{conversation}/messages",
        "Messages, newest last",
        _messages,
        Sequence[backend.Message],
        query=Page,
    ),
    Endpoint(
        "POST",
        "/conversations/{conversation}/messages",
        "Send a message; idempotent by Idempotency-Key",
        _send,
        backend.Message,
        status=202,
        body=NewMessage,
    ),
    Endpoint(
        "POST",
        "/conversations/{conversation}/files",
        "Send a file, the body, with a text or none; idempotent by Idempotency-Key",
        _send_file,
        backend.Message,
        status=202,
        body=bytes,
        query=NewFile,
    ),
    Endpoint(
        "GET",
        "/conversations/{conversation}/messages/{message}/file",
        "The bytes of a message's file",
        _file,
        backend.FileContent,
    ),
)

_FILE_BODY: Final = guard.BodyRule(
    (BYTES_TYPE.encode(),),
    MAX_FILE_LENGTH,
    f"A file may have at most {MAX_FILE_LENGTH // 2**20} MiB.",
)
_FILE_PATHS: Final = tuple(
    re.compile(re.sub(r"\{\w+\}", "[^/]+", BASE + row.path))
    for row in ENDPOINTS
    if row.body is bytes
)


def body_rule(path: str) -> guard.BodyRule:
    """Return what the body of a call to ``path`` may be."""
    if any(pattern.fullmatch(path) for pattern in _FILE_PATHS):
        return _FILE_BODY
    return guard.JSON_BODY
