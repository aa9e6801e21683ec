"""Screenshots for the documents: taken when a folder is named, small, with few colours."""

import io
import os
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page

LARGEST: Final = 60_000  # bytes
_COLORS: Final = (256, 128, 64, 32)
VARIABLE: Final = "SHOAL_SCREENSHOTS"


def shoot(page: Page, name: str) -> None:
    """Write ``name``.png into the folder that SHOAL_SCREENSHOTS names; without it do nothing."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    page.mouse.move(0, 0)
    page.wait_for_timeout(250)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = Path(folder) / f"{name}.png"
    for colors in _COLORS:
        # Rare colours count as much as frequent ones: momo is small.
        few = picture.quantize(colors, Image.Quantize.MAXCOVERAGE, 2, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size < LARGEST:
            return
    raise AssertionError(f"{name} has {path.stat().st_size} bytes")
