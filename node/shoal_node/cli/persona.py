"""``shoal persona``: the identities of the running node."""

import argparse
from typing import Any

from shoal_node.cli import console, options
from shoal_protocol.errors import UserError


def add(commands: options.Commands) -> None:
    """Add the commands."""
    group = options.command(
        commands, "persona", None, "make, list, show and burn personas", "shoal persona new --json"
    )
    inner: options.Commands = group.add_subparsers(
        title="commands",
        metavar="COMMAND",
        dest="persona_command",
        required=True,
        parser_class=type(group),
    )
    new = options.command(
        inner, "new", _new, "make a persona", "shoal persona new --name Heron --ephemeral --json"
    )
    new.add_argument("--name", metavar="N", help="its name (default: momo, as everybody's)")
    new.add_argument("--ephemeral", action="store_true", help="gone when the node locks or stops")
    listing = options.command(inner, "list", _list, "list personas", "shoal persona list --json")
    show = options.command(
        inner, "show", _show, "show one persona and its contacts", "shoal persona show ID --json"
    )
    burn = options.command(
        inner,
        "burn",
        _burn,
        "forget a persona, its keys and its conversations for good",
        "shoal persona burn ID",
    )
    for parser in (show, burn):
        parser.add_argument("id", metavar="ID", help="the persona's id")
    for parser in (new, listing, show, burn):
        options.add_data(parser)
        options.add_json(parser)


def _print(persona: dict[str, Any]) -> None:
    rows = [("id", persona["id"]), ("name", persona["name"] or "momo")]
    rows += [("pseudonym", persona["pseudonym"]), ("created", persona["created"])]
    if persona["ephemeral"]:
        rows.append(("lasts", persona["expires"] or "until the node stops"))
    console.table(rows)


def _new(arguments: argparse.Namespace) -> None:
    body: dict[str, object] = {"ephemeral": arguments.ephemeral}
    if arguments.name is not None:
        body["name"] = arguments.name
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
        rows += [(one["id"], one["name"] or "momo", one["pseudonym"]) for one in personas]
        console.table(rows)


def _show(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    found = [one for one in client.get("personas") if one["id"] == arguments.id]
    if not found:
        raise UserError("There is no such persona.")
    contacts = client.get("personas", arguments.id, "contacts")
    if arguments.json:
        console.out_json(found[0] | {"contacts": contacts})
        return
    _print(found[0])
    for contact in contacts:
        console.out(f"contact {contact['id']}  {contact['state']}  {contact['pseudonym']}")


def _burn(arguments: argparse.Namespace) -> None:
    options.client(arguments).delete("personas", arguments.id)
    if arguments.json:
        console.out_json({"id": arguments.id, "burnt": True})
    else:
        console.out(f"Persona {console.clean(arguments.id)} is gone for good.")
