"""How far a long command is, on standard error: a bar on a terminal, lines where asked for.

::

    terminal ─► a bar      --progress elsewhere ─► a line a tenth      else, or --json ─► nothing

What is done within a second shows nothing. Data goes to standard output and is never mixed
with this.
"""

import sys
import time
from types import TracebackType
from typing import Any, Final, Self

QUIET_S: Final = 1.0


class Progress:
    """Tells how many of ``total`` are done; call it with the number.

    Args:
        what: a word or two.
        asked: True: also where standard error is no terminal; False: never.
    """

    def __init__(self, what: str, total: int, asked: bool | None = None) -> None:
        self.what, self.total, self.done = what, max(total, 1), 0
        self._began = time.monotonic()
        self._tenth = 0
        self._terminal = sys.stderr.isatty()
        self._shown = self._terminal if asked is None else asked
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int) -> None:
        """Say that ``done`` are done."""
        self.done = done
        took = time.monotonic() - self._began
        if took < QUIET_S or not self._shown:
            return
        if self._terminal:
            self._show()
        elif (tenth := 10 * done // self.total) > self._tenth:
            self._tenth = tenth
            sys.stderr.write(f"[{took:5.1f} s] {self.what}: {done} of {self.total}\n")
            sys.stderr.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _show(self) -> None:
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(self.what, total=self.total)
            self._bar.start()
        self._bar.update(self._task, completed=self.done)
