"""Telling the world: outcomes to the stream RECOVERIES, settlements to the agents. What is told is on disk already."""

import asyncio
import logging
from collections import deque

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import BusClosed, BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, PeerNotice, RecoveryCommand, RecoveryOutcome, Settlement
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, Subjects
from mendbus.contracts.vocabulary import NoticeEvent, Outcome

log = logging.getLogger("mendbus")

SETTLED_AT_ONCE = 900
_PAUSE_SECONDS = 0.25


class Teller:
    """Stores outcomes one after the other, each until the server has it; a repeat is harmless by its id."""

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self._bus = bus
        self._subjects = subjects
        self._outcomes: deque[tuple[RecoveryOutcome, str]] = deque()
        self._untold: dict[str, int] = {}
        """The highest sequence that is still to be told, by incident id."""
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def tell(self, outcome: RecoveryOutcome, traceparent: str = "") -> None:
        """Has an outcome told soon."""
        self._outcomes.append((outcome, traceparent))
        self._untold[outcome.incident_id] = outcome.sequence
        self._idle.clear()
        self._wake.set()

    def has_told(self, incident_id: str) -> bool:
        """Whether the server has every outcome of an incident that was to be told."""
        return incident_id not in self._untold

    async def settle(self, agent: AgentRef, event_ids: list[str], outcome: Outcome, incident_id: str) -> None:
        """Tells an agent that events are done with. It asks if this gets lost."""
        for start in range(0, len(event_ids), SETTLED_AT_ONCE):
            chunk = event_ids[start : start + SETTLED_AT_ONCE]
            message = Settlement(agent=agent, event_ids=chunk, outcome=outcome, incident_id=incident_id)
            try:
                await self._bus.publish(
                    self._subjects.settlement(agent.kind, agent.id),
                    codec.encode(message),
                    {HEADER_CONTENT_TYPE: CONTENT_TYPE},
                )
            except BusError as error:
                log.debug("a settlement for %s was not sent: %s", agent.key, error)

    async def notice(self, command: RecoveryCommand, event: NoticeEvent, now: int) -> None:
        """Tells all agents of a peer, once, for whoever listens."""
        to = command.parameters.get("to")
        message = PeerNotice(
            id=new_id(now),
            time_unix_nano=now,
            agent=command.agent,
            event=event,
            to=to if isinstance(to, str) else None,
            incident_id=command.incident_id,
        )
        subject = self._subjects.notice(command.agent.kind, command.agent.id)
        try:
            await self._bus.publish(subject, codec.encode(message), {HEADER_CONTENT_TYPE: CONTENT_TYPE})
        except BusError as error:
            log.warning("the peers of %s were not told that it is %s: %s", command.agent.key, event, error)

    async def run(self) -> None:
        """Tells for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outcomes:
                outcome, traceparent = self._outcomes[0]
                await self._store(outcome, traceparent)
                self._outcomes.popleft()
            self._idle.set()

    async def finish(self) -> None:
        """Returns when everything has been told."""
        await self._idle.wait()

    async def _store(self, outcome: RecoveryOutcome, traceparent: str) -> None:
        headers = codec.headers(traceparent)
        subject = self._subjects.outcome(outcome.agent.kind, outcome.agent.id)
        body = codec.encode(outcome)
        while True:
            try:
                await self._bus.store(
                    subject, body, headers, id=f"{outcome.incident_id}-{outcome.sequence}", timeout=2.0
                )
            except BusClosed:
                raise
            except BusError as error:
                log.debug("an outcome is told again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if self._untold.get(outcome.incident_id) == outcome.sequence:
                    del self._untold[outcome.incident_id]
                return
