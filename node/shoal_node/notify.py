"""Tells systemd how the node is: ``sd_notify`` over the socket that it names, in 100 lines.

::

    NOTIFY_SOCKET ─► Notifier ─► READY=1, STATUS=…, RELOADING=1, STOPPING=1
    WATCHDOG_USEC ─► keep_told ─ alive() returns ─► WATCHDOG=1
                                 └ hangs ─► nothing: systemd ends the process and starts it anew

Both variables are taken out of the environment, so that no child speaks for the node. What can't
be sent is dropped: nothing here may hold up the node. Source: systemd's sd_notify(3).
"""

import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Final

import trio

log = logging.getLogger(__name__)

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"
SEND_S: Final = 0.1  # that a full socket may hold us up
LOOK_S: Final = 30.0  # between two looks at the status, without a watchdog
LONGEST_STATUS: Final = 400  # characters


class Notifier:
    """Sends datagrams to whoever started this process; to nobody without an address.

    Args:
        address: a path, or ``@`` and a name of Linux's abstract sockets; empty for nobody.
        watchdog_s: within how many seconds a sign of life is expected, None for never.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self.watchdog_s: Final = watchdog_s
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = ""

    def __bool__(self) -> bool:
        return self._address.startswith(("/", "\0"))

    def tell(self, *lines: str) -> None:
        """Send assignments, each a line."""
        if not self:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            log.debug("the service manager could not be told")

    def tell_status(self, text: str) -> None:
        """Show ``text`` in ``systemctl status``, if it is new."""
        text = " ".join(text.split())[:LONGEST_STATUS]
        if text != self._status:
            self._status = text
            self.tell(f"STATUS={text}")

    def tell_reloading(self) -> None:
        """Say that settings are read again; READY follows."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def from_environment(environ: MutableMapping[str, str]) -> Notifier:
    """Return the notifier that ``environ`` asks for, and take what asks for it out of it."""
    address = environ.pop("NOTIFY_SOCKET", "")
    wanted = environ.pop("WATCHDOG_USEC", "")
    whose = environ.pop("WATCHDOG_PID", "")
    watchdog = None
    if wanted.isascii() and wanted.isdigit() and int(wanted) and whose in ("", str(os.getpid())):
        watchdog = int(wanted) / 1e6
    return Notifier(address if hasattr(socket, "AF_UNIX") else "", watchdog)


async def keep_told(
    notifier: Notifier, status: Callable[[], str], alive: Callable[[], Awaitable[None]]
) -> None:
    """Tell the status and signs of life until cancelled, then that the node stops.

    Args:
        notifier: whom to tell.
        status: one line for people.
        alive: returns once what must turn has turned.
    """
    notifier.tell(READY)
    patience = notifier.watchdog_s
    try:
        while True:
            notifier.tell_status(status())
            if patience is None:
                await trio.sleep(LOOK_S)
                continue
            with trio.move_on_after(patience / 2) as scope:
                await alive()
            if not scope.cancelled_caught:
                notifier.tell(WATCHDOG)
            await trio.sleep(min(LOOK_S, patience / 4))
    finally:
        notifier.tell(STOPPING)
