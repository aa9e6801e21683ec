"""``shoal status``, ``peers`` and ``path``: what the running node sees."""

import argparse
from typing import Any

from shoal_node.cli import console, options
from shoal_protocol.directory.traffic import per_second


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
    traffic = status["traffic"]
    dht = status["dht"]
    rows = [
        ("ready", "yes" if status["ready"] else "not yet"),
        ("role", f"{status['role']}, network {status['network']}, version {status['version']}"),
        ("peer id", status["peer_id"]),
        ("addresses", ", ".join(status["addrs"]) or "none"),
        ("reachable", "yes" if status["reachable"] else "no"),
        ("relays known", str(status["relays"])),
        ("DHT peers", str(status["dht_peers"])),
        ("live crowd", _crowd(status["crowd"])),
        ("entropy", _entropy(status["entropy_bits"])),
        ("queue", str(status["queue"])),
    ]
    if traffic is not None:
        rows += _traffic_rows(traffic)
    if status["traffic_class"] is not None:
        rows.append(("traffic", _class(status["traffic_class"])))
    if status["month"] is not None:
        rows.append(("month", _month(status["month"])))
    if dht is not None:
        rows.append(("DHT", f"{dht['announcements']} announced, {dht['lookups']} looked up"))
    console.table(rows)
    for warning in status["warnings"]:
        console.out(f"! {console.clean(warning)}")


def _crowd(people: int | None) -> str:
    return (
        "unknown" if people is None else f"about {people} people at balanced's pace, as relays say"
    )


def _entropy(bits: float | None) -> str:
    if bits is None:
        return "unknown"
    return f"{bits:.1f} bits of a message's sender: as among {max(1.0, 2**bits):.3g} people"


def _traffic_rows(traffic: dict[str, Any]) -> list[tuple[str, str]]:
    """What a person's preset costs and gives."""
    latency, links = traffic["latency_ms"], traffic["link_ms"]
    over = f" over links of {links:.0f} ms" if links else ""
    return [
        (
            "preset",
            f"{traffic['preset']}: {traffic['packets_per_s']:g} packets a second each way, "
            f"{traffic['mean_delay_ms']} ms at each mix",
        ),
        (
            "slots",
            f"{traffic['quick_share']:.0%} quick; of the others up to "
            f"{traffic['waiting_gets']} wait for this node's messages",
        ),
        (
            "bandwidth",
            f"{traffic['up_kb_per_s']:.1f} KB/s up, {traffic['down_kb_per_s']:.1f} KB/s down, "
            f"{traffic['gb_per_day']:.1f} GB a day",
        ),
        ("latency", f"{latency['p50']:.0f} ms p50, {latency['p95']:.0f} ms p95 one way{over}"),
    ]


def _class(traffic: int) -> str:
    if traffic == 0:
        return "class 0: less than a request in two minutes"
    return f"class {traffic}: about {per_second(traffic):.2g} requests a second"


def _month(month: dict[str, Any]) -> str:
    limit = month["limit_gb"]
    allowed = "" if limit is None else f" of {limit:g} GB"
    return f"{month['used_gb']:.3f} GB{allowed} moved, until {month['ends'][:10]}"


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
