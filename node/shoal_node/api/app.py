"""The API's routes over a node: one table, served by Starlette and described by OpenAPI.

::

    guard ──> route ──> query, body ──parse──> handler(call) ──> answer ──render──> JSON
                                                  └── ApiError ──> problem document

Every route is one row of :data:`ENDPOINTS`; its types make its validation, its answer and
its entry in ``/api/v1/openapi.json``. The events' WebSocket is the one route beside.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from shoal_node import supervisor
from shoal_node.api import backend, events, guard, schema
from shoal_protocol.wire import Range, Size

BASE: Final = "/api/v1"
BODY_TIMEOUT: Final = 10.0  # s for the whole body
MAX_TEXT: Final = 32_768  # bytes of UTF-8; the node may allow less
MAX_PAGE: Final = 500  # messages in one answer

JSON_TYPE: Final = "application/json"
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
    body: type | None = None
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
)


def create_app(
    node: backend.Backend,
    person: backend.PersonBackend | None,
    *,
    token: str,
    hosts: Sequence[str],
) -> guard.Guard:
    """Return the guarded ASGI application over a node.

    Args:
        node: any node.
        person: the same node when it is a person's, None for a relay.
        token: what every caller must know.
        hosts: every ``Host`` that is this server.
    """
    document = schema.dump(openapi(node.status().version))

    async def describe(_: Request) -> Response:
        return Response(document, media_type=JSON_TYPE)

    routes: list[BaseRoute] = [Route(f"{BASE}/openapi.json", describe, methods=["GET"])]
    routes += [
        Route(BASE + row.path, partial(_serve, row, node, person), methods=[row.method])
        for row in ENDPOINTS
    ]
    routes.append(WebSocketRoute(f"{BASE}/events", partial(_follow, node)))
    application = Starlette(routes=routes, exception_handlers={HTTPException: _http_problem})
    application.router.redirect_slashes = False
    return guard.Guard(application, token=token, hosts=hosts)


def _problem(problem: guard.Problem) -> Response:
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    return Response(problem.document(), problem.status, headers, PROBLEM_TYPE)


def _of_error(error: backend.ApiError) -> guard.Problem:
    return guard.Problem(error.status, str(error), title=error.title)


async def _http_problem(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "There is no such route.", 405: "This route takes other methods."}
    problem = guard.Problem(
        status,
        detail.get(status, "The request was refused."),
        tuple((k.encode(), v.encode()) for k, v in (getattr(error, "headers", None) or {}).items()),
        title="Not found" if status == 404 else None,
    )
    return _problem(problem)


async def _serve(
    row: Endpoint,
    node: backend.Backend,
    person: backend.PersonBackend | None,
    request: Request,
) -> Response:
    answers: list[Response] = []

    async def answer() -> None:
        try:
            answers.append(await _answer(row, node, person, request))
        except backend.ApiError as error:
            answers.append(_problem(_of_error(error)))
        except ClientDisconnect:
            answers.append(Response(status_code=400))

    if await supervisor.contain("api call", answer):
        return answers[0]
    return _problem(guard.Problem(500, "The node failed at this; its log says where."))


async def _answer(
    row: Endpoint,
    node: backend.Backend,
    person: backend.PersonBackend | None,
    request: Request,
) -> Response:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 128:
        raise backend.BadRequest("An Idempotency-Key has 1 to 128 characters.")
    query: object = schema.parse_query(row.query, request.query_params.multi_items())
    body = None
    if row.body is not None:
        with trio.move_on_after(BODY_TIMEOUT) as scope:
            body = await request.body()
        if scope.cancelled_caught:
            return _problem(
                guard.Problem(408, "The body took too long.", ((b"connection", b"close"),))
            )
        body = schema.parse(row.body, schema.load(body or b""))
    ids = {name: str(value) for name, value in request.path_params.items()}
    answer = await row.handler(Call(node, person, ids, query, body, key))
    if row.answer is None:
        return Response(status_code=row.status)
    return Response(schema.dump(answer), row.status, media_type=JSON_TYPE)


async def _follow(node: backend.Backend, socket: WebSocket) -> None:
    """Serve the events: first the node's state with the number to follow from, then each event."""
    await supervisor.contain("api follower", _follow_events, node, socket)


async def _follow_events(node: backend.Backend, socket: WebSocket) -> None:
    try:
        since = schema.parse_query(Since, socket.query_params.multi_items()).since
        async with node.events.subscribe(since) as following:
            first = node.events.last if since is None else since
            await socket.accept(subprotocol=guard.SUBPROTOCOL)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_closed, socket, nursery.cancel_scope)
                status = node.status()
                state = backend.NetworkState(status.ready, status.relays, status.queue)
                await _send_event(socket, events.Event(first, state))
                async for event in following:
                    await _send_event(socket, event)
                await socket.close(1013, "too slow: resume with since")
                nursery.cancel_scope.cancel()
        return
    except backend.ApiError as error:
        problem = _of_error(error)
    except events.NotKept:
        problem = _of_error(
            backend.Gone("Events after that number are no longer kept: read everything anew.")
        )
    except events.TooManySubscribers:
        problem = guard.Problem(429, "Too many programs follow this node's events.")
    await socket.send_denial_response(_problem(problem))


async def _send_event(socket: WebSocket, event: events.Event[backend.EventData]) -> None:
    kind = backend.EVENT_TYPES[type(event.data)]
    await socket.send_text(schema.dump(EventFrame(event.seq, kind, event.data)).decode())


async def _until_closed(socket: WebSocket, scope: trio.CancelScope) -> None:
    """Read what the client sends, which means nothing, until it goes."""
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, KeyError):  # KeyError: starlette's way to say binary
        scope.cancel()


def openapi(version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of :data:`ENDPOINTS`."""
    components: dict[str, Any] = {}
    problem = {"description": "Problem", "content": {PROBLEM_TYPE: {"schema": {"type": "object"}}}}
    paths: dict[str, Any] = {}
    for row in ENDPOINTS:
        answer: dict[str, Any] = {"description": row.summary}
        if row.answer is not None:
            answer["content"] = {
                JSON_TYPE: {"schema": schema.describe(row.answer, components)},
            }
        parameters = [
            {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
            for part in row.path.split("/")
            if part.startswith("{")
        ]
        parameters += _query_parameters(row.query)
        operation: dict[str, Any] = {
            "summary": row.summary,
            "parameters": parameters,
            "responses": {str(row.status): answer, "default": problem},
        }
        if row.body is not None:
            content = {JSON_TYPE: {"schema": schema.describe(row.body, components, strict=True)}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(BASE + row.path, {})[row.method.lower()] = operation
    frame = schema.describe(EventFrame, components)
    paths[f"{BASE}/events"] = {
        "get": {
            "summary": "Events, as a WebSocket of subprotocols shoal.v1 and bearer.TOKEN",
            "parameters": _query_parameters(Since),
            "responses": {
                "101": {"description": "One JSON object a frame", "x-frame": frame},
                "default": problem,
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shoal's local API", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _query_parameters(query: type) -> list[dict[str, Any]]:
    components: dict[str, Any] = {}
    schema.describe(query, components, strict=True)
    properties = components[query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": shape}
        for name, shape in properties.items()
    ]
