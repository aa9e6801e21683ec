"""T13 in small: 100 relays and one network a line; the release check has 200 and two."""

from processes.waiting import Say
from sim import t13


def test_lookups_find_their_records_among_sybils_and_in_an_eclipse(say: Say) -> None:
    found = t13.measure(relays=100, length_s=600.0, networks=1)
    say(str(found))
    assert not found["wrong"]
