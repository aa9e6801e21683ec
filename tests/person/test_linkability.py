"""What joins two personas, told honestly."""

import typing

from shoal_node import linkability
from shoal_node.linkability import MINUTE, Facts, Link, links

HOUR = 60 * MINUTE
ADA = Facts("ada", 1 * HOUR, "Ada", b"\x01abcd", ("p", "q"), (b"f",), True)
BOB = Facts("bob", 9 * HOUR, "Bob", b"\x01abce", ("r",), (b"g",), True)


def codes(found: list[Link]) -> list[str]:
    """The codes of ``found``, in order."""
    return [link.code for link in found]


def test_a_node_without_personas_has_nothing_to_tell() -> None:
    assert links([], "balanced") == []


def test_of_one_persona_the_guard_learns_that_it_is_on() -> None:
    assert links([ADA], "balanced") == [Link("guard", ("ada",))]


def test_two_personas_on_one_node_are_always_on_at_the_same_hours() -> None:
    found = links([ADA, BOB], "saver")
    assert codes(found) == ["hours", "preset", "guard", "style"]
    assert found[1] == Link("preset", ("ada", "bob"), "saver")
    assert all(link.personas == ("ada", "bob") for link in found)


def test_a_contact_of_both_is_named_and_comes_first() -> None:
    both = Facts("eve", 20 * HOUR, contacts=("q", "s", "q"))
    found = links([ADA, BOB, both], "fast")
    assert found[0] == Link("contact", ("ada", "eve"), "q")
    assert codes(found).count("contact") == 1


def test_the_same_file_or_picture_joins_whoever_sent_it() -> None:
    again = Facts("eve", 20 * HOUR, avatar=ADA.avatar, files=(b"g", b"f"))
    found = links([ADA, BOB, again], "fast")
    assert Link("file", ("ada", "eve")) in found
    assert Link("file", ("bob", "eve")) in found
    assert Link("avatar", ("ada", "eve")) in found


def test_names_that_look_the_same_join_and_momo_joins_nobody() -> None:
    again = Facts("eve", 20 * HOUR, name="АDА")
    found = links([ADA, again, Facts("x", 40 * HOUR), Facts("y", 60 * HOUR)], "fast")
    assert [link for link in found if link.code == "name"] == [Link("name", ("ada", "eve"), "Ada")]
    assert "avatar" not in codes(found)


def test_personas_made_within_minutes_of_each_other_are_joined_in_runs() -> None:
    made = [0, 10, 24, 60, 61]
    facts = [Facts(str(minute), minute * MINUTE) for minute in made]
    found = [link for link in links(facts, "fast") if link.code == "created"]
    assert found == [
        Link("created", ("0", "10", "24"), "24"),
        Link("created", ("60", "61"), "1"),
    ]


def test_style_joins_only_those_who_wrote() -> None:
    silent = Facts("eve", 20 * HOUR)
    assert Link("style", ("ada", "bob")) in links([ADA, silent, BOB], "fast")
    assert "style" not in codes(links([ADA, silent], "fast"))


def test_every_code_has_a_sentence() -> None:
    assert set(linkability.SENTENCES) == set(typing.get_args(linkability.Code))
