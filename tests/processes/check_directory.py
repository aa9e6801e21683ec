"""Twelve relays in real processes agree who is there, and forget one that was killed."""

from collections.abc import Iterable

from processes.waiting import Say, until
from shoal_node import fleet
from shoal_protocol.parameters import LAB

RELAYS = 12
AGREE_S = 10.0  # after the last has joined; docs/spec/directory.md
MARGIN_S = 5.0  # a busy machine's


def _seen_by(node: fleet.Node) -> frozenset[str]:
    """The peer ids of all relays that ``node`` knows, its own among them."""
    client = node.client()
    others = (peer["address"].rpartition("/")[2] for peer in client.get("peers"))
    return frozenset([client.api.peer_id, *others])


def _agree(nodes: Iterable[fleet.Node], ids: frozenset[str]) -> bool:
    return all(_seen_by(node) == ids for node in nodes)


def test_twelve_relays_agree_in_ten_seconds_and_drop_a_killed_one_when_its_lease_ends(
    say: Say,
) -> None:
    with fleet.Fleet(RELAYS, 0) as network:
        network.start()
        ids = frozenset(node.client().api.peer_id for node in network.relays)
        assert len(ids) == RELAYS
        took = until(lambda: _agree(network.relays, ids), AGREE_S, "one view of twelve relays")
        say(f"{RELAYS} relays agreed {took:.1f} s after the last had joined")

        *rest, last = network.relays
        gone = ids - {last.client().api.peer_id}
        network.kill(last)
        took = until(lambda: _agree(rest, gone), LAB.lease_s + MARGIN_S, "the killed one dropped")
        say(f"a killed one was forgotten by all after {took:.1f} s of a {LAB.lease_s} s lease")
