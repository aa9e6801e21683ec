"""The double ratchet: order, limits, forgery, and what a stolen state gives away."""

import dataclasses
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudonyms import people
from sessions.pairs import RNG, lying, pair, talk
from shoal_protocol import crypto
from shoal_protocol.client import parcel
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.sessions import padding, ratchet
from shoal_protocol.sessions.ratchet import MAX_CHAINS, MAX_SKIP, MAX_STORED, Ratchet
from support import seeded


def refused(side: Ratchet, body: bytes, reason: str | None = None) -> None:
    """Assert that ``side`` refuses ``body``, for ``reason`` if one is given, and is as it was."""
    before = side.dump()
    with pytest.raises(RemoteProtocolError, match=reason):
        side.open(body, RNG)
    assert side.dump() == before


def test_both_sides_read_each_other_from_the_first_message_on() -> None:
    ada, bob = pair()
    assert ada.id == bob.id != pair(1)[0].id
    assert bob.open(ada.seal(b"one", RNG), RNG) == b"one"
    assert ada.open(bob.seal("二".encode(), RNG), RNG) == "二".encode()
    talk(ada, bob, 10)


def test_the_answerer_may_write_first() -> None:
    ada, bob = pair()
    unread = ada.seal(b"on its way", RNG)
    assert ada.open(bob.seal(b"first", RNG), RNG) == b"first"
    assert bob.open(ada.seal(b"next", RNG), RNG) == b"next"
    assert bob.open(unread, RNG) == b"on its way"


@pytest.mark.parametrize("length", [0, 1, ratchet.CAPACITY - 1, ratchet.CAPACITY])
def test_texts_of_every_length_make_bodies_of_one_length(length: int) -> None:
    ada, bob = pair()
    body = ada.seal(b"x" * length, RNG)
    assert len(body) == ratchet.BODY_LENGTH == 1928
    assert bob.open(body, RNG) == b"x" * length


def test_a_text_too_long_is_our_own_bug_and_changes_nothing() -> None:
    """Ledger: overlong message raises the wrong exception (Briar 2023)."""
    ada, _ = pair()
    before = ada.dump()
    with pytest.raises(LocalProtocolError):
        ada.seal(bytes(ratchet.CAPACITY + 1), RNG)
    assert ada.dump() == before


def test_the_same_draws_give_the_same_bodies() -> None:
    def run() -> list[bytes]:
        (ada, bob), rng = pair(), seeded("same")
        bodies = [ada.seal(b"one", rng)]
        bob.open(bodies[0], rng)
        bodies.append(bob.seal(b"two", rng))
        ada.open(bodies[1], rng)
        return [*bodies, ada.seal(b"three", rng)]

    assert run() == run()


def test_messages_of_several_chains_are_read_in_any_order() -> None:
    ada, bob = pair()
    late: list[bytes] = []
    for chain in range(5):
        late += [ada.seal(bytes([chain, i]), RNG) for i in range(3)]
        talk(ada, bob)
        late.append(ada.seal(bytes([chain, 3]), RNG))
    talk(ada, bob)
    texts = [bytes([chain, i]) for chain in range(5) for i in range(4)]
    order = list(range(len(late)))
    seeded("order").shuffle(order)
    for place in order:
        assert bob.open(late[place], RNG) == texts[place]
    assert bob.stored == 0


def test_a_replayed_message_is_refused_and_changes_nothing() -> None:
    ada, bob = pair()
    bodies = [ada.seal(bytes([i]), RNG) for i in range(3)]
    bob.open(bodies[2], RNG)
    bob.open(bodies[0], RNG)
    for body in (bodies[0], bodies[2]):
        refused(bob, body, "ratchet number")
    assert bob.open(bodies[1], RNG) == b"\1"
    talk(bob, ada)
    talk(bob, ada)
    for body in bodies:
        refused(bob, body, "ratchet header")


def test_a_message_is_not_read_by_its_own_sender() -> None:
    ada, bob = pair()
    refused(ada, ada.seal(b"reflected", RNG), "ratchet header")
    talk(ada, bob)
    refused(ada, ada.seal(b"reflected", RNG), "ratchet header")


def test_another_sessions_message_is_refused() -> None:
    refused(pair()[1], pair(1)[0].seal(b"text", RNG), "ratchet header")


@given(st.integers(0, 1927), st.integers(0, 7), st.integers(0, 3))
@settings(max_examples=120)
def test_any_flipped_bit_is_refused_and_changes_nothing(place: int, bit: int, case: int) -> None:
    """In this chain, in the next one, of a skipped message, of a skipped one of an old chain."""
    ada, bob = pair()
    old = ada.seal(b"skipped", RNG)
    talk(ada, bob)
    if case != 1:
        skipped = ada.seal(b"skipped", RNG)
        bob.open(ada.seal(b"text", RNG), RNG)
    bodies = [ada.seal(b"text", RNG), ada.seal(b"text", RNG)]
    whole = (bodies[1], bodies[1], skipped if case == 2 else b"", old)[case]
    body = bytearray(whole)
    body[place] ^= 1 << bit
    refused(bob, bytes(body))
    assert bob.open(whole, RNG) in (b"text", b"skipped")


@given(st.binary(max_size=100))
@settings(max_examples=60)
def test_arbitrary_bytes_are_only_ever_refused(data: bytes) -> None:
    ada, bob = pair()
    header = ada.seal(b"", RNG)[: ratchet.HEADER_LENGTH]
    for body in (data, data.ljust(1928, b"\0"), header + data.ljust(1860, b"\0")):
        refused(bob, body)


@pytest.mark.parametrize("length", [0, 68, 1927, 1929])
def test_another_length_is_refused(length: int) -> None:
    ada, bob = pair()
    body = ada.seal(b"text", RNG)
    refused(bob, body[:length].ljust(length, b"\0"), "ratchet body")
    assert bob.open(body, RNG) == b"text"


def test_a_header_in_front_of_another_body_is_refused() -> None:
    ada, bob = pair()
    one, other = ada.seal(b"one", RNG), ada.seal(b"other", RNG)
    refused(bob, one[:68] + other[68:], "aead")
    assert bob.open(one, RNG) == b"one"


def test_padding_that_is_not_zero_is_refused_and_changes_nothing() -> None:
    """Ledger: padding wrong at extremes (SimpleX 2022)."""
    ada, bob = pair()
    body = ada.seal(b"text", RNG)
    twin = Ratchet.load(bob.dump())
    message_key = crypto.kdf(b"ratchet message", chain_key_of(bob), size=64)[32:]
    padded = bytearray(padding.pad(b"text", 1844))
    padded[-1] = 1
    sealed = crypto.aead_seal(message_key, body[:12], bytes(padded), bob.id + body[:68])
    refused(bob, body[:68] + sealed, "padding")
    assert twin.open(body, RNG) == b"text"


def chain_key_of(side: Ratchet) -> bytes:
    """Return the key of the chain that ``side`` reads."""
    assert side._receiving is not None
    return side._receiving.key


def test_a_skip_of_the_limit_is_read_and_one_more_is_not() -> None:
    ada, bob = pair()
    bodies = [ada.seal(str(i).encode(), RNG) for i in range(MAX_SKIP + 2)]
    refused(bob, bodies[MAX_SKIP + 1], "ratchet skip")
    assert bob.open(bodies[MAX_SKIP], RNG) == str(MAX_SKIP).encode()
    assert bob.stored == MAX_SKIP
    assert bob.open(bodies[MAX_SKIP + 1], RNG) == str(MAX_SKIP + 1).encode()
    assert bob.open(bodies[0], RNG) == b"0"


def test_leaps_are_bounded_by_what_a_window_of_boxes_needs() -> None:
    """More would only be room for strangers to fill: a dump of 72 KB for each session."""
    assert 2 * parcel.ACK_WINDOW == MAX_SKIP
    assert 4 * parcel.ACK_WINDOW == MAX_STORED
    assert ratchet.DUMP_LIMIT < 16_384


def test_a_skip_over_the_end_of_a_chain_counts_both_parts() -> None:
    ada, bob = pair()
    talk(ada, bob)
    bob.open(ada.seal(b"opens the chain", RNG), RNG)
    for _ in range(MAX_SKIP // 2):
        ada.seal(b"lost", RNG)
    ada.open(bob.seal(b"step", RNG), RNG)
    bodies = [ada.seal(b"new chain", RNG) for _ in range(MAX_SKIP // 2 + 2)]
    refused(bob, bodies[-1], "ratchet skip")
    assert bob.open(bodies[-2], RNG) == b"new chain"
    assert bob.stored == MAX_SKIP


def test_keys_of_skipped_messages_are_bounded_and_the_oldest_goes_first() -> None:
    """T21: at most 2,000 stored keys."""
    ada, bob = pair()
    held: list[bytes] = []
    for _ in range(3):
        held += [ada.seal(b"held", RNG) for _ in range(MAX_SKIP - 10)]
        bob.open(ada.seal(b"read", RNG), RNG)
        assert bob.stored <= MAX_STORED <= 2000
    assert bob.stored == MAX_STORED
    assert len(bob.dump()) <= ratchet.DUMP_LIMIT
    refused(bob, held[0], "ratchet number")
    refused(bob, held[-MAX_STORED - 1], "ratchet number")
    assert bob.open(held[-MAX_STORED], RNG) == b"held"
    assert bob.open(held[-1], RNG) == b"held"


def with_many_chains(chains: int, skipped: int = 1) -> tuple[Ratchet, Ratchet, list[bytes]]:
    """Return two sides and one lost body of each of ``chains`` chains that the second read."""
    ada, bob = pair()
    lost = list[bytes]()
    for _ in range(chains):
        lost += [ada.seal(b"lost", RNG) for _ in range(skipped)][:1]
        talk(ada, bob)
    return ada, bob, lost


def test_skipped_chains_are_bounded_and_the_oldest_goes_first() -> None:
    _, bob, lost = with_many_chains(MAX_CHAINS + 2)
    assert bob.stored == MAX_CHAINS
    for body in lost[:2]:
        refused(bob, body, "ratchet header")
    for body in lost[2:]:
        assert bob.open(body, RNG) == b"lost"
    assert bob.stored == 0


def in_ms(act: Callable[[], None], times: int = 15) -> float:
    """Return the median time that ``act`` takes."""
    taken = list[float]()
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - began))
    return sorted(taken)[times // 2]


def test_skips_of_two_to_the_32_and_forged_headers_are_refused_in_under_10_ms() -> None:
    """T21: skips of 2^32, forged headers; the state is full and stays as it is."""
    ada, bob, _ = with_many_chains(MAX_CHAINS, MAX_STORED // MAX_CHAINS + 1)
    assert bob.stored == MAX_STORED
    last = 2**32 - 2
    step = lying(ada, previous=last).seal(b"leap in the old chain", RNG)
    both = lying(ada, previous=last, number=last).seal(b"leap in both", RNG)
    new = lying(ada, number=last).seal(b"leap in the new chain", RNG)
    bob_too = Ratchet.load(bob.dump())
    bob_too.open(ada.seal(b"the chain is known", RNG), RNG)
    known = lying(ada, number=last).seal(b"leap in a known chain", RNG)
    forged = seeded("forged").bytes(ratchet.BODY_LENGTH)
    for side, body, reason in (
        (bob, step, "ratchet skip"),
        (bob, both, "ratchet skip"),
        (bob, new, "ratchet skip"),
        (bob_too, known, "ratchet skip"),
        (bob, forged, "ratchet header"),
        (bob_too, forged, "ratchet header"),
    ):
        before = side.dump()

        def attempt(side: Ratchet = side, body: bytes = body, reason: str = reason) -> None:
            with pytest.raises(RemoteProtocolError, match=reason):
                side.open(body, RNG)

        assert in_ms(attempt) < 10
        assert side.dump() == before
        assert side.stored <= MAX_STORED


def test_a_forged_body_behind_the_longest_skip_is_refused_in_under_10_ms() -> None:
    """T21: a partner who forges pays no less than we do."""
    ada, bob = pair()
    for _ in range(MAX_SKIP):
        ada.seal(b"lost", RNG)
    body = ada.seal(b"text", RNG)
    forged = body[:-1] + bytes([body[-1] ^ 1])
    before = bob.dump()

    def attempt() -> None:
        with pytest.raises(RemoteProtocolError, match="aead"):
            bob.open(forged, RNG)

    assert in_ms(attempt) < 10
    assert bob.dump() == before
    assert bob.open(body, RNG) == b"text"


@pytest.mark.parametrize("point", people.LOW_ORDER_MONTGOMERY)
def test_low_order_ratchet_keys_are_refused(point: bytes) -> None:
    """Ledger: all-zero shared secret (vodozemac)."""
    ada, bob = pair()
    talk(ada, bob)
    refused(bob, lying(ada, public=point).seal(b"text", RNG), "low-order point")
    with pytest.raises(RemoteProtocolError, match="low-order point"):
        Ratchet.answerer(bytes(32), point, RNG)


def test_a_second_ratchet_key_in_one_chain_is_refused() -> None:
    ada, bob = pair()
    talk(ada, bob)
    bob.open(ada.seal(b"text", RNG), RNG)
    other = crypto.x25519_public(RNG.bytes(32))
    refused(bob, lying(ada, public=other).seal(b"text", RNG), "ratchet key")


def test_a_chain_said_to_be_shorter_than_what_came_of_it_is_refused() -> None:
    ada, bob = pair()
    for _ in range(3):
        bob.open(ada.seal(b"came", RNG), RNG)
    ada.open(bob.seal(b"step", RNG), RNG)
    refused(bob, lying(ada, previous=2).seal(b"text", RNG), "ratchet number")
    assert bob.open(ada.seal(b"text", RNG), RNG) == b"text"


def test_an_answerers_first_chain_has_none_before_it() -> None:
    ada, bob = pair()
    refused(ada, lying(bob, previous=1).seal(b"text", RNG), "ratchet number")


def test_a_chain_ends_before_its_numbers_do() -> None:
    ada, _ = pair()
    full = lying(ada, number=2**32 - 1)
    with pytest.raises(LocalProtocolError):
        full.seal(b"text", RNG)


def windows(data: bytes) -> set[bytes]:
    """Return every run of 32 bytes in ``data``."""
    return {data[i : i + 32] for i in range(len(data) - 31)}


def test_a_stolen_state_opens_nothing_that_was_read_or_sent_before() -> None:
    """Every 32 bytes of both dumps are tried as a key of each layer, and stepped on for a while."""
    ada, bob = pair()
    past = [ada.seal(b"past", RNG) for _ in range(4)]
    for body in (past[0], past[3], past[1]):
        bob.open(body, RNG)
    past.append(bob.seal(b"past", RNG))
    ada.open(past[4], RNG)
    found = windows(ada.dump()) | windows(bob.dump())
    keys = set(found)
    for key in found:
        for label in (b"ratchet message", b"ratchet chain"):
            wide = crypto.kdf(label, key, size=64)
            keys |= {wide[:32], wide[32:]}
    for body in (past[0], past[1], past[3], past[4]):
        for key in keys:
            with pytest.raises(RemoteProtocolError):
                crypto.aead_open(key, body[:12], body[68:], ada.id + body[:68])
    thief = Ratchet.load(bob.dump())
    for body in (past[0], past[1], past[3]):
        refused(thief, body)
    assert thief.open(past[2], RNG) == b"past"


def test_a_stolen_state_reads_nothing_after_one_exchange_that_it_did_not_make() -> None:
    """Healing: the thief follows until the victim has stepped and the other side has answered."""
    ada, bob = pair()
    talk(ada, bob, 3)
    thief = Ratchet.load(bob.dump())
    ahead = ada.seal(b"read by the thief too", RNG)
    assert bob.open(ahead, RNG) == thief.open(ahead, RNG) == b"read by the thief too"
    ada.open(bob.seal(b"with a key that the thief lacks", RNG), RNG)
    healed = ada.seal(b"for bob alone", RNG)
    refused(thief, healed)
    assert bob.open(healed, RNG) == b"for bob alone"


def test_a_thief_who_writes_in_ones_name_is_found_out() -> None:
    ada, bob = pair()
    talk(ada, bob)
    thief = Ratchet.load(ada.dump())
    assert bob.open(thief.seal(b"not from ada", RNG), RNG) == b"not from ada"
    refused(bob, ada.seal(b"from ada", RNG), "ratchet number")


def test_a_side_set_back_to_an_older_state_is_not_read_and_breaks_nothing() -> None:
    ada, bob = pair()
    talk(ada, bob)
    older = ada.dump()
    for _ in range(2):
        bob.open(ada.seal(b"before the crash", RNG), RNG)
    answer = bob.seal(b"answer", RNG)
    ada.open(answer, RNG)
    bob.open(ada.seal(b"new chain", RNG), RNG)
    back = Ratchet.load(older)
    refused(bob, back.seal(b"under the old chain", RNG), "ratchet header")
    assert back.open(answer, RNG) == b"answer"
    refused(bob, back.seal(b"under another key in the new chain", RNG), "ratchet key")
    talk(ada, bob)
    refused(back, bob.seal(b"its header key is known, its other keys are not", RNG), "aead")
    talk(ada, bob)
    refused(back, bob.seal(b"beyond", RNG), "ratchet header")


def test_a_sender_set_back_never_seals_two_texts_under_one_key_and_nonce() -> None:
    """Ledger: nonce and key reuse (Nym, Cure53 NYM-01-027)."""
    ada, _ = pair()
    older = ada.dump()
    one = ada.seal(bytes(100), RNG)
    other = Ratchet.load(older).seal(b"\xff" * 100, RNG)
    assert one[:12] != other[:12]
    streams = [
        bytes(a ^ b for a, b in zip(body[68:], padding.pad(text, 1844), strict=False))
        for body, text in ((one, bytes(100)), (other, b"\xff" * 100))
    ]
    assert not windows(streams[0]) & windows(streams[1])


def test_bodies_of_one_text_share_nothing() -> None:
    ada, bob = pair()
    bodies = [ada.seal(b"same", RNG), ada.seal(b"same", RNG), bob.seal(b"same", RNG)]
    runs = [{body[i : i + 4] for i in range(1925)} for body in bodies]
    assert not runs[0] & runs[1]
    assert not runs[0] & runs[2]


def test_neither_ratchet_keys_nor_numbers_are_seen() -> None:
    """Header encryption: what links the messages of a chain is under the header key."""
    ada, bob = pair()
    talk(ada, bob)
    for _ in range(20):
        assert ada._public[:4] not in ada.seal(b"", RNG)


def test_representations_hold_no_secret() -> None:
    ada, _ = pair()
    assert repr(ada) == "Ratchet(<redacted>)"
    assert ada._sending.key.hex()[:8] not in repr(ada._sending)
    assert repr(ada._sending.key)[2:12] not in repr(ada._sending)


def test_a_dump_comes_back_byte_for_byte_and_goes_on() -> None:
    ada, bob, lost = with_many_chains(5, 3)
    assert len(pair()[0].dump()) < 400
    for _ in range(3):
        dumps = [side.dump() for side in (ada, bob)]
        ada, bob = (Ratchet.load(dump) for dump in dumps)
        assert [side.dump() for side in (ada, bob)] == dumps
        talk(ada, bob)
    for body in lost:
        assert bob.open(body, RNG) == b"lost"


@given(st.integers(0, 10_000), st.integers(0, 7))
@settings(max_examples=100)
def test_a_damaged_dump_is_refused_or_is_another_states_canonical_form(
    place: int, bit: int
) -> None:
    _, bob, _ = with_many_chains(2, 2)
    dump = bytearray(bob.dump())
    dump[place % len(dump)] ^= 1 << bit
    try:
        loaded = Ratchet.load(bytes(dump))
    except RemoteProtocolError as error:
        assert error.reason == "wire"
    else:
        assert loaded.dump() == bytes(dump)


@given(st.binary(max_size=100))
@settings(max_examples=60)
def test_arbitrary_dumps_are_only_ever_refused(data: bytes) -> None:
    dump = pair()[0].dump()
    for wrong in (data, dump + data + b"\0", dump[: len(data)], bytes(ratchet.DUMP_LIMIT + 1)):
        with pytest.raises(RemoteProtocolError, match="wire"):
            Ratchet.load(wrong)


def altered(side: Ratchet, skipped: tuple[ratchet._Skipped, ...]) -> bytes:
    """Return the dump of ``side`` with other skipped keys."""
    state = ratchet._CODEC.decode(side.dump())
    return ratchet._CODEC.encode(dataclasses.replace(state, skipped=skipped))


def chain(header_key: int, *numbers: int) -> ratchet._Skipped:
    """Return skipped messages of these numbers."""
    keys = b"".join(number.to_bytes(4, "big") + bytes(32) for number in numbers)
    return ratchet._Skipped(header_key.to_bytes(32, "big"), keys)


def test_a_dump_has_one_form_and_no_more_keys_than_are_ever_kept() -> None:
    _, bob = pair()
    full = (chain(1, *range(MAX_STORED // 2)), chain(2, *range(MAX_STORED // 2)))
    assert Ratchet.load(altered(bob, full)).stored == MAX_STORED
    for wrong in (
        (chain(1, 2, 1),),
        (chain(1, 1, 1),),
        (chain(1, 1), chain(1, 2)),
        (dataclasses.replace(chain(1, 1), keys=bytes(35)),),
        (dataclasses.replace(chain(1, 1), keys=chain(1, 1).keys + b"\2"),),
        (chain(1, *range(MAX_STORED)), chain(2, 0)),
    ):
        with pytest.raises(RemoteProtocolError, match="wire"):
            Ratchet.load(altered(bob, wrong))
