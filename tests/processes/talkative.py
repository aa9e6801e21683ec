"""Nodes that log all they can, and what their logs may not hold.

::

    DIR/shoal.log   what the node printed for its person: its page, its API, its own addresses
                    + events at DEBUG: none may name a text, a person, a peer or an address
"""

from dataclasses import replace
from typing import Final

from shoal_node.config import NodeConfig
from shoal_node.fleet import Fleet, daemon_main

PRINTED: Final = ("The page: ", "The API answers at ", "Listening on ")


def talkative_main(config: NodeConfig) -> int | None:
    """Run a real node at DEBUG."""
    return daemon_main(replace(config, verbose=True))


def logged(fleet: Fleet) -> dict[str, str]:
    """What each node logged, by its name, without what it printed for its person."""
    return {
        node.name: "\n".join(
            line
            for line in node.log.read_text(errors="replace").splitlines()
            if not line.startswith(PRINTED)
        )
        for node in fleet.nodes
    }


def planted(fleet: Fleet, texts: list[str]) -> list[str]:
    """Everything that was said, everybody's pseudonyms, all peers and where they listen."""
    found = list(texts)
    for node in fleet.people:
        client = node.client()
        found += [persona["pseudonym"] for persona in client.get("personas")]
        found += [persona["id"] for persona in client.get("personas")]
        found += [talk["pseudonym"] for talk in client.get("conversations")]
        found += [talk["id"] for talk in client.get("conversations")]
    for node in fleet.relays:
        status = node.client().get("status")
        found.append(status["peer_id"])
        ports = [address.partition("/tcp/")[2].partition("/")[0] for address in status["addrs"]]
        found += [mark + port for port in ports for mark in ("/tcp/", "127.0.0.1:")]
    return found
