"""What a relay's store takes and gives: our whole PUT path beside plain SQLite.

::

    ours    request body ─► desk: price, rank, signature ─► group commit ─► reply packet
    disk    the same number of boxes ────────────────────► RelayStore.execute, alone
    SQLite  the same number of records ──────────────────► INSERT, alone

All three write durably, with the same pragmas, into databases that hold 100,000 boxes already
(a million in full), and take turns in one run. SQLite and the disk alone are given the groups
that our path made: as many records to a transaction as were there when the one before was
done, while :data:`_UNDER_WAY` requests are under way.

Signatures are checked and replies made while the disk works, so a ratio near 1 says that they
cost no time beside it. They need about 100 µs of a core for each PUT (``path_us``, of which the
signature is nearly half). On a disk that syncs so fast that SQLite alone keeps more than 10,000
boxes a second, the ratio is that of a processor's time to a disk's, and ``ratio_to_path`` tells
what the store adds to the processor's.
"""

import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from shoal_node.store import relay_schema
from shoal_node.store.group_commit import GroupCommit
from shoal_node.store.relay_store import RelayStore
from shoal_protocol import clock, crypto
from shoal_protocol.constants import BOX_PLAINTEXT_LENGTH, RECORD_LENGTH
from shoal_protocol.errors import LocalProtocolError, StoreError
from shoal_protocol.packets import surb
from shoal_protocol.packets.keys import Hop
from shoal_protocol.parameters import LAB
from shoal_protocol.pseudonyms import work
from shoal_protocol.relay.mix import SendPacket
from shoal_protocol.rng import Rng
from shoal_protocol.service import messages
from shoal_protocol.service.desk import Access, Event, ServiceDesk, put_challenge
from shoal_protocol.service.messages import Request, RequestType, Status
from shoal_protocol.service.storage import GetBox, Operation, Outcome, PutBox
from shoal_protocol.streams.capability import WriteCapability

_FILL: Final = 100_000  # boxes that lie there before the clock runs
_FULL_FILL: Final = 1_000_000
_FILL_BATCH: Final = 1_000
_ROUNDS: Final = 5
_PUTS: Final = 1_024  # a round
_UNDER_WAY: Final = 64  # PUTs that were sent and not answered
_TURN: Final = 4  # PUTs before other tasks have their turn: a quarter of a relay's packets
_GETS: Final = 2_000
_SURBS: Final = 16  # the boxes' senders; a reply's cost is the same for all
_LIMIT: Final = 2**43  # bytes; the store's own limit plays no part here
_NOW: Final = 1_750_000_000 * clock.SECOND
_DAY: Final = clock.index_of(_NOW, LAB.day_s)
_OWN: Final = crypto.digest(b"bench relay", size=16)
_PLAIN: Final = "CREATE TABLE box (address BLOB PRIMARY KEY, record BLOB)"


def measure(*, full: bool = False) -> dict[str, dict[str, float]]:
    """Return ``{"storage": {"puts_per_s", "ratio_to_sqlite", "get_p95_ms", …}}``.

    ``disk_puts_per_s`` and ``sqlite_puts_per_s`` are of the two others; ``ratio_to_disk`` is
    of our path to our own store alone, ``ratio_to_path`` to our path without a store.
    ``cpu_us`` is the time of all processors for a PUT, ``commit_mean`` and ``commit_max`` are
    records to a transaction, ``rss_growth_mb`` what the process has grown by while the store
    was filled and read, ``bytes_per_box`` the database's length shared out.

    Args:
        full: a million boxes in place of 100,000; takes minutes and about 7 GB of disk.
    """
    rng = Rng(crypto.seeded_source(b"bench storage"))
    bodies = _requests(rng, _ROUNDS * _PUTS)
    place = "/var/tmp" if os.path.isdir("/var/tmp") else None  # noqa: S108  a disk, not memory
    with tempfile.TemporaryDirectory(prefix="shoal-bench-", dir=place) as directory:
        return {"storage": _measure(Path(directory), bodies, _FULL_FILL if full else _FILL)}


def _measure(directory: Path, bodies: list[bytes], boxes: int) -> dict[str, float]:
    store = _Recorded(RelayStore(directory / "relay.db", LAB, Rng(os.urandom), limit=_LIMIT))
    plain = relay_schema.connect(directory / "plain.db")
    try:
        before = _rss_mb()
        addresses = _fill(store, boxes)
        gets = trio.run(_gets, store, addresses)
        figures = {
            "boxes": float(boxes),
            "bytes_per_box": store.inner.usage.bytes / boxes,
            "get_p50_ms": statistics.median(gets),
            "get_p95_ms": statistics.quantiles(gets, n=20)[-1],
        }
        after = _rss_mb()
        if before is not None and after is not None:
            figures["rss_growth_mb"] = after - before
        plain.execute(_PLAIN)
        for start in range(0, boxes, _FILL_BATCH):
            _insert(plain, _random_records(min(_FILL_BATCH, boxes - start)))
        return figures | _puts(store, plain, bodies)
    finally:
        store.close()
        plain.close()


def _puts(
    store: "_Recorded", plain: relay_schema.Connection, bodies: Sequence[bytes]
) -> dict[str, float]:
    """Let the three take turns; a round's groups are those that our path made."""
    ours, disk, sqlite, path, cpu = [], [], [], [], []
    sizes: list[int] = []
    for start in range(0, len(bodies), _PUTS):
        chunk = bodies[start : start + _PUTS]
        path.append(_path_s(chunk) / len(chunk) * 1e6)
        store.groups.clear()
        spent = time.process_time()
        ours.append(len(chunk) / trio.run(_serve, store, chunk))
        cpu.append((time.process_time() - spent) / len(chunk) * 1e6)
        groups = list(store.groups)
        sizes += groups
        boxes = [[_random_box() for _ in range(size)] for size in groups]
        disk.append(len(chunk) / _seconds(partial(_execute, store.inner, boxes)))
        records = [[(put.address, put.record) for put in group] for group in boxes]
        sqlite.append(len(chunk) / _seconds(partial(_insert_groups, plain, records)))
    return {
        "puts_per_s": statistics.median(ours),
        "disk_puts_per_s": statistics.median(disk),
        "sqlite_puts_per_s": statistics.median(sqlite),
        "ratio_to_sqlite": statistics.median(map(_ratio, ours, sqlite)),
        "ratio_to_disk": statistics.median(map(_ratio, ours, disk)),
        "ratio_to_path": statistics.median(o * p / 1e6 for o, p in zip(ours, path, strict=True)),
        "path_us": statistics.median(path),
        "cpu_us": statistics.median(cpu),
        "under_way": float(_UNDER_WAY),
        "commit_mean": statistics.fmean(sizes),
        "commit_max": float(max(sizes)),
    }


def _ratio(one: float, other: float) -> float:
    return one / other


def _seconds(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


# What is put


def _requests(rng: Rng, count: int) -> list[bytes]:
    """Return bodies of BOX_PUTs as they come out of the mix: real boxes, signed and paid."""
    stream = WriteCapability.create(rng, LAB.hash)
    hop = Hop(rng.bytes(16), 1, crypto.x25519_public(rng.bytes(32)), delay_ms=0)
    blocks = [
        surb.create([hop], rng.bytes(16), network=LAB.hash, rng=rng)[0] for _ in range(_SURBS)
    ]
    bodies = []
    for number in range(count):
        record = stream.seal(_DAY, rng.bytes(BOX_PLAINTEXT_LENGTH))
        stream = stream.at(stream.index + 1)
        challenge = put_challenge(record[:32], record, LAB.hash)
        nonce = work.solve(challenge, LAB.put_work_bits, start=0)
        request = Request(
            RequestType.BOX_PUT,
            blocks[number % _SURBS],
            record,
            effort=LAB.put_work_bits,
            nonce=nonce,
        )
        bodies.append(request.encode())
    return bodies


def _random_box() -> PutBox:
    """Return a box that only a store takes: nobody signed it."""
    record = os.urandom(RECORD_LENGTH)
    return PutBox(record[:32], _DAY, False, record, LAB.put_work_bits, record[-8:])


def _random_records(count: int) -> list[tuple[bytes, bytes]]:
    return [(record[:32], record) for record in (os.urandom(RECORD_LENGTH) for _ in range(count))]


def _fill(store: "_Recorded", boxes: int) -> list[bytes]:
    """Put ``boxes`` of them; return some of their addresses."""
    addresses: list[bytes] = []
    step = max(1, boxes // _GETS)
    for start in range(0, boxes, _FILL_BATCH):
        puts = [_random_box() for _ in range(min(_FILL_BATCH, boxes - start))]
        store.inner.execute(puts, _NOW)
        addresses += [put.address for put in puts[::step]]
    return addresses[:_GETS]


# Our path


@dataclass(slots=True)
class _Recorded:
    """The store, with the sizes of the groups that it executed."""

    inner: RelayStore
    groups: list[int] = field(default_factory=list)

    @property
    def instance(self) -> bytes:
        return self.inner.instance

    def execute(self, operations: Sequence[Operation], now: int) -> list[Outcome]:
        self.groups.append(len(operations))
        return self.inner.execute(operations, now)

    def close(self) -> None:
        self.inner.close()


def _desk(instance: bytes) -> ServiceDesk:
    """Return the desk of a relay on a network so small that it ranks for all addresses."""
    return ServiceDesk(_OWN, params=LAB, relays=lambda: [_OWN], instance=instance)


async def _serve(store: _Recorded, bodies: Sequence[bytes]) -> float:
    """Put all ``bodies`` as a relay does; return the seconds until the last was answered."""
    desk, commits = _desk(store.instance), GroupCommit(store, lambda: _NOW)
    waiting = deque(bodies)
    under_way = answered = 0
    progress = trio.Event()

    def stored(ticket: int, outcome: Outcome | StoreError) -> None:
        nonlocal under_way, answered, progress
        if outcome is not Status.OK:
            raise LocalProtocolError("a box was not kept")
        answered += sum(
            isinstance(event, SendPacket) for event in desk.stored(ticket, outcome, _NOW)
        )
        under_way -= 1
        progress.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(commits.run)
        began = time.perf_counter()
        while answered < len(bodies):
            for _ in range(min(_TURN, _UNDER_WAY - under_way, len(waiting))):
                for event in desk.request(waiting.popleft(), _NOW):
                    access = _access(event)
                    commits.submit(access.operation, partial(stored, access.ticket))
                    under_way += 1
            if under_way >= _UNDER_WAY or not waiting:
                progress = trio.Event()
                await progress.wait()
            else:
                await trio.lowlevel.checkpoint()
        seconds = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return seconds


def _path_s(bodies: Sequence[bytes]) -> float:
    """Return the seconds of our path with a store that takes no time."""
    desk = _desk(bytes(messages.INSTANCE_LENGTH))
    began = time.perf_counter()
    for body in bodies:
        for event in desk.request(body, _NOW):
            desk.stored(_access(event).ticket, Status.OK, _NOW)
    return time.perf_counter() - began


def _access(event: Event) -> Access:
    if not isinstance(event, Access):
        raise LocalProtocolError("the desk refused what was made for it")
    return event


async def _gets(store: _Recorded, addresses: Sequence[bytes]) -> list[float]:
    """Get each box by itself, through the group commit; return the milliseconds of each."""
    commits = GroupCommit(store, lambda: _NOW)
    times: list[float] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(commits.run)
        for address in addresses:
            done = trio.Event()
            found: list[Outcome | StoreError] = []

            def told(
                outcome: Outcome | StoreError,
                done: trio.Event = done,
                found: list[Outcome | StoreError] = found,
            ) -> None:
                found.append(outcome)
                done.set()

            began = time.perf_counter()
            commits.submit(GetBox(address), told)
            await done.wait()
            times.append((time.perf_counter() - began) * 1e3)
            if not isinstance(found[0], bytes):
                raise LocalProtocolError("a box is not there")
        nursery.cancel_scope.cancel()
    return times


# The others


def _execute(store: RelayStore, groups: Sequence[Sequence[PutBox]]) -> None:
    for group in groups:
        store.execute(group, _NOW)


def _insert_groups(
    plain: relay_schema.Connection, groups: Sequence[Sequence[tuple[bytes, bytes]]]
) -> None:
    for group in groups:
        _insert(plain, group)


def _insert(plain: relay_schema.Connection, records: Sequence[tuple[bytes, bytes]]) -> None:
    plain.execute("BEGIN IMMEDIATE")
    plain.executemany("INSERT INTO box VALUES (?, ?)", records)
    plain.execute("COMMIT")


def _rss_mb() -> float | None:
    """Resident memory of this process, where the platform tells it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
