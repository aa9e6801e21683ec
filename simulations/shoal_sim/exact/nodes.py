"""What every node of a world has: a name, a run, a clock of its own, a view and a disk.

::

    down ──start()──► up, run n ──crash(), or a step that the plan names──► down
                        │
                        └─ whatever an earlier run had under way is void: later() sees to it

A node's clock is the world's plus an offset that is read when it starts. A step of the wall
clock moves nothing while the node runs, as the node's own clock has it (``NodeClock``), and
the next start may find an earlier time than the last one did.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shoal_protocol.clock import SECOND
from shoal_protocol.directory.sync import CLIENT_PULLS
from shoal_protocol.directory.view import DirectoryView
from shoal_protocol.rng import Rng
from shoal_sim.exact.disks import Disk
from shoal_sim.seeds import seeded

if TYPE_CHECKING:
    from shoal_sim.exact.world import World


class Node(ABC):
    """A relay or a person's node."""

    def __init__(self, world: "World", name: str) -> None:
        self.world: Final = world
        self.name: Final = name
        self.up = False
        self.runs = 0
        self.wall_offset = 0  # ns that the wall clock is ahead of the world's
        self.offset = 0  # ns, of this run
        self.disk: Final = Disk(self, seeded(f"{world.seed} {name} disk"))
        self.view = self.empty_view()
        self.steps: Counter[str] = Counter()
        self._deadline = 0
        self._waking: int | None = None  # when the armed timer fires, world's time
        self._told = -1

    def empty_view(self) -> DirectoryView:
        """Return the directory that a run begins with."""
        return DirectoryView(self.world.params)

    def now(self) -> int:
        """Return this node's time, ns."""
        return self.world.engine.now + self.offset

    def begin(self) -> Rng:
        """Count a run and return its chance."""
        self.up = True
        self.runs += 1
        self.offset = self.wall_offset
        self.view = self.empty_view()
        self._told = -1
        self._waking = None
        self.world.engine.note(f"{self.name} starts")
        return seeded(f"{self.world.seed} {self.name} run {self.runs}")

    @abstractmethod
    def start(self) -> None:
        """Begin from what is durable."""

    def crash(self) -> None:
        """Lose everything that is not durable."""
        self.up = False
        self.world.engine.note(f"{self.name} crashes")
        self.world.node_down(self)

    def later(self, delay: int, name: str, action: Callable[[], None]) -> None:
        """Do ``action`` after ``delay`` ns if this run lasts so long."""
        run = self.runs

        def act() -> None:
            if self.up and self.runs == run:
                action()

        self.world.engine.after(delay, f"{self.name} {name}", act)

    def step(self, name: str) -> bool:
        """Pass a step at which the plan may want a crash; return whether it came."""
        self.steps[name] += 1
        if self.world.crashes_at(self, name):
            self.crash()
            return True
        return False

    def hear(self, *published: tuple[bytes, bytes]) -> None:
        """Take descriptors and leases that relays published."""
        now, ahead = self.now(), self.view.time.ahead
        for descriptor, lease in published:
            self.view.add_descriptor(descriptor, now)
            self.view.add_lease(lease, now)
        if self.view.time.ahead != ahead:  # some were out of time before, and are not now
            pause = self.world.params.lease_s * SECOND // CLIENT_PULLS
            self.later(pause, "pulls again", lambda: self.world.board.compare(self))
        self.look()

    def look(self) -> None:
        """Follow the view if it has changed, and come again when something in it ends."""
        now = self.now()
        self.view.expire(now)
        if self.view.revision != self._told:
            self._told = self.view.revision
            self.followed()
            ends = self.view.next_expiry
            if ends is not None:
                self.later(ends - now, "sees leases end", self.look)

    @abstractmethod
    def followed(self) -> None:
        """Use what the view says now."""

    def wake_at(self, deadline: int, action: Callable[[], None]) -> None:
        """Do ``action`` at ``deadline`` of this node's time; a later call takes its place.

        A node has one ``action``. What is armed for an earlier time stays, and is put off then.
        """
        self._deadline = deadline - self.offset
        if self._waking is None or self._deadline < self._waking:
            self._arm_at(self._deadline, action)

    def _arm_at(self, when: int, action: Callable[[], None]) -> None:
        when = self._waking = max(when, self.world.engine.now)

        def act() -> None:
            if self._waking != when:
                return
            if self._deadline > when:
                self._arm_at(self._deadline, action)
                return
            self._waking = None
            action()

        self.later(when - self.world.engine.now, "timer", act)
