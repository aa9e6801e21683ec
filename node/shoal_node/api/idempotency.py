"""Idempotency keys of sent messages: the same key names the same message, whenever it is used.

The message's id is made from the key, so that the history itself remembers which calls were
made: a script that sends again after a crash, its own or the node's, sends nothing twice.
"""

from typing import Final

from shoal_protocol import crypto

ID_LENGTH: Final = 12  # bytes of a message's id


def message_id(key: str) -> str:
    """Return the id (hex) of the message that is sent under ``key``."""
    return crypto.kdf(b"message id", key.encode(), size=ID_LENGTH).hex()
