"""The real transport: listens and dials on TCP, and drives channels over libp2p streams.

::

    run_libp2p ── nursery ─┬─ listener a socket ─► half open (≤ 256, the oldest gives way)
                           │                            │ handshake within its deadline
    open ── dial ──────────┼────────────────────────────┴─► _Connection (≤ 512, ≤ 2 a peer)
                           └─ _Connection: yamux, its writer, its watch
                                  └─ _drive: one reader, one writer a channel

Every task hangs in the one nursery, every failure that a peer can cause ends its connection or
channel and is counted once. Cancelling ``run_libp2p`` closes every socket. spec: transport §5
"""

import errno
import ipaddress
import math
import socket as stdlib_socket
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio

from shoal_node import supervisor
from shoal_node.transport import address as addresses
from shoal_node.transport.channel import QueuedChannel
from shoal_node.transport.framing import Decoder, framing_of
from shoal_node.transport.interface import (
    ChannelClosed,
    DialError,
    Handlers,
    Peer,
    TaskStatus,
    TransportLimits,
)
from shoal_protocol import crypto, identity
from shoal_protocol.errors import RemoteProtocolError, UserError

if TYPE_CHECKING:
    from shoal_node.transport import libp2p_link

BATCH: Final = 61_440  # bytes of frames in one write; 20 packets
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
        announce: addresses to give out instead of those listened on.
        limits: bounds.

    Raises:
        UserError: an address is malformed, taken, or not ours.
    """
    transport = Libp2pTransport(handlers, seed, limits or TransportLimits())
    listeners: list[trio.SocketListener] = []
    try:
        for text in listen:
            listeners += await _listen(text)
        transport.addresses = tuple(
            dict.fromkeys(_announced(announce or _own(listeners), transport.peer_id))
        )
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
            errno.EADDRINUSE: "another program listens there",
            errno.EADDRNOTAVAIL: "this machine has no such address",
            errno.EACCES: "the system doesn't allow it",
        }.get(error.errno or 0, "the system refuses it")
        raise UserError(f"Can't listen on {text}: {why}.") from None


def _own(listeners: Sequence[trio.SocketListener]) -> list[str]:
    own = []
    for listener in listeners:
        host, port = listener.socket.getsockname()[:2]
        ip = ipaddress.ip_address(host)
        shown = _primary(ip.version) if ip.is_unspecified else str(ip)
        own.append(f"/ip{ip.version}/{shown}/tcp/{port}")
    return own


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
        from shoal_node.transport import libp2p_link  # a second and 63 MB: only real nodes pay

        self.link = libp2p_link
        self.handlers = handlers
        self.limits = limits
        self.public_key = crypto.ed25519_public(seed)
        self.peer_id = identity.peer_id(self.public_key)
        self.addresses: tuple[str, ...] = ()
        self.counters: Counter[str] = Counter()
        self._keys = libp2p_link.Identity(seed)
        self._half_open: dict[trio.CancelScope, None] = {}
        self._connections: dict[bytes, list[_Connection]] = {}
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

    def _usable(self, peer_id: bytes) -> "_Connection | None":
        alive = (c for c in reversed(self._connections.get(peer_id, ())) if not c.closed)
        return next(alive, None)

    async def _dial(self, target: addresses.Address, peer_id: bytes) -> "_Connection":
        lock = self._dialling.setdefault(peer_id, trio.Lock())
        try:
            async with lock:
                connection = self._usable(peer_id)
                return connection or await self._connect(target, peer_id)
        finally:
            if not lock.locked():
                self._dialling.pop(peer_id, None)

    async def _connect(self, target: addresses.Address, peer_id: bytes) -> "_Connection":
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
        host = str(stream.socket.getpeername()[0])
        scope = trio.CancelScope()
        while len(self._half_open) >= self.limits.half_open:
            # The oldest unfinished handshake gives way: an honest one takes milliseconds (T11).
            oldest = next(iter(self._half_open))
            del self._half_open[oldest]
            self.counters["handshake evicted"] += 1
            oldest.cancel()
        self._half_open[scope] = None
        connection = None
        with scope:
            try:
                connection = await self._secure(stream, host, None)
            finally:
                self._half_open.pop(scope, None)
        if connection is not None:
            await connection.run()

    async def _secure(
        self, stream: trio.SocketStream, host: str, target: bytes | None
    ) -> "_Connection | None":
        """Shake hands; None, and the socket closed, when that fails."""
        secured: list[tuple[Peer, libp2p_link.SteadyYamux]] = []

        async def handshake() -> None:
            secured.append(await self._keys.secure(stream, target, self.limits, self.counters))

        connection = None
        try:
            with trio.move_on_after(self.limits.handshake_s) as scope:
                await supervisor.contain(
                    "handshake", handshake, counters=self.counters, label="handshake failed"
                )
            if scope.cancelled_caught:
                self.counters["handshake timeout"] += 1
            elif secured and self._admit(secured[0][0]):
                connection = _Connection(self, *secured[0], host)
        finally:
            if connection is None:
                stream.socket.close()
        return connection

    def _admit(self, peer: Peer) -> bool:
        held = self._connections.get(peer.peer_id, [])
        if len(held) >= CONNECTIONS_PER_PEER:
            held[0].close()
        elif self.connections >= self.limits.connections:
            idle = (c for group in self._connections.values() for c in group if not c.channels)
            victim = next(idle, None)
            if victim is None:
                self.counters["connection limit"] += 1
                return False
            victim.close()
        return True

    def add(self, connection: "_Connection") -> None:
        """Enter a connection that has started."""
        self._connections.setdefault(connection.peer.peer_id, []).append(connection)

    def remove(self, connection: "_Connection") -> None:
        """Forget a connection; done twice, it does no harm."""
        held = self._connections.get(connection.peer.peer_id, [])
        if connection in held:
            held.remove(connection)
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


class _Connection:
    """One authenticated link, and the channels on it.

    Args:
        transport: whose it is.
        peer: who is at the other end.
        muxed: the multiplexer, not yet started.
        host: the remote host, for limits.
    """

    def __init__(
        self,
        transport: Libp2pTransport,
        peer: Peer,
        muxed: "libp2p_link.SteadyYamux",
        host: str,
    ) -> None:
        self.peer = peer
        self.channels: set[QueuedChannel] = set()
        self._transport = transport
        self._muxed = muxed
        self._host = host
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._pending = 0  # streams that negotiate
        self._changed = trio.Event()  # replaced each time it is set
        self.ready = trio.Event()  # it can be used, or is over

    @property
    def closed(self) -> bool:
        """Whether the link is of no more use."""
        return self._scope.cancel_called or self._muxed.event_shutting_down.is_set()

    @property
    def writes(self) -> int:
        """How many Noise messages were written."""
        return self._muxed.writes

    def close(self) -> None:
        """End the connection and all its channels now."""
        self._transport.remove(self)
        self._muxed.abort()
        self._scope.cancel()

    async def run(self) -> None:
        """Serve the link until it breaks or is closed; its tasks end with it."""
        try:
            with self._scope:
                await supervisor.contain(
                    "connection",
                    self._serve,
                    counters=self._transport.counters,
                    label="connection failed",
                )
        finally:
            self._transport.remove(self)
            self._muxed.abort()
            self.ready.set()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._muxed.start)
            nursery.start_soon(self._write)
            nursery.start_soon(self._close_when_idle)
            with trio.fail_after(self._transport.limits.handshake_s):
                await self._muxed.event_started.wait()
            self._transport.add(self)
            self.ready.set()
            while True:
                try:
                    stream = await self._muxed.accept()
                except self._transport.link.StreamErrors:
                    break
                self._take(stream)
            # The link is down. What came before is still being read.
            self._transport.remove(self)
            self._muxed.abort()
            with trio.move_on_after(self._transport.limits.linger_s):
                while self.channels:
                    await self._changed.wait()
            nursery.cancel_scope.cancel()

    async def _write(self) -> None:
        try:
            await self._muxed.write_loop()
        except self._transport.link.StreamErrors:
            self._muxed.abort()

    async def _close_when_idle(self) -> None:
        while True:
            idle_s = self._transport.limits.idle_s
            with trio.move_on_after(
                math.inf if self.channels or self._pending else idle_s
            ) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                self.close()

    def _touch(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def open(self, protocol: str) -> QueuedChannel:
        """Open a channel on this connection.

        Raises:
            DialError: the link broke, or the peer refuses the protocol.
        """
        try:
            stream = await self._muxed.open()
        except self._transport.link.StreamErrors:
            raise DialError("link lost") from None
        self._pending += 1
        self._touch()
        try:
            await self._transport.link.propose(stream, protocol, self._transport.limits.handshake_s)
            if self.closed:
                raise DialError("link lost")
            channel = self._channel(protocol)
        except BaseException:
            await self._discard(stream)
            raise
        finally:
            self._pending -= 1
            self._touch()
        self._nursery.start_soon(self._drive, channel, stream)
        return channel

    def _take(self, stream: "libp2p_link.SteadyStream") -> None:
        limits = self._transport.limits
        most = limits.channels * len(self._transport.handlers) + limits.channels
        if self._pending + len(self.channels) >= most:
            self._transport.counters["stream limit"] += 1
            self._nursery.start_soon(self._discard, stream)
            return
        self._pending += 1
        self._touch()
        self._nursery.start_soon(self._welcome, stream)

    async def _welcome(self, stream: "libp2p_link.SteadyStream") -> None:
        """Agree on a protocol for a stream that the peer opened, and run its handler."""
        transport, agreed = self._transport, list[str]()

        async def agree() -> None:
            agreed.append(
                await transport.link.agree(stream, transport.handlers, transport.limits.handshake_s)
            )

        try:
            if not await supervisor.contain("negotiation", agree, label="protocol refused"):
                if not self.closed:
                    transport.counters["protocol refused"] += 1
                await self._discard(stream)
                return
        finally:
            self._pending -= 1
            self._touch()
        if transport.is_full(self.peer.peer_id, agreed[0]):
            transport.counters["channel limit"] += 1
            await self._discard(stream)
            return
        channel = self._channel(agreed[0])
        self._nursery.start_soon(self._drive, channel, stream)
        try:
            await supervisor.contain(
                f"handler {channel.protocol}",
                transport.handlers[channel.protocol],
                channel,
                counters=transport.counters,
            )
        finally:
            await channel.aclose()

    def _channel(self, protocol: str) -> QueuedChannel:
        transport = self._transport
        channel = QueuedChannel(
            self.peer,
            framing_of(protocol),
            self._host,
            transport.counters,
            transport.limits.linger_s,
        )
        self.channels.add(channel)
        return channel

    async def _drive(self, channel: QueuedChannel, stream: "libp2p_link.SteadyStream") -> None:
        """Move a channel's frames until either side is done with it."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, nursery, channel, stream)
                nursery.start_soon(self._send, nursery, channel, stream)
                await channel.aborted.wait()
                if not channel.done.is_set():
                    nursery.cancel_scope.cancel()
        finally:
            channel.shut("link lost")
            self.channels.discard(channel)
            self._touch()
            await self._discard(stream)

    async def _read(
        self, nursery: trio.Nursery, channel: QueuedChannel, stream: "libp2p_link.SteadyStream"
    ) -> None:
        decoder, counters = Decoder(channel.framing), self._transport.counters
        wanted, reason = True, "closed by peer"
        try:
            while True:
                for frame in decoder.feed(await stream.read(BATCH)):
                    if wanted:
                        try:
                            await channel.deliver(frame)
                        except ChannelClosed:
                            wanted = False  # our end is closed; read on until the peer's is
                await trio.lowlevel.checkpoint()  # whoever receives has its turn
        except EOFError:
            if self.closed:
                reason = "link lost"
            elif decoder.unfinished and wanted:
                counters["frame truncated"] += 1
        except self._transport.link.StreamErrors:
            reason = "link lost"
        except RemoteProtocolError as error:
            counters[error.reason] += 1
            reason = error.reason
        channel.shut(reason)
        nursery.cancel_scope.cancel()

    async def _send(
        self, nursery: trio.Nursery, channel: QueuedChannel, stream: "libp2p_link.SteadyStream"
    ) -> None:
        encode, limits = channel.framing.encode, self._transport.limits
        reason = "closed"
        try:
            while frames := await channel.next_frames(BATCH):
                with trio.fail_after(limits.dead_s):
                    await stream.write(b"".join(map(encode, frames)))
            await stream.close()
            await self._muxed.flush()
        except trio.TooSlowError:
            self._transport.counters["peer stalled"] += 1
            reason = "peer stalled"
        except self._transport.link.StreamErrors:
            reason = "link lost"
        channel.shut(reason)
        if reason == "closed":
            await trio.sleep(limits.linger_s)  # the reader ends this when the peer closes too
        nursery.cancel_scope.cancel()

    async def _discard(self, stream: "libp2p_link.SteadyStream") -> None:
        """Make sure that a stream is gone on both sides."""
        with trio.CancelScope(shield=True):  # queues twelve bytes and waits for nobody
            try:
                if not stream.closed:
                    await stream.reset()
            except self._transport.link.StreamErrors:
                pass
        self._muxed.forget(stream)
