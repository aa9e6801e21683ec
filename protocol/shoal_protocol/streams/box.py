"""One box: a fixed-size record at an address that is the key of its signature.

::

    address 32 │ signature 64 │ day 4 │ flags 1 │ zero 3 │ sealed 1,944
    ─────────────────────────────────────────────────────────────────── 2,048

    signature = Ed25519 by the address's key over
                KDF("box", network, address, day ‖ flags, BLAKE2b-256(sealed))
    sealed    = AEAD of 1,928 bytes, with address ‖ day ‖ flags beside; of a tombstone zeros

Whoever has a box can check that its address's owner wrote it on that day, with nothing else
in hand; so a relay keeps no box that its address didn't sign, and squats none. The pattern
is the box of Katzenpost's BACAP (Echomix, arXiv 2501.02933, §4); spec: streams §1.
"""

from dataclasses import dataclass
from typing import Final

from shoal_protocol import constants, crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms.blinding import BlindedSecret
from shoal_protocol.rng import Rng

ADDRESS_LENGTH: Final = crypto.KEY_LENGTH  # bytes; spec: streams §1
PLAINTEXT_LENGTH: Final = constants.BOX_PLAINTEXT_LENGTH  # bytes inside a box
SEALED_LENGTH: Final = PLAINTEXT_LENGTH + crypto.AEAD_TAG_LENGTH  # bytes
DAYS_KEPT: Final = 14  # days after its own in which a box is accepted and kept
DAYS_AHEAD: Final = 1  # days after the storer's own that are accepted: clocks differ
MAX_DAY: Final = 2**32 - 1  # what the field can hold
TOMBSTONE: Final = 1  # flag: the owner took the content back

_SIGNATURE: Final = slice(ADDRESS_LENGTH, ADDRESS_LENGTH + crypto.SIGNATURE_LENGTH)
_DAY: Final = slice(_SIGNATURE.stop, _SIGNATURE.stop + 4)
_FLAGS: Final = _DAY.stop
_ZERO: Final = slice(_FLAGS + 1, _FLAGS + 4)
_SEALED: Final = slice(_ZERO.stop, constants.RECORD_LENGTH)
_NO_FLAGS: Final = bytes(_ZERO.stop - _ZERO.start)
_NOTHING_SEALED: Final = bytes(SEALED_LENGTH)
_AEAD_NONCE: Final = bytes(crypto.AEAD_NONCE_LENGTH)  # a box's key seals once


@dataclass(frozen=True, slots=True)
class BoxHeader:
    """What anybody reads in a box: its address (32 bytes), UTC day, whether a tombstone."""

    address: bytes
    day: int
    tombstone: bool

    def pack(self) -> bytes:
        """Return address ‖ u32 day ‖ u8 flags, the 37 bytes that a box's seal binds."""
        flags = TOMBSTONE if self.tombstone else 0
        return self.address + self.day.to_bytes(4, "big") + bytes([flags])


def header(record: bytes) -> BoxHeader:
    """Return the header of a box whose form is right; its signature isn't looked at.

    Raises:
        RemoteProtocolError: "box" on another length, an unknown flag, bytes that should be
            zero and aren't.
    """
    if len(record) != constants.RECORD_LENGTH:
        raise RemoteProtocolError("box")
    flags = record[_FLAGS]
    if flags not in (0, TOMBSTONE) or record[_ZERO] != _NO_FLAGS:
        raise RemoteProtocolError("box")
    if flags and record[_SEALED] != _NOTHING_SEALED:
        raise RemoteProtocolError("box")
    day = int.from_bytes(record[_DAY], "big")
    return BoxHeader(record[:ADDRESS_LENGTH], day, bool(flags))


def _signed(head: BoxHeader, sealed: bytes, network: bytes) -> bytes:
    rest = head.pack()[ADDRESS_LENGTH:]
    return crypto.kdf(b"box", network, head.address, rest, crypto.digest(sealed))


def verify(record: bytes, head: BoxHeader, network: bytes) -> None:
    """Refuse a box that its address's key didn't sign.

    Args:
        record: 2,048 bytes.
        head: what :func:`header` returned for ``record``.
        network: the network parameters' hash, 32 bytes.

    Raises:
        RemoteProtocolError: "signature", also when the address is no key.
    """
    signed = _signed(head, record[_SEALED], network)
    crypto.ed25519_verify(head.address, signed, record[_SIGNATURE])


def check(record: bytes, today: int, network: bytes) -> BoxHeader:
    """Return the header of a box that may be kept or believed today; cheap checks come first.

    An address outside the prime-order group is let pass if it signed: only the key's owner
    can make such a box, no reader derives such an address, and the test costs as much again
    as the signature's.

    Args:
        record: what came, any bytes.
        today: this side's UTC day number.
        network: the network parameters' hash, 32 bytes.

    Raises:
        RemoteProtocolError: "box" on the form, "box day" on a day more than DAYS_KEPT before
            or DAYS_AHEAD after ``today``, "signature".
    """
    head = header(record)
    if not today - DAYS_KEPT <= head.day <= today + DAYS_AHEAD:
        raise RemoteProtocolError("box day")
    verify(record, head, network)
    return head


def _build(signer: BlindedSecret, head: BoxHeader, sealed: bytes, network: bytes) -> bytes:
    packed = head.pack()
    signature = signer.sign(_signed(head, sealed, network))
    return packed[:ADDRESS_LENGTH] + signature + packed[ADDRESS_LENGTH:] + _NO_FLAGS + sealed


def seal(signer: BlindedSecret, key: bytes, day: int, plaintext: bytes, network: bytes) -> bytes:
    """Return the box of ``plaintext`` at the address ``signer.public``; same input, same bytes.

    Args:
        signer: the address's secret.
        key: 32 bytes that seal nothing else but this plaintext.
        day: UTC day number, 0 to MAX_DAY.
        plaintext: PLAINTEXT_LENGTH bytes.
        network: the network parameters' hash, 32 bytes.

    Raises:
        LocalProtocolError: another length, or a day that the field can't hold.
    """
    if len(plaintext) != PLAINTEXT_LENGTH:
        raise LocalProtocolError(f"a box takes {PLAINTEXT_LENGTH} bytes")
    head = _header_of(signer, day, tombstone=False)
    sealed = crypto.aead_seal(key, _AEAD_NONCE, plaintext, head.pack())
    return _build(signer, head, sealed, network)


def tombstone(signer: BlindedSecret, day: int, network: bytes) -> bytes:
    """Return the box that takes the place of what lies at ``signer.public``, and stays.

    Raises:
        LocalProtocolError: a day that the field can't hold.
    """
    return _build(signer, _header_of(signer, day, tombstone=True), _NOTHING_SEALED, network)


def _header_of(signer: BlindedSecret, day: int, *, tombstone: bool) -> BoxHeader:
    if not 0 <= day <= MAX_DAY:
        raise LocalProtocolError("no box can be of this day")
    return BoxHeader(signer.public, day, tombstone)


def open_sealed(record: bytes, head: BoxHeader, key: bytes) -> bytes:
    """Return the 1,928 bytes in a box whose signature holds.

    Raises:
        RemoteProtocolError: "tombstone" when its owner took the content back; "aead".
    """
    if head.tombstone:
        raise RemoteProtocolError("tombstone")
    return crypto.aead_open(key, _AEAD_NONCE, record[_SEALED], head.pack())


def random_address(rng: Rng) -> bytes:
    """Return an address of no stream, which looks like any other's: a random public key.

    32 random bytes won't do for one: 15 of 16 are no point of the prime-order group, and a
    relay that is asked for such an address knows that nobody waits there.
    """
    return crypto.ed25519_base_mul(crypto.ed25519_scalar(rng.bytes(64)))
