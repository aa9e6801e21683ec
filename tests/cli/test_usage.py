"""Command lines and configuration: help everywhere, one sentence for what is wrong."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from shoal_node import config
from shoal_node.cli import main
from shoal_node.usage import UsageError
from shoal_protocol import parameters

PEER = "12D3KooWRRfeqRUT3vtvG73hwfaE7SGHWXbjs1vRN1QR1CUoaGFs"
LOCAL = f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}"
PRIVATE = f"/ip4/10.0.0.7/tcp/4001/p2p/{PEER}"
PUBLIC = f"/ip4/198.18.0.1/tcp/4001/p2p/{PEER}".replace("198.18.0.1", "93.184.216.34")


def _parsers(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from _parsers(inner, (*path, name))


COMMANDS = [path for path, _ in _parsers(main.build_parser(plugins=False))]


def test_the_commands_of_the_contract_are_there() -> None:
    expected = "demo lab up relay status peers path send inbox save bench completion"
    assert {(name,) for name in expected.split()} <= set(COMMANDS)
    expected = "page search export lock unlock panic"
    assert {(name,) for name in expected.split()} <= set(COMMANDS)
    expected = "new list show edit burn linkability"
    assert {("persona", name) for name in expected.split()} <= set(COMMANDS)
    expected = "invite add accept ignore ignored list requests verify name block unblock"
    assert {("contact", name) for name in expected.split()} <= set(COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_shell_completes_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    depth = 1 if shell == "tcsh" else 2  # of tcsh, shtab knows no more
    assert all(name in script for path in COMMANDS for name in path[:depth])
    assert shell == "tcsh" or "--expires-after" in script


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main.main([*path, "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert f"Example: shoal {' '.join(path)}".rstrip() in " ".join(out.split())


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("nonsense",),
        ("persona",),
        ("demo", "--relays", "3"),
        ("demo", "--relays", "x"),
        ("demo", "--relays", "-1"),
        ("demo", "--messages", "0"),
        ("demo", "--preset", "turbo"),
        ("demo", "--relays", "6", "--kill", "3"),
        ("lab", "--people", "0"),
        ("send", "--from", "x", "hi"),
        ("send", "--from", "x", "--to", "y"),
        ("save",),
        ("save", "x", "--timeout", "0"),
        ("demo", "--file-bytes", "1"),
        ("demo", "--offline", "--kill", "1"),
        ("demo", "--offline", "--file-bytes", "10485761"),
        ("send", "--from", "x", "--to", "y", "hi", "--wait", "seen"),
        ("send", "--from", "x", "--to", "y", "hi", "--wait", "read", "--timeout", "0"),
        ("send", "--from", "x", "--to", "y", "hi", "--wait", "read", "--timeout", "nan"),
        ("status", "--jsn"),
        ("bench", "nonsense"),
        ("completion", "powershell"),
        ("up", "--bootstrap", "nonsense"),
        ("up", "--network", "moon"),
        ("up",),
        ("relay", "--api", "0.0.0.0:80"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence_and_2(
    argv: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOAL_DATA", str(tmp_path))
    for variable in ("SHOAL_BOOTSTRAP", "SHOAL_LISTEN"):
        monkeypatch.delenv(variable, raising=False)
    try:
        code = main.main(argv)
    except SystemExit as error:
        code = int(error.code or 0)
    output = capsys.readouterr()
    assert (code, output.out) == (2, "")
    assert output.err.startswith("shoal") and output.err.count("\n") == 1


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == metadata.version("shoal") + "\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_scripts_know_the_commands(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "persona" in out and "inbox" in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from shoal_node.cli import main\n"
        "try: main.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stderr.split())
    heavy = {"libp2p", "trio", "starlette", "hypercorn", "rich", "nacl", "cryptography", "shtab"}
    assert not heavy & loaded


def load(role: Any, tmp_path: Path, environ: dict[str, str] | None = None, **flags: Any) -> Any:
    return config.load(role, tmp_path, flags, environ or {})


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f'bootstrap = ["{PUBLIC}"]\npreset = "saver"\napi = "127.0.0.1:1"\n'
    )
    environ = {"SHOAL_PRESET": "fast", "SHOAL_API": "localhost:2"}
    one = load("person", tmp_path, environ, api="[::1]:3")
    assert one.bootstrap == (PUBLIC,)
    assert (one.preset, one.api_host, one.api_port) == ("fast", "::1", 3)
    assert one.listen == () and one.data == tmp_path and one.role == "person"
    two = load("person", tmp_path, environ | {"SHOAL_BOOTSTRAP": f"{LOCAL},{PRIVATE}"})
    assert two.bootstrap == (LOCAL, PRIVATE)


@pytest.mark.parametrize(
    ("role", "listen", "bootstrap", "network"),
    [
        ("person", [], [LOCAL], "lab"),
        ("person", [], [LOCAL, PRIVATE], "lab"),
        ("person", [], [LOCAL, PUBLIC], "main"),
        ("person", ["/ip4/127.0.0.1/tcp/0"], [PUBLIC], "main"),
        ("relay", ["/ip4/127.0.0.1/tcp/0"], [], "lab"),
        ("relay", ["/ip4/192.168.1.2/tcp/1", "/ip6/::1/tcp/1"], [], "lab"),
        ("relay", ["/ip4/0.0.0.0/tcp/1"], [], "main"),
        ("relay", ["/ip4/0.0.0.0/tcp/1"], [LOCAL], "lab"),
        ("relay", [], [], "main"),
    ],
)
def test_the_lab_network_is_implied_by_private_addresses(
    tmp_path: Path, role: str, listen: list[str], bootstrap: list[str], network: str
) -> None:
    found = load(role, tmp_path, listen=listen, bootstrap=bootstrap)
    assert found.network == network
    assert found.network_parameters == parameters.NETWORKS[network]
    other = "main" if network == "lab" else "lab"
    asked = load(role, tmp_path, listen=listen, bootstrap=bootstrap, network=other)
    assert asked.network == other


def test_a_passphrase_file_is_named_by_flag_environment_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load("person", tmp_path, bootstrap=[LOCAL]).passphrase_file is None
    (tmp_path / "config.toml").write_text('passphrase_file = "~/one"\n')
    one = load("person", tmp_path, bootstrap=[LOCAL])
    assert one.passphrase_file == Path("/home/somebody/one")
    environ = {"SHOAL_PASSPHRASE_FILE": "/two"}
    two = load("person", tmp_path, environ, bootstrap=[LOCAL])
    assert two.passphrase_file == Path("/two")
    three = load("person", tmp_path, environ, bootstrap=[LOCAL], passphrase_file="three")
    assert three.passphrase_file == Path("three")
    assert load("relay", tmp_path, environ).passphrase_file is None
    (tmp_path / "config.toml").write_text("passphrase_file = 1\n")
    with pytest.raises(UsageError, match=r"passphrase_file in .* must be a text"):
        load("person", tmp_path, bootstrap=[LOCAL])


def test_a_relay_listens_by_itself(tmp_path: Path) -> None:
    assert load("relay", tmp_path).listen[0] == "/ip4/0.0.0.0/tcp/4001"
    assert set(load("relay", tmp_path).listen[1:]) <= {"/ip6/::/tcp/4001"}
    assert load("relay", tmp_path, bootstrap=[LOCAL]).listen == ("/ip4/127.0.0.1/tcp/0",)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"bootstrap": ["x"]}, "--bootstrap x: this is no address such as"),
        ({"bootstrap": ["/ip4/1.2.3.4/tcp/1"]}, "the relay's /p2p/… is missing"),
        ({"bootstrap": [LOCAL.replace("4001", "0")]}, "cannot be reached at port 0"),
        ({"bootstrap": [LOCAL.replace("4001", "70000")]}, "this is no address such as"),
        ({"bootstrap": [LOCAL[:-1]]}, "this is no address such as"),
        ({"bootstrap": [LOCAL] * 17}, "at most 16 addresses"),
        ({"listen": [LOCAL], "bootstrap": [LOCAL]}, "leave out /p2p/…"),
        ({"listen": ["/dns/a.example/tcp/1"], "bootstrap": [LOCAL]}, "not on a name"),
        ({"listen": ["/memory/1"], "bootstrap": [LOCAL]}, "no TCP address"),
        ({}, "--bootstrap is needed"),
        ({"bootstrap": [LOCAL], "preset": "x"}, "--preset x: it can be saver or balanced or fast."),
        (
            {"bootstrap": [LOCAL], "network": "x"},
            "--network x: it can be main or lab or lab5 or trial.",
        ),
        ({"bootstrap": [LOCAL], "relay": "yes"}, "run `shoal relay` beside it"),
        ({"bootstrap": [LOCAL], "api": "8080"}, "--api 8080: write HOST:PORT"),
        ({"bootstrap": [LOCAL], "api": "127.0.0.1:x"}, "write HOST:PORT"),
        ({"bootstrap": [LOCAL], "api": "127.0.0.1:65536"}, "write HOST:PORT"),
        ({"bootstrap": [LOCAL], "api": "0.0.0.0:80"}, "this machine only"),
        ({"bootstrap": [LOCAL], "api": "example.org:80"}, "this machine only"),
    ],
)
def test_a_bad_flag_is_named(tmp_path: Path, flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        load("person", tmp_path, **flags)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("preset = ", "is not TOML"),
        ("\x00", "is not TOML"),
        ("speed = 1", "speed in {path}: there is no such setting."),
        ("preset = 1", "preset in {path} must be a text."),
        ('bootstrap = "x"', "bootstrap in {path} must be a list of texts."),
        ('bootstrap = ["x"]', "bootstrap in {path} x: this is no address"),
        ('preset = "x"', "preset in {path} x: it can be"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load("person", tmp_path)
    assert sentence.format(path=path) in str(error.value)


def test_a_bad_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SHOAL_PRESET x: it can be"):
        load("person", tmp_path, {"SHOAL_PRESET": "x"}, bootstrap=[LOCAL])
