"""``shoal search`` and ``shoal export``: what was said, found and written out."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal_node.cli import console, files, options, people

LIMIT = 50  # hits


def add(commands: options.Commands) -> None:
    """Add the commands."""
    search = options.command(
        commands,
        "search",
        _search,
        "find messages that hold a text, newest first; also one Chinese character",
        "shoal search 明天",
    )
    search.add_argument("text", metavar="TEXT", help="what to look for")
    search.add_argument("--contact", metavar="CONTACT", help="only in the talk with this contact")
    search.add_argument(
        "--limit",
        metavar="N",
        type=options.bounded(1, 200),
        default=LIMIT,
        help=f"messages at most (default {LIMIT})",
    )
    export = options.command(
        commands,
        "export",
        _export,
        "write a whole conversation out, readable by everybody who has the file",
        "shoal export Heron --format text -o heron.txt",
    )
    export.add_argument("contact", metavar="CONTACT", help="an id, a pseudonym or a name")
    export.add_argument(
        "--format", choices=("json", "text"), default="json", help="the form (default json)"
    )
    export.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="a new file (default: standard output)"
    )
    people.add_persona(search, "only what this persona wrote or was written")
    people.add_persona(export)
    for parser in (search, export):
        options.add_data(parser)
        options.add_json(parser)


def _search(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    persona = conversation = None
    if arguments.contact is not None:
        found = people.contact(client, arguments.persona, arguments.contact)
        conversation = found["conversation"]
    elif arguments.persona is not None:
        persona = people.persona(client, arguments.persona)["id"]
    hits = client.get(
        "search",
        q=arguments.text,
        persona=persona,
        conversation=conversation,
        limit=arguments.limit,
    )
    if arguments.json:
        for hit in hits:
            console.out_json(hit)
        return
    for hit in hits:
        message: dict[str, Any] = hit["message"]
        way = "to" if message["outgoing"] else "from"
        text = _marked(message["text"], hit["spans"])
        console.out(f"{message['created']}  {way}  {console.clean(message['id'])}  {text}")
    if not hits:
        console.note("Nothing was found.")


def _marked(text: str, spans: Sequence[Sequence[int]]) -> str:
    """The text on one line, its hits bold on a terminal."""
    if not console.on_terminal():
        return console.clean(text)
    shown, place = "", 0
    for start, end in spans:
        shown += console.clean(text[place:start])
        shown += f"\x1b[1m{console.clean(text[start:end])}\x1b[0m"
        place = end
    return shown + console.clean(text[place:])


def _export(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    contact = people.contact(client, arguments.persona, arguments.contact)
    content = client.get_bytes(
        "conversations", contact["conversation"], "export", format=arguments.format
    )
    if arguments.output is None:
        console.out_bytes(content)
        return
    files.write_new(arguments.output, content)
    if arguments.json:
        console.out_json({"file": str(arguments.output), "size": len(content)})
    else:
        console.out(f"{console.clean(str(arguments.output))}  {files.size(len(content))}")
