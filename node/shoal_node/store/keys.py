"""The secret that a person's store is encrypted under, and how a passphrase leads to it.

::

    --passphrase-file F ─► first line ─► NFC, UTF-8 ─► argon2id(salt) ─► secret 32
    without one           DIR/store.key, drawn at random (mode 0600)  ─► secret 32

    DIR/store.salt   version 1, salt 16, check 16 (of the secret)     (mode 0600)
    DIR/store.key    the secret, 32 bytes                             (mode 0600)
    DIR/person.db    the store (person_store.py)

The first run decides which of the two it is, and the file is durable before the store
exists. ``check`` tells a wrong passphrase from a damaged store; guessing against it costs
what guessing against the store costs. A secret stands in no exception and no log.
"""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from shoal_node import keep
from shoal_protocol import crypto, wire
from shoal_protocol.client.state import StoreDamaged
from shoal_protocol.errors import RemoteProtocolError, UserError

DATABASE: Final = "person.db"
SALT_FILE: Final = "store.salt"
KEY_FILE: Final = "store.key"
WRONG_PASSPHRASE: Final = "The passphrase is wrong: the store does not open with it."  # noqa: S105
MAX_PASSPHRASE: Final = 1024  # bytes of the first line
_CHECK_LENGTH: Final = 16  # bytes


@dataclass(frozen=True, slots=True)
class _Salt:
    version: Annotated[int, wire.Range(1, 1)]
    salt: Annotated[bytes, wire.exactly(crypto.ARGON2ID_SALT_LENGTH)]
    check: Annotated[bytes, wire.exactly(_CHECK_LENGTH)]


_CODEC: Final = wire.Codec(_Salt, limit=64)


def passphrase_of(path: Path) -> str:
    """Return the passphrase in the file ``path``: its first line without the line's end.

    Raises:
        UserError: the file is missing, cannot be read, or its first line is empty, too long
            or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_PASSPHRASE + 3)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"The passphrase file {path} cannot be read: {reason}.") from None
    line = line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise UserError(f"The passphrase file {path} is empty: its first line is the passphrase.")
    if len(line) > MAX_PASSPHRASE:
        raise UserError(
            f"The first line of the passphrase file {path} is longer than {MAX_PASSPHRASE} bytes."
        )
    try:
        return line.decode()
    except UnicodeDecodeError:
        pass  # raised below, because the error holds the line
    raise UserError(f"The passphrase file {path} is not UTF-8 text.")


def secret_of(home: Path, passphrase: str | None) -> bytes:
    """Return the 32-byte secret of the store in ``home``, made now if there is none.

    Args:
        home: the node's directory.
        passphrase: None for a store without one. Takes about 0.1 s when given.

    Raises:
        UserError: the passphrase is wrong, missing, or given for a store that has none; or
            the file that the secret comes from is gone or damaged.
    """
    salt = keep.read(home / SALT_FILE)
    key = keep.read(home / KEY_FILE)
    if salt is not None and key is not None:
        raise StoreDamaged(
            f"Both {SALT_FILE} and {KEY_FILE} are in {home}, where one belongs: put back what "
            "was there."
        )
    if salt is not None:
        if passphrase is None:
            raise UserError(
                f"The store in {home} is locked with a passphrase: give --passphrase-file."
            )
        return _unlock(home, salt, passphrase)
    if key is not None:
        if passphrase is not None:
            raise UserError(
                f"The store in {home} was made without a passphrase: leave --passphrase-file out."
            )
        if len(key) != crypto.KEY_LENGTH:
            raise StoreDamaged(f"{home / KEY_FILE} is damaged, and the store cannot be read.")
        return key
    if (home / DATABASE).exists():
        raise StoreDamaged(
            f"{DATABASE} is in {home} without {SALT_FILE} or {KEY_FILE}, and cannot be read "
            "without it: put it back, or remove the store to begin anew."
        )
    return _make(home, passphrase)


def _unlock(home: Path, data: bytes, passphrase: str) -> bytes:
    try:
        found = _CODEC.decode(data)
    except RemoteProtocolError:
        raise StoreDamaged(
            f"{home / SALT_FILE} is damaged, and the store cannot be read."
        ) from None
    secret = _stretch(passphrase, found.salt)
    if not crypto.equal(_check(secret), found.check):
        raise UserError(WRONG_PASSPHRASE)
    return secret


def _make(home: Path, passphrase: str | None) -> bytes:
    if passphrase is None:
        secret = os.urandom(crypto.KEY_LENGTH)
        _write(home / KEY_FILE, secret)
        return secret
    salt = os.urandom(crypto.ARGON2ID_SALT_LENGTH)
    secret = _stretch(passphrase, salt)
    _write(home / SALT_FILE, _CODEC.encode(_Salt(1, salt, _check(secret))))
    return secret


def _write(path: Path, data: bytes) -> None:
    try:
        keep.write(path, data)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"{path} cannot be written: {reason}.") from None


def _stretch(passphrase: str, salt: bytes) -> bytes:
    return crypto.argon2id(unicodedata.normalize("NFC", passphrase).encode(), salt)


def _check(secret: bytes) -> bytes:
    return crypto.kdf(b"store check", secret, size=_CHECK_LENGTH)
