"""Small parts that tests of transports and links share."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from shoal_node.transport import framing
from shoal_node.transport.interface import Channel, Handlers
from shoal_protocol import crypto

Start = Callable[..., Awaitable[Any]]
"""``await start(name, handlers, limits=…, into=nursery)`` returns a started transport."""

LOOPBACK: Final = ("/ip4/127.0.0.1/tcp/0",)


def seed_of(name: str | int) -> bytes:
    """Return the identity seed of a named test node."""
    return crypto.digest(str(name).encode())


async def echo(channel: Channel) -> None:
    """Send every frame back."""
    while True:
        await channel.send(await channel.receive())


ECHO: Handlers = {framing.DHT: echo, framing.DIRECTORY: echo, framing.PACKET: echo}
