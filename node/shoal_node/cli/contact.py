"""``shoal contact``: whom the personas know: invites, requests, safety codes, blocking.

::

    invite ──code──► accept CODE        accepted at once at both ends, once
    add PSEUDONYM    the first message asks ──► requests ──► accept | ignore | block
    verify           compare the safety code by another way, and note it
"""

import argparse
from typing import Any

from shoal_node.cli import console, options, people
from shoal_node.usage import UsageError
from shoal_protocol.errors import UserError


def add(commands: options.Commands) -> None:
    """Add the commands."""
    group = options.command(
        commands,
        "contact",
        None,
        "invite people, answer their requests, verify and block them",
        "shoal contact invite",
    )
    inner: options.Commands = group.add_subparsers(
        title="commands",
        metavar="COMMAND",
        dest="contact_command",
        required=True,
        parser_class=type(group),
    )
    invite = options.command(
        inner,
        "invite",
        _invite,
        "make a code that brings one person past the requests, once",
        "shoal contact invite --persona ID",
    )
    choice = invite.add_mutually_exclusive_group()
    choice.add_argument("--list", action="store_true", help="list the invites instead")
    choice.add_argument("--cancel", metavar="INVITE", help="withdraw an invite instead, by its id")
    added = options.command(
        inner,
        "add",
        _add,
        "add somebody by pseudonym or by an invite's code or link",
        "shoal contact add shoal1…",
    )
    added.add_argument("who", metavar="PSEUDONYM_OR_CODE", help="a pseudonym, a code or a link")
    accept = options.command(
        inner,
        "accept",
        _accept,
        "accept a request, or an invite by its code or link",
        "shoal contact accept shoal-invite1…",
    )
    accept.add_argument("who", metavar="CONTACT_OR_CODE", help="who asked, or a code or a link")
    listing = options.command(inner, "list", _list, "list contacts", "shoal contact list --json")
    requests = options.command(
        inner,
        "requests",
        _requests,
        "list those who asked and were not answered, the dearest first",
        "shoal contact requests",
    )
    verify = options.command(
        inner,
        "verify",
        _verify,
        "show a contact's safety code, or compare it with the one that they read to you",
        'shoal contact verify Heron --code "12345 67890 …"',
    )
    comparing = verify.add_mutually_exclusive_group()
    comparing.add_argument("--code", metavar="CODE", help="their code; equal means verified")
    comparing.add_argument(
        "--undo", action="store_true", help="note that the contact is verified no longer"
    )
    name = options.command(
        inner,
        "name",
        _name,
        "give a contact a name of your own, which stays on this machine",
        "shoal contact name CONTACT Heron",
    )
    ignored = options.command(
        inner,
        "ignored",
        _ignored,
        "list strangers whose requests are ignored, or let one of them ask again",
        "shoal contact ignored --undo shoal1…",
    )
    ignored.add_argument("--undo", metavar="PSEUDONYM", help="ignore this stranger no more")
    simple = [verify, name]
    for verb, summary in (
        ("block", "drop whatever comes of a contact, unanswered, from now on"),
        ("unblock", "undo a block"),
        ("ignore", "forget a request silently; for a month that stranger asks in vain"),
    ):
        simple.append(options.command(inner, verb, _change, summary, f"shoal contact {verb} ID"))
    for parser in simple:
        parser.add_argument("who", metavar="CONTACT", help="an id, a pseudonym or a name")
    name.add_argument("alias", metavar="NAME", nargs="?", help="the name (left out: none any more)")
    for parser in (invite, added, accept, listing, requests, ignored, *simple):
        people.add_persona(parser)
        options.add_data(parser)
        options.add_json(parser)


def is_invite(text: str) -> bool:
    """Whether ``text`` looks like an invite's code or link, and not like a pseudonym."""
    return text.strip().lower().removeprefix("shoal:").startswith("shoal-invite1")


def _invite(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    persona = people.persona(client, arguments.persona)["id"]
    if arguments.cancel is not None:
        client.delete("personas", persona, "invites", arguments.cancel)
        _say(arguments, {"id": arguments.cancel, "cancelled": True}, "The invite is withdrawn.")
        return
    if arguments.list:
        invites = client.get("personas", persona, "invites")
        if arguments.json:
            console.out_json({"invites": invites})
        elif not invites:
            console.note("No invites are open.")
        else:
            rows = [("ID", "EXPIRES", "USED", "CODE")]
            rows += [
                (one["id"], one["expires"], "yes" if one["used"] else "no", one["code"])
                for one in invites
            ]
            console.table(rows, titles=True)
        return
    invite = client.post("personas", persona, "invites", body={})
    if arguments.json:
        console.out_json(invite)
        return
    console.table(
        [("code", invite["code"]), ("link", invite["link"]), ("expires", invite["expires"])]
    )
    console.note(
        "Give it to one person, by a way that you trust: whoever uses it first is your contact."
    )


def _add(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    persona = people.persona(client, arguments.persona)["id"]
    kind = "invite" if is_invite(arguments.who) else "pseudonym"
    added = client.post("personas", persona, "contacts", body={kind: arguments.who.strip()})
    _show(arguments, added)


def _accept(arguments: argparse.Namespace) -> None:
    if is_invite(arguments.who):
        _add(arguments)
        return
    _change(arguments)


def _change(arguments: argparse.Namespace) -> None:
    """``accept``, ``ignore``, ``block``, ``unblock``: the API's calls of the same names."""
    client = options.client(arguments)
    contact = people.contact(client, arguments.persona, arguments.who)
    verb = arguments.contact_command
    changed = client.post("personas", contact["persona"], "contacts", contact["id"], verb, body={})
    if changed is None:
        _say(arguments, {"id": contact["id"], "ignored": True}, "The request is forgotten.")
    else:
        _show(arguments, changed)


def _list(arguments: argparse.Namespace) -> None:
    contacts = people.contacts(options.client(arguments), arguments.persona)
    if arguments.json:
        console.out_json({"contacts": contacts})
    elif not contacts:
        console.note("No contacts yet: `shoal contact invite` makes a code for one.")
    else:
        rows = [("ID", "NAME", "STATE", "VERIFIED", "TAG", "PSEUDONYM")]
        rows += [
            (
                one["id"],
                _name_of(one),
                one["state"],
                "yes" if one["verified"] else "no",
                one["tag"],
                one["pseudonym"],
            )
            for one in contacts
        ]
        console.table(rows, titles=True)


def _requests(arguments: argparse.Namespace) -> None:
    found = [
        one
        for one in people.contacts(options.client(arguments), arguments.persona)
        if one["state"] == "request"
    ]
    found.sort(key=lambda one: -(one["price_bits"] or 0))
    if arguments.json:
        console.out_json({"requests": found})
    elif not found:
        console.note("Nobody asks.")
    else:
        rows = [("ID", "NAME", "PAID", "TAG", "PSEUDONYM")]
        rows += [
            (one["id"], _name_of(one), _price(one), one["tag"], one["pseudonym"]) for one in found
        ]
        console.table(rows, titles=True)


def _ignored(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    place = ("personas", people.persona(client, arguments.persona)["id"], "ignored")
    if arguments.undo is not None:
        client.delete(*place, arguments.undo)
        table: dict[str, object] = {"pseudonym": arguments.undo, "ignored": False}
        _say(arguments, table, "This stranger may ask again.")
        return
    found = client.get(*place)
    if arguments.json:
        console.out_json({"ignored": found})
    elif not found:
        console.note("Nobody is ignored.")
    else:
        rows = [("UNTIL", "PSEUDONYM"), *((one["until"], one["pseudonym"]) for one in found)]
        console.table(rows, titles=True)


def _name_of(contact: dict[str, Any]) -> str:
    """The shown name, with a warning where another contact's looks the same."""
    alike = " (another's looks the same!)" if contact["lookalikes"] else ""
    if contact["poses_as"] == "me":
        alike += " (it looks like your own name!)"
    elif contact["poses_as"] == "momo":
        alike += " (it only calls itself so!)"
    return people.shown(contact) + alike


def _price(contact: dict[str, Any]) -> str:
    bits = contact["price_bits"]
    return "-" if bits is None else f"{bits} bits"


def _show(arguments: argparse.Namespace, contact: dict[str, Any]) -> None:
    if arguments.json:
        console.out_json(contact)
        return
    rows = [("id", contact["id"]), ("name", _name_of(contact)), ("state", contact["state"])]
    rows += [("tag", contact["tag"]), ("pseudonym", contact["pseudonym"])]
    if contact["safety_code"] is not None:
        rows.append(("safety code", contact["safety_code"]))
    console.table(rows)


def _verify(arguments: argparse.Namespace) -> None:
    client = options.client(arguments)
    contact = people.contact(client, arguments.persona, arguments.who)
    code = contact["safety_code"]
    if code is None:
        raise UserError("There is no safety code yet: keys are agreed with the first answer.")
    place = ("personas", contact["persona"], "contacts", contact["id"])
    if arguments.undo:
        contact = client.patch(*place, body={"verified": False})
    elif arguments.code is not None:
        if _plain(arguments.code) != _plain(code):
            raise UserError("The codes differ: somebody may stand between you two.")
        contact = client.patch(*place, body={"verified": True})
    if arguments.json:
        console.out_json(contact)
        return
    console.table([("safety code", code), ("verified", "yes" if contact["verified"] else "no")])


def _plain(code: str) -> str:
    """A safety code without what people put between its parts."""
    return "".join(c for c in code.casefold() if c.isalnum())


def _name(arguments: argparse.Namespace) -> None:
    if arguments.alias == "":
        raise UsageError("contact name: leave NAME out to take the name away.")
    client = options.client(arguments)
    contact = people.contact(client, arguments.persona, arguments.who)
    place = ("personas", contact["persona"], "contacts", contact["id"])
    _show(arguments, client.patch(*place, body={"alias": arguments.alias}))


def _say(arguments: argparse.Namespace, table: dict[str, object], sentence: str) -> None:
    if arguments.json:
        console.out_json(table)
    else:
        console.out(sentence)
