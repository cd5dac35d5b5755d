"""Joins what others say of agents to the bus: fatal errors as they fly by, and outcomes from their stream."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mendbus import codec
from mendbus.bus import Message, StoredMessage
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import ErrorReported, HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.runtime import Runtime, store_dead_letter
from mendbus_health_monitor.agents import Agents

log = logging.getLogger("mendbus")


class Hearsay:
    """What the running service hears of agents from others.

    Outcomes are many: they are followed and unpacked here alone, and each is handed on in the order of the stream.
    `stored` is called with all of them, `told` with those that are valid; the others are dead letters.
    """

    def __init__(
        self,
        runtime: Runtime,
        agents: Agents,
        tell: Callable[[HealthStatus | None], Awaitable[None]],
        *,
        stored: Callable[[StoredMessage], None],
        told: Callable[[RecoveryOutcome], Awaitable[None]],
    ) -> None:
        self._runtime = runtime
        self._agents = agents
        self._tell = tell
        self._stored = stored
        self._told = told

    async def start(self) -> None:
        """Begins to listen. Raises `BusError` when there is no stream to follow."""
        runtime, subjects = self._runtime, self._runtime.subjects
        # Of errors only the fatal ones, which are few: a process has died, or a system is down.
        await runtime.listen(subjects.everyone("error.fatal"), ErrorReported, self._fatal, dead=False)
        # From the stream, not as they fly by: what was told while no monitor ran is judged too.
        runtime.subscriptions.append(
            await runtime.bus.follow(
                subjects.stream("RECOVERIES"), subjects.everyone("outcome"), self._outcome, last_per_subject=True
            )
        )

    async def _fatal(self, error: ErrorReported, _: Message) -> None:
        await self._tell(self._agents.die(error))

    async def _outcome(self, stored: StoredMessage) -> None:
        runtime = self._runtime
        self._stored(stored)
        try:
            values = codec.unpack(stored.body, MAX_SERVICE_BODY)
            self._hear(values, stored)
            outcome = codec.validate(RecoveryOutcome, values)
        except Refused as refused:
            dead = runtime.subjects.dead(runtime.service)
            await store_dead_letter(
                runtime.bus, dead, stored.subject, stored.body, stored.headers, refused, runtime.meter
            )
            return
        await self._told(outcome)

    def _hear(self, values: Mapping[str, Any], stored: StoredMessage) -> None:
        try:
            # Four fields of a hundred are looked at: the rest may be what it likes.
            key = self._agents.troubles.hear(values, stored.time_unix_nano, self._runtime.now())
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            log.debug("what is stored on %s is no outcome: %r", stored.subject, problem)
            return
        if key is not None:
            self._agents.revive(key)
