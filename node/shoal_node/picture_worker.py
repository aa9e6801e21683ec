"""Decodes one picture that nobody trusts, in a process of its own, and writes it anew.

::

    stdin: the picture ─► limits on itself ─► header ─► size refused? ─► pixels ─► RGB(A)
           ─► smaller ─► upright ─► fresh WebP ─► stdout: "R" ‖ u32 width ‖ u32 height ‖ WebP

    python -m shoal_node.picture_worker picture|avatar LONGEST LIMIT

Only PNG, JPEG, WebP and GIF have decoders here (of what moves, the first frame counts).
Whatever is wrong with a picture ends this process with an exit code other than 0; nobody
catches anything, and nobody reads what Python says of it. The limits on memory, time, files
and processes are the system's, where it has them (Linux; macOS has no limit on memory).
What is written is made from the pixels alone: EXIF, GPS, ICC, XMP, comments, text and
whatever stood behind the picture stay here. The only importer of Pillow.
"""

import contextlib
import io
import struct
import sys
import warnings
from typing import Final

from PIL import Image, ImageOps

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

READY: Final = b"R"  # written when the limits are set and the decoders are there
MAX_INPUT: Final = 10 * 2**20  # bytes
MAX_PIXELS: Final = 40_000_000  # of a picture that comes in
MAX_SIDE: Final = 30_000  # pixels
AVATAR_SIDE: Final = 96  # pixels
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")

_LIMITS: Final = {
    "RLIMIT_AS": 2**30,  # bytes: 40 million pixels a few times, and Python
    "RLIMIT_CPU": 15,  # s
    "RLIMIT_FSIZE": 0,
    "RLIMIT_CORE": 0,
    "RLIMIT_NPROC": 0,
    "RLIMIT_NOFILE": 16,
}
_ORIENTATION: Final = 0x0112  # EXIF tag
_QUALITIES: Final = (82, 70, 55, 40, 25, 10)
_SMALLEST: Final = 16  # pixels; a picture is not made smaller than that to fit


def limit_itself() -> None:
    """Take from this process what decoding a picture doesn't need."""
    if resource is not None:
        for name, most in _LIMITS.items():
            kind = getattr(resource, name, None)
            if kind is not None:
                with contextlib.suppress(ValueError, OSError):  # a system that has no such limit
                    resource.setrlimit(kind, (most, most))


def read(data: bytes, longest: int) -> Image.Image:
    """Return the pixels of a picture, upright, RGB or RGBA, and nothing else of it.

    Args:
        longest: pixels that the longer side has at most.

    Raises:
        ValueError: it has too many pixels.
        Exception: whatever a decoder says of it.
    """
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ValueError("pixels")
    image.draft("RGB", (longest, longest))  # a JPEG needn't be decoded larger than needed
    image.load()
    orientation = _orientation(image)
    flat = _flat(image)
    flat.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    clean = Image.new(flat.mode, flat.size)
    clean.paste(flat, mask=_seen(flat))
    if orientation != 1:
        exif = clean.getexif()
        exif[_ORIENTATION] = orientation
        clean = ImageOps.exif_transpose(clean)
        clean.info.clear()
    return clean


def _orientation(image: Image.Image) -> int:
    """Which way is up, 1 to 8; 1 when the EXIF is no use."""
    with contextlib.suppress(ValueError, TypeError, KeyError, SyntaxError, OSError, struct.error):
        found = image.getexif().get(_ORIENTATION, 1)
        if isinstance(found, int) and 1 <= found <= 8:
            return found
    return 1


def _flat(image: Image.Image) -> Image.Image:
    """Return it as RGB, or RGBA if anything of it is transparent."""
    if image.mode.startswith(("I", "F")):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB")


def _seen(image: Image.Image) -> Image.Image | None:
    """Where anything is to be seen: what hides below transparency is not taken along."""
    if image.mode != "RGBA":
        return None
    return image.getchannel("A").point(lambda alpha: 255 if alpha else 0)


def webp(image: Image.Image, quality: int) -> bytes:
    """Return ``image`` as WebP."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality, alpha_quality=quality, method=4, exact=False)
    return out.getvalue()


def fit(image: Image.Image, limit: int) -> tuple[bytes, int, int]:
    """Return WebP of at most ``limit`` bytes with its width and height.

    Worse first, then smaller, until it fits.

    Raises:
        ValueError: nothing is small enough.
    """
    while max(image.size) >= _SMALLEST:
        for quality in _QUALITIES:
            content = webp(image, quality)
            if len(content) <= limit:
                return content, *image.size
        width, height = image.size
        image = image.resize((max(1, width * 2 // 3), max(1, height * 2 // 3)))
    raise ValueError("limit")


def square(image: Image.Image) -> Image.Image:
    """Return the middle square of ``image`` on white, :data:`AVATAR_SIDE` wide."""
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image if image.mode == "RGBA" else None)
    return ImageOps.fit(ground, (AVATAR_SIDE, AVATAR_SIDE), Image.Resampling.LANCZOS)


def work(purpose: str, data: bytes, longest: int, limit: int) -> bytes:
    """Return what is written for ``purpose``: "picture" or "avatar"."""
    if purpose == "avatar":
        content, width, height = fit(square(read(data, 8 * AVATAR_SIDE)), limit)
    else:
        content, width, height = fit(read(data, longest), limit)
    return struct.pack(">II", width, height) + content


def main() -> int:
    """Run as a process: arguments and standard input in, standard output out."""
    purpose, longest, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    limit_itself()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise ValueError("input")
    sys.stdout.buffer.write(work(purpose, data, longest, limit))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
