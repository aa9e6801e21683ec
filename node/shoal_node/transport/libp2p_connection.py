"""One connection of the libp2p host: its tasks, its streams, and the channels on them.

::

    Connection.run ── nursery ─┬─ yamux parser   ├─ writer   ├─ closes it when idle
                               ├─ a stream of the peer's ─► agree ─► handler(channel)
                               └─ a channel ─┬─ reader: stream ─► Decoder ─► inbox
                                             └─ writer: outbox ─► ≤ 60 KB a write ─► stream

A failure on a stream ends its channel; a failure of the link ends the connection, after what
came before has been read. Everything a peer can cause is counted once. spec: transport §5
"""

import math
from collections import Counter
from typing import Final, Protocol

import trio

from shoal_node import supervisor
from shoal_node.transport import libp2p_link
from shoal_node.transport.channel import QueuedChannel
from shoal_node.transport.framing import Decoder, framing_of
from shoal_node.transport.interface import (
    ChannelClosed,
    DialError,
    Handlers,
    Peer,
    TransportLimits,
)
from shoal_node.transport.libp2p_yamux import SteadyStream, SteadyYamux, StreamErrors
from shoal_protocol.errors import RemoteProtocolError

BATCH: Final = 61_440  # bytes of frames in one write; 20 packets


class Owner(Protocol):
    """The transport, as its connections see it."""

    handlers: Handlers
    limits: TransportLimits
    counters: Counter[str]

    def is_full(self, peer_id: bytes, protocol: str) -> bool:
        """Whether this peer holds all the channels of a protocol that it may."""
        ...

    def add(self, connection: "Connection") -> None:
        """Enter a connection that has started."""
        ...

    def remove(self, connection: "Connection") -> None:
        """Forget a connection."""
        ...


class Connection:
    """One authenticated link, and the channels on it.

    Args:
        owner: whose it is.
        peer: who is at the other end.
        muxed: the multiplexer, not yet started.
        host: the remote host, for limits.
        incoming: whether the peer dialled.
    """

    def __init__(
        self,
        owner: Owner,
        peer: Peer,
        muxed: SteadyYamux,
        host: str,
        *,
        incoming: bool,
    ) -> None:
        self.peer = peer
        self.channels: set[QueuedChannel] = set()
        self._owner = owner
        self._muxed = muxed
        self.host = host
        self._incoming = incoming
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._began = trio.current_time()
        self._pending = 0  # streams that negotiate
        self._changed = trio.Event()  # replaced each time it is set
        self.ready = trio.Event()  # it can be used, or is over

    @property
    def closed(self) -> bool:
        """Whether the link is of no more use."""
        return self._scope.cancel_called or self._muxed.event_shutting_down.is_set()

    @property
    def spare(self) -> bool:
        """Whether nobody would miss it: no channel, none under way, and time to open one."""
        used = self.channels or self._pending
        return not used and trio.current_time() - self._began >= self._owner.limits.settle_s

    @property
    def writes(self) -> int:
        """How many Noise messages were written."""
        return self._muxed.writes

    def close(self) -> None:
        """End the connection and all its channels now."""
        self._owner.remove(self)
        self._muxed.abort()
        self._scope.cancel()

    async def run(self) -> None:
        """Serve the link until it breaks or is closed; its tasks end with it."""
        try:
            with self._scope:
                await supervisor.contain(
                    "connection",
                    self._serve,
                    counters=self._owner.counters,
                    label="connection failed",
                )
        finally:
            self._owner.remove(self)
            self._muxed.abort()
            self.ready.set()

    async def _serve(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._muxed.start)
            nursery.start_soon(self._write)
            nursery.start_soon(self._close_when_idle)
            with trio.fail_after(self._owner.limits.handshake_s):
                await self._muxed.event_started.wait()
            self._owner.add(self)
            self.ready.set()
            while True:
                try:
                    stream = await self._muxed.accept()
                except StreamErrors:
                    break
                self._take(stream)
            # The link is down. What came before is still being read.
            self._owner.remove(self)
            self._muxed.abort()
            with trio.move_on_after(self._owner.limits.linger_s):
                while self.channels:
                    await self._changed.wait()
            nursery.cancel_scope.cancel()

    async def _write(self) -> None:
        try:
            await self._muxed.write_loop()
        except StreamErrors:
            self._muxed.abort()

    async def _close_when_idle(self) -> None:
        while True:
            idle_s = self._owner.limits.idle_s
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
        except StreamErrors:
            raise DialError("link lost") from None
        self._pending += 1
        self._touch()
        channel = None
        try:
            await libp2p_link.propose(stream, protocol, self._owner.limits.handshake_s)
            if self.closed:
                raise DialError("link lost")
            channel = self._channel(protocol)
        finally:
            if channel is None:
                await self._discard(stream)
            self._pending -= 1
            self._touch()
        self._nursery.start_soon(self._drive, channel, stream)
        return channel

    def _take(self, stream: SteadyStream) -> None:
        limits = self._owner.limits
        most = limits.channels * len(self._owner.handlers) + limits.channels
        if self._pending + len(self.channels) >= most:
            self._owner.counters["stream limit"] += 1
            self._nursery.start_soon(self._discard, stream)
            return
        self._pending += 1
        self._touch()
        self._nursery.start_soon(self._welcome, stream)

    async def _welcome(self, stream: SteadyStream) -> None:
        """Agree on a protocol for a stream that the peer opened, and run its handler."""
        owner, agreed = self._owner, list[str]()

        async def agree() -> None:
            agreed.append(await libp2p_link.agree(stream, owner.handlers, owner.limits.handshake_s))

        try:
            if not await supervisor.contain("negotiation", agree, label="protocol refused"):
                if not self.closed:
                    owner.counters["protocol refused"] += 1
                await self._discard(stream)
                return
        finally:
            self._pending -= 1
            self._touch()
        if owner.is_full(self.peer.peer_id, agreed[0]):
            owner.counters["channel limit"] += 1
            await self._discard(stream)
            return
        channel = self._channel(agreed[0])
        self._nursery.start_soon(self._drive, channel, stream)
        try:
            await supervisor.contain(
                f"handler {channel.protocol}",
                owner.handlers[channel.protocol],
                channel,
                counters=owner.counters,
            )
        finally:
            await channel.aclose()

    def _channel(self, protocol: str) -> QueuedChannel:
        owner = self._owner
        channel = QueuedChannel(
            self.peer,
            framing_of(protocol),
            self.host,
            owner.counters,
            owner.limits.linger_s,
            incoming=self._incoming,
        )
        self.channels.add(channel)
        return channel

    async def _drive(self, channel: QueuedChannel, stream: SteadyStream) -> None:
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
        self, nursery: trio.Nursery, channel: QueuedChannel, stream: SteadyStream
    ) -> None:
        decoder, counters = Decoder(channel.framing), self._owner.counters
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
        except StreamErrors:
            reason = "link lost"
        except RemoteProtocolError as error:
            counters[error.reason] += 1
            reason = error.reason
        channel.shut(reason)
        nursery.cancel_scope.cancel()

    async def _send(
        self, nursery: trio.Nursery, channel: QueuedChannel, stream: SteadyStream
    ) -> None:
        encode, limits = channel.framing.encode, self._owner.limits
        reason = "closed"
        try:
            while frames := await channel.next_frames(BATCH):
                with trio.fail_after(limits.dead_s):
                    await stream.write(b"".join(map(encode, frames)))
            await stream.close()
            await self._muxed.flush()
        except trio.TooSlowError:
            self._owner.counters["peer stalled"] += 1
            reason = "peer stalled"
        except StreamErrors:
            reason = "link lost"
        channel.shut(reason)
        if reason == "closed":
            await trio.sleep(limits.linger_s)  # the reader ends this when the peer closes too
        nursery.cancel_scope.cancel()

    async def _discard(self, stream: SteadyStream) -> None:
        """Make sure that a stream is gone on both sides."""
        with trio.CancelScope(shield=True):  # queues twelve bytes and waits for nobody
            try:
                if not stream.closed:
                    await stream.reset()
            except StreamErrors:
                pass
        self._muxed.forget(stream)
