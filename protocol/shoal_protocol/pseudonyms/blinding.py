"""Ed25519 keys blinded for a period: one key, a fresh public face each day.

::

    seed ──SHA-512──> scalar a, prefix p ──> A = a·B                    (RFC 8032 §5.1.5)
    h  = KDF("blinding", label, A, period, network) mod ℓ               everyone who knows A
    A' = h·A                                                            everyone who knows A
    a' = h·a mod ℓ,  p' = KDF("blinded nonce prefix", p, h)             the owner of a alone

Whoever doesn't know A can't tell that two blinded keys have one owner; whoever does can
derive A' but sign nothing with it. The scheme is Tor's (rend-spec-v3, appendix A.2), with
three differences: the factor is reduced modulo ℓ and not clamped, since points outside
the prime-order group are refused; it binds the network; and the nonce prefix depends on
the period. Tor's prefix does not, so that one message signed in two periods has one
nonce, and whoever knows A could solve the two signatures for a.
"""

from typing import Final, final

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError

SEED_LENGTH: Final = 32  # bytes, RFC 8032
_PERIOD_LENGTH: Final = 8  # bytes in the derivation; spec: pseudonyms §1


def _factor(public: bytes, label: bytes, period: int, network: bytes) -> bytes:
    number = period.to_bytes(_PERIOD_LENGTH, "big")
    wide = crypto.kdf(b"blinding", label, public, number, network, size=64)
    return crypto.ed25519_scalar(wide)


def blind_public(public: bytes, label: bytes, period: int, *, network: bytes) -> bytes:
    """Return the 32-byte public key that ``public`` has in ``period`` for ``label``.

    Args:
        public: an Ed25519 public key, 32 bytes.
        label: what the blinded key is for; other labels give unrelated keys.
        period: number of the period, 0 to 2^64 − 1.
        network: the network parameters' hash, 32 bytes.

    Raises:
        RemoteProtocolError: "point" when ``public`` is not canonical, is the identity, or
            lies outside the prime-order group.
    """
    return crypto.ed25519_mul(_factor(public, label, period, network), public)


@final
class BlindedSecret:
    """The signing key of one blinded public key; made by :meth:`SigningSecret.blind`."""

    __slots__ = ("_prefix", "_scalar", "public")

    def __init__(self, scalar: bytes, prefix: bytes) -> None:
        self._scalar = scalar
        self._prefix = prefix
        self.public: Final = crypto.ed25519_base_mul(scalar)

    def __repr__(self) -> str:
        return "BlindedSecret(<redacted>)"

    def sign(self, message: bytes) -> bytes:
        """Return 64 bytes that verify under :attr:`public` as any Ed25519 signature."""
        return crypto.ed25519_sign_expanded(self._scalar, self._prefix, self.public, message)

    def derive(self, label: bytes, *parts: bytes, size: int = 32) -> bytes:
        """Return ``size`` (1 to 64) bytes that only the owner of this key can derive."""
        return crypto.kdf(label, self._prefix, *parts, size=size)


@final
class SigningSecret:
    """An Ed25519 signing key that can be blinded.

    Args:
        seed: 32 bytes (RFC 8032).
    """

    __slots__ = ("_prefix", "_scalar", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_LENGTH:
            raise LocalProtocolError("a signing seed has 32 bytes")
        self._seed = seed
        self._scalar, self._prefix = crypto.ed25519_expand(seed)
        self.public: Final = crypto.ed25519_public(seed)

    def __repr__(self) -> str:
        return "SigningSecret(<redacted>)"

    def sign(self, message: bytes) -> bytes:
        """Return a stock Ed25519 signature by the unblinded key, 64 bytes."""
        return crypto.ed25519_sign(self._seed, message)

    def blind(self, label: bytes, period: int, *, network: bytes) -> BlindedSecret:
        """Return the secret of ``blind_public(self.public, label, period, network=network)``."""
        factor = _factor(self.public, label, period, network)
        return BlindedSecret(
            crypto.ed25519_scalar_mul(factor, self._scalar),
            crypto.kdf(b"blinded nonce prefix", self._prefix, factor),
        )
