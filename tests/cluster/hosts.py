"""Agents on hosts of their own: one connection each, and a new one when the bus says that the old one is dead."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.harness import ProtocolAgent

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import Probe, RecoveryCommand
from mendbus.contracts.subjects import Subjects

_PAUSE_SECONDS = 0.2


@dataclass
class BreakingAgent(ProtocolAgent):
    """An agent whose operations stay broken until they are repaired; its probe says so."""

    broken: set[str] = field(default_factory=set[str])

    async def fail(self, what: str, count: int) -> str:
        """One operation breaks, and is reported until that is acknowledged; returns the event's id."""
        self.broken.add(what)
        return await self.report(what, count=count)

    async def _command(self, message: Message) -> None:
        command = codec.decode(RecoveryCommand, message.body)
        if command.strategy == "retry" and command.operation is not None:
            self.broken.discard(command.operation)
        else:
            self.broken.clear()
        await super()._command(message)

    async def _probe(self, message: Message) -> None:
        self.works = codec.decode(Probe, message.body).operation not in self.broken
        await super()._probe(message)


@dataclass
class Host:
    """Agents that share a process, as far as the bus is concerned. `renewed` counts its new connections."""

    url: str
    name: str
    subjects: Subjects
    agents: list[BreakingAgent] = field(default_factory=list[BreakingAgent])
    renewed: int = 0
    _bus: Bus | None = None
    _dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, names: Sequence[tuple[str, str]]) -> None:
        """Connects, and introduces agents of these kinds and ids."""
        bus = await self._connect()
        self.agents = [BreakingAgent(bus, self.subjects, kind, agent_id) for kind, agent_id in names]
        await asyncio.gather(*(agent.start() for agent in self.agents))
        await asyncio.gather(*(agent.say_hello() for agent in self.agents))

    async def keep(self) -> None:
        """Renews the connection whenever it is dead, for ever: what a process that is started again does."""
        while True:
            await self._dead.wait()
            self._dead.clear()
            self.renewed += 1
            await self.close()
            bus = await self._connect()
            for agent in self.agents:
                agent.bus = bus
                with suppress(BusError):
                    await agent.start()

    async def close(self) -> None:
        """Ends the connection."""
        if self._bus is not None:
            await self._bus.close()

    async def _connect(self) -> Bus:
        while True:
            try:
                self._bus = await connect(self.url, name=self.name, on_dead=lambda _: self._dead.set())
            except BusError:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return self._bus


@dataclass(frozen=True, slots=True)
class Noted:
    """When an error was reported and acknowledged, in seconds since 1970."""

    reported: float
    acknowledged: float


async def fail(agent: BreakingAgent, what: str, count: int, notes: dict[str, Noted]) -> None:
    """Has an agent fail, and report until it is acknowledged, and notes when."""
    begun = time.time()
    event_id = await agent.fail(what, count)
    notes[event_id] = Noted(begun, time.time())
