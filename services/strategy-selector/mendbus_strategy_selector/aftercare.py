"""After the first healthy probe: the settle window in which a recovery must hold, and lifting what limits an agent."""

import asyncio
from contextlib import suppress

from mendbus.contracts.journal import Attempted, Commanded, Entry, Held, Released
from mendbus.contracts.vocabulary import LIMITING
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.steps import Steps

_NANO = 1_000_000_000


class Aftercare:
    """Watches what has been recovered in one partition."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._context = steps.context
        self._repeats: dict[str, asyncio.Event] = {}

    def repeated(self, incident: Incident) -> None:
        """The error came again while its recovery was settling."""
        if incident.phase == "settling" and incident.id in self._repeats:
            self._repeats[incident.id].set()

    async def settle(self, incident: Incident) -> bool:
        """Watches a recovery until it settles; False when it did not hold and the next rung is due."""
        ended = incident.ended_unix_nano or incident.concluded_unix_nano
        seconds = self._context.policy.settle_seconds - (self._steps.now() - ended) / _NANO
        repeat = self._repeats[incident.id] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, seconds)):
                    await repeat.wait()
            if repeat.is_set():
                return False
            if self._context.agents.left(incident.agent.key):
                await self._settled(incident, "the agent said goodbye")
                return True
            result = await self._steps.probe(incident, None)
            if repeat.is_set() or not result.verified:
                return False
            await self._settled(incident, "still healthy when the settle window ended")
            return True
        finally:
            del self._repeats[incident.id]

    async def _settled(self, incident: Incident, reason: str) -> None:
        applied = incident.strategy in LIMITING and bool(incident.attempts) and not incident.attempts[-1].undone
        entries: list[Entry] = []
        if applied:
            until = self._steps.now() + int(self._context.policy.hold_seconds * _NANO)
            entries.append(Held(incident_id=incident.id, until_unix_nano=until))
        await self._steps.conclude(incident, "recovered", reason, None, *entries, settled=True)

    async def lift(self, incident: Incident) -> bool:
        """Ends a limiting strategy if its agent is healthy now; False when it must be held longer."""
        span = self._steps.span("restore", "internal", None, incident)
        try:
            if self._context.agents.left(incident.agent.key):
                await self._steps.write(Released(incident_id=incident.id, detail="the agent said goodbye"))
                return True
            if incident.pending is None:
                if not (await self._steps.probe(incident, span)).verified:
                    until = self._steps.now() + int(self._context.policy.hold_seconds * _NANO)
                    await self._steps.write(Held(incident_id=incident.id, until_unix_nano=until))
                    return False
                restore = self._steps.command(
                    incident, "restore", incident.strategy or "fallback", incident.details.classification
                )
                await self._steps.write(Commanded(incident_id=incident.id, command=restore))
            command = incident.pending
            if command is not None:
                result = await self._steps.execute(incident, command, span)
                detail = f"restore: {result.status}" + (f", {result.code}" if result.code else "")
                attempted = Attempted(
                    incident_id=incident.id,
                    command_id=command.command_id,
                    result=result,
                    ended_unix_nano=self._steps.now(),
                )
                await self._steps.write(attempted, Released(incident_id=incident.id, detail=detail))
                await self._steps.notify(command, result)
            return True
        finally:
            span.end()
