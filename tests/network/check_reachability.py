"""A relay behind a firewall learns it from others; one that is open, or forwarded to, too."""

import json
from pathlib import Path

import pytest

from network.namespaces import Host, Internet, Node, shoal
from processes.waiting import Say, until

PORT, OUTSIDE = 4001, 443
AGREE_S = 30.0
LEARN_S = 80.0


def self_check(host: Host, node: Node) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code and, by their names, what a relay's operator is told."""
    done = host.run(shoal("relay", "self-check", "--json", "--data", str(node.data)))
    return done.returncode, {each["check"]: each for each in json.loads(done.stdout)["checks"]}


@pytest.mark.parametrize("family", [4, 6])
def test_a_relay_behind_a_firewall_says_so_and_is_given_nothing(
    internet: Internet, tmp_path: Path, say: Say, family: int
) -> None:
    if family == 4:
        hosts = list(internet.spread(4))
    else:
        hosts = [internet.host(None, f"2a0{number}:4f8::2") for number in range(1, 5)]
    begun = hosts[0].node("relay", tmp_path / "0", "--network", "lab", *hosts[0].listen(PORT))
    known = ("--network", "lab", "--bootstrap", begun.address)
    hosts[3].firewall()
    hosts[1].forward(OUTSIDE, PORT)
    announced = f"/ip{family}/{hosts[1].v4 or hosts[1].v6}/tcp/{OUTSIDE}"
    data = tmp_path / hosts[1].name
    data.mkdir(mode=0o700)
    (data / "config.toml").write_text(f'[relay]\nannounce = ["{announced}"]\n')
    nodes = [begun] + [
        host.node("relay", tmp_path / host.name, *known, *host.listen(PORT)) for host in hosts[1:]
    ]
    closed = nodes[3].client()
    until(lambda: closed.get("status")["relays"] == 4, AGREE_S, "all four in its view")
    took = until(lambda: not closed.get("status")["reachable"], LEARN_S, "it learns of the wall")
    say(f"the relay behind a firewall knew it after {took:.1f} s")
    assert any("can't reach this one" in said for said in closed.get("status")["warnings"])
    assert all(node.client().get("status")["reachable"] for node in nodes[:3])
    [reach] = nodes[1].client().get("self-check")["reach"]
    assert reach == {"address": announced, "reachable": True, "misses": 0}
    code, checks = self_check(hosts[3], nodes[3])
    assert code == 1
    assert checks["reachable"]["state"] == "fail"
    assert "open its port in the firewall" in checks["reachable"]["text"]
    assert checks["clock"]["state"] == "ok"
    until(
        lambda: all(node.client().get("status")["relays"] == 3 for node in nodes[:3]),
        AGREE_S,
        "the others give it nothing",
    )
