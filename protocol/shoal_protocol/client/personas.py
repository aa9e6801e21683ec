"""One persona of a node, with its conversations and what is kept of its keys; spec: client §6."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from shoal_protocol import clock
from shoal_protocol.client import contents, state
from shoal_protocol.client.announcer import Announcer
from shoal_protocol.client.association import Association
from shoal_protocol.client.contents import Profile, Shown
from shoal_protocol.client.correspondence import Correspondence
from shoal_protocol.pseudonyms.persona import PREKEY_DAYS_KEPT, PersonaSecrets
from shoal_protocol.sessions import handshake

MAX_IGNORED: Final = 1024  # strangers that one persona ignores; beyond them the oldest goes
IGNORED_S: Final = 30 * 86_400  # for so long: what they sent is tried again for box_days at most


@dataclass(slots=True)
class SeenEntry:
    """What became of an entry of the inbox; its copies at other relays may show more work.

    ``bits``: the most work that any copy was seen to pay. ``conversation``: whose it is, empty
    if it opened for nobody. ``refused``: it paid less than all requests that there are.
    """

    bits: int
    conversation: str = ""
    refused: bool = False


@dataclass(slots=True, eq=False)
class Persona:
    """One persona of this node; ``kept`` False: nothing of it is ever made durable."""

    id: str
    secrets: PersonaSecrets
    created: int
    announcer: Announcer
    name: str | None = None
    kept: bool = True
    shown: Shown = field(default_factory=Shown)
    conversations: dict[str, Correspondence] = field(default_factory=dict[str, Correspondence])
    by_pseudonym: dict[bytes, Correspondence] = field(default_factory=dict[bytes, Correspondence])
    owners: dict[bytes, tuple[Correspondence, Association]] = field(
        default_factory=dict[bytes, tuple[Correspondence, Association]]  # by session id
    )
    ephemerals: handshake.SeenEphemerals = field(default_factory=handshake.SeenEphemerals)
    seen: OrderedDict[bytes, SeenEntry] = field(default_factory=OrderedDict[bytes, SeenEntry])
    kept_ephemerals: dict[int, list[bytes]] = field(default_factory=dict[int, list[bytes]])
    prekey_batches: dict[int, int] = field(default_factory=dict[int, int])  # day: journal batch
    ignored: dict[bytes, int] = field(default_factory=dict[bytes, int])  # since (ns), oldest first

    @property
    def name_bytes(self) -> bytes:
        """The id as rows hold it, 8 bytes."""
        return bytes.fromhex(self.id)

    @property
    def profile(self) -> Profile | None:
        """What it shows to its contacts; None: nothing."""
        return self.shown.profile

    @property
    def receipts(self) -> bool:
        """Whether its contacts are told what was read, and are believed."""
        return self.shown.receipts

    def keep_shown(self, journal: state.Journal) -> None:
        """Make durable what the persona shows."""
        if self.kept:
            profile = self.shown.profile
            data = b"" if profile is None else contents.write_profile(profile)
            row = state.ProfileRow(data, self.shown.receipts)
            journal.put(state.PROFILE, self.name_bytes, state.PROFILES.encode(row))

    def keep_prekeys(self, journal: state.Journal) -> None:
        """Make prekeys durable that are new, and delete those that are erased."""
        days = self.secrets.prekey_days()
        for day in days:
            if day in self.prekey_batches:
                continue
            self.prekey_batches[day] = journal.number
            prekeys = self.secrets.prekeys_of(day)
            if self.kept and prekeys is not None:
                row = state.PrekeysRow(*prekeys.secrets())
                journal.put(state.PREKEYS, self._row(day), state.PREKEY_DAYS.encode(row))
        for day in [day for day in self.prekey_batches if day not in days]:
            del self.prekey_batches[day]
            if self.kept:
                journal.delete(state.PREKEYS, self._row(day))

    def keep_ephemeral(self, day: int, ephemeral: bytes, journal: state.Journal) -> None:
        """Make durable that a first contact with this key (32 bytes) was answered."""
        if self.kept:
            self.kept_ephemerals.setdefault(day, []).append(ephemeral)
            journal.put(state.EPHEMERAL, self._row(day) + ephemeral, b"")

    def drop_ephemeral(self, day: int, ephemeral: bytes, journal: state.Journal) -> None:
        """Forget a key of a first contact that came to nothing."""
        self.ephemerals.drop(day, ephemeral)
        if self.kept:
            self.kept_ephemerals[day].remove(ephemeral)
            journal.delete(state.EPHEMERAL, self._row(day) + ephemeral)

    def expire_ephemerals(self, today: int, journal: state.Journal) -> None:
        """Delete those whose prekeys are gone: they can't be replayed any more."""
        self.ephemerals.expire(today)
        for day in [day for day in self.kept_ephemerals if day + PREKEY_DAYS_KEPT < today]:
            for ephemeral in self.kept_ephemerals.pop(day):
                journal.delete(state.EPHEMERAL, self._row(day) + ephemeral)

    def ignore(self, pseudonym: bytes, now: int, journal: state.Journal) -> None:
        """Let this stranger (32 bytes) ask in vain for :data:`IGNORED_S`."""
        self.heed(pseudonym, journal)
        while len(self.ignored) >= MAX_IGNORED:
            self.heed(next(iter(self.ignored)), journal)
        self.ignored[pseudonym] = now
        if self.kept:
            data = state.IGNORINGS.encode(state.IgnoredRow(now))
            journal.put(state.IGNORED, self.name_bytes + pseudonym, data)

    def heed(self, pseudonym: bytes, journal: state.Journal) -> None:
        """Ignore this stranger no more; nothing if it is not ignored."""
        if self.ignored.pop(pseudonym, None) is not None and self.kept:
            journal.delete(state.IGNORED, self.name_bytes + pseudonym)

    def expire_ignored(self, now: int, journal: state.Journal) -> None:
        """Ignore those no more whose time is over."""
        while self.ignored:
            pseudonym, since = next(iter(self.ignored.items()))
            if now < since + clock.seconds(IGNORED_S):
                break
            self.heed(pseudonym, journal)

    def forget_rows(self, journal: state.Journal) -> None:
        """Delete the persona's own rows."""
        journal.delete(state.PERSONA, self.name_bytes)
        journal.delete(state.PROFILE, self.name_bytes)
        for pseudonym in self.ignored:
            journal.delete(state.IGNORED, self.name_bytes + pseudonym)
        for day in self.prekey_batches:
            journal.delete(state.PREKEYS, self._row(day))
        for day, ephemerals in self.kept_ephemerals.items():
            for ephemeral in ephemerals:
                journal.delete(state.EPHEMERAL, self._row(day) + ephemeral)

    def _row(self, day: int) -> bytes:
        return self.name_bytes + day.to_bytes(4, "big")
