"""Bad command lines, configurations and homes, given to the real command: one clear sentence."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from processes.waiting import until
from shoal_node import home

COMMAND = [sys.executable, "-m", "shoal_node.cli.main"]
PEER = "/p2p/12D3KooWGRUVh7ZyiMUMCrDsAbdyTMyGpJsm9K8cVr4D8RHLKsLb"
ANYWHERE = "/ip4/127.0.0.1/tcp/0"
ENDS_S = 60.0


def _run(data: Path, command: str, *flags: str) -> tuple[int, str]:
    """Run ``shoal`` to its end; return its exit code and what it wrote on standard error."""
    done = subprocess.run(
        [*COMMAND, command, "--data", str(data), *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ENDS_S,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def _is_one_sentence(errors: str) -> bool:
    """Whether it is one line, and a sentence."""
    return errors.count("\n") == 1 and errors.startswith("shoal") and errors.endswith(".\n")


def _sentences(errors: str) -> int:
    """How many of the command's sentences are among what a node logs as it starts and stops."""
    assert "Traceback" not in errors, errors
    return sum(line.startswith("shoal: ") and line.endswith(".") for line in errors.splitlines())


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("--listen here", ("relay", "--listen", "here")),
        ("--listen", ("relay", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1")),
        ("--listen", ("relay", "--listen", "/ip4/127.0.0.1/tcp/70000")),
        ("/p2p/", ("relay", "--listen", f"/ip4/127.0.0.1/tcp/0{PEER}")),
        ("/p2p/", ("relay", "--bootstrap", "/ip4/127.0.0.1/tcp/4001")),
        ("port 0", ("relay", "--bootstrap", f"/ip4/127.0.0.1/tcp/0{PEER}")),
        ("moon", ("relay", "--network", "moon")),
        ("0.0.0.0:80", ("relay", "--api", "0.0.0.0:80")),
        ("127.0.0.1:port", ("relay", "--api", "127.0.0.1:port")),
        ("--nonsense", ("relay", "--nonsense")),
        ("over", ("relay", "over")),
        ("--bootstrap", ("up",)),
        ("loud", ("up", "--preset", "loud", "--bootstrap", f"/ip4/127.0.0.1/tcp/1{PEER}")),
        ("--relay yes", ("up", "--relay", "yes", "--bootstrap", f"/ip4/127.0.0.1/tcp/1{PEER}")),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_2(
    tmp_path: Path, named: str, arguments: Sequence[str]
) -> None:
    code, errors = _run(tmp_path / "home", *arguments)
    assert (code, _is_one_sentence(errors), named in errors) == (2, True, True), errors


@pytest.mark.parametrize(
    "text", ["listen = [", 'listen = "one"', 'colour = "red"', 'api = "192.0.2.1:80"', "\0"]
)
def test_a_wrong_configuration_is_one_sentence_and_2(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    code, errors = _run(tmp_path, "relay", "--listen", ANYWHERE)
    assert (code, _is_one_sentence(errors), "config.toml" in errors) == (2, True, True), errors


def test_a_taken_port_is_one_sentence_and_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for number, flags in enumerate(
            (
                ("--listen", f"/ip4/127.0.0.1/tcp/{port}"),
                ("--listen", ANYWHERE, "--api", f"127.0.0.1:{port}"),
            )
        ):
            code, errors = _run(tmp_path / f"home-{number}", "relay", *flags)
            assert (code, _sentences(errors), str(port) in errors) == (1, 1, True), errors


def test_a_home_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    code, errors = _run(file, "relay", "--listen", ANYWHERE)
    assert (code in (1, 2), _is_one_sentence(errors)) == (True, True), errors


def test_a_second_node_in_a_home_is_refused_and_the_first_goes_on_and_ends_cleanly(
    tmp_path: Path,
) -> None:
    command = [*COMMAND, "relay", "--data", str(tmp_path), "--listen", ANYWHERE]
    first = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        api = tmp_path / home.API_FILE
        until(api.exists, ENDS_S, "the relay's API answers")
        code, errors = _run(tmp_path, "relay", "--listen", ANYWHERE)
        assert (code, _is_one_sentence(errors)) == (1, True), errors
        assert first.poll() is None
        first.terminate()
        _, errors = first.communicate(timeout=ENDS_S)
        assert (first.returncode, "Traceback" in errors, api.exists()) == (0, False, False), errors
    finally:
        first.kill()
        first.communicate()
