"""A relay without its sockets: the mix, and the services that stand behind it.

::

    packet ─► MixMachine ─(delay over)─┬─► SendPacket ────────────────────► driver
                                       └─► Request ─► ServiceDesk ─┬─► SendPacket
                                                                   ├─► DhtPut, DhtGet
                                                                   └─► Access ─► store
"""

from typing import Final

from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.packets.unwrap import Opened
from shoal_protocol.relay import mix
from shoal_protocol.service import desk
from shoal_protocol.service.messages import Reply
from shoal_protocol.service.storage import Outcome

Event = mix.SendPacket | desk.DhtPut | desk.DhtGet | desk.Access


class RelayMachine:
    """One relay, sans-I/O.

    Args:
        mixer: takes packets apart and delays them.
        services: answers what ends here.
    """

    def __init__(self, mixer: mix.MixMachine, services: desk.ServiceDesk) -> None:
        self.mix: Final = mixer
        self.desk: Final = services

    def receive(self, packet: bytes, peer: bytes, now: int) -> list[Event]:
        """Take a packet from ``peer`` (16-byte id)."""
        mixed = self.mix.receive(packet, peer, now)
        return self._serve(mixed, now) if mixed else []

    def admit(self, packet: bytes, peer: bytes, now: int) -> mix.Admitted | None:
        """Let a packet in that is opened elsewhere; see :meth:`MixMachine.admit`."""
        return self.mix.admit(packet, peer, now)

    def opened(
        self, admitted: mix.Admitted, found: Opened | RemoteProtocolError, now: int
    ) -> list[Event]:
        """Go on with it; see :meth:`MixMachine.opened`."""
        mixed = self.mix.opened(admitted, found, now)
        return self._serve(mixed, now) if mixed else []

    def next_deadline(self) -> int:
        """When :meth:`handle_timer` has work."""
        other = self.desk.next_deadline()
        own = self.mix.next_deadline()
        return own if other is None or own < other else other

    def handle_timer(self, now: int) -> list[Event]:
        """Let go what is due."""
        events = self._serve(self.mix.handle_timer(now), now)
        due = self.desk.next_deadline()
        return events if due is None or now < due else [*events, *self.desk.handle_timer(now)]

    def finish(self, operation: desk.DhtPut | desk.DhtGet, reply: Reply) -> list[Event]:
        """Answer a DHT operation that the driver has done."""
        return list(self.desk.finish(operation.surb, reply))

    def stored(self, ticket: int, outcome: Outcome, now: int) -> list[Event]:
        """Go on with an access that the store has done; in the order of tickets."""
        return list(self.desk.stored(ticket, outcome, now))

    def store_failed(self, ticket: int, now: int, *, full: bool = False) -> list[Event]:
        """Answer an access that the store could not do; in the order of tickets."""
        return list(self.desk.store_failed(ticket, now, full=full))

    def _serve(self, mixed: list[mix.Event], now: int) -> list[Event]:
        events: list[Event] = []
        for event in mixed:
            if isinstance(event, mix.Request):
                events += self.desk.request(event.body, now)
            else:
                events.append(event)
        return events
