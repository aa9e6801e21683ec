"""The secret that a person's store is encrypted under, and how a passphrase leads to it.

::

    passphrase ─► NFC, UTF-8 ─► argon2id(salt) ─► stretched 32 ─┬─ version 1 ─► secret 32
                                                               └─ version 2 ─► opens wrapped
    without one       DIR/store.key, drawn at random            ─► secret 32

    DIR/store.salt   version 1, salt 16, check 16 (of the stretched)             (mode 0600)
                     version 2, salt 16, check 16, nonce 12, wrapped secret 48   (mode 0600)
    DIR/store.key    the secret, 32 bytes                                        (mode 0600)
    DIR/person.db    the store (person_store.py)

The first run decides which of the two it is, and the file is durable before the store
exists. ``check`` tells a wrong passphrase from a damaged store; guessing against it costs
what guessing against the store costs. A secret stands in no exception and no log.

:func:`change` wraps the same secret anew and destroys what led to it before, so that nothing
of the store is written again and a crash leaves one way in: with both files there, the
passphrase holds. Who copied the earlier file and knows what opened it keeps the secret.
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
_NONCE_LENGTH: Final = 12  # bytes
_TAG_LENGTH: Final = 16  # bytes
_WRAP_LABEL: Final = b"store secret"


@dataclass(frozen=True, slots=True)
class _Salt:
    version: Annotated[int, wire.Range(1, 1)]
    salt: Annotated[bytes, wire.exactly(crypto.ARGON2ID_SALT_LENGTH)]
    check: Annotated[bytes, wire.exactly(_CHECK_LENGTH)]


@dataclass(frozen=True, slots=True)
class _Wrapped:
    version: Annotated[int, wire.Range(2, 2)]
    salt: Annotated[bytes, wire.exactly(crypto.ARGON2ID_SALT_LENGTH)]
    check: Annotated[bytes, wire.exactly(_CHECK_LENGTH)]
    nonce: Annotated[bytes, wire.exactly(_NONCE_LENGTH)]
    wrapped: Annotated[bytes, wire.exactly(crypto.KEY_LENGTH + _TAG_LENGTH)]


_CODEC: Final = wire.Codec(_Salt, limit=64)
_WRAPPED: Final = wire.Codec(_Wrapped, limit=128)


class WrongPassphrase(UserError):
    """The passphrase is wrong, missing, or given where there is none."""


def locked(home: Path) -> bool:
    """Whether the store in ``home`` takes a passphrase."""
    return (home / SALT_FILE).exists()


def decided(home: Path) -> bool:
    """Whether there is a store in ``home``, with a passphrase or without."""
    return any((home / name).exists() for name in (SALT_FILE, KEY_FILE, DATABASE))


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
        WrongPassphrase: the passphrase is wrong, missing, or given for a store without one.
        UserError: the file that the secret comes from is gone or damaged.
    """
    salt = keep.read(home / SALT_FILE)
    key = keep.read(home / KEY_FILE)
    if salt is not None and key is not None:
        if _is_wrapped(salt):
            return _finish_change(home, salt, key, passphrase)
        raise StoreDamaged(
            f"Both {SALT_FILE} and {KEY_FILE} are in {home}, where one belongs: put back what "
            "was there."
        )
    if salt is not None:
        if passphrase is None:
            raise WrongPassphrase(
                f"The store in {home} is locked with a passphrase: give --passphrase-file."
            )
        return _unlock(home, salt, passphrase)
    if key is not None:
        if passphrase is not None:
            raise WrongPassphrase(
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


def change(home: Path, old: str | None, new: str | None) -> None:
    """Lock the store in ``home`` with another passphrase, or with none.

    Args:
        old: the passphrase until now, None for a store without one.
        new: None: the secret lies in a file from now on.

    Raises:
        WrongPassphrase: ``old`` is wrong, missing, or given for a store without one.
        UserError: a file is damaged or cannot be written.
    """
    secret = secret_of(home, old)
    if new is not None:
        _wrap(home, secret, new)
        _destroy(home / KEY_FILE)
    elif old is not None:
        _wrap(home, secret, old)  # of version 2, so that a crash right after is no damage
        _write(home / KEY_FILE, secret)
        _destroy(home / SALT_FILE)


def _is_wrapped(data: bytes) -> bool:
    try:
        _WRAPPED.decode(data)
    except RemoteProtocolError:
        return False
    return True


def _finish_change(home: Path, salt: bytes, key: bytes, passphrase: str | None) -> bytes:
    """Take the passphrase for what holds after a change that a crash cut short."""
    if passphrase is None:
        raise WrongPassphrase(
            f"The store in {home} is locked with a passphrase: give --passphrase-file."
        )
    secret = _unlock(home, salt, passphrase)
    if not crypto.equal(secret, key):
        raise StoreDamaged(
            f"{SALT_FILE} and {KEY_FILE} in {home} belong to two stores: put back what was there."
        )
    _destroy(home / KEY_FILE)
    return secret


def _unlock(home: Path, data: bytes, passphrase: str) -> bytes:
    wrapped: _Wrapped | None = None
    try:
        if _is_wrapped(data):
            wrapped = _WRAPPED.decode(data)
        found = wrapped or _CODEC.decode(data)
        stretched = _stretch(passphrase, found.salt)
        if not crypto.equal(_check(stretched), found.check):
            raise WrongPassphrase(WRONG_PASSPHRASE)
        if wrapped is None:
            return stretched
        return crypto.aead_open(stretched, wrapped.nonce, wrapped.wrapped, _WRAP_LABEL)
    except RemoteProtocolError:
        raise StoreDamaged(
            f"{home / SALT_FILE} is damaged, and the store cannot be read."
        ) from None


def _wrap(home: Path, secret: bytes, passphrase: str) -> None:
    salt = os.urandom(crypto.ARGON2ID_SALT_LENGTH)
    nonce = os.urandom(_NONCE_LENGTH)
    stretched = _stretch(passphrase, salt)
    wrapped = crypto.aead_seal(stretched, nonce, secret, _WRAP_LABEL)
    found = _Wrapped(2, salt, _check(stretched), nonce, wrapped)
    try:
        keep.replace_secret(home / SALT_FILE, _WRAPPED.encode(found))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"{home / SALT_FILE} cannot be written: {reason}.") from None


def _destroy(path: Path) -> None:
    try:
        keep.destroy(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"{path} cannot be removed: {reason}.") from None


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
