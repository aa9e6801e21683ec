"""Sessions: what both sides share, and what a dump keeps of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_protocol import crypto
from shoal_protocol.errors import LocalProtocolError, RemoteProtocolError
from shoal_protocol.sessions import session as sessions
from shoal_protocol.sessions.session import Session
from support import seeded

RNG = seeded("session tests")


def pair(seed: int = 0) -> tuple[Session, Session]:
    rng = seeded(seed)
    root, private = rng.bytes(32), rng.bytes(32)
    public = crypto.x25519_public(private)
    return Session.begun(root, private), Session.answered(root, public, rng)


def test_both_sides_have_one_id_and_know_who_began() -> None:
    ada, bob = pair()
    assert ada.id == bob.id != pair(1)[0].id
    assert (ada.initiator, bob.initiator) == (True, False)
    assert len(ada.id) == 16


def test_each_side_writes_the_stream_that_the_other_reads() -> None:
    ada, bob = pair()
    assert ada.outgoing_root == bob.incoming_root
    assert ada.incoming_root == bob.outgoing_root
    roots = {ada.outgoing_root, ada.incoming_root, *(s.outgoing_root for s in pair(1))}
    assert len(roots) == 4
    assert {len(root) for root in roots} == {32}


def test_both_sides_read_each_other_before_and_after_a_dump() -> None:
    ada, bob = pair()
    for _ in range(3):
        assert bob.open(ada.seal(b"one", RNG), RNG) == b"one"
        assert ada.open(bob.seal(b"two", RNG), RNG) == b"two"
        dumps = ada.dump(), bob.dump()
        ada, bob = (Session.load(dump) for dump in dumps)
        assert (ada.dump(), bob.dump()) == dumps
        assert (ada.id, ada.initiator, bob.initiator) == (pair()[0].id, True, False)


def test_a_dump_gives_no_addresses_of_boxes_that_have_passed() -> None:
    """The capabilities made of the roots forget what they leave behind, so the roots must go."""
    for side in pair():
        for root in (side.outgoing_root, side.incoming_root):
            assert root not in side.dump()
        loaded = Session.load(side.dump())
        with pytest.raises(LocalProtocolError):
            _ = loaded.outgoing_root
        with pytest.raises(LocalProtocolError):
            _ = loaded.incoming_root


@given(st.binary(max_size=100))
@settings(max_examples=60)
def test_arbitrary_session_dumps_are_only_ever_refused(data: bytes) -> None:
    dump = pair()[0].dump()
    for wrong in (data, dump + data + b"\0", dump[: len(data)], bytes(sessions.DUMP_LIMIT + 1)):
        with pytest.raises(RemoteProtocolError, match="wire"):
            Session.load(wrong)


def test_a_sessions_representation_holds_no_secret() -> None:
    assert repr(pair()[0]) == "Session(<redacted>)"
