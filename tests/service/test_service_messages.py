"""Requests and replies on the wire: one form of each, and only refusals for the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.asker import OTHER_NETWORK, RELAY, Asker
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB
from shoal_protocol.service import messages
from shoal_protocol.service.messages import (
    BODY_LENGTH,
    Reply,
    Request,
    RequestType,
    Status,
)

KEY = b"k" * 32
INSTANCE = b"i" * 16
SURB = bytes(range(232)) * 2
RECORD = bytes(range(256)) * 8
RESERVED = [2, 3, *range(24, 32), *range(498, 504), *range(512, 592)]  # of a request
REPLY_RESERVED = [3, 2080, 2087, 2088, 2639]


def requests() -> st.SearchStrategy[Request]:
    """Every request that has a form on the wire."""
    record = st.binary(min_size=32, max_size=32).map(lambda head: head + RECORD[32:])
    surb = st.binary(min_size=16, max_size=16).map(lambda head: head + SURB[16:])
    effort, nonce = st.integers(1, 255), st.binary(min_size=8, max_size=8)
    return st.one_of(
        st.builds(Request, st.just(RequestType.INBOX_PUT), surb, record),
        st.builds(
            lambda s, r, e, n: Request(RequestType.INBOX_PUT, s, r, effort=e, nonce=n),
            *(surb, record, effort, nonce),
        ),
        st.builds(
            Request,
            st.just(RequestType.INBOX_GET),
            surb,
            record,
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**64 - 1),
        ),
        st.builds(Request, st.just(RequestType.ECHO), surb, st.just(bytes(2048))),
        st.builds(
            lambda s, r, e, n: Request(RequestType.BOX_PUT, s, r, effort=e, nonce=n),
            *(surb, record, effort, nonce),
        ),
        st.builds(
            Request,
            st.just(RequestType.BOX_GET),
            surb,
            st.binary(min_size=32, max_size=32).map(lambda address: address + bytes(2016)),
            st.integers(0, 2**32 - 1),
        ),
        st.builds(Request, st.just(RequestType.DHT_PUT), surb, record),
        st.builds(
            Request,
            st.just(RequestType.DHT_GET),
            surb,
            st.binary(min_size=32, max_size=32).map(lambda key: key + bytes(2016)),
        ),
    )


@given(requests())
@settings(max_examples=150)
def test_every_request_comes_back_as_it_was(request: Request) -> None:
    body = request.encode()
    assert len(body) == BODY_LENGTH == 2640
    assert messages.decode_request(body) == request
    assert messages.surb_of(body) == request.surb


@given(
    st.sampled_from(Status),
    st.binary(min_size=2048, max_size=2048),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=16, max_size=16),
)
@settings(max_examples=80)
def test_every_reply_comes_back_as_it_was(
    status: Status, record: bytes, cursor: int, remaining: int, instance: bytes
) -> None:
    reply = Reply(status, record, cursor, remaining, instance)
    body = reply.encode()
    assert len(body) == BODY_LENGTH
    assert messages.decode_reply(body) == reply


@given(st.binary(max_size=BODY_LENGTH + 2), st.integers(0, 9), st.integers(0, 2))
@settings(max_examples=300)
def test_arbitrary_bytes_are_refused_or_have_exactly_their_own_form(
    data: bytes, kind: int, version: int
) -> None:
    """T7, reduced: each decoder gives a value that encodes to the same bytes, or one error."""
    full = bytes([kind, version]) + data.ljust(BODY_LENGTH, b"\0")[: BODY_LENGTH - 2]
    for body in (data, full):
        for decode in (messages.decode_request, messages.decode_reply):
            try:
                value = decode(body)
            except RemoteProtocolError as error:
                assert error.reason in ("request", "reply")
            else:
                assert value.encode() == body


@pytest.mark.parametrize("length", [0, 1, BODY_LENGTH - 1, BODY_LENGTH + 1])
def test_a_body_one_byte_short_or_long_is_refused(length: int) -> None:
    request = Request(RequestType.INBOX_PUT, SURB, RECORD).encode()
    reply = Reply(Status.OK, RECORD).encode()
    with pytest.raises(RemoteProtocolError, match="request"):
        messages.decode_request((request + b"\0")[:length])
    with pytest.raises(RemoteProtocolError, match="reply"):
        messages.decode_reply((reply + b"\0")[:length])


@pytest.mark.parametrize("place", RESERVED)
def test_a_reserved_byte_of_a_request_must_be_zero(place: int) -> None:
    body = bytearray(Request(RequestType.INBOX_PUT, SURB, RECORD).encode())
    body[place] = 1
    with pytest.raises(RemoteProtocolError, match="request"):
        messages.decode_request(bytes(body))


@pytest.mark.parametrize("place", REPLY_RESERVED)
def test_a_reserved_byte_of_a_reply_must_be_zero(place: int) -> None:
    body = bytearray(Reply(Status.OK, RECORD).encode())
    body[place] = 1
    with pytest.raises(RemoteProtocolError, match="reply"):
        messages.decode_reply(bytes(body))


@pytest.mark.parametrize("value", [0, 2, 255])
def test_another_version_is_refused(value: int) -> None:
    request = bytearray(Request(RequestType.DHT_PUT, SURB, RECORD).encode())
    reply = bytearray(Reply(Status.OK).encode())
    request[1] = reply[1] = value
    with pytest.raises(RemoteProtocolError):
        messages.decode_request(bytes(request))
    with pytest.raises(RemoteProtocolError):
        messages.decode_reply(bytes(reply))


def test_an_unknown_type_and_an_unknown_status_are_refused() -> None:
    for kind in (0, 8, 255):
        with pytest.raises(RemoteProtocolError, match="request"):
            messages.decode_request(
                bytes([kind]) + Request(RequestType.INBOX_PUT, SURB, RECORD).encode()[1:]
            )
    with pytest.raises(RemoteProtocolError, match="reply"):
        messages.decode_reply(bytes([9]) + Reply(Status.OK).encode()[1:])


@pytest.mark.parametrize(
    "request_",
    [
        Request(RequestType.INBOX_PUT, SURB, RECORD, wait_ms=1),
        Request(RequestType.INBOX_PUT, SURB, RECORD, cursor=1),
        Request(RequestType.INBOX_PUT, SURB, RECORD, floor=1),
        Request(RequestType.INBOX_PUT, SURB, RECORD, nonce=b"\1" * 8),
        Request(RequestType.INBOX_GET, SURB, RECORD, effort=1),
        Request(RequestType.INBOX_GET, SURB, RECORD, nonce=b"\1" * 8),
        Request(RequestType.DHT_PUT, SURB, RECORD, wait_ms=1),
        Request(RequestType.DHT_PUT, SURB, RECORD, effort=1),
        Request(RequestType.DHT_GET, SURB, KEY + bytes(2016), cursor=1),
        Request(RequestType.DHT_GET, SURB, KEY + bytes(2015) + b"\1"),
        Request(RequestType.BOX_PUT, SURB, RECORD, wait_ms=1),
        Request(RequestType.BOX_PUT, SURB, RECORD, cursor=1),
        Request(RequestType.BOX_PUT, SURB, RECORD, nonce=b"\1" * 8),
        Request(RequestType.BOX_GET, SURB, KEY + bytes(2016), cursor=1),
        Request(RequestType.BOX_GET, SURB, KEY + bytes(2016), floor=1),
        Request(RequestType.BOX_GET, SURB, KEY + bytes(2016), effort=1),
        Request(RequestType.BOX_GET, SURB, KEY + bytes(2015) + b"\1"),
        Request(RequestType.ECHO, SURB, bytes(2047) + b"\1"),
        Request(RequestType.ECHO, SURB, bytes(2048), floor=1),
    ],
)
def test_what_a_type_does_not_use_must_be_zero(request_: Request) -> None:
    with pytest.raises(RemoteProtocolError, match="request"):
        messages.decode_request(request_.encode())


def test_a_price_without_its_scheme_is_refused() -> None:
    for scheme, effort in ((0, 5), (1, 0), (2, 5)):
        body = bytearray(
            Request(RequestType.INBOX_PUT, SURB, RECORD, effort=5, nonce=b"nonce678").encode()
        )
        body[496:498] = bytes([scheme, effort])
        with pytest.raises(RemoteProtocolError, match="request"):
            messages.decode_request(bytes(body))


def test_a_get_is_bound_to_its_address_relay_store_numbers_and_network() -> None:
    asker, other = Asker(), Asker("other")
    good = asker.query(INSTANCE, cursor=7, wait_ms=500, floor=3)
    query = messages.decode_query(good, RELAY, LAB.hash)
    assert (query.address, query.instance) == (asker.address, INSTANCE)
    signed, stranger = good.record, other.query(INSTANCE, 7, 500, 3).record
    changed = [
        Request(good.type, good.surb, signed, 501, 7, 3),
        Request(good.type, good.surb, signed, 500, 8, 3),
        Request(good.type, good.surb, signed, 500, 7, 4),
        Request(good.type, good.surb, stranger[:32] + signed[32:], 500, 7, 3),
        Request(good.type, good.surb, signed[:32] + b"j" * 16 + signed[48:], 500, 7, 3),
        Request(good.type, good.surb, signed[:48] + b"n" * 16 + signed[64:], 500, 7, 3),
        Request(good.type, good.surb, signed[:64] + stranger[64:], 500, 7, 3),
    ]
    for request in changed:
        with pytest.raises(RemoteProtocolError, match="signature"):
            messages.decode_query(request, RELAY, LAB.hash)
    for relay, network in ((b"p" * 16, LAB.hash), (RELAY, OTHER_NETWORK)):
        with pytest.raises(RemoteProtocolError, match="signature"):
            messages.decode_query(good, relay, network)


def test_a_get_cannot_give_up_entries_beyond_those_it_has() -> None:
    with pytest.raises(RemoteProtocolError, match="request"):
        messages.decode_query(Asker().query(INSTANCE, cursor=7, floor=8), RELAY, LAB.hash)


@pytest.mark.parametrize("place", [128, 2047])
def test_what_follows_a_gets_signature_must_be_zero(place: int) -> None:
    good = Asker().query(INSTANCE)
    record = bytearray(good.record)
    record[place] = 1
    with pytest.raises(RemoteProtocolError, match="request"):
        messages.decode_query(Request(good.type, good.surb, bytes(record)), RELAY, LAB.hash)


@pytest.mark.parametrize("address", [bytes(32), b"\1" + bytes(31), b"\xff" * 32])
def test_a_get_of_an_address_that_is_no_good_key_is_refused(address: bytes) -> None:
    """A low-order key verifies forged signatures in careless libraries; here it is refused."""
    forged = address + INSTANCE + bytes(16) + bytes(64) + bytes(1920)
    with pytest.raises(RemoteProtocolError, match="signature"):
        messages.decode_query(Request(RequestType.INBOX_GET, SURB, forged), RELAY, LAB.hash)
