"""Which packet is which, for those who run a simulation and for nobody in it.

::

    forward, create, use ─► packet ─► Trail(number, way, place) ─ unwrap ─► the packet within

A format around another one: it makes and opens the same packets, and remembers of each that is
under way to whom it belongs and how far it has come. With that packets meet the mix keys that
their senders took: the null format has no ciphers that would refuse another run's, so it is
done here, as a relay that starts anew refuses what was made for its last run.
"""

from collections.abc import Sequence
from typing import Final

from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets.format import PacketFormat
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.packets.surb import SurbSecret
from shoal_protocol.packets.unwrap import Exit, Unwrapped
from shoal_protocol.rng import Rng

NONE: Final = -1


class Trail:
    """One packet on its way.

    ``number`` counts packets as they are made, ``way`` are its hops, ``place`` how many of
    them have opened it; ``answers`` is the number of the request that it replies to, or
    ``NONE``. ``client`` is the session that gets a reply.
    """

    __slots__ = ("answers", "client", "number", "place", "way")

    def __init__(
        self, number: int, way: Sequence[Hop], answers: int = NONE, client: bytes = b""
    ) -> None:
        self.number = number
        self.way = way
        self.place = 0
        self.answers = answers
        self.client = client


class Following:
    """The format ``packets``, whose packets are followed.

    Args:
        keyed: whether relays refuse what was made with keys that they do not hold; the null
            format's do not look.
    """

    def __init__(self, packets: PacketFormat, *, keyed: bool = False) -> None:
        self._packets: Final = packets
        self._keyed: Final = keyed
        self._trails: dict[bytes, Trail] = {}
        self._surbs: dict[bytes, tuple[Sequence[Hop], bytes, int]] = {}
        self._made = 0
        self.refused = 0  # for keys that the relay does not hold

    def trail(self, packet: bytes) -> Trail | None:
        """Return the trail of a packet on a link."""
        return self._trails.get(packet)

    def forget(self, packet: bytes) -> None:
        """Follow a packet no longer: it was lost."""
        self._trails.pop(packet, None)

    def forward(self, path: Sequence[Hop], body: bytes, *, network: bytes, rng: Rng) -> bytes:
        """Return a packet for ``path[0]``."""
        packet = self._packets.forward(path, body, network=network, rng=rng)
        self._trails[packet] = Trail(self._made, path)
        self._made += 1
        return packet

    def create(
        self, path: Sequence[Hop], client: bytes, *, network: bytes, rng: Rng
    ) -> tuple[bytes, SurbSecret]:
        """Return a SURB and what opens its reply; the packet made next is what it answers."""
        surb, secret = self._packets.create(path, client, network=network, rng=rng)
        self._surbs[surb] = (path, client, self._made)
        return surb, secret

    def use(self, surb: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Return (first hop's id, packet)."""
        first, packet = self._packets.use(surb, body)
        way, client, answers = self._surbs.pop(surb)
        self._trails[packet] = Trail(self._made, way, answers, client)
        self._made += 1
        return first, packet

    def id_of(self, packet: bytes) -> bytes:
        """Return the 48 bytes that name the SURB of a reply."""
        self._trails.pop(packet, None)
        return self._packets.id_of(packet)

    def open(self, secret: SurbSecret, packet: bytes) -> bytes:
        """Return the body of a reply."""
        return self._packets.open(secret, packet)

    def unwrap(self, packet: bytes, keyring: MixKeyring) -> Unwrapped:
        """Return what a packet asks of this hop."""
        trail = self._trails.pop(packet, None)
        if trail is not None and self._keyed:
            hop = trail.way[trail.place]
            if (hop.epoch, hop.key) not in keyring.public():
                self.refused += 1
                raise RemoteProtocolError("packet mac")
        opened = self._packets.unwrap(packet, keyring)
        if trail is not None and not isinstance(opened, Exit):
            trail.place += 1
            self._trails[opened.packet] = trail
        return opened
