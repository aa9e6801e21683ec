"""T7 in full: inputs by the million for every decoder, guided by what code they reach.

::

    decoders.every() ─► one child process each ─► libFuzzer, by atheris
      kept inputs  ────►   corpus of the decoder ◄── inputs that reach new branches
      (tests/hostile/corpus)     │
                                 └── --keep: written back, the shortest first

What was done is kept in ``--state``: a run that is stopped goes on where it was. An input that
raises anything but the decoder's one error, takes over five seconds or grows the process ends its
decoder's run and is told. Needs the extra ``fuzz``; ``test_corpus`` replays what is kept without.
Usage: ``python -m hostile.fuzz --inputs 10000000 [--decoder NAME] [--json] [--keep]``.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hostile import corpus

STATE: Final = Path("build") / "fuzz"
LONGEST: Final = 70_000  # bytes of an input; every decoder of bytes refuses 65,537
MEMORY_MB: Final = 64  # that a child may grow by, libFuzzer's own tables among them
SLOW_S: Final = 5  # for one input
CHUNK: Final = 500_000  # inputs of one child
DEAR: Final = 5  # an input of a dear decoder counts as so many when they are shared out
PACKAGES: Final = ("shoal_protocol", "shoal_node")


def fuzz(name: str, options: Sequence[str]) -> None:
    """Be the child: attack one decoder; libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(PACKAGES)):
        decoders = importlib.import_module("hostile.decoders")
    (decoder,) = [each for each in decoders.every() if each.name == name]

    def attack(data: bytes) -> None:
        with contextlib.suppress(decoder.error):
            decoder.read(data)

    status = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    most = int(status[0]) // 1024 + MEMORY_MB
    atheris.Setup([sys.argv[0], *options, f"-rss_limit_mb={most}"], attack)
    atheris.Fuzz()


class Run:
    """One decoder's inputs: how many were given, and the corpus that they left in ``home``."""

    def __init__(self, name: str, seeds: Sequence[bytes], state: Path) -> None:
        self.name = name
        self._home = state / corpus.slug(name)
        self._corpus = self._home / "corpus"
        self._corpus.mkdir(parents=True, exist_ok=True)
        self._seeds = {corpus.named(data) for data in seeds}
        for data in (*seeds, *corpus.load(name)):
            (self._corpus / corpus.named(data)).write_bytes(data)
        self._done = self._home / "done"

    @property
    def done(self) -> int:
        """Inputs given so far, over all runs."""
        return int(self._done.read_text()) if self._done.exists() else 0

    def go_on(self, inputs: int) -> list[str]:
        """Give so many inputs more; returns what went wrong."""
        printed, code = self._child(
            str(self._corpus),
            f"-runs={inputs}",
            f"-max_len={LONGEST}",
            f"-timeout={SLOW_S}",
            f"-artifact_prefix={self._home}/",
            "-print_final_stats=1",
        )
        given = re.search(r"stat::number_of_executed_units: (\d+)", printed)
        self._done.write_text(str(self.done + int(given[1] if given else 0)))
        if code == 0:
            return []
        found = [
            f"{path.name}: {b64encode(path.read_bytes()).decode()}"
            for path in self._home.glob("*-*")
        ]
        errors = re.findall(r"^(?:\w+\.)*\w+(?:Error|Exception)\b.*|ERROR: .*", printed, re.M)
        return [f"{self.name}: {'; '.join([*errors[:3], *found]) or printed[-500:]}"]

    @property
    def found(self) -> list[bytes]:
        """The inputs that reached something new, beside those that it began with."""
        return [
            path.read_bytes() for path in self._corpus.iterdir() if path.name not in self._seeds
        ]

    def _child(self, *options: str) -> tuple[str, int]:
        done = subprocess.run(
            (sys.executable, "-m", "hostile.fuzz", "--child", self.name, "--", *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return done.stdout, done.returncode


def main() -> int:
    """Run as the module's description says; print figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000, help="of all together")
    parser.add_argument("--decoder", action="append", help="only this one; may be repeated")
    parser.add_argument("--state", type=Path, default=STATE, help="where to go on from")
    parser.add_argument("--keep", action="store_true", help="write the corpus to the repository")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        fuzz(given.child, given.options)
    from hostile import decoders

    if importlib.util.find_spec("atheris") is None:
        parser.error("it needs atheris: pip install -e '.[fuzz]' (Linux, CPython 3.11 to 3.13)")
    chosen = [one for one in decoders.every() if not given.decoder or one.name in given.decoder]
    shares = {one.name: 1 if one.dear else DEAR for one in chosen}
    wrong, done = list[str](), dict[str, int]()
    for number, one in enumerate(chosen, 1):
        run = Run(one.name, one.seeds, given.state)
        wanted = given.inputs * shares[one.name] // sum(shares.values())
        found = list[str]()
        while not found and run.done < wanted:
            sys.stderr.write(f"{number}/{len(chosen)} {one.name}: {run.done:,} of {wanted:,}\n")
            found = run.go_on(min(CHUNK, wanted - run.done))
        wrong += found
        done[one.name] = run.done
        if given.keep:
            corpus.save(one.name, run.found)
    figures = {"inputs": sum(done.values()), "decoders": done, "wrong": wrong}
    sys.stdout.write(json.dumps(figures, indent=None if given.json else 2) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
