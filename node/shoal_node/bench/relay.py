"""What one relay carries: a real relay process, loaded over real links until it is the bottleneck.

::

    first core     a relay's process, from the fleet: all by itself, then with one worker
    second core    this process: 32 clients of relay_load.py ─ packets built beforehand, delay 0 ─►
                   and, the second time, the relay's worker beside it
    phases         full load, packets together, single │ half │ light │ sampled │ three times

Under full load a client sends the next packet when one comes back, at most 15 under way: as many
may wait without any queue being full, hence nothing may be lost, and a loss is an error. The
relay's limits are off, and so are its peers' (a peer is let 1,000 packets a second otherwise).

The load takes processor time, too: its share is told, and with a worker both have one core
between them, where the machine has two. ``own_ms`` is the relay's part of a packet's delay, from
the read of the socket that completed it to the queue of its next link, less the delay drawn (none
here). What it is made of was sampled inside the relay (relay_inside.py).
"""

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node import clock, fleet, home
from shoal_node.bench import relay_inside, relay_load
from shoal_node.directory_service import DirectoryService
from shoal_node.transport import libp2p_host
from shoal_node.transport.interface import Peer, Transport
from shoal_protocol import crypto, identity, parameters
from shoal_protocol.clock import index_of
from shoal_protocol.directory.sync import DirectorySync
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import UserError
from shoal_protocol.packets import surb
from shoal_protocol.packets.keys import Hop
from shoal_protocol.rng import Rng

Figures = dict[str, float]

_CLIENTS: Final = 32
_WINDOW: Final = 15  # packets of one client under way; 32 × 15 is half of what a relay lets wait
_WARM: Final = 30  # packets of each client before the clock runs
_FULL: Final = 250  # packets of each client, under full load
_LIGHT: Final = 20  # packets of each client, one by one
_HALF_S: Final = 1.0
_LIGHT_RATE: Final = 400.0  # packets a second of all clients together, one by one
_SAMPLED: Final = 250  # packets of each client, while samples are taken
_OVERLOAD: Final = 3.0  # times what the relay carries
_FILLING_S: Final = 0.3  # until the queues are full
_OVERLOAD_S: Final = 0.5
_PATIENCE_S: Final = 30.0  # for one load, and for the directory
_QUIET_S: Final = 0.3  # after which nothing more comes back
_START_S: Final = 10.0  # for a worker
_NETWORK: Final = parameters.LAB
_DROPPED: Final = ("inbox full", "outbox full", "pool full")


@dataclass(frozen=True, slots=True)
class _Process:
    """One process of the relay, as /proc sees it; figures that aren't told are None."""

    pid: int

    def cpu_s(self) -> float | None:
        """Seconds of processor time, in user and kernel."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, line: str) -> float | None:
        """MB (10^6 bytes) in a line of /proc/PID/status: VmRSS now, VmHWM at its highest."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        found = [each.split()[1] for each in lines if each.startswith(f"{line}:")]
        return round(int(found[0]) * 1024 / 1e6, 1) if found else None

    def children(self) -> "list[_Process]":
        """Processes that it started."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.pid:
                found.append(_Process(int(path.parent.name)))
        return found


@dataclass(frozen=True, slots=True)
class _Load:
    """The clients, and what their packets are made of."""

    hop: Hop
    ids: list[bytes]
    links: list[relay_load.RawLink]
    rng: Rng

    def fill(self, count: int) -> None:
        """Build ``count`` packets for each client."""
        for link, client in zip(self.links, self.ids, strict=True):
            for _ in range(count):
                loop = surb.loop([self.hop], client, network=_NETWORK.hash, rng=self.rng)
                link.packets.append(loop[0])

    def under_way(self) -> int:
        """Packets that have not come back."""
        return sum(link.sent - link.back for link in self.links)


def measure() -> dict[str, Figures]:
    """Return figures of a relay on one core, and of one with a worker on a second core; 30 s.

    ``{"relay": {"packets_per_s", "cpu_us_per_packet", "rss_mb", …}, "relay_worker": {…, "ratio",
    "offloaded"}, "relay_overload": …, "relay_parts": …, "relay_worker_parts": …}``:
    ``cpu_us_per_packet`` is of the relay's own process, ``worker_…`` of its worker's, ``load_…``
    of this one's. ``single_…`` is of packets that come each in a message of its own, as from many
    peers, not up to 20 together; ``light_…`` of such a packet when the relay has slept before it.
    ``ratio`` compares packets a second
    with the first relay's, ``offloaded`` the own processes' time a packet. ``…_parts`` are the own
    process's microseconds a packet by part. Figures that the platform doesn't tell (without /proc)
    are absent.

    Raises:
        UserError: the relay did not start, or lost a packet.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    try:
        alone, parts, overload = _one(0, cores)
        beside, worker_parts, worker_overload = _one(1, cores)
    finally:
        _pin(0, cores)
    for kind in ("", "single_"):
        rate, cpu = f"{kind}packets_per_s", f"{kind}cpu_us_per_packet"
        beside[f"{kind}ratio"] = beside[rate] / alone[rate]
        if cpu in alone:
            beside[f"{kind}offloaded"] = alone[cpu] / beside[cpu]
    return {
        "relay": alone,
        "relay_worker": beside,
        "relay_overload": overload,
        "relay_worker_overload": worker_overload,
        "relay_parts": parts,
        "relay_worker_parts": worker_parts,
    }


def _one(workers: int, cores: Sequence[int]) -> tuple[Figures, Figures, Figures]:
    """Measure a relay with so many workers: its figures, where its time goes, and overload."""
    main = partial(relay_inside.main, workers, cores[:1])
    with fleet.Fleet(1, 0, main=main) as network:
        network.start()
        node = network.relays[0]
        assert node.process.pid is not None
        own = _Process(node.process.pid)
        helpers = _await_workers(node, own, workers)
        for process in helpers:
            _pin(process.pid, cores[1:] or cores)
        _pin(0, cores[1:] or cores)
        load = trio.run(_connected, node)
        try:
            figures, half = _figures(own, helpers, load)
            sampled_us = _sampled(own, load)
            overload = _overload(node, own, load, figures["single_packets_per_s"])
        finally:
            for link in load.links:
                link.close()
        network.stop(node)
        told = json.loads((node.data / relay_inside.FILE).read_text())
    delays = sorted(took for at, took in told["delays"] if half[0] <= at <= half[1])
    for share in (50, 95):
        figures[f"own_ms_p{share}"] = delays[len(delays) * share // 100] * 1e3
    samples = max(1, sum(told["parts"].values()))
    parts = {
        name: count / samples * sampled_us
        for name, count in sorted(told["parts"].items(), key=lambda each: -each[1])
    }
    return figures, parts if sampled_us else {}, overload


def _figures(
    own: _Process, helpers: Sequence[_Process], load: _Load
) -> tuple[Figures, tuple[float, float]]:
    """Load the relay fully, by half, and lightly; return figures and when it was half loaded."""
    links = load.links
    load.fill(_WARM + 2 * _FULL)
    relay_load.exchange(links, _WARM, _WINDOW, relay_load.MOST, _PATIENCE_S)
    figures = _full(own, helpers, load, relay_load.MOST)
    for name, value in _full(own, helpers, load, 1).items():
        figures[f"single_{name}"] = value
    for prefix, process in zip(("", "worker_"), (own, *helpers), strict=False):
        _add(figures, f"{prefix}rss_mb", process.memory_mb("VmRSS"))

    rate = figures["single_packets_per_s"] / 2
    load.fill(int(rate * _HALF_S / _CLIENTS) + 1)
    begin = time.monotonic()
    relay_load.pace(links, rate, _HALF_S)
    half = (begin, time.monotonic())
    relay_load.settle(links, _QUIET_S)

    load.fill(_LIGHT)
    cpu = own.cpu_s()
    relay_load.pace(links, _LIGHT_RATE, _CLIENTS * _LIGHT / _LIGHT_RATE)
    relay_load.settle(links, _QUIET_S)
    _add(figures, "light_cpu_us_per_packet", _cpu_us(own, cpu, _CLIENTS * _LIGHT))
    if load.under_way():
        raise UserError("The relay lost a packet at half its load.")
    return figures, half


def _full(own: _Process, helpers: Sequence[_Process], load: _Load, at_once: int) -> Figures:
    """Load the relay fully, with so many packets in a message."""
    before = [each.cpu_s() for each in (own, *helpers)]
    here, began = time.process_time(), time.perf_counter()
    relay_load.exchange(load.links, _FULL, _WINDOW, at_once, _PATIENCE_S)
    count = _CLIENTS * _FULL
    figures = {"packets_per_s": count / (time.perf_counter() - began)}
    figures["load_cpu_us_per_packet"] = (time.process_time() - here) * 1e6 / count
    for prefix, process, cpu in zip(("", "worker_"), (own, *helpers), before, strict=False):
        _add(figures, f"{prefix}cpu_us_per_packet", _cpu_us(process, cpu, count))
    return figures


def _sampled(own: _Process, load: _Load) -> float:
    """Load the relay fully while it looks where it is; return its time a packet, microseconds."""
    if not hasattr(signal, "SIGUSR1"):
        return 0.0
    load.fill(_SAMPLED)
    cpu = own.cpu_s()
    os.kill(own.pid, signal.SIGUSR1)
    relay_load.exchange(load.links, _SAMPLED, _WINDOW, 1, _PATIENCE_S)
    os.kill(own.pid, signal.SIGUSR2)
    return _cpu_us(own, cpu, _CLIENTS * _SAMPLED) or 0.0


def _overload(node: fleet.Node, own: _Process, load: _Load, carries: float) -> Figures:
    """Offer more than the relay carries; what its windows hold back is not sent at all."""
    load.fill(int(_OVERLOAD * carries * (_FILLING_S + _OVERLOAD_S) / _CLIENTS) + 1)
    client = node.client()
    relay_load.pace(load.links, _OVERLOAD * carries, _FILLING_S)
    before, cpu = client.get("status")["counters"], own.cpu_s()
    back = sum(link.back for link in load.links)
    due, sent = relay_load.pace(load.links, _OVERLOAD * carries, _OVERLOAD_S)
    carried = sum(link.back for link in load.links) - back
    used = _cpu_us(own, cpu, max(1, carried))
    after = client.get("status")["counters"]
    relay_load.settle(load.links, _QUIET_S)
    figures = {
        "offered_per_s": due / _OVERLOAD_S,
        "held_back_per_s": (due - sent) / _OVERLOAD_S,
        "carried_per_s": carried / _OVERLOAD_S,
    }
    for name in _DROPPED:
        lost = after.get(name, 0) - before.get(name, 0)
        figures[f"{name.replace(' ', '_')}_per_s"] = lost / _OVERLOAD_S
    _add(figures, "cpu_us_per_packet", used)
    _add(figures, "peak_rss_mb", own.memory_mb("VmHWM"))
    return figures


def _await_workers(node: fleet.Node, own: _Process, workers: int) -> list[_Process]:
    """Return the relay's workers once they take packets."""
    deadline = time.monotonic() + _START_S
    while workers and node.client().get("status")["counters"].get("workers running", 0) < workers:
        if time.monotonic() > deadline:
            raise UserError("The relay's worker did not start.")
        time.sleep(0.05)
    return own.children() if workers else []


def _pin(pid: int, cores: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(pid, cores)


def _add(figures: Figures, name: str, value: float | None) -> None:
    if value is not None:
        figures[name] = value


def _cpu_us(process: _Process, before_s: float | None, packets: int) -> float | None:
    now = process.cpu_s()
    return None if now is None or before_s is None else (now - before_s) * 1e6 / packets


async def _connected(node: fleet.Node) -> "_Load":
    """Learn the relay's mix key, and connect the clients."""
    rng, address = Rng(os.urandom), home.read_api(node.data).addrs[0]
    async with trio.open_nursery() as nursery:
        hop = await _find(nursery, address, rng)
        nursery.cancel_scope.cancel()
    seeds = [rng.bytes(32) for _ in range(_CLIENTS)]
    ids = [Peer.of(identity.peer_id(crypto.ed25519_public(seed))).relay_id for seed in seeds]
    return _Load(hop, ids, [await relay_load.connect(address, seed) for seed in seeds], rng)


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
