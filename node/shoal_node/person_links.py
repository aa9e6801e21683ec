"""The only links of a person's node: the directory from its guards, packets through one.

::

    no guards yet:   directory ◄── bootstrap addresses
    guards sampled:  directory ◄── three guards;  packets ◄─► the first that works
                        └─ packet link lost ─► the guard rests, the next one takes over

Guards are kept in the home from run to run; the bootstrap addresses are spoken to only
while there are none, or while all of them fail.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio

from shoal_node import clock, keep, supervisor
from shoal_node.api import backend
from shoal_node.config import NodeConfig
from shoal_node.directory_service import DirectoryService
from shoal_node.transport import framing
from shoal_node.transport.interface import (
    Channel,
    ChannelClosed,
    DialError,
    Peer,
    StartTransport,
    TaskStatus,
    Transport,
)
from shoal_protocol import crypto, identity
from shoal_protocol.client.guards import GuardSet, KeptGuard
from shoal_protocol.client.person import PersonMachine
from shoal_protocol.clock import SECOND
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.directory.tenure import Tenure
from shoal_protocol.directory.traffic import PERIODS
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.25  # between two looks for a guard while none can be had


class PersonLinks:
    """Guards and what goes over them.

    Args:
        seed: 32 bytes, this session's libp2p identity.
        start_transport: what carries the frames.
        received: called with each packet that the guard delivers.
    """

    def __init__(
        self,
        config: NodeConfig,
        seed: bytes,
        rng: Rng,
        ticking: clock.NodeClock,
        received: Callable[[bytes], Awaitable[None]],
        start_transport: StartTransport,
    ) -> None:
        self._config = config
        self._seed = seed
        self._rng = rng
        self._clock = ticking
        self._received = received
        self._start_transport = start_transport
        self._params = config.network_parameters
        self.peer: Final = Peer.of(identity.peer_id(crypto.ed25519_public(seed)))
        self.counters: Counter[str] = Counter()
        self.addresses: tuple[str, ...] = ()
        book = Tenure(self._params, keep.read(config.data / keep.TENURE_FILE), told=True)
        self._view = DirectoryView(self._params, tolerance_s=self._params.epoch_s, tenure=book)
        self._sync = DirectorySync(self._view, rng=rng, serve=False)
        self._directory = DirectoryService(
            self._sync,
            now=ticking.now,
            rng=rng,
            bootstrap=config.bootstrap,
            tenure=config.data / keep.TENURE_FILE,
        )
        kept = keep.read(config.data / keep.GUARDS_FILE)
        self._guards = GuardSet(self._params, rng, kept)
        self._guard: KeptGuard | None = None
        self._channel: Channel | None = None
        self._since = 0
        self._pinned: list[str] = []

    async def run(
        self,
        machine: PersonMachine,
        *,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hold the links until cancelled, and tell ``machine`` of them."""
        async with trio.open_nursery() as nursery:
            transport: Transport = await nursery.start(
                partial(self._start_transport, {}, seed=self._seed, listen=self._config.listen)
            )
            self.addresses = transport.addresses
            self._pin()
            services: dict[str, supervisor.Service] = {
                "directory": partial(self._directory.run, transport),
                "directory follower": partial(self._follow_directory, machine),
                "guard link": partial(self._keep_guard, transport, machine),
            }
            for name, service in services.items():
                await nursery.start(supervisor.supervise, name, service)
            task_status.started(None)

    def send(self, packet: bytes) -> None:
        """Send a packet to the guard, or drop and count it."""
        if self._channel is None or not self._channel.try_send(packet):
            self.counters["not sent"] += 1

    async def drop_guard(self) -> None:
        """Leave a guard that passes nothing on; another takes over."""
        self.counters["guard deaf"] += self._channel is not None
        await self._leave_guard()

    async def _leave_guard(self) -> None:
        if self._channel is not None:
            await self._channel.aclose()

    def overlap(self) -> float:
        """The share of relays that all guards' directories hold."""
        return self._sync.overlap()

    def traffic(self) -> Sequence[int]:
        """The classes of traffic of all live relays."""
        return self._view.traffic(self._clock.now())

    def peers(self) -> Sequence[backend.PeerInfo]:
        """The guards, in their order of use."""
        return [
            backend.PeerInfo(
                relay_id=guard.relay_id.hex(),
                address=guard.addresses[0],
                role="guard",
                connected=guard.relay_id in self._directory.peers,
                since=self._since if guard is self._guard else None,
            )
            for guard in self._guards.guards()
        ]

    async def _follow_directory(
        self, machine: PersonMachine, *, task_status: TaskStatus[None]
    ) -> None:
        task_status.started(None)
        period = self._params.lease_s * SECOND // PERIODS
        counted, classes = -1, tuple[int, ...]()
        while True:
            now = self._clock.now()
            if now // period != counted:
                # At instants that are everybody's: leases come one by one, and no draw waits
                # for a relay that joins or leaves.
                counted, classes = now // period, self._view.traffic(now)
            relays = self._view.relays(now)
            changed = self._guards.replenish(relays, now) if relays else False
            leaving, listed = self._view.leaving(now), self._view.listed(now)
            if relays and self._guards.replace_vanished(
                relays, now, listed=listed, leaving=leaving
            ):
                changed = True
            if changed:
                self._save()
                self._pin()
            machine.directory_changed(relays, classes, now)
            if self._guard is not None and self._guard.relay_id in {g.relay_id for g in leaving}:
                await self._leave_guard()
                continue  # the directory may have changed meanwhile
            with trio.move_on_after(((counted + 1) * period - now) / SECOND):
                await self._directory.wait_changed()

    def _pin(self, *, all_rest: bool = False) -> None:
        """Take the directory from the guards; from the bootstrap addresses, too, without one."""
        addresses = [address for guard in self._guards.guards() for address in guard.addresses]
        if all_rest or not addresses:
            addresses += self._config.bootstrap
        if addresses != self._pinned:
            self._pinned = addresses
            self._directory.pin(addresses)

    def _save(self) -> None:
        try:
            keep.write(self._config.data / keep.GUARDS_FILE, self._guards.dump())
        except OSError:
            self.counters["guards not kept"] += 1
            log.warning("the guards could not be written to the data directory")

    async def _keep_guard(
        self, transport: Transport, machine: PersonMachine, *, task_status: TaskStatus[None]
    ) -> None:
        task_status.started(None)
        while True:
            guard = self._guards.current(self._clock.now())
            self._pin(all_rest=guard is None)
            channel = None if guard is None else await self._open(transport, guard)
            if guard is None or channel is None:
                await trio.sleep(PAUSE_S)
                continue
            if guard not in self._guards.guards():  # it gave way while it was dialled
                await channel.aclose()
                continue
            self._guard, self._channel, self._since = guard, channel, self._clock.now()
            machine.guard_up(guard.relay_id, self._clock.now())
            try:
                while True:
                    for packet in await channel.receive_many():
                        if await supervisor.contain(
                            "packet", self._received, packet, counters=self.counters
                        ):
                            self._guards.works(guard.relay_id)
            except ChannelClosed:
                log.info("guard lost")
            finally:
                self._guard = self._channel = None
                await channel.aclose()
            self.counters["guard lost"] += 1
            self._guards.failed(guard.relay_id, self._clock.now())
            machine.guard_down(self._clock.now())

    async def _open(self, transport: Transport, guard: KeptGuard) -> Channel | None:
        """Dial a guard at the addresses that the directory knows now, or those kept."""
        known = self._view.get(guard.relay_id)
        for address in guard.addresses if known is None else known.addresses:
            try:
                return await transport.open(address, framing.PACKET)
            except DialError as error:
                self.counters[f"guard: {error.reason}"] += 1
        self._guards.failed(guard.relay_id, self._clock.now())
        return None
