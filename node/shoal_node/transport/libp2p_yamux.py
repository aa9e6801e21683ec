"""yamux from py-libp2p, mended: calls may be cancelled, windows hold, the dead are noticed.

::

    SteadyStream.write ─► peer's window ─┐
    SteadyStream.write ─► peer's window ─┼► one queue ─► write_loop: ≤ 64 KB a Noise message
    pings, grants, resets ───────────────┘
    Noise session ─► _Frames ─ plain data ─────────► unread (≤ 256 KiB) ─► SteadyStream.read
                        └─ all else ─► py-libp2p's parser

What py-libp2p 0.8.1 gets wrong for us: a cancelled write breaks the connection; a writer polls
for its window and gives up after 5 s; receive windows are never enforced and grow to 16 MiB; a
DATA frame may announce as much; versions and types that it doesn't know are passed over; what
came before a link broke is thrown away; a silent peer is never noticed; warnings, which name
addresses, reach standard error. All of it is mended here by overriding private parts, and a test
fails when the pinned version changes. Import this module lazily: it costs a second and 54 MB.

Source: hashicorp/yamux spec.md. spec: transport §4
"""

import logging
import os
import struct
from collections import Counter, deque
from typing import Any, Final, Protocol

import trio

from shoal_node.transport.interface import TransportLimits
from shoal_protocol.errors import LocalProtocolError

# py-libp2p configures logging when it is imported, perhaps with a file: keep it silent.
os.environ.pop("LIBP2P_DEBUG", None)

from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError
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
WINDOW: Final = yamux.DEFAULT_WINDOW_SIZE  # bytes a stream may receive unread, 256 KiB
GRANT: Final = WINDOW // 4  # bytes read before the peer is granted as many again
MAX_QUEUED: Final = 131_072  # bytes waiting for the socket before writers wait
MAX_CONTROL: Final = 262_144  # bytes; above it a peer makes us answer and reads nothing
MAX_WRITE: Final = 65_519  # bytes in one Noise message: 65,535 − 16
MAX_CHUNK: Final = MAX_WRITE - yamux.HEADER_SIZE  # bytes of data in one yamux frame
_HEADER: Final = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
READS_IN_A_ROW: Final = 64  # reads from a full buffer before other tasks run

StreamErrors: Final = (BaseLibp2pError, OSError, EOFError)
"""What reading, writing and opening streams raises when the peer or the link is at fault."""


class Below(Protocol):
    """What the multiplexer needs to know of the socket that carries it."""

    heard: float  # trio time at which the peer was last heard
    ended: bool  # the peer closed it, it broke, or we did

    def abort(self) -> None:
        """Close the socket at once."""
        ...

    async def read_message(self) -> bytes:
        """Return the next Noise message, encrypted; raises ConnectionClosedError."""
        ...


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


class _Frames:
    """The Noise session as yamux reads it: frames of plain data go to their streams at once.

    What is left for the library's parser are headers of all other frames, checked here, since it
    ignores versions and types that it doesn't know, and bodies of frames that lie in several
    Noise messages. Its own way to a frame costs 40 µs more, for a packet that comes alone. It
    also reads from a full buffer without ever yielding; here other tasks get their turn.
    """

    def __init__(self, session: Any, socket: Below, muxed: "SteadyYamux") -> None:
        self._session = session
        self._socket = socket
        self._muxed = muxed
        self._reads = 0
        self._plain = bytearray(session._drain(None))  # what followed the choice of yamux
        self._at = 0  # how much of it has been read
        self.write = session.write
        self.close = session.close
        self.is_initiator = session.is_initiator

    async def read(self, n: int | None = None) -> bytes:
        """Return the next header that is the library's to read; ``n`` is its length."""
        await self._have(yamux.HEADER_SIZE)
        while self._pass_on():
            await self._have(yamux.HEADER_SIZE)
        header = self._take(yamux.HEADER_SIZE)
        if header[0] != 0 or header[1] > yamux.TYPE_GO_AWAY:
            raise ConnectionClosedError("no yamux header")
        return header

    async def read_body(self, length: int) -> bytes:
        """Return the body of the frame whose header came last."""
        await self._have(length)
        return self._take(length)

    def _take(self, length: int) -> bytes:
        start = self._at
        self._at += length
        return bytes(self._plain[start : self._at])

    async def _have(self, length: int) -> None:
        """Read messages until ``length`` bytes are there."""
        await self._yield_sometimes()
        while len(self._plain) - self._at < length:
            await self._yield_sometimes()
            message = self._session.conn.decrypt(await self._socket.read_message())
            if not message:
                raise ConnectionClosedError("empty message")
            del self._plain[: self._at]
            self._at = 0
            self._plain += message

    async def _yield_sometimes(self) -> None:
        self._reads += 1
        if self._reads % READS_IN_A_ROW == 0:
            await trio.lowlevel.checkpoint()

    def _pass_on(self) -> bool:
        """Give a whole frame of plain data to its stream, as the library would."""
        muxed, start = self._muxed, self._at + yamux.HEADER_SIZE
        version, kind, flags, stream_id, length = _HEADER.unpack_from(self._plain, self._at)
        stream = muxed.streams.get(stream_id)
        if version or kind or flags or len(self._plain) < start + length or stream is None:
            return False
        if stream.closed or muxed.event_shutting_down.is_set():
            return False
        with memoryview(self._plain) as view:
            muxed.stream_buffers[stream_id].extend(view[start : start + length])
        stream.recv_window = max(0, stream.recv_window - length)
        muxed.stream_events[stream_id].set()
        self._at = start + length
        return True


class SteadyYamux(yamux.Yamux):
    """yamux whose callers may be cancelled anywhere, and which notices the dead.

    Args:
        session: the Noise session.
        socket: the socket below it.
        limits: for keep-alive.
        counters: where what ends a connection is counted.
    """

    def __init__(
        self, session: Any, socket: Below, limits: TransportLimits, counters: Counter[str]
    ) -> None:
        frames: Any = _Frames(session, socket, self)
        super().__init__(
            frames, session.get_remote_peer(), is_initiator=session.is_initiator, on_close=None
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

    async def _read_data_body(self, length: int) -> bytes:
        """Read the body of a frame whose header the library has read.

        A peer that stops in the middle of a frame stalls its own connection alone, holds at
        most one frame, and is cut off when it falls silent.
        """
        frames: Any = self.secured_conn
        body: bytes = await frames.read_body(length)
        return body

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
