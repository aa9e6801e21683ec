"""Answers Prometheus: ``GET /metrics``, HTTP/1.0, on a port of its own, and nothing else.

::

    listener ─► at most 8 connections; for one more the oldest is cut
                 └─ contained, 5 s in all: request of at most 8 KiB ─► text ─► closed

There is no token, as scrapers carry none: by default only this machine can ask, and what is told
is meant to be read by strangers (``metrics``). On loopback a request must name the machine by an
address or as localhost, so that no web page gets at it by a name that leads here.
"""

import ipaddress
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from shoal_node import supervisor
from shoal_node.transport.interface import TaskStatus
from shoal_protocol.errors import UserError

log = logging.getLogger(__name__)

CONNECTIONS: Final = 8
REQUEST_S: Final = 5.0  # from accept to the end of the answer
REQUEST_BYTES: Final = 8_192
PATH: Final = "/metrics"
FORM: Final = "text/plain; version=0.0.4; charset=utf-8"  # that every Prometheus reads
OPEN: Final = (
    "the metrics answer whoever reaches their port: meant for strangers, but a firewall should "
    "let your Prometheus alone through"
)
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
}


async def run_metrics(
    text: Callable[[], bytes],
    host: str,
    port: int,
    *,
    task_status: TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled; ``started`` gets the URL.

    Args:
        text: returns the metrics in the text format.
        host: an IP address.
        port: 0 for a random one.

    Raises:
        UserError: nothing can listen there.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError:
        raise UserError(
            f"metrics.listen: nothing can listen on {host} port {port}; another program may."
        ) from None
    loopback = ipaddress.ip_address(host).is_loopback
    if not loopback:
        log.warning("%s", OPEN)
    port = listeners[0].socket.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    serve = partial(trio.serve_listeners, Server(text, strict=loopback), listeners)
    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        task_status.started(f"http://{shown}:{port}{PATH}")


class Server:
    """Serves accepted sockets; the newest always finds room."""

    def __init__(self, text: Callable[[], bytes], *, strict: bool) -> None:
        self._text = text
        self._strict = strict
        self._open: dict[trio.CancelScope, None] = {}  # oldest first

    async def __call__(self, stream: trio.abc.HalfCloseableStream) -> None:
        while len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        with trio.move_on_after(REQUEST_S) as scope:
            self._open[scope] = None
            try:
                await supervisor.contain("metrics request", self._answer, stream)
            finally:
                self._open.pop(scope, None)
        await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.abc.HalfCloseableStream) -> None:
        head = await _head(stream)
        status = 431 if head is None else judge(head, strict=self._strict)
        body = self._text() if status == 200 else f"{_REASONS[status]}\n".encode()
        kind = FORM if status == 200 else "text/plain; charset=utf-8"
        lines = (
            f"HTTP/1.0 {status} {_REASONS[status]}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        )
        await stream.send_all("\r\n".join((*lines, "", "")).encode() + body)
        await stream.send_eof()
        await stream.receive_some(1)  # until the other end has read it: a close would cut it off


async def _head(stream: trio.abc.HalfCloseableStream) -> bytes | None:
    """Return the request's line and headers, None when they are too long."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) >= REQUEST_BYTES:
            return None
        more = bytes(await stream.receive_some(REQUEST_BYTES - len(head)))
        if not more:
            return head
        head += more
    return head


def judge(head: bytes, *, strict: bool) -> int:
    """Return the status that a request earns.

    Args:
        head: its line and headers.
        strict: whether it must name this machine by an address.
    """
    line, _, rest = head.partition(b"\r\n")
    words = line.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not line.isascii():
        return 400
    if words[0] != b"GET":
        return 405
    if words[1].partition(b"?")[0] != PATH.encode():
        return 404
    hosts = [
        value.strip()
        for name, _, value in (header.partition(b":") for header in rest.split(b"\r\n"))
        if name.strip().lower() == b"host"
    ]
    if strict and not all(_is_address(one) for one in hosts):
        return 421
    return 200


def _is_address(host: bytes) -> bool:
    """Whether a header ``Host`` names an address, with or without a port, or localhost."""
    text = host.decode("ascii", "replace").lower()
    name = text[1:].partition("]")[0] if text.startswith("[") else text.rpartition(":")[0] or text
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
