"""What commands print: data to standard output, sentences and progress to standard error.

Texts of other people never reach a terminal raw: control characters, also those of the C1
range that some terminals obey, are shown as escapes.
"""

import io
import json
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, Self

_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_BIDI: Final = {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_CLEAN: Final = _CONTROLS | _BIDI
_JSON_CLEAN: Final = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def prepare() -> None:
    """Make standard output and error UTF-8 whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def out(line: str = "") -> None:
    """Print a line of data."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def out_json(value: Any) -> None:
    """Print one JSON value on a line of its own, exact and safe for a terminal."""
    out(json.dumps(value, ensure_ascii=False).translate(_JSON_CLEAN))


def out_bytes(content: bytes) -> None:
    """Print bytes of data exactly; on a terminal, control characters but line ends are escaped."""
    if sys.stdout.isatty():
        for line in content.decode(errors="replace").splitlines():
            out(clean(line))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


def note(line: str) -> None:
    """Print a line for the human beside the data."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def clean(text: str) -> str:
    """Return ``text`` with control and direction-changing characters as escapes."""
    return text.translate(_CLEAN)


def on_terminal() -> bool:
    """Whether standard output is a terminal that may be given colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def width(text: str) -> int:
    """How many columns of a terminal ``text`` takes: two for each wide character."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def table(rows: Sequence[Sequence[str]], *, titles: bool = False) -> None:
    """Print ``rows`` in aligned columns, a row a line; cells are cleaned.

    Args:
        titles: the first row names the columns: bold on a terminal.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(width(cell) for cell in column) for column in zip(*cells, strict=True)]
    bold = titles and on_terminal()
    for row in cells:
        padded = [cell + " " * (room - width(cell)) for cell, room in zip(row, widths, strict=True)]
        line = "  ".join(padded).rstrip()
        out(f"\x1b[1m{line}\x1b[0m" if bold else line)
        bold = False


class Progress:
    """Progress on standard error: a bar on a terminal, a line a tenth elsewhere.

    Args:
        terminal_only: print nothing elsewhere.
    """

    def __init__(self, *, terminal_only: bool = False) -> None:
        self._terminal = sys.stderr.isatty()
        self._quiet = terminal_only and not self._terminal
        self._bar: AbstractContextManager[Any] = nullcontext()
        self._rich: Any = None
        self._task: Any = None
        self._started = time.monotonic()
        self._tenth = -1

    def __enter__(self) -> Self:
        if self._terminal:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.progress import TimeElapsedColumn as Elapsed

            self._rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                Elapsed(),
                console=Console(stderr=True),
            )
            self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def step(self, what: str, total: int) -> Callable[[int], None]:
        """Begin a step of ``total`` parts; returns the function that tells how many are done."""
        self._tenth = -1
        if self._rich is not None:
            task = self._rich.add_task(what, total=total)
            return lambda done: self._rich.update(task, completed=done)

        def plain(done: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenth > self._tenth and not self._quiet:
                self._tenth = tenth
                elapsed = time.monotonic() - self._started
                note(f"[{elapsed:5.1f} s] {what}: {done} of {total}")

        return plain
