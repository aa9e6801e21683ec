"""What comes from the links goes to the machine: here, or by way of unwrapping workers.

::

    links.received ─► up to 16 ─┬─ few, and nothing under way ─► machine.receive
    (1,024; full: channels      └─ more ─► machine.admit ─► UnwrapPool ─► machine.opened
     wait in turn)                                                    └─► events, in order

Few packets are opened here: to hand them over costs more than is saved, and the relay's core has
time when few come. Many go to the workers; what they have no time for the relay opens itself, and
takes nothing from the links meanwhile, so that all that waits is bounded. spec: mix §5
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from shoal_node import supervisor, unwrap_process
from shoal_node.transport.interface import TaskStatus
from shoal_node.unwrap_pool import Found, Link, UnwrapPool
from shoal_protocol.relay.machine import Event, RelayMachine
from shoal_protocol.relay.mix import Admitted

BATCH: Final = 16  # packets taken before other tasks have their turn: 2 to 4 ms
FEW: Final = 4  # packets that are opened here when nothing is under way

StartWorker = Callable[[], AbstractAsyncContextManager[Link]]


class Intake:
    """Feeds one relay's machine.

    Args:
        received: (peer's id, packet), from the links.
        machine: the relay's.
        handle: does what the machine asks.
        now: the node's clock, ns.
        woken: called when the machine may have an earlier deadline.
        failures: where errors are counted.
        workers: how many processes unwrap beside this one.
        start: starts one of them; another one in tests.
    """

    def __init__(
        self,
        received: trio.MemoryReceiveChannel[tuple[bytes, bytes]],
        machine: RelayMachine,
        handle: Callable[[Sequence[Event]], None],
        *,
        now: Callable[[], int],
        woken: Callable[[], None],
        failures: Counter[str],
        workers: int = 0,
        start: StartWorker = unwrap_process.started,
    ) -> None:
        self._received = received
        self._machine = machine
        self._handle = handle
        self._now = now
        self._woken = woken
        self._failures = failures
        self.pool: Final = (
            UnwrapPool(workers, machine.mix.keyring, self._opened, woken, start)
            if workers
            else None
        )

    @property
    def counters(self) -> Counter[str]:
        """What the workers did, and how many of them run; nothing without them."""
        if self.pool is None:
            return Counter()
        return self.pool.counters + Counter({"workers running": self.pool.running})

    @property
    def warning(self) -> str | None:
        """A sentence when fewer workers run than should."""
        if self.pool is None or self.pool.running == self.pool.wanted:
            return None
        return (
            f"{self.pool.running} of {self.pool.wanted} unwrapping processes run: the relay "
            "unwraps by itself what they would, and starts them again; the log says when one ended."
        )

    def rekey(self) -> None:
        """Let the workers have the mix keys that the relay has now, and no others."""
        if self.pool is not None:
            self.pool.rekey()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take packets until cancelled, each batch contained."""
        async with trio.open_nursery() as nursery:
            if self.pool is not None:
                await nursery.start(self.pool.run)
            task_status.started(None)
            async for first in self._received:
                batch = [first]
                while len(batch) < BATCH:
                    try:
                        batch.append(self._received.receive_nowait())
                    except trio.WouldBlock:
                        break
                await supervisor.contain("packets", self._take, batch, counters=self._failures)

    async def _take(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Take some packets: a bug costs these at most."""
        now, pool = self._now(), self.pool
        if pool is None or (not pool.busy and (pool.running == 0 or len(batch) < FEW)):
            for peer, packet in batch:
                self._handle(self._machine.receive(packet, peer, self._now()))
            self._woken()
        else:
            admit = self._machine.admit
            found = [admit(packet, peer, now) for peer, packet in batch]
            await pool.submit([each for each in found if each is not None])

    def _opened(self, admitted: Admitted, found: Found) -> None:
        self._handle(self._machine.opened(admitted, found, self._now()))
