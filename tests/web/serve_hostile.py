"""Serve a twin in which every text of others wants to run as a script; prints its address."""

import sys
from pathlib import Path
from typing import Final

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import replace

from api import twin, twin_people
from shoal_node.api import backend, server
from web.scripts import HOSTILE

NAMED: Final = 12  # of the texts are also names


async def settle(node: twin.Twin) -> None:
    """A persona whose contacts are named, write, answer and attach nothing but attacks."""
    node.echo = False
    persona = await node.create_persona(HOSTILE[0][:20], ephemeral=False)
    for place in range(NAMED):
        state: backend.ContactState = "request" if place % 4 == 3 else "accepted"
        contact = await twin_people._contact(
            node, persona.id, f"evil-{place}", HOSTILE[place * 8], state
        )
        node._contacts[contact.id] = replace(
            node._contacts[contact.id],
            alias=HOSTILE[place * 8 + 1] if place % 2 else None,
            tag="REEF",
            avatar=backend.Avatar("picture", None, HOSTILE[place * 8 + 2]) if place > 6 else None,
        )
        for text in HOSTILE[place::NAMED]:
            said = await twin_people._say(node, contact, text, False, "fetched")
            await twin_people._file(node, contact, text, text, "whole", outgoing=False)
            history = node._messages[contact.conversation]
            quote = backend.Reply(said.id, False, text)
            history[-2] = replace(history[-2], reply_to=quote)


async def serve() -> None:
    """Serve it until cancelled."""
    node = twin.Twin(pace=0.0)
    await settle(node)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        address = await nursery.start(server.run_api, node, node)
        print(f"{address.url}/#{address.token}", flush=True)  # noqa: T201


if __name__ == "__main__":
    trio.run(serve)
