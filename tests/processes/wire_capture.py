"""What a watcher of the wire has: when a segment passed, which way, how long, between whom.

``python -m processes.wire_capture FILE PORT…`` watches these ports of a bridge until SIGTERM.

::

    host ──► PORT ──► bridge        up: comes in at the port
    host ◄── PORT ◄── bridge        down: goes out of it

    FILE: records of 24 bytes │ time, ns 8 │ place of the port 2 │ down 1 │ 0 1 │
                              │ far address 4 │ payload, bytes 4 │ far TCP port 2 │ 0 2 │

Times are the kernel's. Segments without payload are left out, and no payload is read.
"""

import selectors
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Final

RECORD: Final = struct.Struct("<QHBxIIHxx")
HEADERS: Final = 128  # bytes of a segment that are read: Ethernet, IPv4, TCP
ALL: Final = 0x0003  # ETH_P_ALL
OUTGOING: Final = 4  # PACKET_OUTGOING
TIMESTAMPNS: Final = 35  # SO_TIMESTAMPNS and the kind of its message
RCVBUFFORCE: Final = 33
SOL_PACKET: Final = 263
STATISTICS: Final = 6  # PACKET_STATISTICS
BUFFER: Final = 2**23  # bytes a socket
_TIMESPEC: Final = struct.Struct("@qq")


def opened(port: str) -> socket.socket:
    """Return a socket that is given all that passes a port."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    found.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, BUFFER)
    found.setsockopt(socket.SOL_SOCKET, TIMESTAMPNS, 1)
    found.bind((port, ALL))
    found.setblocking(False)
    return found


def read(watched: socket.socket, place: int) -> bytes | None:
    """Take the next segment; its record, or nothing where it bears no payload."""
    data, extras, _, origin = watched.recvmsg(HEADERS, socket.CMSG_SPACE(_TIMESPEC.size))
    if data[12:14] != b"\x08\x00" or data[23] != socket.IPPROTO_TCP:
        return None
    ip = 4 * (data[14] & 15)
    tcp = 14 + ip
    payload = int.from_bytes(data[16:18], "big") - ip - 4 * (data[tcp + 12] >> 4)
    if payload <= 0:
        return None
    seconds, rest = next(
        _TIMESPEC.unpack(value) for _, kind, value in extras if kind == TIMESTAMPNS
    )
    down = origin[2] == OUTGOING
    far, far_port = (26, tcp) if down else (30, tcp + 2)
    return RECORD.pack(
        seconds * 10**9 + rest,
        place,
        down,
        int.from_bytes(data[far : far + 4], "big"),
        payload,
        int.from_bytes(data[far_port : far_port + 2], "big"),
    )


def main(path: Path, ports: list[str]) -> None:
    """Watch until SIGTERM; print how many segments the kernel dropped for want of room."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    watched = [opened(port) for port in ports]
    with path.open("wb") as out, selectors.DefaultSelector() as waiting:
        for place, one in enumerate(watched):
            waiting.register(one, selectors.EVENT_READ, place)
        while not ended:
            for key, _ in waiting.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                for _ in range(64):
                    try:
                        record = read(key.fileobj, key.data)
                    except BlockingIOError:
                        break
                    if record is not None:
                        out.write(record)
            out.flush()
    dropped = 0
    for one in watched:
        dropped += struct.unpack("@II", one.getsockopt(SOL_PACKET, STATISTICS, 8))[1]
        one.close()
    sys.stdout.write(f"{dropped}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
