"""The files of a person's messages as the API shows them, and when it tells how far they are.

::

    sent, came, or found on its way at the start ─► followed ─ ≥ 1 s, and moved ─► told
                                                       └─ whole or failed ─► told at once, the last

A file moves with every fragment, several times a second: followers of the API are told at
most once a second for each file, and of its end at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shoal_node import pictures
from shoal_node.api import backend
from shoal_protocol.client.history import Message
from shoal_protocol.client.people import Changed, People
from shoal_protocol.client.transfers import TransferState
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.files import manifest as manifests

TELL_EVERY: Final = SECOND  # ns between two events about one file


@dataclass(slots=True)
class _Followed:
    persona: str
    conversation: str
    told: backend.File | None
    looked_at: int


class PersonFiles:
    """Shows files, and follows those that are on their way.

    Args:
        people: whose messages.
        network: the network parameters' hash, 32 bytes.
        now: in ns.
    """

    def __init__(self, people: People, network: bytes, now: int) -> None:
        self._people = people
        self._network = network
        self._followed: dict[str, _Followed] = {}  # by message
        for persona in people.personas():
            for correspondence in persona.conversations.values():
                for message in correspondence.history:
                    self.follow(Changed(persona.id, correspondence.id, message), now)

    def show(self, message: Message) -> backend.File | None:
        """Return what the API says of the message's file, or None when it has none."""
        progress = self._people.transfers.progress(message)
        if message.file is None or progress is None:
            return None
        try:
            manifest = manifests.decode(message.file, self._network)
        except RemoteProtocolError:
            return backend.File(manifests.UNNAMED, 0, manifests.ANY_MEDIA_TYPE, "failed", 0, 0)
        layout = manifest.layout
        total = progress.total or (layout.total if message.outgoing else layout.content)
        done = total if progress.state is TransferState.WHOLE else progress.done
        return backend.File(
            manifest.safe_name,
            manifest.size,
            manifest.media_type,
            _STATES[progress.state],
            done,
            total,
            manifest.media_type == pictures.MEDIA_TYPE and manifest.size <= pictures.LIMIT,
        )

    def digest(self, message: Message) -> bytes | None:
        """Return the digest of the content of one's own message's file, 32 bytes."""
        if message.file is None:
            return None
        return manifests.decode(message.file, self._network).digest

    def follow(self, changed: Changed, now: int) -> None:
        """Follow the file of a message, if one is on its way; it counts as told of."""
        file = None if changed.message is None else self.show(changed.message)
        if changed.message is None or file is None or _ended(file):
            return
        self._followed[changed.message.id] = _Followed(
            changed.persona, changed.conversation, file, now
        )

    def follows(self, message_id: str) -> bool:
        """Whether the message's file is followed, so that its end is still to be told."""
        return message_id in self._followed

    def told(self, changed: Changed, now: int) -> None:
        """Note that followers are told of a message with its file now."""
        self._followed.pop("" if changed.message is None else changed.message.id, None)
        if not changed.removed:
            self.follow(changed, now)

    def moved(self, now: int) -> Iterator[Changed]:
        """Yield the messages whose files moved, of each at most once in :data:`TELL_EVERY`."""
        for message_id, followed in list(self._followed.items()):
            if now - followed.looked_at < TELL_EVERY:
                continue
            followed.looked_at = now
            known = self._people.conversation(followed.conversation)
            message = None if known is None else known[1].history.get(message_id)
            if message is None:
                del self._followed[message_id]
            elif self.show(message) != followed.told:
                yield Changed(followed.persona, followed.conversation, message)


_STATES: Final[dict[TransferState, backend.FileState]] = {
    TransferState.WAITING: "waiting",
    TransferState.SENDING: "sending",
    TransferState.FETCHING: "fetching",
    TransferState.WHOLE: "whole",
    TransferState.FAILED: "failed",
}


def _ended(file: backend.File) -> bool:
    return file.state in ("whole", "failed")
