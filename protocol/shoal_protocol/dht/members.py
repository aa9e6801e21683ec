"""Who serves the DHT, and where: what the directory says, in a network with rules about it.

::

    contact ──► the relay of its key that serves, by the directory ──► place: of its signed work
                     └ none, or another address than it signed: not admitted, stands nowhere

In a lab everybody is admitted who answers, and stands where its key says. spec: dht §1
"""

from collections.abc import Callable
from typing import Final

from shoal_protocol import identity
from shoal_protocol.dht import contacts
from shoal_protocol.dht.contacts import Contact, Place
from shoal_protocol.directory.descriptor import Descriptor
from shoal_protocol.directory.view import DirectoryView


class Members:
    """The relays of a directory as members of the DHT.

    Args:
        view: only read.
        now: the node's clock, ns.
    """

    def __init__(self, view: DirectoryView, now: Callable[[], int]) -> None:
        self._view = view
        self._now = now
        params = view.params
        self._by_key: Final = not params.descriptor_work_bits
        self._open: Final = self._by_key and not params.distinct_subnets and not params.role_age_s

    @property
    def place(self) -> Place:
        """Where contacts stand."""
        return contacts.by_key if self._by_key else self._place

    def admit(self, contact: Contact) -> bool:
        """Whether a contact may serve the DHT: its relay does, at the address that it signed."""
        if self._open:
            return True
        relay = self._relay(contact)
        return relay is not None and contact.full_address in relay.addresses

    def _place(self, contact: Contact) -> bytes | None:
        relay = self._relay(contact)
        return None if relay is None else contacts.place_of(relay, self._view.params)

    def _relay(self, contact: Contact) -> Descriptor | None:
        return self._view.serving(identity.relay_id(contact.peer_id), self._now())
