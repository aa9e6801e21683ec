"""Safety codes."""

import re

from pseudonyms import people
from pseudonyms.people import NETWORK
from shoal_protocol.sessions import safety

ADA, BOB, EVE = (people.persona(name).pseudonym for name in ("ada", "bob", "eve"))


def test_both_sides_see_the_same_sixty_digits() -> None:
    code = safety.safety_code(ADA, BOB, NETWORK)
    assert code == safety.safety_code(BOB, ADA, NETWORK)
    assert re.fullmatch(r"\d{5}( \d{5}){11}", code)


def test_another_person_or_network_gives_another_code() -> None:
    codes = {
        safety.safety_code(ADA, BOB, NETWORK),
        safety.safety_code(ADA, EVE, NETWORK),
        safety.safety_code(EVE, BOB, NETWORK),
        safety.safety_code(ADA, BOB, people.OTHER_NETWORK),
    }
    assert len(codes) == 4


def test_each_half_is_one_persons_own() -> None:
    halves = [
        {code[:35], code[36:]}
        for code in (safety.safety_code(ADA, BOB, NETWORK), safety.safety_code(ADA, EVE, NETWORK))
    ]
    assert len(halves[0] & halves[1]) == 1
