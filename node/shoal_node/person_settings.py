"""What a person chose and keeps in the store: one row, read when the store opens.

::

    rows   "setting", id empty ─► StoredSettings
"""

from dataclasses import dataclass
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.client import state

SETTING: Final = "setting"  # a row's kind; id: empty
MAX_SLOTS: Final = 16


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """Of new personas, of each unlocking, and of the page."""

    receipts_default: bool = False
    fresh_persona: bool = False
    persona_slots: Annotated[int, wire.Range(1, MAX_SLOTS)] = 3


_CODEC: Final = wire.Codec(StoredSettings, limit=64)


def restore(kept: state.Kept) -> StoredSettings:
    """Return what a store kept; raises RemoteProtocolError when that is not what was written."""
    data = kept.rows.get((SETTING, b""))
    return StoredSettings() if data is None else decode(data)


def decode(data: bytes) -> StoredSettings:
    """Return what a row holds; raises RemoteProtocolError when that is not what was written."""
    return _CODEC.decode(data)


def keep(settings: StoredSettings, journal: state.Journal) -> None:
    """Hand ``settings`` to the store."""
    journal.put(SETTING, b"", _CODEC.encode(settings))
