"""Any order of puts, joins, deaths, crashes and lost frames: nothing that a living relay had goes.

The model is what each record's living holders were; replication may add holders and must never
take one away, and once all is quiet every record that two keepers held lies with all its keepers.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from replication.replica_net import Net, box_of, entry_of, keepers
from shoal_protocol.service.storage import PutBox, PutEntry
from support import seeded

LEAST, MOST = 5, 9  # relays


class Churn(RuleBasedStateMachine):
    """A small network under churn."""

    @initialize(count=st.integers(LEAST, MOST))
    def begin(self, count: int) -> None:
        self.net = Net(count)
        self.rng = seeded("churn")
        self.made = 0
        self.replicated: list[PutBox | PutEntry] = []
        self.single: list[PutBox | PutEntry] = []
        self.held: dict[bytes, set[bytes]] = {}  # ids by record

    @rule(count=st.integers(1, 8), entry=st.booleans())
    def put_at_all_keepers(self, count: int, entry: bool) -> None:
        for _ in range(count):
            self.made += 1
            put = entry_of(self.made) if entry else box_of(self.made)
            for relay in self.net.among(keepers(put.address, self.net.directory)):
                relay.put(put)
            self.replicated.append(put)

    @rule()
    def put_a_single_copy(self) -> None:
        self.made += 1
        put = box_of(self.made)
        self.net.relay(keepers(put.address, self.net.directory)[0]).put(put)
        self.single.append(put)

    @precondition(lambda self: len(self.net.directory) < MOST)
    @rule()
    def join(self) -> None:
        self.net.join()

    @precondition(lambda self: len(self.net.directory) > LEAST)
    @rule(which=st.integers(0, MOST))
    def leave_after_quiet(self, which: int) -> None:
        self.quiet()
        self.net.leave(self.net.directory[which % len(self.net.directory)])

    @rule(which=st.integers(0, MOST))
    def crash(self, which: int) -> None:
        self.net.restart(self.net.directory[which % len(self.net.directory)])

    @rule(share=st.sampled_from([0.0, 0.0, 0.2]))
    def lose_frames(self, share: float) -> None:
        self.net.stop = lambda event: self.rng.uniform() < share

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.net.run(seconds)

    @rule()
    def quiet(self) -> None:
        """Everything is handed on, and every keeper of what was replicated has it."""
        self.net.settle(7200)
        for put in self.replicated:
            wanted = set(keepers(put.address, self.net.directory))
            assert wanted <= self.net.holders(put.record)

    @invariant()
    def nobody_alive_has_lost_anything(self) -> None:
        living = {relay.id for relay in self.net.directory}
        for put in (*self.replicated, *self.single):
            holders = self.net.holders(put.record)
            assert self.held.get(put.record, set()) & living <= holders
            self.held[put.record] = holders


Churn.TestCase.settings = settings(max_examples=12, stateful_step_count=12)
TestReplicationUnderChurn = Churn.TestCase
