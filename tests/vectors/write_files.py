"""Write files.json: what docs/spec/files.md must give, without any random draws but two seeds.

Run as ``python tests/vectors/write_files.py``. Byte i of a content is (7·i + i div 251) mod 256,
so that only its size stands in the file; of fragments and boxes the BLAKE2b-256 digest does.
"""

import json
from pathlib import Path
from typing import Any, Final

from shoal_protocol import crypto
from shoal_protocol.files import coding
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.layout import Layout
from shoal_protocol.files.sending import FileSender
from shoal_protocol.rng import Rng
from shoal_protocol.streams.capability import WriteCapability

PLACE: Final = Path(__file__).with_name("files.json")
NETWORK: Final = bytes(range(32))  # of no table of parameters
DAY: Final = 20_833
SIZES: Final = (0, 1, 1928, 1929, 17_352, 123_392, 123_393, 200_000)
LARGE: Final = (1_048_576, 2_097_152, 10_485_759, 10_485_760)
CODES: Final = ((1, 9), (2, 10), (5, 13), (32, 40), (64, 72))


def content(size: int) -> bytes:
    """Return the content of ``size`` bytes."""
    return bytes((7 * i + i // 251) % 256 for i in range(size))


def counts(size: int) -> dict[str, int]:
    """Return the layout of a file as plain numbers."""
    layout = Layout.of(size)
    return {
        "size": size,
        "content": layout.content,
        "groups": layout.groups,
        "data": layout.data,
        "parity": layout.parity,
        "total": layout.total,
    }


def codeword(data: int, parity: int) -> dict[str, Any]:
    """Return one codeword: a column of a group whose fragments have one byte each."""
    word = [bytes([byte]) for byte in content(data)]
    check = b"".join(coding.parity(word, parity, index) for index in range(parity))
    return {"data": b"".join(word).hex(), "parity": check.hex()}


def file(size: int) -> dict[str, Any]:
    """Return a file with its manifest, and its first, middle and last fragment and box."""
    writer = WriteCapability.create(Rng(crypto.seeded_source(b"shoal file %d" % size)), NETWORK)
    held = content(size)
    digest = manifests.content_digest(held)
    manifest = manifests.describe(writer.read(), DAY, size, digest, f"{size}.bin", "image/png")
    sender = FileSender(manifest, held, writer)
    layout = sender.layout
    chosen = sorted({0, layout.content // 2, layout.data_total - 1, layout.data_total})
    return {
        **counts(size),
        "write_capability": writer.dump().hex(),
        "manifest": manifests.encode(manifest).hex(),
        "fragments": [
            {
                "index": index,
                "address": sender.address(index).hex(),
                "fragment_digest": crypto.digest(sender.fragment(index)).hex(),
                "record_digest": crypto.digest(sender.record(index)).hex(),
            }
            for index in [*chosen, layout.total - 1]
        ],
    }


def make() -> dict[str, Any]:
    """Return everything that the file holds."""
    return {
        "network": NETWORK.hex(),
        "day": DAY,
        "codewords": [codeword(*code) for code in CODES],
        "files": [file(size) for size in SIZES],
        "layouts": [counts(size) for size in LARGE],
    }


if __name__ == "__main__":
    PLACE.write_text(json.dumps(make(), indent=1) + "\n")
