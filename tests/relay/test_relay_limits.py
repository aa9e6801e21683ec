"""Token buckets: what one peer may send, and how little a crowd of peers makes a relay hold."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol.clock import SECOND
from shoal_protocol.relay.limits import PeerLimiter
from support import START


def peer(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_quiet_peer_may_send_a_burst_and_then_its_rate() -> None:
    limiter = PeerLimiter(rate=10, burst=5, peers=10)
    assert [limiter.take(peer(1), START) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not limiter.take(peer(1), START + SECOND // 20)
    assert limiter.take(peer(1), START + SECOND // 10)
    assert not limiter.take(peer(1), START + SECOND // 10)
    later = START + 100 * SECOND
    assert [limiter.take(peer(1), later) for _ in range(6)] == [True] * 5 + [False]


def test_one_peers_flood_takes_nothing_from_another() -> None:
    limiter = PeerLimiter(rate=10, burst=5, peers=10)
    for step in range(1000):
        limiter.take(peer(1), START + step)
    assert limiter.take(peer(2), START + 1000)


@given(st.lists(st.integers(0, SECOND // 2), min_size=1, max_size=200))
@settings(max_examples=60)
def test_no_peer_gets_more_than_burst_and_rate(gaps: list[int]) -> None:
    limiter = PeerLimiter(rate=10, burst=5, peers=1)
    now = START
    taken = 0
    for gap in gaps:
        now += gap
        taken += limiter.take(peer(1), now)
    assert taken <= 5 + (now - START) * 10 // SECOND


def test_leaving_and_coming_again_does_not_refill_a_bucket() -> None:
    limiter = PeerLimiter(rate=1, burst=2, peers=3)
    assert limiter.take(peer(1), START) and limiter.take(peer(1), START)
    for other in range(2, 50):
        limiter.take(peer(other), START)
    assert not limiter.take(peer(1), START)
    assert len(limiter) == 3


def test_a_crowd_of_a_hundred_thousand_peers_is_held_in_bounded_memory() -> None:
    limiter = PeerLimiter(rate=1000, burst=1000, peers=4096)
    tracemalloc.start()
    for number in range(100_000):
        limiter.take(peer(number), START + number)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(limiter) == 4096
    assert peak < 2 * 2**20
    assert limiter.take(peer(100_000), START + SECOND), "room again once buckets are full"
