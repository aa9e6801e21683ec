"""Strangers who open raw sockets to relays and misbehave, on and on, until they are stopped.

::

    garbage    random bytes, and away
    truncated  the first lines of a handshake, then closed in the middle of a message
    oversized  a greeting that announces far more than any greeting has
    silent     connects and says nothing
    slow       a byte of a correct greeting every half second
"""

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

GREETING: Final = b"\x13/multistream/1.0.0\n"
NOISE: Final = b"\x07/noise\n"
AT_ONCE: Final = 8  # strangers of each kind
SILENT_S: Final = 2.0
SLOW_S: Final = 0.5

Address = tuple[str, int]


class Strangers:
    """Misbehave against ``targets`` as long as the context lasts.

    Args:
        targets: hosts and ports of relays.

    ``met`` counts connections by kind.
    """

    def __init__(self, targets: Sequence[Address]) -> None:
        kinds: tuple[Callable[[socket.socket], None], ...] = (
            self._garbage,
            self._truncated,
            self._oversized,
            self._silent,
            self._slow,
        )
        self._targets = targets
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, args=(kind, number), daemon=True)
            for kind in kinds
            for number in range(AT_ONCE)
        ]
        self.met: Counter[str] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, kind: Callable[[socket.socket], None], number: int) -> None:
        while not self._stop.wait(0.05):
            number += 1
            # A relay that refuses or hangs up is what we are here for.
            with (
                suppress(OSError),
                socket.create_connection(
                    self._targets[number % len(self._targets)], timeout=5.0
                ) as stranger,
            ):
                self.met[kind.__name__.removeprefix("_")] += 1
                kind(stranger)

    def _garbage(self, stranger: socket.socket) -> None:
        stranger.sendall(os.urandom(65_536))

    def _truncated(self, stranger: socket.socket) -> None:
        # A Noise message of 512 bytes is announced, and 40 come.
        stranger.sendall(GREETING + NOISE + (512).to_bytes(2, "big") + os.urandom(40))
        stranger.shutdown(socket.SHUT_WR)
        stranger.recv(4_096)

    def _oversized(self, stranger: socket.socket) -> None:
        stranger.sendall(b"\xff\xff\xff\x7f" + bytes(262_144))

    def _silent(self, stranger: socket.socket) -> None:
        self._stop.wait(SILENT_S)

    def _slow(self, stranger: socket.socket) -> None:
        for byte in GREETING + NOISE:
            stranger.sendall(bytes([byte]))
            if self._stop.wait(SLOW_S):
                return
