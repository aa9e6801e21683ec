"""Two people's pages over real relays, in a real browser: what they do, and what it looks like.

Run by name, ``pytest tests/processes/check_browser.py``. With SHOAL_SCREENSHOTS=docs/screenshots
the pictures of the documents are made anew.
"""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Locator, Page

from processes.talkative import logged, planted, talkative_main
from processes.waiting import Say, pause, until
from shoal_node import home, page_link
from shoal_node.api.client import Client
from shoal_node.fleet import Fleet, Node
from web import browsing
from web.shots import shoot

RELAYS: Final = 8
ARRIVAL_MS: Final = 120_000
ASKED: Final = 1_000  # GETs whose time is measured
MAX_P95_MS: Final = 50.0  # printed beside what is seen; judged by the release checks
LOOKS: Final = (
    ("light", "en-GB", "light", browsing.WIDE),
    ("dark", "en-GB", "dark", browsing.WIDE),
    ("chinese", "zh-CN", "light", browsing.WIDE),
    ("chinese-dark", "zh-CN", "dark", browsing.WIDE),
    ("phone", "en-GB", "light", browsing.PHONE),
    ("phone-dark", "en-GB", "dark", browsing.PHONE),
)
VIEWS: Final = ("home", "chat", "requests", "new", "personas", "linkability", "network", "settings")
ALL_LOOKS: Final = ("chat", "network")  # views that are shot in every look; the rest in "light"
EN: Final = browsing.words("en")
SAID: Final[list[str]] = []  # every text that went through a page


@dataclass(slots=True)
class Person:
    """One person's node with the page that is open on it."""

    node: Node
    page: Page
    watch: browsing.Watch

    @property
    def client(self) -> Client:
        return self.node.client()

    def say(self, text: str) -> None:
        SAID.append(text)
        self.page.locator(".composer textarea").fill(text)
        self.page.keyboard.press("Enter")
        self.bubble(text).wait_for()

    def bubble(self, text: str) -> Locator:
        return self.page.locator("article", has_text=text).last

    def hears(self, text: str) -> None:
        self.bubble(text).wait_for(timeout=ARRIVAL_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsing.browser() as running:
        yield running


def test_two_people_meet_talk_and_part_in_their_browsers(chromium: Browser, say: Say) -> None:
    with Fleet(RELAYS, 2, main=talkative_main) as fleet:
        fleet.start()
        fleet.await_ready()
        ann_node, ben_node = fleet.people
        for node in fleet.people:
            if not node.client().get("personas"):
                node.client().post("personas", body={})
        with (
            browsing.opened(chromium, link(ann_node)) as (ann_page, ann_watch),
            browsing.opened(chromium, link(ben_node)) as (ben_page, ben_watch),
        ):
            ann = Person(ann_node, ann_page, ann_watch)
            ben = Person(ben_node, ben_page, ben_watch)
            invited(ann, ben, say)
            chat(ann, ben, say)
            picture(ann, ben)
            disappearing(ann, ben, say)
            measured(ann, ben, say)
            offline_and_back(fleet, ann, ben, say)
            answered_by_a_bot(ann, ben)
            requested(ann, ben)
            looks(chromium, ann)
            blocked(ann, ben)
            burnt(ann)
            silent(fleet, say)
            ann.watch.assert_clean(ann.page)
            ben.watch.assert_clean(ben.page)


def silent(fleet: Fleet, say: Say) -> None:
    """Of all that was said and of everybody who was there, no log tells."""
    strings = planted(fleet, [*SAID, "Heron", "sea.jpg"])
    logs = logged(fleet)
    told = {(name, string) for name, log in logs.items() for string in strings if string in log}
    assert told == set()
    say(f"{len(strings)} planted strings, {sum(map(len, logs.values()))} B of logs: none is told")


def link(node: Node) -> str:
    """An address that opens the node's page, once."""
    ticket = node.client().post("tickets", body={})["ticket"]
    return page_link.once(home.read_api(node.data).url, ticket)


def invited(ann: Person, ben: Person, say: Say) -> None:
    """Ann makes an invite, Ben pastes it: both may talk at once."""
    browsing.go(ann.page, "new")
    ann.page.get_by_role("button", name=EN["new_invite_button"]).click()
    invite = ann.page.get_by_label(EN["new_invite_link"]).input_value()
    assert invite.startswith("shoal:")
    assert ann.page.locator(".invite svg, .invite img").first.is_visible()
    shoot(ann.page, "invite")
    browsing.go(ben.page, "new")
    ben.page.get_by_label(EN["new_add_label"]).fill(invite)
    ben.page.get_by_role("button", name=EN["new_add_button"], exact=True).click()
    ben.page.locator(".composer textarea").wait_for()
    ben.say("Hello! Your invite worked.")
    began = time.monotonic()
    browsing.back_to_list(ann.page)
    row = ann.page.locator(".rows ul button").first
    row.wait_for(timeout=ARRIVAL_MS)
    row.click()
    ann.hears("Hello! Your invite worked.")
    say(f"the first message by an invite: {time.monotonic() - began:.1f} s")


def chat(ann: Person, ben: Person, say: Say) -> None:
    """Both write, one answers a message; a reload loses nothing; the states go on."""
    began = time.monotonic()
    ann.say("It did! The water is warm today.")
    ben.hears("It did! The water is warm today.")
    say(f"an answer: {time.monotonic() - began:.1f} s")
    told = ben.bubble("The water is warm today.")
    told.hover()
    told.get_by_role("button", name=EN["msg_reply"]).first.click()
    ben.say("How warm exactly? 🌊")
    ann.hears("How warm exactly?")
    assert ann.bubble("How warm exactly?").locator(".quote").is_visible()
    ann.say("Warm enough to swim until the lighthouse. 我在灯塔等你。")
    ben.hears("我在灯塔等你。")
    ben.page.reload()
    browsing.go(ben.page, "chat")
    ben.hears("我在灯塔等你。")
    ben.bubble("How warm exactly?").wait_for()
    until(
        lambda: all(m["status"] in ("fetched", "read") for m in own(ben)),
        ARRIVAL_MS / 1000,
        "all that Ben wrote is at Ann's node",
    )


def own(person: Person) -> list[dict[str, Any]]:
    """What the person wrote in the first conversation."""
    talk = person.client.get("conversations")[0]["id"]
    found: list[dict[str, Any]] = person.client.get("conversations", talk, "messages")
    return [message for message in found if message["outgoing"]]


def picture(ann: Person, ben: Person) -> None:
    """A picture with text arrives as a picture that the reader sees."""
    image = Image.new("RGB", (640, 400), "#f6c9a4")
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((420, 90, 540, 210), fill="#fff1d6")
    drawing.rectangle((0, 170, 640, 400), fill="#2f7f8f")
    for place in range(9):
        at = 190 + place * 18
        drawing.rectangle((400 - place * 8, at, 560 + place * 8, at + 5), fill="#8fc3c4")
    drawing.polygon(((0, 400), (0, 330), (260, 362), (640, 345), (640, 400)), fill="#e9cfa6")
    data = io.BytesIO()
    image.save(data, "JPEG")
    ann.page.locator("input.chooser").set_input_files(
        {"name": "sea.jpg", "mimeType": "image/jpeg", "buffer": data.getvalue()}
    )
    ann.say("This is where we swim.")
    ben.hears("This is where we swim.")
    shown = ben.bubble("This is where we swim.").locator("img")
    shown.wait_for(timeout=2 * ARRIVAL_MS)
    assert shown.evaluate("node => node.decode().then(() => node.naturalWidth)") == 640


def disappearing(ann: Person, ben: Person, say: Say) -> None:
    """A message that lives for 30 s is read and then gone at both ends."""
    set_timer(ann, 30)
    ann.say("Burn after reading.")
    ben.hears("Burn after reading.")
    began = time.monotonic()
    for person in (ann, ben):
        person.bubble("Burn after reading.").wait_for(state="detached", timeout=ARRIVAL_MS)
        texts = [
            message["text"]
            for talk in person.client.get("conversations")
            for message in person.client.get("conversations", talk["id"], "messages")
        ]
        assert "Burn after reading." not in texts
    say(f"a message of 30 s was gone at both ends {time.monotonic() - began:.1f} s after it came")
    set_timer(ann, None)


def set_timer(person: Person, seconds: int | None) -> None:
    """Choose by the page's dialog how long new messages live."""
    choices = (None, 5, 30)
    person.page.locator(".composer .timer").click()
    person.page.locator("dialog input[type=radio]").nth(choices.index(seconds)).check()
    person.page.get_by_role("button", name=EN["done"]).click()
    pause(0.3)


def measured(ann: Person, ben: Person, say: Say) -> None:
    """A thousand questions to Ann's API while both write."""
    talk = ann.client.get("conversations")[0]["id"]
    client = ann.client
    times = []
    for turn in range(ASKED):
        if turn % 250 == 0:
            (ann, ben)[turn // 250 % 2].say(f"Wave {turn // 250 + 1}")
        began = time.perf_counter()
        if turn % 2:
            client.get("conversations", talk, "messages")
        else:
            client.get("status")
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    p50, p95 = times[len(times) // 2], times[len(times) * 95 // 100]
    say(f"API while relaying and chatting: p50 {p50:.1f} ms, p95 {p95:.1f} ms (aim {MAX_P95_MS:g})")
    ann.hears("Wave 4")


def offline_and_back(fleet: Fleet, ann: Person, ben: Person, say: Say) -> None:
    """Ben's node is killed; the page says so; Ann writes; on its home again Ben reads it all."""
    fleet.kill(ben.node)
    ben.page.get_by_text(EN["net_offline"]).first.wait_for(timeout=30_000)
    ann.say("Are you still there?")
    until(lambda: own(ann)[-1]["status"] == "stored", 60, "what Ann wrote is stored")
    assert own(ann)[-1]["status"] == "stored"
    began = time.monotonic()
    ben.node = fleet.restart(ben.node)
    ben.watch.origins.append(home.read_api(ben.node.data).url)
    ben.page.goto(link(ben.node))
    browsing.go(ben.page, "chat")
    ben.hears("Are you still there?")
    ben.bubble("Hello! Your invite worked.").wait_for()
    say(f"what came meanwhile was read {time.monotonic() - began:.1f} s after the start")
    ben.say("I was under water for a while.")
    ann.hears("I was under water for a while.")


def answered_by_a_bot(ann: Person, ben: Person) -> None:
    """The bot of the documents speaks for Ben while his page shows something else."""
    browsing.go(ben.page, "settings")
    program = (browsing.ROOT / "docs/bots.md").read_text().split("```python\n")[1].split("```")[0]
    bot = subprocess.Popen([sys.executable, "-c", program, str(ben.node.data / home.API_FILE)])
    try:
        ann.say("When is low tide?")
        ann.hears("You said: When is low tide?")
        assert bot.poll() is None
    finally:
        bot.terminate()
        bot.wait(10)


def requested(ann: Person, ben: Person) -> None:
    """A second persona of Ben's asks by pseudonym; Ann finds it in the tray and accepts."""
    stranger = ben.client.post("personas", body={"name": "Heron", "random": False})
    pseudonym = ann.client.get("personas")[0]["pseudonym"]
    contact = ben.client.post("personas", stranger["id"], "contacts", body={"pseudonym": pseudonym})
    ben.client.post(
        "conversations", contact["conversation"], "messages", body={"text": "May I write to you?"}
    )
    ann.page.locator("button.tray").wait_for(timeout=2 * ARRIVAL_MS)
    browsing.go(ann.page, "requests")
    ann.page.get_by_text("May I write to you?").first.wait_for()
    shoot(ann.page, "requests")
    ann.page.get_by_role("button", name=EN["req_accept"]).click()
    ann.page.locator(".composer textarea").wait_for()
    ann.say("Of course.")
    until(
        lambda: any(
            message["text"] == "Of course."
            for message in ben.client.get("conversations", contact["conversation"], "messages")
        ),
        ARRIVAL_MS / 1000,
        "Ann's answer is at the persona that asked",
    )


def looks(chromium: Browser, ann: Person) -> None:
    """Every main view in the looks of the documents; none reaches out or breaks."""
    for random in range(2):
        ann.client.post("personas", body={"random": True, "ephemeral": bool(random)})
    for name, language, theme, size in LOOKS:
        opening = browsing.opened(
            chromium,
            link(ann.node),
            language=language,
            theme="dark" if theme == "dark" else "light",
            size=size,
        )
        with opening as (page, watch):
            page.locator(".rows ul button").first.wait_for()
            for view in VIEWS:
                if name != "light" and view not in ALL_LOOKS and view != "home":
                    continue
                if view == "requests" or (view == "home" and size != browsing.PHONE):
                    continue  # shot while somebody asked; the list stands beside every chat
                browsing.back_to_list(page)
                if view == "chat":
                    page.locator(".rows ul button").last.click()
                    page.locator(".composer textarea").wait_for()
                    page.locator("article img").last.wait_for()
                    page.wait_for_timeout(500)
                else:
                    browsing.go(page, view)
                shoot(page, f"{view}-{name}")
            watch.assert_clean(page)


def blocked(ann: Person, ben: Person) -> None:
    """Ann blocks the first of her contacts; nothing of theirs comes any more."""
    talk = next(
        talk
        for talk in ann.client.get("conversations")
        if talk["state"] == "accepted" and talk["peer"]["invited"]
    )
    browsing.back_to_list(ann.page)
    ann.page.locator(".rows ul button").last.click()
    if not ann.page.get_by_role("button", name=EN["peer_block"], exact=True).is_visible():
        ann.page.locator("button.info").click()
    ann.page.get_by_role("button", name=EN["peer_block"], exact=True).click()
    ann.page.locator("dialog").get_by_role("button", name=EN["peer_block"], exact=True).click()
    ann.page.get_by_text(EN["chat_blocked"]).wait_for()
    before = len(ann.client.get("conversations", talk["id"], "messages"))
    browsing.go(ben.page, "home")
    ben.page.locator(".rows ul button").last.click()
    ben.say("Can you hear me?")
    until(lambda: own(ben)[-1]["status"] != "queued", 60, "what Ben wrote is stored")
    pause(5.0)
    assert len(ann.client.get("conversations", talk["id"], "messages")) == before


def burnt(ann: Person) -> None:
    """Ann burns a persona: it is gone from the page and the API."""
    count = len(ann.client.get("personas"))
    browsing.go(ann.page, "personas")
    ann.page.get_by_role("button", name=EN["per_burn"], exact=True).first.click()
    dialog = ann.page.locator("dialog")
    if dialog.locator("input").count():
        dialog.locator("input").fill(EN["per_burn_word"])
    shoot(ann.page, "burn")
    dialog.get_by_role("button", name=EN["per_burn"], exact=True).click()
    until(lambda: len(ann.client.get("personas")) == count - 1, 30, "the persona is burnt")
