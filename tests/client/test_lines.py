"""Lines: messages in the order of their numbers, once, and bounds on what is kept."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.neighbours import Disk
from shoal_protocol.client import lines, parcel, state
from shoal_protocol.client.lines import MAX_AHEAD, MAX_LINES, IncomingLines
from shoal_protocol.client.parcel import Acks, Kind, Parcel, Part
from shoal_protocol.errors import RemoteProtocolError
from support import seeded

LINE = b"the line"
NAME = b"talk no1"


def parcels(number: int, text: str, size: int = 4, least: int = 0) -> list[Parcel]:
    """Return a message's parcels; it was created at its number."""
    pieces = parcel.split(text.encode(), size)
    return [
        Parcel(Acks(), LINE, least, Part(Kind.TEXT, number, number, n, len(pieces), piece))
        for n, piece in enumerate(pieces)
    ]


def say(number: int, least: int = 0, line: bytes = LINE, count: int = 1, part: int = 0) -> Parcel:
    data = str(number).encode()
    return Parcel(Acks(), line, least, Part(Kind.TEXT, number, 0, part, count, data))


def take(incoming: IncomingLines, said: Parcel) -> list[str]:
    incoming.check(said)
    return [whole.data.decode() for whole in incoming.take(said, 0)]


class Kept:
    """Lines with a journal and its disk."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.begin()

    def begin(self) -> None:
        self.journal = state.Journal()
        self.lines = IncomingLines(NAME, self.journal)

    def commit(self) -> tuple[state.LineRow, ...]:
        """Make all durable; return what the conversation's row would hold."""
        changes = self.journal.take()
        if changes is not None:
            self.disk.commit(changes)
        return self.lines.rows()

    def restart(self, rows: tuple[state.LineRow, ...]) -> None:
        self.begin()
        self.lines.restore(rows)
        for key, data in self.disk.kept().of(state.PART):
            assert key[:8] == NAME
            self.lines.restore_part(key[8:], state.PARTS.decode(data))


@given(st.lists(st.text(max_size=20), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_messages_are_shown_once_and_in_order_however_their_parts_come(
    texts: list[str], chance: object
) -> None:
    every = [one for number, text in enumerate(texts) for one in parcels(number, text)]
    chance.shuffle(every)  # type: ignore[attr-defined]
    incoming = IncomingLines(NAME, None)
    assert [text for one in every + every for text in take(incoming, one)] == texts


@pytest.mark.parametrize("seed", range(6))
def test_a_restart_between_any_two_parts_loses_nothing_and_shows_nothing_twice(seed: int) -> None:
    rng = seeded(seed)
    texts = [f"{number} " + "x" * rng.below(20) for number in range(6)]
    every = [one for number, text in enumerate(texts) for one in parcels(number, text)]
    rng.shuffle(every)
    kept, shown = Kept(), []
    for one in every:
        shown += take(kept.lines, one)
        kept.restart(kept.commit())
    assert shown == texts
    assert kept.disk.count(state.PART) == 0


def test_a_number_that_was_given_up_holds_nothing_back() -> None:
    incoming = IncomingLines(NAME, None)
    assert take(incoming, say(0)) == ["0"]
    assert take(incoming, say(2)) == []
    assert take(incoming, say(3)) == []
    assert take(incoming, say(6, least=2)) == ["2", "3"]
    assert take(incoming, Parcel(Acks(), LINE, 6, None)) == ["6"]
    assert take(incoming, say(1)) == take(incoming, say(4)) == []  # too late: given up
    assert take(incoming, say(7, least=6)) == ["7"]


def test_whole_messages_below_the_least_are_shown_and_half_ones_dropped() -> None:
    kept = Kept()
    take(kept.lines, say(0))
    take(kept.lines, say(1, count=2))
    take(kept.lines, say(3))
    take(kept.lines, say(5, count=2))
    kept.commit()
    assert kept.disk.count(state.PART) == 3
    assert take(kept.lines, Parcel(Acks(), LINE, 9, None)) == ["3"]
    kept.commit()
    assert kept.disk.count(state.PART) == 0
    assert kept.lines.rows() == (state.LineRow(LINE, 9),)


def test_a_sender_that_lost_its_numbers_begins_another_line() -> None:
    incoming = IncomingLines(NAME, None)
    assert take(incoming, say(0)) + take(incoming, say(1)) == ["0", "1"]
    assert take(incoming, say(0, line=b"line two")) == ["0"]
    assert take(incoming, say(2)) == ["2"]


@pytest.mark.parametrize("least", [0, 500, 2**32 - 1])
def test_the_highest_numbers_stop_nothing(least: int) -> None:
    """Ledger: attacker-chosen duration overflows (CVE-2026-33040), here a number."""
    incoming = IncomingLines(NAME, None)
    take(incoming, Parcel(Acks(), LINE, least, None))
    last = parcel.MAX_NUMBER
    take(incoming, Parcel(Acks(), LINE, last, None))
    assert take(incoming, say(last, least=last)) == ([] if least > last else [str(last)])
    (row,) = incoming.rows()
    row_of_conversation = state.ConversationRow(
        b"p" * 8, b"p" * 32, 0, False, False, None, b"l" * 8, 0, (row,)
    )
    state.CONVERSATIONS.encode(row_of_conversation)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (say(MAX_AHEAD + 2), "number"),
        (say(MAX_AHEAD + 12, least=11), "number"),
        (say(MAX_AHEAD + 1, line=b"line two"), "number"),
        (say(3, count=2), "parts"),
        (Parcel(Acks(), LINE, 0, Part(Kind.RICH, 3, 0, 1, 3, b"x")), "parts"),
        (Parcel(Acks(), LINE, 0, Part(Kind.TEXT, 3, 9, 1, 3, b"x")), "parts"),
    ],
)
def test_what_no_honest_contact_sends_is_refused_and_changes_nothing(
    said: Parcel, reason: str
) -> None:
    incoming = IncomingLines(NAME, None)
    take(incoming, say(0))
    take(incoming, say(3, count=3))
    with pytest.raises(RemoteProtocolError, match=reason):
        incoming.check(said)
    assert incoming.rows() == (state.LineRow(LINE, 1),)
    assert take(incoming, say(1)) == ["1"]


def test_parts_that_are_kept_are_bounded_and_go_with_their_line() -> None:
    kept, rng, refused = Kept(), seeded(), 0
    for flood in range(3000):
        line = (flood % 7).to_bytes(8, "big")
        try:
            take(kept.lines, say(1 + flood // 7, line=line, count=64, part=rng.below(64)))
        except RemoteProtocolError as error:
            assert error.reason == "parts"
            refused += 1
        kept.commit()
        assert kept.disk.count(state.PART) <= lines.MAX_PARTS
    assert refused > 1500
    kept.lines.clear()
    kept.commit()
    assert kept.disk.count(state.PART) == 0


def test_lines_of_one_contact_are_bounded_and_the_oldest_goes_with_its_parts() -> None:
    kept = Kept()
    for number in range(200):
        take(kept.lines, say(1, line=number.to_bytes(8, "big"), count=2))
        assert len(kept.commit()) <= MAX_LINES
        assert kept.disk.count(state.PART) <= MAX_LINES
    assert take(kept.lines, say(0, line=b"line two")) == ["0"]
