"""Contacts' pictures are made anew once before they are shown; what is no picture never is."""

import base64

import trio

from shoal_node import person_avatars, pictures
from shoal_node.person_avatars import Avatars

PATIENCE = 60.0  # s; the worker is a process
PIXEL = base64.b64decode("UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA=")


async def test_a_contacts_picture_is_shown_once_it_was_made_anew() -> None:
    ready: list[bytes] = []
    seen = trio.Event()

    def tell(avatar: bytes) -> None:
        ready.append(avatar)
        seen.set()

    avatars = Avatars(tell)
    good = person_avatars.own_picture(await pictures.avatar(PIXEL))
    bad = person_avatars.own_picture(b"<svg onload='x'/>")
    drawn = avatars.theirs(person_avatars.drawn(bytes([1, 2, 3, 4])))
    assert drawn is not None and drawn.kind == "drawn" and drawn.drawn == (1, 2, 3, 4)
    assert avatars.theirs(None) is None
    for _ in range(2):
        assert avatars.theirs(bad) is None and avatars.theirs(good) is None
    async with trio.open_nursery() as nursery:
        await nursery.start(avatars.run)
        with trio.fail_after(PATIENCE):
            await seen.wait()
        nursery.cancel_scope.cancel()
    assert ready == [good] and avatars.theirs(bad) is None
    shown = avatars.theirs(good)
    assert shown is not None and shown.kind == "picture"
    assert (shown.picture or "").startswith("data:image/webp;base64,")
    assert avatars.own(good) is not None
