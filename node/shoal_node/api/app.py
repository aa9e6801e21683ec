"""The API over a node: the table of endpoints, served by Starlette behind the guard.

::

    guard ──> route ──> query, body ──parse──> handler(call) ──> answer ──render──> JSON
                                                  │                └── FileContent, … ──> bytes
                                                  └── ApiError ──> problem document

Every route is one row of :data:`endpoints.ENDPOINTS`, and described from it at
``/api/v1/openapi.json``. The events' WebSocket is the one route beside.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import trio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from shoal_node import supervisor
from shoal_node.api import (
    backend,
    bodies,
    endpoints,
    events,
    guard,
    handlers,
    openapi,
    page,
    schema,
)
from shoal_node.api.endpoints import BASE
from shoal_node.api.tickets import Tickets

BODY_TIMEOUT: Final = 10.0  # s for the whole body
FILE_TIMEOUT: Final = 60.0  # s for a whole file
MAX_UPLOADS: Final = 2  # files and pictures in memory at a time; others wait for their turn
TURN_TIMEOUT: Final = 60.0  # s
PIECE: Final = 65_536  # bytes of a file that are written at once
_Serve = Callable[[Request], Awaitable[Response]]


def create_app(
    node: backend.Backend,
    house: backend.Household | None,
    *,
    token: str,
    hosts: Sequence[str],
    tickets: Tickets,
    trust: Callable[[object], None] = lambda client: None,
    erased: Callable[[], None] = lambda: None,
) -> guard.Guard:
    """Return the guarded ASGI application over a node.

    Args:
        node: any node.
        house: the same when it is a person's, None for a relay.
        token: what every caller must know.
        hosts: every ``Host`` that is this server.
        tickets: what can be redeemed for the token.
        trust: called with the other end of each connection that showed the token.
        erased: called when an erasure was answered.
    """
    document = schema.dump(openapi.document(node.status().version))

    async def describe(_: Request) -> Response:
        return Response(document, media_type=endpoints.JSON_TYPE)

    routes: list[BaseRoute] = [Route(f"{BASE}/openapi.json", describe, methods=["GET"])]
    turns = trio.Semaphore(MAX_UPLOADS, max_value=MAX_UPLOADS)
    for row in endpoints.ENDPOINTS:
        serve: _Serve = partial(_serve, row, node, house, tickets)
        if row.body is bytes:
            serve = partial(_in_turn, turns, serve)
        if row.path == endpoints.PANIC:
            serve = partial(_tell_when_sent, erased, serve)
        routes.append(Route(BASE + row.path, serve, methods=[row.method]))
    routes.append(WebSocketRoute(f"{BASE}/events", partial(_follow, node)))
    application = Starlette(routes=routes, exception_handlers={HTTPException: _http_problem})
    application.router.redirect_slashes = False
    files = None if house is None else page.Page(page.read_table())
    return guard.Guard(
        application,
        token=token,
        hosts=hosts,
        body_of=endpoints.body_rule,
        page=files,
        tokenless=endpoints.TOKENLESS,
        trust=trust,
    )


class FileResponse(Response):
    """A file's bytes, to be saved and never shown: written in pieces, so that each has its time."""

    def __init__(self, name: str, content: bytes, media_type: str) -> None:
        plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
        disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        headers = {"content-disposition": disposition}
        super().__init__(content, headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write it (ASGI)."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        view = memoryview(self.body)
        for place in range(0, len(view), PIECE):
            piece = bytes(view[place : place + PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _problem(problem: guard.Problem) -> Response:
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    return Response(problem.document(), problem.status, headers, endpoints.PROBLEM_TYPE)


def _of_error(error: backend.ApiError) -> guard.Problem:
    return guard.Problem(error.status, str(error), error.headers, error.title)


async def _http_problem(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(getattr(error, "headers", None) or {})
    if status == 405:
        headers["Allow"] = ", ".join(_methods(request))
    detail = {404: "There is no such route.", 405: "This route takes other methods."}
    problem = guard.Problem(
        status,
        detail.get(status, "The request was refused."),
        tuple((name.encode(), value.encode()) for name, value in headers.items()),
        title="Not found" if status == 404 else None,
    )
    return _problem(problem)


def _methods(request: Request) -> list[str]:
    """All methods that the path takes; each has a route of its own."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


async def _serve(
    row: endpoints.Endpoint,
    node: backend.Backend,
    house: backend.Household | None,
    tickets: Tickets,
    request: Request,
) -> Response:
    answers: list[Response] = []

    async def answer() -> None:
        try:
            answers.append(await _answer(row, node, house, tickets, request))
        except backend.ApiError as error:
            answers.append(_problem(_of_error(error)))
        except ClientDisconnect:
            answers.append(Response(status_code=400))

    if await supervisor.contain("api call", answer):
        return answers[0]
    return _problem(guard.Problem(500, "The node failed at this; its log says where."))


async def _in_turn(turns: trio.Semaphore, serve: _Serve, request: Request) -> Response:
    """Serve once fewer than :data:`MAX_UPLOADS` others are; until then no body is read."""
    with trio.move_on_after(TURN_TIMEOUT) as scope:
        await turns.acquire()
    if scope.cancelled_caught:
        later = ((b"retry-after", b"10"), (b"connection", b"close"))
        return _problem(guard.Problem(503, "Other files are being taken: try again.", later))
    try:
        return await serve(request)
    finally:
        turns.release()


async def _tell_when_sent(done: Callable[[], None], serve: _Serve, request: Request) -> Response:
    """Serve, and call ``done`` when an answer without a problem has been written."""
    answer = await serve(request)
    if answer.status_code < 300:

        async def sent() -> None:
            done()

        answer.background = BackgroundTask(sent)
    return answer


async def _answer(
    row: endpoints.Endpoint,
    node: backend.Backend,
    house: backend.Household | None,
    tickets: Tickets,
    request: Request,
) -> Response:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 128:
        raise backend.BadRequest("An Idempotency-Key has 1 to 128 characters.")
    query: object = schema.parse_query(row.query, request.query_params.multi_items())
    body: object = None
    if row.body is not None:
        data = b""
        with trio.move_on_after(FILE_TIMEOUT if row.body is bytes else BODY_TIMEOUT) as scope:
            data = await request.body()
        if scope.cancelled_caught:
            return _problem(
                guard.Problem(408, "The body took too long.", ((b"connection", b"close"),))
            )
        body = data if row.body is bytes else schema.parse(row.body, schema.load(data))
    ids = {name: str(value) for name, value in request.path_params.items()}
    answer = await row.handler(
        handlers.Call(node, house, ids, query, body, key, tickets, request.scope.get("client"))
    )
    if row.answer is None:
        return Response(status_code=row.status)
    match answer:
        case backend.FileContent(file, content):
            return FileResponse(file.name, content, endpoints.BYTES_TYPE)
        case backend.Attachment(name, media_type, content):
            return FileResponse(name, content, media_type)
        case backend.Picture(content):
            return Response(content, media_type=endpoints.PICTURE_TYPE)
        case _:
            pass
    return Response(schema.dump(answer), row.status, media_type=endpoints.JSON_TYPE)


async def _follow(node: backend.Backend, socket: WebSocket) -> None:
    """Serve the events: first the node's state with the number to follow from, then each event."""
    await supervisor.contain("api follower", _follow_events, node, socket)


async def _follow_events(node: backend.Backend, socket: WebSocket) -> None:
    try:
        since = schema.parse_query(bodies.Since, socket.query_params.multi_items()).since
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
    await socket.send_text(schema.dump(endpoints.EventFrame(event.seq, kind, event.data)).decode())


async def _until_closed(socket: WebSocket, scope: trio.CancelScope) -> None:
    """Read what the client sends, which means nothing, until it goes."""
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, KeyError):  # KeyError: starlette's way to say binary
        scope.cancel()
