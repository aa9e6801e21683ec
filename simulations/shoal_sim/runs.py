"""The directory of a run: named by what was asked and by which code, so a name is a result.

::

    runs/how-many-bits-3f2a…/
    ├── lock               held by whoever works on it: one process at a time
    ├── scenario.toml      resolved: every key with its value
    ├── versions.json      code, Python, libraries
    ├── seeds.json         seed tree: configurations, networks, streams
    ├── parts/00000.parquet …   one for each finished configuration; resume begins at the first gap
    ├── tables/00000-1-targets.parquet …   where they were asked for
    ├── results.parquet    all parts, a row for each configuration and network
    ├── summary.parquet    mean and interval of each metric of each configuration
    ├── plots/*.svg
    └── report.html

The name's hash covers what the bytes of results come from: the resolved scenario, the sources
of protocol and simulations, the versions of Python, numpy and polars, the content of
``links.file``, the sources of plug-ins. Numba is not in it: with it and without they are the
same bytes. Nothing tells the time or the machine's name: the same question and code give the
same bytes, on one worker or many. A file appears whole or not at all.
"""

import importlib.util
import io
import json
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import polars

from shoal_protocol import crypto
from shoal_protocol.errors import UserError
from shoal_sim import locks
from shoal_sim.scenario import Scenario, load

FORMAT: Final = 1  # of the directory
_PACKAGES: Final = ("shoal_protocol", "shoal_sim")
_LIBRARIES: Final = ("numpy", "polars")  # what a result's bytes come from
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Run:
    """One run's directory, which exists."""

    directory: Path
    scenario: Scenario

    def part(self, configuration: int) -> Path:
        """Return where a configuration's rows stand when it is finished."""
        return self.directory / "parts" / f"{configuration:05d}.parquet"

    def table(self, configuration: int, seed: int, name: str) -> Path:
        """Return where one table of one network stands."""
        return self.directory / "tables" / f"{configuration:05d}-{seed}-{name}.parquet"

    def finished(self) -> set[int]:
        """Return the numbers of the configurations that are done."""
        return {int(path.stem) for path in (self.directory / "parts").glob("*.parquet")}

    @property
    def results(self) -> Path:
        """All rows of all configurations."""
        return self.directory / "results.parquet"

    @property
    def summary(self) -> Path:
        """Means and intervals."""
        return self.directory / "summary.parquet"

    @property
    def report(self) -> Path:
        """The report, for people."""
        return self.directory / "report.html"


def begin(scenario: Scenario, under: Path) -> Run:
    """Return the run of this scenario under ``under``: a new one, or one to go on with.

    Raises:
        UserError: the directory can't be made, or another process works on it.
    """
    directory = under / name_of(scenario)
    run = Run(directory, scenario)
    with _written_to(directory):
        for folder in ("parts", "tables", "plots"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
    with held(run):
        write(directory / "scenario.toml", as_toml(scenario).encode())
        write(directory / "versions.json", _json(versions()))
        write(directory / "seeds.json", _json(seed_tree(scenario)))
    return run


@contextmanager
def held(run: Run) -> Iterator[None]:
    """Work on a run alone, without what a process that was killed left half written.

    Raises:
        UserError: another process works on it, or nothing can be written there.
    """
    with ExitStack() as stack:
        with _written_to(run.directory):
            stack.enter_context(locks.held(run.directory))
            _tidy(run.directory)
        yield


def reopen(directory: Path, *, to_go_on: bool = True) -> Run:
    """Return a run that was begun before.

    Args:
        to_go_on: it must fit the code of now.

    Raises:
        UserError: it is none, or its question would be answered by other code now.
    """
    resolved = directory / "scenario.toml"
    if not resolved.is_file():
        raise UserError(f"{directory} is no run: there is no scenario.toml in it.")
    run = Run(directory, load(resolved))
    if to_go_on and not directory.resolve().name.endswith(name_of(run.scenario)[-16:]):
        raise UserError(
            f"{directory} was run with {_other(directory)}, so its parts don't fit; run "
            f"`shoal sim run {resolved}` for all of it."
        )
    return run


def _other(directory: Path) -> str:
    """Return what is not as it was when a run was begun."""
    try:
        then = json.loads((directory / "versions.json").read_text())
    except (OSError, ValueError):
        then = None
    if then != versions():
        return "other code or libraries"
    return "another scenario, links.file or plug-in"


def _tidy(directory: Path) -> None:
    """Remove what a run that was killed was just writing."""
    for left in directory.rglob("*.new"):
        left.unlink()


def name_of(scenario: Scenario) -> str:
    """Return the name of a scenario's directory: its question in short, and the hash."""
    words = re.sub(r"[^a-z0-9]+", "-", scenario.question.lower()).strip("-")
    short = words[:40].rsplit("-", 1)[0] if len(words) > 40 else words
    content = json.dumps(
        [FORMAT, as_toml(scenario), versions(), _outside(scenario)], sort_keys=True
    )
    digest = crypto.blake2b(content.encode(), digest_size=8).hexdigest()
    return f"{short}-{digest}" if short else digest


def versions() -> dict[str, Any]:
    """Return what answers: a hash of the code, and the versions of what it stands on."""
    return {
        "code": code_hash(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
    }


def code_hash() -> str:
    """Return the hash of all sources of the protocol and the simulations."""
    return _hash_of([file for package in _PACKAGES for file in sources(package)])


def sources(name: str) -> list[tuple[str, Path]]:
    """Return (name, place) of each source of a package or module at the top; nothing is run.

    A package that is not there has none.
    """
    spec = importlib.util.find_spec(name)
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [(name, Path(spec.origin))] if spec.origin else []
    found: list[tuple[str, Path]] = []
    for root in map(Path, spec.submodule_search_locations):
        found += [
            (f"{name}/{path.relative_to(root).as_posix()}", path) for path in root.rglob("*.py")
        ]
    return sorted(found)


def _hash_of(files: Iterable[tuple[str, Path]]) -> str:
    hasher = crypto.blake2b(digest_size=16)
    for name, path in files:
        content = path.read_bytes()
        hasher.update(f"{name} {len(content)}\n".encode())
        hasher.update(content)
    return hasher.hexdigest()


def _outside(scenario: Scenario) -> dict[str, str]:
    """Return hashes of what a scenario reads beside itself: measured files, plug-ins."""
    from shoal_sim.adversaries import registry

    found: dict[str, str] = {}
    swept = dict(scenario.sweep)
    for place in {scenario.links.file, *swept.get("links.file", ())} - {""}:
        try:
            found[f"links.file {place}"] = _hash_of([("links.file", Path(place))])
        except OSError as error:
            raise UserError(f"links.file {place} can't be read: {error.strerror}.") from None
    for name in {scenario.adversary.name, *swept.get("adversary.name", ())}:
        for point in metadata.entry_points(group=registry.GROUP, name=str(name)):
            if name not in registry.SHIPPED:
                package = point.module.partition(".")[0]
                found[f"adversary {name} {point.value}"] = _hash_of(sources(package))
    return found


def seed_tree(scenario: Scenario) -> dict[str, Any]:
    """Return how every draw of a run is named."""
    return {
        "networks": {"first": 1, "last": scenario.seeds},
        "configurations": sum(1 for _ in scenario.configurations()),
        "shared": "each configuration has networks of the same seeds: they compare in pairs",
        "streams": "PCG64DXSM(SeedSequence(blake2b-256(repr((seed, *purpose))), little-endian)",
    }


def write_frame(path: Path, frame: polars.DataFrame) -> None:
    """Write a Parquet file whose bytes depend on the frame alone. Raises UserError."""
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd", statistics=True, row_group_size=1 << 18)
    write(path, content.getvalue())


def write(path: Path, content: bytes) -> None:
    """Write a file, durably. Raises UserError: it can't be."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with _written_to(path.parent):
        try:
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            new.unlink(missing_ok=True)
            raise
        new.replace(path)


@contextmanager
def _written_to(directory: Path) -> Iterator[None]:
    """Say in a sentence what a disk says."""
    try:
        yield
    except OSError as error:
        raise UserError(f"The run can't be written to {directory}: {error.strerror}.") from None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def as_toml(scenario: Scenario) -> str:
    """Return the resolved scenario as a file that reads as the same scenario."""
    tables = scenario.resolved()
    lines = [f"{key} = {_toml(value)}" for key, value in tables.items() if _is_plain(value)]
    for name, table in tables.items():
        if not _is_plain(table) and table:
            lines += ["", f"[{name}]"]
            lines += [f"{_key(key)} = {_toml(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict)


def _key(key: str) -> str:
    return key if _BARE.match(key) else json.dumps(key)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return repr(value)
