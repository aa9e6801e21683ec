"""The API's server: hypercorn's HTTP connections on loopback, each contained by itself.

::

    listener ──> at most 64 connections; for one more the oldest that never showed the token
                 is cut, and when all have, it is closed at once
                  └── contain(hypercorn's connection over a Patient stream)
    started ──> api.json written     stopped ──> api.json removed, connections cut

hypercorn's own trio worker lets one byte behind an upgrade request cancel everything
(hypercorn issue 225), so its connection class is driven here and each connection runs
through the supervisor. Its writes are shielded from cancellation: :class:`Patient` bounds
how long a reader may stall one, and cuts what is left when the server stops.
"""

import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState

from shoal_node import home, supervisor
from shoal_node.api import app, backend, unix_socket
from shoal_node.api.client import UNIX
from shoal_node.api.tickets import Tickets
from shoal_node.transport.interface import TaskStatus
from shoal_protocol.errors import UserError

MAX_CONNECTIONS: Final = 64
WRITE_TIMEOUT: Final = 10.0  # s that one write may wait for the client to read
READ_TIMEOUT: Final = 60  # s without a byte, also between a follower's pongs
PING_INTERVAL: Final = 20.0  # s between pings to a follower
TOKEN_LENGTH: Final = 32  # bytes of randomness
MAX_HEADER: Final = 16_384  # bytes of request line and headers


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API answers."""

    url: str
    token: str = field(repr=False)
    tickets: Tickets = field(repr=False, compare=False)


class Patient(trio.abc.HalfCloseableStream):
    """A socket stream whose writes end in BrokenResourceError when the client won't read.

    When the client has gone, ``scope`` is cancelled: hypercorn would wait for its own idle
    timer first, and a few dozen that come and go would fill all places.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.scope: Final = trio.CancelScope()
        self.socket = stream.socket  # hypercorn asks it for the addresses

    async def send_all(self, data: bytes | memoryview) -> None:
        with trio.move_on_after(WRITE_TIMEOUT) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            self.cut()
            raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = b""
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        finally:
            if not data:
                self.scope.cancel()
        return data

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def cut(self) -> None:
        """Close at once; whoever reads or writes gets ClosedResourceError."""
        self.socket.close()


def _config() -> Config:
    config = Config()
    config.include_server_header = False
    config.include_date_header = False
    config.errorlog = None  # the supervisor logs failures, without what a client sent
    config.accesslog = None
    config.h11_max_incomplete_size = MAX_HEADER
    config.keep_alive_timeout = 15  # also the time for a request's headers
    config.read_timeout = READ_TIMEOUT
    config.websocket_ping_interval = PING_INTERVAL
    config.websocket_max_message_size = 4096
    return config


async def _listeners(host: str, port: int) -> Sequence[trio.SocketListener]:
    if host.startswith(UNIX):
        return [unix_socket.listen(Path(host.removeprefix(UNIX)))]
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise UserError(f"--api {host}: the API listens on this machine only, as on 127.0.0.1.")
    try:
        return await trio.open_tcp_listeners(
            port, host="127.0.0.1" if host == "localhost" else host
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"The API cannot listen on {host} port {port}: {reason}.") from None


async def _where_it_was(host: str, data: home.Home) -> Sequence[trio.SocketListener]:
    """Listen at the port of the last run, where an open page looks; at a random one if taken."""
    last = data.last_port()
    try:
        found = await _listeners(host, last)
    except UserError:
        if last == 0:
            raise
        found = await _listeners(host, 0)
    data.keep_port(found[0].socket.getsockname()[1])
    return found


def _names(listener: trio.SocketListener) -> list[str]:
    """Every ``Host`` by which this listener may be called; the first makes the URL."""
    if listener.socket.family not in (socket.AF_INET, socket.AF_INET6):
        return ["localhost"]
    address, port = listener.socket.getsockname()[:2]
    literal = f"[{address}]" if listener.socket.family == socket.AF_INET6 else address
    return [f"{literal}:{port}", f"localhost:{port}"]


async def run_api(
    node: backend.Backend,
    house: backend.Household | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    data: home.Home | None = None,
    token: str | None = None,
    erased: Callable[[], None] = lambda: None,
    task_status: TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the API until cancelled.

    Args:
        node: the node.
        house: the same when it is a person's, None for a relay.
        host: a loopback address, or ``unix:`` with the path of a socket.
        port: 0 for a random one; a person's node prefers the one that its home kept.
        data: where ``api.json`` appears once the API answers, and goes away in the end.
        token: the bearer token; a fresh one when None.
        erased: called when an erasure was answered.
        task_status: started with the :class:`Address`.

    Raises:
        UserError: the address is not loopback or is in use.
    """
    token = token or secrets.token_urlsafe(TOKEN_LENGTH)
    if house is None or data is None or port != 0 or host.startswith(UNIX):
        listeners = await _listeners(host, port)
    else:
        listeners = await _where_it_was(host, data)
    hosts = [name for listener in listeners for name in _names(listener)]
    tickets = Tickets(token)
    handle = _Connections()
    application = app.create_app(
        node,
        house,
        token=token,
        hosts=hosts,
        tickets=tickets,
        trust=handle.trust,
        erased=erased,
    )
    handle.application = ASGIWrapper(cast(ASGIFramework, application))
    address = Address(host if host.startswith(UNIX) else f"http://{hosts[0]}", token, tickets)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.serve_listeners, handle, listeners))
            if data is not None:
                status = node.status()
                data.publish(
                    home.ApiFile(
                        address.url, token, os.getpid(), status.peer_id, tuple(status.addrs)
                    )
                )
            task_status.started(address)
            try:
                await trio.sleep_forever()
            finally:
                if data is not None:
                    data.withdraw()
                handle.cut_all()
    finally:
        for listener in listeners:
            listener.socket.close()
        if host.startswith(UNIX):
            unix_socket.remove(Path(host.removeprefix(UNIX)))


def _other_end(stream: trio.SocketStream) -> object:
    """Return the other end as ASGI names it; None on a Unix socket, which is its owner's alone."""
    if stream.socket.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:  # it has gone
        return object()
    return (host, port)


class _Connections:
    """Serves accepted sockets, at most :data:`MAX_CONNECTIONS` at a time.

    Whoever is on this machine may connect, and the page's files need no token: strangers give
    way, so that nobody keeps the owner from locking or erasing the node.
    """

    application: ASGIWrapper  # set before the first connection

    def __init__(self) -> None:
        self._config = _config()
        self._open: dict[Patient, None] = {}  # oldest first
        self._strangers: dict[object, Patient] = {}  # by their other end, oldest first

    async def __call__(self, stream: trio.SocketStream) -> None:
        if len(self._open) >= MAX_CONNECTIONS and not self._make_room():
            await trio.aclose_forcefully(stream)
            return
        patient = Patient(stream)
        client = _other_end(stream)
        self._open[patient] = None
        if client is not None:
            self._strangers[client] = patient
        try:
            await supervisor.contain("api connection", self._serve, patient)
        finally:
            self._open.pop(patient, None)
            if self._strangers.get(client) is patient:
                del self._strangers[client]
            patient.cut()

    def trust(self, client: object) -> None:
        """Note that a connection showed the token; ``client`` is its other end."""
        self._strangers.pop(client, None)

    def _make_room(self) -> bool:
        for client, patient in self._strangers.items():
            del self._strangers[client]
            self._open.pop(patient, None)
            patient.cut()
            return True
        return False

    async def _serve(self, patient: Patient) -> None:
        server = TCPServer(
            self.application,
            self._config,
            WorkerContext(None),
            ConnectionState({}),
            cast(Any, patient),
        )
        with patient.scope:
            await server

    def cut_all(self) -> None:
        """End every connection now."""
        for patient in tuple(self._open):
            patient.cut()
