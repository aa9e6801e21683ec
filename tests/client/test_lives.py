"""What disappears does so in its time: behind a gap, and whatever the clock does."""

from client.neighbours import MINUTE, Neighbour, met, settle
from shoal_protocol import clock
from shoal_protocol.client import state
from shoal_protocol.client.history import Message
from shoal_protocol.client.lives import SURE
from support import START

SECRET = "not to be found"
DAY = 24 * 3600 * clock.SECOND
LIFE_S = 3600
LIFE = clock.seconds(LIFE_S)


def on_disk(one: Neighbour) -> bool:
    """Whether the text stands in any row or message."""
    one.commit()
    rows = b"".join(one.disk.rows.values())
    return SECRET.encode() in rows or any(SECRET in m.text for m in one.disk.messages.values())


def gap(text: str = SECRET) -> tuple[Neighbour, Neighbour, int]:
    """Return two who met; bob has the second of two messages, which disappears, not the first."""
    ada, bob, now = met()
    ada.write(bob, "first", now)
    ada.people.send(ada.talk(bob), text, now, expires_s=LIFE_S)
    ada.commit()
    _, *rest = (fresh for fresh in ada.outgoing() if fresh.message)
    for fresh in rest:
        bob.keep(fresh)
    bob.read(now)
    assert on_disk(bob)
    assert bob.got() == ["hello"]
    return ada, bob, now


def fill(ada: Neighbour, bob: Neighbour, now: int) -> int:
    """Let the first message come after all."""
    ada.handed.clear()
    return settle(ada, bob, now)


def test_the_life_of_what_waits_behind_a_gap_runs_and_ends() -> None:
    for text in (SECRET, SECRET * 300):  # one part, and several
        ada, bob, now = gap(text)
        bob.people.work(now + LIFE - 1)
        assert on_disk(bob)
        bob.people.work(now + LIFE)
        assert not on_disk(bob)
        ada.people.work(now + LIFE)
        ada.write(bob, "third", now + LIFE)
        fill(ada, bob, now + LIFE)
        assert bob.got() == ["hello", "first", "third"]
        assert bob.disk.count(state.PART) == 0


def test_what_waited_behind_a_gap_has_the_rest_of_its_life_once_it_is_shown() -> None:
    ada, bob, now = gap()
    bob.restart(now + 30 * MINUTE)
    fill(ada, bob, now + 30 * MINUTE)
    assert bob.got() == ["hello", "first", SECRET]
    (message,) = (m for m in bob.talk(ada).history if m.text == SECRET)
    assert message.expires == now + LIFE


def test_a_life_that_ended_behind_a_gap_while_the_node_was_off_is_over() -> None:
    ada, bob, now = gap()
    bob.restart(now + LIFE)
    assert not on_disk(bob)
    bob.restart(now + LIFE)  # the number alone is kept, too
    ada.people.work(now + LIFE)
    fill(ada, bob, now + LIFE)
    assert bob.got() == ["hello", "first"]


def test_a_part_of_what_ended_that_comes_again_brings_nothing_back() -> None:
    ada, bob, now = gap()
    bob.people.work(now + LIFE)
    for outgoing in list(ada.outbox.records()):
        if outgoing.message:
            ada.people.taken(outgoing, now)  # all goes over another session, under a new line
            break
    for _ in range(6):
        now = settle(ada, bob, now + 10 * MINUTE, rounds=1)
    assert bob.got()[:2] == ["hello", "first"]


def whispered() -> tuple[Neighbour, Neighbour, int]:
    """Return two who met, and a message between them that disappears after an hour."""
    ada, bob, now = met()
    ada.people.send(ada.talk(bob), SECRET, now, expires_s=LIFE_S)
    settle(ada, bob, now)
    for one in (ada, bob):
        one.people.work(now)
        one.commit()
    assert on_disk(ada)
    assert on_disk(bob)
    return ada, bob, now


def go_on(one: Neighbour, start: int, stop: int) -> None:
    """Let a node run from one time of its clock to another."""
    for time in range(start, stop, 5 * MINUTE):
        one.people.work(time)
    one.people.work(stop)


def deadline(one: Neighbour) -> int:
    """Return when the message disappears."""
    (message,) = secrets(one)
    assert message.expires is not None
    return message.expires


def secrets(one: Neighbour) -> list[Message]:
    talks = one.persona.conversations.values()
    return [m for talk in talks for m in talk.history if m.text == SECRET]


def test_a_clock_that_is_set_back_lengthens_no_life() -> None:
    ada, bob, now = whispered()
    for one in (ada, bob):
        go_on(one, now - DAY, now - DAY + LIFE - MINUTE)
        assert on_disk(one)
        one.people.work(now - DAY + LIFE + clock.SECOND)
        assert not on_disk(one)


def test_a_clock_that_is_set_back_again_and_again_lengthens_no_life() -> None:
    _, bob, now = whispered()
    time = now
    for _ in range(120):  # half a minute on, and back
        bob.people.work(time)
        time += MINUTE // 2
        bob.people.work(time)
        time -= MINUTE // 2
    bob.people.work(time + MINUTE)
    assert not on_disk(bob)


def test_a_clock_that_is_set_back_while_the_node_is_off_lengthens_no_life() -> None:
    _, bob, now = whispered()
    go_on(bob, now, now + 30 * MINUTE)
    bob.commit()
    bob.restart(now - DAY)
    assert on_disk(bob)
    go_on(bob, now - DAY, now - DAY + 29 * MINUTE)
    assert on_disk(bob)
    bob.people.work(now - DAY + 31 * MINUTE)
    assert not on_disk(bob)


def test_a_clock_that_the_network_confirms_sets_the_deadlines() -> None:
    _, bob, now = whispered()
    before = deadline(bob)
    time = now - DAY
    for _ in range(SURE // MINUTE + 1):
        bob.people.work(time)
        time += MINUTE // 2
    assert deadline(bob) == before
    for _ in range(SURE // MINUTE + 1):
        bob.people.work(time)
        time += MINUTE // 2
    assert before - DAY - clock.SECOND <= deadline(bob) <= before - DAY + clock.SECOND
    bob.commit()
    bob.restart(time)
    assert before - DAY - clock.SECOND <= deadline(bob) <= before - DAY + clock.SECOND
    bob.people.work(now - DAY + LIFE + clock.SECOND)
    assert not on_disk(bob)


def test_a_clock_that_was_wrong_at_the_start_and_is_put_right_costs_no_life() -> None:
    """A small machine without a battery begins in 1970, and asks for the time later."""
    _, bob, now = whispered()
    bob.people.work(now)
    bob.commit()
    bob.people.online = False
    bob.restart(START - START // clock.SECOND * clock.SECOND + MINUTE)
    bob.people.online = False
    for second in range(60):
        bob.people.work(MINUTE + second * clock.SECOND)
    bob.people.work(now + 5 * MINUTE)
    assert on_disk(bob)
    assert deadline(bob) >= now + LIFE - clock.SECOND
    bob.people.work(now + LIFE + 5 * MINUTE)
    assert not on_disk(bob)


def test_what_is_written_under_a_clock_that_was_set_back_lives_as_long_as_it_should() -> None:
    ada, bob, now = met()
    ada.people.send(ada.talk(bob), "earlier", now, expires_s=LIFE_S)
    ada.people.work(now)
    ada.people.work(now - DAY)
    ada.people.send(ada.talk(bob), SECRET, now - DAY, expires_s=LIFE_S)
    go_on(ada, now - DAY, now - DAY + LIFE - MINUTE)
    assert on_disk(ada)
    ada.people.work(now - DAY + LIFE + clock.SECOND)
    assert not on_disk(ada)


def test_nothing_is_written_down_of_the_time_where_nothing_disappears() -> None:
    _, bob, now = met()
    go_on(bob, now, now + 10 * MINUTE)
    bob.commit()
    assert bob.disk.count(state.CLOCK) == 0
