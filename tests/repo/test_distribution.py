"""pyproject.toml, constraints.txt, Makefile and changelog agree with each other."""

import re
import tomllib

from repo.repository import PACKAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def plain(requirement: str) -> str:
    """Return a requirement's package name in normal form."""
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned() -> None:
    wanted = {plain(r) for r in PROJECT["project"]["dependencies"]}
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted |= {plain(r) for r in extra}
    pinned = {plain(line) for line in CONSTRAINTS.splitlines() if "==" in line}
    assert wanted <= pinned


def test_constraints_hold_pins_and_nothing_else() -> None:
    odd = [
        line
        for line in CONSTRAINTS.splitlines()
        if not re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; [^@]+)?", line)
    ]
    assert odd == []


def test_pins_obey_the_ranges_of_the_project() -> None:
    pinned = dict(
        line.split(" ;")[0].split("==") for line in CONSTRAINTS.splitlines() if "==" in line
    )
    for requirement in PROJECT["project"]["dependencies"]:
        exact = re.search(r"==([\w.]+)$", requirement)
        if exact:
            assert pinned[plain(requirement)] == exact[1]


def test_the_three_packages_are_built_and_say_that_they_are_typed() -> None:
    built = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {ROOT / folder for folder in built} == set(PACKAGES.values())
    assert all((folder / "py.typed").is_file() for folder in PACKAGES.values())


def test_the_makefile_has_the_targets_of_the_contract() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    promised = {"venv", "demo", "lab", "test", "bench", "bench-peers", "check-release"}
    assert promised <= targets


def test_a_demo_installs_no_extra() -> None:
    assert re.search(r"^demo: venv$", MAKEFILE, re.MULTILINE)
    assert re.search(r"^venv:\n\t@tools/setup-venv$", MAKEFILE, re.MULTILINE)


def test_every_changelog_fragment_has_a_kind_that_is_known() -> None:
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.suffix == ".md"]
    for fragment in fragments:
        matched = re.fullmatch(r"(\d+|\+[a-z0-9-]+)\.([a-z]+)\.md", fragment.name)
        assert matched, fragment.name
        assert matched[2] in kinds, fragment.name
        assert fragment.read_text().strip().endswith((".", "`"))


def test_the_changelogs_version_is_the_projects() -> None:
    assert PROJECT["tool"]["towncrier"]["version"] == PROJECT["project"]["version"]
