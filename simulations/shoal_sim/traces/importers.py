"""Files that others measured: round trips of King and Meridian, visits of Nebula.

::

    matrix     n lines of n numbers                     King, as published: matrix
    topology   node N · blank · i,j rtt                 King for p2psim: mking-t (ms), uking-t (µs)
    triples    i j rtt                                  Meridian: µs, upper triangle
       └─► rtt_ms (n, n), symmetric, hosts with unknown ways left out
    visits     JSON lines or CSV of a crawl             Nebula: PeerID, VisitStartedAt, …
       └─► polars frame: peer, started_ns, connect_ms, reachable

Sources: Gummadi, Saroiu and Gribble, "King", IMW 2002, and p2psim's data (pdos.csail.mit.edu/
p2psim/kingdata); Wong, Slivkins and Sirer, "Meridian", SIGCOMM 2005, and its data page; Nebula
(github.com/dennis-tra/nebula, db/json.go). A file is refused as a whole, in one sentence that
names the line: half of a matrix is another network.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy
import polars
from numpy.typing import NDArray

from shoal_protocol.errors import UserError

Floats = NDArray[numpy.float64]
UNITS: Final = {"s": 1000.0, "ms": 1.0, "us": 0.001}  # ms each
LONGEST_MS: Final = 60_000.0  # a round trip beyond is no latency
MOST_HOSTS: Final = 20_000
_TRIPLE: Final = re.compile(r"^\s*(\d{1,9})\s*[,\s]\s*(\d{1,9})\s*[,\s]\s*(-?[\d.eE+-]{1,32})\s*$")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)")
_DURATION_MS: Final = {
    "ns": 1e-6,
    "us": 1e-3,
    "µs": 1e-3,
    "μs": 1e-3,
    "ms": 1.0,
    "s": 1e3,
    "m": 6e4,
    "h": 3.6e6,
}
SCHEMA: Final = {
    "peer": polars.String,
    "started_ns": polars.Int64,
    "connect_ms": polars.Float64,
    "reachable": polars.Boolean,
}


def round_trips(path: Path | str, unit: str = "us") -> Floats:
    """Return the matrix of a King or Meridian file, whichever of the three forms it has.

    Args:
        unit: of its numbers: ``s``, ``ms`` or ``us``.

    Returns:
        (hosts, hosts) round trips, ms; 0 on the diagonal. Where the two ways differ it is their
        mean. Hosts are left out, the one with most unknown ways first, until none is unknown.

    Raises:
        UserError: with the file, the line and what is wrong there.
    """
    if unit not in UNITS:
        raise UserError(f"A unit of round trips is one of {', '.join(UNITS)}, not {unit}.")
    lines = _lines(Path(path))
    first = next((line for _, line in lines if line.strip()), "")
    if first.startswith(("node", "topology")):
        table = _topology(path, lines)
    elif _TRIPLE.match(first) and not _square(lines):
        table = _triples(path, lines)
    else:
        table = _matrix(path, lines)
    return _complete(path, table * UNITS[unit])


def visits(path: Path | str) -> polars.DataFrame:
    """Return the visits of a Nebula crawl: ``_visits.ndjson``, or a CSV of the same columns.

    Columns may be written ``PeerID`` or ``peer_id``; needed are the peer, when the visit began
    and the error of connecting, empty if there was none.

    Returns:
        a frame of ``SCHEMA``, one row a visit in the file's order; ``connect_ms`` is null where
        nobody answered.

    Raises:
        UserError: with the file, the line and what is wrong there.
    """
    place = Path(path)
    rows = [
        _visit(place, number, record)
        for number, record in (_csv(place) if place.suffix == ".csv" else _json(place))
    ]
    if not rows:
        raise UserError(f"{place} holds no visits.")
    return polars.DataFrame(rows, schema=SCHEMA, orient="row")


def sessions(crawls: list[polars.DataFrame], gap_ns: int) -> polars.DataFrame:
    """Return sessions from crawls one after the other: peers that were reachable without a gap.

    Args:
        gap_ns: how far apart two visits of one session may be: a little more than the time
            from crawl to crawl.

    Returns:
        columns peer, begin_ns, end_ns, cut: whether it touches the first or the last crawl, so
        that its length is a least one. Sorted by peer and time.
    """
    met = polars.concat(crawls).sort("peer", "started_ns")
    low = int(numpy.max(crawls[0]["started_ns"].to_numpy()))
    high = int(numpy.min(crawls[-1]["started_ns"].to_numpy()))
    begins = (
        (polars.col("peer") != polars.col("peer").shift(1))
        | (polars.col("started_ns") - polars.col("started_ns").shift(1) > gap_ns)
        | ~polars.col("reachable").shift(1)
    ).fill_null(value=True)
    return (
        met.with_columns(begins.cum_sum().alias("session"))
        .filter(polars.col("reachable"))
        .group_by("session", maintain_order=True)
        .agg(
            polars.col("peer").first(),
            polars.col("started_ns").min().alias("begin_ns"),
            polars.col("started_ns").max().alias("end_ns"),
        )
        .with_columns(
            ((polars.col("begin_ns") <= low) | (polars.col("end_ns") >= high)).alias("cut")
        )
        .select("peer", "begin_ns", "end_ns", "cut")
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the numbered lines of a text file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file.") from error
    return list(enumerate(text.splitlines(), 1))


def _square(lines: list[tuple[int, str]]) -> bool:
    """Whether these are three lines of three numbers, which a matrix of three hosts is."""
    filled = [line for _, line in lines if line.strip()]
    if len(filled) != 3:
        return False
    return filled[0].split()[0] in {"0", "0.0"} and all(len(line.split()) == 3 for line in filled)


def _number(path: Path | str, line: int, text: str) -> float:
    """Return a round trip, NaN for one that is unknown (negative)."""
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{path}, line {line}: {text[:20]!r} is no number.") from None
    if not math.isfinite(value):
        raise UserError(f"{path}, line {line}: {text[:20]!r} is no round trip.")
    return math.nan if value < 0 else value


def _matrix(path: Path | str, lines: list[tuple[int, str]]) -> Floats:
    rows = [(number, line.split()) for number, line in lines if line.strip()]
    hosts = len(rows)
    _sized(path, hosts)
    table = numpy.empty((hosts, hosts))
    for at, (number, row) in enumerate(rows):
        if len(row) != hosts:
            raise UserError(
                f"{path}, line {number}: a matrix of {hosts} lines has {hosts} numbers in each, "
                f"and here are {len(row)}."
            )
        table[at] = [_number(path, number, cell) for cell in row]
    numpy.fill_diagonal(table, 0.0)
    return table


def _triples(path: Path | str, lines: list[tuple[int, str]]) -> Floats:
    found: dict[tuple[int, int], float] = {}
    for number, line in lines:
        if not line.strip():
            continue
        match = _TRIPLE.match(line)
        if match is None:
            raise UserError(f"{path}, line {number}: expected two hosts and their round trip.")
        pair = (int(match[1]), int(match[2]))
        if pair in found:
            raise UserError(f"{path}, line {number}: hosts {pair[0]} and {pair[1]} come twice.")
        found[pair] = _number(path, number, match[3])
    hosts = sorted({host for pair in found for host in pair})
    _sized(path, len(hosts))
    number_of = {host: at for at, host in enumerate(hosts)}
    table = numpy.full((len(hosts), len(hosts)), math.nan)
    for (one, other), value in found.items():
        table[number_of[one], number_of[other]] = value
    numpy.fill_diagonal(table, 0.0)
    return table


def _topology(path: Path | str, lines: list[tuple[int, str]]) -> Floats:
    names: list[str] = []
    pairs: list[tuple[int, str]] = []
    for number, line in lines:
        words = line.split()
        if not words or words[0] in {"topology", "failure_model"}:
            continue
        if words[0] == "node":
            if len(words) < 2:
                raise UserError(f"{path}, line {number}: a node has a number.")
            names.append(words[1])
        else:
            pairs.append((number, line))
    kept = [(number, line) for number, line in pairs if line.strip()]
    table = _triples(path, kept)
    if len(names) != len(table):
        raise UserError(
            f"{path} names {len(names)} nodes, and has round trips of {len(table)} of them."
        )
    return table


def _sized(path: Path | str, hosts: int) -> None:
    if not 2 <= hosts <= MOST_HOSTS:
        raise UserError(f"{path} has {hosts} hosts; a matrix has 2 to {MOST_HOSTS}.")


def _complete(path: Path | str, table: Floats) -> Floats:
    """Return the matrix made symmetric, without hosts whose ways are unknown."""
    if numpy.nanmax(table) > LONGEST_MS:
        raise UserError(
            f"{path} holds a round trip of {numpy.nanmax(table) / 1000:.0f} s; is the unit right?"
        )
    other = table.T
    whole = numpy.where(
        numpy.isnan(table), other, numpy.where(numpy.isnan(other), table, (table + other) / 2)
    )
    off = ~numpy.eye(len(whole), dtype=numpy.bool_)
    whole[off & (whole == 0)] = math.nan  # p2psim and King write 0 for what nobody measured
    unknown = numpy.isnan(whole).sum(axis=1)
    keep = numpy.ones(len(whole), dtype=numpy.bool_)
    while unknown[keep].any():
        worst = int(numpy.where(keep, unknown, -1).argmax())
        keep[worst] = False
        unknown = unknown - numpy.isnan(whole[:, worst])
    if keep.sum() < 2:
        raise UserError(f"{path} has no two hosts between which all round trips are known.")
    return numpy.ascontiguousarray(whole[keep][:, keep])


def _json(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            raise UserError(f"{path}, line {number}: no JSON object a line.") from None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number}: a visit is a JSON object.")
        yield number, record


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader([line for _, line in _lines(path)], strict=True)
    try:
        for record in reader:
            if None in record or None in record.values():
                raise UserError(f"{path}, line {reader.line_num}: not as many fields as names.")
            yield reader.line_num, record
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}.") from error


def _visit(path: Path, number: int, record: dict[str, Any]) -> tuple[str, int, float | None, bool]:
    fields = {key.replace("_", "").lower(): value for key, value in record.items()}

    def text(name: str, needed: Callable[[str], bool]) -> str:
        value = fields.get(name.lower())
        if not isinstance(value, str) or not needed(value):
            raise UserError(f"{path}, line {number}: {name} is missing or no text of its form.")
        return value

    peer = text("PeerID", lambda value: 0 < len(value) <= 128)
    started = text("VisitStartedAt", lambda value: len(value) >= 19)
    error_name = "ConnectErrorStr" if "connecterrorstr" in fields else "ConnectError"
    error = fields.get(error_name.lower()) or ""
    reachable = error == ""
    duration = fields.get("connectduration") or ""
    return (
        peer,
        _instant(path, number, started),
        _duration_ms(path, number, str(duration)) if reachable and duration else None,
        reachable,
    )


def _instant(path: Path, number: int, text: str) -> int:
    """Return ns since 1970 of a time as Go writes it, with up to nine digits of a second."""
    match = re.fullmatch(r"(.{10})[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?", text)
    try:
        if match is None:
            raise ValueError
        zone = (match[4] or "Z").replace("Z", "+00:00")
        whole = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").astimezone(UTC)
    except ValueError:
        raise UserError(f"{path}, line {number}: {text[:40]!r} is no time.") from None
    seconds = int(whole.timestamp())
    return seconds * 1_000_000_000 + int((match[3] or "").ljust(9, "0") or 0)


def _duration_ms(path: Path, number: int, text: str) -> float:
    """Return ms of a duration as Go writes it, such as 1m2.5s, or of a plain number of seconds."""
    parts = _DURATION.findall(text)
    if parts and "".join(value + unit for value, unit in parts) == text:
        return sum(float(value) * _DURATION_MS[unit] for value, unit in parts)
    try:
        return float(text) * 1000
    except ValueError:
        raise UserError(f"{path}, line {number}: {text[:20]!r} is no duration.") from None
