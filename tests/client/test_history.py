"""A history has an end, and what is still on its way is not what gives way."""

import tracemalloc

from shoal_protocol.client.history import MAX_MESSAGES, History, Message, MessageState
from shoal_protocol.client.state import Journal
from shoal_protocol.clock import SECOND
from support import START, seeded

BYTES = 500  # that a message with 32 letters may take in memory, with ids and times


def said(
    name: int, state: MessageState = MessageState.FETCHED, *, outgoing: bool = True
) -> Message:
    return Message(name.to_bytes(12, "big").hex(), outgoing, "text", state, created=name)


def test_of_too_many_messages_the_oldest_gives_way_and_its_row_goes() -> None:
    journal = Journal()
    history = History("c", journal)
    messages = [said(number, outgoing=False) for number in range(MAX_MESSAGES + 2)]
    for message in messages:
        history.add(message)
    assert list(history) == messages[2:]
    changes = journal.take()
    assert changes is not None
    assert [name for name, row in changes.messages.items() if row is None] == [
        message.id for message in messages[:2]
    ]


def test_ones_own_messages_that_are_not_read_yet_never_give_way_to_others() -> None:
    history = History("c", None)
    waiting = [said(number, MessageState(number)) for number in range(2)]
    failed = said(2, MessageState.FAILED)
    for message in (*waiting, failed):
        history.add(message)
    for number in range(3, MAX_MESSAGES + 3):
        history.add(said(number, outgoing=False))
    assert len(history) == MAX_MESSAGES
    assert list(history)[:2] == waiting
    assert history.get(failed.id) is None
    assert history.advance(waiting[0].id, MessageState.FETCHED) is not None
    history.add(said(MAX_MESSAGES + 3, outgoing=False))
    assert list(history)[:1] == waiting[1:]


def test_a_message_is_taken_though_all_before_it_are_on_their_way() -> None:
    history = History("c", None)
    for number in range(MAX_MESSAGES):
        history.add(said(number, MessageState.QUEUED))
    new = said(MAX_MESSAGES, outgoing=False)
    history.add(new)
    assert history.get(new.id) is new
    assert len(history) == MAX_MESSAGES + 1


def test_a_message_takes_half_a_kilobyte_of_memory_with_its_ids_and_times() -> None:
    history = History(bytes(8).hex(), None)
    rng = seeded("history in memory")
    count = 1_000
    tracemalloc.start()
    try:
        for number in range(count):
            now = START + 60 * SECOND * number
            history.add(
                Message(
                    rng.bytes(12).hex(),
                    outgoing=number % 2 == 0,
                    text=f"{number:032}",
                    state=MessageState.FETCHED,
                    created=now,
                    number=number,
                    received=now + SECOND,
                )
            )
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < BYTES * count, held / count
