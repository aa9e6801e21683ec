"""A node's disk: transactions one after another, each of which takes time and may fail.

::

    commit ──(latency)──► fails ───────────────────────────────► answer(False)
                     └──► land() : durable from here on ──(·)──► answer(True)
             ▲                   ▲                          ▲
             a crash here        a crash here keeps it,     and here too
             loses it            and nobody was told

A disk without latency does all of it at once, inside ``commit``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shoal_protocol.clock import MILLISECOND
from shoal_protocol.rng import Rng

if TYPE_CHECKING:
    from shoal_sim.exact.nodes import Node


class Disk:
    """When a node's transactions land.

    Args:
        node: whose; what it begun before a crash never lands.
    """

    def __init__(self, node: "Node", rng: Rng) -> None:
        self._node = node
        self._rng = rng
        self.most_ms = 0  # a commit takes up to this long
        self.fails = False
        self.full = False
        self.commits = 0

    def commit(self, land: Callable[[], None], answer: Callable[[bool], None]) -> None:
        """Let ``land`` happen and then ``answer``; False when it has failed."""
        node = self._node
        if not self.most_ms and not self.fails:
            self._land(land, answer)
            return
        took = MILLISECOND // 10 + self._rng.below((self.most_ms or 1) * MILLISECOND)
        if node.step("commit begins"):
            return
        node.later(took, "commit", lambda: self._land(land, answer))

    def _land(self, land: Callable[[], None], answer: Callable[[bool], None]) -> None:
        node = self._node
        if self.fails:
            answer(False)
            return
        land()
        self.commits += 1
        if node.step("committed"):
            return
        if not self.most_ms:
            answer(True)
            return
        node.later(
            self._rng.below(2 * MILLISECOND), "commit is answered", lambda: self._answer(answer)
        )

    def _answer(self, answer: Callable[[bool], None]) -> None:
        answer(True)
        self._node.step("answered")
