"""Which persona and which contact a command means, and how they are shown.

::

    --persona P    an id or a pseudonym; may be left out where there is one persona only
    CONTACT        an id, a pseudonym, or a name that one contact alone is shown by
"""

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from shoal_protocol.errors import UserError

if TYPE_CHECKING:
    from shoal_node.api.client import Client


LOCALES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides


def add_persona(parser: argparse.ArgumentParser, what: str = "your persona") -> None:
    """Add ``--persona``."""
    parser.add_argument(
        "--persona",
        metavar="P",
        help=f"{what}: its id or pseudonym (may be left out where there is one only)",
    )


def persona(client: "Client", given: str | None) -> dict[str, Any]:
    """The persona that is meant; raises UserError when none or several could be."""
    personas: list[dict[str, Any]] = client.get("personas")
    if given is not None:
        for one in personas:
            if given in (one["id"], one["pseudonym"]):
                return one
        raise UserError("There is no such persona.")
    if not personas:
        raise UserError("There is no persona yet: make one with `shoal persona new`.")
    if len(personas) > 1:
        raise UserError(
            "There are several personas: say which with --persona (`shoal persona list`)."
        )
    return personas[0]


def contacts(client: "Client", given: str | None) -> list[dict[str, Any]]:
    """The contacts of one persona, or of all; raises UserError."""
    chosen = client.get("personas") if given is None else [persona(client, given)]
    return [contact for one in chosen for contact in client.get("personas", one["id"], "contacts")]


def contact(client: "Client", given: str | None, named: str) -> dict[str, Any]:
    """The contact that ``named`` means; raises UserError when none or several could be."""
    known = contacts(client, given)
    found = [one for one in known if named in (one["id"], one["pseudonym"])] or [
        one for one in known if named == shown(one)
    ]
    if not found:
        raise UserError("There is no such contact.")
    if len(found) > 1:
        raise UserError(
            "Several contacts are meant: say which by id (`shoal contact list`) and --persona."
        )
    return found[0]


def shown(one: Mapping[str, Any]) -> str:
    """The name that a persona or a contact is shown by; momo when there is none."""
    from shoal_node import names

    drawn = one["drawn_name"]
    return names.shown(one["name"], None if drawn is None else (drawn[0], drawn[1]), language())


def language() -> str:
    """The terminal's language, of those in which drawn names exist."""
    told = next((value for name in LOCALES if (value := os.environ.get(name))), "")
    return "zh" if told.startswith("zh") else "en"
