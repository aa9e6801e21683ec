"""A manifest round trips within 600 bytes; no field of a hostile one gets through."""

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from files.attachments import DAY, NETWORK, attachment
from shoal_protocol import crypto, wire
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError, UserError
from shoal_protocol.files import manifest as manifests
from shoal_protocol.files.layout import MAX_FILE_LENGTH
from shoal_protocol.files.manifest import MANIFEST_LIMIT, NAME_LIMIT, safe_name
from shoal_protocol.parameters import MAIN

GOOD = attachment(5000).manifest
FIELDS = ("capability", "day", "size", "digest", "name", "media_type")


def packed(**changes: Any) -> bytes:
    """Return a manifest's bytes with some fields set to anything."""
    values = [changes.get(name, getattr(GOOD, name)) for name in FIELDS]
    return wire.pack([0, *values])


def test_a_manifest_comes_back_as_it_was() -> None:
    data = manifests.encode(GOOD)
    assert data == packed()
    assert manifests.decode(data, NETWORK) == GOOD


def test_the_longest_manifest_stays_below_the_limit() -> None:
    longest = replace(
        GOOD, day=2**32 - 1, size=MAX_FILE_LENGTH, name="n" * 255, media_type="a/" + "b" * 62
    )
    assert manifests.decode(manifests.encode(longest), NETWORK) == longest
    assert len(manifests.encode(longest)) == 443 < MANIFEST_LIMIT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("capability", GOOD.capability[:-1]),
        ("capability", GOOD.capability + b"\0"),
        ("capability", bytes(72)),
        ("capability", b"\xff" * 32 + GOOD.capability[32:]),
        ("capability", GOOD.capability[:32] + (1).to_bytes(8, "big") + GOOD.capability[40:]),
        ("capability", GOOD.capability[:32] + b"\xff" * 8 + GOOD.capability[40:]),
        ("day", -1),
        ("day", 2**32),
        ("day", True),
        ("size", -1),
        ("size", MAX_FILE_LENGTH + 1),
        ("size", 2**64 - 1),
        ("size", 1.5),
        ("size", None),
        ("digest", GOOD.digest[:-1]),
        ("digest", GOOD.digest + b"\0"),
        ("digest", "d" * 32),
        ("name", "n" * 256),
        ("name", "é" * 128),
        ("name", b"photo.jpg"),
        ("name", None),
        ("media_type", ""),
        ("media_type", "a/" + "b" * 63),
        ("media_type", "image"),
        ("media_type", "image/"),
        ("media_type", "/jpeg"),
        ("media_type", "image/jpeg; name=x"),
        ("media_type", "image/jpeg\r\nSet-Cookie: x"),
        ("media_type", "Image/JPEG"),
        ("media_type", "text/html\0"),
    ],
)
def test_a_hostile_field_is_refused(field: str, value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        manifests.decode(packed(**{field: value}), NETWORK)


@given(st.binary(max_size=700))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        manifests.decode(data, NETWORK)


def test_a_manifest_one_byte_short_or_long_is_refused() -> None:
    data = manifests.encode(GOOD)
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(RemoteProtocolError):
            manifests.decode(wrong, NETWORK)


def test_fields_missing_or_too_many_are_refused() -> None:
    values = [getattr(GOOD, name) for name in FIELDS]
    for wrong in ([0, *values[:-1]], [0, *values, 0], [1, *values], [0]):
        with pytest.raises(RemoteProtocolError):
            manifests.decode(wire.pack(wrong), NETWORK)


def test_another_networks_reader_finds_no_box_of_the_file() -> None:
    here, there = manifests.reader(GOOD, NETWORK), manifests.reader(GOOD, MAIN.hash)
    assert here.address(DAY) != there.address(DAY)


def test_a_file_beyond_the_limit_is_refused_with_a_sentence() -> None:
    reader = attachment(5000).writer.read()
    with pytest.raises(UserError, match="at most 10 MiB"):
        manifests.describe(reader, DAY, MAX_FILE_LENGTH + 1, bytes(32), "x", "image/png")


def test_a_stream_that_does_not_begin_at_its_first_box_is_our_mistake() -> None:
    reader = attachment(5000).writer.at(3).read()
    with pytest.raises(LocalProtocolError):
        manifests.describe(reader, DAY, 10, bytes(32), "x", "image/png")


@pytest.mark.parametrize("media_type", ["", "jpeg", "a b/c", "x/" + "y" * 63, "ü/x"])
def test_what_is_no_media_type_becomes_the_general_one(media_type: str) -> None:
    reader = attachment(5000).writer.read()
    made = manifests.describe(reader, DAY, 10, bytes(32), "x", media_type)
    assert made.media_type == "application/octet-stream"


def test_directories_in_front_of_a_name_stay_at_home() -> None:
    reader = attachment(5000).writer.read()
    for name in ("/home/ada/secret plans/cat.png", "C:\\Users\\ada\\cat.png"):
        made = manifests.describe(reader, DAY, 10, bytes(32), name, "IMAGE/PNG")
        assert (made.name, made.media_type) == ("cat.png", "image/png")


def test_a_manifest_shows_nothing_in_its_repr() -> None:
    assert repr(GOOD) == "Manifest(…)"


def test_relays_keep_a_files_boxes_for_two_weeks() -> None:
    kept = [day - DAY for day in range(DAY - 20, DAY + 30) if GOOD.kept(day)]
    assert kept == list(range(-1, 15))
    assert [day - DAY for day in range(DAY - 20, DAY + 17) if GOOD.past(day)] == [15, 16]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("照片 1.jpg", "照片 1.jpg"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("", "file"),
        ("\0", "file"),
        ("a\nb\tc", "abc"),
        ("C:\\x", "C__x"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("com1 .log", "_com1 .log"),
        ("LPT¹", "_LPT¹"),
        ("console.txt", "console.txt"),
        ("-rf", "rf"),
        ("~", "file"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("x" * 300 + ".jpeg", "x" * 250 + ".jpeg"),
        ("é" * 200, "é" * 127),
        ("name. ", "name"),
        ("cafe\u0301", "café"),
        ("\ud800x", "x"),
    ],
)
def test_a_name_is_cleaned_before_use(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(st.characters(), max_size=300))
@example("CON" + "\u0301" * 3)
@example("a" * 254 + ". .")
@example("con." + "b" * 300)
@example("e\u200d\u0301")
def test_a_safe_name_is_one_component_everywhere_and_stays_as_it_is(name: str) -> None:
    safe = safe_name(name)
    assert 1 <= len(safe.encode()) <= NAME_LIMIT
    assert not set(safe) & set('/\\:*?"<>|')
    assert not any(unicodedata.category(sign)[0] == "C" for sign in safe)
    assert safe[0] not in "-~. "
    assert safe[-1] not in ". "
    assert safe.split(".")[0].strip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert safe_name(safe) == safe


def test_the_digest_of_a_file_is_blake2b() -> None:
    assert manifests.content_digest(b"abc") == crypto.digest(b"abc")
