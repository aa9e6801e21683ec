"""Time the ``sphinxmix`` package at Shoal's packet size; runs in the peers' environment only.

Prints one JSON object: for each of its groups (NIST P-224 by its default, Curve25519) the
microseconds of one unwrap and of building a packet over three hops, best of several rounds.
Header and body are sized so that five hops fit and a packet weighs what Shoal's does
(3,072 bytes); its integrity, as published, is that of the Sphinx paper.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from sphinxmix.SphinxClient import (  # type: ignore[import-not-found]
    Nenc,
    create_forward_message,
    pki_entry,
    rand_subset,
)
from sphinxmix.SphinxNode import sphinx_process  # type: ignore[import-not-found]
from sphinxmix.SphinxParams import SphinxParams  # type: ignore[import-not-found]
from sphinxmix.SphinxParamsC25519 import Group_C25519  # type: ignore[import-not-found]

HEADER = 360  # bytes of routing, what Shoal's five slots take
BODY = 2656
ROUNDS = 5


def best_us(call: Callable[[], object], count: int) -> float:
    """Return the best of several rounds of ``count`` calls, in microseconds a call."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter_ns() - began) / count / 1000)
    return best


def measure(params: Any) -> dict[str, float]:
    """Return the times of ``params``' unwrap and three-hop build, in microseconds."""
    nodes = {}
    for index in range(5):
        secret = params.group.gensecret()
        name = bytes([index]) * 16
        nodes[name] = pki_entry(name, secret, params.group.expon_base([secret]))
    path = rand_subset(list(nodes), 3)
    routing = [Nenc(name) for name in path]
    keys = [nodes[name].y for name in path]

    def build() -> Any:
        return create_forward_message(params, routing, keys, b"dest", b"a message")

    header, body = build()
    secret = nodes[path[0]].x
    return {
        "unwrap_us": best_us(lambda: sphinx_process(params, secret, header, body), 200),
        "build3_us": best_us(build, 100),
    }


def main() -> int:
    """Measure both groups and print them."""
    result = {}
    for name, group in (("p224", None), ("curve25519", Group_C25519())):
        params = SphinxParams(group=group, header_len=HEADER, body_len=BODY)
        result[name] = measure(params)
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
