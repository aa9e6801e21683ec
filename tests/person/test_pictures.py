"""Pictures made anew in a process of their own, and hostile ones refused with one sentence."""

import json
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import trio
from PIL import Image

from person import hostile_pictures
from person.hostile_pictures import drawn, opened, packed
from shoal_node import picture_worker, pictures
from shoal_node.pictures import PictureRefused
from shoal_protocol.errors import UserError

PLANTED = b"planted-47.376888N-8.541694E"
SIDES = {1: "as it is", 3: "upside down", 6: "turned right", 8: "turned left"}


def with_exif(orientation: int = 1) -> bytes:
    """A JPEG with a place, a device and an orientation in its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = PLANTED.decode()
    exif[0x9286] = PLANTED
    exif.get_ifd(0x8825)[29] = PLANTED.decode()  # GPS date stamp
    return packed(
        drawn(),
        "JPEG",
        exif=exif,
        comment=PLANTED,
        icc_profile=PLANTED * 8,
        xmp=b"<x:xmpmeta>" + PLANTED + b"</x:xmpmeta>",
    )


def png_with_text() -> bytes:
    """A PNG whose chunks say more than its pixels."""
    whole = packed(drawn(), "PNG", icc_profile=PLANTED * 8, exif=Image.Exif().tobytes())
    head, tail = whole[:33], whole[33:]
    texts = hostile_pictures.chunk(b"tEXt", b"Location\0" + PLANTED)
    texts += hostile_pictures.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PLANTED)
    texts += hostile_pictures.chunk(b"zTXt", b"Author\0\0" + zlib.compress(PLANTED))
    return head + texts + tail


METADATA = {
    "jpeg": with_exif(),
    "png": png_with_text(),
    "webp": packed(drawn(), "WEBP", exif=PLANTED, xmp=PLANTED, icc_profile=PLANTED),
    "gif": packed(drawn(mode="P"), "GIF", comment=PLANTED),
}


@pytest.mark.parametrize("kind", METADATA)
async def test_nothing_but_pixels_comes_out(kind: str) -> None:
    source = METADATA[kind] + PLANTED
    assert PLANTED in source
    for content in ((await pictures.sanitize(source)).content, await pictures.avatar(source)):
        assert PLANTED not in content
        assert {chunk[0] for chunk in riff_chunks(content)} <= {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
        assert set(opened(content).info) <= {"loop", "background", "timestamp", "duration"}


def riff_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a WebP; it must end where the last one ends."""
    assert content[:4] + content[8:12] == b"RIFFWEBP"
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    found, place = [], 12
    while place < len(content):
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        found.append((content[place : place + 4], content[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2
    assert place == len(content)
    return found


@pytest.mark.parametrize("orientation", SIDES)
async def test_a_picture_stands_upright_without_its_exif(orientation: int) -> None:
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270}
    turned[8] = Image.Transpose.ROTATE_90
    expected = drawn()
    if orientation in turned:
        expected = expected.transpose(turned[orientation])
    found = await pictures.sanitize(with_exif(orientation))
    image = opened(found.content)
    assert image.size == (found.width, found.height) == expected.size
    assert far_apart(image, expected) < 40


def far_apart(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ, a mean over pixels' brightness, of 255."""
    pairs = zip(one.convert("L").tobytes(), other.convert("L").tobytes(), strict=True)
    differences = [abs(a - b) for a, b in pairs]
    return sum(differences) / len(differences)


@pytest.mark.parametrize("kind", hostile_pictures.KINDS)
async def test_every_format_becomes_webp_of_the_same_size(kind: str) -> None:
    found = await pictures.sanitize(packed(drawn(), kind))
    image = opened(found.content)
    assert (image.format, image.size) == ("WEBP", (40, 30))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
async def test_every_mode_of_png_is_taken(mode: str) -> None:
    source = drawn(mode="I").convert(mode) if mode == "I;16" else drawn(mode=mode)
    assert (await pictures.sanitize(packed(source, "PNG"))).width == 40


async def test_what_is_transparent_stays_so_and_hides_nothing() -> None:
    source = drawn(mode="RGBA")
    source.putalpha(0)
    image = opened((await pictures.sanitize(packed(source, "PNG"))).content)
    assert image.mode == "RGBA"
    assert image.getchannel("A").getextrema() == (0, 0)
    assert image.convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0))


async def test_a_large_picture_becomes_smaller_and_fits_the_limit() -> None:
    noise = Image.effect_noise((3000, 1500), 90).convert("RGB")
    source = packed(noise, "JPEG")
    found = await pictures.sanitize(source)
    assert (found.width, found.height) == (1600, 800)
    assert len(found.content) <= pictures.LIMIT
    little = await pictures.sanitize(source, longest=400, limit=5000)
    assert len(little.content) <= 5000
    assert max(little.width, little.height) <= 400


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (500, 400)])
async def test_an_avatar_is_a_small_square_of_few_bytes(size: tuple[int, int]) -> None:
    content = await pictures.avatar(packed(Image.effect_noise(size, 99).convert("RGB"), "PNG"))
    assert len(content) <= pictures.AVATAR_LIMIT
    assert opened(content).size == (96, 96)
    assert opened(content).mode == "RGB"


async def test_of_what_moves_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    source = packed(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    image = opened((await pictures.sanitize(source)).content)
    assert not getattr(image, "is_animated", False)
    red, _, blue = image.convert("RGB").resize((1, 1)).tobytes()
    assert red > 200 > 60 > blue


OTHER_FORMATS = {
    "nothing": b"",
    "text": b"not a picture",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><img src=x onerror=alert(1)>",
    "bmp": packed(drawn(), "BMP"),
    "tiff": packed(drawn(), "TIFF"),
    "ico": packed(drawn(), "ICO"),
    "ppm": packed(drawn(), "PPM"),
    "tga": packed(drawn(), "TGA"),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
    "pdf": packed(drawn(), "PDF"),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
    "avif": b"\0\0\0\x20ftypavif" + bytes(64),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
async def test_every_other_format_is_refused(name: str) -> None:
    with pytest.raises(PictureRefused, match="no picture that can be used"):
        await pictures.sanitize(OTHER_FORMATS[name])


BOMBS = {
    "huge sides": hostile_pictures.png(50_000, 50_000, bytes(100)),
    "one long side": hostile_pictures.png(40_000, 10, bytes(400_010)),
    "a pixel too many": hostile_pictures.png(8_000, 5_001, bytes(8_001 * 5_001)),
    "no width": hostile_pictures.png(0, 10, bytes(100)),
    "a gif of the largest size": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\x01",
    "a webp that says it is large": packed(drawn(), "WEBP", lossless=True)[:21]
    + b"\xff\xff\xff\x0f"
    + packed(drawn(), "WEBP", lossless=True)[25:],
    "text that unpacks to a gigabyte": packed(drawn(), "PNG")[:33]
    + hostile_pictures.chunk(b"zTXt", b"Bomb\0\0" + zlib.compress(bytes(2**28), 9))
    + packed(drawn(), "PNG")[33:],
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_decompression_bomb_is_refused(name: str) -> None:
    assert len(BOMBS[name]) < 2**20
    with pytest.raises(PictureRefused):
        await pictures.sanitize(BOMBS[name])


def test_the_size_in_the_header_is_refused_before_anything_is_decoded() -> None:
    for name in ("huge sides", "one long side", "a pixel too many"):
        with pytest.raises((ValueError, Image.DecompressionBombError), match="pixels"):
            picture_worker.read(BOMBS[name], 100)


async def test_a_picture_of_more_bytes_than_the_limit_is_refused_unread() -> None:
    with pytest.raises(PictureRefused):
        await pictures.sanitize(packed(drawn(), "PNG") + bytes(pictures.MAX_INPUT))


@pytest.mark.parametrize("kind", hostile_pictures.KINDS)
def test_a_picture_cut_anywhere_is_refused(kind: str) -> None:
    whole = packed(Image.effect_noise((60, 60), 99).convert("RGB"), kind)
    picture_worker.read(whole, 100)
    for twentieth in range(20):
        with pytest.raises((OSError, SyntaxError, ValueError, EOFError, IndexError)):
            picture_worker.read(whole[: len(whole) * twentieth // 20], 100)


POLYGLOTS = {
    "a picture and an archive": packed(drawn(), "PNG") + b"PK\x05\x06" + PLANTED + bytes(18),
    "a picture and a page": packed(
        drawn(), "JPEG", comment=b"<script>alert('" + PLANTED + b"')</script>"
    ),
    "a gif and a script": b"GIF89a/*" + packed(drawn(mode="P"), "GIF")[8:] + b"*/=1;" + PLANTED,
    "a webp with a chunk of another kind": packed(drawn(), "WEBP") + b"JUNK\x1c\0\0\0" + PLANTED,
}


@pytest.mark.parametrize("name", POLYGLOTS)
async def test_what_is_two_files_at_once_becomes_one(name: str) -> None:
    try:
        found = await pictures.sanitize(POLYGLOTS[name])
    except PictureRefused:
        return
    assert PLANTED not in found.content
    assert b"<script" not in found.content
    riff_chunks(found.content)


async def test_two_thousand_mutations_are_taken_or_refused_and_never_end_in_a_crash() -> None:
    program = Path(hostile_pictures.__file__)
    done = await trio.run_process([sys.executable, program, "7", "2000"], capture_stdout=True)
    outcomes = json.loads(done.stdout)
    assert set(outcomes) <= {"taken", "refused"}
    assert sum(outcomes.values()) == 2000
    assert outcomes["refused"] > 500


async def test_a_few_mutations_give_one_error_only_through_the_whole_way() -> None:
    rng = random.Random(11)
    refused = 0
    for number in range(12):
        kind = hostile_pictures.KINDS[number % 4]
        try:
            await pictures.sanitize(hostile_pictures.mutated(packed(drawn(), kind), rng))
        except PictureRefused as error:
            assert str(error) == pictures.REFUSED
            refused += 1
    assert refused > 0


async def test_a_worker_that_hangs_or_writes_without_end_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = "import sys\nwhile True: sys.stdout.buffer.write(b'R' * 65536)"
    monkeypatch.setattr(pictures, "_WORKER", (sys.executable, "-c", endless))
    with pytest.raises(PictureRefused), trio.fail_after(10):
        await pictures.sanitize(packed(drawn(), "PNG"))
    hangs = "import sys\nsys.stdout.buffer.write(b'R'); sys.stdout.flush()\nwhile True: pass"
    monkeypatch.setattr(pictures, "_WORKER", (sys.executable, "-c", hangs))
    monkeypatch.setattr(pictures, "TIMEOUT", 0.5)
    with pytest.raises(PictureRefused), trio.fail_after(10):
        await pictures.sanitize(packed(drawn(), "PNG"))


async def test_decoders_that_do_not_start_are_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pictures, "_WORKER", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(UserError, match="decoders do not start"):
        await pictures.sanitize(packed(drawn(), "PNG"))


async def test_a_cancelled_work_leaves_no_process() -> None:
    before = children()
    with trio.move_on_after(0.05):
        await pictures.sanitize(packed(drawn(), "PNG"))
    assert children() == before


def children() -> set[str]:
    """The processes that this one started."""
    if not sys.platform.startswith("linux"):
        return set()
    pid = Path("/proc/self").resolve().name
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return {child for task in listed for child in task.read_text().split()}


def test_the_worker_takes_memory_time_and_files_from_itself() -> None:
    program = (
        "import resource\n"
        "from shoal_node import picture_worker\n"
        "picture_worker.limit_itself()\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0], "
        "resource.getrlimit(resource.RLIMIT_FSIZE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"15", b"0"]
