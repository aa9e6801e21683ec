"""Decoders of what the person at this machine hands in: a configuration, the API's bodies.

Pictures and backups have tests of their own: ``tests/person/test_pictures.py``, where a process
with limits decodes each, and ``check_backups.py``.
"""

import atexit
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from shoal_node import config, home
from shoal_node.api import bodies, schema

BODIES: Final[tuple[tuple[type[object], bytes], ...]] = (
    (bodies.NewPersona, b'{"name": "Ada", "ephemeral": true, "random": false}'),
    (
        bodies.PersonaPatch,
        b'{"name": "Ada", "avatar": {"drawn": [1, 2, 3, 255]}, "receipts": true}',
    ),
    (bodies.NewContact, b'{"pseudonym": "shoal1abc", "invite": null}'),
    (bodies.ContactPatch, b'{"alias": null, "verified": false}'),
    (bodies.ConversationPatch, b'{"expires_after": 3600}'),
    (bodies.NewMessage, '{"text": "hé \\ud83d\\ude00", "expires_after": 60}'.encode()),
    (bodies.ReadUpTo, b'{"message": "000102030405060708090a0b"}'),
    (bodies.NewPicture, b'{"text": "look", "reply_to": "000102030405060708090a0b"}'),
    (bodies.NewFile, b'{"name": "a.txt", "media_type": "text/plain", "expires_after": 99}'),
    (bodies.ExportForm, b'{"format": "text"}'),
    (bodies.NewBackup, b'{"passphrase": "correct horse"}'),
    (bodies.NewTicket, b'{"life_s": 60}'),
    (bodies.TicketToRedeem, b'{"ticket": "abc"}'),
    (bodies.Unlock, b'{"passphrase": null}'),
    (bodies.NewPassphrase, b'{"old": "correct horse", "new": "battery staple"}'),
    (bodies.Panic, b'{"confirm": "erase"}'),
    (bodies.SettingsPatch, b'{"preset": "fast", "theme": "dark", "persona_slots": 3}'),
)
QUERIES: Final[tuple[tuple[type[object], bytes], ...]] = (
    (bodies.Page, b"before=000102030405060708090a0b&limit=7"),
    (bodies.Query, b"q=caf%C3%A9&persona=0001020304050607&limit=50"),
    (bodies.Since, b"since=9007199254740991"),
)
CONFIGURATIONS: Final = (
    b'listen = ["/ip4/192.0.2.7/tcp/4001", "/ip6/2001:db8::7/tcp/4001"]\napi = "127.0.0.1:8080"\n',
    b'network = "lab"\npreset = "fast"\nbrowser = false\nrelay = "auto"\n',
    b"[limits]\npackets_per_s = 1000.5\npool = 4_096\nmonth_gb = 500\nmonth_begins = 28\n",
    b'[metrics]\nlisten = "127.0.0.1:9464"\n[limits]\ndisk_gb = 4\n# \xc3\xa9\n',
)

Read = Callable[[bytes], object]


def body(form: type[object]) -> Read:
    """Return what reads the JSON of a request."""
    return lambda data: schema.parse(form, schema.load(data))


def query(form: type[object]) -> Read:
    """Return what reads a request's query."""
    return lambda data: schema.parse_query(
        form, parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True)
    )


def configuration() -> Read:
    """Return what reads a relay's config.toml, from a home that lasts as long as the process."""
    place = tempfile.TemporaryDirectory(prefix="shoal-")
    atexit.register(place.cleanup)
    data_of = Path(place.name)

    def read(data: bytes) -> object:
        (data_of / home.CONFIG_FILE).write_bytes(data)
        return config.load("relay", data_of, {}, {})

    return read
