"""Whether others can reach a relay: what is asked, who is helped, and what is believed.

::

    relay ── Ask(nonce, who, where) ──► helper      over a connection made for it
      ▲                                    │ where = the host that the helper sees, within limits
      ├◄── Proof(nonce) ── fresh identity, fresh connection, shakes hands with ``who``
      └◄── Answer(code) ───────────────────┘

    answers about an address ─► judge: two that agree, of different networks ─► Standing

A helper dials nobody but the host that asks it, so nobody can have it dial others. spec: dialback
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from shoal_protocol import wire
from shoal_protocol.clock import SECOND
from shoal_protocol.directory import addresses, subnets
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.wire import Codec, Range, Size, exactly

NONCE: Final = 16  # bytes
ASKED: Final = 3  # helpers in a round; spec: dialback §3
AGREE: Final = 2  # of their answers that are believed
MISSES: Final = 2  # rounds in a row that find nobody reaching an address, until it counts
WINDOW: Final = 600 * SECOND  # ns in which a helper counts
PER_HOST: Final = 8  # asks of one address in a window
PER_SUBNET: Final = 32  # asks of one /24 or /48 in a window
PER_WINDOW: Final = 240  # asks in a window of all hosts of the directory, and of all others
AT_ONCE: Final = 4  # dials under way for each of the two


class Code(IntEnum):
    """What a helper answers."""

    REACHED = 0
    NOT_REACHED = 1
    REFUSED = 2  # no address that this network has, or too many asks
    NOT_YOURS = 3  # another host than the one that asks


@dataclass(frozen=True, slots=True)
class Ask:
    """Dial ``address``, expect ``peer_id`` (38 bytes) there, and show it ``nonce``."""

    nonce: Annotated[bytes, exactly(NONCE)]
    peer_id: Annotated[bytes, exactly(38)]
    address: Annotated[str, Size(1, addresses.MAX_ADDRESS)]


@dataclass(frozen=True, slots=True)
class Answer:
    """How it went."""

    code: Annotated[int, Range(0, max(Code))]


@dataclass(frozen=True, slots=True)
class Proof:
    """The nonce of an ask, over the connection that was made for it."""

    nonce: Annotated[bytes, exactly(NONCE)]


Frame = Ask | Answer | Proof
CODEC: Final[Codec[Frame]] = wire.Codec[Frame](Ask, Answer, Proof, limit=192)


class Helper:
    """Decides whom to dial back; bounded by twice ``PER_WINDOW``, whoever asks.

    Hosts that the directory names have a quota apart, which strangers can't use up.
    """

    def __init__(self, params: NetworkParameters) -> None:
        self._params: Final = params
        self._began = 0
        self._hosts: dict[str, int] = {}
        self._subnets: dict[frozenset[bytes], int] = {}
        self._taken = {False: 0, True: 0}  # by whether the directory names the host
        self._dialling = {False: 0, True: 0}

    def begin(self, ask: Ask, host: str, now: int, *, listed: bool = False) -> Code | None:
        """Return None if ``ask`` is to be dialled and :meth:`end` called, else the answer.

        Args:
            host: from where the ask came, as the socket says.
            now: ns.
            listed: whether a relay of the directory names this host; :meth:`end` gets the same.
        """
        try:
            addresses.check(ask.address, self._params)
        except RemoteProtocolError:
            return Code.REFUSED
        seen, named = _ip(host), _ip(ask.address.split("/")[2])
        if seen is None or seen != named:
            return Code.NOT_YOURS
        if now - self._began >= WINDOW:
            self._began, self._taken = now, {False: 0, True: 0}
            self._hosts.clear()
            self._subnets.clear()
        near = subnets.narrow((ask.address,))
        if (
            self._dialling[listed] >= AT_ONCE
            or self._taken[listed] >= PER_WINDOW
            or self._hosts.get(seen, 0) >= PER_HOST
            or self._subnets.get(near, 0) >= PER_SUBNET
        ):
            return Code.REFUSED
        self._taken[listed] += 1
        self._dialling[listed] += 1
        self._hosts[seen] = self._hosts.get(seen, 0) + 1
        self._subnets[near] = self._subnets.get(near, 0) + 1
        return None

    def end(self, *, listed: bool = False) -> None:
        """A dial that was begun has ended."""
        self._dialling[listed] -= 1


def names(host: str, known: Iterable[tuple[str, ...]]) -> bool:
    """Return whether any of the addresses ``known`` has this host, as a socket shows it."""
    ip = _ip(host)
    return any(address.split("/")[2] == ip for some in known for address in some)


def _ip(host: str) -> str | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


def helpers(address: str, others: Iterable[tuple[str, ...]]) -> list[str]:
    """Return whom to ask about ``address``: one of each network, none of its own.

    Args:
        address: of this relay.
        others: the addresses of each other relay, in a random order.

    Returns:
        At most ``ASKED`` addresses of the same family; none if fewer than ``AGREE`` are there.
    """
    taken = set(subnets.wide((address,)))
    if not taken:
        return []
    family = address.split("/")[1]
    found: list[str] = []
    for known in others:
        same = next((a for a in known if a.split("/")[1] == family), None)
        if same is None or not taken.isdisjoint(subnets.wide(known)):
            continue
        taken |= subnets.wide(known)
        found.append(same)
        if len(found) == ASKED:
            break
    return found if len(found) >= AGREE else []


def judge(answers: Sequence[tuple[bool, Code | None]]) -> bool | None:
    """Return whether an address was reached, None where too few say the same.

    Args:
        answers: of each helper, whether its proof came, and what it answered, if it did.
    """
    reached = sum(proven for proven, _ in answers)
    missed = sum(not proven and code is Code.NOT_REACHED for proven, code in answers)
    if reached >= AGREE:
        return True
    return False if missed >= AGREE else None


class Standing:
    """What is known of one address; ``reachable`` is None until enough relays have said."""

    __slots__ = ("misses", "reachable")

    def __init__(self) -> None:
        self.misses = 0
        self.reachable: bool | None = None

    def hear(self, verdict: bool | None) -> None:
        """Take a round's verdict: one that reached it counts at once, misses the second time."""
        if verdict is None:
            return
        self.misses = 0 if verdict else min(self.misses + 1, MISSES)
        if verdict or self.misses >= MISSES:
            self.reachable = verdict
