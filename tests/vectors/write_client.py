"""Write client.json: the parcels and lines of docs/spec/client.md §6, from a fixed rng.

Run as ``python tests/vectors/write_client.py``.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.client import contents, parcel
from shoal_protocol.client.contents import Content, Profile, Reply
from shoal_protocol.client.lines import IncomingLines
from shoal_protocol.client.parcel import MAX_NUMBER, Acks, Kind, Parcel, Part
from shoal_protocol.rng import Rng

PLACE: Final = Path(__file__).with_name("client.json")
CREATED: Final = 1_800_000_000_123_456_789  # ns
LINE: Final = bytes(range(8))
TEXTS: Final = ("你好, shoal 👋 " * 9, "", "x" * 100, "last")
SIZE: Final = 64  # bytes of a part, here


def spelled(one: Parcel) -> dict[str, Any]:
    """Return a parcel's fields and bytes."""
    return {
        "ack_next": one.acks.next,
        "ack_bits": one.acks.bits,
        "line": one.line.hex(),
        "least": one.least,
        "nudge": one.nudge,
        "part": None
        if one.part is None
        else {
            "kind": one.part.kind,
            "number": one.part.number,
            "created": one.part.created,
            "part": one.part.part,
            "parts": one.part.parts,
            "data": one.part.data.hex(),
        },
        "parcel": parcel.encode(one).hex(),
    }


def parcels() -> list[dict[str, Any]]:
    """Parcels at the edges of their fields."""
    file, content = contents.write(Content("with a file", b"manifest"))
    most = 2**32 - 1
    made = [
        Parcel(Acks(), LINE, 0, None),
        Parcel(Acks(9, 0b1011), LINE, 3, None, nudge=True),
        Parcel(Acks(most, 2**64 - 1), b"\xff" * 8, most, None),
        Parcel(Acks(), LINE, 0, Part(Kind.TEXT, 0, CREATED, 0, 1, b"")),
        Parcel(Acks(3, 4), LINE, 15, Part(Kind.TEXT, 17, CREATED, 2, 5, "part ✓".encode())),
        Parcel(Acks(1, 0), LINE, 0, Part(Kind.TEXT, MAX_NUMBER, parcel.MAX_TIME, 63, 64, b"\xff")),
        Parcel(Acks(1, 0), LINE, 1, Part(file, 1, CREATED, 0, 1, content)),
    ]
    return [spelled(one) for one in made]


def messages() -> list[dict[str, Any]]:
    """What messages say, and profiles and receipts."""
    made: list[tuple[str, int, bytes]] = []
    for name, content in {
        "text": Content("你好"),
        "file": Content("with a file", b"manifest"),
        "reply": Content("yes", reply=Reply(True, 7, CREATED)),
        "reply to the other": Content("no", reply=Reply(False, 0, CREATED), expires_s=5),
        "disappears": Content("", b"manifest", expires_s=2_419_200),
    }.items():
        kind, data = contents.write(content)
        made.append((name, kind, data))
    for name, profile in {
        "nothing": None,
        "name": Profile("小鱼"),
        "drawn": Profile(None, (1, 65535), b"\x01\x00\x01\x02\xff"),
        "picture": Profile("shoal", None, b"\x02" + bytes(range(9))),
    }.items():
        made.append((name, Kind.PROFILE, contents.write_profile(profile)))
    made.append(("read", Kind.RECEIPT, contents.write_receipt(7, CREATED)))
    return [{"says": name, "kind": kind, "data": data.hex()} for name, kind, data in made]


def acknowledgements(rng: Rng) -> list[dict[str, Any]]:
    """What is acknowledged after each of some boxes that come in another order."""
    order, come, steps = [*range(12), 40, 75], Acks(), list[dict[str, Any]]()
    rng.shuffle(order)
    for index in order:
        taken = come.within(index)
        come = come.plus(index) if taken else come
        steps.append({"box": index, "taken": taken, "next": come.next, "bits": come.bits})
    return steps


def lines(rng: Rng) -> list[dict[str, Any]]:
    """Messages in parts that come in another order, the third given up, and what is shown."""
    every = [
        Parcel(
            Acks(), LINE, 3 if number > 2 else 0, Part(kind, number, CREATED, n, len(cut), piece)
        )
        for number, text in enumerate(TEXTS)
        for kind, data in [contents.write(Content(text))]
        for cut in [parcel.split(data, SIZE)]
        for n, piece in enumerate(cut)
        if (number, n) != (2, 1)
    ]
    *earlier, last = every
    rng.shuffle(earlier)
    incoming, steps = IncomingLines(bytes(8), None), list[dict[str, Any]]()
    for one in [*earlier, last]:
        shown = [whole.data.decode() for whole in incoming.take(one, 0)]
        steps.append({"parcel": parcel.encode(one).hex(), "shown": shown})
    return steps


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    rng = Rng(crypto.seeded_source(b"shoal client vectors"))
    return {
        "parcels": parcels(),
        "messages": messages(),
        "acknowledgements": acknowledgements(rng),
        "lines": lines(rng),
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1, ensure_ascii=False) + "\n")
