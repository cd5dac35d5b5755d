"""Outcomes of recoveries, as everybody may hear them on the bus."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

SETTLE_SECONDS: Final = 30.0
"""How long a recovery may take to settle before it counts as not settled; the policy's window is a part of it."""


class Outcomes:
    """The outcome of the highest sequence of every incident heard of since `listen`."""

    def __init__(self) -> None:
        self._latest: dict[str, RecoveryOutcome] = {}
        self._changed = asyncio.Condition()

    async def listen(self, bus: Bus, subjects: Subjects) -> None:
        """Hears every outcome from now on."""
        _ = await bus.subscribe(subjects.everyone("outcome"), self._hear)
        await bus.barrier()

    async def _hear(self, message: Message) -> None:
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        async with self._changed:
            known = self._latest.get(outcome.incident_id)
            if known is None or outcome.sequence > known.sequence:
                self._latest[outcome.incident_id] = outcome
                self._changed.notify_all()

    def incidents(self) -> set[str]:
        """All incidents that have an outcome."""
        return set(self._latest)

    async def new(self, agent: str, known: set[str], seconds: float) -> RecoveryOutcome | None:
        """The outcome of an agent's incident that is not among those known before; None when none came in time."""

        def found() -> RecoveryOutcome | None:
            fresh = (one for one in self._latest.values() if one.incident_id not in known and one.agent.key == agent)
            return next(fresh, None)

        return await self._wait(found, seconds)

    async def settled(self, incident: str, seconds: float = SETTLE_SECONDS) -> RecoveryOutcome:
        """The outcome of an incident once it has settled, or the last one there was when it did not in time."""

        def found() -> RecoveryOutcome | None:
            outcome = self._latest[incident]
            return outcome if outcome.settled or outcome.outcome != "recovered" else None

        return await self._wait(found, seconds) or self._latest[incident]

    async def _wait(self, found: Callable[[], RecoveryOutcome | None], seconds: float) -> RecoveryOutcome | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                _ = await self._changed.wait_for(lambda: found() is not None)
        return found()
