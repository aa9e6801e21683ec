"""T12: a flood of valid DHT puts by many peers, at one node or at those nearest to each key.

::

    1,000 peers ── count puts ──► one of 30 nodes (one), or one of the 5 nearest to the key (near)
    a node that held nothing ── looks up each of 200 honest records afterwards

The nodes are the DHT's own machines; records are stand-ins that cost no work to make, which is
the worst case: a network with a price for records sees fewer. Usage: ``python -m hostile.puts``.
"""

import argparse
import gc
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from dht.network import PARAMETERS, Network, Node, contact_of, key_of, record_of
from shoal_protocol.dht import messages
from shoal_protocol.dht.contacts import distance
from shoal_protocol.dht.messages import Status

NODES: Final = 30
HONEST: Final = 200
PEERS: Final = 1_000
NEAR: Final = 5  # nodes nearest to a key, among whom a flood near it is spread
MEMORY: Final = 64 * 2**20  # bytes that a node may grow by


def resident() -> int:
    """Return this process's resident memory in bytes."""
    gc.collect()
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


def flood(count: int, *, near: bool) -> dict[str, Any]:
    """Flood a network; returns figures, and under ``wrong`` what must not be."""
    net = Network(NODES)
    net.join_all()
    keys = [key_of(f"honest {number}") for number in range(HONEST)]
    for number, key in enumerate(keys):
        writer = net.nodes[number % NODES]
        net.run(writer, writer.lookups.put(record_of(key), net.now))
    peers = [contact_of(f"hostile {number}").peer_id for number in range(PEERS)]
    victim = net.nodes[3]
    held_before = sum(victim.store.get(key, net.now) is not None for key in keys)
    answers: Counter[str] = Counter()
    before = resident()
    for number in range(count):
        key, node = key_of(f"flood {number}"), victim
        if near:
            by_distance = sorted(net.nodes, key=lambda n: distance(n.contact.position, key))
            node = by_distance[number % NEAR]
        message = messages.encode_request(messages.Store(record_of(key)))
        reply = node.answer(peers[number % PEERS], message, net.now)
        answers["closed" if reply is None else Status(reply_status(message, reply)).name] += 1
    grown = resident() - before
    held_after = sum(victim.store.get(key, net.now) is not None for key in keys)
    net.pass_time(1)
    reader = net.add(Node("reader", net.now))
    net.run(reader, reader.lookups.bootstrap([net.nodes[0].contact], net.now))
    found = 0
    for key in keys:
        shown = net.run(reader, reader.lookups.get(key, net.now))
        found += shown is not None and shown.record == record_of(key)
    wrong = [] if found == HONEST else [f"{HONEST - found} of {HONEST} honest records are gone"]
    floods = NODES if near else 1
    if grown > MEMORY * floods:
        wrong.append(f"{floods} nodes grew by {grown / 2**20:.0f} MiB")
    return {
        "puts": count,
        "near": near,
        "answers": dict(answers),
        "honest": HONEST,
        "found": found,
        "at_victim": [held_before, held_after],
        "memory_bytes": grown // floods,
        "wrong": wrong,
    }


def reply_status(message: bytes, reply: bytes) -> int:
    """Return the status in the reply to a put."""
    request = messages.decode_request(message)
    stored = messages.decode_reply(request, reply, PARAMETERS)
    assert isinstance(stored, messages.Stored)
    return stored.status


def main() -> int:
    """Run both floods and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puts", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print one object")
    given = parser.parse_args()
    floods = {name: flood(given.puts, near=name == "near") for name in ("one", "near")}
    wrong = [f"{name}: {each}" for name, figures in floods.items() for each in figures["wrong"]]
    result = {**floods, "wrong": wrong}
    sys.stdout.write(json.dumps(result, indent=None if given.json else 2) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
