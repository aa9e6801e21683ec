"""A relay that goes in good order: it asks for nothing new, hands on what it keeps, and is quiet.

::

    asked ─► ANNOUNCING ─► HANDING_ON ──────────► QUIETENING ──────────► done
             directory      replicator's walks     nothing crossed it
                            and a second look      for QUIET_S

Others learn in seconds that it takes nothing new; until their packets stop coming it mixes as
ever. What nobody takes from it within MOST_S stays in its store, for its next start, and is
said. spec: directory §5.3, replication §2
"""

import enum
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from shoal_node import supervisor

log = logging.getLogger(__name__)

QUIET_S: Final = 10.0  # without a packet that crossed it
MOST_S: Final = 3_600.0  # of handing on; what is left then stays in the store
QUIET_MOST_S: Final = 300.0  # of waiting for quiet; longer than any request waits here
LOOK_S: Final = 0.5  # between two looks


class Stage(enum.Enum):
    """How far a relay is that was asked to go."""

    STAYING = "staying"
    ANNOUNCING = "announcing"
    HANDING_ON = "handing on"
    QUIETENING = "waiting for quiet"
    SOME_LEFT = "waiting for quiet, some left"  # records that nobody took
    DONE = "done"


class Draining:
    """One relay's way out.

    Args:
        announce: publishes that this relay takes nothing new; as soon as that can be said.
        leaving: whether it has been said.
        handed_on: whether all that anybody takes has come to others.
        left_behind: how many records nobody took.
        crossed: counts the packets that went on their way through this relay.
        held: packets and records that wait inside it now.
    """

    def __init__(
        self,
        *,
        announce: Callable[[], Awaitable[None]],
        leaving: Callable[[], bool],
        handed_on: Callable[[], bool],
        left_behind: Callable[[], int],
        crossed: Callable[[], int],
        held: Callable[[], int],
    ) -> None:
        self.stage = Stage.STAYING
        self.done: Final = trio.Event()
        self.complete = False  # whether everything was handed on before it was done
        self._announce = announce
        self._leaving = leaving
        self._handed_on = handed_on
        self._left_behind = left_behind
        self._crossed = crossed
        self._held = held
        self._asked = trio.Event()

    def begin(self) -> None:
        """Begin to go; asked again, it goes on."""
        self._asked.set()

    async def run(self) -> None:
        """Wait until asked, then go; ``done`` is set in the end."""
        await self._asked.wait()
        self.stage = Stage.ANNOUNCING
        log.info("draining: this relay takes nothing new")
        await supervisor.contain("drain", self._announce)  # whoever announces tries again
        await self._until(self._leaving)
        self.stage = Stage.HANDING_ON
        with trio.move_on_after(MOST_S):
            await self._until(self._handed_on)
            self.complete = self._left_behind() == 0
        if self.complete:
            self.stage = Stage.QUIETENING
            log.info("draining: what was kept here has been handed on")
        else:
            self.stage = Stage.SOME_LEFT
            log.warning("draining: nobody took some records; they stay in the store")
        with trio.move_on_after(QUIET_MOST_S):
            await self._quiet()
        self.stage = Stage.DONE
        self.done.set()

    async def _quiet(self) -> None:
        """Return once nothing has crossed for QUIET_S and nothing waits."""
        crossed, since = self._crossed(), trio.current_time()

        def quiet() -> bool:
            nonlocal crossed, since
            if self._crossed() != crossed:
                crossed, since = self._crossed(), trio.current_time()
            return not self._held() and trio.current_time() - since >= QUIET_S

        await self._until(quiet)

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Look at machines that nobody tells of, now and then."""
        while True:
            if holds():
                return
            await trio.sleep(LOOK_S)
