"""A load for a relay that costs little itself: packets made beforehand over bare sessions.

::

    libp2p's handshake, once ─► socket, two ciphers ─► RawLink ─┬─ offer: 1 to 20 packets a message
                                                                └─ receive: counts what comes back
    exchange   the next packet when one comes back, a window's worth under way
    pace       evenly, whether others are back or not; what the peer's window lets through

A node's own transport costs about as much to send and receive a packet as the relay needs to carry
it, on cores that the two share. Here are Noise's ciphers, the two kinds of yamux frame that a
packet needs, and one loop over all sockets: a tenth of it. The relay sees peers like any other.
"""

import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import trio

from shoal_node.transport import address as addresses
from shoal_node.transport import framing
from shoal_node.transport.interface import TransportLimits
from shoal_node.transport.metering import Meter
from shoal_protocol.errors import UserError

WINDOW: Final = 262_144  # bytes, yamux's first window either way
GRANT: Final = 65_536  # bytes read before they are granted again
MOST: Final = 20  # packets in one message, as many as a node's own transport puts there
READ_SIZE: Final = 262_144  # bytes
LOOK_S: Final = 0.002  # between two looks at what is due, at most

_HEADER: Final = struct.Struct(">BBHLL")  # yamux: version, type, flags, stream, length
_DATA, _UPDATE, _PING = 0, 1, 2
_SYN, _ACK = 1, 2
_STREAM: Final = 1  # the first of who dialled
_PROPOSAL: Final = b"".join(
    bytes((len(line) + 1,)) + line + b"\n"
    for line in (b"/multistream/1.0.0", framing.PACKET.encode())
)


class RawLink:
    """One client's session with the relay, after libp2p's handshake; asks for a packet stream.

    Args:
        end: the connected socket.
        noise: the session's state, of which the two ciphers are used.

    ``packets`` are what it will send, last first.
    """

    def __init__(self, end: socket.socket, noise: Any) -> None:
        end.setblocking(False)
        self._end = end
        self._seal = noise.noise_protocol.cipher_state_encrypt.encrypt_with_ad
        self._open = noise.noise_protocol.cipher_state_decrypt.decrypt_with_ad
        self.packets: Final[list[bytes]] = []
        self.sent = 0
        self._credit = WINDOW
        self._owed = 0  # bytes read and not granted yet
        self._back = -len(_PROPOSAL)  # bytes; the relay repeats the proposal first
        self._out = bytearray()
        self._sealed = bytearray()
        self._plain = bytearray()
        self._write(
            _HEADER.pack(0, _UPDATE, _SYN, _STREAM, 0)
            + _HEADER.pack(0, _DATA, 0, _STREAM, len(_PROPOSAL))
            + _PROPOSAL
        )
        self._credit -= len(_PROPOSAL)

    def fileno(self) -> int:
        """The socket, for select."""
        return self._end.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._end.close()

    @property
    def back(self) -> int:
        """Packets that came back."""
        return max(0, self._back) // framing.PACKET_FRAME

    @property
    def blocked(self) -> bool:
        """Whether the socket takes nothing now."""
        return bool(self._out)

    def offer(self, count: int, at_once: int = 1) -> int:
        """Send up to ``count`` packets, as many as socket and window take; return how many.

        Args:
            at_once: packets in one message at most.
        """
        taken = min(count, at_once, self._credit // framing.PACKET_FRAME)
        if self._out or taken <= 0:
            return 0
        data = b"".join(self.packets[-taken:])
        del self.packets[-taken:]
        self._credit -= len(data)
        self.sent += taken
        self._write(_HEADER.pack(0, _DATA, 0, _STREAM, len(data)) + data)
        return taken

    def flush(self) -> None:
        """Write what the socket had no room for."""
        try:
            while self._out:
                del self._out[: self._end.send(self._out)]
        except BlockingIOError:
            pass

    def receive(self) -> None:
        """Read what there is, and answer what must be answered.

        Raises:
            UserError: the relay hung up.
        """
        data = self._end.recv(READ_SIZE)
        if not data:
            raise UserError("The relay hung up.")
        self._sealed += data
        start = 0
        while len(self._sealed) - start >= 2:
            end = start + 2 + int.from_bytes(self._sealed[start : start + 2], "big")
            if len(self._sealed) < end:
                break
            self._plain += self._open(None, bytes(self._sealed[start + 2 : end]))
            start = end
        del self._sealed[:start]
        self._take_frames()
        if self._owed >= GRANT:
            self._write(_HEADER.pack(0, _UPDATE, 0, _STREAM, self._owed))
            self._owed = 0

    def _take_frames(self) -> None:
        plain, start = self._plain, 0
        while len(plain) - start >= _HEADER.size:
            _, kind, flags, _, length = _HEADER.unpack_from(plain, start)
            end = start + _HEADER.size + (length if kind == _DATA else 0)
            if len(plain) < end:
                break
            start = end
            if kind == _DATA:
                self._back += length
                self._owed += length
            elif kind == _UPDATE:
                self._credit += length
            elif kind == _PING and flags == _SYN:
                self._write(_HEADER.pack(0, _PING, _ACK, 0, length))
        del plain[:start]

    def _write(self, data: bytes) -> None:
        sealed = self._seal(None, data)
        self._out += len(sealed).to_bytes(2, "big") + sealed
        self.flush()


async def connect(address: str, seed: bytes) -> RawLink:
    """Dial a relay and shake hands as any node does.

    Args:
        address: with /p2p/… at its end.
        seed: 32 bytes, this client's identity.
    """
    from shoal_node.transport import libp2p_link

    target = addresses.parse(address)
    stream = await trio.open_tcp_stream(target.host, target.port)
    _, muxed = await libp2p_link.Identity(seed).secure(
        stream, target.peer_id, TransportLimits(), Counter(), Meter()
    )
    state: Any = muxed.secured_conn
    end = socket.socket(fileno=stream.socket.detach())
    return RawLink(end, state._session.conn.noise_state)


def _turn(links: Sequence[RawLink], wait_s: float) -> None:
    """Wait for something to read or write, ``wait_s`` at most, and do it."""
    blocked = [link for link in links if link.blocked]
    readable, writable, _ = select.select(links, blocked, (), max(0.0, wait_s))
    for link in writable:
        link.flush()
    for link in readable:
        link.receive()


def exchange(
    links: Sequence[RawLink], count: int, window: int, at_once: int, patience_s: float
) -> None:
    """Let each link send ``count`` packets, at most ``window`` under way, until all came back.

    Args:
        at_once: packets in one message at most; 1: each by itself, as they come from many peers.

    Raises:
        UserError: they did not within ``patience_s``.
    """
    ends = {link: link.sent + count for link in links}
    deadline = time.monotonic() + patience_s
    going = list(links)
    while going:
        for link in going:
            while link.offer(min(ends[link] - link.sent, window - link.sent + link.back), at_once):
                continue
        _turn(going, 0.05)
        going = [link for link in going if link.back < ends[link]]
        if time.monotonic() > deadline:
            raise UserError(f"The relay lost packets, or needed more than {patience_s:.0f} s.")


def pace(links: Sequence[RawLink], rate: float, seconds: float) -> tuple[int, int]:
    """Offer ``rate`` packets a second to all links in turn, for ``seconds``.

    Returns:
        packets that were due, and packets that the relay's windows let out in time.
    """
    began, due, turn = time.monotonic(), 0, 0
    sent = sum(link.sent for link in links)
    while (now := time.monotonic()) < began + seconds:
        while due < (now - began) * rate:
            due += 1
            links[turn].offer(1)
            turn = (turn + 1) % len(links)
        _turn(links, min(LOOK_S, began + (due + 1) / rate - time.monotonic()))
    return due, sum(link.sent for link in links) - sent


def settle(links: Sequence[RawLink], quiet_s: float) -> None:
    """Read what still comes back, until nothing has for ``quiet_s``."""
    last = time.monotonic()
    back = -1
    while time.monotonic() < last + quiet_s:
        _turn(links, quiet_s / 4)
        now = sum(link.back for link in links)
        if now != back:
            back, last = now, time.monotonic()
