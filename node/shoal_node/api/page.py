"""The page: static files that were built into the package, served without a token.

::

    shoal_node/page/            made by the build of node/web, kept in no repository
      index.html         ──>  GET /                  never cached
      favicon.svg, …     ──>  GET /favicon.svg       never cached
      assets/app-3f2a.js ──>  GET /assets/app-…      its name changes with it: kept for good

    nothing built        ──>  GET /                  a page that says how to get it

The table of what may be asked for is read at the start, whole, with the compressed form of
each text; a request is looked up in it as it stands, so no request ever reaches the file
system. The files hold no secret: the token comes in the address's fragment, which browsers
send to nobody, and everything that the page shows comes through the API with that token.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shoal_node.api import guard

FOLDER: Final = Path(__file__).resolve().parent.parent / "page"
INDEX: Final = "index.html"
HASHED: Final = "/assets/"  # below it, a file's name holds a hash of its contents

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES: Final[Mapping[str, str]] = {  # of other kinds nothing is served
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
COMPRESSED: Final = frozenset({".html", ".js", ".css", ".json", ".webmanifest", ".svg", ".txt"})
METHODS: Final = ("GET", "HEAD")

_HEADERS: Final[guard.Headers] = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"vary", b"accept-encoding"),
]

_NOTICE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shoal</title>
<link rel="stylesheet" href="/notice.css">
</head>
<body>
<main>
<p class="fish" aria-hidden="true">&gt;&lt;(((º&gt; &nbsp; &gt;&lt;(((º&gt;</p>
<h1>Shoal is running</h1>
<p>Your node works. Its web page was not built when this copy was set up: that needs
Node&nbsp;20.19 or newer. To get it:</p>
<ol>
<li>install <a href="https://nodejs.org" rel="noreferrer">Node 20.19 or newer</a>,</li>
<li>run <code>make venv</code> in Shoal's folder, which says what is missing,</li>
<li>start <code>shoal up</code> again.</li>
</ol>
<p>Everything works from a terminal meanwhile: <code>shoal --help</code>.</p>
<section lang="zh-Hans">
<h1>Shoal 正在运行</h1>
<p>节点一切正常。安装时网页没有构建：这需要 Node&nbsp;20.19 或更新的版本。要得到网页：</p>
<ol>
<li>安装 <a href="https://nodejs.org" rel="noreferrer">Node 20.19 或更新的版本</a>；</li>
<li>在 Shoal 的文件夹里运行 <code>make venv</code>，它会说明还缺什么；</li>
<li>重新启动 <code>shoal up</code>。</li>
</ol>
<p>在此之前，终端里的功能全部可用：<code>shoal --help</code>。</p>
</section>
</main>
</body>
</html>
"""

_NOTICE_STYLE: Final = """:root { color-scheme: light dark }
body {
  margin: 0; padding: 8vh 1.5rem; line-height: 1.6;
  font: 1.05rem/1.65 system-ui, "PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif;
  background: #eef4f6; color: #16323d;
}
main {
  max-width: 34rem; margin: 0 auto; padding: 2rem 2.25rem;
  background: #fff; border-radius: 1rem; box-shadow: 0 .25rem 2rem #16323d1a;
}
.fish { margin: 0; color: #2b7d94; letter-spacing: .05em }
h1 { margin: .5rem 0; font-size: 1.4rem; font-weight: 600 }
section { margin-top: 2rem; padding-top: 1.25rem; border-top: 1px solid #16323d22 }
code { padding: .1em .35em; border-radius: .3em; background: #2b7d941f }
a { color: #1b6a80 }
@media (prefers-color-scheme: dark) {
  body { background: #0d1b21; color: #dbe8ec }
  main { background: #13262e; box-shadow: none }
  section { border-color: #dbe8ec22 }
  .fish, a { color: #74c3d8 }
}
"""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of the page, ready to be sent."""

    media_type: str
    content: bytes
    compressed: bytes | None  # gzip, where it is shorter
    kept: bool  # browsers may keep it: another content has another name

    def headers(self, *, compressed: bool) -> guard.Headers:
        """The answer's headers, for the form that is sent."""
        body = self.body(compressed=compressed)
        cache = b"private, max-age=31536000, immutable" if self.kept else b"no-store"
        headers = [
            (b"content-type", self.media_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", cache),
            *_HEADERS,
        ]
        if compressed and self.compressed is not None:
            headers.append((b"content-encoding", b"gzip"))
        return headers

    def body(self, *, compressed: bool) -> bytes:
        """The bytes that are sent."""
        return self.compressed if compressed and self.compressed is not None else self.content


def _static(suffix: str, content: bytes, *, kept: bool) -> StaticFile:
    packed = gzip.compress(content, 6, mtime=0) if suffix in COMPRESSED else None
    if packed is not None and len(packed) >= len(content):
        packed = None
    return StaticFile(MEDIA_TYPES[suffix], content, packed, kept)


def read_table(folder: Path = FOLDER) -> dict[str, StaticFile]:
    """Return everything that may be asked for, by the path of its address.

    Args:
        folder: what the build made; when it has no ``index.html``, the table holds a notice.
    """
    if not (folder / INDEX).is_file():
        return {
            "/": _static(".html", _NOTICE.encode(), kept=False),
            "/notice.css": _static(".css", _NOTICE_STYLE.encode(), kept=False),
        }
    table = {}
    for file in sorted(folder.rglob("*")):
        below = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if hidden or file.suffix not in MEDIA_TYPES or file.is_symlink() or not file.is_file():
            continue
        path = "/" if below == Path(INDEX) else f"/{below.as_posix()}"
        table[path] = _static(file.suffix, file.read_bytes(), kept=path.startswith(HASHED))
    return table


class Page:
    """Answers from the table alone (ASGI); the guard has checked the host and the origin.

    Args:
        table: what may be asked for.
    """

    def __init__(self, table: Mapping[str, StaticFile]) -> None:
        self._table = table

    async def __call__(self, scope: guard.Scope, receive: guard.Receive, send: guard.Send) -> None:
        """Answer one request."""
        found = self._table.get(scope["path"])
        if found is None:
            problem = guard.Problem(404, "There is no such file.", title="Not found")
        elif scope["method"] not in METHODS:
            allowed = ((b"allow", ", ".join(METHODS).encode()),)
            problem = guard.Problem(405, "Files can be read only.", allowed)
        else:
            await _send(found, scope, send)
            return
        await guard.refuse(scope, receive, send, problem)


async def _send(file: StaticFile, scope: guard.Scope, send: guard.Send) -> None:
    compressed = _takes_gzip(scope)
    headers = file.headers(compressed=compressed)
    body = b"" if scope["method"] == "HEAD" else file.body(compressed=compressed)
    start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _takes_gzip(scope: guard.Scope) -> bool:
    """Whether the caller names gzip and does not weigh it 0 (RFC 9110 §12.5.3)."""
    fields = b",".join(guard.values(scope["headers"], b"accept-encoding"))
    for coding in fields.lower().replace(b" ", b"").split(b","):
        name, _, weight = coding.partition(b";q=")
        if name == b"gzip":
            return weight.strip(b"0.") != b"" or not weight
    return False
