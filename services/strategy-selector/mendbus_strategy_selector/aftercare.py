"""After the first healthy probe: the settle window in which a recovery must hold, and lifting what limits an agent."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

from mendbus.contracts.asks import UNHEARD
from mendbus.contracts.journal import Attempted, Commanded, Entry, Held, Released
from mendbus.contracts.vocabulary import LIMITING
from mendbus_strategy_selector.asks import NO_EXECUTOR
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.steps import Steps

_NANO = 1_000_000_000
_AGAIN_SECONDS = 0.25
_UNHEARD_WINDOWS = 3
"""For so many settle windows more, an agent of which nothing is heard counts as neither well nor ill."""


class Aftercare:
    """Watches what has been recovered in one partition. `over` is called with each incident whose window has ended."""

    def __init__(self, steps: Steps, over: Callable[[Incident], None]) -> None:
        self._steps = steps
        self._context = steps.context
        self._over = over
        # One task for all windows: hundreds are open at a time, and a task and a timer for each would weigh more than
        # the incidents themselves.
        self._ends: list[tuple[float, str]] = []
        self._settling: dict[str, tuple[float, Incident]] = {}
        self._probing: set[str] = set()
        self._repeated: set[str] = set()
        self._sooner = asyncio.Event()

    def watch(self, incident: Incident) -> None:
        """Opens the settle window of an incident, or what is left of it."""
        ended = incident.ended_unix_nano or incident.concluded_unix_nano
        seconds = self._context.policy.settle_seconds - (self._steps.now() - ended) / _NANO
        end = asyncio.get_running_loop().time() + max(0.0, seconds)
        self._settling[incident.id] = end, incident
        heappush(self._ends, (end, incident.id))
        if self._ends[0][0] == end:
            self._sooner.set()

    async def run(self) -> None:
        """Ends settle windows in time, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._sooner.clear()
            while self._ends and self._ends[0][0] <= loop.time():
                end, incident_id = heappop(self._ends)
                # One that repeated has left, and may be in a later window by now.
                if self._settling.get(incident_id, (None,))[0] == end:
                    self._end(self._settling.pop(incident_id)[1])
            alarm = loop.call_at(self._ends[0][0], self._sooner.set) if self._ends else None
            try:
                await self._sooner.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()

    def repeated(self, incident: Incident) -> None:
        """The error came again while its recovery was settling."""
        if self._settling.pop(incident.id, None) is not None:
            self._repeated.add(incident.id)
            self._end(incident)
        elif incident.id in self._probing:
            self._repeated.add(incident.id)

    def _end(self, incident: Incident) -> None:
        self._probing.add(incident.id)
        self._over(incident)

    async def settle(self, incident: Incident) -> bool:
        """Judges a recovery whose window is over; False when it did not hold and the next rung is due."""
        try:
            if incident.id in self._repeated:
                return False
            if self._context.agents.left(incident.agent.key):
                await self._settled(incident, "the agent said goodbye")
                return True
            verified = await self._still_verified(incident)
            if incident.id in self._repeated or not verified:
                return False
            await self._settled(incident, "still healthy when the settle window ended")
            return True
        finally:
            self._probing.discard(incident.id)
            self._repeated.discard(incident.id)

    async def _still_verified(self, incident: Incident) -> bool:
        """What the agent's probe says; until it says something it is asked again, as long as the error stays away.

        An agent of which nothing is heard for a while is one that did not recover. Not at once: while a server of NATS
        fails over, nothing is heard of many agents, and what is done to all of them would spend every budget.
        """
        clock = asyncio.get_running_loop().time
        patience = clock() + _UNHEARD_WINDOWS * self._context.policy.settle_seconds
        while True:
            result = await self._steps.probe(incident, None)
            nothing_said = result.code == NO_EXECUTOR or (result.code in UNHEARD and clock() < patience)
            if not nothing_said or incident.id in self._repeated:
                return result.verified
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _settled(self, incident: Incident, reason: str) -> None:
        applied = incident.strategy in LIMITING and bool(incident.attempts) and not incident.attempts[-1].undone
        entries: list[Entry] = []
        if applied:
            until = self._steps.now() + int(self._context.policy.hold_seconds * _NANO)
            entries.append(Held(incident_id=incident.id, until_unix_nano=until))
        await self._steps.settle(incident, reason, *entries)

    async def lift(self, incident: Incident) -> bool:
        """Ends a limiting strategy if its agent is healthy now; False when it must be held longer.

        A restore is an action like any other: none is begun while recovery is paused, latched or switched off.
        """
        span = self._steps.span("restore", "internal", None, incident)
        try:
            if self._context.agents.left(incident.agent.key):
                await self._steps.write(Released(incident_id=incident.id, detail="the agent said goodbye"))
                return True
            if incident.pending is None:
                if self._hands_off(incident) or not (await self._steps.probe(incident, span)).verified:
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

    def _hands_off(self, incident: Incident) -> bool:
        policy, overview, now = self._context.policy, self._context.overview, self._steps.now()
        if policy.dry_run or not policy.enable_automatic_recovery or overview.latched:
            return True
        both = self._steps.state.pauses, overview.pauses
        return any(pauses.holding(incident.agent, now) is not None for pauses in both)
