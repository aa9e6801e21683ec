"""The page over a twin of a node, in a real browser: looks, keys, attacks, weight, first paint.

Run by name, ``pytest tests/web/check_page.py``: Chromium and Node's development files are needed.
"""

import gzip
import re
import statistics
from collections.abc import Iterator
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page

from processes.waiting import Say
from shoal_node import home, page_link
from shoal_node.api.client import Client
from web import browsing, twins
from web.scripts import HOSTILE

VIEWS: Final = ("home", "chat", "requests", "new", "personas", "linkability", "network", "settings")
PAGE: Final = browsing.ROOT / "node/shoal_node/page"
MAX_FIRST: Final = 44_000  # bytes, compressed: what is fetched before the first paint
MAX_WHOLE: Final = 69_000  # bytes, compressed: all that a reader of one language ever fetches
LANGUAGES: Final = ("en", "zh")
MAX_PAINT_MS: Final = 500.0
PAINTS: Final = 5


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}")  # noqa: T201

    return line


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsing.browser() as running:
        yield running


@pytest.fixture(scope="module")
def link() -> Iterator[str]:
    with twins.twin("--pace", "0.05") as address:
        yield address


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", [browsing.WIDE, browsing.PHONE], ids=["wide", "phone"])
def test_every_view_is_accessible_and_stays_at_home(
    chromium: Browser,
    link: str,
    theme: browsing.Theme,
    language: Literal["en", "zh"],
    size: tuple[int, int],
) -> None:
    faults: list[str] = []
    tag = {"en": "en-GB", "zh": "zh-CN"}[language]
    opening = browsing.opened(chromium, link, language=tag, theme=theme, size=size)
    with opening as (page, watch):
        page.locator(".rows ul button").first.wait_for()
        for view in VIEWS:
            browsing.go(page, view)
            faults += [f"{view}: {each}" for each in browsing.axe(page)]
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                faults.append(f"{view}: {wide} px wider than the screen")
        watch.assert_clean(page)
        assert page.evaluate("document.documentElement.lang").startswith(language)
    assert faults == []


def test_the_start_of_a_locked_node_is_accessible(chromium: Browser) -> None:
    with (
        twins.twin("--locked") as link,
        browsing.opened(chromium, link) as (page, watch),
    ):
        page.locator("input[type=password]").wait_for()
        assert browsing.axe(page) == []
        page.locator("input[type=password]").fill("egret")
        page.keyboard.press("Enter")
        page.locator("[role=alert]").wait_for()
        page.locator("input[type=password]").fill("heron")
        page.keyboard.press("Enter")
        page.locator(".rows ul button").first.wait_for()
        watch.assert_clean(page)


def test_without_its_token_the_page_says_what_it_needs(chromium: Browser, link: str) -> None:
    with browsing.opened(chromium, link.partition("#")[0]) as (page, watch):
        words = browsing.words("en")
        page.get_by_role("heading", name=words["start_token_title"]).wait_for()
        assert browsing.axe(page) == []
        watch.assert_clean(page)


def test_the_token_leaves_the_address_and_survives_a_reload(chromium: Browser, link: str) -> None:
    with browsing.opened(chromium, link) as (page, watch):
        page.locator(".rows ul button").first.wait_for()
        assert "#" not in page.url
        page.reload()
        page.locator(".rows ul button").first.wait_for()
        watch.assert_clean(page)


def test_a_ticket_opens_the_page_once_and_leaves_the_address(chromium: Browser, link: str) -> None:
    url, _, token = link.partition("/#")
    client = Client(home.ApiFile(url, token, 0, "", ()))
    once = page_link.once(url, client.post("tickets", body={})["ticket"])
    with browsing.opened(chromium, once) as (page, watch):
        page.locator(".rows ul button").first.wait_for()
        assert "#" not in page.url
        page.reload()
        page.locator(".rows ul button").first.wait_for()
        watch.assert_clean(page)
    with browsing.opened(chromium, once) as (page, watch):
        page.get_by_role("heading", name=browsing.words("en")["start_token_title"]).wait_for()
        assert "#" not in page.url


def test_the_browser_keeps_no_words_and_translates_nothing(chromium: Browser) -> None:
    with twins.twin() as link, browsing.opened(chromium, link) as (page, watch):
        page.locator(".rows ul button").first.click()
        page.locator(".composer textarea").fill("half a sentence")
        kept = page.evaluate("Object.keys(sessionStorage).sort()")
        assert "token" in kept and not set(kept) - {"token", "persona", "details"}
        assert page.evaluate("Object.keys(localStorage)") == []
        assert page.evaluate("document.documentElement.translate") is False
        watch.assert_clean(page)


def test_a_conversation_is_held_with_keys_alone(chromium: Browser, link: str) -> None:
    with browsing.opened(chromium, link) as (page, watch):
        page.locator(".rows ul button").first.wait_for()
        page.keyboard.press("Control+k")
        assert page.evaluate("document.activeElement.type") == "search"
        page.keyboard.press("ArrowDown")  # the tray of requests
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        area = page.locator(".composer textarea")
        area.wait_for()
        for _ in range(30):
            if area.evaluate("node => node === document.activeElement"):
                break
            page.keyboard.press("Tab")
        page.keyboard.type("By keys alone")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("on two lines")
        page.keyboard.press("Enter")
        _bubble(page, "By keys alone").wait_for()
        assert area.input_value() == ""
        page.keyboard.press("Escape")
        watch.assert_clean(page)


def test_enter_that_chooses_a_chinese_word_sends_nothing(chromium: Browser, link: str) -> None:
    with browsing.opened(chromium, link, language="zh-CN") as (page, watch):
        browsing.go(page, "chat")
        area = page.locator(".composer textarea")
        area.focus()
        # The input method of the debugging port: a composition, then Enter while it goes on.
        devtools = page.context.new_cdp_session(page)
        devtools.send(
            "Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5}
        )
        before = page.locator("article").count()
        area.evaluate(
            "node => node.dispatchEvent(new KeyboardEvent('keydown',"
            " {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
        )
        page.wait_for_timeout(300)
        assert page.locator("article").count() == before
        devtools.send("Input.insertText", {"text": "你好，潮水"})
        assert "你好，潮水" in area.input_value()
        page.keyboard.press("Enter")
        _bubble(page, "你好，潮水").wait_for()
        assert area.input_value() == ""
        watch.assert_clean(page)


def test_of_a_hundred_hostile_texts_none_runs(chromium: Browser, say: Say) -> None:
    with (
        twins.twin(script=twins.HOSTILE) as link,
        browsing.opened(chromium, link) as (page, watch),
    ):
        page.locator(".rows ul button").first.wait_for()
        shown = 0
        for view in VIEWS[2:]:
            browsing.go(page, view)
        browsing.back_to_list(page)
        rows = page.locator(".rows ul button")
        for place in range(rows.count()):
            rows.nth(place).click()
            page.locator("article").first.wait_for()
            page.wait_for_timeout(150)
            shown += page.locator("article").count()
            page.locator("article").last.hover()
        browsing.go(page, "home")
        for text in HOSTILE[::20]:
            page.locator("input[type=search]").fill(text)
            page.wait_for_timeout(300)
        watch.assert_clean(page)
    say(f"hostile texts: {len(HOSTILE)}, shown in {shown} messages, names and files; 0 ran")
    assert shown >= len(HOSTILE)


def test_the_first_paint_is_early_and_light(chromium: Browser, link: str, say: Say) -> None:
    times: list[float] = []
    for _ in range(PAINTS):
        with browsing.opened(chromium, link) as (page, _watch):
            times.append(browsing.first_paint_ms(page))
    sizes = {
        path.relative_to(PAGE).as_posix(): len(gzip.compress(path.read_bytes(), 9))
        for path in PAGE.rglob("*")
        if path.is_file()
    }
    entry = (PAGE / "index.html").read_text()
    first = {"index.html", *re.findall(r'(?:src|href)="/(assets/[^"]+)"', entry)}
    spoken = {
        tag: next(name for name in sizes if name.startswith(f"assets/{tag}-")) for tag in LANGUAGES
    }
    longest = max(sizes[name] for name in spoken.values())
    before = sum(sizes[name] for name in first) + longest
    whole = sum(size for name, size in sizes.items() if name not in spoken.values()) + longest
    median = statistics.median(times)
    say(
        f"first paint {median:.0f} ms (of {PAINTS}: {', '.join(f'{t:.0f}' for t in times)}); "
        f"fetched for it {before} B gzip, in one language at most {whole} B, "
        f"in both {sum(sizes.values())} B: "
        + ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
    )
    assert median < MAX_PAINT_MS
    assert before < MAX_FIRST
    assert whole < MAX_WHOLE


def _bubble(page: Page, text: str) -> Locator:
    return page.locator("article", has_text=text).last
