"""What packets are to the machines that make, open and answer them.

::

    forward, create ──► bytes ──► unwrap at each relay ──► Exit: use ──► … ──► id_of, open

There is one format on the wire, :data:`SPHINX`. The seam is for simulations: 10^5 machines in
one process cannot afford a scalar multiplication a hop, and what they measure does not depend
on it. Another format gets and gives what this one does, whatever its packets are inside.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from shoal_protocol.packets import build
from shoal_protocol.packets import surb as surbs
from shoal_protocol.packets import unwrap as unwraps
from shoal_protocol.packets.keys import Hop, MixKeyring
from shoal_protocol.rng import Rng


class PacketFormat(Protocol):
    """How packets are made and opened; lengths, args and errors are those of :class:`Sphinx`."""

    def forward(self, path: Sequence[Hop], body: bytes, *, network: bytes, rng: Rng) -> bytes:
        """Return a packet for ``path[0]`` whose last hop gets ``body``; :func:`build.forward`."""
        ...

    def create(
        self, path: Sequence[Hop], client: bytes, *, network: bytes, rng: Rng
    ) -> tuple[bytes, surbs.SurbSecret]:
        """Return a SURB and what opens its reply; :func:`surb.create`."""
        ...

    def use(self, surb: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Return (first hop's id, packet) that carries ``body`` along a SURB; :func:`surb.use`."""
        ...

    def id_of(self, packet: bytes) -> bytes:
        """Return the 48 bytes by which a client knows its SURB; :func:`surb.id_of`."""
        ...

    def open(self, secret: surbs.SurbSecret, packet: bytes) -> bytes:
        """Return the body of a reply; :func:`surb.open`."""
        ...

    def unwrap(self, packet: bytes, keyring: MixKeyring) -> unwraps.Unwrapped:
        """Return what ``packet`` asks of this hop; :func:`unwrap.unwrap`."""
        ...


class Sphinx:
    """The format of the network: Sphinx with a KEM a hop; spec: packet."""

    forward = staticmethod(build.forward)
    create = staticmethod(surbs.create)
    use = staticmethod(surbs.use)
    id_of = staticmethod(surbs.id_of)
    open = staticmethod(surbs.open)
    unwrap = staticmethod(unwraps.unwrap)


SPHINX: Final[PacketFormat] = Sphinx()
