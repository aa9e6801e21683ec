"""Inputs that reached something new in a decoder, kept: a file a decoder, a line of base64 each."""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PLACE: Final = Path(__file__).with_name("corpus")
LONGEST: Final = 4_096  # bytes of an input that is kept
MOST: Final = 8_192  # bytes of a decoder's inputs together: the shortest are kept


def slug(name: str) -> str:
    """Return a decoder's name as that of its file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def named(data: bytes) -> str:
    """Return a name of an input's own."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def load(name: str) -> list[bytes]:
    """Return what is kept for a decoder."""
    path = PLACE / f"{slug(name)}.txt"
    return [b64decode(line) for line in path.read_text().split()] if path.exists() else []


def save(name: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs and no others for a decoder, as many as there is room for."""
    kept, size = list[bytes](), 0
    for data in sorted(inputs, key=lambda one: (len(one), one)):
        size += len(data)
        if len(data) <= LONGEST and size <= MOST:
            kept.append(data)
    PLACE.mkdir(exist_ok=True)
    lines = "".join(f"{b64encode(data).decode()}\n" for data in kept)
    (PLACE / f"{slug(name)}.txt").write_text(lines)
