"""Asking guards how long relays have been there: pages, lies, silence, and what a relay tells."""

from dataclasses import replace

import pytest

from directory.world import Author
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import frames
from shoal_protocol.directory.frames import CODEC, Age, Ages, AskAges
from shoal_protocol.directory.pull import ANSWER_S
from shoal_protocol.directory.survey import Survey
from shoal_protocol.directory.sync import DirectorySync, Drop, SendFrame
from shoal_protocol.directory.tenure import MOST, STEPS, Tenure, Word
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import LAB, MAIN, NetworkParameters
from support import START, seeded

RULES = replace(
    MAIN,
    name="survey",
    descriptor_work_bits=0,
    subnet_slots=0,
    role_least=2,
    two_sources=False,
)
GUARDS = (b"guard-one-sixteen", b"guard-two-sixteen", b"guard-three-sixte")
AUTHORS = sorted((Author(f"survey {i}", RULES) for i in range(4)), key=lambda a: a.relay_id)


def ids(count: int, begin: int = 0) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(begin + 1, begin + count + 1)]


def person(params: NetworkParameters = RULES) -> DirectorySync:
    """A person's node that knows four relays and asked three guards."""
    view = DirectoryView(params, tenure=Tenure(params, told=True))
    for author in AUTHORS if params is RULES else ():
        view.add_descriptor(author.descriptor(), START)
        view.add_lease(author.lease(), START)
    made = DirectorySync(view, rng=seeded(), serve=False)
    asked = [made.connected(guard, START) for guard in GUARDS]
    sent = [CODEC.decode(e.frame) for each in asked for e in each if isinstance(e, SendFrame)]
    assert (AskAges(b"") in sent) == (params is RULES)
    return made


def says(*steps: int) -> bytes:
    """A guard's whole answer: the ages of the authors."""
    ages = tuple(Age(a.relay_id, s) for a, s in zip(AUTHORS, steps, strict=True))
    return CODEC.encode(Ages(500, ages))


def serving(made: DirectorySync, now: int = START) -> list[int]:
    """Which authors serve."""
    found = {relay.relay_id for relay in made.view.relays(now)}
    return [place for place, author in enumerate(AUTHORS) if author.relay_id in found]


def test_one_lying_guard_of_three_makes_nobody_old_and_nobody_young() -> None:
    made = person()
    for guard, word in zip(
        GUARDS, (says(90, 90, 90, 1), says(90, 90, 90, 2), says(0, 0, 0, 900)), strict=True
    ):
        assert serving(made) == []
        made.receive(guard, word, START)
    assert serving(made) == [0, 1, 2]


def test_a_guard_that_answers_first_is_not_believed_alone_and_one_that_is_silent_is_dropped() -> (
    None
):
    made = person()
    made.receive(GUARDS[0], says(0, 0, 90, 90), START)
    made.receive(GUARDS[1], says(0, 0, 90, 90), START)
    assert serving(made) == []
    late = START + ANSWER_S * SECOND
    events = made.handle_timer(late)
    assert Drop(GUARDS[2], "stalled") in events
    assert serving(made, late) == [2, 3]


def test_guards_are_asked_again_each_epoch() -> None:
    made = person()
    for guard in GUARDS:
        made.receive(guard, says(90, 90, 90, 90), START)
        made.receive(guard, CODEC.encode(frames.Lists(0, b"\x01", ())), START)
    later = START + RULES.epoch_s * SECOND
    sent = [CODEC.decode(e.frame) for e in made.handle_timer(later) if isinstance(e, SendFrame)]
    assert sent.count(AskAges(b"")) == len(GUARDS)


def test_in_a_lab_nobody_asks() -> None:
    made = person(LAB)
    with pytest.raises(RemoteProtocolError, match="unasked answer"):
        made.receive(GUARDS[0], CODEC.encode(Ages(0, ())), START)


def test_pages_go_on_until_one_is_not_full() -> None:
    survey, first = Survey(), ids(frames.MAX_AGES)
    assert survey.start(START) == AskAges(b"")
    page = Ages(9, tuple(Age(each, 1) for each in first))
    assert survey.receive(page, START) == AskAges(first[-1])
    word = survey.receive(Ages(9, (Age(b"\xff" * 16, 2),)), START)
    assert isinstance(word, Word)
    assert (word.watched, len(word.ages)) == (9, frames.MAX_AGES + 1)
    assert survey.deadline is None


def test_a_guard_cannot_keep_a_survey_going_or_fill_a_memory() -> None:
    survey, pages = Survey(), 0
    survey.start(START)
    found: AskAges | Word = AskAges(b"")
    while isinstance(found, AskAges):
        found = survey.receive(
            Ages(9, tuple(Age(i, 1) for i in ids(frames.MAX_AGES, pages * frames.MAX_AGES))), START
        )
        pages += 1
    assert len(found.ages) == MOST
    with pytest.raises(RemoteProtocolError, match="unasked answer"):
        survey.receive(Ages(9, ()), START)


@pytest.mark.parametrize("order", [(2, 1), (1, 1)])
def test_ages_out_of_order_are_refused(order: tuple[int, int]) -> None:
    survey = Survey()
    survey.start(START)
    page = tuple(Age(number.to_bytes(16, "big"), 1) for number in order)
    with pytest.raises(RemoteProtocolError, match="ages"):
        survey.receive(Ages(9, page), START)


def test_a_relay_tells_what_it_has_seen_and_a_persons_node_nothing() -> None:
    view, now = DirectoryView(RULES), START
    for _ in range(STEPS * 13):
        for author in AUTHORS[:2]:
            view.add_descriptor(author.descriptor(now), now)
            view.add_lease(author.lease(now), now)
        view.expire(now)
        now += RULES.lease_s * SECOND // 3
    relay = DirectorySync(view, rng=seeded(), serve=True)
    relay.connected(GUARDS[0], now)
    (sent,) = relay.receive(GUARDS[0], CODEC.encode(AskAges(b"")), now)
    assert isinstance(sent, SendFrame)
    told = CODEC.decode(sent.frame)
    assert isinstance(told, Ages)
    assert [age.relay_id for age in told.ages] == [author.relay_id for author in AUTHORS[:2]]
    assert all(age.steps >= STEPS for age in told.ages)
    assert told.watched >= STEPS
    (rest,) = relay.receive(GUARDS[0], CODEC.encode(AskAges(AUTHORS[0].relay_id)), now)
    assert isinstance(rest, SendFrame)
    assert CODEC.decode(rest.frame) == Ages(told.watched, told.ages[1:])
    with pytest.raises(RemoteProtocolError, match="no server here"):
        person().receive(GUARDS[0], CODEC.encode(AskAges(b"")), START)
