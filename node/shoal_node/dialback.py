"""Dial-back in a relay: asks others whether they reach it, and dials those who ask.

::

    look ── fresh transport ── Ask ──► others       each of our addresses, three helpers
    others ── Ask ──► handler ── Helper ── fresh transport ── Proof ──► the host that asked
    others ── Proof ──► handler ──► the nonces that came ──► Standing ──► changed()

Both sides use transports made for one exchange, under keys drawn for it: no connection that
stands already can be taken for a way in, and none that carries packets is touched.
spec: dialback
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from shoal_node import supervisor
from shoal_node.transport import framing
from shoal_node.transport.interface import (
    Channel,
    ChannelClosed,
    DialError,
    StartTransport,
    TaskStatus,
    Transport,
)
from shoal_protocol.dialback import (
    CODEC,
    NONCE,
    Answer,
    Ask,
    Code,
    Helper,
    Proof,
    Standing,
    helpers,
    judge,
    names,
)
from shoal_protocol.directory import addresses as wire_addresses
from shoal_protocol.errors import RemoteProtocolError
from shoal_protocol.parameters import NetworkParameters
from shoal_protocol.rng import Rng

log = logging.getLogger(__name__)

FIRST_S: Final = 5.0  # from the start to the first look
SOON_S: Final = 20.0  # to the next look, after one that an address missed
UNKNOWN_S: Final = 60.0  # to the next, while there is nobody to ask
AGAIN_S: Final = 600.0  # to the next, for an address that is known to be unreachable
RARELY_S: Final = 4 * 3600.0  # to the next, when all were reached
DIAL_S: Final = 6.0  # a helper's dial
ASK_S: Final = 20.0  # the whole of an ask


class DialbackService:
    """One relay's part in dial-back.

    Args:
        peer_id: this relay's, 38 bytes.
        others: the addresses of each other relay of the directory.
        changed: called when an address is shown to be reachable, or not to be.
        choose: which of the others are asked about an address.
    """

    def __init__(
        self,
        peer_id: bytes,
        params: NetworkParameters,
        rng: Rng,
        now: Callable[[], int],
        start_transport: StartTransport,
        *,
        others: Callable[[], list[tuple[str, ...]]],
        changed: Callable[[], Awaitable[None]],
        choose: Callable[[str, Sequence[tuple[str, ...]]], list[str]] = helpers,
    ) -> None:
        self.counters: Final[Counter[str]] = Counter()
        self._peer_id = peer_id
        self._rng = rng
        self._now = now
        self._start_transport = start_transport
        self._others = others
        self._changed = changed
        self._choose = choose
        self._helper = Helper(params)
        self._standings: dict[str, Standing] = {}
        self._asked = trio.Event()  # set, when a look is wanted at once
        self.looking = False
        self.looks = 0  # ended since the start
        self._proofs: dict[bytes, bool] = {}  # nonces asked with, and whether they came back

    def unreachable(self, address: str) -> bool:
        """Whether this address of ours was shown to be out of others' reach."""
        standing = self._standings.get(address)
        return standing is not None and standing.reachable is False

    def standing(self, address: str) -> Standing:
        """Return what is known of an address of ours."""
        return self._standings.get(address) or Standing()

    def begin(self) -> None:
        """Look now instead of at the time that was drawn; nothing if a look is under way."""
        if not self.looking:
            self._asked.set()

    async def run(
        self,
        ours: Sequence[str],
        *,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Look at the start and every few hours, until cancelled."""
        self._standings = {a: self._standings.get(a, Standing()) for a in ours}
        task_status.started(None)
        pause = FIRST_S
        while True:
            with trio.move_on_after(pause * (0.5 + self._rng.uniform())):
                await self._asked.wait()
            self._asked = trio.Event()
            pause = await self.look()

    async def look(self) -> float:
        """Ask about each address once; returns for how long to wait, s."""
        self.looking = True
        try:
            return await self._look()
        finally:
            self.looking = False
            self.looks += 1

    async def _look(self) -> float:
        before = [s.reachable for s in self._standings.values()]
        pause = RARELY_S
        for address, standing in self._standings.items():
            verdict = await self._round(address)
            standing.hear(verdict)
            if verdict is False:
                pause = min(pause, SOON_S if standing.reachable is not False else AGAIN_S)
            elif verdict is None:
                pause = min(pause, UNKNOWN_S if standing.reachable is None else AGAIN_S)
        if before != [s.reachable for s in self._standings.values()]:
            await self._changed()
        return pause

    async def _round(self, address: str) -> bool | None:
        others = self._others()
        self._rng.shuffle(others)
        chosen = self._choose(address, others)
        if not chosen:
            return None
        answers: list[tuple[bool, Code | None]] = []
        async with trio.open_nursery() as nursery:
            for helper in chosen:
                nursery.start_soon(self._ask, helper, address, answers)
        return judge(answers)

    async def _ask(
        self, helper: str, address: str, answers: list[tuple[bool, Code | None]]
    ) -> None:
        nonce = self._rng.bytes(NONCE)
        ask = Ask(nonce, self._peer_id, address.rpartition("/p2p/")[0])
        codes: list[Code] = []

        async def exchange() -> None:
            async with self._fresh() as transport:
                channel = await transport.open(helper, framing.DIALBACK)
                await channel.send(CODEC.encode(ask))
                answer = CODEC.decode(await channel.receive())
                if not isinstance(answer, Answer):
                    raise RemoteProtocolError("dialback frame")
                codes.append(Code(answer.code))

        self._proofs[nonce] = False
        with trio.move_on_after(ASK_S):
            await supervisor.contain("dial-back ask", exchange, counters=self.counters)
        answers.append((self._proofs.pop(nonce), codes[0] if codes else None))

    async def handler(self, channel: Channel) -> None:
        """Take an ask or a proof; one a channel.

        Raises:
            ChannelClosed: the peer closed it.
            RemoteProtocolError: the peer sent anything else.
        """
        with trio.move_on_after(ASK_S):
            match CODEC.decode(await channel.receive()):
                case Ask() as ask:
                    code = await self._help(ask, channel.address)
                    await channel.send(CODEC.encode(Answer(code)))
                case Proof(nonce):
                    # A link that we dialled ourselves shows no way in.
                    if nonce not in self._proofs or not channel.incoming:
                        raise RemoteProtocolError("dialback nonce")
                    self._proofs[nonce] = True
                case _:
                    raise RemoteProtocolError("dialback frame")

    async def _help(self, ask: Ask, host: str) -> Code:
        listed = names(host, self._others())
        refused = self._helper.begin(ask, host, self._now(), listed=listed)
        if refused is not None:
            self.counters["dial-back refused"] += 1
            return refused
        reached: list[bool] = []
        try:
            with trio.move_on_after(DIAL_S):
                reached.append(await self._dial(ask))
        finally:
            self._helper.end(listed=listed)
        return Code.REACHED if True in reached else Code.NOT_REACHED

    async def _dial(self, ask: Ask) -> bool:
        """Show the nonce to whom ``ask`` names, over a connection that is made for it."""
        try:
            where = ask.address + wire_addresses.suffix(ask.peer_id)
            async with self._fresh() as transport:
                channel = await transport.open(where, framing.DIALBACK)
                await channel.send(CODEC.encode(Proof(ask.nonce)))
                try:
                    await channel.receive()
                except ChannelClosed:
                    return True  # it has read the nonce and closed
        except (DialError, ChannelClosed, RemoteProtocolError):
            pass
        return False

    @asynccontextmanager
    async def _fresh(self) -> AsyncIterator[Transport]:
        """Be on the network under a key of this moment, with no connection yet."""
        async with trio.open_nursery() as nursery:
            transport: Transport = await nursery.start(
                partial(self._start_transport, {}, seed=self._rng.bytes(32), listen=())
            )
            failure: list[DialError | ChannelClosed | RemoteProtocolError] = []
            try:
                yield transport
            except (DialError, ChannelClosed, RemoteProtocolError) as error:
                failure.append(error)
            nursery.cancel_scope.cancel()
        if failure:
            raise failure[0]
