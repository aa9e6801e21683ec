"""A person's node that was erased ends, and its memory is shown to nobody while it runs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.waiting import until
from shoal_node import daemon, home
from shoal_node.api.client import Client
from shoal_protocol.errors import UserError

NOBODY = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
START_S = 30.0  # s for a node to answer
END_S = 15.0  # s for it to end


@pytest.fixture
def node(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A real person's node in ``tmp_path``, under a passphrase, that knows no relay."""
    (tmp_path / "passphrase").write_text("heron\n")
    command = [sys.executable, "-m", "shoal_node.cli.main", "up", "--no-browser"]
    command += ["--data", str(tmp_path / "home"), "--network", "lab"]
    command += ["--bootstrap", NOBODY]
    command += ["--passphrase-file", str(tmp_path / "passphrase")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        try:
            api = tmp_path / "home" / home.API_FILE
            until(lambda: api.exists() or started.poll() is not None, START_S, "the API answers")
            yield started
        finally:
            started.kill()


def test_an_erased_node_answers_and_ends_so_that_its_memory_is_the_systems(
    node: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    client = Client.of(tmp_path / "home")
    assert client.get("lock") == {"state": "open", "passphrase": True}
    client.post("panic", body={"confirm": "erase"})  # raises unless it is answered by 204
    _, told = node.communicate(timeout=END_S)
    assert node.returncode == 0
    assert told.splitlines()[-1] == daemon.ERASED
    assert sorted(os.listdir(tmp_path / "home")) == [home.LOCK_FILE]
    with pytest.raises(UserError, match="No node runs"):
        Client.of(tmp_path / "home")


def test_no_crash_and_no_program_of_the_same_user_sees_a_persons_memory(
    node: "subprocess.Popen[str]",
) -> None:
    limits = Path(f"/proc/{node.pid}/limits")
    if limits.exists():  # Linux shows them of other processes
        [cores] = [line for line in limits.read_text().splitlines() if "core file" in line]
        assert cores.split()[4:6] == ["0", "0"]
    script = (
        "import ctypes, resource\n"
        "from shoal_node import undumped\n"
        "undumped.protect()\n"
        "ask = getattr(ctypes.CDLL(None), 'prctl', lambda *asked: 0)\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ask(3, 0, 0, 0, 0))\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert told.stdout == b"(0, 0) 0\n"
