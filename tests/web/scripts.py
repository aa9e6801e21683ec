"""A hundred texts that run as scripts wherever a page takes text for markup; each would write to
``window.ran`` or open a dialog."""

from typing import Final

_RUN: Final = "(window.ran||[]).push(1),alert(1)"
_SHAPES: Final = (
    "<script>{}</script>",
    "<img src=x onerror={}>",
    "<svg onload={}>",
    "<svg><script>{}</script></svg>",
    '<iframe src="javascript:{}">',
    '<a href="javascript:{}">x</a>',
    "javascript:{}",
    "<body onload={}>",
    "<input autofocus onfocus={}>",
    "<details open ontoggle={}>",
    "<video><source onerror={}></video>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror={}>",
    "<style>@import 'http://192.0.2.1/{}';</style>",
    "<link rel=stylesheet href=http://192.0.2.1/x onload={}>",
    '<meta http-equiv=refresh content="0;url=javascript:{}">',
    '<object data="javascript:{}"></object>',
    "<marquee onstart={}>x</marquee>",
    '"><img src=x onerror={}>',
    "'-{}-'",
    "${{{}}}",
    "{{{{constructor.constructor('{}')()}}}}",
    "{{@html '<img src=x onerror={}>'}}",
    "</textarea><script>{}</script>",
    "</title><script>{}</script>",
    "<template><script>{}</script></template>",
)
_WRAPS: Final = (
    "{}",
    "hello {} there",
    "\u202e{}\u202c",
    "{}\x00\ufeff",
)

HOSTILE: Final = tuple(
    wrap.replace("{}", shape.format(_RUN)) for wrap in _WRAPS for shape in _SHAPES
)
assert len(HOSTILE) == 100
