"""Judge the closing object of ``shoal demo --json``, read from standard input.

Usage: ``shoal demo --relays 8 --messages 5 --json | python tools/check_demo.py --relays 8
--messages 5``, and the same with ``--offline --file-bytes N`` on both sides. Exit 0 and one line
of figures when the object keeps docs/contract.md's promises, else 1 and one line for each broken
one. Nothing here depends on the speed of the machine.
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
    wrong = _unlike(result, expected)
    for name, parts in {
        "latency_ms": ("p50", "p95", "max", "floor_p50"),
        "dht": ("announcements", "lookups", "lookup_ms_p50"),
    }.items():
        table = result.get(name)
        table = table if isinstance(table, Mapping) else {}
        wrong += [f"{name}.{part} is missing" for part in parts if part not in table]
    wrong += [f"{name} is missing" for name in ("setup_s", "messages_s") if name not in result]
    return wrong


def offline_complaints(
    result: Mapping[str, Any], relays: int, messages: int, file_bytes: int
) -> list[str]:
    """Return one sentence for each thing in an offline demo's ``result`` that is wrong."""
    expected = {
        "offline": True,
        "relays": relays,
        "sent": messages,
        "delivered": messages,
        "lost": 0,
        "duplicates": 0,
        "in_order": True,
        "file_bytes": file_bytes,
        "file_ok": True,
        "honest": True,
        "fetched": messages + 1,
        "read": messages + 1,
        "verified": True,
    }
    figures = "setup_s send_s first_ms fetch_messages_s fetch_file_s settle_s file_pieces"
    return _unlike(result, expected) + [
        f"{name} is no number" for name in figures.split() if not _is_number(result.get(name))
    ]


def _unlike(result: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} is {result.get(name)!r} and should be {value!r}"
        for name, value in expected.items()
        if result.get(name) != value
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def offline_summary(result: Mapping[str, Any]) -> str:
    """Return the figures of an offline demo's ``result`` in one line."""
    return (
        f"{result['delivered']} of {result['sent']} messages and a file of "
        f"{result['file_bytes']} bytes ({result['file_pieces']} pieces) over {result['relays']} "
        f"relays; set-up {result['setup_s']} s, stored in {result['send_s']} s; first message "
        f"{result['first_ms']} ms after the reader's start, all in {result['fetch_messages_s']} s, "
        f"the file {result['fetch_file_s']} s later; all shown as fetched in {result['settle_s']} s"
    )


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
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--file-bytes", type=int, default=2 * 2**20)
    arguments = parser.parse_args()
    try:
        result = last_object(sys.stdin.read())
    except (ValueError, TypeError) as error:
        sys.stderr.write(f"the demo's output ends in no JSON object: {error}\n")
        return 1
    if arguments.offline:
        wrong = offline_complaints(
            result, arguments.relays, arguments.messages, arguments.file_bytes
        )
    else:
        wrong = complaints(result, arguments.relays, arguments.messages)
    for sentence in wrong:
        sys.stderr.write(sentence + "\n")
    if wrong:
        sys.stderr.write(json.dumps(result, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write((offline_summary if arguments.offline else summary)(result) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
