"""A relay's month in the node: counts what its transport moves, keeps it on disk, says so.

::

    Transport.meter ─┐ each LOOK_S          ┌─► DIR/volume, before it is used (volume)
    the store's size ┴──────► Volume ───────┼─► changed(stage): limits, links, the directory
                                            └─► log; `shoal status`

A disk that takes no writes is tried again at each look; until it does, a kill may give back
what was moved since.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node import keep, supervisor
from shoal_node.api.values import Month
from shoal_node.transport.interface import TaskStatus
from shoal_node.volume import CODEC, GB, LOOK_S, Cap, Kept, Stage, Volume, decode
from shoal_protocol.errors import RemoteProtocolError, UserError
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

FILE: Final = "volume"


def load(home: Path) -> Kept | None:
    """Return what the last run kept, None without one.

    Raises:
        UserError: the file is damaged.
    """
    data = keep.read(home / FILE)
    if data is None:
        return None
    try:
        return decode(data)
    except RemoteProtocolError:
        raise UserError(
            f"{home / FILE} is damaged; remove it and the month's count begins at nothing."
        ) from None


class VolumeService:
    """Keeps one relay's account of the month.

    Args:
        home: where the account is kept.
        cap: the operator's.
        lease_s: the network's.
        rng: for each day's share.
        now: the node's clock.
        moved: bytes of both directions since the start.
        stored: bytes that the store holds.
        changed: called with the stage, at the start unless it is OPEN, and when it changes.

    Raises:
        UserError: what the last run kept is damaged.
    """

    def __init__(
        self,
        home: Path,
        cap: Cap,
        lease_s: float,
        rng: Rng,
        *,
        now: Callable[[], int],
        moved: Callable[[], int],
        stored: Callable[[], int],
        changed: Callable[[Stage], Awaitable[None]],
    ) -> None:
        self.volume: Final = Volume(cap, load(home), now=now(), lease_s=lease_s, rng=rng)
        self._path = home / FILE
        self._now = now
        self._moved = moved
        self._stored = stored
        self._changed = changed
        self._said = Stage.OPEN

    @property
    def stage(self) -> Stage:
        """What the relay gives now."""
        return self.volume.stage

    @property
    def month(self) -> Month:
        """The account, for the operator alone."""
        volume = self.volume
        allowed = volume.cap.bytes / GB if volume.cap.bytes else None
        used = round(volume.used / GB, 6)
        return Month(allowed, used, volume.until, volume.stage.value, volume.resumes)

    def set_cap(self, cap: Cap) -> None:
        """Go by another cap from the next look on."""
        self.volume.set_cap(cap, self._now())

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Count until cancelled."""
        try:
            await self._look()
            task_status.started(None)
            while True:
                await trio.sleep(LOOK_S)
                await self._look()
        finally:
            self.volume.count(self._moved(), self._stored(), self._now())
            with trio.CancelScope(shield=True):
                await supervisor.contain("volume", self._save, self.volume.final())

    async def _look(self) -> None:
        volume = self.volume
        volume.count(self._moved(), self._stored(), self._now())
        due = volume.due()
        if due is not None and await supervisor.contain("volume", self._save, due):
            volume.made_durable(due)
        if volume.stage is not self._said:
            self._said = volume.stage
            said = volume.sentence()
            if said is None:
                log.info(
                    "this relay takes new work again: a day or month has turned, or its cap is up"
                )
            else:
                log.warning("%s", said)
            await supervisor.contain("volume", self._changed, volume.stage)

    async def _save(self, kept: Kept) -> None:
        await trio.to_thread.run_sync(partial(keep.write, self._path, CODEC.encode(kept)))
