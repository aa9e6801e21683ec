"""Proof of work."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.pseudonyms import work

CHALLENGE = work.challenge(b"test", b"part")


@given(st.integers(0, 10), st.integers(0, 2**64 - 1))
@settings(max_examples=40)
def test_what_is_solved_is_accepted_and_has_the_zero_bits(bits: int, start: int) -> None:
    nonce = work.solve(CHALLENGE, bits, start=start)
    work.check(CHALLENGE, nonce, bits)
    value = crypto.blake2b(CHALLENGE + nonce, digest_size=8, person=b"shoal work").digest()
    assert int.from_bytes(value, "big") >> (64 - bits) == 0


def test_less_work_than_asked_is_refused() -> None:
    nonce = work.solve(CHALLENGE, 6, start=0)
    worth = 6
    while worth < 64:
        try:
            work.check(CHALLENGE, nonce, worth + 1)
        except RemoteProtocolError as error:
            assert error.reason == "work"
            break
        worth += 1
    for bits in range(worth + 1):
        work.check(CHALLENGE, nonce, bits)
    for bits in (*range(worth + 1, 70), 255, 2**31):
        with pytest.raises(RemoteProtocolError, match="work"):
            work.check(CHALLENGE, nonce, bits)


def test_work_for_one_challenge_is_worth_nothing_for_another() -> None:
    nonce = work.solve(CHALLENGE, 12, start=0)
    others = [
        work.challenge(b"test", b"other"),
        work.challenge(b"other", b"part"),
        work.challenge(b"test", b"pa", b"rt"),
    ]
    for other in others:
        with pytest.raises(RemoteProtocolError, match="work"):
            work.check(other, nonce, 12)


@pytest.mark.parametrize("length", [0, 7, 9, 16])
def test_a_nonce_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(RemoteProtocolError, match="work"):
        work.check(CHALLENGE, bytes(length), 0)


def test_slices_of_any_size_find_the_same_nonce() -> None:
    whole = work.solve(CHALLENGE, 10, start=5)
    for rounds in (1, 7, 100):
        solver = work.Solver(CHALLENGE, 10, start=5)
        nonce = None
        while nonce is None:
            nonce = solver.step(rounds)
        assert nonce == whole


def test_the_search_goes_on_from_zero_after_the_last_nonce() -> None:
    solver = work.Solver(CHALLENGE, 0, start=2**64 - 1)
    assert solver.step() == b"\xff" * 8
    assert solver.step() == bytes(8)


@pytest.mark.parametrize(("bits", "start"), [(-1, 0), (65, 0), (8, -1), (8, 2**64)])
def test_impossible_work_is_our_own_bug(bits: int, start: int) -> None:
    with pytest.raises(LocalProtocolError):
        work.Solver(CHALLENGE, bits, start=start)
