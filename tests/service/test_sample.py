"""What a relay says of its directory, and what a reader believes of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.asker import Asker
from service.served import Served
from shoal_protocol.clock import SECOND
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.service import messages, sample
from shoal_protocol.service.desk import SAMPLES_AT_ONCE
from shoal_protocol.service.messages import Reply, Request, RequestType, Status
from shoal_protocol.service.sample import SAMPLED
from support import START, seeded

RNG = seeded("sample")
IDS = [RNG.bytes(16) for _ in range(400)]
POINT = RNG.bytes(16)


def ask(asker: Asker, point: bytes = POINT) -> Request:
    return Request(RequestType.VIEW, asker.surb(), sample.question(point))


def test_a_relay_shows_those_of_its_directory_that_are_nearest_to_the_point() -> None:
    asker, served = Asker(), Served(relays=lambda: IDS)
    (event,) = served.go(ask(asker))
    reply = asker.reply(event)
    assert reply.status is Status.OK
    shown = sample.decode(reply.record, POINT)
    assert len(shown) == SAMPLED
    away = [int.from_bytes(i, "big") ^ int.from_bytes(POINT, "big") for i in shown]
    assert away == sorted(away)
    assert set(shown) <= set(IDS)
    assert sample.compare(IDS, shown, POINT) == (SAMPLED, 0)


def test_samples_beyond_the_rate_are_refused_before_any_is_drawn() -> None:
    looks = 0

    def relays() -> list[bytes]:
        nonlocal looks
        looks += 1
        return IDS

    asker, served = Asker(), Served(relays=relays)
    for _ in range(SAMPLES_AT_ONCE):
        served.go(ask(asker))
    (event,) = served.go(ask(asker))
    assert asker.reply(event).status is Status.UNAVAILABLE
    assert looks == SAMPLES_AT_ONCE
    (event,) = served.go(ask(asker), START + SECOND)
    assert asker.reply(event).status is Status.OK


def test_a_question_has_one_form() -> None:
    asker = Asker()
    for record in (b"\1" * 2048, sample.question(POINT)[:-1] + b"\1"):
        with pytest.raises(RemoteProtocolError, match="request"):
            messages.decode_request(replace(ask(asker), record=record).encode())
    with pytest.raises(RemoteProtocolError, match="request"):
        messages.decode_request(replace(ask(asker), wait_ms=1).encode())


def test_a_type_that_a_relay_does_not_know_is_refused_with_a_reply() -> None:
    """How a relay of an older version answers a question that is new."""
    asker, served = Asker(), Served()
    body = bytearray(ask(asker).encode())
    body[0] = max(RequestType) + 1
    (event,) = served.go(bytes(body))
    assert asker.reply(event) == Reply(Status.REFUSED)


@given(
    st.sets(st.binary(min_size=16, max_size=16), max_size=200), st.binary(min_size=16, max_size=16)
)
def test_what_is_encoded_is_decoded_and_compared(ids: set[bytes], point: bytes) -> None:
    shown = sample.decode(sample.encode(sample.draw(ids, point)), point)
    assert shown == sample.draw(ids, point)
    both, one = sample.compare(ids, shown, point)
    assert (both, one) == (min(len(ids), SAMPLED), 0)


@given(st.binary(min_size=2048, max_size=2048))
def test_garbage_is_refused(record: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="view sample"):
        sample.decode(b"\xff" + record[1:], POINT)


def test_a_sample_out_of_order_repeated_too_long_or_with_a_tail_is_refused() -> None:
    shown = sample.draw(IDS, POINT)
    good = sample.encode(shown[:3])
    for bad in (
        sample.encode([shown[1], shown[0]]),
        sample.encode([shown[0], shown[0]]),
        good[:-1] + b"\1",
        (SAMPLED + 1).to_bytes(2, "big") + sample.encode(shown)[2:],
    ):
        with pytest.raises(RemoteProtocolError, match="view sample"):
            sample.decode(bad, POINT)


def test_what_one_lacks_counts_within_the_samples_reach_only() -> None:
    near = sample.draw(IDS, POINT)
    without = [i for i in IDS if i not in near[:30]]
    both, one = sample.compare(without, near, POINT)
    assert (both, one) == (SAMPLED - 30, 30)
    assert sample.compare(IDS[:50], sample.draw(IDS[:40], POINT), POINT) == (40, 10)
