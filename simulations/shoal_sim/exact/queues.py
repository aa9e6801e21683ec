"""Lines and relays that carry so much and no more: FIFO queues in virtual time.

::

    person ── up_kbps ──► link ──► relay_packets_per_s ── relay ──► link ──► down_kbps ── person
               └ each ▌: a server of fixed time a packet, and room for ``queue`` that wait;
                 who finds no room is dropped and counted

All packets are of one size, so a server takes the same time for each. Watchers see a packet
when it enters a link, which is when a line has let it go. What directories and the DHT say to
each other takes none of it.
"""

from collections.abc import Callable
from typing import Final

from shoal_protocol.clock import SECOND
from shoal_sim.exact.engine import Engine
from shoal_sim.exact.links import Deliver, Send
from shoal_sim.scenario import Scenario


class Server:
    """One queue.

    Args:
        each_ns: that a packet takes.
        room: packets that may wait.
    """

    __slots__ = ("_each_ns", "_free", "_longest")

    def __init__(self, each_ns: int, room: int) -> None:
        self._each_ns = each_ns
        self._longest = room * each_ns
        self._free = 0  # when all that was taken is done, ns

    def take(self, now: int) -> int | None:
        """Take a packet and return when it is done, ns; None when there is no room."""
        begins = self._free if self._free > now else now
        if begins - now > self._longest:
            return None
        self._free = begins + self._each_ns
        return self._free


class Queues:
    """The queues of one network.

    Args:
        is_relay: whether an id is a relay's.

    ``lost`` is told of each packet that found no room.
    """

    def __init__(
        self,
        scenario: Scenario,
        engine: Engine,
        is_relay: Callable[[bytes], bool],
    ) -> None:
        links, network = scenario.links, scenario.network
        bits = 8 * network.protocol.packet_bytes
        self._engine: Final = engine
        self._is_relay: Final = is_relay
        self.lost: Callable[[bytes], None] = lambda packet: None
        self._room: Final = links.queue
        self._up_ns: Final = round(bits * 1e6 / links.up_kbps) if links.up_kbps else 0
        self._down_ns: Final = round(bits * 1e6 / links.down_kbps) if links.down_kbps else 0
        cap = network.relay_packets_per_s
        self._relay_ns: Final = round(SECOND / cap) if cap else 0
        self._going: Final[dict[bytes, Server]] = {}  # at the ends where packets enter links
        self._coming: Final[dict[bytes, Server]] = {}
        self.dropped = 0
        self.passed = 0
        self.waited_ns = 0  # in all, by those that passed

    def through(self, send: Send) -> Send:
        """Return what sends through the queues at both ends of ``send``."""
        engine, is_relay = self._engine, self._is_relay

        def carry(source: bytes, target: bytes, packet: bytes, deliver: Deliver) -> None:
            each = self._relay_ns if is_relay(target) else self._down_ns
            to = self._behind(deliver, each) if each else deliver
            if not self._up_ns or is_relay(source):
                send(source, target, packet, to)
                return
            done = self._take(self._going, source, self._up_ns, packet)
            if done is not None:
                engine.at(done, "line", send, source, target, packet, to)

        return carry

    def _behind(self, deliver: Deliver, each_ns: int) -> Deliver:
        """Return what delivers when the queue of whom it is for has come to it."""

        def arrive(source: bytes, target: bytes, packet: bytes) -> None:
            done = self._take(self._coming, target, each_ns, packet)
            if done is not None:
                self._engine.at(done, "queue", deliver, source, target, packet)

        return arrive

    def _take(
        self, servers: dict[bytes, Server], name: bytes, each_ns: int, packet: bytes
    ) -> int | None:
        server = servers.get(name)
        if server is None:
            server = servers[name] = Server(each_ns, self._room)
        now = self._engine.now
        done = server.take(now)
        if done is None:
            self.dropped += 1
            self.lost(packet)
            return None
        self.passed += 1
        self.waited_ns += done - each_ns - now
        return done


def limited(scenario: Scenario) -> bool:
    """Return whether a scenario has queues at all."""
    links = scenario.links
    return bool(links.up_kbps or links.down_kbps or scenario.network.relay_packets_per_s)
