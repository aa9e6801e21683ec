"""``shoal status``, ``peers`` and ``path``: what the running node sees."""

import argparse
from typing import Any

from shoal_node.cli import console, options


def add(commands: options.Commands) -> None:
    """Add the commands."""
    for name, run, summary in (
        ("status", _status, "show what the node sees of itself and the network"),
        ("peers", _peers, "list the nodes that this one is linked to"),
        ("path", _path, "show each hop of the latest envelope, as this node built it"),
    ):
        parser = options.command(commands, name, run, summary, f"shoal {name} --json")
        options.add_data(parser)
        options.add_json(parser)


def _status(arguments: argparse.Namespace) -> None:
    status = options.client(arguments).get("status")
    if arguments.json:
        console.out_json(status)
        return
    latency = status["expected_latency_ms"]
    dht = status["dht"]
    rows = [
        ("ready", "yes" if status["ready"] else "not yet"),
        ("role", f"{status['role']}, network {status['network']}, version {status['version']}"),
        ("peer id", status["peer_id"]),
        ("addresses", ", ".join(status["addrs"]) or "none"),
        ("reachable", "yes" if status["reachable"] else "no"),
        ("relays known", str(status["relays"])),
        ("DHT peers", str(status["dht_peers"])),
        ("live crowd", _figure(status["crowd"], "people")),
        ("entropy", _figure(status["entropy_bits"], "bits")),
        ("traffic", status["preset"] or "a relay's"),
        ("queue", str(status["queue"])),
    ]
    if latency is not None:
        rows.append(("latency", f"{latency['p50']:.0f} ms p50, {latency['p95']:.0f} ms p95"))
    if dht is not None:
        rows.append(("DHT", f"{dht['announcements']} announced, {dht['lookups']} looked up"))
    console.table(rows)
    for warning in status["warnings"]:
        console.out(f"! {console.clean(warning)}")


def _figure(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.3g} {unit}"


def _peers(arguments: argparse.Namespace) -> None:
    peers = options.client(arguments).get("peers")
    if arguments.json:
        console.out_json({"peers": peers})
        return
    if not peers:
        console.out("Linked to nobody yet.")
        return
    rows = [("RELAY", "ROLE", "LINK", "SINCE", "ADDRESS")]
    for peer in peers:
        link = "up" if peer["connected"] else "down"
        rows.append(
            (peer["relay_id"], peer["role"], link, peer["since"] or "-", peer["address"] or "-")
        )
    console.table(rows)


def hop_rows(hops: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A table of the hops of one envelope."""
    rows: list[tuple[str, ...]] = [("HOP", "ROLE", "DELAY", "RELAY", "ADDRESS")]
    for hop in hops:
        delay = f"{hop['delay_ms']} ms"
        rows.append((str(hop["position"]), hop["role"], delay, hop["relay"], hop["address"]))
    return rows


def _path(arguments: argparse.Namespace) -> None:
    hops = options.client(arguments).get("path")
    if arguments.json:
        console.out_json({"hops": hops})
    elif not hops:
        console.out("No envelope was sent yet.")
    else:
        console.table(hop_rows(hops))
