"""The DHT's record by which a pseudonym is reached for one day; spec: pseudonyms §5.

All integers big-endian::

    struct announcement {              // 2,048 bytes
        u8  version;                   // 1
        u8  blinded[32];               // A blinded for ("announcement", period)
        u32 period;                    // UTC day number, the prekeys' day as well
        u32 revision;                  // the highest wins
        u8  nonce[8];                  // work over (blinded, period, revision)
        u8  salt[16];                  // makes the key of the body
        u8  body[1919];                // ChaCha20-Poly1305 of the struct below, tag behind
        u8  signature[64];             // by the blinded key, over the network's hash and
                                       // all before it
    }                                  // outer fields: 129

    struct body {                      // 1,903 bytes
        u8  kem_public[1184];          // ML-KEM-768
        u8  prekey[32];                // X25519, the day's
        u8  identity[32];              // X25519, the persona's
        u8  inbox_root[32];            // Ed25519
        u8  protocol; u8 effort; u8 flags; u8 zero[18];   // misc: 21
        u8  padding[602];              // zero
    }

Storers check version, period, work and signature (:func:`validate`) and can't read, link
or list: the body's key needs A, which the blinded key hides. The shape is that of Tor's
v3 onion service descriptors (rend-spec-v3 §2.4, §2.5), as is hiding the time in the
revision (appendix F).
"""

import struct
from dataclasses import dataclass
from typing import Final

from shoal_protocol import clock, crypto
from shoal_protocol.constants import RECORD_LENGTH
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms import blinding, work
from shoal_protocol.pseudonyms.persona import PersonaSecrets, Prekeys

VERSION: Final = 1
LABEL: Final = b"announcement"  # of the blinding; spec: pseudonyms §1
PROTOCOL: Final = 1  # what the persona's node speaks
SALT_LENGTH: Final = 16  # bytes

_OUTER: Final = struct.Struct(">B32sII8s16s")
_BODY: Final = struct.Struct(">1184s32s32s32sBBB18s602s")
_SIGNED: Final = RECORD_LENGTH - crypto.SIGNATURE_LENGTH
_ZERO_NONCE: Final = bytes(crypto.AEAD_NONCE_LENGTH)  # the salt makes every key a fresh one
_REVISION_HALF: Final = 2**31


@dataclass(frozen=True, slots=True)
class Announcement:
    """How to reach ``pseudonym`` on ``day``: authentic, as only :func:`open_record` makes it.

    ``identity`` and ``prekey`` are X25519 keys, ``inbox_root`` an Ed25519 key, 32 bytes each;
    ``kem_public`` is an ML-KEM-768 key of 1,184 bytes; ``effort`` is the work in bits that
    the persona asks of an inbox PUT.
    """

    pseudonym: bytes
    day: int
    revision: int
    kem_public: bytes
    prekey: bytes
    identity: bytes
    inbox_root: bytes
    protocol: int
    effort: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What a storer knows of a record that :func:`validate` passed."""

    key: bytes  # 32 bytes, its place in the DHT
    blinded: bytes  # 32 bytes
    period: int
    revision: int


@dataclass(frozen=True, slots=True)
class _Outer:
    version: int
    blinded: bytes
    period: int
    revision: int
    nonce: bytes
    salt: bytes


def _parse_outer(record: bytes) -> _Outer:
    if len(record) != RECORD_LENGTH:
        raise RemoteProtocolError("announcement length")
    outer = _Outer(*_OUTER.unpack_from(record))
    if outer.version != VERSION:
        raise RemoteProtocolError("announcement version")
    return outer


def _verify(outer: _Outer, record: bytes, network: bytes) -> None:
    crypto.ed25519_check_point(outer.blinded)
    crypto.ed25519_verify(outer.blinded, network + record[:_SIGNED], record[_SIGNED:])


def _body_key(pseudonym: bytes, outer: bytes, network: bytes) -> bytes:
    return crypto.kdf(b"announcement body", pseudonym, outer, network)


def blinded_key(pseudonym: bytes, period: int, network: bytes) -> bytes:
    """Return the public key that signs ``pseudonym``'s announcement of ``period``.

    Raises RemoteProtocolError("point") when ``pseudonym`` is no usable key.
    """
    return blinding.blind_public(pseudonym, LABEL, period, network=network)


def dht_key(blinded: bytes, network: bytes) -> bytes:
    """Return the 32-byte DHT key of the announcement signed by ``blinded``."""
    return crypto.kdf(b"announcement key", network, blinded)


def lookup_key(pseudonym: bytes, period: int, network: bytes) -> bytes:
    """Return the DHT key under which ``pseudonym`` is announced in ``period``."""
    return dht_key(blinded_key(pseudonym, period, network), network)


def work_challenge(blinded: bytes, period: int, revision: int, network: bytes) -> bytes:
    """Return what the work of an announcement is done on; ``announce_work_bits`` of it."""
    numbers = struct.pack(">II", period, revision)
    return work.challenge(LABEL, network, blinded, numbers)


def revision_at(persona: PersonaSecrets, period: int, now: int, params: NetworkParameters) -> int:
    """Return the revision of an announcement of ``period`` that is made at ``now`` (ns).

    Grows by at least one a second, with nothing to remember across restarts. Start and
    slope are pseudo-random in each period, so that storers can't match the revisions of
    one persona's periods by the moment they were made at.

    Raises:
        LocalProtocolError: ``now`` is outside the days in which the period is accepted.
    """
    window = (params.announce_days_ahead + 1 + params.announce_days_behind) * params.day_s
    start = (period - params.announce_days_ahead) * params.day_s
    elapsed = now // clock.SECOND - start
    if not 0 <= elapsed < window:
        raise LocalProtocolError("an announcement outside the days in which it is accepted")
    blind = persona.identity_key.blind(LABEL, period, network=persona.network)
    draw = int.from_bytes(blind.derive(b"announcement revision", size=16), "big")
    slope = 1 + draw % (_REVISION_HALF // window)
    return (draw >> 64) % _REVISION_HALF + slope * elapsed


def build(
    persona: PersonaSecrets, prekeys: Prekeys, *, revision: int, nonce: bytes, effort: int = 0
) -> bytes:
    """Return the 2,048 bytes that announce ``persona`` for the day of ``prekeys``.

    Args:
        persona: whose keys are announced.
        prekeys: the day's; their day is the record's period.
        revision: from :func:`revision_at`.
        nonce: the work's, 8 bytes, on :func:`work_challenge`.
        effort: bits of work that the persona asks of an inbox PUT, 0 to 255.

    The same arguments give the same bytes, and other bodies another salt, as in SIV modes.
    """
    public, network = persona.public, persona.network
    secret = persona.identity_key.blind(LABEL, prekeys.day, network=network)
    body = _BODY.pack(
        prekeys.kem_public,
        prekeys.public,
        public.identity,
        public.inbox_root,
        PROTOCOL,
        effort,
        0,
        b"",
        b"",
    )
    numbers = struct.pack(">II", prekeys.day, revision)
    salt = secret.derive(b"announcement salt", numbers, nonce, body, size=SALT_LENGTH)
    outer = _OUTER.pack(VERSION, secret.public, prekeys.day, revision, nonce, salt)
    key = _body_key(public.pseudonym, outer, network)
    signed = outer + crypto.aead_seal(key, _ZERO_NONCE, body, outer)
    return signed + secret.sign(network + signed)


def open_record(pseudonym: bytes, record: bytes, *, period: int, network: bytes) -> Announcement:
    """Return what ``record`` announces, if it is ``pseudonym``'s for ``period``.

    Args:
        pseudonym: Ed25519 public key A, 32 bytes.
        record: from the DHT, of any length.
        period: the day that was asked for.
        network: the network parameters' hash.

    Raises:
        RemoteProtocolError: "announcement length", "announcement version", "announcement
            key" (another pseudonym's or day's), "signature", "point", "aead", "announcement
            body" or "kem key".
    """
    outer = _parse_outer(record)
    if outer.period != period or outer.blinded != blinded_key(pseudonym, period, network):
        raise RemoteProtocolError("announcement key")
    _verify(outer, record, network)
    head = record[: _OUTER.size]
    key = _body_key(pseudonym, head, network)
    body = crypto.aead_open(key, _ZERO_NONCE, record[_OUTER.size : _SIGNED], head)
    kem_public, prekey, identity, inbox_root, protocol, effort, *rest = _BODY.unpack(body)
    flags, zero, padding = rest
    if flags or any(zero) or any(padding) or protocol != PROTOCOL:
        raise RemoteProtocolError("announcement body")
    crypto.ed25519_check_point(inbox_root)
    crypto.mlkem_check(kem_public)
    return Announcement(
        pseudonym=pseudonym,
        day=period,
        revision=outer.revision,
        kem_public=kem_public,
        prekey=prekey,
        identity=identity,
        inbox_root=inbox_root,
        protocol=protocol,
        effort=effort,
    )


def validate(record: bytes, now: int, params: NetworkParameters) -> Stored:
    """Return what a storer may know of ``record``; it must know no pseudonym for it.

    The cheap checks come first: a signature costs what sixty hashes do.

    Args:
        record: from a peer, of any length.
        now: nanoseconds since the Unix epoch.
        params: the network's.

    Raises:
        RemoteProtocolError: "announcement length", "announcement version", "announcement
            period" (outside ``announce_days_behind`` … ``announce_days_ahead`` of today),
            "work", "point" or "signature".
    """
    outer = _parse_outer(record)
    ahead = outer.period - clock.index_of(now, params.day_s)
    if not -params.announce_days_behind <= ahead <= params.announce_days_ahead:
        raise RemoteProtocolError("announcement period")
    challenge = work_challenge(outer.blinded, outer.period, outer.revision, params.hash)
    work.check(challenge, outer.nonce, params.announce_work_bits)
    _verify(outer, record, params.hash)
    key = dht_key(outer.blinded, params.hash)
    return Stored(key, outer.blinded, outer.period, outer.revision)


def supersedes(new: Stored, old: Stored) -> bool:
    """Say whether ``new`` takes the place of ``old`` under the same key.

    The higher revision does. Of two records with one revision the first stays: letting
    either win would let an owner rewrite storers on one piece of work for ever.
    """
    return new.key == old.key and new.revision > old.revision
