"""What answers each route: a parsed call in, a value out.

::

    Call ─┬─ node   any node                      /status, /peers
          ├─ house  a person's process            /lock, /unlock, /panic, /settings
          └─ owner  its person, while unlocked    everything else; reads come after settle()

Reads wait until what the node knows is durable, so that no answer is taken back by a crash.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from shoal_node.api import backend, bodies, tickets
from shoal_node.api.backend import UNSET
from shoal_node.api.tickets import Tickets


@dataclass(frozen=True, slots=True)
class Call:
    """One parsed request, as a handler sees it."""

    node: backend.Backend
    household: backend.Household | None
    ids: Mapping[str, str]
    query: Any
    body: Any
    key: str | None  # Idempotency-Key
    tickets: Tickets
    client: tuple[str, int] | None  # the caller's end of the connection

    @property
    def house(self) -> backend.Household:
        """The person's process; raises NotFound on a relay."""
        if self.household is None:
            raise backend.NotFound("This node is a relay: it has no personas.")
        return self.household

    @property
    def owner(self) -> backend.PersonBackend:
        """The person's node; raises NotFound on a relay, Locked while it is locked."""
        return self.house.person

    async def settled(self) -> backend.PersonBackend:
        """The person's node with everything durable, to read from before the next await."""
        owner = self.owner
        await owner.settle()
        return owner


async def status(call: Call) -> object:
    return call.node.status()


async def peers(call: Call) -> object:
    return call.node.peers()


async def drain(call: Call) -> object:
    call.node.drain()
    return None


async def cancel_drain(call: Call) -> object:
    call.node.cancel_drain()
    return None


async def self_check(call: Call) -> object:
    return call.node.self_check()


async def check_reach(call: Call) -> object:
    call.node.check_reach()
    return None


async def path(call: Call) -> object:
    return call.owner.path()


async def lock_state(call: Call) -> object:
    return call.house.lock_state()


async def unlock(call: Call) -> object:
    return await call.house.unlock(call.body.passphrase)


async def lock(call: Call) -> object:
    return await call.house.lock()


async def panic(call: Call) -> object:
    await call.house.panic()
    return None


async def issue_ticket(call: Call) -> object:
    _ = call.house
    body: bodies.NewTicket = call.body
    return backend.Ticket(call.tickets.issue(body.life_s))


async def redeem_ticket(call: Call) -> object:
    _ = call.house
    ours = await trio.to_thread.run_sync(tickets.is_ours, call.client)
    if ours and (wait := call.tickets.try_once()) > 0:
        raise backend.TooMany("Too many tickets were tried: wait a moment.", math.ceil(wait))
    token = call.tickets.redeem(call.body.ticket) if ours else None
    if token is None:
        raise backend.Unauthorized("There is no such ticket any more: open the page anew.")
    return backend.Token(token)


async def change_passphrase(call: Call) -> object:
    return await call.house.change_passphrase(call.body.old, call.body.new)


async def settings(call: Call) -> object:
    return call.house.settings()


async def change_settings(call: Call) -> object:
    body: bodies.SettingsPatch = call.body
    return await call.house.change_settings(
        backend.SettingsChange(
            preset=body.preset,
            language=body.language,
            theme=body.theme,
            receipts_default=body.receipts_default,
            fresh_persona=body.fresh_persona,
            persona_slots=body.persona_slots,
        )
    )


async def personas(call: Call) -> object:
    return (await call.settled()).personas()


async def create_persona(call: Call) -> object:
    body: bodies.NewPersona = call.body
    if body.random and body.name is not None:
        raise backend.Unprocessable("A persona has a name of its own or a drawn one, not both.")
    return await call.owner.create_persona(body.name, body.ephemeral, random=body.random)


async def change_persona(call: Call) -> object:
    body: bodies.PersonaPatch = call.body
    shown = body.name is not UNSET or body.avatar is not UNSET
    if (body.random and body.momo) or (shown and (body.random or body.momo)):
        raise backend.Unprocessable('"random" and "momo" stand alone: they replace all the rest.')
    change = backend.PersonaChange(
        body.name, body.random, body.momo, _avatar(body.avatar), body.receipts
    )
    return await call.owner.change_persona(call.ids["persona"], change)


def _avatar(
    given: bodies.NewAvatar | backend.Unset | None,
) -> bytes | tuple[int, ...] | backend.Unset | None:
    if not isinstance(given, bodies.NewAvatar):
        return given
    if (given.picture is None) == (given.drawn is None):
        raise backend.Unprocessable('An avatar is either "picture" or "drawn".')
    if given.drawn is not None:
        return tuple(given.drawn)
    try:
        return base64.b64decode(given.picture or "", validate=True)
    except (binascii.Error, ValueError):
        raise backend.Unprocessable('"picture" must be base64.') from None


async def burn_persona(call: Call) -> object:
    await call.owner.burn_persona(call.ids["persona"])
    return None


async def contacts(call: Call) -> object:
    return (await call.settled()).contacts(call.ids["persona"])


async def add_contact(call: Call) -> object:
    body: bodies.NewContact = call.body
    if body.invite is not None and body.pseudonym is None:
        return await call.owner.use_invite(call.ids["persona"], body.invite)
    if body.pseudonym is not None and body.invite is None:
        return await call.owner.add_contact(call.ids["persona"], body.pseudonym)
    raise backend.Unprocessable('A contact is added by either "pseudonym" or "invite".')


async def change_contact(call: Call) -> object:
    change = backend.ContactChange(call.body.alias, call.body.verified)
    return await call.owner.change_contact(call.ids["persona"], call.ids["contact"], change)


async def accept_contact(call: Call) -> object:
    return await call.owner.accept_contact(call.ids["persona"], call.ids["contact"])


async def ignore_contact(call: Call) -> object:
    await call.owner.ignore_contact(call.ids["persona"], call.ids["contact"])
    return None


async def ignored(call: Call) -> object:
    return (await call.settled()).ignored(call.ids["persona"])


async def heed(call: Call) -> object:
    await call.owner.heed(call.ids["persona"], call.ids["pseudonym"])
    return None


async def block_contact(call: Call) -> object:
    return await call.owner.block_contact(call.ids["persona"], call.ids["contact"])


async def unblock_contact(call: Call) -> object:
    return await call.owner.unblock_contact(call.ids["persona"], call.ids["contact"])


async def invites(call: Call) -> object:
    return await (await call.settled()).invites(call.ids["persona"])


async def make_invite(call: Call) -> object:
    return await call.owner.make_invite(call.ids["persona"])


async def cancel_invite(call: Call) -> object:
    await call.owner.cancel_invite(call.ids["persona"], call.ids["invite"])
    return None


async def conversations(call: Call) -> object:
    return (await call.settled()).conversations()


async def change_conversation(call: Call) -> object:
    after: int | None = call.body.expires_after
    return await call.owner.change_conversation(call.ids["conversation"], after)


async def forget_conversation(call: Call) -> object:
    await call.owner.forget_conversation(call.ids["conversation"])
    return None


async def messages(call: Call) -> object:
    owner = await call.settled()
    return owner.messages(call.ids["conversation"], call.query.before, call.query.limit)


async def mark_read(call: Call) -> object:
    await call.owner.mark_read(call.ids["conversation"], call.body.message)
    return None


async def remove_message(call: Call) -> object:
    await call.owner.remove_message(call.ids["conversation"], call.ids["message"])
    return None


async def send(call: Call) -> object:
    body: bodies.NewMessage = call.body
    draft = backend.Draft(body.text, body.reply_to, body.expires_after)
    return await call.owner.send(call.ids["conversation"], draft, call.key)


async def send_file(call: Call) -> object:
    query: bodies.NewFile = call.query
    draft = backend.Draft(query.text, query.reply_to, query.expires_after)
    return await call.owner.send_file(
        call.ids["conversation"], draft, call.body, query.name, query.media_type, call.key
    )


async def send_picture(call: Call) -> object:
    query: bodies.NewPicture = call.query
    draft = backend.Draft(query.text, query.reply_to, query.expires_after)
    return await call.owner.send_picture(call.ids["conversation"], draft, call.body, call.key)


async def file(call: Call) -> object:
    owner = await call.settled()
    return await owner.file(call.ids["conversation"], call.ids["message"])


async def picture(call: Call) -> object:
    owner = await call.settled()
    return await owner.picture(call.ids["conversation"], call.ids["message"])


async def search(call: Call) -> object:
    query: bodies.Query = call.query
    owner = await call.settled()
    return await owner.search(query.q, query.persona, query.conversation, query.limit)


async def export(call: Call) -> object:
    owner = await call.settled()
    return await owner.export(call.ids["conversation"], call.query.format)


async def backup(call: Call) -> object:
    return await call.owner.backup(call.body.passphrase)


async def linkability(call: Call) -> object:
    return (await call.settled()).linkability()
