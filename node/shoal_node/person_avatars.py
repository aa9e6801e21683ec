"""Contacts' pictures of themselves, made anew before anybody sees them.

::

    avatar of a profile ─┬─ four numbers ─────────────────────────────► drawn
                         ├─ one's own, made anew when it was chosen ──► picture
                         └─ a contact's ─► known? ─► picture
                                             └─ no: None, and queued ─► worker ─► told of

What a contact sends is decoded by a process that holds nothing (``pictures``), once for each
picture and run of the node. Until then, and when it is no picture, the contact has none.
"""

import base64
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio

from shoal_node import pictures, supervisor
from shoal_node.api import backend
from shoal_node.transport.interface import TaskStatus
from shoal_protocol import crypto

DRAWN: Final = 1  # an avatar's first byte: four numbers follow
PICTURE: Final = 2  # a picture follows
MAX_KNOWN: Final = 2048  # pictures remembered, up to 6,000 bytes each
MAX_QUEUED: Final = 256


def drawn(numbers: bytes) -> bytes:
    """Return the avatar of four numbers."""
    return bytes([DRAWN]) + numbers


def own_picture(content: bytes) -> bytes:
    """Return the avatar of a picture that ``pictures.avatar`` has made."""
    return bytes([PICTURE]) + content


class Avatars:
    """Shows avatars.

    Args:
        ready: called when a picture that was asked for can be shown.
    """

    def __init__(self, ready: Callable[[bytes], None]) -> None:
        self._ready = ready
        self._known: OrderedDict[bytes, backend.Avatar | None] = OrderedDict()
        self._send, self._receive = trio.open_memory_channel[bytes](MAX_QUEUED)

    def own(self, avatar: bytes | None) -> backend.Avatar | None:
        """Show an avatar that was made on this node."""
        if avatar is None:
            return None
        if avatar[0] == DRAWN:
            return backend.Avatar("drawn", tuple(avatar[1:]))
        return _picture(avatar[1:])

    def theirs(self, avatar: bytes | None) -> backend.Avatar | None:
        """Show a contact's avatar, or None until it can be shown."""
        if avatar is None or avatar[0] == DRAWN:
            return self.own(avatar)
        name = crypto.digest(avatar, size=16)
        if name in self._known:
            self._known.move_to_end(name)
            return self._known[name]
        try:
            self._send.send_nowait(avatar)
        except trio.WouldBlock:
            return None  # asked for again when it is shown again
        self._keep(name, None)
        return None

    def _keep(self, name: bytes, shown: backend.Avatar | None) -> None:
        self._known[name] = shown
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make pictures anew, one after the other, until cancelled."""
        task_status.started(None)
        async for avatar in self._receive:
            await supervisor.contain("avatar", self._make, avatar)

    async def _make(self, avatar: bytes) -> None:
        try:
            content = await pictures.avatar(avatar[1:])
        except pictures.PictureRefused:
            return
        self._keep(crypto.digest(avatar, size=16), _picture(content))
        self._ready(avatar)


def _picture(content: bytes) -> backend.Avatar:
    text = base64.b64encode(content).decode()
    return backend.Avatar("picture", picture=f"data:{pictures.MEDIA_TYPE};base64,{text}")
