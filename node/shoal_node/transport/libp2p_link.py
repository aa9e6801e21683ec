"""One authenticated, multiplexed connection to a peer: TCP, Noise XX, yamux, from py-libp2p.

::

    SteadyYamux   streams; frames of all streams ─► one queue ─► write_loop: ≤ 64 KB a write
    SecureSession Noise_XX_25519_ChaChaPoly_SHA256 over the peer's Ed25519 identity
    Socket        exact reads, a byte budget until the handshake is over, when last heard
    TCP

Only the layers of py-libp2p are used, not its host and swarm: those dial on their own, keep
tasks outside any nursery, hold a slot for every silent connection, bind with SO_REUSEPORT and
log addresses. On the wire this is libp2p as ever (specs: noise, yamux, multistream-select 1.0).
No other security protocol is offered, so there is nothing to fall back to.

What py-libp2p 0.8.1 gets wrong for us, and this module mends by overriding private parts (a
test fails when the pinned version changes): a cancelled write breaks the connection, so writes
only queue and one task writes; receive windows are never enforced; a DATA frame may announce
16 MiB; length prefixes of multistream-select have no limit; a silent peer is never noticed;
warnings reach standard error. Import this module lazily: it costs about a second and 63 MB.

spec: transport §3, §4
"""

import logging
import os
import struct
from collections import Counter, deque
from typing import Any, Final

import trio

from shoal_node import supervisor
from shoal_node.transport.interface import DialError, Handlers, Peer, TransportLimits
from shoal_protocol import crypto, identity
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError

# py-libp2p configures logging when it is imported, perhaps with a file: keep it silent.
os.environ.pop("LIBP2P_DEBUG", None)

from libp2p.abc import IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import X25519PrivateKey
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError, IOException
from libp2p.peer.id import ID
from libp2p.protocol_muxer.generic_selector import GenericMultistreamSelector
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.exceptions import (
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamReset,
)
from libp2p.stream_muxer.yamux import yamux

_silent = logging.getLogger("libp2p")
_silent.handlers[:] = [logging.NullHandler()]  # without a handler, logging writes to stderr
_silent.setLevel(logging.CRITICAL + 1)
_silent.propagate = False

PINNED: Final = "0.8.1"  # the version whose private parts are overridden here
HANDSHAKE_BUDGET: Final = 16_384  # bytes read before a connection is authenticated
NEGOTIATION_BUDGET: Final = 1_024  # bytes read to agree on one stream's protocol
WINDOW: Final = yamux.DEFAULT_WINDOW_SIZE  # bytes a stream may receive unread, 256 KiB
GRANT: Final = WINDOW // 4  # bytes read before the peer is granted as many again
MAX_QUEUED: Final = 131_072  # bytes waiting for the socket before writers wait
MAX_CONTROL: Final = 262_144  # bytes; above it a peer makes us answer and reads nothing
MAX_WRITE: Final = 65_519  # bytes in one Noise message: 65,535 − 16
MAX_CHUNK: Final = MAX_WRITE - yamux.HEADER_SIZE  # bytes of data in one yamux frame
READS_IN_A_ROW: Final = 64  # reads from a full buffer before other tasks run
READ_SIZE: Final = 65_536  # bytes asked of the socket at once

StreamErrors: Final = (BaseLibp2pError, OSError, EOFError)
"""What reading, writing and opening streams raises when the peer or the link is at fault."""


class Socket(IRawConnection):
    """A TCP connection that reads exactly and never lets a stranger fill memory.

    Args:
        stream: the connected socket.
        is_initiator: whether this side dialled.
    """

    def __init__(self, stream: trio.SocketStream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.heard = trio.current_time()
        self.ended = False  # the peer closed it, it broke, or we did
        self.budget: int | None = HANDSHAKE_BUDGET
        self._stream = stream
        self._buffer = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Read exactly ``n`` bytes, or whatever comes next.

        Raises:
            ConnectionClosedError: the connection ended first, or the budget is used up.
        """
        wanted = 1 if n is None else n
        if self.budget is not None and wanted > self.budget:
            raise ConnectionClosedError("over budget")
        while len(self._buffer) < wanted:
            try:
                data = await self._stream.receive_some(READ_SIZE)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self.ended = True
                raise ConnectionClosedError("connection closed")
            self.heard = trio.current_time()
            self._buffer += data
        taken = bytes(self._buffer[:n])
        del self._buffer[: len(taken)]
        if self.budget is not None:
            self.budget -= len(taken)
        return taken

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; raises ConnectionClosedError."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionClosedError("connection closed") from None

    async def close(self) -> None:
        """Close the socket."""
        self.ended = True
        await self._stream.aclose()

    def abort(self) -> None:
        """Close the socket at once, from synchronous code; readers and writers then fail."""
        self.ended = True
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Tell py-libp2p nothing: it would only log it."""
        return None

    def get_transport_addresses(self) -> list[Any]:
        """Tell py-libp2p nothing."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """Return that the connection is direct."""
        return ConnectionType.DIRECT


class _Metered:
    """A stream for one negotiation, of which a peer can make us read only so much."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = NEGOTIATION_BUDGET

    async def read(self, n: int | None = None) -> bytes:
        if n is None or n > self._left:
            raise IOException("over budget")
        self._left -= n
        data = await self._stream.read(n)
        if not data:
            raise IOException("stream ended")
        return bytes(data)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)


class _Unread(bytearray):
    """What a stream has received and nobody has read; a peer that ignores its window is cut."""

    def __init__(self, muxed: "SteadyYamux") -> None:
        super().__init__()
        self._muxed = muxed

    def extend(self, data: Any) -> None:
        if len(self) + len(data) > WINDOW:
            self._muxed.cut("window exceeded")
            return
        super().extend(data)


class _UnreadOfStreams(dict[int, bytearray]):
    """py-libp2p's table of receive buffers, with buffers that have a bound.

    Its clean-up empties the table, so each stream keeps its buffer itself: what came before a
    link broke can still be read.
    """

    def __init__(self, muxed: "SteadyYamux") -> None:
        super().__init__()
        self._muxed = muxed

    def __setitem__(self, stream_id: int, _buffer: bytearray) -> None:
        unread = _Unread(self._muxed)
        steady(self._muxed.streams[stream_id]).unread = unread
        super().__setitem__(stream_id, unread)


class SteadyStream(yamux.YamuxStream):
    """A yamux stream with a constant, enforced window, whose calls may be cancelled.

    The window is yamux's first, 256 KiB; what is read is granted again by the quarter. ``write``
    waits for the peer's window by an event, for as long as it takes; the caller sets a limit.
    """

    conn: "SteadyYamux"
    unread: bytearray

    def __init__(self, stream_id: int, conn: "SteadyYamux", is_initiator: bool) -> None:
        self._credit = 0
        self._credited = trio.Event()
        self._ungranted = 0
        super().__init__(stream_id, conn, is_initiator)

    @property
    def send_window(self) -> int:
        """Bytes that the peer will still take."""
        return self._credit

    @send_window.setter
    def send_window(self, value: int) -> None:
        self._credit = value
        self._credited.set()

    async def read(self, n: int | None = None) -> bytes:
        """Return up to ``n`` bytes, at least one.

        Raises:
            MuxedStreamEOF: the peer closed, or the link broke; everything before is read.
            MuxedStreamReset: the peer reset the stream.
        """
        while not self.unread:
            if self.recv_closed or self.conn.event_shutting_down.is_set():
                raise MuxedStreamEOF("closed")
            if self.closed or self.reset_received:
                raise MuxedStreamReset("reset")
            event = self.conn.stream_events.get(self.stream_id)
            if event is None:
                raise MuxedStreamEOF("closed")
            if event.is_set():
                event = self.conn.stream_events[self.stream_id] = trio.Event()
            await event.wait()
        data = bytes(self.unread[:n])
        del self.unread[: len(data)]
        self._ungranted += len(data)
        over = self.recv_closed or self.closed or self.conn.event_shutting_down.is_set()
        if self._ungranted >= GRANT and not over:
            granted, self._ungranted = self._ungranted, 0
            self.recv_window += granted
            await self.send_window_update(granted)
        return data

    async def write(self, data: bytes) -> None:
        """Queue all of ``data`` within the peer's window.

        Raises:
            MuxedStreamClosed: the stream is closed for sending.
        """
        for start in range(0, len(data), MAX_CHUNK):
            chunk = data[start : start + MAX_CHUNK]
            while self._credit < len(chunk) and not self._is_over():
                self._credited = trio.Event()
                await self._credited.wait()
            if self._is_over():
                raise MuxedStreamClosed("closed")
            self._credit -= len(chunk)
            header = (0, yamux.TYPE_DATA, 0, self.stream_id, len(chunk))
            await self.conn._write_frame(struct.pack(yamux.YAMUX_HEADER_FORMAT, *header) + chunk)

    def wake(self) -> None:
        """Let a writer that waits for the window look whether there is still a connection."""
        self._credited.set()

    def _is_over(self) -> bool:
        return self.send_closed or self.closed or self.conn.event_shutting_down.is_set()


yamux.MAX_WINDOW_SIZE = WINDOW  # the longest DATA frame that a peer may announce
yamux.YamuxStream = SteadyStream  # type: ignore[misc, assignment]


def steady(stream: object) -> SteadyStream:
    """Return a stream of the library's as what it is since the line above."""
    if not isinstance(stream, SteadyStream):
        raise LocalProtocolError("py-libp2p made a stream of another kind")
    return stream


class _Headers:
    """The Noise session as yamux reads it: headers are checked, and other tasks get their turn.

    The library ignores versions and types that it doesn't know, and reads from a full buffer
    without ever yielding.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._reads = 0
        self.write = session.write
        self.close = session.close
        self.is_initiator = session.is_initiator

    async def read(self, n: int | None = None) -> bytes:
        self._reads += 1
        if self._reads % READS_IN_A_ROW == 0:
            await trio.lowlevel.checkpoint()
        data: bytes = await self._session.read(n)
        if n == yamux.HEADER_SIZE and (data[0] != 0 or data[1] > yamux.TYPE_GO_AWAY):
            raise ConnectionClosedError("no yamux header")
        return data


class SteadyYamux(yamux.Yamux):
    """yamux whose callers may be cancelled anywhere, and which notices the dead.

    Args:
        session: the Noise session.
        socket: the socket below it.
        limits: for keep-alive.
        counters: where what ends a connection is counted.
    """

    def __init__(
        self, session: Any, socket: Socket, limits: TransportLimits, counters: Counter[str]
    ) -> None:
        paced: Any = _Headers(session)
        super().__init__(
            paced, session.get_remote_peer(), is_initiator=session.is_initiator, on_close=None
        )
        self.stream_buffers = _UnreadOfStreams(self)
        self._socket = socket
        self._limits = limits
        self._counters = counters
        self._queue: deque[bytes] = deque()
        self._queued = 0  # bytes in the queue or being written
        self._filled = trio.Event()
        self._room = trio.Event()
        self.writes = 0  # Noise messages written

    async def _write_frame(self, data: bytes) -> None:
        """Queue a frame for ``write_loop``: a cancelled caller leaves nothing half written."""
        await trio.lowlevel.checkpoint()
        if len(data) > yamux.HEADER_SIZE:
            while self._queued > MAX_QUEUED and not self.event_shutting_down.is_set():
                await self._room.wait()
        elif self._queued > MAX_CONTROL:
            self.cut("control flood")
        if self.event_shutting_down.is_set():
            raise ConnectionClosedError("connection closed")
        self._queue.append(data)
        self._queued += len(data)
        self._filled.set()

    async def write_loop(self) -> None:
        """Write queued frames, as many as a Noise message holds at once, until cancelled.

        Raises:
            ConnectionClosedError: the connection broke.
        """
        while True:
            if not self._queue:
                self._filled = trio.Event()
                await self._filled.wait()
            batch, size = [self._queue.popleft()], 0
            size = len(batch[0])
            while self._queue and size + len(self._queue[0]) <= MAX_WRITE:
                batch.append(self._queue.popleft())
                size += len(batch[-1])
            self.writes += 1
            await self.secured_conn.write(b"".join(batch))
            self._queued -= size
            self._wake()

    async def flush(self) -> None:
        """Wait until everything queued is with the kernel, or the connection is over."""
        while self._queued and not self.event_shutting_down.is_set():
            await self._room.wait()

    async def _measure_rtt_loop(self) -> None:
        """Ask a silent peer for a sign of life, and cut it off when none comes."""
        while not self.event_shutting_down.is_set():
            with trio.move_on_after(self._limits.keepalive_s):
                await self.event_shutting_down.wait()
            silent = trio.current_time() - self._socket.heard
            if silent >= self._limits.dead_s:
                self.cut("peer dead")
            elif silent >= self._limits.keepalive_s and self._queued <= MAX_QUEUED:
                self._ping_id = (self._ping_id + 1) & 0xFFFFFFFF
                header = (0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, self._ping_id)
                await self._write_frame(struct.pack(yamux.YAMUX_HEADER_FORMAT, *header))

    async def _cleanup_on_error(self) -> None:
        """Count a connection that ends though its socket doesn't: GO_AWAY, garbage, a bad MAC."""
        if not self._socket.ended:
            self._counters["link violation"] += 1
        self.abort()
        await super()._cleanup_on_error()

    def cut(self, reason: str) -> None:
        """End the connection for a fault of the peer's, counted under ``reason``."""
        if not self.event_shutting_down.is_set():
            self._counters[reason] += 1
        self.abort()

    def abort(self) -> None:
        """End the connection now, from synchronous code: every reader and writer wakes up."""
        self.event_shutting_down.set()
        self._socket.abort()
        self._wake()
        for stream in list(self.streams.values()):
            steady(stream).wake()
        for event in list(self.stream_events.values()):
            event.set()

    async def accept(self) -> SteadyStream:
        """Wait for the peer to open a stream; raises MuxedConnUnavailable when it can't."""
        return steady(await self.accept_stream())

    async def open(self) -> SteadyStream:
        """Open a stream; raises MuxedStreamError when the connection is over."""
        return steady(await self.open_stream())

    def forget(self, stream: SteadyStream) -> None:
        """Drop what py-libp2p keeps of a stream that nobody reads any more."""
        for table in (self.streams, self.stream_buffers, self.stream_events):
            table.pop(stream.stream_id, None)

    def _wake(self) -> None:
        self._room.set()
        self._room = trio.Event()


class Identity:
    """This node's keys in the forms that py-libp2p wants.

    Args:
        seed: 32 bytes, the Ed25519 seed; the static Noise key is derived from it.
    """

    def __init__(self, seed: bytes) -> None:
        pair = create_new_key_pair(seed)
        static = X25519PrivateKey.from_bytes(crypto.kdf(b"noise static key", seed))
        self._noise = NoiseTransport(pair, noise_privkey=static)
        self._security = GenericMultistreamSelector[Any]()
        self._security.add_handler(NOISE, self._noise)
        self._muxer = GenericMultistreamSelector[Any]()
        self._muxer.add_handler(TProtocol(yamux.PROTOCOL_ID), None)

    async def secure(
        self,
        stream: trio.SocketStream,
        target: bytes | None,
        limits: TransportLimits,
        counters: Counter[str],
    ) -> tuple[Peer, SteadyYamux]:
        """Shake hands over a fresh TCP connection.

        Args:
            stream: connected, nothing read or written.
            target: the peer id that was dialled, or None for an accepted connection.
            limits: for the multiplexer.
            counters: for the multiplexer.

        Returns:
            the authenticated peer and the multiplexer, not yet started.

        Raises:
            RemoteProtocolError: the peer isn't identified by an Ed25519 key.
            Exception: whatever py-libp2p meets in garbage; run it contained.
        """
        socket = Socket(stream, is_initiator=target is not None)
        await self._security.select(socket, socket.is_initiator)
        if target is not None:
            session = await self._noise.secure_outbound(socket, ID(target))
        else:
            session = await self._noise.secure_inbound(socket)
        peer_id = session.get_remote_peer().to_bytes()
        if len(peer_id) != identity.PEER_ID_LENGTH or (target or peer_id) != peer_id:
            raise RemoteProtocolError("peer id")
        if not peer_id.startswith(identity.PEER_ID_PREFIX):
            raise RemoteProtocolError("peer id")
        await self._muxer.select(session, socket.is_initiator)
        socket.budget = None
        return Peer.of(peer_id), SteadyYamux(session, socket, limits, counters)


def _reason_of(text: str) -> str:
    """Tell why a proposal failed; the library says it in words only."""
    if "not supported" in text:
        return "protocol refused"
    return "too slow" if "timed out" in text else "link lost"


async def propose(stream: Any, protocol: str, timeout_s: float) -> None:
    """Agree with the peer that a stream of ours carries ``protocol``.

    Raises:
        DialError: the peer refuses, is too slow, answers garbage, or the link broke.
    """
    communicator = MultiselectCommunicator(_Metered(stream))  # type: ignore[arg-type]
    reasons: list[str] = []

    async def negotiate() -> None:
        try:
            await MultiselectClient().select_one_of(
                [TProtocol(protocol)], communicator, int(timeout_s) or 1
            )
        except BaseLibp2pError as error:
            reasons.append(_reason_of(str(error)))

    if not await supervisor.contain("proposal", negotiate, label="negotiation"):
        raise DialError("negotiation")
    if reasons:
        raise DialError(reasons[0])


async def agree(stream: Any, handlers: Handlers, timeout_s: float) -> str:
    """Let the peer say which protocol a stream of its carries.

    Raises:
        Exception: the peer proposes nothing that has a handler, is too slow, or sends garbage;
            run it contained.
    """
    selector = Multiselect({TProtocol(protocol): None for protocol in handlers})
    communicator = MultiselectCommunicator(_Metered(stream))  # type: ignore[arg-type]
    protocol, _ = await selector.negotiate(communicator, int(timeout_s) or 1)
    if protocol is None:
        raise RemoteProtocolError("negotiation")
    return str(protocol)
