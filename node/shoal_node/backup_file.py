"""The file of a backup: frames under a passphrase, in chunks, of a size that says little.

::

    passphrase ─► NFC, UTF-8 ─► argon2id(salt, 256 MiB) ─► stretched ─┬─► check 16
                                                                      └─► key 32
    magic 12  version 1  salt 16  check 16 │ chunk ─ chunk ─ … ─ last chunk

    chunk      ChaCha20-Poly1305 of 65,536 bytes; nonce: u88 number ‖ u8 whether it is the last
    contents   u32 length ‖ frame, …, u32 0, zeros: 2^k or 3 · 2^(k-1) chunks, 16 at least

The chunks are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015) as age's
files have it: cut short, reordered, or put together of two backups, nothing opens. One salt
is drawn for each file, so that its key is never used again. Frames are read one at a time and
are bounded, so that a file of any size takes little memory. Spec: backup.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from shoal_protocol import crypto
from shoal_protocol.errors import RemoteProtocolError, UserError

MAGIC: Final = b"shoal-backup"
VERSION: Final = 1
MEMORY: Final = 256 * 2**20  # bytes of argon2id: a backup may lie where anybody tries passphrases
MAX_PASSPHRASE: Final = 1024  # bytes
CHUNK: Final = 65_536  # bytes of contents in one chunk
LEAST_CHUNKS: Final = 16  # 1 MiB: few messages and many look the same
MAX_FRAME: Final = 2**20  # bytes
WRONG_PASSPHRASE: Final = "The passphrase is wrong: the backup does not open with it."  # noqa: S105
DAMAGED: Final = "This backup is damaged or cut short, and nothing of it was taken."
NO_BACKUP: Final = "This file is no backup of Shoal."

_SALT: Final = crypto.ARGON2ID_SALT_LENGTH
_CHECK: Final = 16  # bytes
_HEADER: Final = len(MAGIC) + 1 + _SALT + _CHECK
_SEALED: Final = CHUNK + crypto.AEAD_TAG_LENGTH


def chunks_of(count: int) -> int:
    """Return how many chunks a file has whose contents need ``count``: 2^k or 3 · 2^(k-1)."""
    size = LEAST_CHUNKS
    while size < count:
        if size * 3 // 2 >= count:
            return size * 3 // 2
        size *= 2
    return size


def seal(frames: Iterable[bytes], passphrase: str, *, salt: bytes | None = None) -> Iterator[bytes]:
    """Yield the pieces of a file that holds ``frames``; the first takes half a second.

    Args:
        frames: each of 1 to :data:`MAX_FRAME` bytes.
        passphrase: of 1 to :data:`MAX_PASSPHRASE` bytes.
        salt: 16 bytes that were never used before; None draws them.

    Raises:
        UserError: the passphrase is empty or too long.
    """
    salt = os.urandom(_SALT) if salt is None else salt
    key, check = _keys(passphrase, salt)
    header = MAGIC + bytes([VERSION]) + salt + check
    yield header
    number, waiting = 0, bytearray()
    for frame in frames:
        if not 0 < len(frame) <= MAX_FRAME:
            raise ValueError("a frame's length")
        waiting += len(frame).to_bytes(4, "big") + frame
        while len(waiting) > CHUNK:  # at least one is left, which may turn out to be the last
            yield _seal_one(key, number, bytes(waiting[:CHUNK]), header, last=False)
            del waiting[:CHUNK]
            number += 1
    waiting += bytes(4)
    needed = number + -(-len(waiting) // CHUNK)
    total = chunks_of(needed)
    for place in range(number, total):
        piece = bytes(waiting[:CHUNK]).ljust(CHUNK, b"\0")
        del waiting[:CHUNK]
        yield _seal_one(key, place, piece, header, last=place == total - 1)


def frames_of(file: BinaryIO, passphrase: str) -> Iterator[bytes]:
    """Yield the frames of a backup, from where ``file`` stands to its end.

    A frame is authentic when it is yielded, but only the end shows that none is missing.

    Raises:
        UserError: it is no backup, of a newer version, or damaged, or the passphrase is wrong.
        OSError: it can't be read.
    """
    header = file.read(_HEADER)
    if header[: len(MAGIC)] != MAGIC or len(header) <= len(MAGIC):
        raise UserError(NO_BACKUP)
    if header[len(MAGIC)] != VERSION:
        raise UserError("This backup was made by a newer version of Shoal: use that version.")
    if len(header) < _HEADER:
        raise UserError(DAMAGED)
    salt = header[len(MAGIC) + 1 : -_CHECK]
    key, check = _keys(passphrase, salt)
    if not crypto.equal(check, header[-_CHECK:]):
        raise UserError(WRONG_PASSPHRASE)
    waiting, ended = bytearray(), False
    for piece in _open_all(file, key, header):
        if ended:
            if any(piece):
                raise UserError(DAMAGED)
            continue
        waiting += piece
        while len(waiting) >= 4:
            length = int.from_bytes(waiting[:4], "big")
            if length > MAX_FRAME:
                raise UserError(DAMAGED)
            if length == 0:
                ended = True
                if any(waiting):
                    raise UserError(DAMAGED)
                waiting.clear()
                break
            if len(waiting) < 4 + length:
                break
            yield bytes(waiting[4 : 4 + length])
            del waiting[: 4 + length]
    if not ended:
        raise UserError(DAMAGED)


def _open_all(file: BinaryIO, key: bytes, header: bytes) -> Iterator[bytes]:
    """Yield the contents of all chunks; raises UserError unless the last one is the last."""
    number, sealed = 0, file.read(_SEALED)
    while True:
        following = file.read(_SEALED)
        last = not following
        nonce = number.to_bytes(11, "big") + bytes([last])
        try:
            if len(sealed) != _SEALED:
                raise RemoteProtocolError("length")
            yield crypto.aead_open(key, nonce, sealed, header)
        except RemoteProtocolError:
            raise UserError(DAMAGED) from None
        if last:
            return
        number, sealed = number + 1, following


def _seal_one(key: bytes, number: int, piece: bytes, header: bytes, *, last: bool) -> bytes:
    nonce = number.to_bytes(11, "big") + bytes([last])
    return crypto.aead_seal(key, nonce, piece, header)


def _keys(passphrase: str, salt: bytes) -> tuple[bytes, bytes]:
    """Return the key of the chunks, and what tells a wrong passphrase."""
    given = unicodedata.normalize("NFC", passphrase).encode(errors="surrogatepass")
    if not 0 < len(given) <= MAX_PASSPHRASE:
        raise UserError(f"A passphrase has 1 to {MAX_PASSPHRASE} bytes.")
    stretched = crypto.argon2id(given, salt, memory=MEMORY)
    key = crypto.kdf(b"backup key", stretched)
    return key, crypto.kdf(b"backup check", stretched, size=_CHECK)
