"""A person's node in memory, for tests of the API and for developing the page: no network.

::

    Twin ─┬─ Household      lock, unlock (passphrase "heron"), panic, settings
          ├─ PersonBackend  personas, contacts, invites, search …
          └─ twin_talks     messages: sent ─► stored ─► fetched ─► read, and an echo

With ``pace`` 0 everything that follows a call happens inside it. With a pace it happens
after that many seconds, by :meth:`Twin.run`. :func:`twin_people.settle` peoples it.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import trio

from api import twin_talks
from shoal_node.api import backend, events
from shoal_node.transport.interface import TaskStatus
from shoal_protocol.clock import SECOND

START: Final = 1_800_000_000 * SECOND  # 2027-01-15T08:00:00Z
PASSPHRASE: Final = "heron"
WEEK: Final = 7 * 86_400 * SECOND
MAX_INVITES: Final = 8

MONTH = backend.Month(500.0, 12.5, 1_796_083_200 * SECOND, "open")
TRAFFIC = backend.Traffic(
    preset="fast",
    packets_per_s=10.0,
    mean_delay_ms=30,
    quick_share=0.667,
    waiting_gets=50,
    up_kb_per_s=30.72,
    down_kb_per_s=30.72,
    gb_per_day=5.31,
    link_ms=42.0,
    latency_ms=backend.Latency(630.0, 980.0),
)
CHECK = backend.SelfCheck(
    reach=(backend.Reach("/ip4/127.0.0.1/tcp/4001", True, 0),),
    looking=False,
    looks=1,
    clock=backend.ClockEvidence(0.0, 150.0, 300.0, 3, 0),
    newest="0.1.0",
    others=7,
    open_files=40,
    file_limit=4096,
    files_needed=960,
)
QR: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 3">'
    '<path d="M0 0h1v1H0zM2 0h1v1H2zM1 1h1v1H1zM0 2h1v1H0z"/></svg>'
)


class Relay:
    """A relay: status, peers and events."""

    role: backend.Role = "relay"

    def __init__(self) -> None:
        self.events: backend.Hub = events.Hub(START)
        self.now = START
        self.drains = 0
        self.check = CHECK

    def status(self) -> backend.Status:
        return backend.Status(
            ready=True,
            packet_bytes=3072,
            role=self.role,
            peer_id="12D3KooWTest",
            addrs=("/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWTest",),
            reachable=self.role == "relay",
            relays=8,
            dht_peers=8,
            crowd=2,
            preset="fast" if self.role == "person" else None,
            queue=0,
            version="0.1.0",
            network="lab",
            entropy_bits=0.58 if self.role == "person" else None,
            expected_latency_ms=backend.Latency(630.0, 980.0),
            traffic=TRAFFIC if self.role == "person" else None,
            traffic_class=14 if self.role == "relay" else None,
            month=MONTH if self.role == "relay" else None,
            dht=backend.Dht(1, 1, 12.5),
            warnings=("Two people are no crowd.",),
            warning_codes=("crowd",),
            counters={"replay": 0},
        )

    def peers(self) -> Sequence[backend.PeerInfo]:
        return (
            backend.PeerInfo("ab" * 16, "/ip4/127.0.0.1/tcp/4001", "guard", True, START + 1_000),
        )

    def drain(self) -> None:
        if self.role == "person":
            raise backend.NotFound("This is a person's node: only a relay drains.")
        self.drains += 1

    def cancel_drain(self) -> None:
        if self.role == "person":
            raise backend.NotFound("This is a person's node: only a relay drains.")
        self.drains -= 1

    def self_check(self) -> backend.SelfCheck:
        if self.role == "person":
            raise backend.NotFound("This is a person's node: only a relay checks itself.")
        return self.check

    def check_reach(self) -> None:
        self.check = replace(self.self_check(), looks=self.check.looks + 1)


class Twin(Relay, twin_talks.Talks):
    """A person's process and its person's node in one; see the module."""

    role = "person"

    def __init__(self, *, pace: float = 0.0, passphrase: str | None = None) -> None:
        Relay.__init__(self)
        twin_talks.Talks.__init__(self)
        self._pace = pace
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._count = 0
        self._invites: dict[str, tuple[str, backend.Invite]] = {}
        self._passphrase = passphrase
        self._lock: backend.LockState = backend.LockState("open", passphrase is not None)
        self._settings = backend.Settings("fast", "auto", "auto", False, False, 3)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Let time bring what follows from calls, until cancelled."""
        task_status.started(None)
        while True:
            await trio.sleep(0.02)
            due = [one for one in self._waiting if one[0] <= trio.current_time()]
            for one in due:
                self._waiting.remove(one)
                one[1]()

    def _later(self, after: float, do: Callable[[], None]) -> None:
        if self._pace == 0:
            do()
        else:
            self._waiting.append((trio.current_time() + after * self._pace, do))

    def _after(self, seconds: float, do: Callable[[], None]) -> None:
        if self._pace:
            self._waiting.append((trio.current_time() + seconds, do))

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _tick(self) -> int:
        self.now = time.time_ns() if self._pace else self.now + SECOND // 1000
        return self.now

    @property
    def person(self) -> backend.PersonBackend:
        if self._lock.state != "open":
            raise backend.Locked
        return self

    def lock_state(self) -> backend.LockState:
        return self._lock

    def _set_lock(self, lock: backend.LockState) -> backend.LockState:
        if lock != self._lock:
            self._lock = lock
            if lock.state != "open":
                self.events.forget(lambda data: True)
            self.events.publish(lock)
        return lock

    async def unlock(self, passphrase: str | None) -> backend.LockState:
        if self._lock.state == "open":
            return self._lock
        if self._lock.state == "empty":
            self._passphrase = passphrase
        elif passphrase != self._passphrase:
            raise backend.Unprocessable("The passphrase is wrong: the store does not open with it.")
        return self._set_lock(backend.LockState("open", self._passphrase is not None))

    async def lock(self) -> backend.LockState:
        if self._lock.state == "open":
            for persona in list(self._personas.values()):
                if persona.ephemeral:
                    self._burn(persona.id)
            self._set_lock(replace(self._lock, state="locked"))
        return self._lock

    async def panic(self) -> None:
        for persona in list(self._personas):
            self._burn(persona)
        self._passphrase = None
        self._settings = backend.Settings("fast", "auto", "auto", False, False, 3)
        self._set_lock(backend.LockState("empty", False))

    async def change_passphrase(self, old: str | None, new: str | None) -> backend.LockState:
        self.person.personas()
        if old != self._passphrase:
            raise backend.Unprocessable("The old passphrase is wrong.")
        self._passphrase = new
        return self._set_lock(backend.LockState("open", new is not None))

    def settings(self) -> backend.Settings:
        if self._lock.state == "open":
            return self._settings
        return replace(
            self._settings, receipts_default=None, fresh_persona=None, persona_slots=None
        )

    async def change_settings(self, change: backend.SettingsChange) -> backend.Settings:
        names = ("preset", "language", "theme", "receipts_default", "fresh_persona")
        given = {name: getattr(change, name) for name in (*names, "persona_slots")}
        given = {n: value for n, value in given.items() if not isinstance(value, backend.Unset)}
        if self._lock.state != "open" and not {"language", "theme"} >= set(given):
            raise backend.Locked
        self._settings = replace(self._settings, **given)
        self.events.publish(self.settings())
        return self.settings()

    async def settle(self) -> None:
        """Everything is where it is."""

    def path(self) -> Sequence[backend.HopInfo]:
        roles: tuple[backend.HopRole, ...] = ("guard", "mix", "mix", "service")
        return [
            backend.HopInfo(place, role, f"{place:032x}", f"/ip4/127.0.0.1/tcp/{place}", 30)
            for place, role in enumerate(roles, 1)
        ]

    def personas(self) -> Sequence[backend.Persona]:
        return tuple(self._personas.values())

    async def create_persona(
        self, name: str | None, ephemeral: bool, *, random: bool = False
    ) -> backend.Persona:
        made = self._id("persona")
        persona = backend.Persona(
            made,
            f"shoal-{made}",
            self._tick(),
            name,
            ephemeral=ephemeral,
            receipts=bool(self._settings.receipts_default),
        )
        self._personas[made] = self._drawn(persona) if random else persona
        self.events.publish(self._personas[made])
        return self._personas[made]

    def _drawn(self, persona: backend.Persona) -> backend.Persona:
        self._count += 1
        numbers = [(self._count * prime) % 256 for prime in (37, 71, 113, 151)]
        return replace(
            persona,
            name=None,
            drawn_name=(numbers[0], numbers[1]),
            avatar=backend.Avatar("drawn", tuple(numbers)),
        )

    async def change_persona(
        self, persona_id: str, change: backend.PersonaChange
    ) -> backend.Persona:
        persona = self._persona(persona_id)
        if change.random:
            persona = self._drawn(persona)
        if change.momo:
            persona = replace(persona, name=None, drawn_name=None, avatar=None)
        if not isinstance(change.name, backend.Unset):
            persona = replace(persona, name=change.name, drawn_name=None)
        if isinstance(change.avatar, bytes):
            persona = replace(persona, avatar=twin_talks.picture_avatar(change.avatar))
        elif change.avatar is None:
            persona = replace(persona, avatar=None)
        elif not isinstance(change.avatar, backend.Unset):
            persona = replace(persona, avatar=backend.Avatar("drawn", tuple(change.avatar)))
        if not isinstance(change.receipts, backend.Unset):
            persona = replace(persona, receipts=change.receipts)
        self._personas[persona_id] = persona
        self.events.publish(persona)
        return persona

    def _persona(self, persona_id: str) -> backend.Persona:
        if persona_id not in self._personas:
            raise backend.NotFound("There is no such persona.")
        return self._personas[persona_id]

    async def burn_persona(self, persona_id: str) -> None:
        self._persona(persona_id)
        self._burn(persona_id)
        self.events.publish(backend.Removed(persona_id, None, None))

    def _burn(self, persona_id: str) -> None:
        del self._personas[persona_id]
        for contact in [c for c in self._contacts.values() if c.persona == persona_id]:
            self._forget(contact)
        self._invites = {k: v for k, v in self._invites.items() if v[0] != persona_id}

    def contacts(self, persona_id: str) -> Sequence[backend.Contact]:
        self._persona(persona_id)
        return [c for c in self._contacts.values() if c.persona == persona_id]

    async def add_contact(self, persona_id: str, pseudonym: str) -> backend.Contact:
        self._persona(persona_id)
        if not pseudonym.startswith("shoal-"):
            raise backend.Unprocessable("This is no pseudonym.")
        for known in self.contacts(persona_id):
            if known.pseudonym == pseudonym:
                return known
        contact = backend.Contact(
            self._id("contact"), persona_id, self._id("talk"), pseudonym, "requested", None
        )
        return self._enter(contact)

    async def use_invite(self, persona_id: str, code: str) -> backend.Contact:
        self._persona(persona_id)
        code = code.removeprefix("shoal:")
        if not code.startswith("shoal-invite1"):
            raise backend.Unprocessable("This is no invite.")
        for known in self.contacts(persona_id):
            if known.pseudonym == f"shoal-{code}":
                return known
        names = self._id("contact"), persona_id, self._id("talk")
        contact = backend.Contact(*names, f"shoal-{code}", "accepted", "12345 " * 12)
        return self._enter(replace(contact, invited=True, tag="FISH"))

    async def invites(self, persona_id: str) -> Sequence[backend.Invite]:
        self._persona(persona_id)
        return [invite for owner, invite in self._invites.values() if owner == persona_id]

    async def make_invite(self, persona_id: str) -> backend.Invite:
        if len(await self.invites(persona_id)) >= MAX_INVITES:
            raise backend.Conflict(f"A persona may have {MAX_INVITES} invites.")
        made = self._id("invite")
        code = f"shoal-invite1{made}"
        invite = backend.Invite(made, code, f"shoal:{code}", QR, self._tick() + WEEK, False)
        self._invites[made] = persona_id, invite
        return invite

    async def cancel_invite(self, persona_id: str, invite_id: str) -> None:
        self._persona(persona_id)
        if self._invites.get(invite_id, ("", None))[0] != persona_id:
            raise backend.NotFound("There is no such invite.")
        del self._invites[invite_id]

    def linkability(self) -> Sequence[backend.Link]:
        ids = [persona.id for persona in self._personas.values()]
        if len(ids) < 2:
            return ()
        return (
            backend.Link("guard", ids),
            backend.Link("hours", ids[:2], f"{math.floor(60)} min apart"),
        )

    async def backup(self, passphrase: str) -> backend.Attachment:
        return backend.Attachment("shoal.backup", "application/octet-stream", b"backup" * 100)
