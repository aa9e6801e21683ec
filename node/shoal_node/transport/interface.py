"""The one interface between Shoal and whatever carries its frames.

::

    run_…(handlers, …)  ── started(Transport) ──┐          one per node
                                                ▼
    Transport ── open(address, protocol) ──► Channel        one per peer and purpose
        └── an incoming channel ──► handlers[protocol](channel)

    Channel    try_send / send ► bounded outbox ► link ► bounded inbox ► receive
               open ──aclose, handler returns, peer closes, link breaks──► closed

A transport is a service, started with ``nursery.start``: cancelling it closes every channel,
connection and socket, and leaves no task behind. The libp2p host (``libp2p_host.run_libp2p``)
and the in-memory twin (``memory.MemoryNetwork.run``) have the same shape, so that a node can't
tell them apart. spec: transport §1
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from shoal_node.transport.metering import Meter
from shoal_protocol import identity
from shoal_protocol.errors import ShoalError

T_contra = TypeVar("T_contra", contravariant=True)


class TaskStatus(Protocol[T_contra]):
    """What ``nursery.start`` passes to a service (old stubs of trio lack its own type)."""

    def started(self, value: T_contra) -> None:
        """Tell the starter that the service is ready, and hand it ``value``."""
        ...


class ChannelClosed(ShoalError):
    """The channel is closed, by either side or by the death of its link.

    Args:
        reason: a short fixed label, fit for counters and logs.
    """

    def __init__(self, reason: str = "closed") -> None:
        super().__init__(reason)
        self.reason = reason


class DialError(ShoalError):
    """No channel could be opened: the peer is away, is another one, or doesn't speak the protocol.

    Args:
        reason: a short fixed label, never made from addresses or the peer's bytes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Peer:
    """An authenticated peer.

    ``peer_id`` is libp2p's 38 bytes; ``relay_id`` the 16 bytes by which packets name it.
    """

    peer_id: bytes
    relay_id: bytes

    @classmethod
    def of(cls, peer_id: bytes) -> "Peer":
        """Return the peer with this 38-byte peer id."""
        return cls(peer_id, identity.relay_id(peer_id))


class Channel(Protocol):
    """Whole frames in order, both ways, between this node and one authenticated peer."""

    @property
    def peer(self) -> Peer:
        """The peer, authenticated by the transport."""
        ...

    @property
    def protocol(self) -> str:
        """The protocol identifier, e.g. ``/shoal/packet/1``."""
        ...

    @property
    def address(self) -> str:
        """The remote host as text, without a port: for limits only, never logged."""
        ...

    @property
    def incoming(self) -> bool:
        """Whether the peer dialled the link that it runs on, whoever opened the channel."""
        ...

    def try_send(self, frame: bytes) -> bool:
        """Queue a frame without waiting.

        Returns:
            False when the outbox is full or the channel closed: the caller drops and counts.

        Raises:
            LocalProtocolError: the frame's length isn't allowed on this protocol.
        """
        ...

    async def send(self, frame: bytes) -> None:
        """Queue a frame, waiting for room; done when queued, not when delivered.

        Raises:
            ChannelClosed: before there was room.
            LocalProtocolError: as for ``try_send``.
        """
        ...

    async def receive(self) -> bytes:
        """Return the next frame; may be cancelled at any moment without losing one.

        Raises:
            ChannelClosed: the channel is closed and every frame that came before is read.
        """
        ...

    async def receive_many(self) -> list[bytes]:
        """Return every frame that is here, at least one: as ``receive``, with fewer task switches.

        Raises:
            ChannelClosed: as for ``receive``.
        """
        ...

    async def aclose(self) -> None:
        """Write out what is queued, within a short limit, and close; never raises ChannelClosed.

        Cancelled, it closes at once.
        """
        ...


Handler = Callable[[Channel], Awaitable[None]]
"""Serves one incoming channel; the channel is closed when it returns. ChannelClosed may escape."""

Handlers = Mapping[str, Handler]
"""One handler per protocol identifier; a protocol without one is refused to peers."""


class Transport(Protocol):
    """A node's presence on a network: who it is, where it listens, and a way to reach others."""

    @property
    def peer_id(self) -> bytes:
        """This node's 38-byte peer id."""
        ...

    @property
    def public_key(self) -> bytes:
        """This node's 32-byte Ed25519 key."""
        ...

    @property
    def addresses(self) -> tuple[str, ...]:
        """Full addresses at which this node listens, ending in ``/p2p/<peer id>``."""
        ...

    @property
    def counters(self) -> Counter[str]:
        """Events by fixed label: refused, dropped and failed things; spec: transport §6."""
        ...

    @property
    def meter(self) -> Meter:
        """The bytes that this node moved."""
        ...

    async def open(self, address: str, protocol: str) -> Channel:
        """Open a channel to the peer that ``address`` names, over an existing connection if any.

        Args:
            address: a full address, ending in ``/p2p/<peer id>``.
            protocol: an identifier that ``framing`` knows.

        Raises:
            DialError: unreachable, another peer answered, protocol refused, or limits reached.
        """
        ...


class StartTransport(Protocol):
    """The shape of ``libp2p_host.run_libp2p`` and ``memory.MemoryNetwork.run``."""

    def __call__(
        self,
        handlers: Handlers,
        *,
        seed: bytes,
        listen: Sequence[str],
        task_status: TaskStatus[Any],
    ) -> Awaitable[None]:
        """Be on the network until cancelled; ``started`` gets the Transport."""
        ...


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds of one transport; the whole memory it can be made to use follows from them."""

    connections: int = 512  # authenticated ones
    half_open: int = 256  # sockets that haven't finished the handshake
    handshake_s: float = 10.0  # from accept or connect to an authenticated, multiplexed link
    dial_s: float = 15.0  # the whole of ``open``
    channels: int = 4  # of one peer for one protocol, either direction
    idle_s: float = 60.0  # a connection without any channel
    settle_s: float = 5.0  # before a connection without any channel may give way to another
    keepalive_s: float = 15.0  # silence after which a peer is asked for a sign of life
    dead_s: float = 30.0  # silence after which a peer is taken for dead
    linger_s: float = 2.0  # for writing out what is queued when a channel closes
