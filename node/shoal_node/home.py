"""A node's home: one directory that only its owner can read, and the file that says where it is.

::

    DIR/              mode 0700
      lock            held by the running node
      api.json        mode 0600, there while the API answers:
                      {"url", "token", "pid", "peer_id", "addrs"}
      port            the API's last port, of a person's node: an open page finds it again
      config.toml     read at start, if there is one
      node.log        what a node started by ``demo`` or ``lab`` logs
      person.db       a person's store, with store.salt or store.key (``store.keys``)
      guards          a person's guards (``keep``)
      settings        what a person chose that is known while locked (``choices``)
      relay.db        a relay's boxes and entries (``store.relay_store``)
      relay, replicas a relay's identity, and whom it last kept boxes with
      volume          what a relay moved this month (``volume``)
      leaving         there while a relay drains (``draining``)
"""

import contextlib
import json
import os
import stat
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from shoal_protocol.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: api.json's process id alone guards the directory
    fcntl = None  # type: ignore[assignment]

API_FILE: Final = "api.json"
LOCK_FILE: Final = "lock"
PORT_FILE: Final = "port"
CONFIG_FILE: Final = "config.toml"
LOG_FILE: Final = "node.log"
CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)  # Windows has none, and inherits nothing by itself
_QUERY_LIMITED: Final = 0x1000  # a right of Windows: to ask for a process's exit code
_STILL_ACTIVE: Final = 259  # the exit code of one that runs


@dataclass(frozen=True, slots=True)
class ApiFile:
    """The contents of ``api.json``."""

    url: str
    token: str
    pid: int
    peer_id: str
    addrs: tuple[str, ...]

    def __repr__(self) -> str:
        return f"ApiFile(url={self.url!r}, pid={self.pid})"


def default_path() -> Path:
    """The platform's directory for this user's data of Shoal."""
    import platformdirs

    return platformdirs.user_data_path("shoal", appauthor=False)


def read_api(path: Path) -> ApiFile:
    """Return where the node of the home ``path`` answers.

    Raises:
        UserError: no node runs there, or the one that did ended without a clean-up.
    """
    try:
        table = json.loads((path / API_FILE).read_bytes())
        found = ApiFile(
            str(table["url"]),
            str(table["token"]),
            int(table["pid"]),
            str(table["peer_id"]),
            tuple(str(addr) for addr in table["addrs"]),
        )
    except FileNotFoundError:
        raise UserError(f"No node runs in {path}: start one with `shoal up`.") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not possible"
        raise UserError(f"{path / API_FILE} cannot be read: {reason}.") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{path / API_FILE} is damaged: stop the node and start it again."
        ) from None
    if not alive(found.pid):
        raise UserError(
            f"The node in {path} (process {found.pid}) ended without cleaning up: start it again."
        )
    return found


def alive(pid: int) -> bool:
    """Whether a process of this id exists."""
    if pid <= 0:
        return False
    if sys.platform == "win32":  # there os.kill would send Ctrl-C
        import ctypes

        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(_QUERY_LIMITED, False, pid)
        code = ctypes.c_ulong(0)
        told = bool(handle) and bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code)))
        kernel.CloseHandle(handle)
        return told and code.value == _STILL_ACTIVE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Home:
    """The directory of one running node, locked while the context lasts.

    Args:
        path: made with mode 0700 when it is not there.

    Raises:
        UserError: it cannot be used, or a node runs in it already.
    """

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self._lock: int | None = None
        self._published = False

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_private()
            self._take_lock()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "it is not possible"
            raise UserError(f"The data directory {self.path} cannot be used: {reason}.") from None
        (self.path / API_FILE).unlink(missing_ok=True)  # left by a node that was killed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.withdraw()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make_private(self) -> None:
        if os.name != "posix":
            return
        found = self.path.stat()
        if found.st_uid != os.geteuid():
            raise UserError(f"The data directory {self.path} belongs to another user.")
        if not stat.S_IMODE(found.st_mode) & 0o077:
            return
        others = {entry.name for entry in self.path.iterdir()}
        if LOCK_FILE in others or others <= {CONFIG_FILE, LOG_FILE}:  # ours, or about to be
            self.path.chmod(0o700)
            return
        raise UserError(
            f"Others can read the data directory {self.path}: use `chmod 700` or another one."
        )

    def _take_lock(self) -> None:
        lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | CLOEXEC, 0o600)
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise UserError(f"A node runs in {self.path} already.") from None
        self._lock = lock

    def publish(self, api: ApiFile) -> None:
        """Write ``api.json`` in one step, readable by the owner only."""
        descriptor, name = tempfile.mkstemp(prefix=".api-", dir=self.path)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(api), file)
        os.replace(name, self.path / API_FILE)
        self._published = True

    def last_port(self) -> int:
        """Return the port that was kept; 0 without one."""
        try:
            port = int((self.path / PORT_FILE).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        return port if 1024 <= port < 65_536 else 0

    def keep_port(self, port: int) -> None:
        """Keep ``port`` for the next start, where it can be written."""
        with contextlib.suppress(OSError):
            (self.path / PORT_FILE).write_text(f"{port}\n", encoding="ascii")

    def withdraw(self) -> None:
        """Remove ``api.json`` if this node wrote it."""
        if self._published:
            self._published = False
            (self.path / API_FILE).unlink(missing_ok=True)
