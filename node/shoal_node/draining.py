"""A relay that goes in good order: it asks for nothing new, hands on what it keeps, and is quiet.

::

    asked ─► ANNOUNCING ─► HANDING_ON ──────────► QUIETENING ──────────► done
      │      directory      replicator's walks     nothing crossed it     word removed
      │                     and a second look      for QUIET_S
    DIR/leaving ◄── durable before the first is announced; there at a start, it goes on

Others learn in seconds that it takes nothing new; until their packets stop coming it mixes as
ever. What nobody takes from it within MOST_S stays in its store, for its next start, and is
said. A kill or a restart does not end it: the word in its home does not go before it is done, or
its operator has it stay. After that the next start is a relay like any other.
spec: directory §5.3, replication §2
"""

import enum
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node import keep, supervisor

log = logging.getLogger(__name__)

FILE: Final = "leaving"
WORD: Final = b"This relay was asked to leave. `shoal relay drain --cancel` has it stay.\n"
GOES_ON: Final = (
    "This relay goes on leaving, as it was asked to before it was started: "
    "`shoal relay drain --cancel` has it stay."
)
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


def forget(home: Path) -> bool:
    """Remove the word in ``home``, durably; whether there was one.

    Raises:
        OSError: it could not be removed.
    """
    try:
        (home / FILE).unlink()
    except FileNotFoundError:
        return False
    keep.sync(home)
    return True


class Draining:
    """One relay's way out.

    Args:
        home: where the word is kept.
        announce: publishes whether this relay takes anything new, by ``stage``; as soon as that
            can be said.
        leaving: whether it has been said.
        handed_on: whether all that anybody takes has come to others.
        left_behind: how many records nobody took.
        crossed: counts the packets that went on their way through this relay.
        held: packets and records that wait inside it now.
    """

    def __init__(
        self,
        home: Path,
        *,
        announce: Callable[[], Awaitable[None]],
        leaving: Callable[[], bool],
        handed_on: Callable[[], bool],
        left_behind: Callable[[], int],
        crossed: Callable[[], int],
        held: Callable[[], int],
    ) -> None:
        self.resumed: Final = (home / FILE).exists()  # asked for in an earlier run
        self.stage = Stage.ANNOUNCING if self.resumed else Stage.STAYING
        self.done: Final = trio.Event()
        self.complete = False  # whether everything was handed on before it was done
        self._home = home
        self._announce = announce
        self._leaving = leaving
        self._handed_on = handed_on
        self._left_behind = left_behind
        self._crossed = crossed
        self._held = held
        self._asked = trio.Event()
        self._going: trio.CancelScope | None = None
        if self.resumed:
            self._asked.set()

    def begin(self) -> None:
        """Begin to go, which is durable once ``stage`` says so; asked again, it goes on."""
        self._asked.set()

    def cancel(self) -> None:
        """Stay after all, which is durable once ``stage`` says so; too late when it is done."""
        if self._asked.is_set():
            self._asked = trio.Event()
            if self._going is not None:
                self._going.cancel()

    async def run(self) -> None:
        """Wait until asked, then go, unless that is cancelled; ``done`` is set in the end."""
        if self.resumed:
            log.warning("%s", GOES_ON)
        while not self.done.is_set():
            if self._asked.is_set():
                with trio.CancelScope() as self._going:
                    await self._go()
                self._going = None
            elif self.stage is not Stage.STAYING:
                await self._stay()
            else:
                await self._asked.wait()

    async def _go(self) -> None:
        self.complete = False
        if not await self._on_disk(keep.write, self._home / FILE, WORD):
            log.warning("draining: the disk takes no word of it, so a restart would end it")
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
        await self._forget()
        self.stage = Stage.DONE
        self.done.set()

    async def _stay(self) -> None:
        """Take work again."""
        await self._forget()
        self.stage = Stage.STAYING
        log.info("draining ended: this relay stays, and takes new work again")
        await supervisor.contain("drain", self._announce)

    async def _forget(self) -> None:
        if not await self._on_disk(forget, self._home):
            log.warning("draining: its word could not be removed: the next start goes on with it")

    async def _on_disk(self, what: Callable[..., object], *given: object) -> bool:
        async def do() -> None:
            await trio.to_thread.run_sync(partial(what, *given))

        return await supervisor.contain("drain", do)

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
