"""Judge the closing object of ``shoal demo --json``, read from standard input.

Usage: ``shoal demo --relays 8 --messages 5 --json | python tools/check_demo.py --relays 8
--messages 5``. Exit 0 and one line of figures when the object keeps docs/contract.md's
promises, else 1 and one line for each broken one. Nothing here depends on the speed of the
machine.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any


def complaints(result: Mapping[str, Any], relays: int, messages: int) -> list[str]:
    """Return one sentence for each thing in ``result`` that is not as it must be."""
    expected = {
        "relays": relays,
        "hops": 4,
        "packet_bytes": 3072,
        "sent": 2 * messages,
        "delivered": 2 * messages,
        "lost": 0,
        "duplicates": 0,
        "verified": True,
    }
    wrong = [
        f"{name} is {result.get(name)!r} and should be {value!r}"
        for name, value in expected.items()
        if result.get(name) != value
    ]
    for name, parts in {
        "latency_ms": ("p50", "p95", "max", "floor_p50"),
        "dht": ("announcements", "lookups", "lookup_ms_p50"),
    }.items():
        table = result.get(name)
        table = table if isinstance(table, Mapping) else {}
        wrong += [f"{name}.{part} is missing" for part in parts if part not in table]
    wrong += [f"{name} is missing" for name in ("setup_s", "messages_s") if name not in result]
    return wrong


def summary(result: Mapping[str, Any]) -> str:
    """Return the figures of ``result`` in one line."""
    latency = result["latency_ms"]
    return (
        f"{result['delivered']} of {result['sent']} delivered over {result['relays']} relays, "
        f"{result['hops']} hops; one-way p50 {latency['p50']} ms, p95 {latency['p95']} ms, "
        f"max {latency['max']} ms, floor p50 {latency['floor_p50']} ms; "
        f"set-up {result['setup_s']} s, messages {result['messages_s']} s"
    )


def last_object(text: str) -> dict[str, Any]:
    """Return the JSON object on the last line of ``text``, or the whole of it."""
    lines = text.strip().splitlines()
    try:
        value = json.loads(lines[-1] if lines else "")
    except json.JSONDecodeError:
        value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return value


def main() -> int:
    """Read the object, print the verdict, return the exit code."""
    parser = argparse.ArgumentParser(description="judge the output of shoal demo --json")
    parser.add_argument("--relays", type=int, required=True)
    parser.add_argument("--messages", type=int, required=True)
    arguments = parser.parse_args()
    try:
        result = last_object(sys.stdin.read())
    except (ValueError, TypeError) as error:
        sys.stderr.write(f"the demo's output ends in no JSON object: {error}\n")
        return 1
    wrong = complaints(result, arguments.relays, arguments.messages)
    for sentence in wrong:
        sys.stderr.write(sentence + "\n")
    if wrong:
        sys.stderr.write(json.dumps(result, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(summary(result) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
