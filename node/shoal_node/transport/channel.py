"""A channel's two bounded queues, which every transport's channels share.

::

    node                          │ queues                  │ link driver
    try_send, send ───────────────► outbox (framing.outbox) ─► next_frames
    receive ◄───────────────────── inbox (framing.inbox) ◄── deliver
    aclose ── closing ─────────────► next_frames returns [] once the outbox is empty
    ChannelClosed ◄──────────────── shut(reason) ◄────────── the link is gone, or done

Only queue operations can be cancelled by a caller, never a read or a write of the link, so a
time-out around ``receive`` loses nothing and breaks nothing.
"""

from collections import Counter, deque

import trio

from shoal_node.transport.framing import Framing
from shoal_node.transport.interface import ChannelClosed, Peer


class QueuedChannel:
    """One end of a channel; the upper half is ``interface.Channel``, the lower its driver's.

    Args:
        peer: the authenticated other side.
        framing: the protocol's framing, which sets the bounds.
        address: the remote host, for limits.
        counters: where frames dropped on a full inbox are counted.
        linger_s: how long ``aclose`` may take to write out the outbox.
        incoming: whether the peer dialled the link.
    """

    def __init__(
        self,
        peer: Peer,
        framing: Framing,
        address: str,
        counters: Counter[str],
        linger_s: float,
        *,
        incoming: bool = False,
    ) -> None:
        self._peer = peer
        self._framing = framing
        self._address = address
        self._counters = counters
        self._linger_s = linger_s
        self.incoming = incoming
        self._outbox: deque[bytes] = deque()
        self._inbox_in, self._inbox_out = trio.open_memory_channel[bytes](framing.inbox)
        self._room = trio.Event()  # replaced each time it is set
        self._filled = trio.Event()  # replaced each time it is set
        self._reason: str | None = None  # set once the channel is of no more use to the node
        self._closing = False
        self.done = trio.Event()  # the link has let go of this channel
        self.aborted = trio.Event()  # the node won't wait for the outbox

    def __repr__(self) -> str:
        return f"<channel {self._framing.protocol}>"

    @property
    def peer(self) -> Peer:
        """The authenticated peer."""
        return self._peer

    @property
    def protocol(self) -> str:
        """The protocol identifier."""
        return self._framing.protocol

    @property
    def address(self) -> str:
        """The remote host, for limits only."""
        return self._address

    @property
    def framing(self) -> Framing:
        """The protocol's framing."""
        return self._framing

    def try_send(self, frame: bytes) -> bool:
        """See ``interface.Channel``."""
        self._framing.check(frame)
        if self._reason is not None or len(self._outbox) >= self._framing.outbox:
            return False
        self._outbox.append(frame)
        self._filled.set()
        return True

    async def send(self, frame: bytes) -> None:
        """See ``interface.Channel``."""
        await trio.lowlevel.checkpoint()
        while not self.try_send(frame):
            if self._reason is not None:
                raise ChannelClosed(self._reason)
            await self._room.wait()

    async def receive(self) -> bytes:
        """See ``interface.Channel``."""
        try:
            return await self._inbox_out.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ChannelClosed(self._reason or "closed") from None

    async def receive_many(self) -> list[bytes]:
        """See ``interface.Channel``."""
        frames = [await self.receive()]
        try:
            while True:
                frames.append(self._inbox_out.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            return frames

    async def aclose(self) -> None:
        """See ``interface.Channel``."""
        if not self._closing:
            self._closing = True
            self._reason = self._reason or "closed"
            self._inbox_out.close()
            self._filled.set()
            self._wake_senders()
        try:
            with trio.move_on_after(self._linger_s):
                await self.done.wait()
        finally:
            self.aborted.set()

    # What follows is for the driver of the link.

    async def next_frames(self, limit: int) -> list[bytes]:
        """Wait for frames to write.

        Args:
            limit: bytes on the stream to take at most; one frame is always taken.

        Returns:
            frames in order, or [] when the channel is closing and everything is taken.
        """
        while not self._outbox:
            if self._closing or self.done.is_set():
                return []
            self._filled = trio.Event()
            await self._filled.wait()
        frames, size = [self._outbox.popleft()], 0
        size = self._framing.size_of(frames[0])
        while self._outbox and size + self._framing.size_of(self._outbox[0]) <= limit:
            frames.append(self._outbox.popleft())
            size += self._framing.size_of(frames[-1])
        self._wake_senders()
        return frames

    async def deliver(self, frame: bytes) -> None:
        """Hand a received frame to the node: wait for room, or drop and count (``lossy``).

        Raises:
            ChannelClosed: the node has closed its end.
        """
        try:
            if not self._framing.lossy:
                await self._inbox_in.send(frame)
                return
            self._inbox_in.send_nowait(frame)
        except trio.WouldBlock:
            self._counters["inbox full"] += 1
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChannelClosed(self._reason or "closed") from None

    def shut(self, reason: str) -> None:
        """Close from below: what is received stays readable, what isn't written is dropped."""
        self._reason = self._reason or reason
        self._outbox.clear()
        self._inbox_in.close()
        self._filled.set()
        self._wake_senders()
        self.done.set()

    def _wake_senders(self) -> None:
        self._room.set()
        self._room = trio.Event()
