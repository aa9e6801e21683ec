"""The real transport: listens and dials on TCP, and drives channels over libp2p streams.

::

    run_libp2p ── nursery ─┬─ listener a socket ─► half open (≤ 256, then one gives way)
                           │                            │ handshake within its deadline
    open ── dial ──────────┼────────────────────────────┴─► Connection (≤ 512, ≤ 2 a peer)
                           └─ a connection's tasks: libp2p_connection

Every task hangs in the one nursery, every failure that a peer can cause ends its connection or
channel and is counted once. Cancelling ``run_libp2p`` closes every socket. spec: transport §5
"""

import errno
import ipaddress
import socket as stdlib_socket
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from shoal_node import supervisor
from shoal_node.transport import address as addresses
from shoal_node.transport.channel import QueuedChannel
from shoal_node.transport.crowd import Crowd
from shoal_node.transport.framing import framing_of
from shoal_node.transport.interface import (
    DialError,
    Handlers,
    Peer,
    TaskStatus,
    TransportLimits,
)
from shoal_node.transport.metering import Meter
from shoal_protocol import crypto, identity
from shoal_protocol.errors import RemoteProtocolError, UserError

if TYPE_CHECKING:
    from shoal_node.transport.libp2p_connection import Connection
    from shoal_node.transport.libp2p_yamux import SteadyYamux

CONNECTIONS_PER_PEER: Final = 2  # two sides may dial each other at once; the oldest gives way
BACKLOG: Final = 256  # connections that the kernel may hold for us


async def run_libp2p(
    handlers: Handlers,
    *,
    seed: bytes,
    listen: Sequence[str] = (),
    announce: Sequence[str] = (),
    limits: TransportLimits | None = None,
    task_status: TaskStatus["Libp2pTransport"] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Be on the network until cancelled; ``started`` gets the Libp2pTransport.

    Args:
        handlers: one for each protocol that peers may open to us.
        seed: 32 bytes, the Ed25519 seed that is this node's identity.
        listen: addresses like ``/ip4/127.0.0.1/tcp/0``; none for a node that only dials.
        announce: addresses to give out instead of those listened on, by a node that listens.
        limits: bounds.

    Raises:
        UserError: an address is malformed, taken, or not ours.
    """
    transport = Libp2pTransport(handlers, seed, limits or TransportLimits())
    listeners: list[trio.SocketListener] = []
    try:
        for text in listen:
            listeners += await _listen(text)
        if listeners:
            given = announce or _own(listeners)
            transport.addresses = tuple(dict.fromkeys(_announced(given, transport.peer_id)))
        async with trio.open_nursery() as nursery:
            transport.nursery = nursery
            for listener in listeners:
                nursery.start_soon(trio.serve_listeners, transport.accept, [listener])
            task_status.started(transport)
            await trio.sleep_forever()
    finally:
        for listener in listeners:
            listener.socket.close()


async def _listen(text: str) -> list[trio.SocketListener]:
    try:
        address = addresses.parse(text)
    except RemoteProtocolError:
        raise UserError(f"{text} is no address to listen on; try /ip4/0.0.0.0/tcp/4001.") from None
    if address.kind not in ("ip4", "ip6"):
        raise UserError(f"{text} is no address to listen on: it takes an IP address.")
    try:
        return list(await trio.open_tcp_listeners(address.port, host=address.host, backlog=BACKLOG))
    except OSError as error:
        why = {
            errno.EADDRINUSE: f"port {address.port} is taken, as another program listens there",
            errno.EADDRNOTAVAIL: "this machine has no such address",
            errno.EACCES: "the system doesn't allow it",
        }.get(error.errno or 0, "the system refuses it")
        raise UserError(f"Can't listen on {text}: {why}.") from None


def _own(listeners: Sequence[trio.SocketListener]) -> list[str]:
    """Return where others can dial; a family without a way out is left out if another has one."""
    own: list[str] = []
    hidden: list[str] = []
    for listener in listeners:
        host, port = listener.socket.getsockname()[:2]
        ip = ipaddress.ip_address(host)
        shown = ipaddress.ip_address(_primary(ip.version)) if ip.is_unspecified else ip
        inward = ip.is_unspecified and shown.is_loopback
        (hidden if inward else own).append(f"/ip{ip.version}/{shown}/tcp/{port}")
    return own or hidden


def _primary(version: int) -> str:
    """Return the address from which this machine would send to the internet, or loopback."""
    family, target, loopback = (
        (stdlib_socket.AF_INET, "192.0.2.1", "127.0.0.1")
        if version == 4
        else (stdlib_socket.AF_INET6, "2001:db8::1", "::1")
    )
    try:
        with stdlib_socket.socket(family, stdlib_socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return loopback


def _announced(texts: Sequence[str], peer_id: bytes) -> list[str]:
    announced = []
    for text in texts:
        try:
            parsed = addresses.parse(text)
        except RemoteProtocolError:
            raise UserError(f"{text} is no address that others could dial.") from None
        announced.append(str(addresses.Address(parsed.kind, parsed.host, parsed.port, peer_id)))
    return announced


class Libp2pTransport:
    """This node on the real network; implements ``interface.Transport``."""

    nursery: trio.Nursery

    def __init__(self, handlers: Handlers, seed: bytes, limits: TransportLimits) -> None:
        from shoal_node.transport import libp2p_link  # a second and 54 MB: only real nodes pay

        self.handlers = handlers
        self.limits = limits
        self.public_key = crypto.ed25519_public(seed)
        self.peer_id = identity.peer_id(self.public_key)
        self.addresses: tuple[str, ...] = ()
        self.counters: Counter[str] = Counter()
        self.meter: Final = Meter()
        self._keys = libp2p_link.Identity(seed)
        self._half_open: Crowd[trio.CancelScope] = Crowd()
        self._crowd: Crowd[Connection] = Crowd()
        self._connections: dict[bytes, list[Connection]] = {}
        self._dialling: dict[bytes, trio.Lock] = {}

    @property
    def connections(self) -> int:
        """How many authenticated connections there are."""
        return sum(map(len, self._connections.values()))

    @property
    def writes(self) -> int:
        """How many Noise messages the present connections have written."""
        return sum(c.writes for group in self._connections.values() for c in group)

    @property
    def half_open(self) -> int:
        """How many accepted sockets haven't finished the handshake."""
        return len(self._half_open)

    async def open(self, address: str, protocol: str) -> QueuedChannel:
        """See ``interface.Transport``."""
        framing_of(protocol)
        try:
            target = addresses.parse(address)
        except RemoteProtocolError:
            raise DialError("address") from None
        if target.peer_id is None or target.kind not in addresses.HOST_KINDS:
            raise DialError("address")
        if target.peer_id == self.peer_id:
            raise DialError("unreachable")
        with trio.move_on_after(self.limits.dial_s) as scope:
            channel = await self._open(target, target.peer_id, protocol)
        if scope.cancelled_caught:
            self.counters["dial timeout"] += 1
            raise DialError("too slow")
        return channel

    async def _open(
        self, target: addresses.Address, peer_id: bytes, protocol: str
    ) -> QueuedChannel:
        if self.is_full(peer_id, protocol):
            raise DialError("channel limit")
        connection = self._usable(peer_id)
        if connection is not None:
            try:
                return await connection.open(protocol)
            except DialError as error:
                if error.reason != "link lost":
                    raise
        return await (await self._dial(target, peer_id)).open(protocol)

    def is_full(self, peer_id: bytes, protocol: str) -> bool:
        """Whether this peer holds all the channels of a protocol that it may."""
        held = sum(
            channel.protocol == protocol
            for connection in self._connections.get(peer_id, ())
            for channel in connection.channels
        )
        return held >= self.limits.channels

    def _usable(self, peer_id: bytes) -> "Connection | None":
        alive = (c for c in reversed(self._connections.get(peer_id, ())) if not c.closed)
        return next(alive, None)

    async def _dial(self, target: addresses.Address, peer_id: bytes) -> "Connection":
        lock = self._dialling.setdefault(peer_id, trio.Lock())
        try:
            async with lock:
                connection = self._usable(peer_id)
                return connection or await self._connect(target, peer_id)
        finally:
            if not lock.locked():
                self._dialling.pop(peer_id, None)

    async def _connect(self, target: addresses.Address, peer_id: bytes) -> "Connection":
        host = await _resolve(target)
        try:
            stream = await trio.open_tcp_stream(host, target.port)
        except OSError:
            raise DialError("unreachable") from None
        connection = await self._secure(stream, host, peer_id)
        if connection is None:
            raise DialError("handshake")
        self.nursery.start_soon(connection.run)
        await connection.ready.wait()
        return connection

    async def accept(self, stream: trio.SocketStream) -> None:
        """Take in one connection and serve it; whatever it does is contained here."""
        await supervisor.contain("accept", self._accept, stream, counters=self.counters)

    async def _accept(self, stream: trio.SocketStream) -> None:
        host = addresses.plain(str(stream.socket.getpeername()[0]))
        scope = trio.CancelScope()
        while len(self._half_open) >= self.limits.half_open:
            # An honest handshake takes milliseconds, and is not of the flood's network (T11).
            oldest = self._half_open.oldest_of_most()
            self._half_open.discard(oldest)
            self.counters["handshake evicted"] += 1
            oldest.cancel()
        self._half_open.add(scope, host)
        connection = None
        with scope:
            try:
                connection = await self._secure(stream, host, None)
            finally:
                self._half_open.discard(scope)
        if connection is not None:
            await connection.run()

    async def _secure(
        self, stream: trio.SocketStream, host: str, target: bytes | None
    ) -> "Connection | None":
        """Shake hands; None, and the socket closed, when that fails."""
        from shoal_node.transport.libp2p_connection import Connection

        secured: list[tuple[Peer, SteadyYamux]] = []

        async def handshake() -> None:
            secured.append(
                await self._keys.secure(stream, target, self.limits, self.counters, self.meter)
            )

        connection = None
        try:
            with trio.move_on_after(self.limits.handshake_s) as scope:
                await supervisor.contain(
                    "handshake", handshake, counters=self.counters, label="handshake failed"
                )
            if scope.cancelled_caught:
                self.counters["handshake timeout"] += 1
            elif secured and self._admit(secured[0][0], host):
                connection = Connection(self, *secured[0], host, incoming=target is None)
        finally:
            if connection is None:
                stream.socket.close()
        return connection

    def _admit(self, peer: Peer, host: str) -> bool:
        held = self._connections.get(peer.peer_id, [])
        if len(held) >= CONNECTIONS_PER_PEER:
            held[0].close()
        elif self.connections >= self.limits.connections:
            victim = self._crowd.newest_of_more(host, lambda connection: connection.spare)
            if victim is None:
                self.counters["connection limit"] += 1
                return False
            victim.close()
        return True

    def add(self, connection: "Connection") -> None:
        """Enter a connection that has started."""
        self._connections.setdefault(connection.peer.peer_id, []).append(connection)
        self._crowd.add(connection, connection.host)

    def remove(self, connection: "Connection") -> None:
        """Forget a connection; done twice, it does no harm."""
        held = self._connections.get(connection.peer.peer_id, [])
        if connection in held:
            held.remove(connection)
            self._crowd.discard(connection)
        if not held:
            self._connections.pop(connection.peer.peer_id, None)


async def _resolve(target: addresses.Address) -> str:
    if target.kind in ("ip4", "ip6"):
        return target.host
    family = {"dns4": stdlib_socket.AF_INET, "dns6": stdlib_socket.AF_INET6}.get(target.kind, 0)
    try:
        found = await trio.socket.getaddrinfo(
            target.host, target.port, family, stdlib_socket.SOCK_STREAM
        )
    except OSError:
        raise DialError("unreachable") from None
    return str(found[0][4][0])
