"""What most seeds need not compute in earnest: a group without curves, and checks made once.

::

    x25519_public(a) = H(a) ─► known: H(a) ─► a          x25519(a, H(b)) = H({a, b})
    ed25519_verify, descriptors, leases: the real ones, each of the same bytes once in a run
    payload ⊕ key, key, …  in LIONESS' place
    relays look for what is over every ten minutes, not every one

Every other byte of a packet is made as ever: keys are derived, MACs checked, tags kept. A key
that nobody made agrees with nobody, as it should. One seed of
:data:`REAL_SHARE` runs on the real ones, and so does every test that is not of this bench.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import descriptor, lease
from shoal_protocol.packets import keys, lioness
from shoal_protocol.service import desk

REAL_SHARE: Final = 10  # one seed in so many
EXPIRE_INTERVAL: Final = 600 * SECOND


class Group:
    """X25519's place: commutative, and of the same sizes."""

    def __init__(self) -> None:
        self._privates: dict[bytes, bytes] = {}

    def public(self, private: bytes) -> bytes:
        """Return the public key of 32 private bytes; its highest bit is clear, as a curve's."""
        drawn = crypto.blake2b(private, digest_size=32).digest()
        public = drawn[:31] + bytes((drawn[31] & 0x7F,))
        self._privates[public] = private
        return public

    def agree(self, private: bytes, public: bytes) -> bytes:
        """Return what both ends compute, or what nobody else does."""
        pair = sorted((private, self._privates.get(public, public)))
        return crypto.blake2b(b"".join(pair), digest_size=32).digest()


class _Key:
    """A relay's mix key in the group."""

    def __init__(self, group: Group, private: bytes) -> None:
        self.public = group.public(private)
        self._group = group
        self._private = private

    def private(self) -> bytes:
        return self._private

    def agree(self, public: bytes) -> bytes:
        return self._group.agree(self._private, public)


def masked(key: bytes, block: bytes) -> bytes:
    """Encrypt or decrypt a payload, as far as nobody looks closely."""
    size = len(block)
    mask = (key * (size // len(key) + 1))[:size]
    wide = int.from_bytes(block, "little") ^ int.from_bytes(mask, "little")
    return wide.to_bytes(size, "little")


def once(call: Callable[..., Any], key: Callable[..., object]) -> Callable[..., Any]:
    """Return ``call`` with a memory of what it has returned, by ``key`` of its arguments."""
    results: dict[object, Any] = {}

    def called(*arguments: Any) -> Any:
        name = key(*arguments)
        found = results.get(name, results)
        if found is results:
            found = results[name] = call(*arguments)
        return found

    return called


@contextmanager
def arithmetic(*, real: bool) -> Iterator[None]:
    """Run this process's machines on the stand-ins, unless the curve is asked for."""
    if real:
        yield
        return
    group = Group()
    stand_ins: list[tuple[Any, str, Any]] = [
        (crypto, "x25519_public", group.public),
        (crypto, "x25519", group.agree),
        (crypto, "X25519Key", lambda private: _Key(group, private)),
        (crypto, "ed25519_verify", once(crypto.ed25519_verify, lambda *signed: signed)),
        (descriptor, "open_descriptor", once(descriptor.open_descriptor, lambda e, _: e.data)),
        (keys, "binding", once(keys.binding, lambda *bound: bound)),
        (lioness, "encrypt", masked),
        (lioness, "decrypt", masked),
        (desk, "EXPIRE_INTERVAL", EXPIRE_INTERVAL),
        (lease, "decode_lease", once(lease.decode_lease, lambda data, _: data)),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in stand_ins]
    for module, name, stand_in in stand_ins:
        setattr(module, name, stand_in)
    try:
        yield
    finally:
        for module, name, was in before:
            setattr(module, name, was)
