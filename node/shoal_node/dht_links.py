"""Channels to the nodes that this one asks: one a peer, kept open, least recently used closed.

::

    ask(contact, message) ─► link of that peer ── opening ── open, authenticated as the contact ──┐
                               │    └ dial failed, another key: every waiting ask is None         │
                               ├─ send join(id, message); wait for the slot, at most call_s       │
                               └─ reader ◄── replies ── by id ──► slot          closed: None ◄────┘

Time-outs are on events only, never around a dial or inside a frame: a dial that takes longer
than its asker waits goes on, and serves the next one. A reply that nobody asked for closes the
channel. spec: dht §7
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final

import trio

from shoal_node import supervisor
from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, ChannelClosed, DialError, Transport
from shoal_protocol.dht import messages
from shoal_protocol.dht.contacts import Contact
from shoal_protocol.errors import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of what one node asks at once."""

    links: int = 128  # open channels; as many requests may be under way, the others wait
    late: int = 16  # requests given up on one channel before it is closed
    dial_s: float = 6.0  # that a request waits for its channel
    call_s: float = 4.0  # that a request waits for its reply


class _Slot:
    """Where one request waits."""

    __slots__ = ("filled", "reply")

    def __init__(self) -> None:
        self.filled = trio.Event()
        self.reply: bytes | None = None

    def fill(self, reply: bytes | None) -> None:
        self.reply = reply
        self.filled.set()


class _Link:
    """One peer's channel; ``channel`` is None before it is open and after it is closed."""

    def __init__(self, contact: Contact) -> None:
        self.contact: Final = contact
        self.channel: Channel | None = None
        self.opened = trio.Event()  # or failed
        self.scope = trio.CancelScope()  # around reading
        self.slots: dict[int, _Slot] = {}
        self.late: set[int] = set()  # asked, given up, not answered yet
        self._next_id = 0

    @property
    def is_idle(self) -> bool:
        return self.opened.is_set() and not self.slots

    def new_slot(self) -> tuple[int, _Slot]:
        request_id = self._next_id
        self._next_id = (self._next_id + 1) % messages.REQUEST_IDS
        slot = self.slots[request_id] = _Slot()
        return request_id, slot

    def take_reply(self, exchange: bytes) -> None:
        request_id, message = messages.split(exchange)
        slot = self.slots.pop(request_id, None)
        if slot is not None:
            slot.fill(message)
        elif request_id in self.late:
            self.late.discard(request_id)
        else:
            raise RemoteProtocolError("dht unasked")


class DhtLinks:
    """Asks peers over ``transport``; tasks run in ``nursery``.

    ``counters``: events by fixed label.
    """

    def __init__(
        self,
        transport: Transport,
        nursery: trio.Nursery,
        counters: Counter[str],
        limits: LinkLimits | None = None,
    ) -> None:
        self._transport = transport
        self._nursery = nursery
        self._counters = counters
        self._limits = limits or LinkLimits()
        self._room = trio.CapacityLimiter(self._limits.links)
        self._links: OrderedDict[bytes, _Link] = OrderedDict()

    def __len__(self) -> int:
        return len(self._links)

    async def ask(self, contact: Contact, message: bytes) -> bytes | None:
        """Return the reply to ``message`` of the node with ``contact``'s key.

        Returns:
            The reply's bytes, or None: unreachable, another key, too slow.
        """
        async with self._room:
            return await self._ask(contact, message)

    async def _ask(self, contact: Contact, message: bytes) -> bytes | None:
        link = self._link_of(contact)
        if link is None:
            self._counters["links full"] += 1
            return None
        request_id, slot = link.new_slot()
        try:
            with trio.move_on_after(self._limits.dial_s):
                await link.opened.wait()
            if link.channel is None:
                return None
            with trio.move_on_after(self._limits.call_s):
                await link.channel.send(messages.join(request_id, message))
                await slot.filled.wait()
        except ChannelClosed:
            return None
        finally:
            if link.slots.pop(request_id, None) is not None and link.channel is not None:
                self._give_up(link, request_id)
        return slot.reply

    def _give_up(self, link: _Link, request_id: int) -> None:
        link.late.add(request_id)
        if len(link.late) > self._limits.late:
            self._counters["link mute"] += 1
            self._drop(link)

    def _drop(self, link: _Link) -> None:
        if self._links.get(link.contact.peer_id) is link:
            del self._links[link.contact.peer_id]
        link.scope.cancel()

    def _link_of(self, contact: Contact) -> _Link | None:
        """Return the peer's link, opening one when there is room; None when there is none."""
        link = self._links.get(contact.peer_id)
        if link is not None:
            self._links.move_to_end(contact.peer_id)
            return link
        if len(self._links) >= self._limits.links:
            idle = next((link for link in self._links.values() if link.is_idle), None)
            if idle is None:
                return None
            self._drop(idle)
        link = self._links[contact.peer_id] = _Link(contact)
        self._nursery.start_soon(self._serve, link)
        return link

    async def _serve(self, link: _Link) -> None:
        """Open the link's channel and read it until it closes."""
        try:
            await supervisor.contain("dht link", self._run, link, counters=self._counters)
        finally:
            link.channel = None
            link.opened.set()
            if self._links.get(link.contact.peer_id) is link:
                del self._links[link.contact.peer_id]
            for slot in link.slots.values():
                slot.fill(None)

    async def _run(self, link: _Link) -> None:
        channel = await self._transport.open(link.contact.full_address, framing.DHT)
        try:
            if channel.peer.peer_id != link.contact.peer_id:
                raise DialError("another peer")
            link.channel = channel
            link.opened.set()
            with link.scope:
                while True:
                    link.take_reply(await channel.receive())
        finally:
            link.channel = None
            await channel.aclose()
