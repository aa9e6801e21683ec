"""From a TCP connection to an authenticated, multiplexed link, and from a stream to a protocol.

::

    TCP ─► Socket ─► multistream: /noise ─► Noise XX ─► multistream: /yamux/1.0.0 ─► SteadyYamux
           └─ 16 KiB in all until here, within the caller's deadline ──────────────┘
    SteadyStream ─► multistream: /shoal/…/1 ─► frames
                    └─ 1 KiB ─┘

Only the layers of py-libp2p are used, not its host and swarm: those dial on their own, keep
tasks outside any nursery, hold a slot for every silent connection, bind with SO_REUSEPORT and
log addresses. On the wire this is libp2p as ever (specs: noise, yamux, multistream-select 1.0,
peer-ids). No other security protocol is offered, so there is nothing to fall back to. The
library's own length prefixes have no limit (GHSA-xqvc-92cf-94j4), hence the budgets.

spec: transport §3
"""

from collections import Counter
from typing import Any, Final

import trio

from shoal_node import supervisor
from shoal_node.transport.interface import DialError, Handlers, Peer, TransportLimits
from shoal_node.transport.libp2p_yamux import SteadyYamux  # first: it silences the library
from shoal_node.transport.metering import Meter
from shoal_protocol import crypto, identity
from shoal_protocol.errors import RemoteProtocolError

# isort: split
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
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX

HANDSHAKE_BUDGET: Final = 16_384  # bytes read before a connection is authenticated
NEGOTIATION_BUDGET: Final = 1_024  # bytes read to agree on one stream's protocol
READ_SIZE: Final = 65_536  # bytes asked of the socket at once


class Socket(IRawConnection):
    """A TCP connection that reads exactly and never lets a stranger fill memory.

    Args:
        stream: the connected socket.
        meter: counts the bytes that cross it.
        is_initiator: whether this side dialled.
    """

    def __init__(self, stream: trio.SocketStream, meter: Meter, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self._meter = meter
        meter.connected()
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
            await self._fill()
        taken = bytes(self._buffer[:n])
        del self._buffer[: len(taken)]
        if self.budget is not None:
            self.budget -= len(taken)
        return taken

    async def read_message(self) -> bytes:
        """Read the next Noise message, after the handshake: u16 length before it.

        Raises:
            ConnectionClosedError: the connection ended first.
        """
        buffer = self._buffer
        while len(buffer) < 2 or len(buffer) < 2 + (buffer[0] << 8 | buffer[1]):
            await self._fill()
        end = 2 + (buffer[0] << 8 | buffer[1])
        message = bytes(buffer[2:end])
        del buffer[:end]
        return message

    async def _fill(self) -> None:
        try:
            data = await self._stream.receive_some(READ_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            self.ended = True
            raise ConnectionClosedError("connection closed")
        self.heard = trio.current_time()
        self._meter.read(len(data))
        self._buffer += data

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; raises ConnectionClosedError."""
        self._meter.wrote(len(data))
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
        self._muxer.add_handler(TProtocol(YAMUX), None)

    async def secure(
        self,
        stream: trio.SocketStream,
        target: bytes | None,
        limits: TransportLimits,
        counters: Counter[str],
        meter: Meter,
    ) -> tuple[Peer, SteadyYamux]:
        """Shake hands over a fresh TCP connection.

        Args:
            stream: connected, nothing read or written.
            target: the peer id that was dialled, or None for an accepted connection.
            limits: for the multiplexer.
            counters: for the multiplexer.
            meter: counts the connection's bytes.

        Returns:
            the authenticated peer and the multiplexer, not yet started.

        Raises:
            RemoteProtocolError: the peer isn't identified by an Ed25519 key.
            Exception: whatever py-libp2p meets in garbage; run it contained.
        """
        socket = Socket(stream, meter, is_initiator=target is not None)
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
