"""What a watcher has of packets that were drawn, and the truth, kept apart.

::

    Packets, Nodes ─► events of all links in order, views of corrupt relays ─► Observation
                   └► who it was of each target                             ─► answers

The parts of a run (requests, replies) are watched together. Views have, for what ended at a
corrupt relay, the number of the packet as its label: what the adversary asks about it is the
scenario's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy
from numpy.typing import NDArray

from shoal_sim.adversaries.base import (
    NOBODY,
    UP,
    Events,
    Ints,
    Links,
    Observation,
    Question,
    View,
)
from shoal_sim.vector import mixing

PACKET_BYTES: Final = 3072  # spec: parameters §1, packet_bytes


@dataclass(frozen=True, slots=True)
class Watched:
    """One run as it is judged.

    Args:
        observation: for the adversary.
        answers: (targets,) the node that it was; never for the adversary.
        event_of: of each part (links, packets) the number of the event, ``NOBODY`` if it never
            entered that link.
    """

    observation: Observation
    answers: Ints
    event_of: tuple[Ints, ...]


def watch(
    parts: Sequence[mixing.Packets],
    there: mixing.Nodes,
    question: Question,
    targets: Ints,
    *,
    delay_ns: float = 0.0,
    held: Sequence[Ints] = (),
) -> Watched:
    """Return what passes all links, and who the targets are.

    Args:
        parts: packets; the question is asked of the first part.
        question: ``RECEIVER``, or ``SENDER`` of packets that came to their end.
        targets: numbers of packets of the first part.
        held: of each part, if any, the packets that were held back on their last link.
    """
    runs = [_Run(packets, there) for packets in parts]
    count = numpy.cumsum([0, *(len(run.time) for run in runs)])
    time = numpy.concatenate([run.time for run in runs])
    order = numpy.argsort(time, kind="stable")
    place = numpy.empty(len(order), dtype=numpy.int64)
    place[order] = numpy.arange(len(order))
    event_of = tuple(run.numbered(place[count[i] : count[i + 1]]) for i, run in enumerate(runs))
    source = numpy.concatenate([run.source for run in runs])[order]
    target = numpy.concatenate([run.target for run in runs])[order]
    takes = numpy.concatenate([run.arrives - run.time for run in runs])[order]
    links, link = _links(source, target, takes, there.people + there.relays)
    events = Events(
        time[order],
        link,
        numpy.full(len(order), PACKET_BYTES, dtype=numpy.int32),
        numpy.full(len(order), UP, dtype=numpy.int8),
    )
    asked = event_of[0][0 if question is Question.RECEIVER else -1, targets]
    path = parts[0].path(there)
    answers = path[-1 if question is Question.RECEIVER else 0][targets].astype(numpy.int64)
    views = _views(parts, there, event_of)
    observation = Observation(
        there.people,
        there.relays,
        links,
        events,
        question,
        asked,
        delay_ns,
        views,
        held=_last_of(parts, event_of, held),
    )
    return Watched(observation, answers, event_of)


def _last_of(
    parts: Sequence[mixing.Packets], event_of: Sequence[Ints], held: Sequence[Ints]
) -> Ints:
    """Return the last events of the packets that were held back."""
    found = [numpy.empty(0, dtype=numpy.int64)]
    for packets, numbers, which in zip(parts, event_of, held, strict=False):
        if packets.links is not None:
            found.append(numbers[packets.links[which], which])
    return numpy.concatenate(found)


def held_back(
    packets: mixing.Packets,
    there: mixing.Nodes,
    blocked: Sequence[tuple[int, int, int, float]],
    spared: Ints,
    rng: numpy.random.Generator,
) -> tuple[mixing.Packets, Ints]:
    """Return the packets as a plan leaves them that blocks what comes to relays, and which it did.

    Args:
        blocked: (relay from 0, from ns, to ns, share), as in ``Plan``.
        spared: numbers of packets that are let through: the targets.
    """
    hops, size = packets.relay.shape
    links = numpy.full(size, hops + 1) if packets.links is None else packets.links.copy()
    held = numpy.zeros(size, dtype=numpy.bool_)
    for relay, begin, end, share in blocked:
        for hop in range(hops):
            time = packets.enter[hop]
            hit = (packets.relay[hop] == relay) & (time >= begin) & (time < end)
            hit &= rng.random(size) < share
            hit[spared] = False
            hit &= links > hop  # else it was lost before, or on this very link
            links[hit] = hop
            held |= hit
    return replace(packets, links=links), numpy.flatnonzero(held)


def blocked(
    parts: Sequence[mixing.Packets],
    there: mixing.Nodes,
    plan: Sequence[tuple[int, int, int, float]],
    question: Question,
    targets: Ints,
    rng: numpy.random.Generator,
) -> tuple[list[mixing.Packets], Ints, list[Ints]]:
    """Return parts, targets and who was held back, where a plan blocks all but the targets.

    Requests and their replies are two parts, the one that is asked of first; a request that
    came nowhere has no reply, and replies are those of all requests that came, in order.
    """
    if len(parts) == 1:
        left, held = held_back(parts[0], there, plan, targets, rng)
        return [left], targets, [held]
    back = question is Question.SENDER
    requests, replies = (parts[0], parts[1]) if back else (parts[1], parts[0])
    came = numpy.flatnonzero(requests.arrived)
    requests, held_there = held_back(requests, there, plan, targets if back else came[targets], rng)
    kept = numpy.flatnonzero(requests.arrived[came])
    spared = targets[:0] if back else numpy.searchsorted(kept, targets)
    replies, held_back_ = held_back(_some(replies, kept), there, plan, spared, rng)
    if back:
        return [requests, replies], targets, [held_there, held_back_]
    return [replies, requests], spared, [held_back_, held_there]


def _some(packets: mixing.Packets, which: Ints) -> mixing.Packets:
    """Return some of the packets."""
    return replace(
        packets,
        person=packets.person[which],
        other=packets.other[which],
        relay=packets.relay[:, which],
        enter=packets.enter[:, which],
        leave=packets.leave[:, which],
        begin=packets.begin[which],
        end=packets.end[which],
        links=None if packets.links is None else packets.links[which],
    )


class _Run:
    """The link crossings of one part: a column each, link by link."""

    def __init__(self, packets: mixing.Packets, there: mixing.Nodes) -> None:
        path = packets.path(there)
        links, size = len(path) - 1, len(packets)
        time = numpy.stack([packets.begin, *packets.leave])
        arrives = numpy.stack([*packets.enter, packets.end])
        entered = numpy.ones((links, size), dtype=numpy.bool_)
        if packets.links is not None:  # the link on which it is lost was entered as well
            entered = numpy.arange(links)[:, None] <= packets.links
        self.entered = entered
        self.time = time[entered]
        self.arrives = arrives[entered]
        self.source = numpy.stack(path[:-1])[entered]
        self.target = numpy.stack(path[1:])[entered]

    def numbered(self, numbers: Ints) -> Ints:
        """Return (links, packets) numbers of events."""
        table = numpy.full(self.entered.shape, NOBODY, dtype=numpy.int64)
        table[self.entered] = numbers
        return table


def _links(
    source: NDArray[numpy.int32], target: NDArray[numpy.int32], takes: Ints, nodes: int
) -> tuple[Links, NDArray[numpy.int32]]:
    """Return the links in use, one for each way between two nodes, and each event's."""
    name = source.astype(numpy.int64) * nodes + target
    used, link, times = numpy.unique(name, return_inverse=True, return_counts=True)
    mean = numpy.bincount(link, takes, minlength=len(used)) / times
    wires = Links(
        (used // nodes).astype(numpy.int32),
        (used % nodes).astype(numpy.int32),
        numpy.rint(mean).astype(numpy.int64),
    )
    return wires, link.astype(numpy.int32)


def _views(
    parts: Sequence[mixing.Packets], there: mixing.Nodes, event_of: Sequence[Ints]
) -> tuple[View, ...]:
    """Return what each corrupt relay knows, in the order of their numbers."""
    rows: dict[int, list[tuple[Ints, Ints, Ints]]] = {
        int(relay): [] for relay in numpy.flatnonzero(there.corrupt)
    }
    for packets, numbers in zip(parts, event_of, strict=True):
        stations = [*(packets.relay + there.people), packets.path(there)[-1]]
        for hop, station in enumerate(stations):
            last = hop == len(stations) - 1
            for relay, found in rows.items():
                here = numpy.flatnonzero((station == relay + there.people) & (numbers[hop] >= 0))
                left = (
                    numpy.full(len(here), NOBODY, dtype=numpy.int64)
                    if last
                    else numbers[hop + 1][here]
                )
                label = numpy.where(left == NOBODY, here, NOBODY) if last else left * 0 + NOBODY
                found.append((numbers[hop][here], left, label))
    return tuple(
        View(
            relay + there.people,
            *(numpy.concatenate([row[i] for row in found]) for i in range(3)),
        )
        for relay, found in rows.items()
    )
