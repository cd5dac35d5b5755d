"""Agents on hosts of their own: one connection each, and a new one when the bus says that the old one is dead."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.harness import ProtocolAgent

from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.subjects import Subjects

_PAUSE_SECONDS = 0.2


@dataclass
class Host:
    """Agents that share a process, as far as the bus is concerned. `renewed` counts its new connections."""

    url: str
    name: str
    subjects: Subjects
    agents: list[ProtocolAgent] = field(default_factory=list[ProtocolAgent])
    renewed: int = 0
    _bus: Bus | None = None
    _dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, names: Sequence[tuple[str, str]]) -> None:
        """Connects, and introduces agents of these kinds and ids."""
        bus = await self._connect()
        self.agents = [ProtocolAgent(bus, self.subjects, kind, agent_id) for kind, agent_id in names]
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


async def report(agent: ProtocolAgent, what: str, count: int, notes: dict[str, Noted]) -> None:
    """Has an agent report until it is acknowledged, and notes when."""
    begun = time.time()
    event_id = await agent.report(what, count=count)
    notes[event_id] = Noted(begun, time.time())
