"""What the relay's systemd unit starts tells systemd how it is, and Prometheus, until it ends."""

import os
import shlex
import signal
import socket
import subprocess
from itertools import chain
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from cli.test_relay_unit import installed, setting
from relay.test_metrics import complaints
from shoal_node import home

SETTINGS = 'listen = ["/ip4/127.0.0.1/tcp/0"]\n[metrics]\nlisten = "127.0.0.1:0"\n'
START_S, END_S = 30.0, 20.0


def test_what_the_unit_starts_tells_systemd_how_it_is_until_it_ends(tmp_path: Path) -> None:
    text = installed(tmp_path).read_text()
    assert setting(text, "Type") == "notify"
    assert setting(text, "ExecReload") == "/bin/kill -HUP $MAINPID"
    state = tmp_path / "state"
    state.mkdir(mode=int(setting(text, "StateDirectoryMode"), 8))
    (state / home.CONFIG_FILE).write_text(SETTINGS)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(START_S)

        def told() -> str:
            return manager.recv(4096).decode()

        with subprocess.Popen(
            shlex.split(setting(text, "ExecStart")),
            env=environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
            stderr=subprocess.PIPE,
            text=True,
        ) as relay:
            try:
                assert told() == "READY=1"
                assert (state / home.API_FILE).exists(), "it answers by then"
                assert told().startswith("STATUS=Ready; 1 relays known.")
                assert relay.stderr is not None
                line = next(line for line in relay.stderr if line.startswith("Metrics at "))
                with urlopen(line.removeprefix("Metrics at ").strip(), timeout=END_S) as answer:
                    families = [*text_string_to_metric_families(answer.read().decode())]
                assert [*chain.from_iterable(map(complaints, families))] == []
                assert {"shoal_ready", "shoal_relays"} < {family.name for family in families}
                assert [told() for _ in range(3)] == ["WATCHDOG=1"] * 3
                relay.send_signal(signal.SIGHUP)
                heard = [told() for _ in range(6)]
                at = next(i for i, one in enumerate(heard) if one.startswith("RELOADING=1\n"))
                assert heard[at + 1] == "READY=1"
                relay.send_signal(signal.SIGTERM)
                while (last := told()) == "WATCHDOG=1":
                    continue
                assert last == "STOPPING=1"
                relay.communicate(timeout=END_S)
            finally:
                relay.kill()
    assert relay.returncode == 0
