"""``shoal persona``: the identities of the running node, and what links them to each other."""

import argparse
from pathlib import Path
from typing import Any

from shoal_node.cli import console, files, options, people
from shoal_node.usage import UsageError

MAX_PICTURE = 2**20  # bytes of a picture for an avatar, what the API takes

LINKS = {
    "hours": "are on at the same hours",
    "contact": "know the same people",
    "name": "have the same name",
    "avatar": "look the same",
    "created": "were made at the same time",
    "guard": "go through the same guard",
    "preset": "send at the same pace",
}


def add(commands: options.Commands) -> None:
    """Add the commands."""
    group = options.command(
        commands,
        "persona",
        None,
        "make, list, show, change and burn personas",
        "shoal persona new --json",
    )
    inner: options.Commands = group.add_subparsers(
        title="commands",
        metavar="COMMAND",
        dest="persona_command",
        required=True,
        parser_class=type(group),
    )
    new = options.command(
        inner, "new", _new, "make a persona", "shoal persona new --random --ephemeral --json"
    )
    naming = new.add_mutually_exclusive_group()
    naming.add_argument("--name", metavar="N", help="its name (default: momo, as everybody's)")
    naming.add_argument("--random", action="store_true", help="draw a name and an avatar")
    new.add_argument("--ephemeral", action="store_true", help="gone when the node locks or stops")
    listing = options.command(inner, "list", _list, "list personas", "shoal persona list --json")
    show = options.command(
        inner, "show", _show, "show one persona and its contacts", "shoal persona show ID --json"
    )
    edit = options.command(
        inner,
        "edit",
        _edit,
        "change a persona's name, avatar or receipts; contacts are told with the next message",
        "shoal persona edit ID --random",
    )
    looks = edit.add_mutually_exclusive_group()
    looks.add_argument("--name", metavar="N", help="another name")
    looks.add_argument("--random", action="store_true", help="draw a name and an avatar")
    looks.add_argument("--momo", action="store_true", help="no name, no avatar: as everybody")
    edit.add_argument("--picture", metavar="F", type=Path, help="a picture for the avatar")
    edit.add_argument(
        "--receipts",
        choices=("on", "off"),
        help="whether reading is told, and believed; it takes both ends",
    )
    burn = options.command(
        inner,
        "burn",
        _burn,
        "forget a persona, its keys and its conversations for good",
        "shoal persona burn ID",
    )
    links = options.command(
        inner,
        "linkability",
        _linkability,
        "say what would let an observer take two personas for one person's",
        "shoal persona linkability",
    )
    for parser in (show, edit, burn):
        parser.add_argument("id", metavar="ID", help="the persona's id or pseudonym")
    for parser in (new, listing, show, edit, burn, links):
        options.add_data(parser)
        options.add_json(parser)


def _print(persona: dict[str, Any]) -> None:
    rows = [("id", persona["id"]), ("name", people.shown(persona))]
    rows += [("pseudonym", persona["pseudonym"]), ("created", persona["created"])]
    rows.append(("receipts", "on" if persona["receipts"] else "off"))
    if persona["ephemeral"]:
        rows.append(("lasts", persona["expires"] or "until the node stops"))
    console.table(rows)


def _new(arguments: argparse.Namespace) -> None:
    body: dict[str, object] = {"ephemeral": arguments.ephemeral}
    if arguments.name is not None:
        body["name"] = arguments.name
    if arguments.random:
        body["random"] = True
    persona = options.client(arguments).post("personas", body=body)
    if arguments.json:
        console.out_json(persona)
    else:
        _print(persona)


def _list(arguments: argparse.Namespace) -> None:
    personas = options.client(arguments).get("personas")
    if arguments.json:
        console.out_json({"personas": personas})
    elif not personas:
        console.out("No personas yet: make one with `shoal persona new`.")
    else:
        rows = [("ID", "NAME", "PSEUDONYM")]
        rows += [(one["id"], people.shown(one), one["pseudonym"]) for one in personas]
        console.table(rows, titles=True)


def _show(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    persona = people.persona(client, arguments.id)
    contacts = client.get("personas", persona["id"], "contacts")
    if arguments.json:
        console.out_json(persona | {"contacts": contacts})
        return
    _print(persona)
    for contact in contacts:
        name = console.clean(people.shown(contact))
        console.out(f"contact {contact['id']}  {contact['state']}  {contact['pseudonym']}  {name}")


def _edit(arguments: argparse.Namespace) -> None:
    body: dict[str, object] = {}
    if arguments.name is not None:
        body["name"] = arguments.name
    if arguments.random:
        body["random"] = True
    if arguments.momo:
        body["momo"] = True
    if arguments.picture is not None:
        if arguments.random or arguments.momo:
            raise UsageError("persona edit: --picture goes with neither --random nor --momo.")
        body["avatar"] = {"picture": _base64(files.read(arguments.picture, MAX_PICTURE))}
    if arguments.receipts is not None:
        body["receipts"] = arguments.receipts == "on"
    if not body:
        raise UsageError("persona edit: say what is to change; see --help.")
    client = options.client(arguments)
    persona = client.patch("personas", people.persona(client, arguments.id)["id"], body=body)
    if arguments.json:
        console.out_json(persona)
    else:
        _print(persona)


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()


def _burn(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    persona = people.persona(client, arguments.id)["id"]
    client.delete("personas", persona)
    if arguments.json:
        console.out_json({"id": persona, "burnt": True})
    else:
        console.out(f"Persona {console.clean(persona)} is gone for good.")


def _linkability(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    links = client.get("linkability")
    if arguments.json:
        console.out_json({"links": links})
        return
    if not links:
        console.note("Nothing that this node knows of links its personas.")
        return
    names = {one["id"]: people.shown(one) for one in client.get("personas")}
    rows = [("PERSONAS", "WHY", "DETAIL")]
    for link in links:
        who = ", ".join(f"{names.get(one, 'momo')} ({one})" for one in link["personas"])
        rows.append((who, LINKS.get(link["code"], link["code"]), link["detail"] or "-"))
    console.table(rows, titles=True)
