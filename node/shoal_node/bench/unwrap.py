"""What a packet costs: unwrapping at a relay beside its floor in C, building at a sender.

Python and C take turns on the same packets in one run, in rounds of a few milliseconds, and
medians of the rounds are compared. Whoever else uses the machine slows Python more than C,
so the ratio of the best rounds stands beside: it is what a quiet machine gives. The replay
filter is new in each round; one that holds a million tags adds about 1 µs (docs/spec/
packet.md §6).
"""

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from shoal_node.bench.floor import library
from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, UserError
from shoal_protocol.packets import build, geometry, keys, unwrap
from shoal_protocol.rng import Rng

_PACKETS: Final = 64  # a round
_ROUNDS: Final = 100
_BUILDS: Final = 20  # a round
_BUILD_ROUNDS: Final = 41
_WARM_ROUNDS: Final = 3
_EPOCH: Final = 1
_NETWORK: Final = bytes(32)
_PRIVATE: Final = crypto.digest(b"bench relay")


def _rng() -> Rng:
    return Rng(crypto.seeded_source(b"bench"))


def _path(rng: Rng) -> list[keys.Hop]:
    privates = [_PRIVATE, rng.bytes(32), rng.bytes(32)]
    return [
        keys.Hop(rng.bytes(16), _EPOCH, crypto.x25519_public(private), delay_ms=50)
        for private in privates
    ]


def _us(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / count / 1000


def _keyring() -> keys.MixKeyring:
    keyring = keys.MixKeyring(_NETWORK)
    keyring.advance(_EPOCH, Rng(lambda size: _PRIVATE[:size]))
    return keyring


def _floor(packets: list[bytes], expected: list[bytes]) -> Callable[[], object]:
    """Return one round of the C floor, once its results have been found equal to ours."""
    call = library.load("unwrap").shoal_floor_unwrap
    call.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_char_p,
    ]
    joined = b"".join(packets)
    out = ctypes.create_string_buffer(len(joined))
    bound = keys.binding(crypto.x25519_public(_PRIVATE), _EPOCH, _NETWORK)

    def round_of_floor() -> object:
        return call(out, joined, len(packets), _PRIVATE, bound)

    if round_of_floor() != 0 or out.raw != b"".join(expected):
        raise LocalProtocolError("the floor does other work than the relay")
    return round_of_floor


def measure() -> dict[str, dict[str, float]]:
    """Return ``{"unwrap": {"us", "floor_us", "ratio_to_floor", …}}``, microseconds a packet.

    ``best_us``, ``best_floor_us`` and ``best_ratio_to_floor`` are of the best rounds. Without a C
    compiler or libsodium's headers our own figures are alone, and one sentence on standard
    error says what to install.
    """
    rng = _rng()
    path = _path(rng)
    body = rng.bytes(geometry.BODY_LENGTH)
    packets = [build.forward(path, body, network=_NETWORK, rng=rng) for _ in range(_PACKETS)]

    def round_of_ours(keyring: keys.MixKeyring) -> None:
        one = unwrap.unwrap
        for packet in packets:
            one(packet, keyring)

    keyring = _keyring()
    onward = [
        u.packet for p in packets if isinstance(u := unwrap.unwrap(p, keyring), unwrap.Forward)
    ]
    try:
        floor = _floor(packets, onward)
    except UserError as error:
        sys.stderr.write(f"shoal bench: {error}\n")
        floor = None
    ours: list[float] = []
    floors: list[float] = []
    for _ in range(_ROUNDS):
        ours.append(_us(partial(round_of_ours, _keyring()), _PACKETS))
        if floor is not None:
            floors.append(_us(floor, _PACKETS))
    figures = {"us": statistics.median(ours[_WARM_ROUNDS:]), "best_us": min(ours)}
    if floors:
        figures["floor_us"] = statistics.median(floors[_WARM_ROUNDS:])
        figures["ratio_to_floor"] = figures["us"] / figures["floor_us"]
        figures["best_floor_us"] = min(floors)
        figures["best_ratio_to_floor"] = figures["best_us"] / figures["best_floor_us"]
    return {"unwrap": figures}


def measure_build3() -> dict[str, dict[str, float]]:
    """Return ``{"build3": {"us"}}``: microseconds to build a forward packet over three hops."""
    rng = _rng()
    path = _path(rng)
    body = rng.bytes(geometry.BODY_LENGTH)

    def round_of_builds() -> None:
        for _ in range(_BUILDS):
            build.forward(path, body, network=_NETWORK, rng=rng)

    rounds = [_us(round_of_builds, _BUILDS) for _ in range(_BUILD_ROUNDS)]
    return {"build3": {"us": statistics.median(rounds[_WARM_ROUNDS:])}}
