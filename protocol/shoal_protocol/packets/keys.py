"""A hop's keys, and a relay's mix keys over the epochs; spec: packet §2 and §6.

::

    dh ─┐
    ct ─┼─ BLAKE2b-256 ── seed ── ChaCha20 ── MAC key 32 │ replay tag 16 │ LIONESS 128 │ slots 432
    binding ─ H(relay's mix key, epoch, hash of the network's parameters)

    keyring:   e−1 ── e ── e+1       advance(e+1) drops e−1 with its tags, makes e+2

The mix-key index in a packet is its epoch's lowest byte: three neighbours never share one.
"""

from typing import Final

from shoal_protocol import crypto
from shoal_protocol.constants import RELAY_ID_LENGTH
from shoal_protocol.crypto import blake2b, keystream
from shoal_protocol.errors import LocalProtocolError
from shoal_protocol.packets import lioness, replay
from shoal_protocol.packets.geometry import GEOMETRY, MAX_DELAY_MS
from shoal_protocol.rng import Rng
from shoal_protocol.values import value

MAC_KEY: Final = slice(0, 32)
REPLAY_TAG: Final = slice(MAC_KEY.stop, MAC_KEY.stop + replay.TAG_LENGTH)
LIONESS_KEY: Final = slice(REPLAY_TAG.stop, REPLAY_TAG.stop + lioness.KEY_LENGTH)
SLOTS_STREAM: Final = slice(LIONESS_KEY.stop, LIONESS_KEY.stop + GEOMETRY.stream)

_DERIVED: Final = SLOTS_STREAM.stop
_PERSON: Final = b"shoal packet"


def index_of(epoch: int) -> int:
    """Return the mix-key index, 0 to 255, of ``epoch``."""
    return epoch & 0xFF


def binding(public: bytes, epoch: int, network: bytes) -> bytes:
    """Return the 32 bytes that tie a hop's keys to relay key, epoch and network."""
    return crypto.kdf(b"mix key", public, epoch.to_bytes(8, "big"), network)


def derive(dh: bytes, ciphertext: bytes, bound: bytes) -> bytes:
    """Return a hop's 608 key bytes, to be cut by this module's slices.

    Args:
        dh: 32 bytes, the agreed X25519 secret.
        ciphertext: 32 bytes, the ephemeral public key in the packet.
        bound: 32 bytes from :func:`binding`. All three have fixed lengths, so plain
            concatenation is unambiguous, and 96 bytes are one block of BLAKE2b.
    """
    seed = blake2b(dh + ciphertext + bound, digest_size=32, person=_PERSON).digest()
    return keystream(seed, _DERIVED)


@value
class Hop:
    """One relay of a path, as the sender chose it.

    Args:
        id: 16 bytes, the relay's id.
        epoch: whose mix key this is.
        key: 32 bytes, the relay's public mix key of that epoch.
        delay_ms: how long the relay is asked to hold the packet, 0 to 65,535.

    Raises LocalProtocolError on other values.
    """

    id: bytes
    epoch: int
    key: bytes
    delay_ms: int

    def __post_init__(self) -> None:
        """Check lengths and ranges."""
        if len(self.id) != RELAY_ID_LENGTH or len(self.key) != crypto.KEY_LENGTH:
            raise LocalProtocolError("a hop's id has 16 bytes and its key 32")
        if not 0 <= self.delay_ms <= MAX_DELAY_MS or self.epoch < 0:
            raise LocalProtocolError("a hop's delay or epoch is out of range")


class OpeningKey:
    """What opens a relay's packets of one epoch, and remembers none of them.

    Args:
        epoch: of this key.
        private: 32 bytes; not kept beyond the key object of the cipher library, which
            wipes it when the last reference goes.
        network: 32 bytes, the hash of the network's parameters.

    ``private()`` returns the 32 bytes again, for another process of the same relay.
    """

    __slots__ = ("agree", "binding", "epoch", "network", "private", "public")

    def __init__(self, epoch: int, private: bytes, network: bytes) -> None:
        key = crypto.X25519Key(private)
        self.epoch: Final = epoch
        self.network: Final = network
        self.public: Final = key.public
        self.private: Final = key.private
        self.agree: Final = key.agree
        self.binding: Final = binding(key.public, epoch, network)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(epoch={self.epoch}, …)"


class MixKey(OpeningKey):
    """A relay's key of one epoch, with what it has seen.

    Args:
        replay_capacity: tags of the replay filter; the others as of :class:`OpeningKey`.
    """

    __slots__ = ("replay_filter",)

    def __init__(
        self,
        epoch: int,
        private: bytes,
        network: bytes,
        replay_capacity: int = replay.DEFAULT_CAPACITY,
    ) -> None:
        super().__init__(epoch, private, network)
        self.replay_filter: Final = replay.ReplayFilter(replay_capacity)


class MixKeyring:
    """The mix keys that a relay accepts now: of epochs e−1, e and e+1.

    There is no key of an epoch that lay before the start: after a crash there are new keys,
    and packets under the old ones are lost rather than replayable.

    Args:
        network: 32 bytes, the hash of the network's parameters.
        replay_capacity: tags of each key's replay filter.
    """

    __slots__ = ("_by_index", "_capacity", "_epoch", "_network")

    def __init__(self, network: bytes, replay_capacity: int = replay.DEFAULT_CAPACITY) -> None:
        self._network: Final = network
        self._capacity: Final = replay_capacity
        self._epoch: int | None = None
        self._by_index: dict[int, MixKey] = {}

    @property
    def epoch(self) -> int | None:
        """The epoch last advanced to."""
        return self._epoch

    def find(self, index: int) -> MixKey | None:
        """Return the key that a packet's mix-key ``index`` names."""
        return self._by_index.get(index)

    def held(self) -> tuple[MixKey, ...]:
        """Return every key held."""
        return tuple(self._by_index.values())

    def advance(self, epoch: int, rng: Rng) -> bool:
        """Come to ``epoch``: drop keys outside e−1 to e+1, make those of e and e+1.

        A step back of one epoch changes nothing: a clock was set right, and the keys at hand
        still serve. After a longer one all keys are new, never an old one with its filter
        gone. Returns whether the public keys changed.
        """
        if self._epoch is not None and epoch in (self._epoch, self._epoch - 1):
            return False
        for index, key in list(self._by_index.items()):
            if not epoch - 1 <= key.epoch <= epoch + 1:
                del self._by_index[index]
        for wanted in (epoch, epoch + 1):
            if index_of(wanted) not in self._by_index:
                self._by_index[index_of(wanted)] = MixKey(
                    wanted, rng.bytes(crypto.KEY_LENGTH), self._network, self._capacity
                )
        self._epoch = epoch
        return True

    def public(self) -> tuple[tuple[int, bytes], ...]:
        """Return (epoch, public key 32) of every key held, by epoch."""
        return tuple(sorted((key.epoch, key.public) for key in self._by_index.values()))

    def __repr__(self) -> str:
        return f"MixKeyring(epoch={self._epoch}, …)"
