"""Habits that the code keeps everywhere, as CONTRIBUTING.md lists them."""

import ast
import re
from pathlib import Path

import pytest

from repo.repository import PACKAGES, ROOT, SOURCE_FOLDERS, sources

TREES = {path: ast.parse(path.read_text()) for path in sources(*SOURCE_FOLDERS)}
PACKAGE_FILES = [path for path in TREES if path.is_relative_to(ROOT / "protocol")] + [
    path for path in TREES if path.is_relative_to(ROOT / "node")
]
TEST_FILES = [path for path in TREES if path.name.startswith("test_")]
LONGEST = 600  # lines; a longer file holds two concepts


def shown(path: Path, node: ast.AST | None = None) -> str:
    """Return a file's place in the checkout, with the line of ``node``."""
    line = "" if node is None else f":{getattr(node, 'lineno', 0)}"
    return path.relative_to(ROOT).as_posix() + line


def called(node: ast.AST) -> str:
    """Return the dotted name that ``node`` calls, or nothing."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """Whether ``handler`` catches every error; one that cleans up and raises again does not."""
    caught = set() if handler.type is None else set(names(handler.type))
    if handler.type is None or "BaseException" in caught:
        last = handler.body[-1]
        return not (isinstance(last, ast.Raise) and last.exc is None)
    return "Exception" in caught


def test_a_broad_except_stands_once_in_the_supervisor() -> None:
    broad = [
        shown(path)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node)
    ]
    assert broad == ["node/shoal_node/supervisor.py"]


def names(node: ast.AST) -> list[str]:
    """Return every plain name inside ``node``."""
    return [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]


def test_no_test_sleeps_in_real_time() -> None:
    slept = [
        shown(path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if called(node) == "time.sleep" and path.is_relative_to(ROOT / "tests")
    ]
    assert slept == []


def test_virtual_time_is_an_argument_of_the_test() -> None:
    # pytest-trio runs a test by the clock among its own arguments; one that is merely used by
    # it, or by all of its file, is made and never asked, and the test waits in real time.
    used = [
        shown(path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if called(node).endswith("usefixtures") and "autojump_clock" in ast.unparse(node)
    ]
    assert used == []


def test_no_test_is_skipped() -> None:
    skipped = [
        shown(path, node)
        for path in TEST_FILES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Attribute)
        and node.attr in {"skip", "skipif", "xfail", "importorskip"}
        and ast.unparse(node.value) in {"pytest", "pytest.mark"}
    ]
    assert skipped == []


def test_no_test_uses_mocks() -> None:
    mocked = [
        shown(path, node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        and re.search(r"\bmock\b", ast.unparse(node))
    ]
    assert mocked == []


def test_names_of_tests_are_sentences() -> None:
    short = [
        f"{shown(path, node)} {node.name}"
        for path in TEST_FILES
        for node in TREES[path].body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) < 4
    ]
    assert short == []


def test_no_file_is_longer_than_one_concept() -> None:
    long = [shown(path) for path in TREES if len(path.read_text().splitlines()) > LONGEST]
    assert long == []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_every_module_begins_with_a_docstring(package: str) -> None:
    missing = [
        shown(path)
        for path in TREES
        if path.is_relative_to(PACKAGES[package]) and not ast.get_docstring(TREES[path])
    ]
    assert missing == []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_an_init_file_holds_a_docstring_and_nothing_else(package: str) -> None:
    """But that of the simulations, whose two names are what researchers import."""
    full = [
        shown(path)
        for path in TREES
        if path.is_relative_to(PACKAGES[package])
        and path.name == "__init__.py"
        and len(TREES[path].body) > 1
        and shown(path) != "simulations/shoal_sim/__init__.py"
    ]
    assert full == []


def test_nothing_is_left_for_later_in_the_code() -> None:
    words = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
    left = [shown(path) for path in TREES if words.search(path.read_text())]
    assert left == []


def test_protocol_takes_the_time_and_chance_it_is_given() -> None:
    """No wall clock and no randomness of its own; the import contracts hold the modules."""
    own = [
        shown(path, node)
        for path in PACKAGE_FILES
        if path.is_relative_to(ROOT / "protocol")
        for node in ast.walk(TREES[path])
        if called(node) in {"time.time", "time.time_ns", "os.urandom", "random.random"}
    ]
    assert own == []
