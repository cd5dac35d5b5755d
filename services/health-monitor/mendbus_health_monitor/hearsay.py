"""Joins what others say of agents to the bus: fatal errors as they fly by, and outcomes from their stream."""

import logging
from collections.abc import Awaitable, Callable

from mendbus import codec
from mendbus.bus import Message, StoredMessage
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import ErrorReported, HealthStatus
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.runtime import Runtime
from mendbus_health_monitor.agents import Agents

log = logging.getLogger("mendbus")


class Hearsay:
    """What the running service hears of agents from others."""

    def __init__(
        self, runtime: Runtime, agents: Agents, tell: Callable[[HealthStatus | None], Awaitable[None]]
    ) -> None:
        self._runtime = runtime
        self._agents = agents
        self._tell = tell

    async def start(self) -> None:
        """Begins to listen. Raises `BusError` when there is no stream to follow."""
        runtime, subjects = self._runtime, self._runtime.subjects
        # Of errors only the fatal ones, which are few: a process has died, or a system is down.
        await runtime.listen(subjects.everyone("error.fatal"), ErrorReported, self._fatal, dead=False)
        runtime.subscriptions.append(
            await runtime.bus.follow(
                subjects.stream("RECOVERIES"), subjects.everyone("outcome"), self._outcome, last_per_subject=True
            )
        )

    async def _fatal(self, error: ErrorReported, _: Message) -> None:
        await self._tell(self._agents.die(error))

    async def _outcome(self, stored: StoredMessage) -> None:
        try:
            # Four fields of a hundred are looked at: it is not judged here.
            outcome = codec.unpack(stored.body, MAX_SERVICE_BODY)
            key = self._agents.troubles.hear(outcome, stored.time_unix_nano, self._runtime.now())
        except (Refused, KeyError, TypeError, ValueError, AttributeError) as problem:
            log.debug("what is stored on %s is no outcome: %r", stored.subject, problem)
            return
        if key is not None:
            self._agents.revive(key)
