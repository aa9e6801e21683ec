"""A real browser for the checks of the page: Debian's Chromium, driven through its debugging port.

::

    browser ── context (language, light or dark, width) ── page
                  │ every request and WebSocket that leaves for another origin → Watch.foreign
                  │ dialogs, errors and breaches of the content security policy → Watch.faults
                  └ the policy is in force: nothing here bypasses it

Nothing is downloaded: the browser is the system's, the rules of accessibility come with the page's
development dependencies.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Browser, Page, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[2]
AXE: Final = ROOT / "node/web/node_modules/axe-core/axe.min.js"
WIDE: Final = (1280, 800)  # px
PHONE: Final = (390, 844)
TIMEOUT_MS: Final = 15_000
_WATCHED: Final = """
window.breaches = [];
window.ran = [];
addEventListener('securitypolicyviolation',
  e => breaches.push(e.violatedDirective + ' ' + e.blockedURI));
"""

Theme = Literal["light", "dark"]


@dataclass(slots=True)
class Watch:
    """What a page did that it should not have done."""

    origins: list[str]  # of the nodes that the page is of
    foreign: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def request(self, url: str) -> None:
        """Take note of an address that the page asked for."""
        own = [scheme + o[4:] for o in self.origins for scheme in ("http", "ws", "blob:http")]
        if not url.startswith(("data:", *(f"{origin}/" for origin in own))):
            self.foreign.append(url)

    def assert_clean(self, page: Page) -> None:
        """Fail if anything left for elsewhere, ran unasked, or broke the policy."""
        assert self.foreign == []
        assert self.faults == []
        assert page.evaluate("[...breaches, ...ran]") == []


def chromium() -> str:
    """Where the system's browser is; fails with a sentence if there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "no chromium here: apt-get install chromium"
    return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window, ended with the context."""
    with sync_playwright() as play:
        running = play.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def opened(
    running: Browser,
    link: str,
    *,
    language: str = "en-GB",
    theme: Theme = "light",
    size: tuple[int, int] = WIDE,
) -> Iterator[tuple[Page, Watch]]:
    """The page behind ``link`` in a profile of its own."""
    origin = link.partition("#")[0].rstrip("/")
    watch = Watch([origin])
    context = running.new_context(
        locale=language,
        color_scheme=theme,
        viewport={"width": size[0], "height": size[1]},
        has_touch=size == PHONE,
        timezone_id="UTC",
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(_WATCHED)
    context.on("request", lambda request: watch.request(request.url))
    page = context.new_page()
    page.on("websocket", lambda socket: watch.request(socket.url))
    page.on("pageerror", lambda error: watch.faults.append(str(error)))

    def refuse(dialog: Any) -> None:
        watch.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", refuse)
    try:
        page.goto(link)
        yield page, watch
    finally:
        context.close()


def words(language: Literal["en", "zh"]) -> dict[str, str]:
    """The page's own words that are plain strings, by their keys."""
    text = (ROOT / f"node/web/src/lib/i18n/{language}.ts").read_text()
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.strip().partition(": ")
        if colon and value[:1] == "'" and value.endswith("',"):
            found[key] = value[1:-2].replace("\\'", "'")
    return found


def go(page: Page, view: str) -> None:
    """Show a main view by its place in the navigation, as the mouse does."""
    places = ("home", "requests", "personas", "network", "settings")
    if view == "new":
        back_to_list(page)
        page.locator(".column button.new").click()
    elif view == "linkability":
        go(page, "personas")
        page.locator("button.card.link").click()
    elif view == "chat":
        back_to_list(page)
        page.locator(".rows ul button").first.click()
        page.locator(".composer textarea").wait_for()
    else:
        if page.locator("nav button.place").first.is_hidden():
            back_to_list(page)
        page.locator("nav button.place").nth(places.index(view)).click()
    page.wait_for_timeout(250)


def back_to_list(page: Page) -> None:
    """Leave a view for the list of conversations; on a phone it hides the navigation."""
    for _ in range(4):
        if page.locator(".list .column").is_visible():
            return
        page.keyboard.press("Escape")
        page.wait_for_timeout(60)
    page.locator(".list .column").wait_for()


def axe(page: Page) -> list[str]:
    """What the rules of accessibility say against the page as it stands: rule, place."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE.read_text())
    found = page.evaluate(
        "axe.run({resultTypes: ['violations'], runOnly: "
        "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [
        f"{rule['id']} ({rule['impact']}): {json.dumps(node['target'])} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def first_paint_ms(page: Page) -> float:
    """From the beginning of the navigation to the first content on the screen."""
    for _ in range(100):
        found = page.evaluate(
            "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"
        )
        if found:
            return float(found[0])
        page.wait_for_timeout(50)
    raise AssertionError("nothing was painted")
