"""On which line of a TOML text each key stands, and how sentences show its values.

The parser of the standard library doesn't say on which line it read what.

::

    [network]            table ─► "network": 1
    relays = 5           key   ─► "network.relays": 2
    a.b = {c = 1}        dotted and inline ─► "network.a.b", "network.a.b.c": 3

The text has been parsed before, so it is well formed: what is looked for here are headers and
keys at the beginning of a line that is not inside a text or a list of several lines.
"""

import re
import tomllib
from typing import Any, Final

_HEADER: Final = re.compile(r"\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(
    r"""\s*(?P<key>(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_SHOWN: Final = 60  # characters of a value
_PART: Final = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")


def shown(value: object) -> str:
    """Return a value as a sentence has it, cut to what one reads."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def of_keys(text: str) -> dict[str, int]:
    """Return the line (from 1) of each key, by its dotted name without quotes."""
    found: dict[str, int] = {}
    table, pending, begun = "", "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if pending:
            pending += "\n" + line
        elif (header := _HEADER.match(line)) is not None:
            table = _dotted(header["name"])
            found.setdefault(table, number)
            continue
        elif _KEY.match(line) is not None:
            pending, begun = line, number
        else:
            continue
        value = _parsed(pending)
        if value is not None:
            _note(value, table, begun, found)
            pending = ""
    return found


def _dotted(name: str) -> str:
    return ".".join(a or b or c for a, b, c in _PART.findall(name))


def _parsed(statement: str) -> dict[str, Any] | None:
    """Return what ``key = value`` says, or None while it goes on on the next line."""
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _note(value: dict[str, Any], above: str, line: int, found: dict[str, int]) -> None:
    for key, inner in value.items():
        name = f"{above}.{key}" if above else key
        found.setdefault(name, line)
        if isinstance(inner, dict):
            _note(inner, name, line, found)
