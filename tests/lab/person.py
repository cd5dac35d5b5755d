"""The person whom a soak calls: closes what no strategy helped, a minute after it was told, as somebody on duty does.

Without one what is open would only grow, and with it what services keep of it.
"""

import asyncio
import time
from contextlib import suppress

from mendbus import codec
from mendbus.asking.orders import Order, send
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import MendbusError, Refused
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

ANSWERS_AFTER_SECONDS = 60.0
_LOOK_SECONDS = 5.0


class Person:
    """Listens to outcomes. `closed`: how many incidents were."""

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self.closed = 0
        self._bus = bus
        self._subjects = subjects
        self._called: dict[str, tuple[float, AgentRef]] = {}

    async def hear(self, message: Message) -> None:
        """Takes an outcome in."""
        with suppress(Refused):
            told = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
            if told.outcome == "escalated" and not told.settled:
                _ = self._called.setdefault(told.incident_id, (time.monotonic(), told.agent))
            else:
                _ = self._called.pop(told.incident_id, None)

    async def work(self) -> None:
        """Closes what is due, for ever. What is refused, because it is over by now, is let go."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            due = time.monotonic() - ANSWERS_AFTER_SECONDS
            for incident, agent in [(incident, agent) for incident, (at, agent) in self._called.items() if at < due]:
                with suppress(MendbusError):
                    order = Order("close", (agent.kind, agent.id), "seen to", "soak", incident=incident)
                    _ = await send(self._bus, self._subjects, order)
                    self.closed += 1
                _ = self._called.pop(incident, None)
