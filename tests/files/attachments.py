"""Files as the tests of this folder send and fetch them, without relays between."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shoal_protocol import crypto
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.layout import FRAGMENT_LENGTH
from shoal_protocol.files.manifest import Manifest
from shoal_protocol.files.receiving import FileReceiver
from shoal_protocol.files.sending import FileSender
from shoal_protocol.parameters import LAB
from shoal_protocol.streams.capability import WriteCapability
from support import seeded

NETWORK: Final = LAB.hash
DAY: Final = 20_833
# one fragment, several, one full group, two groups with zeros at the end
SIZES: Final = (
    1,
    3 * FRAGMENT_LENGTH + 5,
    9 * FRAGMENT_LENGTH,
    64 * FRAGMENT_LENGTH,
    65 * FRAGMENT_LENGTH - 1,
)


@dataclass(frozen=True)
class Attachment:
    """A file with everything that its sender has."""

    content: bytes
    manifest: Manifest
    writer: WriteCapability

    def sender(self, stored: bytes = b"", window: int = 32) -> FileSender:
        """Return a sender of it, of nothing or of what was ``stored``."""
        return FileSender(self.manifest, self.content, self.writer, stored, window=window)

    def receiver(self, come: bytes = b"") -> FileReceiver:
        """Return a receiver of it."""
        return FileReceiver(self.manifest, NETWORK, come)


@lru_cache(maxsize=32)
def attachment(size: int, name: str = "photo.jpg") -> Attachment:
    """Return a file of ``size`` bytes, always the same."""
    rng = seeded(f"file {size}")
    content = rng.bytes(size)
    writer = WriteCapability.create(rng, NETWORK)
    digest = crypto.digest(content)
    manifest = manifests.describe(writer.read(), DAY, size, digest, name, "image/jpeg")
    return Attachment(content, manifest, writer)


@lru_cache(maxsize=32)
def fragments(size: int) -> tuple[bytes, ...]:
    """Return all fragments of that file."""
    sender = attachment(size).sender()
    return tuple(sender.fragment(index) for index in range(sender.layout.total))


def fetch(receiver: FileReceiver, given: tuple[bytes, ...], lost: set[int]) -> dict[int, bytes]:
    """Ask until the receiver is complete or has nothing left to ask; return what it kept."""
    kept: dict[int, bytes] = {}
    while not receiver.complete:
        index = receiver.next()
        if index is None:
            break
        if index in lost:
            receiver.missing(index)
            continue
        keep = receiver.take(index, given[index])
        if keep is not None:
            kept[keep.index] = keep.plaintext
    return kept
