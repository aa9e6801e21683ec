"""Idempotency keys of sent messages: the same key and the same call give the same answer.

Bounded and in memory, as long as the node has no store: the oldest key is forgotten first.
The text itself is not kept, only its digest.
"""

from collections import OrderedDict
from typing import Final

from shoal_node.api.backend import Conflict
from shoal_protocol import crypto

MAX_KEYS: Final = 4096


class SentKeys:
    """Remembers which message each key made."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    def find(self, key: str | None, conversation_id: str, text: str) -> str | None:
        """Return the id of the message that this very call made before, or None.

        Raises Conflict when the key was used for another conversation or text.
        """
        known = self._made.get(key) if key is not None else None
        if known is None:
            return None
        call, message_id = known
        if not crypto.equal(call, _call(conversation_id, text)):
            raise Conflict("This Idempotency-Key was used for another message.")
        return message_id

    def remember(self, key: str | None, conversation_id: str, text: str, message_id: str) -> None:
        """Keep that this call made ``message_id``; a key of None is not kept."""
        if key is None:
            return
        self._made[key] = (_call(conversation_id, text), message_id)
        if len(self._made) > MAX_KEYS:
            self._made.popitem(last=False)


def _call(conversation_id: str, text: str) -> bytes:
    return crypto.kdf(b"idempotency", conversation_id.encode(), text.encode())
