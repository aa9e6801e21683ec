"""The page's address, with the token that it needs, shown and opened for whoever starts a node.

::

    http://127.0.0.1:PORT/#TOKEN     what stands behind # is sent to nobody: the page reads it,
                                     keeps it for its window and cleans the address

The address is as good as the token. It is shown at a terminal only, and not where it would stay:
in the journal of systemd, in a file that others may read. A browser is started with another,
since a command line can be seen by every user of the machine: ``#ticket=TICKET`` is good for
once and a minute, and the page redeems it.
"""

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from typing import Final

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def of(url: str, token: str) -> str | None:
    """Return the page's address; None where the API answers on a Unix socket."""
    return f"{url}/#{token}" if url.startswith("http://") else None


def once(url: str, ticket: str) -> str:
    """Return the address to start a browser with; ``ticket`` is redeemed for the token."""
    return f"{url}/#ticket={ticket}"


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
