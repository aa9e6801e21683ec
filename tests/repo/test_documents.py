"""What the documents name exists: files, links, modules, tests, terms."""

import ast
import re
import tomllib

from repo.repository import PACKAGES, ROOT, documents, sources, tables

CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
THREATS = (ROOT / "docs/threat-model.md").read_text()
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
RECORDS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = []
    for document in documents():
        prose = CODE.sub("", document.read_text())
        for target in LINK.findall(prose):
            place = target.split("#")[0]
            if place and "://" not in place and not (document.parent / place).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_test_that_a_document_names_exists() -> None:
    defined = {
        node.name
        for path in sources("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    } | {path.stem for path in sources("tests")}
    named = {
        (document.relative_to(ROOT).as_posix(), name)
        for document in documents()
        for name in re.findall(r"\btest_\w+", document.read_text())
    }
    assert sorted(entry for entry in named if entry[1] not in defined) == []


def test_every_package_folder_stands_in_the_architecture() -> None:
    missing = [
        f"{package}/{folder.name}"
        for package, root in PACKAGES.items()
        for folder in sorted(root.iterdir())
        if (folder / "__init__.py").is_file() and f"{folder.name}/" not in ARCHITECTURE
    ]
    assert missing == []


def test_every_top_module_stands_in_the_architecture() -> None:
    missing = [
        f"{package}/{module.name}"
        for package, root in PACKAGES.items()
        for module in sorted(root.glob("*.py"))
        if not module.stem.startswith("__") and not re.search(rf"\b{module.stem}\b", ARCHITECTURE)
    ]
    assert missing == []


def test_every_module_that_the_architecture_names_exists() -> None:
    present = {
        path.relative_to(root).as_posix()
        for root in PACKAGES.values()
        for path in root.rglob("*.py")
    }
    folders = {place.rsplit("/", 1)[0] + "/" for place in present if "/" in place}
    named = set(re.findall(r"\b(?:[a-z_]+/)*[a-z_0-9]+\.py\b", ARCHITECTURE))
    strays = {
        name
        for name in named
        if not any(place == name or place.endswith("/" + name) for place in present)
    }
    assert strays == set()
    diagram = re.findall(r"^[│ ]*[├└]── ([a-z_]+/)", ARCHITECTURE, re.MULTILINE)
    assert {name for name in diagram if name not in folders} == set()


def test_every_adversary_section_says_what_is_possible_and_what_is_not() -> None:
    for section in re.split(r"^## ", THREATS, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        if title.startswith("Adversary: "):
            assert "\n**Can**\n" in body, title
            assert "\n**Cannot**\n" in body, title


def test_every_line_of_what_an_adversary_cannot_do_says_how_it_is_shown() -> None:
    for body in re.findall(r"\n\*\*Cannot\*\*\n\n((?:- .+\n?)+)", THREATS):
        for line in body.strip().splitlines():
            assert "*Shown:*" in line or "*Not shown yet" in line, line


def test_every_line_of_what_an_adversary_can_do_names_a_defence_or_none() -> None:
    for body in re.findall(r"\n\*\*Can\*\*\n\n((?:- .+\n?)+)", THREATS):
        for line in body.strip().splitlines():
            assert "*Defence:*" in line, line


def test_the_glossary_has_each_term_once_in_order() -> None:
    terms = re.findall(r"^\*\*([^*]+)\*\*", GLOSSARY, re.MULTILINE)
    assert len(terms) > 30
    assert terms == sorted(set(terms), key=str.lower)


def test_every_decision_record_has_the_same_parts_and_is_listed() -> None:
    listing = (ROOT / "docs/adr/README.md").read_text()
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert numbers == list(range(1, len(RECORDS) + 1))
    for record in RECORDS:
        text = record.read_text()
        for part in ("## Context", "## Decision", "## Consequences", "## Sources"):
            assert f"\n{part}\n" in text, f"{record.name}: {part}"
        assert record.name in listing, record.name


def test_every_dependency_has_its_reason_recorded() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        re.split(r"[\[<>=]", requirement)[0].lower()
        for requirements in (project["dependencies"], *project["optional-dependencies"].values())
        for requirement in requirements
    ]
    recorded = {
        row["library"].lower()
        for table in tables((ROOT / "docs/adr/0001-libraries.md").read_text())
        for row in table
    }
    assert [name for name in wanted if name not in recorded] == []


def test_every_spec_is_listed() -> None:
    listing = (ROOT / "docs/spec/README.md").read_text()
    specs = [path.name for path in (ROOT / "docs/spec").glob("*.md") if path.name != "README.md"]
    assert [name for name in specs if f"({name})" not in listing] == []
