"""Round trips: what went up with a SURB and what came down by it; spec: client §4.

::

    ask() ──► outstanding[SURB id] ──(packet with that id)──► receive(): (purpose, reply)
                      └──(deadline)──► expire(): [purpose]

A packet that answers nothing outstanding, or that does not open, is refused and counted
by the caller; a SURB answers once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets.format import SPHINX, PacketFormat
from shoal_protocol.packets.keys import Hop
from shoal_protocol.packets.surb import SurbSecret
from shoal_protocol.rng import Rng
from shoal_protocol.service import messages
from shoal_protocol.service.messages import Reply, Request, RequestType
from shoal_protocol.values import value

Purpose = TypeVar("Purpose")


@value
class Question:
    """A request without its SURB; the fields are those of :class:`messages.Request`."""

    type: RequestType
    record: bytes
    wait_ms: int = 0
    cursor: int = 0
    floor: int = 0
    effort: int = 0
    nonce: bytes = bytes(8)


@dataclass(slots=True)
class _Outstanding(Generic[Purpose]):
    secret: SurbSecret
    purpose: Purpose
    crosses: list[bytes]  # relays on the way there and back


class Courier(Generic[Purpose]):
    """The outstanding round trips of one session.

    Args:
        client: the id (16 bytes) under which the guard knows this session.
        network: hash of the network's parameters.
        packets: their format.
    """

    def __init__(
        self, client: bytes, *, network: bytes, rng: Rng, packets: PacketFormat = SPHINX
    ) -> None:
        self._client: Final = client
        self._packets: Final = packets
        self._network = network
        self._rng = rng
        self._outstanding: dict[bytes, _Outstanding[Purpose]] = {}
        self._deadlines: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._outstanding)

    def ask(
        self,
        question: Question,
        forward: Sequence[Hop],
        reply: Sequence[Hop],
        purpose: Purpose,
        deadline: int,
    ) -> bytes:
        """Return the packet that carries ``question``; its answer is due by ``deadline``.

        Raises:
            RemoteProtocolError: a key on the way is unusable; nothing has changed.
        """
        surb, secret = self._packets.create(
            reply, self._client, network=self._network, rng=self._rng
        )
        request = Request(
            question.type,
            surb,
            question.record,
            question.wait_ms,
            question.cursor,
            question.floor,
            question.effort,
            question.nonce,
        )
        packet = self._packets.forward(
            forward, request.encode(), network=self._network, rng=self._rng
        )
        crosses = [hop.id for hop in (*forward, *reply)]
        self._outstanding[secret.id] = _Outstanding(secret, purpose, crosses)
        heappush(self._deadlines, (deadline, secret.id))
        return packet

    def receive(self, packet: bytes) -> tuple[Purpose, Reply]:
        """Take a packet from the guard: what it answers, and the reply.

        Raises RemoteProtocolError: "unknown surb", or as the packet or reply is malformed.
        """
        name = self._packets.id_of(packet)
        waiting = self._outstanding.get(name)
        if waiting is None:
            raise RemoteProtocolError("unknown surb")
        body = self._packets.open(waiting.secret, packet)
        reply = messages.decode_reply(body)
        del self._outstanding[name]
        return waiting.purpose, reply

    def next_deadline(self) -> int | None:
        """When the next round trip is overdue."""
        while self._deadlines and self._deadlines[0][1] not in self._outstanding:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def expire(self, now: int) -> list[Purpose]:
        """Give up what is overdue and return what it was for."""
        overdue: list[Purpose] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, name = heappop(self._deadlines)
            waiting = self._outstanding.pop(name, None)
            if waiting is not None:
                overdue.append(waiting.purpose)
        return overdue

    def give_up(self, gone: set[bytes]) -> list[Purpose]:
        """Give up what crosses a relay that is gone: its answer can't come any more."""
        lost = [name for name, one in self._outstanding.items() if not gone.isdisjoint(one.crosses)]
        return [self._outstanding.pop(name).purpose for name in lost]

    def reset(self) -> list[Purpose]:
        """Give everything up: the guard changed, so no SURB of this session works any more."""
        given_up = [waiting.purpose for waiting in self._outstanding.values()]
        self._outstanding.clear()
        self._deadlines.clear()
        return given_up
