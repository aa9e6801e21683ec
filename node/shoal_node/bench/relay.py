"""What one relay carries: a real relay process, loaded over real links until it is the bottleneck.

::

    this process                                 a relay's process, from the fleet
    8 clients ─── packets, built beforehand ───► unwrap, delay 0
        ▲                                           │ command CLIENT
        └───────── TCP, Noise, yamux ◄──────────────┘
    each sends the next packet when one comes back: at most 60 of a client under way

So many may wait without any queue being full, hence nothing may be lost, and a loss is an error.
A relay takes 1,000 packets a second from all clients of one network (``relay.limits``): this
one is told to take from this machine what it takes from everybody together.

Under the second load packets come one by one: each wakes the relay, is read, unwrapped and
written alone, and costs what it costs a relay with little traffic.

Under the third they come evenly, half as many a second as under full load, whether others are
back or not: what lies between a packet and its coming back, beside the links, is what the relay
adds to the delay that a packet asks for (none here).

Both processes share the machine. The relay's processor time is its own and says most; packets a
second need a core for each of the two.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node import clock, fleet, home
from shoal_node.directory_service import DirectoryService
from shoal_node.operator import DEFAULT, OperatorLimits
from shoal_node.transport import framing, libp2p_host
from shoal_node.transport.interface import Channel, Peer, Transport
from shoal_protocol import crypto, identity, parameters
from shoal_protocol.clock import index_of
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import UserError
from shoal_protocol.packets import surb
from shoal_protocol.packets.keys import Hop
from shoal_protocol.rng import Rng

_CLIENTS: Final = 8
_WINDOW: Final = 60  # packets of one client under way; 8 × 60 is half of what a relay lets wait
_WARM: Final = 60  # packets of each client before the clock runs
_FULL: Final = 1_500  # packets of each client, under full load
_LIGHT: Final = 80  # packets of each client, one by one
_HALF: Final = 800  # packets of each client, at half load
_LIGHT_RATE: Final = 400.0  # packets a second of all clients together, under light load
_PATIENCE_S: Final = 30.0  # for one load, and for the directory
_NETWORK: Final = parameters.LAB
_LIMITS: Final = OperatorLimits(
    peer_packets_per_s=DEFAULT.packets_per_s, peer_burst=int(DEFAULT.packets_per_s)
)


@dataclass(frozen=True, slots=True)
class _Client:
    """One connected client and the packets that it will send, in order."""

    channel: Channel
    packets: list[bytes]

    async def exchange(self, count: int, window: int) -> None:
        """Send ``count`` packets, at most ``window`` under way; return when all came back."""
        sent = back = 0
        while back < count:
            while sent < count and sent - back < window:
                await self.channel.send(self.packets.pop())
                sent += 1
            back += len(await self.channel.receive_many())

    async def pace(self, count: int, begin: float, pause_s: float) -> list[float]:
        """Send ``count`` packets, one each ``pause_s`` from ``begin`` on; return their delays (s).

        A relay keeps the order of packets that ask for no delay. One that this process could
        not send in time counts from when it was to be sent.
        """
        due = [begin + turn * pause_s for turn in range(count)]
        delays: list[float] = []

        async def collect() -> None:
            while len(delays) < count:
                back = await self.channel.receive_many()
                now = trio.current_time()
                delays.extend(now - at for at in due[len(delays) : len(delays) + len(back)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect)
            for at in due:
                await trio.sleep_until(at)
                await self.channel.send(self.packets.pop())
        return delays


def measure() -> dict[str, dict[str, float]]:
    """Return ``{"relay": {"packets_per_s", "cpu_us_per_packet", "rss_mb", …}}``; about 15 s.

    ``light_cpu_us_per_packet`` is of packets that come one by one; ``half_load_ms_p50`` and
    ``half_load_ms_p95`` are there and back through two links, at half of ``packets_per_s``.
    Figures that the platform doesn't tell (without /proc) are absent.

    Raises:
        UserError: the relay did not start, or lost a packet.
    """
    with fleet.Fleet(1, 0, limits=_LIMITS) as network:
        network.start()
        return {"relay": trio.run(_measure, network.relays[0])}


async def _measure(node: fleet.Node) -> dict[str, float]:
    failed, figures = None, dict[str, float]()
    async with trio.open_nursery() as nursery:
        try:
            figures = await _figures(nursery, node)
        except UserError as error:
            failed = error  # raised below, outside the nursery, which would wrap it
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return figures


async def _figures(nursery: trio.Nursery, node: fleet.Node) -> dict[str, float]:
    rng = Rng(os.urandom)
    address = home.read_api(node.data).addrs[0]
    hop = await _find(nursery, address, rng)
    count = _WARM + _FULL + _LIGHT + _HALF
    clients = [await _connect(nursery, address, hop, count, rng) for _ in range(_CLIENTS)]
    await _load(clients, _WARM)
    cpu, began = _cpu_s(node), time.perf_counter()
    await _load(clients, _FULL)
    figures = {"packets_per_s": _CLIENTS * _FULL / (time.perf_counter() - began)}
    if cpu is not None:
        figures["cpu_us_per_packet"] = _cpu_us(node, cpu, _CLIENTS * _FULL)
    rss = node.rss_mb()
    if rss is not None:
        figures["rss_mb"] = rss
    cpu = _cpu_s(node)
    await _load_lightly(clients)
    if cpu is not None:
        figures["light_cpu_us_per_packet"] = _cpu_us(node, cpu, _CLIENTS * _LIGHT)
    delays = await _load_half(clients, figures["packets_per_s"] / 2)
    for share in (50, 95):
        figures[f"half_load_ms_p{share}"] = delays[len(delays) * share // 100] * 1e3
    return figures


async def _start(nursery: trio.Nursery, seed: bytes) -> Transport:
    transport: Transport = await nursery.start(partial(libp2p_host.run_libp2p, {}, seed=seed))
    return transport


async def _find(nursery: trio.Nursery, address: str, rng: Rng) -> Hop:
    """Learn the relay's mix key from its own directory, as a person's node does."""
    ticking, view = clock.NodeClock(), DirectoryView(_NETWORK)
    directory = DirectoryService(
        DirectorySync(view, rng=rng, serve=False), now=ticking.now, rng=rng, bootstrap=[address]
    )
    await nursery.start(directory.run, await _start(nursery, rng.bytes(32)))
    epoch = index_of(ticking.now(), _NETWORK.epoch_s)
    with trio.move_on_after(_PATIENCE_S):
        while True:
            for relay in view.relays(ticking.now()):
                key = relay.mix_key(epoch)
                if key is not None:
                    return Hop(relay.relay_id, epoch, key, delay_ms=0)
            await directory.wait_changed()
    raise UserError("The relay does not tell its mix key.")


async def _connect(nursery: trio.Nursery, address: str, hop: Hop, count: int, rng: Rng) -> _Client:
    seed = rng.bytes(32)
    transport = await _start(nursery, seed)
    me = Peer.of(identity.peer_id(crypto.ed25519_public(seed))).relay_id
    packets = []
    for _ in range(count):
        packets.append(surb.loop([hop], me, network=_NETWORK.hash, rng=rng)[0])
        await trio.lowlevel.checkpoint()  # links that are up already stay alive
    return _Client(await transport.open(address, framing.PACKET), packets)


async def _load(clients: Sequence[_Client], count: int) -> None:
    """Let every client exchange ``count`` packets at once."""
    with trio.move_on_after(_PATIENCE_S) as scope:
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client.exchange, count, _WINDOW)
    if scope.cancelled_caught:
        raise UserError(f"The relay lost packets, or needed more than {_PATIENCE_S:.0f} s.")


async def _load_lightly(clients: Sequence[_Client]) -> None:
    """Let the clients exchange single packets in turn, evenly in time."""
    began = trio.current_time()
    with trio.move_on_after(_PATIENCE_S) as scope:
        for turn in range(_LIGHT * len(clients)):
            await trio.sleep_until(began + turn / _LIGHT_RATE)
            await clients[turn % len(clients)].exchange(1, 1)
    if scope.cancelled_caught:
        raise UserError("The relay lost a packet.")


async def _load_half(clients: Sequence[_Client], rate: float) -> list[float]:
    """Let all clients together send ``rate`` packets a second; return the delays (s), sorted."""
    pause = len(clients) / rate
    begin = trio.current_time() + pause
    delays: list[float] = []

    async def pace(client: _Client, place: int) -> None:
        delays.extend(await client.pace(_HALF, begin + place * pause / len(clients), pause))

    with trio.move_on_after(_PATIENCE_S) as scope:
        async with trio.open_nursery() as nursery:
            for place, client in enumerate(clients):
                nursery.start_soon(pace, client, place)
    if scope.cancelled_caught:
        raise UserError("The relay lost a packet at half load.")
    return sorted(delays)


def _cpu_us(node: fleet.Node, before_s: float, packets: int) -> float:
    return ((_cpu_s(node) or before_s) - before_s) * 1e6 / packets


def _cpu_s(node: fleet.Node) -> float | None:
    """Seconds of processor time of the node's process, in user and kernel, where it is told."""
    try:
        fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
