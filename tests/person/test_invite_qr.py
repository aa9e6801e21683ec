"""The QR code of an invite as a picture that stands alone."""

import re
from xml.etree import ElementTree

import segno

from pseudonyms import people
from shoal_node import invite_qr
from shoal_protocol.pseudonyms.invite import Invite, encode

ONE = Invite(b"netw", people.persona("ada").pseudonym, bytes(range(16)), 20_800)
SVG = invite_qr.svg(ONE)
NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(path: str, size: int) -> list[list[int]]:
    """Follow a path of horizontal strokes; returns rows of dark (1) and light (0) modules."""
    rows = [[0] * size for _ in range(size)]
    x = y = 0.0
    for command, numbers in re.findall(r"([Mmh])([^Mmh]*)", path):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if command == "h":
            for column in range(int(x), int(x + values[0])):
                rows[int(y)][column] = 1
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + values[1])
    return rows


def test_the_code_drawn_is_that_of_the_link_in_capitals() -> None:
    tree = ElementTree.fromstring(SVG)
    size = int(tree.attrib["viewBox"].split()[2])
    rows = drawn(tree[1].attrib["d"], size)
    expected = segno.make_qr(f"SHOAL:{encode(ONE).upper()}", error="m", boost_error=False)
    assert rows == [list(row) for row in expected.matrix_iter(border=invite_qr.QUIET_ZONE)]
    assert expected.mode == "alphanumeric"


def test_the_ground_is_white_and_has_a_quiet_zone_of_four_modules() -> None:
    tree = ElementTree.fromstring(SVG)
    ground, modules = tree
    size = int(tree.attrib["viewBox"].split()[2])
    assert (ground.attrib["fill"], ground.attrib["d"]) == ("#fff", f"M0 0h{size}v{size}h-{size}z")
    assert modules.attrib["stroke"] == "#000"
    rows = drawn(modules.attrib["d"], size)
    edge = invite_qr.QUIET_ZONE
    assert not any(any(row) for row in rows[:edge] + rows[-edge:])
    assert not any(any(row[:edge] + row[-edge:]) for row in rows)


def test_the_picture_has_no_script_style_or_reference() -> None:
    tree = ElementTree.fromstring(SVG)
    assert {element.tag for element in tree.iter()} == {f"{NAMESPACE}svg", f"{NAMESPACE}path"}
    names = {name for element in tree.iter() for name in element.attrib}
    assert names == {"viewBox", "d", "fill", "stroke"}
    assert SVG.count("http") == 1  # the namespace's name
    assert len(SVG) < 5000
