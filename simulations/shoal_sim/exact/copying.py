"""A relay's part in replication: the protocol's Replicator, its frames carried by the heap.

::

    view ─► directory_changed ─┐            ┌─ Access ─► the relay's disk ─► stored
    others' frames ─ receive ──┼► Replicator ┼─ Keep ──► the relay's disk
    own timer ─────────────────┘            └─ SendFrame ─► latency, walls ─► receive, or failed

What came by replication is answered to whom waits for it, as in the node. Durable: what the
last Keep said. A crash loses the walk; one that a wall cuts off learns it after DIAL.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError, StoreError
from shoal_protocol.rng import Rng
from shoal_protocol.service.desk import Access
from shoal_protocol.service.replica_events import Event, Keep, SendFrame
from shoal_protocol.service.replication import Replicator
from shoal_protocol.service.storage import Outcome, PutBox, PutEntry

if TYPE_CHECKING:
    from shoal_sim.exact.relays import Relay

DIAL: Final = 3 * SECOND  # before a request that nobody takes is given up


class Copying:
    """What one run of a relay has of replication."""

    def __init__(self, relay: "Relay", rng: Rng) -> None:
        self._relay = relay
        self._timer = 0
        self.machine: Final = Replicator(
            relay.id, params=relay.world.params, rng=rng, kept=relay.walked
        )

    def follow(self, relays: Sequence[bytes]) -> None:
        """Learn who the relays are now."""
        self._do(self.machine.directory_changed(relays, self._relay.now()))

    def receive(self, peer: bytes, frame: bytes) -> None:
        """Take another relay's frame."""
        try:
            events = self.machine.receive(peer, frame, self._relay.now())
        except RemoteProtocolError as error:
            self._relay.world.engine.note(f"{self._relay.name} refuses a frame: {error.reason}")
            return
        self._do(events)

    def _do(self, events: Sequence[Event]) -> None:
        relay = self._relay
        for event in events:
            match event:
                case SendFrame():
                    self._send(event)
                case Access():
                    relay.access(event.operation, lambda o, event=event: self._stored(event, o))  # type: ignore[misc]
                case Keep(data):
                    relay.disk.commit(
                        lambda data=data: setattr(relay, "walked", data),  # type: ignore[misc]
                        lambda done: None,
                    )
                case _:
                    pass  # the store is not short of room, or refuses what comes
            if not relay.up or relay.copying is not self:
                return
        self._arm()

    def _send(self, event: SendFrame) -> None:
        relay, links = self._relay, self._relay.world.links
        other = relay.world.by_id[event.peer]
        relay.world.engine.note(f"{relay.name} hands on to {other.name}", event.frame)

        def arrives() -> None:
            if other.up and other.copying and not links.cut(relay.name, other.name):
                other.copying.receive(relay.id, event.frame)

        if other.up and not links.cut(relay.name, other.name):
            took = links.latency(relay.name, other.name)
            relay.world.engine.after(took, f"{other.name} is handed a frame", arrives)
        elif not event.answer:
            relay.later(DIAL, f"does not reach {other.name}", lambda: self._fail(event.peer))

    def _fail(self, peer: bytes) -> None:
        self._do(self.machine.failed(peer, self._relay.now()))

    def _stored(self, access: Access, outcome: Outcome | StoreError) -> None:
        relay, operation = self._relay, access.operation
        if isinstance(outcome, StoreError):
            self._do(self.machine.store_failed(access.ticket, relay.now()))
            return
        if isinstance(operation, PutBox | PutEntry):
            relay.handle(relay.machine.desk.arrived(operation, outcome))
        if relay.up and relay.copying is self:
            self._do(self.machine.stored(access.ticket, outcome, relay.now()))

    def _arm(self) -> None:
        due = self.machine.next_deadline()
        self._timer += 1
        mark = self._timer
        if due is None:
            return

        def tick() -> None:
            if mark == self._timer:
                self._do(self.machine.handle_timer(self._relay.now()))

        self._relay.later(max(0, due - self._relay.now()), "hands on", tick)
