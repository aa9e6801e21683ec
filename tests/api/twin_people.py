"""Who lives in the twin that the page is developed against: two personas and whom they know."""

import base64
from dataclasses import replace
from typing import Final

from api.twin import Twin
from shoal_node.api import backend
from shoal_protocol.clock import SECOND

MINUTE: Final = 60 * SECOND
DAY: Final = 86_400 * SECOND

# One blue pixel, as WebP.
PIXEL: Final = base64.b64decode("UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA=")
CODE: Final = " ".join(f"{(n * 7919) % 100_000:05d}" for n in range(1, 13))

TALK: Final = (
    (False, "Did you see the tide this morning?"),
    (True, "Yes, very low. The herons were out on the flats."),
    (False, "我在海边等你。\n第二行。"),
    (True, "好的，十分钟就到 🐟"),
    (False, "<b>not bold</b> & plain: https://example.org/?a=1&b=2"),
    (True, "A long one. " * 60),
)


async def settle(twin: Twin) -> None:
    """People an empty twin: Heron with four contacts in all states, a momo with one."""
    heron = await twin.create_persona("Heron", ephemeral=False)
    await twin.change_persona(heron.id, backend.PersonaChange(receipts=True))
    momo = await twin.create_persona(None, ephemeral=True)
    echo, twin.echo = twin.echo, False

    otter = await _contact(twin, heron.id, "otter", "Otter", "accepted")
    twin._contacts[otter.id] = replace(
        otter,
        avatar=backend.Avatar("drawn", (12, 140, 77, 3)),
        alias="Otter",
        verified=True,
        safety_code=CODE,
        tag="KELP",
        invited=True,
    )
    for place, (outgoing, text) in enumerate(TALK):
        await _say(twin, otter, text, outgoing, "read" if place < 4 else "fetched")
    await _file(twin, otter, "tide table.pdf", "application/pdf", "fetching", outgoing=False)
    await _file(twin, otter, "picture.webp", "image/webp", "whole", outgoing=False)
    answered = twin._messages[otter.conversation][2]
    sent = await twin.send(otter.conversation, backend.Draft("Which one?", answered.id, 3600), None)
    twin._advance(sent, "stored")
    for text, state in (("This one waits.", "queued"), ("This one never came.", "failed")):
        sent = await twin.send(otter.conversation, text, None)
        if state == "failed":
            twin._advance(sent, "failed")

    drawn = await _contact(twin, heron.id, "drawn", None, "accepted")
    twin._contacts[drawn.id] = replace(
        drawn,
        drawn_name=(17, 42),
        avatar=backend.Avatar("drawn", (200, 30, 5, 90)),
        safety_code=CODE,
        tag="MOSS",
    )
    await _say(twin, drawn, "We met at the library.", False, "fetched")

    second = await _contact(twin, heron.id, "second-otter", "0tter", "requested")
    twin._contacts[second.id] = replace(second, lookalikes=(otter.id,))
    await twin.send(second.conversation, "Hello, is it you?", None)

    for name, bits in (("stranger", 20), ("another-stranger", 12)):
        stranger = await _contact(twin, heron.id, name, None, "request")
        twin._contacts[stranger.id] = replace(stranger, price_bits=bits, tag="REEF")
        await _say(twin, stranger, f"Hi! I am {name}, may I write to you?", False, "fetched")

    blocked = await _contact(twin, heron.id, "blocked", "Loud", "blocked")
    twin._blocked[blocked.id] = "accepted"

    friend = await _contact(twin, momo.id, "friend", None, "accepted")
    await _say(twin, friend, "你好，momo。", False, "fetched")
    await twin.make_invite(heron.id)
    twin.echo = echo


async def _contact(
    twin: Twin, persona: str, name: str, shown: str | None, state: backend.ContactState
) -> backend.Contact:
    contact = await twin.add_contact(persona, f"shoal-{name}")
    changed = replace(contact, name=shown, state=state)
    twin._contacts[contact.id] = changed
    return changed


async def _say(
    twin: Twin,
    contact: backend.Contact,
    text: str,
    outgoing: bool,
    status: backend.MessageState,
) -> backend.Message:
    persona = twin._persona(contact.persona)
    history = twin._messages[contact.conversation]
    created = twin._tick() - DAY + len(history) * 7 * MINUTE
    message = backend.Message(
        twin._id("message"),
        contact.conversation,
        contact.persona,
        persona.pseudonym if outgoing else contact.pseudonym,
        outgoing,
        text,
        status,
        contact.state == "request" and not history,
        created,
        None if outgoing else created + 2 * SECOND,
    )
    twin._add(message, None)
    return message


async def _file(
    twin: Twin,
    contact: backend.Contact,
    name: str,
    media_type: str,
    state: backend.FileState,
    *,
    outgoing: bool,
) -> None:
    message = await _say(twin, contact, "", outgoing, "fetched")
    picture = media_type == "image/webp"
    file = backend.File(name, 48_211, media_type, state, 9 if picture else 4, 9, picture)
    history = twin._messages[contact.conversation]
    history[-1] = replace(message, file=file)
    twin._files[message.id] = backend.FileContent(file, PIXEL)
