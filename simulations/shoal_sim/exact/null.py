"""Packets without cryptography: what they ask of each hop is written on them.

::

    forward([G, A, B, S], body) ─► packet ── unwrap at G ─► Forward(A, delay, packet′) ─► …
                                                     at S ─► Exit(body, delay)
    create([B′, A′, G], client) ─► 464 bytes that name a way ── use ─► first hop, packet

A hop costs what the machines cost, and nothing for ciphers. All else is as in the real format:
who is next, how long each hop holds, that a SURB answers once, the sizes that links carry.
There are no replays to find and nothing to tamper with: whoever asks about those runs the real
one. Ways of SURBs are kept here until they are used, at most :data:`MOST_WAYS` of them.
"""

from collections.abc import Sequence
from typing import Any, Final

from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets.geometry import (
    PACKET_LENGTH,
    SURB_ID_LENGTH,
    SURB_LENGTH,
)
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.packets.surb import SurbSecret
from shoal_protocol.packets.unwrap import Exit, Forward, ToClient, Unwrapped
from shoal_protocol.rng import Rng

MOST_WAYS: Final = 2**22  # of SURBs not used yet; beyond them the oldest is forgotten

_ID: Final = 8  # bytes of a way's number


class _Onward(Forward):
    """A packet at a hop that sends it on: it is itself what the hop finds in it."""

    __slots__ = ()
    __eq__ = object.__eq__  # each packet is another
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return PACKET_LENGTH


class _Last(Exit):
    """A packet at the relay that it asks."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return PACKET_LENGTH


class _Home(ToClient):
    """A packet at the guard of whom it answers."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return PACKET_LENGTH


class _Answer:
    """A packet that has come to whom it answers."""

    __slots__ = ("body", "surb")

    def __init__(self, surb: bytes, body: bytes) -> None:
        self.surb = surb
        self.body = body

    def __len__(self) -> int:
        return PACKET_LENGTH


class NullKeyring(MixKeyring):
    """Mix keys of which nothing but the epochs matters.

    Args:
        epochs: for which there are keys from the start, so that nobody need hear of new ones;
            None for the present one and the next, as real relays have them.
    """

    __slots__ = ("_epochs",)

    def __init__(self, epochs: range | None = None) -> None:
        super().__init__(b"", 0)
        self._epochs = epochs

    def advance(self, epoch: int, rng: Rng) -> bool:
        """Come to ``epoch``."""
        before, self._epoch = self._epoch, epoch
        return before != epoch

    def public(self) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, 32 bytes) of every epoch."""
        present = self._epoch or 0
        epochs = self._epochs or range(present, present + 2)
        return tuple((epoch, bytes(31) + b"\1") for epoch in epochs)


def _chain(path: Sequence[Hop], innermost: Unwrapped) -> bytes:
    """Return the packet that goes along ``path`` and is ``innermost`` at its end.

    Machines only pass packets on: for them each is bytes of a packet's length.
    """
    packet: Any = innermost
    onward = path[-1].id
    for hop in path[-2::-1]:
        packet = _Onward(onward, hop.delay_ms, packet)
        onward = hop.id
    return packet  # type: ignore[no-any-return]


def _answer(packet: Any) -> _Answer:
    assert isinstance(packet, _Answer)
    return packet


class NullFormat:
    """The format of one simulated network."""

    def __init__(self) -> None:
        self._ways: dict[bytes, tuple[tuple[Hop, ...], bytes]] = {}
        self._made = 0

    def forward(self, path: Sequence[Hop], body: bytes, *, network: bytes, rng: Rng) -> bytes:
        """Return a packet for ``path[0]``."""
        return _chain(path, _Last(body, path[-1].delay_ms))

    def create(
        self, path: Sequence[Hop], client: bytes, *, network: bytes, rng: Rng
    ) -> tuple[bytes, SurbSecret]:
        """Return a SURB and what knows its reply."""
        self._made += 1
        number = self._made.to_bytes(_ID, "big")
        if len(self._ways) >= MOST_WAYS:
            del self._ways[next(iter(self._ways))]
        self._ways[number] = (tuple(path), client)
        secret = SurbSecret(number + bytes(SURB_ID_LENGTH - _ID), b"", ())
        return number + bytes(SURB_LENGTH - _ID), secret

    def use(self, surb: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Return (first hop's id, packet); RemoteProtocolError("surb") for one that is used."""
        number = surb[:_ID]
        way = self._ways.pop(number, None)
        if way is None:
            raise RemoteProtocolError("surb")
        path, client = way
        reply: Any = _Answer(number + bytes(SURB_ID_LENGTH - _ID), body)
        last = _Home(client, path[-1].delay_ms, reply)
        return path[0].id, _chain(path, last)

    def id_of(self, packet: bytes) -> bytes:
        """Return the 48 bytes that name the SURB of a reply."""
        return _answer(packet).surb

    def open(self, secret: SurbSecret, packet: bytes) -> bytes:
        """Return the body of a reply."""
        return _answer(packet).body

    def unwrap(self, packet: bytes, keyring: MixKeyring) -> Unwrapped:
        """Return what a packet asks of this hop."""
        opened: Any = packet
        if opened.__class__ is _Answer:
            raise RemoteProtocolError("packet command")
        return opened  # type: ignore[no-any-return]
