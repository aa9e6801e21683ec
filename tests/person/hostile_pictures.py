"""Pictures as tests need them, and a program that puts many broken ones before the worker.

Run as ``python hostile_pictures.py SEED COUNT``: each mutation is decoded in a process forked
for it, under the worker's own limits; prints how many were taken, refused, and ended by a
signal.
"""

import io
import json
import os
import random
import struct
import sys
import zlib
from collections import Counter
from typing import Any, Final

from PIL import Image

from shoal_node import picture_worker

KINDS: Final = ("PNG", "JPEG", "WEBP", "GIF")


def drawn(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """A picture without symmetry."""
    image = Image.new("RGB", (width, height))
    image.putdata(
        [
            ((7 * x * x + y) % 256, (3 * y * y) % 256, (x * y) % 256)
            for y in range(height)
            for x in range(width)
        ]
    )
    return image.convert(mode)


def packed(image: Image.Image, kind: str, **options: Any) -> bytes:
    """``image`` in the format ``kind``."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(content: bytes) -> Image.Image:
    """The picture in ``content``."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG in grey whose header says ``width`` and ``height``, whatever ``pixels`` hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels, 9))
        + chunk(b"IEND", b"")
    )


def mutated(data: bytes, rng: random.Random) -> bytes:
    """``data`` with one to eight of its bytes changed, taken out or doubled."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(out))
        match rng.randrange(4):
            case 0:
                out[place] = rng.randrange(256)
            case 1:
                out[place] ^= 1 << rng.randrange(8)
            case 2:
                del out[place : place + rng.randint(1, 16)]
            case _:
                out[place:place] = out[place : place + rng.randint(1, 16)]
        if not out:
            break
    return bytes(out)


def _outcome(data: bytes) -> str:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            picture_worker.limit_itself()
            out = picture_worker.work("picture", data, 64, 4096)
            code = 0 if 8 < len(out) <= 8 + 4096 else 7
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {0: "taken", 1: "refused"}.get(code, f"ended by {code}")


def main() -> None:
    """Decode many mutations, and print what came of them."""
    rng = random.Random(int(sys.argv[1]))
    seeds = [packed(drawn(), kind) for kind in KINDS]
    seeds.append(packed(drawn(mode="RGBA"), "PNG"))
    seeds.append(packed(drawn(mode="P"), "PNG"))
    seeds.append(packed(drawn(), "JPEG", progressive=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"))
    seeds.append(packed(drawn(), "WEBP", lossless=True))
    outcomes = Counter(
        _outcome(mutated(seeds[number % len(seeds)], rng)) for number in range(int(sys.argv[2]))
    )
    print(json.dumps(outcomes))  # noqa: T201


if __name__ == "__main__":
    main()
