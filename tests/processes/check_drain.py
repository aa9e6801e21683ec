"""Relays leave in good order, others die, and one disk is full: nothing is lost."""

from processes import survivors
from processes.waiting import Say
from shoal_protocol.parameters import LAB


def test_nothing_is_lost_when_relays_drain_and_die_and_a_disk_is_full(say: Say) -> None:
    """Three of twelve drain at once, then two die; each box was on three, and on any of them."""
    figures = survivors.run(
        "drain", say, relays=12, killed=2, drained=3, full=1, readers=2, network_name=LAB.name
    )
    assert figures.wrong == []
    assert figures.boxes_lost == 0
    assert figures.came == figures.messages > 0
