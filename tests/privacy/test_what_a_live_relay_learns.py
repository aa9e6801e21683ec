"""What the running process of a storage relay learns of streams from times and neighbours.

More than its disk: when an address is asked for and handed out. Readers ask for later boxes of
a stream when one has come, so this is a matter of degree; ``privacy.measure`` prints it for
larger towns, and the threat model has the figures.
"""

from privacy import chaining, features, linking
from privacy.chaining import Chained
from privacy.features import Seen
from privacy.town import Sight, Town
from shoal_protocol.clock import MILLISECOND
from support import seeded

BETTER_THAN_CHANCE = 0.002


def seen_by_each(town: Town) -> list[list[Seen]]:
    """Return what each relay saw of the boxes that it keeps."""
    return [
        [Seen(row, relay.sight(row.address)) for row in town.rows(relay)] for relay in town.relays
    ]


def guessed(town: Town, views: list[list[Seen]]) -> Chained:
    return chaining.chain(views, lambda one: town.stream(one.row.address), seeded(1))


def test_a_relay_alone_seldom_guesses_which_box_its_reader_had_before(town: Town) -> None:
    found = guessed(town, seen_by_each(town))
    assert found.guesses > 40
    assert found.hits < 0.35, found


def test_readers_who_asked_the_same_relay_at_once_would_be_caught(town: Town) -> None:
    """The power of the guess: each box asked for 50 ms after the one before it was given."""
    planted: list[list[Seen]] = []
    for view in seen_by_each(town):
        last: dict[bytes, int] = {}
        changed: list[Seen] = []
        for one in sorted(view, key=lambda one: one.sight.put):
            stream, at = town.stream(one.row.address), one.sight.put[0][0]
            asked = last.get(stream, at - MILLISECOND) + 50 * MILLISECOND
            last[stream] = max(asked, at) + MILLISECOND
            sight = Sight([(asked, b"", 0)], one.sight.put, [last[stream]])
            changed.append(Seen(one.row, sight))
        planted.append(changed)
    found = guessed(town, planted)
    assert found.p <= BETTER_THAN_CHANCE, found
    assert found.hits > 0.8, found


def test_neighbours_on_the_way_tell_next_to_nothing_of_streams(town: Town) -> None:
    view = max(seen_by_each(town), key=len)
    streams = [town.stream(one.row.address) for one in view]
    found = linking.link(view, streams, features.HOPS, seeded(1), keep=True)
    assert found.auc < 0.6, found
