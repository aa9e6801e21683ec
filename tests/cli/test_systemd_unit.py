"""The systemd user unit: systemd finds nothing wrong with it, and what it starts is a node."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from processes.waiting import until
from shoal_node import home

UNIT = Path(__file__).parents[2] / "packaging/systemd/shoal.service"
NOBODY = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWRRfeqRUT3vtvG73hwfaE7SGHWXbjs1vRN1QR1CUoaGFs"
START_S = 30.0  # s for a node to answer
END_S = 20.0  # s for it to end, as the unit allows


def someones_home(path: Path) -> dict[str, str]:
    """Put `shoal` where pipx does and a configuration where the unit's reads it: environment."""
    program = path / ".local/bin/shoal"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m shoal_node.cli.main "$@"\n')
    program.chmod(0o755)
    data = path / ".local/share/shoal"
    data.mkdir(parents=True, mode=0o700)
    (data / home.CONFIG_FILE).write_text(f'bootstrap = ["{NOBODY}"]\n')
    away = ("XDG_", "SHOAL_")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(away)}
    return environ | {"HOME": str(path), "XDG_RUNTIME_DIR": str(path), "JOURNAL_STREAM": "8:1"}


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    environ = someones_home(tmp_path)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # no systemd: what the unit starts is checked below all the same
        return
    command = [analyze, "--user", "verify", str(UNIT)]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


def test_what_the_unit_starts_is_a_node_that_tells_the_journal_no_key(tmp_path: Path) -> None:
    environ = someones_home(tmp_path)
    [line] = [line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    command = shlex.split(line.removeprefix("ExecStart=").replace("%h", str(tmp_path)))
    data = tmp_path / ".local/share/shoal"
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as node:
        try:
            until(
                lambda: (data / home.API_FILE).exists() or node.poll() is not None,
                START_S,
                "the API answers",
            )
            api = home.read_api(data)
            node.send_signal(signal.SIGTERM)
            _, told = node.communicate(timeout=END_S)
        finally:
            node.kill()
    assert node.returncode == 0
    assert "`shoal page` prints its address" in told
    assert api.token not in told and "#" not in told
