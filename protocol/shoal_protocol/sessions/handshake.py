"""First contact: one message makes a session with somebody who is away.

::

    initiator A                                              answerer B, prekeys of the day
    EK, ss, ct = fresh X25519, ML-KEM to B's day key
    t1  = KDF("first contact transcript", network, B, day, IDH_B, PK_B, I_B, H(KEM key), EK, ct)
    s1  = KDF("first contact stage 1", t1, DH(EK, IDH_B), DH(EK, PK_B), ss)
    who = AEAD(KDF("… key 1", s1), A ‖ IDH_A ‖ I_A ‖ certificate;  AD t1)
    t2  = KDF("first contact transcript 2", t1, bundle of A, who)
    s2  = KDF("first contact stage 2", t2, s1, DH(IDH_A, PK_B))
    msg = AEAD(KDF("… key 2", s2), padded text;  AD t2)
    session root = KDF("session root", s2, msg)

    struct first_contact {             // 1,987 bytes; 1,923 in a box
        u8 ephemeral[32];              // EK
        u8 kem_ciphertext[1088];       // ct
        u8 who[176];                   // the bundle of 160 bytes, tag behind
        u8 text[691];                  // the padded text, tag behind; in a box 627
    }

After PQXDH (Signal, revision 3), with what Bhargavan et al. (USENIX Security 2024) ask
for: the KEM's key is bound to what is derived, and no key can stand for one of another
kind. There is no signature over the message: B could have made all of it, so it proves
nothing to others. Secrecy holds while either X25519 or ML-KEM-768 does; who A is rests on
X25519 alone. EK is also the initiator's first ratchet key, and the answerer's first one is
drawn when it accepts, so that no session needs a prekey afterwards. Once the day's prekeys
are erased nobody can open the message any more; whoever steals them before can pose as
anybody to B with them, as in X3DH.
"""

from collections.abc import Callable
from typing import Final, final

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.pseudonyms.announcement import Announcement
from shoal_protocol.pseudonyms.persona import (
    BUNDLE_LENGTH,
    PREKEY_DAYS_KEPT,
    PersonaSecrets,
    Prekeys,
    PublicPersona,
)
from shoal_protocol.rng import Rng
from shoal_protocol.sessions import cloak, padding
from shoal_protocol.sessions.session import Session

MESSAGE_LENGTH: Final = cloak.BODY_LENGTH  # bytes; spec: sessions §2
EPHEMERALS_PER_DAY: Final = 16_384  # first contacts that a day's prekeys accept
_KEM_AT: Final = crypto.KEY_LENGTH
_WHO_AT: Final = _KEM_AT + crypto.MLKEM_CIPHERTEXT_LENGTH
_TEXT_AT: Final = _WHO_AT + BUNDLE_LENGTH + crypto.AEAD_TAG_LENGTH
_PADDED: Final = MESSAGE_LENGTH - _TEXT_AT - crypto.AEAD_TAG_LENGTH
CAPACITY: Final = _PADDED - padding.OVERHEAD  # 673 bytes of text
SHORTER: Final = 64  # bytes that a first contact in a box has less
SHORT_CAPACITY: Final = CAPACITY - SHORTER  # 609 bytes of text
_ZERO_NONCE: Final = bytes(crypto.AEAD_NONCE_LENGTH)  # each key seals once
_DAY_LENGTH: Final = 4  # bytes in the transcript

Encapsulate = Callable[[bytes], tuple[bytes, bytes]]


@final
class SeenEphemerals:
    """The ephemeral keys that a persona has answered, by the prekeys' day.

    Full means refuse, never forget: forgetting one would let it be replayed. A day's set
    goes with its prekeys, without which a replay can't be opened.
    """

    __slots__ = ("_days", "limit")

    def __init__(self, limit: int = EPHEMERALS_PER_DAY) -> None:
        self.limit: Final = limit
        self._days: dict[int, set[bytes]] = {}

    def __len__(self) -> int:
        return sum(len(seen) for seen in self._days.values())

    def check(self, day: int, ephemeral: bytes) -> None:
        """Refuse a key seen before, "replay", or one too many, "first contacts full"."""
        seen = self._days.get(day, set())
        if ephemeral in seen:
            raise RemoteProtocolError("replay")
        if len(seen) >= self.limit:
            raise RemoteProtocolError("first contacts full")

    def add(self, day: int, ephemeral: bytes) -> None:
        """Remember a key that :meth:`check` let pass."""
        self._days.setdefault(day, set()).add(ephemeral)

    def drop(self, day: int, ephemeral: bytes) -> None:
        """Forget a key of a first contact that came to nothing: it may come again."""
        self._days[day].discard(ephemeral)

    def expire(self, day: int) -> None:
        """Forget what :meth:`PersonaSecrets.expire` erases the prekeys of."""
        for old in [d for d in self._days if d + PREKEY_DAYS_KEPT < day]:
            del self._days[old]


def _transcript(
    network: bytes,
    recipient: bytes,
    day: int,
    identity: bytes,
    prekey: bytes,
    inbox_root: bytes,
    kem_public: bytes,
    ephemeral: bytes,
    ciphertext: bytes,
) -> bytes:
    return crypto.kdf(
        b"first contact transcript",
        network,
        recipient,
        day.to_bytes(_DAY_LENGTH, "big"),
        identity,
        prekey,
        inbox_root,
        crypto.digest(kem_public),
        ephemeral,
        ciphertext,
    )


def _stage_1(transcript: bytes, dh_identity: bytes, dh_prekey: bytes, secret: bytes) -> bytes:
    return crypto.kdf(b"first contact stage 1", transcript, dh_identity, dh_prekey, secret, size=64)


def _stage_2(transcript: bytes, stage: bytes, dh_initiator: bytes) -> bytes:
    return crypto.kdf(b"first contact stage 2", transcript, stage, dh_initiator, size=64)


def _key(number: bytes, stage: bytes) -> bytes:
    return crypto.kdf(b"first contact key " + number, stage)


def _transcript_2(transcript: bytes, bundle: bytes, who: bytes) -> bytes:
    return crypto.kdf(b"first contact transcript 2", transcript, bundle, who)


def _root(stage: bytes, text: bytes) -> bytes:
    return crypto.kdf(b"session root", stage, text)


def initiate(
    me: PersonaSecrets,
    announcement: Announcement,
    plaintext: bytes,
    *,
    rng: Rng,
    short: bool = False,
    encapsulate: Encapsulate = crypto.mlkem_encapsulate,
) -> tuple[bytes, Session]:
    """Return the first contact's 1,987 bytes and this side of the session.

    Args:
        me: the persona that writes.
        announcement: of whom it writes to, opened for the same network.
        plaintext: the first text, up to :data:`CAPACITY` bytes, or :data:`SHORT_CAPACITY`.
        rng: draws the ephemeral key.
        short: for a box: 1,923 bytes.
        encapsulate: ML-KEM encapsulation; vectors put a recorded one here.

    Raises:
        RemoteProtocolError: "low-order point" or "kem key", when the announced keys are bad.
        UserError: the announcement is one's own.
    """
    if announcement.pseudonym == me.pseudonym:
        raise UserError("This is the persona's own pseudonym; write to somebody else.")
    private = rng.bytes(crypto.KEY_LENGTH)
    ephemeral = crypto.x25519_public(private)
    secret, ciphertext = encapsulate(announcement.kem_public)
    transcript = _transcript(
        me.network,
        announcement.pseudonym,
        announcement.day,
        announcement.identity,
        announcement.prekey,
        announcement.inbox_root,
        announcement.kem_public,
        ephemeral,
        ciphertext,
    )
    stage = _stage_1(
        transcript,
        crypto.x25519(private, announcement.identity),
        crypto.x25519(private, announcement.prekey),
        secret,
    )
    bundle = me.public.pack()
    who = crypto.aead_seal(_key(b"1", stage), _ZERO_NONCE, bundle, transcript)
    transcript = _transcript_2(transcript, bundle, who)
    stage = _stage_2(transcript, stage, me.exchange(announcement.prekey))
    padded = padding.pad(plaintext, _PADDED - SHORTER if short else _PADDED)
    text = crypto.aead_seal(_key(b"2", stage), _ZERO_NONCE, padded, transcript)
    session = Session.begun(_root(stage, text), private)
    return ephemeral + ciphertext + who + text, session


def accept(
    me: PersonaSecrets, prekeys: Prekeys, message: bytes, *, seen: SeenEphemerals, rng: Rng
) -> tuple[PublicPersona, bytes, Session]:
    """Return who wrote, the first text, and this side of the session.

    Args:
        me: the persona written to.
        prekeys: its prekeys of the inbox's day.
        message: the body of a first contact, of any length.
        seen: the persona's; changed only when all has held.
        rng: draws the first ratchet key of this side.

    Raises:
        RemoteProtocolError: "first contact" (length), "replay", "first contacts full",
            "low-order point", "aead", "point" or "signature" (a bad bundle), "own
            pseudonym" or "padding".
    """
    if len(message) not in (MESSAGE_LENGTH, MESSAGE_LENGTH - SHORTER):
        raise RemoteProtocolError("first contact")
    ephemeral, ciphertext = message[:_KEM_AT], message[_KEM_AT:_WHO_AT]
    who, text = message[_WHO_AT:_TEXT_AT], message[_TEXT_AT:]
    seen.check(prekeys.day, ephemeral)
    transcript = _transcript(
        me.network,
        me.pseudonym,
        prekeys.day,
        me.public.identity,
        prekeys.public,
        me.public.inbox_root,
        prekeys.kem_public,
        ephemeral,
        ciphertext,
    )
    stage = _stage_1(
        transcript,
        me.exchange(ephemeral),
        prekeys.exchange(ephemeral),
        prekeys.decapsulate(ciphertext),
    )
    bundle = crypto.aead_open(_key(b"1", stage), _ZERO_NONCE, who, transcript)
    peer = PublicPersona.parse(bundle)
    peer.verify(me.network)
    if peer.pseudonym == me.pseudonym:
        raise RemoteProtocolError("own pseudonym")
    transcript = _transcript_2(transcript, bundle, who)
    stage = _stage_2(transcript, stage, prekeys.exchange(peer.identity))
    padded = crypto.aead_open(_key(b"2", stage), _ZERO_NONCE, text, transcript)
    plaintext = padding.unpad(padded)
    session = Session.answered(_root(stage, text), ephemeral, rng)
    seen.add(prekeys.day, ephemeral)
    return peer, plaintext, session
