"""One hostile peer who sends a relay as much as it can, in each of the ways that a peer has.

::

    stdin: kind, seconds ─► [find the relay's mix key] ─► one link of its own, up to 4 channels
                                                             │ ≤ rate frames a second
    stdout: frames sent, links made ◄────────────────────────┘ anew when the relay cuts one

    mac       packets in the right form, for the relay's key, with a wrong MAC
    strangers the same, under a new key after each ``BURST`` of them, three links at once
    replay    one valid packet, over and over
    torrent   random bytes of a packet's length on one channel, without a pause
    requests  DHT, directory and dial-back requests on channels of each, answers unread

All but ``torrent`` come at ``RATE`` a second at most. Run by ``hostile.flood``.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from hostile import decoders
from shoal_node import clock
from shoal_node.directory_service import DirectoryService
from shoal_node.supervisor import contain
from shoal_node.transport import address as addresses
from shoal_node.transport import framing, libp2p_host, libp2p_link
from shoal_node.transport.interface import DialError, Transport, TransportLimits
from shoal_node.transport.libp2p_yamux import SteadyYamux, StreamErrors
from shoal_node.transport.metering import Meter
from shoal_protocol import parameters
from shoal_protocol.clock import index_of
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.packets import build, geometry
from shoal_protocol.packets.keys import Hop
from shoal_protocol.rng import Rng

RATE: Final = 10_000  # packets a second
BURST: Final = 1_000  # packets that a relay takes at once from a peer it has not seen
BATCH: Final = 20  # frames of one write
PAUSE_S: Final = 0.05  # before a link that was cut is made again
REQUESTS: Final = {  # the decoders whose seeds are valid frames of a protocol
    framing.DHT: "DHT exchange",
    framing.DIRECTORY: "directory frame",
    framing.DIALBACK: "dial-back frame",
}
NETWORK: Final = parameters.LAB
KINDS: Final = ("mac", "strangers", "replay", "torrent", "requests")

Make = Callable[[], bytes]


class Flooder:
    """Floods the relay at ``address``; ``sent`` counts frames by protocol, ``links`` links made."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._rng = Rng(os.urandom)
        self._view = DirectoryView(NETWORK)
        self._clock = clock.NodeClock()
        self._valid = {one.name: one.seeds for one in decoders.every()}
        self.sent: Counter[str] = Counter()
        self.links = 0

    async def serve(self) -> None:
        """Flood as standard input asks, until it ends; print figures after each."""
        directory = DirectoryService(
            DirectorySync(self._view, rng=self._rng, serve=False),
            now=self._clock.now,
            rng=self._rng,
            bootstrap=[self._address],
        )
        async with trio.open_nursery() as nursery:
            transport: Transport = await nursery.start(
                partial(libp2p_host.run_libp2p, {}, seed=self._rng.bytes(32))
            )
            await nursery.start(directory.run, transport)
            while not self._view.relays(self._clock.now()):
                await directory.wait_changed()
            _tell({"ready": True})
            asked = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
            while line := await asked.receive_some():
                kind, seconds = line.decode().split()
                self.sent.clear()
                self.links = 0
                with trio.move_on_after(float(seconds)):
                    async with trio.open_nursery() as floods:
                        for _ in range(3 if kind == "strangers" else 1):
                            floods.start_soon(self._again, kind)
                _tell({"sent": dict(self.sent), "links": self.links})
            nursery.cancel_scope.cancel()

    async def _again(self, kind: str) -> None:
        while True:
            await contain("flood", self._link, kind, label="cut off")
            await trio.sleep(PAUSE_S)

    async def _link(self, kind: str) -> None:
        """Make one link under a key of its own, and flood over it until it is cut."""
        target = addresses.parse(self._address)
        assert target.peer_id is not None
        async with await trio.open_tcp_stream(target.host, target.port) as stream:
            keys, limits = libp2p_link.Identity(os.urandom(32)), TransportLimits()
            _, muxed = await keys.secure(stream, target.peer_id, limits, Counter(), Meter())
            self.links += 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(contain, "reading", muxed.start, label="over"))
                nursery.start_soon(partial(contain, "writing", muxed.write_loop, label="over"))
                await muxed.event_started.wait()
                most = BURST if kind == "strangers" else None
                gap = {"torrent": 0.0, "strangers": 3 / RATE}.get(kind, 1 / RATE) * BATCH
                async with trio.open_nursery() as pouring:
                    for protocol, make in self._streams(kind):
                        pouring.start_soon(self._pour, muxed, protocol, make, gap, most)
                nursery.cancel_scope.cancel()

    def _streams(self, kind: str) -> list[tuple[str, Make]]:
        if kind == "requests":
            return [(protocol, self._requests(protocol)) for protocol in REQUESTS] * 4
        if kind == "torrent":
            return [(framing.PACKET, lambda: os.urandom(framing.PACKET_FRAME))]
        body = bytes(geometry.BODY_LENGTH)
        valid = build.forward([self._hop()], body, network=NETWORK.hash, rng=self._rng)
        if kind == "replay":
            return [(framing.PACKET, lambda: valid)]
        # Another key agreement for each: the top bit of its last byte must be 0.
        return [(framing.PACKET, lambda: valid[:8] + os.urandom(31) + b"\1" + valid[40:])]

    def _hop(self) -> Hop:
        now = self._clock.now()
        epoch = index_of(now, NETWORK.epoch_s)
        target = addresses.parse(self._address).peer_id
        for relay in self._view.relays(now):
            key = relay.mix_key(epoch)
            if relay.peer_id == target and key is not None:
                return Hop(relay.relay_id, epoch, key, delay_ms=0)
        raise DialError("no key")

    def _requests(self, protocol: str) -> Make:
        encode, frames = framing.framing_of(protocol).encode, self._valid[REQUESTS[protocol]]
        return lambda: encode(self._rng.choice(frames))

    async def _pour(
        self, muxed: SteadyYamux, protocol: str, make: Make, gap: float, most: int | None
    ) -> None:
        """Write frames to one stream, a batch each ``gap`` seconds; again when it is closed."""
        due = trio.current_time()
        left = most if most is not None else 10**12
        while left > 0 and not muxed.event_shutting_down.is_set():
            try:
                stream = await muxed.open()
                await libp2p_link.propose(stream, protocol, 10.0)
                while left > 0:
                    await stream.write(b"".join(make() for _ in range(BATCH)))
                    self.sent[protocol] += BATCH
                    left -= BATCH
                    due = max(due + gap, trio.current_time() - 0.1)
                    await trio.sleep_until(due)
            except (*StreamErrors, DialError):
                await trio.sleep(PAUSE_S)
        await muxed.flush()


def _tell(figures: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


async def main(address: str) -> None:
    """Flood the relay at ``address`` as standard input asks."""
    await Flooder(address).serve()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
