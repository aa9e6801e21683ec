"""The relay's systemd unit: systemd finds nothing wrong with it, and little exposed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from shoal_node import daemon
from shoal_node.cli import main
from shoal_node.usage import LeftBehind

UNIT = Path(__file__).parents[2] / "packaging/systemd/shoal-relay.service"
PROGRAM, STATE = "/opt/shoal/.venv/bin/shoal", "/var/lib/shoal-relay"
EXPOSURE = 1.5  # as `systemd-analyze security` counts it: 0 to 10


def installed(path: Path) -> Path:
    """Return a copy of the unit whose program and state lie in ``path``."""
    program = path / "shoal"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m shoal_node.cli.main "$@"\n')
    program.chmod(0o755)
    copy = path / UNIT.name
    text = UNIT.read_text()
    assert text.count(PROGRAM) == 1
    copy.write_text(text.replace(PROGRAM, str(program)).replace(STATE, str(path / "state")))
    return copy


def setting(text: str, name: str) -> str:
    [found] = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(found)


def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    unit = installed(tmp_path)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # no systemd: what the unit starts is checked below all the same
        return
    told = subprocess.run(
        [analyze, "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
    judged = subprocess.run(
        [analyze, "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        check=True,
    )
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert float(exposure) <= EXPOSURE


def test_a_relay_that_left_is_not_started_again(tmp_path: Path, monkeypatch: Any) -> None:
    unit = UNIT.read_text()
    assert setting(unit, "Restart") == "on-failure"

    def left(*_: object) -> int:
        raise LeftBehind(daemon.LEFT)

    monkeypatch.setattr(daemon, "main", left)
    code = main.main(["relay", "--data", str(tmp_path), "--listen", "/ip4/127.0.0.1/tcp/0"])
    assert setting(unit, "RestartPreventExitStatus") == str(code)
