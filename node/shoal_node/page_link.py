"""The page's address, with a ticket for the token, shown and opened for whoever starts a node.

::

    http://127.0.0.1:PORT/#ticket=TICKET     what stands behind # is sent to nobody: the page
                                             cleans the address and redeems the ticket, once

Browsers keep addresses in their history, terminals what they showed, and a command line can be
seen by every user of the machine: so none of them has the token. A ticket is good for once, for
a minute where a browser is started with it, longer where a person has to click. Until it is used
it is as good as the token: it is shown at a terminal only, and not in the journal of systemd.
"""

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from typing import Final

from shoal_node.api import tickets

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def has_page(url: str) -> bool:
    """Whether browsers can open the page, which they cannot on a Unix socket."""
    return url.startswith("http://")


def once(url: str, ticket: str) -> str:
    """Return the page's address; ``ticket`` is redeemed for the token."""
    return f"{url}/#ticket={ticket}"


def for_how_long(life: int) -> str:
    """Say how long (s) an address is good for."""
    return f"{life // 60} minutes" if life > tickets.LIFE else "a minute"


def may_show(environ: Mapping[str, str] = os.environ, *, terminal: bool) -> bool:
    """Whether what this process prints may hold the address; ``terminal``: a person reads it."""
    return terminal and "JOURNAL_STREAM" not in environ


def has_screen(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether somebody sits at this machine's screen, as far as the environment tells."""
    if "SSH_CONNECTION" in environ or "JOURNAL_STREAM" in environ:
        return False
    if platform in ("darwin", "win32"):
        return True
    return any(environ.get(name) for name in _DISPLAYS)


def at_terminal() -> bool:
    """Whether a person reads what this process prints, and sees a browser that it opens."""
    return sys.stdin.isatty() and sys.stderr.isatty() and has_screen()


def open_browser(link: str, wait: float = 0) -> bool:
    """Open ``link`` in a browser with windows; returns whether there is one.

    Args:
        wait: how long (s) to wait at most for its start, which the end of this process stops.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if type(browser) is webbrowser.GenericBrowser and not os.environ.get("BROWSER"):
        return False  # one of text, which would take this terminal
    opening = threading.Thread(target=browser.open, args=(link,), daemon=True)
    opening.start()
    opening.join(wait)
    return True
