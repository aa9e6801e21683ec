"""A person's process: opens and closes the person's store, and runs its node meanwhile.

::

              unlock ─► key ─► store ─► PersonNode
    locked ─────────────────────────────────────► open
       ▲ ◄──────── lock: links closed, keys forgotten ┤
       │                                              │ panic: keys, store, all else destroyed
       ╳ erased: the process ends ◄──────────── empty ◄┘

One change at a time. Attempts to unlock take argon2's time in a thread, one by one, and after
a few wrong ones the next must wait. While locked the process knows no secret: it answers its
status, the lock, and what the page needs to draw itself. Events of before are forgotten.
"""

import gc
import importlib.metadata
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import trio

from shoal_node import choices, clock, erasure, person_views
from shoal_node.api import backend, values
from shoal_node.config import NodeConfig
from shoal_node.person import PersonNode
from shoal_node.store import keys
from shoal_node.store.person_store import PersonStore
from shoal_node.transport.interface import StartTransport, TaskStatus
from shoal_protocol.errors import UserError
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

FREE_ATTEMPTS: Final = 3  # wrong passphrases in a row that cost no wait
LONGEST_WAIT_S: Final = 60.0
MISSING: Final = "The store is locked with a passphrase: give it."
UNNEEDED: Final = "The store has no passphrase: unlock it without one."
ENDING: Final = "Everything was erased, and this node ends: `shoal up` starts afresh."
LOCKED: Final = "The node is locked: nothing is sent or fetched until it is unlocked."


class Household:
    """One person's process; implements ``backend.Household``.

    Args:
        start_transport: what carries the frames; the in-memory twin in tests.

    Raises:
        UserError: the passphrase file cannot be read.
    """

    def __init__(
        self,
        config: NodeConfig,
        rng: Rng,
        ticking: clock.NodeClock,
        start_transport: StartTransport,
    ) -> None:
        self._config = config
        self._rng = rng
        self._clock = ticking
        self._start_transport = start_transport
        self._events: backend.Hub = backend.Hub(ticking.now())
        self._chosen = choices.load(config.data)
        self._changing = trio.Lock()
        self._failures = 0
        self._next_attempt = 0.0  # by trio's clock
        self.erased: Final = trio.Event()  # everything was destroyed: the process is to end
        self._secret: bytes | None = None  # while the store is open
        self._nursery: trio.Nursery | None = None
        self._node: PersonNode | None = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be a person's process until cancelled.

        A store that opens without being asked for a passphrase, or with the one in the
        passphrase file, is opened at once.

        Raises:
            UserError: it does not open, or a service keeps failing.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self._config.passphrase_file is not None or not keys.locked(self._config.data):
                async with self._changing:
                    await self._open(self._config.passphrase)
            task_status.started(None)
            await trio.sleep_forever()

    @property
    def events(self) -> backend.Hub:
        """The hub of this process's events."""
        return self._events

    @property
    def person(self) -> PersonNode:
        """The person's node; raises Locked while there is none."""
        if self._node is None:
            raise backend.Locked
        return self._node

    def status(self) -> backend.Status:
        """What the node sees now."""
        if self._node is not None:
            return self._node.status()
        params = self._config.network_parameters
        return backend.Status(
            ready=False,
            packet_bytes=params.packet_bytes,
            role="person",
            peer_id="",
            addrs=(),
            reachable=False,
            relays=0,
            dht_peers=0,
            crowd=None,
            preset=self._preset,
            queue=0,
            version=importlib.metadata.version("shoal"),
            network=params.name,
            warnings=(LOCKED,),
        )

    def peers(self) -> Sequence[backend.PeerInfo]:
        """The guards."""
        return () if self._node is None else self._node.peers()

    def drain(self) -> None:
        """Refuse: a person's node keeps nothing of others."""
        raise backend.NotFound("This is a person's node: only a relay drains.")

    def cancel_drain(self) -> None:
        """Refuse: only relays drain."""
        raise backend.NotFound("This is a person's node: only a relay drains.")

    def self_check(self) -> backend.SelfCheck:
        """Refuse: a person's node needs no way in."""
        raise backend.NotFound("This is a person's node: only a relay checks itself.")

    def check_reach(self) -> None:
        """Refuse, as :meth:`self_check` does."""
        self.self_check()

    def lock_state(self) -> backend.LockState:
        """Whether the store is open."""
        locked = keys.locked(self._config.data)
        if self._node is not None:
            return backend.LockState("open", locked)
        return backend.LockState("empty" if self.erased.is_set() else "locked", locked)

    async def unlock(self, passphrase: str | None) -> backend.LockState:
        """Open the store and start the person's node; Conflict once everything is erased."""
        async with self._changing:
            if self.erased.is_set():
                raise backend.Conflict(ENDING)
            if self._node is None:
                self._check_attempts()
                if (passphrase is None) == keys.locked(self._config.data) and not self._fresh:
                    raise backend.Unprocessable(MISSING if passphrase is None else UNNEEDED)
                try:
                    await self._open(passphrase)
                except keys.WrongPassphrase as error:
                    self._failed()
                    raise backend.Unprocessable(str(error)) from None
                except UserError as error:
                    raise backend.Conflict(str(error)) from None
                self._failures = 0
            return self._tell()

    @property
    def _fresh(self) -> bool:
        """Whether there is no store yet, so that the passphrase is free to choose."""
        return not keys.decided(self._config.data)

    def _check_attempts(self) -> None:
        wait = self._next_attempt - trio.current_time()
        if wait > 0:
            raise backend.TooMany(
                f"Too many wrong passphrases: try again in {wait:.0f} s.", max(1, round(wait))
            )

    def _failed(self) -> None:
        self._failures += 1
        over = self._failures - FREE_ATTEMPTS
        if over >= 0:
            self._next_attempt = trio.current_time() + min(2.0**over, LONGEST_WAIT_S)

    async def lock(self) -> backend.LockState:
        """Stop the person's node and forget its keys."""
        async with self._changing:
            if self._node is not None:
                await self._stop()
                return self._tell()
            return self.lock_state()

    async def panic(self) -> None:
        """Destroy the store's keys, then the store, then whatever else tells of the person.

        Sets :attr:`erased` once nothing is left; while something stays this can be called again.
        """
        data = self._config.data
        stays = False
        with trio.CancelScope(shield=True):
            try:
                erasure.destroy_keys(data)  # before all else, without waiting for anything
            except OSError:
                stays = True  # the rest goes all the same, and the next attempt comes below
            async with self._changing:
                if self._node is not None:
                    self._node.discard()
                    await self._stop()
                try:
                    await trio.to_thread.run_sync(erasure.destroy_all, data)
                    stays = False
                except OSError:
                    stays = True
                self._chosen = choices.Choices()
                self._failures = 0
                if not stays:
                    self.erased.set()
                self._tell()
        if stays:
            raise backend.Unavailable("Something in the data directory could not be removed.")
        log.warning("everything of the person was erased")

    async def change_passphrase(self, old: str | None, new: str | None) -> backend.LockState:
        """Lock the open store with another passphrase, or with none."""
        async with self._changing:
            if self._node is None:
                raise backend.Locked
            self._check_attempts()
            try:
                await trio.to_thread.run_sync(keys.change, self._config.data, old, new)
            except keys.WrongPassphrase as error:
                self._failed()
                raise backend.Unprocessable(str(error)) from None
            except UserError as error:
                raise backend.Conflict(str(error)) from None
            self._failures = 0
            return self._tell()

    def settings(self) -> backend.Settings:
        """What the person chose."""
        stored = None if self._node is None else self._node.chosen
        return backend.Settings(
            preset=self._preset,
            language=self._chosen.language,
            theme=self._chosen.theme,
            receipts_default=None if stored is None else stored.receipts_default,
            fresh_persona=None if stored is None else stored.fresh_persona,
            persona_slots=None if stored is None else stored.persona_slots,
        )

    async def change_settings(self, change: backend.SettingsChange) -> backend.Settings:
        """Change what is not UNSET; another preset starts the person's node anew."""
        async with self._changing:
            before = self._preset
            stored = ("receipts_default", "fresh_persona", "persona_slots")
            in_store = _given(change, stored)
            in_file = _given(change, ("preset", "language", "theme"))
            if self._node is None and (in_store or "preset" in in_file):
                raise backend.Locked
            if self._node is not None and in_store:
                await self._node.choose(replace(self._node.chosen, **in_store))
            if in_file:
                chosen = replace(self._chosen, **in_file)
                try:
                    await trio.to_thread.run_sync(choices.save, self._config.data, chosen)
                except OSError:
                    raise backend.Unavailable("The settings cannot be written.") from None
                self._chosen = chosen
                if "preset" in in_file:
                    self._config = replace(self._config, preset_given=False)
            if self._node is not None and self._preset != before:
                await self._restart()
            found = self.settings()
            self._events.publish(found)
            return found

    @property
    def _preset(self) -> values.PresetName:
        """What was given at the start, else what was chosen."""
        preset = self._chosen.preset
        if preset is None or self._config.preset_given:
            return self._config.preset
        return preset

    async def _open(self, passphrase: str | None) -> None:
        """Open the store and start the person's node in the background.

        Raises:
            WrongPassphrase: it is wrong, missing, or not needed.
            UserError: the store does not open.
        """
        secret = await trio.to_thread.run_sync(keys.secret_of, self._config.data, passphrase)
        await self._start(secret)

    async def _start(self, secret: bytes) -> None:
        assert self._nursery is not None
        path = self._config.data / keys.DATABASE
        store = await trio.to_thread.run_sync(PersonStore.open, path, secret)
        config = replace(self._config, preset=self._preset)
        try:
            node = PersonNode(
                config,
                self._rng,
                self._clock,
                self._start_transport,
                store=store,
                events=self._events,
            )
        except BaseException:
            store.close()
            raise
        await self._nursery.start(self._live, node)
        self._secret = secret

    async def _live(self, node: PersonNode, *, task_status: TaskStatus[None]) -> None:
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(node.run)
                    await node.begin()
                    self._node = node
                    task_status.started(None)
            finally:
                self._node = None
                self._ended.set()

    async def _stop(self) -> None:
        ended = self._ended
        self._node = self._secret = None
        self._scope.cancel()
        with trio.CancelScope(shield=True):
            await ended.wait()
        self._events.forget(lambda data: True)
        person_views.forget()
        gc.collect()  # the node refers to itself, and would stay until there is much else to free

    async def _restart(self) -> None:
        """Start the person's node anew, for what it takes only at its start."""
        secret = self._secret
        assert secret is not None, "an open store has a secret"
        with trio.CancelScope(shield=True):  # whoever asked may go; the node must not stay locked
            await self._stop()
            await self._start(secret)

    def _tell(self) -> backend.LockState:
        found = self.lock_state()
        self._events.publish(found)
        return found


def _given(change: backend.SettingsChange, names: Sequence[str]) -> dict[str, Any]:
    found = {name: getattr(change, name) for name in names}
    return {name: value for name, value in found.items() if not isinstance(value, backend.Unset)}
