"""Main's rules with short times, at relays on machines of their own: age, slots, a restart."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from network.namespaces import Host, Internet, Node
from processes.waiting import Say, until
from processes.writers import Person, introduce
from shoal_node import home
from shoal_protocol.parameters import TRIAL

PORT = 4001
SOON_S = 20.0
OLD_S = TRIAL.role_age_s + TRIAL.lease_s + SOON_S


def start(host: Host, data: Path, role: str, *known: str) -> Node:
    """Start a node of the network for trials."""
    data.mkdir(mode=0o700, exist_ok=True)
    (data / home.CONFIG_FILE).write_text('network = "trial"\n')
    bootstrap = [word for address in known for word in ("--bootstrap", address)]
    listen = host.listen(PORT) if role == "relay" else []
    return host.node(role, data, *bootstrap, *listen)


def together(role: str, places: Iterable[tuple[Host, Path]], *known: str) -> list[Node]:
    """Start nodes at the same time; returns when all answer, in their order."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda place: start(*place, role, *known), places))


def serving(node: Node) -> int:
    """How many relays a node says that it uses."""
    relays: int = node.client().get("status")["relays"]
    return relays


def peers(node: Node) -> list[object]:
    """The other relays that a relay's directory lists, serving or not."""
    found: list[object] = node.client().get("peers")
    return found


def persona(name: str, node: Node) -> Person:
    """Make a persona at a person's node."""
    made = node.client().post("personas", body={})
    return Person(name, node.data, made["id"], made["pseudonym"])


def test_a_relay_serves_once_it_is_old_and_has_a_slot_and_a_restart_forgets_nobody(
    internet: Internet, tmp_path: Path, say: Say
) -> None:
    hosts = [*internet.spread(5), internet.host("41.2.7.3")]  # the last in the second's /24
    first = start(hosts[0], tmp_path / "0", "relay")
    homes = [(host, tmp_path / str(place)) for place, host in enumerate(hosts)]
    relays = [first, *together("relay", homes[1:4], first.address)]
    until(lambda: {serving(node) for node in relays} == {4}, SOON_S, "the first four serve")
    known = [node.address for node in relays[:3]]
    late, crowded = together("relay", homes[4:], *known)
    until(lambda: len(peers(first)) == 5, SOON_S, "newcomers are listed")
    assert serving(first) == 4, "newcomers serve at once"
    began = time.monotonic()
    addresses = (("ada", "61.9.7.2"), ("bob", "62.9.7.2"))
    people = [(internet.host(v4), tmp_path / name) for name, v4 in addresses]
    ada, bob = (persona(node.data.name, node) for node in together("up", people, *known))
    until(lambda: serving(first) == 5, OLD_S, "a newcomer is old enough")
    took = time.monotonic() - began
    say(f"a newcomer served within {took:.1f} s; one in another's /24 did not")
    introduce([(ada, bob)])
    assert relays[1].end() == 0
    again = start(hosts[1], tmp_path / "1", "relay", *known)
    until(lambda: serving(again) == 5, SOON_S, "a restarted relay knows who is old")
    assert serving(first) == serving(late) == 5
    assert crowded.client().get("status")["relays"] == 5
