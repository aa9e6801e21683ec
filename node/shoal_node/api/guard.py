"""Who may call the API: checks before any route, and headers on every answer.

::

    Host exact ──no──> 421        a page that rebinds its name to 127.0.0.1
    Origin, Sec-Fetch-Site ──> 403  a page of another site, with or without rebinding
    token ──> 401                 another program or user on this machine; the page's files,
                                  beside the API, need none
    media type, size ──> 415, 413   a form posted by a page (CSRF), a body too large

A browser sends Origin with every WebSocket, and cannot be made to leave out Host; no
cookie is ever set or read, since all ports of 127.0.0.1 share them. DNS rebinding on a
local API is CVE-2025-66414. The guard is plain ASGI and stands outermost.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import trio

from shoal_protocol import crypto

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

SUBPROTOCOL: Final = "shoal.v1"
TOKEN_PREFIX: Final = "bearer."  # noqa: S105 - a prefix, no secret
API_PREFIX: Final = "/api/"  # what stands beside is the page
MAX_BODY: Final = 65_536  # bytes
MAX_DRAINED: Final = 64 * 2**20  # bytes of a body too large that are read, to no use
DRAIN_TIMEOUT: Final = 10.0  # s

SECURITY_HEADERS: Final[Headers] = [
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]

_TITLES: Final = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method not allowed",
    408: "Request timeout",
    411: "Length required",
    413: "Content too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    429: "Too many requests",
    500: "Internal error",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal: its status, the sentence, and headers beside."""

    status: int
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    title: str | None = None

    def document(self) -> bytes:
        """The problem document (RFC 9457) in JSON."""
        title = self.title or _TITLES.get(self.status, "Error")
        return json.dumps(
            {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        ).encode()


@dataclass(frozen=True, slots=True)
class BodyRule:
    """What the body of a call may be: of which types, and how long."""

    media_types: tuple[bytes, ...]  # lower case, without blanks; the first is named to callers
    limit: int  # bytes
    too_long: str  # the sentence


JSON_BODY: Final = BodyRule(
    (b"application/json", b"application/json;charset=utf-8"),
    MAX_BODY,
    f"A body may have {MAX_BODY} bytes.",
)


class Guard:
    """Passes on to ``app`` only what may reach it.

    Args:
        app: the application behind.
        token: the bearer token, ASCII.
        hosts: every value of ``Host`` that is this server, ``name:port``.
        body_of: what the body of a call to a path may be.
        page: what answers requests beside the API, without a token; None for nothing.
        tokenless: paths of the API that need no token, where there is a page.
        trust: called with the other end of each connection that showed the token.
    """

    def __init__(
        self,
        app: Application,
        *,
        token: str,
        hosts: Iterable[str],
        body_of: Callable[[str], BodyRule] = lambda path: JSON_BODY,
        page: Application | None = None,
        tokenless: Iterable[str] = (),
        trust: Callable[[object], None] = lambda client: None,
    ) -> None:
        self._app = app
        self._page = page
        self._tokenless = frozenset(tokenless)
        self._trust = trust
        self._body_of = body_of
        self._token = token.encode()
        self._hosts = frozenset(host.encode() for host in hosts)
        self._origins = frozenset(b"http://" + host for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection scope (ASGI)."""
        problem = self._refusal(scope)
        if problem is not None:
            await refuse(scope, receive, send, problem)
            return
        if not self._needs_no_token(scope):
            self._trust(scope.get("client"))
        if self._page is not None and self._is_beside(scope):
            await self._page(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*message.get("headers", []), *SECURITY_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers: Headers = scope["headers"]
        return (
            (None if scope["http_version"] == "1.1" else Problem(400, "Use HTTP/1.1."))
            or self._wrong_place(headers)
            or (None if self._needs_no_token(scope) else self._wrong_token(scope, headers))
            or (self._wrong_body(scope, headers) if scope["type"] == "http" else None)
        )

    def _is_beside(self, scope: Scope) -> bool:
        """Whether a request is for the page."""
        if self._page is None or scope["type"] != "http":
            return False
        return not scope["path"].startswith(API_PREFIX)

    def _needs_no_token(self, scope: Scope) -> bool:
        """Whether a request is for the page, or for the token itself."""
        if self._page is None or scope["type"] != "http":
            return False
        return self._is_beside(scope) or scope["path"] in self._tokenless

    def _wrong_body(self, scope: Scope, headers: Headers) -> Problem | None:
        lengths = values(headers, b"content-length")
        chunked = bool(values(headers, b"transfer-encoding"))
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            if chunked or any(length != b"0" for length in lengths):
                return Problem(413, "This call takes no body.")
            return None
        if chunked or not lengths:
            return Problem(411, "The request must state its Content-Length.")
        rule = self._body_of(scope["path"])
        if int(lengths[0]) > rule.limit:
            return Problem(413, rule.too_long)
        kinds = [kind.lower().replace(b" ", b"") for kind in values(headers, b"content-type")]
        if len(kinds) != 1 or kinds[0] not in rule.media_types:
            return Problem(415, f"The body must be {rule.media_types[0].decode()}.")
        return None

    def _wrong_place(self, headers: Headers) -> Problem | None:
        hosts = values(headers, b"host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return Problem(421, "This is not the host that the request names.")
        if any(origin not in self._origins for origin in values(headers, b"origin")):
            return Problem(403, "Calls from other sites are refused.")
        sites = values(headers, b"sec-fetch-site")
        if any(site not in (b"same-origin", b"none") for site in sites):
            return Problem(403, "Calls from other sites are refused.")
        return None

    def _wrong_token(self, scope: Scope, headers: Headers) -> Problem | None:
        if scope["type"] == "websocket":
            protocols: list[str] = scope["subprotocols"]
            given = [
                name.removeprefix(TOKEN_PREFIX).encode()
                for name in protocols
                if name.startswith(TOKEN_PREFIX)
            ]
            known = SUBPROTOCOL in protocols
        else:
            fields = [value.partition(b" ") for value in values(headers, b"authorization")]
            given = [rest for scheme, _, rest in fields if scheme.lower() == b"bearer"]
            known = True
        if known and len(given) == 1 and crypto.equal(given[0], self._token):
            return None
        return Problem(
            401,
            "The bearer token is missing or wrong; it stands in the node's api.json.",
            ((b"www-authenticate", b"Bearer"),),
        )


def values(headers: Headers, name: bytes) -> list[bytes]:
    """Every value of the header ``name``, which is in lower case."""
    return [value for key, value in headers if key.lower() == name]


async def refuse(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer with ``problem``, before a WebSocket's handshake as well as to a request.

    A client that is still sending a body too large would lose the answer if the connection
    were closed on it: what it sends is read, to no use and within bounds.
    """
    start, body = (
        ("websocket.http.response.start", "websocket.http.response.body")
        if scope["type"] == "websocket"
        else ("http.response.start", "http.response.body")
    )
    document = problem.document()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(document)).encode()),
        (b"connection", b"close"),
        *problem.headers,
        *SECURITY_HEADERS,
    ]
    await send({"type": start, "status": problem.status, "headers": headers})
    await send({"type": body, "body": document, "more_body": True})
    if problem.status == 413:
        with trio.move_on_after(DRAIN_TIMEOUT):
            await _drain(receive)
    await send({"type": body, "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    read = 0
    while read <= MAX_DRAINED:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        read += len(message.get("body", b""))
