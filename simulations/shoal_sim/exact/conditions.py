"""What a scenario asks of a network of cover beside the network itself.

::

    Mixnet ── carry ──► Stay: is anybody there? ──► Queues: is there room? ──► Recording ──► Links
      classes of nodes, packets' format, streams of chance: as the scenario needs them

What a scenario does not ask for is not there, and costs nothing.
"""

from collections import Counter
from functools import partial
from typing import Final

from shoal_protocol.packets.format import SPHINX
from shoal_sim.exact.chance import FastRng
from shoal_sim.exact.churn import ComingHub, Stay, Visitor, whole
from shoal_sim.exact.following import Following
from shoal_sim.exact.links import Send
from shoal_sim.exact.mixnet import Bystander, Hub, Mixnet
from shoal_sim.exact.null import NullFormat
from shoal_sim.exact.queues import Queues, limited
from shoal_sim.exact.watched import Recording
from shoal_sim.exact.world import World
from shoal_sim.scenario import Scenario
from shoal_sim.seeds import numbers
from shoal_sim.traces import sessions


class Conditions:
    """Who is there and what packets pass, in one network.

    Args:
        length_s: virtual, of the whole run.
        watched: whether packets on links are recorded.
    """

    def __init__(self, scenario: Scenario, seed: int, length_s: float, *, watched: bool) -> None:
        network, churn = scenario.network, scenario.churn
        self._scenario: Final = scenario
        self._seed: Final = seed
        self._length_s: Final = length_s
        self.online: Final = online(scenario, seed)
        real = network.cryptography == "real"
        changes = churn.model != "none" or network.unreachable > 0
        self.packets: Final = (
            Following(SPHINX if real else NullFormat(), keyed=changes and not real)
            if changes or watched
            else None
        )
        self.record: Final = (
            Recording(self.packets, network.protocol.path_mixes)
            if watched and self.packets is not None
            else None
        )
        self._stay: Final = Stay(self.chance, self.packets) if changes and self.packets else None

        self.queues: Queues | None = None
        self._relays: Final[set[bytes]] = set()

    def chance(self, name: str) -> FastRng:
        """Return the stream of a name."""
        return FastRng(f"{self._seed} {name}")

    def network(self, relays: int) -> Mixnet:
        """Return the network, of so many relays."""
        scenario = self._scenario
        network = scenario.network
        return Mixnet(
            relays,
            len(self.online),
            scenario.traffic.chosen,
            params=network.protocol,
            chance=self.chance,
            real=network.cryptography == "real",
            length_s=self._length_s,
            link_seed=str(self._seed),
            hub=Hub if self._stay is None else ComingHub,
            person=Bystander if self._stay is None else Visitor,
            through=self._through,
            packets=self.packets,
            drawn=network.active == "drawn",
        )

    def begin(self, net: Mixnet) -> None:
        """Let those come and go who do, and tell who is who."""
        if self.record is not None:
            self.record.name(len(net.people), len(net.hubs))
        self._relays.update(hub.id for hub in net.hubs)
        if self._stay is None:
            return
        network, churn = self._scenario.network, self._scenario.churn
        drawn = partial(changes, self._scenario, self._seed, round(self._length_s * 1e9))
        count = round(network.unreachable * len(net.hubs))
        chosen = numbers(self._seed, "unreachable").permutation(len(net.hubs))[:count]
        self._stay.begin(
            net,
            people=drawn(len(net.people), "people") if churn.who != "relays" else None,
            relays=drawn(len(net.hubs), "relays") if churn.who != "people" else None,
            undialled=sorted(chosen.tolist()),
        )

    def counted(self, net: Mixnet) -> Counter[str]:
        """Return what has been counted up to now."""
        counted = net.counters.copy()
        counted.update({"crossed": net.links.sent, "lost": net.links.lost})
        if self.packets is not None:
            counted["lost in relays"] += self.packets.refused
        if self.queues is not None:
            queues = self.queues
            counted.update({"dropped": queues.dropped, "queued": queues.passed})
            counted["waited ns"] = queues.waited_ns
        return counted

    def _through(self, net: Mixnet, send: Send) -> Send:
        if self.record is not None:
            send = self.record.through(net, send)
        if limited(self._scenario):
            relays = self._relays
            self.queues = Queues(self._scenario, net.engine, lambda name: name in relays)
            if self.packets is not None:
                self.queues.lost = self.packets.forget
            send = self.queues.through(send)
        return send if self._stay is None else self._stay.through(net, send)


def of_whole(scenario: Scenario, seed: int, world: World, length_s: float) -> None:
    """Let nodes of a world be away, or come and go, from now on for ``length_s``."""
    churn, there = scenario.churn, set(online(scenario, seed))
    drawn = partial(changes, scenario, seed, round(length_s * 1e9))
    for number, person in enumerate(world.people):
        if number not in there:
            person.crash()
    whole(
        world,
        people=drawn(len(world.people), "people") if churn.who != "relays" else None,
        relays=drawn(len(world.relays), "relays") if churn.who != "people" else None,
    )


def online(scenario: Scenario, seed: int) -> list[int]:
    """Draw which people are there at all; the others send nothing."""
    people = scenario.network.people
    chosen = numbers(seed, "online").permutation(people)
    return sorted(chosen[: round(people * scenario.traffic.online)].tolist())


def changes(
    scenario: Scenario, seed: int, until_ns: int, nodes: int, who: str
) -> sessions.Changes | None:
    """Draw when nodes come and go; None if the scenario has no churn."""
    churn = scenario.churn
    if churn.model == "none":
        return None
    shape = churn.shape if churn.model == "weibull" else 1.0
    away_min = churn.scale_min if churn.away_scale_min is None else churn.away_scale_min
    stay = sessions.Weibull(shape, churn.scale_min * sessions.MINUTE)
    away = sessions.Weibull(shape, away_min * sessions.MINUTE)
    return sessions.changes(nodes, until_ns, stay, away, numbers(seed, "churn", who))
