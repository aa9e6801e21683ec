"""What a person chose that must be known before the store is open: one small file in the home.

::

    DIR/settings    {"preset", "language", "theme"}, JSON    (mode 0600)

Nothing of it says who the person is. Everything else that can be chosen stands in the store.
"""

import json
import logging
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, get_args

from shoal_node import keep
from shoal_node.api import values

log = logging.getLogger(__name__)

SETTINGS_FILE: Final = "settings"
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "preset": get_args(values.PresetName),
    "language": get_args(values.Language),
    "theme": get_args(values.Theme),
}


@dataclass(frozen=True, slots=True)
class Choices:
    """The file's content; ``preset`` None: as the node was started."""

    preset: values.PresetName | None = None
    language: values.Language = "auto"
    theme: values.Theme = "auto"


def load(home: Path) -> Choices:
    """Return what was chosen; what is missing or damaged is as if nobody had chosen."""
    data = keep.read(home / SETTINGS_FILE)
    if data is None:
        return Choices()
    try:
        table: Any = json.loads(data)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        log.warning("the settings file is damaged: everything is as at first")
        return Choices()
    names = [field.name for field in fields(Choices)]
    good = {name: table[name] for name in names if table.get(name) in _CHOICES[name]}
    return replace(Choices(), **good)


def save(home: Path, choices: Choices) -> None:
    """Make ``choices`` durable; raises OSError."""
    keep.write(home / SETTINGS_FILE, json.dumps(asdict(choices)).encode())
