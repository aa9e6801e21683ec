"""Relays on machines with addresses of the public Internet find each other; a firewall holds."""

import sys
from pathlib import Path

from network.namespaces import Internet
from processes.waiting import Say, until

LISTEN = "import socket; s = socket.create_server((%r, 4001)); print(s.accept()[1][0])"
CALL = "import socket; socket.create_connection((%r, 4001), 1)"
PORT = 4001
AGREE_S = 20.0


def test_three_relays_agree_over_routable_addresses(
    internet: Internet, tmp_path: Path, say: Say
) -> None:
    first, second = internet.spread(2)
    third = internet.host("81.2.69.142", "2a01:4f8:1::2")
    begun = first.node("relay", tmp_path / "1", "--network", "lab", *first.listen(PORT))
    known = ("--network", "lab", "--bootstrap", begun.address)
    nodes = [
        begun,
        second.node("relay", tmp_path / "2", *known, *second.listen(PORT)),
        third.node("relay", tmp_path / "3", *known, *third.listen(PORT)),
    ]
    took = until(
        lambda: all(node.client().get("status")["relays"] == 3 for node in nodes),
        AGREE_S,
        "three relays in each view",
    )
    say(f"three relays on three machines agreed after {took:.1f} s")
    assert [a.rsplit("/p2p/")[0] for a in nodes[2].client().api.addrs] == [
        "/ip4/81.2.69.142/tcp/4001",
        "/ip6/2a01:4f8:1::2/tcp/4001",
    ]
    assert [node.end() for node in nodes] == [0, 0, 0]


def test_a_host_behind_a_firewall_calls_and_is_not_called(
    internet: Internet, tmp_path: Path
) -> None:
    inside, outside = internet.spread(2)
    inside.firewall()
    assert inside.v4 is not None and outside.v4 is not None
    log = tmp_path / "log"
    for host in (inside, outside):
        host.start([sys.executable, "-u", "-c", LISTEN % host.v4], log)
    until(
        lambda: inside.run([sys.executable, "-c", CALL % outside.v4]).returncode == 0, 10, "a call"
    )
    until(lambda: log.read_text() == f"{inside.v4}\n", 10, "its caller's address")
    assert "TimeoutError" in outside.run([sys.executable, "-c", CALL % inside.v4]).stderr
