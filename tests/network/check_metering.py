"""What a relay counts of its month, beside what its interface counted, segment by segment."""

import subprocess
import sys
from pathlib import Path

from network.namespaces import ROOT, Host, Internet
from processes.waiting import Say, pause

PACKETS = 800
MOST = 1.1  # times what crossed
PORT = 4001
SETTLE_S = 2.0  # until the relay has looked at its meter, and the last segments have come


def on_the_line(host: Host) -> int:
    """Bytes that the interface sent and received, without Ethernet's 14 a frame."""
    [line] = [
        line for line in host.run(["cat", "/proc/net/dev"]).stdout.splitlines() if "eth0:" in line
    ]
    words = [int(word) for word in line.partition(":")[2].split()]
    (received, frames_in), (sent, frames_out) = words[0:2], words[8:10]
    return received + sent - 14 * (frames_in + frames_out)


def segment_as_a_real_line_does(host: Host) -> None:
    """Have the kernel hand over segments of 1,500 bytes, not 64 KiB at once."""
    command = ["ip", "-n", host.name, "link", "set", "eth0", "gso_max_segs", "1"]
    subprocess.run(command, check=True)


def test_a_relay_counts_what_crosses_its_interface_and_little_more(
    internet: Internet, tmp_path: Path, say: Say
) -> None:
    one, other = internet.host("45.33.7.2", "2a01:4f8:1::2"), internet.host(None, "2a02:c7f:2::2")
    third = internet.host("81.2.69.142")
    for host in internet.hosts:
        segment_as_a_real_line_does(host)
    node = one.node("relay", tmp_path / "relay", "--network", "lab", *one.listen(PORT))
    v4, v6 = node.client().api.addrs

    def used() -> float:
        return float(node.client().get("status")["month"]["used_gb"]) * 1e9

    for stranger, address, rest in ((other, v6, 0.0), (third, v4, 0.004)):
        before, line, theirs = used(), on_the_line(one), on_the_line(stranger)
        sent = stranger.run(
            [sys.executable, "-m", "network.sender", address, str(PACKETS), str(rest)],
            env={"PYTHONPATH": str(ROOT / "tests")},
        )
        assert sent.returncode == 0, sent.stderr
        pause(SETTLE_S)
        received = (used() - before) / (on_the_line(one) - line)
        given = int(sent.stdout) / (on_the_line(stranger) - theirs)
        kind = f"IPv{6 if stranger is other else 4}, {'paced' if rest else 'at once'}"
        say(f"{kind}: counted {received:.3f} of what came, {given:.3f} of what was sent")
        assert 1.0 <= received <= MOST
        assert 1.0 <= given <= MOST
    assert node.end() == 0
