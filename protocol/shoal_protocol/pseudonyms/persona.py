"""The keys of one persona, long-lived ones derived and daily ones drawn.

::

    root 32 ─┬─ KDF("persona identity")    Ed25519   A, the pseudonym
             ├─ KDF("persona inbox")       Ed25519   I, the inbox root
             └─ KDF("persona handshake")   X25519    IDH, the handshake identity
    certificate = Sign_A(KDF("certificate", network, IDH, I))

    each day, from the rng: X25519 prekey, ML-KEM-768 seed; erased once its entries are gone

A names the persona for good, so it depends on the root alone: a change of the network's
parameters must not rename anybody. Everything made from it binds the network. The prekeys
are not derived from the root: a root stolen later opens no first contact whose day's
prekeys are erased. (Python may leave copies in memory; what is erased is every reference.)
"""

from dataclasses import dataclass
from typing import Final, final

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import blinding
from shoal_protocol.rng import Rng

ROOT_LENGTH: Final = 32  # bytes
BUNDLE_LENGTH: Final = 160  # bytes; spec: pseudonyms §4
PREKEY_DAYS_KEPT: Final = 4  # an entry put in the small hours of day + 1 lives into day + 4
INBOX_LABEL: Final = b"inbox"  # of the blinding; spec: pseudonyms §1


def inbox_address(inbox_root: bytes, day: int, network: bytes) -> bytes:
    """Return the 32-byte address of an inbox on ``day``, itself an Ed25519 public key.

    GETs of the address are signed by :meth:`PersonaSecrets.inbox_key`. Raises
    RemoteProtocolError("point") when ``inbox_root`` is unusable.
    """
    return blinding.blind_public(inbox_root, INBOX_LABEL, day, network=network)


@dataclass(frozen=True, slots=True)
class PublicPersona:
    """What a persona tells about itself; authentic once :meth:`verify` has passed.

    ``identity`` is the X25519 handshake key and ``inbox_root`` the Ed25519 key that inbox
    addresses are blinded from, 32 bytes each like ``pseudonym``; ``certificate`` is 64.
    """

    pseudonym: bytes
    identity: bytes
    inbox_root: bytes
    certificate: bytes

    def pack(self) -> bytes:
        """Return the 160 bytes of the bundle, the fields in order."""
        return self.pseudonym + self.identity + self.inbox_root + self.certificate

    @classmethod
    def parse(cls, data: bytes) -> "PublicPersona":
        """Return the bundle in ``data``, unverified; raises RemoteProtocolError("bundle")."""
        if len(data) != BUNDLE_LENGTH:
            raise RemoteProtocolError("bundle")
        return cls(data[:32], data[32:64], data[64:96], data[96:])

    def verify(self, network: bytes) -> None:
        """Refuse a bundle whose keys are unusable or not signed by its pseudonym.

        Raises RemoteProtocolError: "point" or "signature".
        """
        crypto.ed25519_check_point(self.pseudonym)
        crypto.ed25519_check_point(self.inbox_root)
        statement = _statement(self.identity, self.inbox_root, network)
        crypto.ed25519_verify(self.pseudonym, statement, self.certificate)


def _statement(identity: bytes, inbox_root: bytes, network: bytes) -> bytes:
    return crypto.kdf(b"certificate", network, identity, inbox_root)


@final
class Prekeys:
    """One day's X25519 prekey and ML-KEM-768 key; made by :meth:`PersonaSecrets.prekeys`.

    Args:
        day: UTC day number.
        private: X25519 private key, 32 bytes.
        seed: ML-KEM seed, 64 bytes.
    """

    __slots__ = ("_private", "_seed", "day", "kem_public", "public")

    def __init__(self, day: int, private: bytes, seed: bytes) -> None:
        self._private = private
        self._seed = seed
        self.day: Final = day
        self.public: Final = crypto.x25519_public(private)
        self.kem_public: Final = crypto.mlkem_public(seed)

    def __repr__(self) -> str:
        return f"Prekeys(day={self.day}, <redacted>)"

    def secrets(self) -> tuple[bytes, bytes]:
        """Return (private key, seed), for the person's store alone."""
        return self._private, self._seed

    def exchange(self, public: bytes) -> bytes:
        """X25519 with ``public``; raises RemoteProtocolError("low-order point")."""
        return crypto.x25519(self._private, public)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the 32-byte secret in ``ciphertext``; see :func:`crypto.mlkem_decapsulate`."""
        return crypto.mlkem_decapsulate(self._seed, ciphertext)


@final
class PersonaSecrets:
    """All secrets of one persona.

    Args:
        root: 32 random bytes, the only thing to keep.
        network: the network parameters' hash, 32 bytes.
    """

    __slots__ = ("_exchange_private", "_inbox", "_prekeys", "identity_key", "network", "public")

    def __init__(self, root: bytes, *, network: bytes) -> None:
        if len(root) != ROOT_LENGTH:
            raise LocalProtocolError("a persona's root has 32 bytes")
        self.network: Final = network
        self.identity_key: Final = blinding.SigningSecret(crypto.kdf(b"persona identity", root))
        self._inbox = blinding.SigningSecret(crypto.kdf(b"persona inbox", root))
        self._exchange_private = crypto.kdf(b"persona handshake", root)
        self._prekeys: dict[int, Prekeys] = {}
        identity = crypto.x25519_public(self._exchange_private)
        self.public: Final = PublicPersona(
            pseudonym=self.identity_key.public,
            identity=identity,
            inbox_root=self._inbox.public,
            certificate=self.identity_key.sign(_statement(identity, self._inbox.public, network)),
        )

    def __repr__(self) -> str:
        return "PersonaSecrets(<redacted>)"

    @property
    def pseudonym(self) -> bytes:
        """The Ed25519 public key A, 32 bytes."""
        return self.public.pseudonym

    @property
    def certificate(self) -> bytes:
        """A's signature over the handshake identity and the inbox root, 64 bytes."""
        return self.public.certificate

    def exchange(self, public: bytes) -> bytes:
        """X25519 by the handshake identity; raises RemoteProtocolError("low-order point")."""
        return crypto.x25519(self._exchange_private, public)

    def inbox_key(self, day: int) -> blinding.BlindedSecret:
        """Return the key that signs GETs on ``day``; its ``public`` is the inbox's address."""
        return self._inbox.blind(INBOX_LABEL, day, network=self.network)

    def prekeys(self, day: int, rng: Rng) -> Prekeys:
        """Return the prekeys of ``day``, drawn now if they aren't there yet."""
        if day not in self._prekeys:
            private = rng.bytes(crypto.KEY_LENGTH)
            seed = rng.bytes(crypto.MLKEM_SEED_LENGTH)
            self._prekeys[day] = Prekeys(day, private, seed)
        return self._prekeys[day]

    def prekeys_of(self, day: int) -> Prekeys | None:
        """Return the prekeys of ``day`` if they were drawn and aren't erased."""
        return self._prekeys.get(day)

    def restore(self, prekeys: Prekeys) -> None:
        """Take back prekeys that a store kept."""
        self._prekeys[prekeys.day] = prekeys

    def prekey_days(self) -> list[int]:
        """Return the days whose prekeys are here."""
        return sorted(self._prekeys)

    def expire(self, day: int) -> None:
        """Erase the prekeys that nothing can need any more when ``day`` is today.

        Those of up to :data:`PREKEY_DAYS_KEPT` days before are kept.
        """
        for old in [d for d in self._prekeys if d + PREKEY_DAYS_KEPT < day]:
            del self._prekeys[old]
