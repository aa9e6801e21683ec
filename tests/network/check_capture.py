"""The watcher of lines sees each segment once: its time, way and length, and who was at its end."""

import sys
import time
from itertools import pairwise
from pathlib import Path

from network.namespaces import HUB, Host, Internet
from processes import wire_capture, wires
from processes.waiting import pause, until

SERVE = """
import socket
with socket.create_server((%r, 4001)) as server:
    one = server.accept()[0]
    for length in (100, 3102, 700):
        while length:
            length -= len(one.recv(length))
    one.sendall(bytes(33))
    one.recv(1)
"""
CALL = """
import socket, time
with socket.create_connection((%r, 4001)) as one:
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for length in (100, 3102, 700):
        one.sendall(bytes(length))
        time.sleep(0.2)
    one.recv(33)
"""


def test_a_watched_line_tells_times_ways_and_lengths_and_nothing_else(
    internet: Internet, tmp_path: Path
) -> None:
    near, far = internet.spread(2)
    captured, log = tmp_path / "captured", tmp_path / "log"
    hub = Host(HUB, None, None)
    internet.hosts.append(hub)
    began = time.time()
    argv = [sys.executable, wire_capture.__file__, str(captured), "port0"]
    capture = hub.start(argv, log)
    until(captured.exists, 10.0, "the capture has begun")
    far.start([sys.executable, "-c", SERVE % far.v4], tmp_path / "served")
    until(
        lambda: near.run([sys.executable, "-c", CALL % far.v4]).returncode == 0, 10.0, "an exchange"
    )
    pause(0.3)
    capture.terminate()
    assert capture.wait(10.0) == 0
    assert log.read_text() == "0\n"  # segments dropped
    (line,) = wires.Segments.read(captured, 1)
    assert line.length.tolist() == [100, 3102, 700, 33]
    assert line.down.tolist() == [0, 0, 0, 1]
    assert len(set(line.far.tolist())) == 1
    assert began < line.at[0] < line.at[-1] < time.time()
    assert all(later - earlier > 0.15 for earlier, later in pairwise(line.at[:3]))
