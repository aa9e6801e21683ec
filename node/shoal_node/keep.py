"""What a node keeps on disk between runs: small files in its home, written in one step.

::

    DIR/relay    a relay's identity: Ed25519 seed, work, last version signed    (mode 0600)
    DIR/guards   a person's guards, sampled once and kept for months            (mode 0600)
    DIR/tenure   which relays were seen since when, in networks with such rules (mode 0600)

    write    beside, synced, renamed                destroy    overwritten, synced, unlinked
    replace_secret   written; then what was there before is overwritten

A file is written beside, synced and renamed, and its directory synced: after a crash it
holds the old or the new, never half. Nothing of a persona is kept here.
"""

import contextlib
import io
import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from shoal_protocol import crypto, wire
from shoal_protocol.directory import descriptor
from shoal_protocol.directory.envelope import Version
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.pseudonyms.work import NONCE_LENGTH
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

_BLOCK: Final = 4096  # bytes; what a small file takes on a disk
RELAY_FILE: Final = "relay"
GUARDS_FILE: Final = "guards"
TENURE_FILE: Final = "tenure"


def write(path: Path, data: bytes) -> None:
    """Put ``data`` in ``path``, durably and in one step, readable by the owner only."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
    sync(path.parent)


def replace_secret(path: Path, data: bytes) -> None:
    """Put ``data`` in ``path`` like :func:`write`, then overwrite what it held before.

    As of :func:`destroy`; not on Windows, where a file that is open cannot be replaced.
    """
    with contextlib.ExitStack() as held:
        before: io.FileIO | None = None
        if os.name == "posix":
            with contextlib.suppress(FileNotFoundError):
                before = held.enter_context(path.open("r+b", buffering=0))
        write(path, data)
        if before is not None:
            _overwrite(before)


def _overwrite(file: io.FileIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    file.write(os.urandom(max(size, _BLOCK)))
    os.fsync(file.fileno())


def sync(directory: Path) -> None:
    """Make durable which files a directory has."""
    if os.name == "posix":
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def destroy(path: Path) -> None:
    """Overwrite a small file with random bytes and unlink it, durably; nothing if it's not there.

    Overwriting in place reaches the medium where the file system writes in place; on flash and
    on copying file systems the old block may outlive it, which no program can help.

    Raises:
        OSError: it could not be unlinked.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            _overwrite(file)
    except FileNotFoundError:
        return
    except OSError:
        log.warning("a file could not be overwritten; it is unlinked")
    path.unlink(missing_ok=True)
    sync(path.parent)


def read(path: Path) -> bytes | None:
    """Return what ``path`` holds, or None when it isn't there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class RelayState:
    """A relay's lasting identity and the last descriptor version that it signed."""

    network: Annotated[bytes, wire.exactly(32)]  # the parameters' hash: work is done for one
    seed: Annotated[bytes, wire.exactly(crypto.KEY_LENGTH)]
    nonce: Annotated[bytes, wire.exactly(NONCE_LENGTH)]
    epoch: Annotated[int, wire.U32]
    serial: Annotated[int, wire.Range(-1, 255)]  # -1 before the first

    def __repr__(self) -> str:
        return "RelayState(…)"

    @property
    def version(self) -> Version | None:
        """The last version made durable."""
        return None if self.serial < 0 else Version(self.epoch, self.serial)

    def signed(self, version: Version) -> "RelayState":
        """Return the state in which ``version`` is used up."""
        return replace(self, epoch=version.epoch, serial=version.serial)


_CODEC: Final = wire.Codec(RelayState, limit=256)


def save_relay(path: Path, state: RelayState) -> None:
    """Make a relay's state durable in the home ``path``."""
    write(path / RELAY_FILE, _CODEC.encode(state))


def load_relay(path: Path, params: NetworkParameters, rng: Rng) -> RelayState:
    """Return the relay's state, made now (with its work: seconds on the main network) if new.

    Raises:
        UserError: the file is damaged, or belongs to another network.
    """
    data = read(path / RELAY_FILE)
    if data is None:
        seed = rng.bytes(crypto.KEY_LENGTH)
        nonce = descriptor.solve_work(crypto.ed25519_public(seed), params, rng)
        state = RelayState(params.hash, seed, nonce, 0, -1)
        save_relay(path, state)
        return state
    try:
        state = _CODEC.decode(data)
    except RemoteProtocolError:
        raise UserError(
            f"{path / RELAY_FILE} is damaged; remove it and the relay gets a new identity."
        ) from None
    if state.network != params.hash:
        raise UserError(
            f"The relay in {path} belongs to another network; give --network or another --data."
        )
    return state
