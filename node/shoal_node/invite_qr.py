"""The QR code of an invite, as a small picture that stands alone.

::

    link ─► capitals ─► QR, level M (ISO/IEC 18004; alphanumeric mode: 5.5 bits a character)
         ─► SVG: one white ground with a quiet zone of 4 modules, one path of dark modules

The ground is always white and the modules always black, on dark pages as well: many readers
take no inverted code. The SVG has no script, style, size or reference, so that a page may
show it under the strictest policy, as an image or inside its own document. The only importer
of segno.
"""

import io
from typing import Final

import segno

from shoal_protocol.pseudonyms import invite
from shoal_protocol.pseudonyms.invite import Invite

QUIET_ZONE: Final = 4  # modules, ISO/IEC 18004 §5.3.8


def svg(one: Invite) -> str:
    """Return the SVG of the link of ``one``, about 3 kB, with a viewBox and no size."""
    return svg_of(invite.SCHEME + invite.encode(one))


def svg_of(text: str) -> str:
    """Return the SVG of an ASCII ``text`` that means the same in capitals, as links do here."""
    code = segno.make_qr(text.upper(), error="m", boost_error=False)
    out = io.BytesIO()
    code.save(
        out,
        kind="svg",
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgns=True,
        nl=False,
        omitsize=True,
        svgclass=None,
        lineclass=None,
    )
    return out.getvalue().decode()
