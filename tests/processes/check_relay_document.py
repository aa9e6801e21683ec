"""docs/relay.md takes a volunteer from nothing to a relay that runs, is watched, and leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from network.namespaces import ROOT
from network.volunteer import HOST, INSTALLED, Shell, blocks, environment
from processes.waiting import Say

FOLLOWED_S = 600.0


def test_the_page_for_volunteers_is_followed_word_by_word(tmp_path: Path, say: Say) -> None:
    user = tmp_path / "home"
    user.mkdir(mode=0o700)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(user / "shoal")], check=True)
    shell = Shell(["bash"], environment(user))
    for block in blocks():
        if block.name in INSTALLED:
            shell.run(block)
    shell.end()

    inside = [str(ROOT / "tools" / "in-namespaces"), sys.executable, "-m", "network.volunteer"]
    path = os.pathsep.join(str(ROOT / each) for each in ("tests", "node", "protocol"))
    followed = subprocess.run(
        [*inside, str(user)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        timeout=FOLLOWED_S,
        check=True,
    )
    said = json.loads(followed.stdout)
    assert [*INSTALLED, *said] == [block.name for block in blocks()]
    assert said["status"].startswith("ready         yes\n")
    assert f"have dialled /ip4/{HOST}/tcp/" in said["reachable"], said["reachable"]
    assert "FAIL" not in said["reachable"]
    assert "as relays of 3 networks say" in said["reachable"]
    assert "All it kept has been handed on" in said["drain"]
    metrics = {family.name for family in text_string_to_metric_families(said["metrics"])}
    say(f"a relay by its document: {len(said)} blocks, {len(metrics)} metrics")
    assert {"shoal_ready", "shoal_reachable", "shoal_relays", "shoal_month_limit_bytes"} <= metrics
