"""``shoal lab``: the demo's network kept up, to play with from other terminals."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shoal_node import fleet, page_link
from shoal_node.api.tickets import MAX_LIFE

NAMES: Final = (
    "Ada", "Bei", "Chen", "Dana", "Emil", "Fei", "Gita", "Hugo", "Ines", "Jun", "Kofi", "Lian",
)  # fmt: skip
LIFE: Final = MAX_LIFE  # s that the addresses of people's pages are good for
_PAUSE: Final = 0.5  # s between two looks at the processes


@dataclass(frozen=True, slots=True)
class Place:
    """Where one person's node can be reached on this machine, with a persona made for it."""

    name: str
    data: str
    url: str
    page: str  # the page's address, which opens once, within LIFE
    persona: str
    pseudonym: str


def name_of(place: int) -> str:
    """The name of the person at ``place``, from 0 on: Ada, Bei, …, and then Ada 2."""
    rounds, rest = divmod(place, len(NAMES))
    return NAMES[rest] + (f" {rounds + 1}" if rounds else "")


def run(
    relays: int,
    people: int,
    preset: str,
    step: Callable[[str, int], Callable[[int], None]],
    ready: Callable[[list[Place]], None],
    main: fleet.Main = fleet.daemon_main,
) -> None:
    """Keep a network up until interrupted.

    Args:
        relays: relay processes.
        people: people's nodes.
        preset: the people's traffic.
        step: begins a step of the progress; returns what tells how far it is.
        ready: called once with the people's places.
        main: what each node's process runs.

    Raises:
        UserError: the network did not form, or a node ended by itself.
    """
    total = relays + people
    with fleet.Fleet(relays, people, preset=preset, main=main) as network:
        network.start(step("Starting nodes", total))
        network.await_ready(step("Joining the network", total))
        places = []
        for place, node in enumerate(network.people):
            client = node.client()
            name = name_of(place)
            ticket = client.post("tickets", body={"life_s": LIFE})["ticket"]
            persona = client.post("personas", body={"name": name})
            places.append(
                Place(
                    name,
                    str(node.data),
                    client.api.url,
                    page_link.once(client.api.url, ticket),
                    persona["id"],
                    persona["pseudonym"],
                )
            )
        ready(places)
        while True:
            network.check(erased=True)
            time.sleep(_PAUSE)
