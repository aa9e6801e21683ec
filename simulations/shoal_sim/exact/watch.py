"""What sees a world: what lands on disks, what relays' stores do, what people are told.

::

    Person ── lands, landed, shown ──┐
    Relay ── asked, executed, answers, begins ──► Watcher: measures, or judges
    Gossip ── published, learned, refused ───┘

A watcher sees everything, unlike an adversary, and changes nothing.
"""

from typing import TYPE_CHECKING

from shoal_protocol.service.storage import Operation, Outcome

if TYPE_CHECKING:
    from shoal_protocol.client.people import Changed
    from shoal_protocol.client.state import Changes
    from shoal_sim.exact.nodes import Node
    from shoal_sim.exact.people import Person
    from shoal_sim.exact.relays import Relay


class Watcher:
    """Sees and does nothing: what a world has unless another is given."""

    def lands(self, person: "Person", changes: "Changes") -> None:
        """See what a transaction is about to change."""

    def landed(self, person: "Person", changes: "Changes") -> None:
        """See what it has changed."""

    def shown(self, person: "Person", event: "Changed") -> None:
        """See what a person is told."""

    def asked(self, relay: "Relay", operation: Operation) -> None:
        """See what a relay's store is asked to do."""

    def executed(self, relay: "Relay", operation: Operation, outcome: Outcome) -> None:
        """See what a relay's store has done, durably from here on; nobody knows of it yet."""

    def answers(self, relay: "Relay", operation: Operation, outcome: Outcome) -> None:
        """See the same, as it is about to be answered."""

    def begins(self, relay: "Relay") -> None:
        """See a relay begin with what its disk holds."""

    def published(self, relay: "Relay", descriptor: bytes, lease: bytes) -> None:
        """See what a relay is about to tell of itself."""

    def learned(self, node: "Node") -> None:
        """See a node whose view of the directory may be another one."""

    def refused(self, node: "Node", sender: "Node", reason: str) -> None:
        """See a node refuse what another one told it."""
