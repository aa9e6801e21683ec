"""Pictures that nobody trusts made into ones that anybody may show: WebP of the pixels alone.

::

    bytes ──► worker process (picture_worker.py): decodes under limits ──► WebP, width, height
                 └─ crash, limit, 20 s, too much output, anything ──► PictureRefused

Every picture goes this way: one's own before it is sent, since it knows where and when it was
taken and by which device; one that came, before it is shown; and so do avatars. A decoder that
is fooled has a short-lived process that holds no key and nobody's messages, and the node's
memory holds at most what went in and what may come out. At most two work at a time; others
wait. Spec: pictures.
"""

import contextlib
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Final

import trio

from shoal_protocol.errors import UserError

MEDIA_TYPE: Final = "image/webp"
MAX_INPUT: Final = 10 * 2**20  # bytes of a picture that comes in
LONGEST: Final = 1600  # pixels of the longer side
LIMIT: Final = 512 * 2**10  # bytes of a picture made here
AVATAR_LIMIT: Final = 6000  # bytes
TIMEOUT: Final = 20.0  # s
REFUSED: Final = (
    "This is no picture that can be used: it must be a whole PNG, JPEG, WebP or GIF of at most "
    "10 MiB and 40 million pixels."
)

_WORKER: Final = (sys.executable, "-P", "-m", "shoal_node.picture_worker")
_HEAD: Final = struct.Struct(">cII")  # READY, width, height
_READY: Final = b"R"
_AT_ONCE: Final = 2
_LIMITER: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("pictures at work")


class PictureRefused(UserError):
    """The bytes are no picture, or none that is taken; the sentence is always the same."""

    def __init__(self) -> None:
        super().__init__(REFUSED)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture made here: ``content`` is WebP without metadata; sizes in pixels."""

    content: bytes = field(repr=False)
    width: int
    height: int


async def sanitize(data: bytes, *, longest: int = LONGEST, limit: int = LIMIT) -> Picture:
    """Return the picture in ``data``, upright, without anything but its pixels.

    Takes 0.2 s and more; cancelling it ends the work at once.

    Args:
        data: a PNG, JPEG, WebP or GIF of at most :data:`MAX_INPUT` bytes and 40 million pixels.
        longest: pixels that the longer side has at most; a larger picture is made smaller.
        limit: bytes of the WebP at most; made worse, then smaller, until it fits.

    Raises:
        PictureRefused: it is none, or not whole, or too large.
        UserError: this machine cannot work on pictures.
    """
    return await _work("picture", data, longest, limit)


async def avatar(data: bytes, *, limit: int = AVATAR_LIMIT) -> bytes:
    """Return the middle square of a picture as WebP of 96 by 96 pixels, on white.

    Args and errors as of :func:`sanitize`.
    """
    return (await _work("avatar", data, LONGEST, limit)).content


async def _work(purpose: str, data: bytes, longest: int, limit: int) -> Picture:
    if not 0 < len(data) <= MAX_INPUT:
        raise PictureRefused
    async with _limiter():
        out, code = await _run((*_WORKER, purpose, str(longest), str(limit)), data, limit)
    if out[:1] != _READY:
        raise UserError("Pictures cannot be worked on here: their decoders do not start.")
    if code != 0 or not _HEAD.size < len(out) <= _HEAD.size + limit:
        raise PictureRefused
    _, width, height = _HEAD.unpack_from(out)
    content = out[_HEAD.size :]
    if content[:4] + content[8:12] != b"RIFFWEBP" or not 0 < max(width, height) <= longest:
        raise PictureRefused
    return Picture(content, width, height)


def _limiter() -> trio.CapacityLimiter:
    """What lets :data:`_AT_ONCE` pictures be worked on at a time, one for each trio loop."""
    try:
        return _LIMITER.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_AT_ONCE)
        _LIMITER.set(limiter)
        return limiter


async def _run(command: tuple[str, ...], data: bytes, limit: int) -> tuple[bytes, int | None]:
    """Run the worker; returns what it wrote, cut off, and its exit code, None if it was ended."""
    try:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        raise UserError("Pictures cannot be worked on now: no process can be started.") from None
    out = bytearray()
    try:
        with trio.move_on_after(TIMEOUT):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_feed, process, data)
                await _drain(process, out, _HEAD.size + limit)
                nursery.cancel_scope.cancel()
            if len(out) > _HEAD.size + limit:
                process.kill()
            await process.wait()
        return bytes(out), process.returncode
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()


async def _feed(process: trio.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(trio.BrokenResourceError):  # it has seen enough
        await process.stdin.send_all(data)
        await process.stdin.aclose()


async def _drain(process: trio.Process, out: bytearray, most: int) -> None:
    """Collect what the worker writes until it ends, or more than ``most`` bytes."""
    assert process.stdout is not None
    async for chunk in process.stdout:
        out += chunk
        if len(out) > most:
            break
